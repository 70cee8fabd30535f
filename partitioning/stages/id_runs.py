"""Runs of an id index: (id, ``_healpix_29``) of the rows of one sort unit, sorted by id.

A run is an Arrow file of small batches, so that an index unit reads just the batches that meet its range of entries.
Beside it lies a file with the first entry of every batch, and with a sample of the entries: those of every so many rows
of a leaf, so that it does not depend on which leaves share a run.

Runs may be merged into longer ones, *levels* of them: those of the sort units are of level 0.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..layout.files import replaced
from ..layout.paths import HEALPIX_COLUMN
from ..layout.schema import ascending
from .order import one_chunk, stable_order
from .workspace import Workspace

__all__ = [
    "BATCH_ROWS",
    "SORT_COPIES",
    "IdRuns",
    "RunFacts",
    "batch_rows",
    "is_flat",
    "read_run",
    "run_facts",
    "run_files",
    "run_path",
    "sorted_entries",
    "unit_run_files",
    "write_run",
]

_SAMPLE_STEP: Final = 4096
"""One of so many rows is in the sample."""

_ROWS: Final = b"rows"

BATCH_ROWS: Final = 2048
_LEAST_BATCH_ROWS: Final = 64
_BATCH_BYTES: Final = 32 << 10
"""Most rows of a batch, fewest, and about its bytes between them: who merges runs has one of each in memory."""

SORT_COPIES: Final = 10
"""Memory that sorting entries takes, in units of what they take themselves."""


@dataclass
class IdRuns:
    """Gathers the entries of one sort unit, and writes them as sorted runs."""

    workspace: Workspace
    columns: Sequence[str]
    bucket: int
    most_bytes: int
    """Bytes of entries after which a run is written."""
    names: list[str] = field(default_factory=list)
    """Of the runs of each column that are written: another process may do the same unit with runs of another size."""
    _parts: list[pa.Table] = field(default_factory=list)
    _samples: list[pa.Table] = field(default_factory=list)
    _bytes: int = 0

    def add(self, group: pa.Table) -> None:
        """Add the rows of one row group."""
        if self.columns:
            entries = group.select([HEALPIX_COLUMN, *self.columns])
            self._parts.append(entries)
            self._samples.append(entries.take(pa.array(np.arange(0, len(group), _SAMPLE_STEP))))
            self._bytes += entries.nbytes
            if self._bytes >= self.most_bytes:
                self.flush()

    def flush(self) -> None:
        """Write what was gathered as one run a column."""
        if not self._parts:
            return
        name = f"{self.bucket:05d}-{self.most_bytes}-{len(self.names):04d}"
        entries, sample = pa.concat_tables(self._parts), pa.concat_tables(self._samples)
        for column in self.columns:
            wanted = [column, HEALPIX_COLUMN]
            rows, sampled = sorted_entries(entries.select(wanted)), sample.select(wanted)
            path = run_path(self.workspace, column, 0, name)
            write_run(path, [rows], sampled.filter(pc.is_valid(sampled.column(0))), batch_rows(rows.nbytes, len(rows)))
        self.names.append(name)
        self._parts, self._samples, self._bytes = [], [], 0


def is_flat(kind: pa.DataType) -> bool:
    """Return whether ids of this type fit the flat int64 arrays."""
    return bool(pa.types.is_integer(kind)) and kind != pa.uint64()


def sorted_entries(table: pa.Table) -> pa.Table:
    """Return (id, index) sorted by both, without NULL ids."""
    kind = table.schema.field(0).type
    table = table.filter(pc.is_valid(table.column(0))) if table.column(0).null_count else table
    if not is_flat(kind):
        return table.take(pc.sort_indices(table, ascending(table.column_names)))
    ids, healpix = table.column(0).cast(pa.int64()).to_numpy(), table.column(1).to_numpy()
    order = stable_order(ids)
    ids_there, healpix_there = ids[order], healpix[order]
    tied = ids_there[1:] == ids_there[:-1]
    # rows come by ascending index but where an append adds to an older index
    if (tied & (healpix_there[1:] < healpix_there[:-1])).any():
        order = np.lexsort((healpix, ids))
        ids_there, healpix_there = ids[order], healpix[order]
    return pa.table([pa.array(ids_there).cast(kind), pa.array(healpix_there)], schema=table.schema)


def unit_run_files(workspace: Workspace, columns: Sequence[str], names: Sequence[str]) -> list[Path]:
    """Return the files of the runs of one sort unit, and those beside them."""
    return [file for column in columns for name in names for file in run_files(run_path(workspace, column, 0, name))]


def run_files(run: Path) -> list[Path]:
    """Return the files of a run: itself, and that beside it."""
    return [run, _facts_path(run)]


def run_path(workspace: Workspace, column: str, level: int, name: str) -> Path:
    """Return the file of a run."""
    directory = workspace.runs(column)
    return (directory / f"level-{level}" if level else directory) / f"{name}.arrow"


def batch_rows(size_bytes: int, rows: int) -> int:
    """Return the rows of a batch of entries that are so many bytes."""
    return max(_LEAST_BATCH_ROWS, min(BATCH_ROWS, _BATCH_BYTES * rows // max(size_bytes, 1)))


@dataclass(frozen=True, eq=False)
class RunFacts:
    """What lies beside a run."""

    starts: pa.Table
    """First entry of every batch."""
    sample: pa.Table
    rows: int
    """Entries of the run."""


def run_facts(path: Path) -> RunFacts:
    """Return what is known of a run without reading it."""
    with pa.OSFile(str(_facts_path(path))) as file, pa.ipc.open_file(file) as reader:
        starts, sample = (pa.Table.from_batches([reader.get_batch(number)]) for number in range(2))
        return RunFacts(starts, sample, int(reader.schema.metadata[_ROWS]))


def read_run(path: Path, first: int = 0, last: int | None = None) -> Iterator[pa.Table]:
    """Yield batches `first` to `last` (None: to the end) of a run."""
    options = pa.ipc.IpcReadOptions(use_threads=False)
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file, options=options) as reader:
        stop = reader.num_record_batches if last is None else min(last + 1, reader.num_record_batches)
        for number in range(first, stop):
            yield pa.Table.from_batches([reader.get_batch(number)])


def write_run(path: Path, tables: Iterable[pa.Table], sample: pa.Table, rows_a_batch: int) -> None:
    """Write a run, and before it appears the file beside it.

    Parameters
    ----------
    tables
        Entries, sorted as a whole; all tables but the last have a multiple of `rows_a_batch` rows.
    """
    schema = sample.schema.remove_metadata()
    options = pa.ipc.IpcWriteOptions(use_threads=False)  # lz4 takes longer than it spares, for 15 % of the bytes
    starts, rows = [schema.empty_table()], 0
    with replaced(path, flush=False) as hidden:
        with pa.OSFile(str(hidden), "wb") as file, pa.ipc.new_file(file, schema, options=options) as run:
            for table in tables:
                run.write_table(table.cast(schema), max_chunksize=rows_a_batch)
                starts.append(table.take(pa.array(np.arange(0, len(table), rows_a_batch))).cast(schema))
                rows += len(table)
        _write_facts(_facts_path(path), (pa.concat_tables(starts), sample.cast(schema)), rows)


def _write_facts(path: Path, tables: Iterable[pa.Table], rows: int) -> None:
    tables = list(tables)
    schema = tables[0].schema.with_metadata({_ROWS: str(rows)})
    with (
        replaced(path, flush=False) as hidden,
        pa.OSFile(str(hidden), "wb") as file,
        pa.ipc.new_file(file, schema) as facts,
    ):
        for table in tables:
            facts.write_batch(pa.record_batch([one_chunk(column) for column in table.columns], schema=schema))


def _facts_path(run: Path) -> Path:
    return run.with_suffix(".facts")
