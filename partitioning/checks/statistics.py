"""Checks of the recorded statistics: ``row_groups.parquet`` and the column totals of the manifest."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.manifest import FILES_SCHEMA, ROW_GROUPS_FILE, StoredColumn, read_columns, read_sketches
from ..layout.paths import MANIFEST_DIR
from ..stages.assemble import with_ra_bounds
from ..stages.columns import distinct_values, stored_column_list
from ..stages.ledger import Ledger
from .catalog import DataFile, OpenCatalog, tried, tried_file
from .leaf import LeafSums
from .report import Collector, listing

__all__ = ["RowGroups", "check_columns", "check_distinct", "check_row_groups", "column_list"]

_PATH: Final = f"{MANIFEST_DIR}/{ROW_GROUPS_FILE}"
_COLUMNS: Final = f"{MANIFEST_DIR}/columns.parquet"
_SKETCHES: Final = f"{MANIFEST_DIR}/sketches.parquet"
_MANIFEST: Final = f"{MANIFEST_DIR}/manifest.json"

_FEW: Final = 256
_TOLERANCE: Final = 0.6
"""Distinct values, and share of them, by which an estimate may be wrong where input files were replaced."""


class RowGroups:
    """``row_groups.parquet``, read a few of its own row groups at a time; threads may share it."""

    def __init__(self, catalog: Path) -> None:
        self._catalog = catalog
        self._file = pq.ParquetFile(catalog / _PATH)
        metadata = self._file.metadata
        sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        self._edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._lock = Lock()
        self._part = lru_cache(maxsize=2)(self._file.read_row_group)

    def __reduce__(self) -> tuple[type["RowGroups"], tuple[Path]]:
        """Tell another process to open the file."""
        return RowGroups, (self._catalog,)

    def close(self) -> None:
        """Close the file."""
        self._part.cache_clear()
        self._file.close()

    @property
    def rows(self) -> int:
        """Row groups of all data files."""
        return int(self._edges[-1])

    def of(self, file: DataFile) -> pa.Table:
        """Return the lines of one data file, those at its place in the order of files, without ``file``."""
        start, stop = file.first_group, min(file.first_group + file.row_groups, self.rows)
        if start >= stop:
            return self._file.schema_arrow.empty_table().drop_columns("file")
        first = int(np.searchsorted(self._edges, start, side="right")) - 1
        last = int(np.searchsorted(self._edges, stop, side="left"))
        with self._lock:
            parts = [self._part(number) for number in range(first, last)]
        return pa.concat_tables(parts).slice(start - int(self._edges[first]), stop - start).drop_columns("file")

    def nulls(self, name: str, files: Sequence[DataFile]) -> NDArray[np.int64]:
        """Return the NULLs of an ordered column in each data file."""
        lines = self.columns(["file", f"{name}.nulls"])
        counts = np.bincount(lines.column(0).to_numpy(), lines.column(1).to_numpy(), len(files))
        return counts.astype(np.int64)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Return some columns of all lines."""
        with self._lock:
            return self._file.read(list(names))


def check_row_groups(opened: OpenCatalog, groups: RowGroups, found: Collector) -> None:
    """Check that the lines are those of the listed files, in their order, and add up to their rows and bounds."""
    counts = np.array([file.row_groups for file in opened.files], dtype=np.int64)
    if groups.rows != int(counts.sum()):
        found.add("statistics", _PATH, f"it has {groups.rows} row groups, files.parquet {counts.sum()}")
        return
    keys, problem = tried(lambda: groups.columns(["file", "row_group", "rows", "healpix_min", "healpix_max"]))
    if keys is None:
        found.add("statistics", _PATH, problem)
        return
    lines = {name: keys.column(name).to_numpy() for name in keys.column_names}
    owner = np.repeat(np.arange(len(counts)), counts)
    numbers = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    ordered = np.array_equal(lines["file"], owner) and np.array_equal(lines["row_group"], numbers)
    found.expect(ordered, "statistics", _PATH, "its row groups are not those of the files, in their order")
    rows = np.bincount(owner, lines["rows"], len(counts)).astype(np.int64)
    starts = np.array([file.healpix_min for file in opened.files])[owner]
    stops = np.array([file.healpix_max for file in opened.files])[owner]
    outside = np.unique(owner[(lines["healpix_min"] < starts) | (lines["healpix_max"] > stops)])
    for number in {*np.flatnonzero(rows != [file.rows for file in opened.files]).tolist(), *outside.tolist()}:
        file = opened.files[number]
        wrong = f"rows or index bounds of {file.path} are not those of files.parquet"
        found.add("statistics", _PATH, wrong, file.pixel)


