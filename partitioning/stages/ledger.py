"""Ledger: what the leaves of a release hold, recorded by the unit that wrote them, and summed up for the manifest."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.files import replaced
from ..layout.leaf import LeafSummary
from ..layout.manifest import FILES_SCHEMA
from ..sky.healpix import Pixel
from .counts import Counts, summed
from .sketch import Sketches, merged, sketch_arrays, sketches_of
from .spill import write_record

__all__ = ["LeafFacts", "Ledger", "UnitLedger", "read_record_files", "record_files", "unit_leaves"]


@dataclass(frozen=True)
class LeafFacts:
    """One leaf as written."""

    pixel: Pixel
    summary: LeafSummary
    healpix_min: int
    healpix_max: int
    max_separation_deg: float
    map_pixels: NDArray[np.int64]
    """Occupied pixels of the map; one may be there several times."""
    map_rows: NDArray[np.int64]
    """Rows in each."""
    input_rows: Mapping[int, int]
    """Rows by input number."""

    def file_row(self) -> dict[str, Any]:
        """Return the row of ``files.parquet``."""
        return {
            "norder": self.pixel.order,
            "npix": self.pixel.number,
            "rows": self.summary.rows,
            "bytes": self.summary.size_bytes,
            "row_groups": len(self.summary.groups),
            "healpix_min": self.healpix_min,
            "healpix_max": self.healpix_max,
            "max_separation_deg": self.max_separation_deg,
            "xxh3_128": self.summary.checksum,
        }


_FILES: Final = "files.parquet"
_MARGIN: Final = "margin.parquet"
_GROUPS: Final = "groups.arrow"
"""Few rows of thousands of columns: Parquet would take 25 times as long to write and to read."""


@dataclass
class UnitLedger:
    """What one sort unit wrote."""

    schema: pa.Schema
    leaves: list[LeafFacts] = field(default_factory=list)
    margins: list[LeafFacts] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of the leaves."""
        return sum(leaf.summary.rows for leaf in self.leaves)

    def add(self, leaf: LeafFacts, *, margin: bool) -> None:
        """Add a leaf."""
        (self.margins if margin else self.leaves).append(leaf)

    def write(
        self, record: Path, sketches: Sketches, run_names: Sequence[str] = (), run_bytes: Sequence[int] = ()
    ) -> None:
        """Write the tables beside `record`, then the record itself, with names and sizes of files of the id runs."""
        _write_table(record.with_suffix(f".{_FILES}"), _files_table(self.leaves))
        _write_table(record.with_suffix(f".{_MARGIN}"), _files_table(self.margins))
        groups = [_numbered(leaf.summary.groups, number) for number, leaf in enumerate(self.leaves)]
        if groups:
            _write_groups(record.with_suffix(f".{_GROUPS}"), pa.concat_tables(groups))
        pixels, rows = summed([leaf.map_pixels for leaf in self.leaves], [leaf.map_rows for leaf in self.leaves])
        inputs = summed(
            [np.array(list(leaf.input_rows), dtype=np.int64) for leaf in self.leaves],
            [np.array(list(leaf.input_rows.values()), dtype=np.int64) for leaf in self.leaves],
        )
        width = len(self.schema)
        write_record(
            record,
            flush=False,
            run_names=np.array(run_names, dtype=np.str_),
            run_bytes=np.array(run_bytes, dtype=np.int64),
            column_bytes=np.array([leaf.summary.column_bytes for leaf in self.leaves], np.int64).reshape(-1, width),
            column_nulls=np.array([leaf.summary.column_nulls for leaf in self.leaves], np.int64).reshape(-1, width),
            map_pixels=pixels,
            map_rows=rows,
            inputs=inputs[0],
            input_rows=inputs[1],
            **sketch_arrays(sketches.smallest()),
        )


def record_files(record: Path) -> list[Path]:
    """Return the files of the record of a sort unit, the record itself as the last."""
    beside = (record.with_suffix(f".{name}") for name in (_FILES, _MARGIN, _GROUPS))
    return [*(path for path in beside if path.exists()), record]


def read_record_files(record: Path) -> None:
    """Read all that a sort unit recorded beside `record`, to see whether it can be read."""
    leaves, _ = (pq.read_table(record.with_suffix(f".{name}")) for name in (_FILES, _MARGIN))
    if leaves.num_rows:
        with pa.OSFile(str(record.with_suffix(f".{_GROUPS}"))) as file, pa.ipc.open_file(file) as reader:
            reader.read_all()


