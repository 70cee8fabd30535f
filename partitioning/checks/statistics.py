"""Checks of the recorded statistics: ``row_groups.parquet`` and the column totals of the manifest."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.manifest import ROW_GROUPS_FILE, StoredColumn
from ..layout.paths import MANIFEST_DIR
from ..stages.ledger import Ledger, stored_column_list
from .catalog import DataFile, OpenCatalog, tried
from .leaf import LeafSums
from .report import Collector, listing

__all__ = ["RowGroups", "check_columns", "check_row_groups"]

_PATH = f"{MANIFEST_DIR}/{ROW_GROUPS_FILE}"


class RowGroups:
    """``row_groups.parquet``, read a few of its own row groups at a time; threads may share it."""

    def __init__(self, catalog: Path) -> None:
        self._file = pq.ParquetFile(catalog / _PATH)
        metadata = self._file.metadata
        sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        self._edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._lock = Lock()
        self._part = lru_cache(maxsize=2)(self._file.read_row_group)

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


def check_columns(opened: OpenCatalog, sums: Sequence[LeafSums], found: Collector) -> None:
    """Compare the manifest's columns with ``row_groups.parquet``, and with the leaves if all of them were read."""
    told = opened.manifest.columns
    names = opened.schema.names
    if not found.expect(
        [column.name for column in told] == names, "schema", "manifest/manifest.json", "its columns are not the leaves'"
    ):
        return
    complete = len(sums) == len(opened.files) and all(each.is_complete for each in sums)
    ledger = Ledger(opened.schema)
    for each in sums:
        ledger.column_bytes += each.column_bytes
        ledger.column_nulls += each.column_nulls
    expected, problem = tried(lambda: stored_column_list(opened.path, ledger, ()))
    if expected is None:
        found.add("statistics", _PATH, problem)
        return
    for mine, listed in zip(expected, told, strict=True):
        wrong = _differences(mine, listed, complete=complete)
        text = f"column {listed.name!r}: {listing(wrong)}"
        found.expect(not wrong, "statistics", "manifest/manifest.json", text)


def _differences(mine: StoredColumn, listed: StoredColumn, *, complete: bool) -> list[str]:
    known = replace(mine, hidden=listed.hidden, distinct=listed.distinct)
    if not complete:
        known = replace(known, nulls=listed.nulls, bytes=listed.bytes)
    fields = ("arrow_type", "nulls", "bytes", "minimum", "maximum")
    return [
        f"{name} is {getattr(known, name)!r}, not {getattr(listed, name)!r}"
        for name in fields
        if getattr(known, name) != getattr(listed, name)
    ]