def check_columns(opened: OpenCatalog, sums: Mapping[int, LeafSums], found: Collector) -> None:
    """Compare ``columns.parquet`` with the leaves that were read, and the manifest's columns with it.

    Minima and maxima are compared with those of ``row_groups.parquet``.
    """
    manifest, names = opened.manifest, opened.schema.names
    same = [column.name for column in manifest.columns] == names
    if not found.expect(same, "schema", _MANIFEST, "its columns are not the leaves', in their order"):
        return
    damaged = opened.damaged & {_COLUMNS, _SKETCHES}
    told, problem = tried_file(damaged, next(iter(damaged), ""), partial(read_columns, opened.path))
    if told is None:
        found.add("statistics", _COLUMNS, problem)
        return
    size_bytes, nulls, sketches = told
    if not found.expect(
        size_bytes.shape == nulls.shape == (len(opened.files), len(names)), "statistics", _COLUMNS, "another shape"
    ):
        return
    for number, each in sums.items():
        equal = np.array_equal(each.column_bytes, size_bytes[number])
        equal &= np.array_equal(each.column_nulls, nulls[number])
        wrong = "the bytes or NULLs of its columns are not those of the leaf"
        found.expect(equal or not each.is_complete, "statistics", _COLUMNS, wrong, opened.files[number].pixel)
    if _PATH in opened.damaged:
        return
    numbered = {names.index(name): hashes for name, hashes in sketches.items() if name in names}
    expected, problem = tried(partial(column_list, opened, size_bytes, nulls, numbered))
    if expected is None:
        found.add("statistics", _PATH, problem)
        return
    if manifest.placement is not None:
        wrong = "the bounds of right ascension are not those of its column"
        same = with_ra_bounds(manifest.placement, expected) == manifest.placement
        found.expect(same, "statistics", _MANIFEST, wrong)
    for mine, listed in zip(expected, manifest.columns, strict=True):
        wrong = listing(_differences(mine, listed))
        found.expect(not wrong, "statistics", _MANIFEST, f"column {listed.name!r}: {wrong}")


def check_distinct(opened: OpenCatalog, sketches: Mapping[int, NDArray[np.uint64]], found: Collector) -> None:
    """Compare the sketches of distinct values with those of all rows.

    Where input files were replaced, values that went with them are not known for sure (`stages.removal`): there, the
    estimates must be near to those of the rows.
    """
    stored, _ = tried(partial(read_sketches, opened.path))
    if stored is None:
        return  # told already
    listed = {column.name: column for column in opened.manifest.columns}
    inputs = [record.number for record in opened.manifest.inputs]
    is_exact = inputs == list(range(len(inputs)))
    for number, hashes in sketches.items():
        name = opened.schema.names[number]
        mine = stored.get(name)
        if mine is None or name not in listed:
            found.add("statistics", _SKETCHES, f"there is none of column {name!r}")
        elif is_exact:
            same = np.array_equal(mine, hashes)
            found.expect(same, "statistics", _SKETCHES, f"the hashes of column {name!r} are not those of its values")
        else:
            truth = distinct_values(hashes, opened.manifest.rows - listed[name].nulls)
            wrong = f"about {listed[name].distinct} different values of {name!r} are told, the rows have {truth}"
            found.expect(_is_near(listed[name].distinct, truth), "statistics", _SKETCHES, wrong)


def _is_near(told: int | None, truth: int | None) -> bool:
    if told is None or truth is None:
        return told is None
    return abs(told - truth) <= _FEW + _TOLERANCE * max(told, truth)


def column_list(
    opened: OpenCatalog,
    size_bytes: NDArray[np.int64],
    nulls: NDArray[np.int64],
    sketches: Mapping[int, NDArray[np.uint64]],
) -> tuple[StoredColumn, ...]:
    """Return the manifest's columns as ``row_groups.parquet`` and these numbers tell them; what is hidden stays so.

    Parameters
    ----------
    size_bytes, nulls
        Per file and column, shape ``(files, columns)``.
    sketches
        Smallest hashes by number of the column.
    """
    none = np.empty(0, dtype=np.int64)
    ledger = Ledger(
        schema=opened.schema,
        files=FILES_SCHEMA.empty_table(),
        margin_files=FILES_SCHEMA.empty_table(),
        column_bytes=size_bytes,
        column_nulls=nulls,
        map_counts=(none, none),
        input_counts=(none, none),
        sketches=sketches,
        groups=lambda: iter(()),
    )
    hidden = {column.name for column in opened.manifest.columns if column.hidden}
    return stored_column_list(opened.path, ledger, hidden)


def _differences(mine: StoredColumn, listed: StoredColumn) -> list[str]:
    return [
        f"{name} is {getattr(listed, name)!r}, not {getattr(mine, name)!r}"
        for name in ("arrow_type", "nulls", "bytes", "minimum", "maximum", "distinct")
        if getattr(mine, name) != getattr(listed, name)
    ]