def unit_leaves(record: Path) -> tuple[list[tuple[Pixel, int]], list[tuple[Pixel, int]]]:
    """Return tile and bytes of the leaves, and of the margin leaves, that a sort unit wrote."""
    leaves, margins = (_tiles_and_bytes(record.with_suffix(f".{name}")) for name in (_FILES, _MARGIN))
    return leaves, margins


def _tiles_and_bytes(path: Path) -> list[tuple[Pixel, int]]:
    with pq.ParquetFile(path) as file:  # in a fifth of the time of `read_table`
        columns = file.read(["norder", "npix", "bytes"], use_threads=False).columns
    return [(Pixel(order, number), size) for order, number, size in zip(*(c.to_pylist() for c in columns), strict=True)]


@dataclass(frozen=True, eq=False)
class Ledger:
    """Sums over all leaves of a release."""

    schema: pa.Schema
    files: pa.Table
    """Rows of `FILES_SCHEMA`, in HEALPix order."""
    margin_files: pa.Table
    column_bytes: NDArray[np.int64]
    """Bytes per file and column, shape ``(files, columns)``."""
    column_nulls: NDArray[np.int64]
    map_counts: Counts
    """Occupied map pixels, sorted, and the rows in each."""
    input_counts: Counts
    """Input numbers and the stored rows of each."""
    sketches: Mapping[int, NDArray[np.uint64]]
    """Smallest hashes by number of the column."""
    groups: Callable[[], Iterator[pa.Table]]
    """Gives the statistics of the row groups, files numbered through the release."""

    @classmethod
    def read(cls, schema: pa.Schema, records: Sequence[Path]) -> "Ledger":
        """Read the records of all sort units, in HEALPix order."""
        arrays = [dict(np.load(record)) for record in records]

        def stacked(name: str) -> NDArray[np.int64]:
            return np.concatenate([np.empty((0, len(schema)), np.int64), *(part[name] for part in arrays)])

        sketches = [sketches_of(part) for part in arrays]
        return cls(
            schema=schema,
            files=_joined(record.with_suffix(f".{_FILES}") for record in records),
            margin_files=_joined(record.with_suffix(f".{_MARGIN}") for record in records),
            column_bytes=stacked("column_bytes"),
            column_nulls=stacked("column_nulls"),
            map_counts=summed([a["map_pixels"] for a in arrays], [a["map_rows"] for a in arrays]),
            input_counts=summed([a["inputs"] for a in arrays], [a["input_rows"] for a in arrays]),
            sketches={
                number: merged(part[number] for part in sketches) for number in (sketches[0] if sketches else ())
            },
            groups=partial(_group_tables, records),
        )

    @property
    def rows(self) -> int:
        """Rows of all leaves."""
        return int(np.sum(self.files.column("rows").to_numpy()))

    @property
    def size_bytes(self) -> int:
        """Bytes of all leaves."""
        return int(np.sum(self.files.column("bytes").to_numpy()))

    def group_tables(self) -> Iterator[pa.Table]:
        """Yield the row groups' statistics, in the order of the files."""
        return self.groups()


def _group_tables(records: Sequence[Path]) -> Iterator[pa.Table]:
    first = 0
    for record in records:
        path = record.with_suffix(f".{_GROUPS}")
        if not path.exists():
            continue
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        files = table.column("file").to_numpy()
        yield table.set_column(0, "file", pa.array((files + first).astype(np.int32)))
        first += int(files.max(initial=-1)) + 1


def _files_table(leaves: Sequence[LeafFacts]) -> pa.Table:
    return pa.Table.from_pylist([leaf.file_row() for leaf in leaves], FILES_SCHEMA)


def _write_table(path: Path, table: pa.Table) -> None:
    with replaced(path, flush=False) as hidden:
        pq.write_table(table, hidden, compression="zstd")


def _write_groups(path: Path, table: pa.Table) -> None:
    with (
        replaced(path, flush=False) as hidden,
        pa.OSFile(str(hidden), "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table.combine_chunks())


def _joined(paths: Iterable[Path]) -> pa.Table:
    return pa.concat_tables([FILES_SCHEMA.empty_table(), *(pq.read_table(p).cast(FILES_SCHEMA) for p in paths)])


def _numbered(groups: pa.Table, file: int) -> pa.Table:
    return groups.add_column(0, "file", pa.array([file] * len(groups), pa.int32()))
