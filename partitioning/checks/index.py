"""Checks of an id index: sorted, true to the leaves, its copies equal.

Entries and leaves are compared by sums of hashes for each tile (`hashing`), so that no more than one row group is in
memory and a difference names its tile.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import LayoutError
from ..layout.manifest import INDEX_FILES_SCHEMA, IndexRecord
from ..layout.paths import FLAT_FILES, HEALPIX_COLUMN, MANIFEST_DIR, METADATA, index_part_path
from .catalog import OpenCatalog, tried, tried_file
from .hats import check_properties, check_schema_file, expected_index_properties
from .index_part import IndexPart, PartChecks, PartEntries, index_schema, is_sorted
from .leaf import LeafSums
from .report import Collector
from .tree import check_data_tree, check_small_files

__all__ = ["IndexScope", "check_index"]

ReadParts = Callable[[PartChecks, Sequence[IndexPart]], Iterable[tuple[IndexPart, PartEntries]]]
"""Calls the check of parts for each of some, and yields these with the results, in order."""

_GROUP_FOOTER: Final = ("num_columns", "num_rows", "total_byte_size", "sorting_columns")
_CHUNK_FOOTER: Final = (
    "file_offset",
    "path_in_schema",
    "physical_type",
    "num_values",
    "compression",
    "encodings",
    "data_page_offset",
    "dictionary_page_offset",
    "total_compressed_size",
    "total_uncompressed_size",
    "has_dictionary_page",
    "is_stats_set",
)

_FILES: Final = f"{MANIFEST_DIR}/files.parquet"


@dataclass(frozen=True)
class IndexScope:
    """How much of an id index is read, and what its entries are compared with."""

    sums: dict[int, LeafSums]
    """What the tiles that were read hold, by number of the file."""
    null_ids: NDArray[np.int64] | None
    """Rows without an id in each tile, as ``row_groups.parquet`` tells; None if it does not."""
    fraction: float = 1.0
    """Share of the parts to read."""
    seed: int = 0


def check_index(opened: OpenCatalog, record: IndexRecord, scope: IndexScope, read: ReadParts, found: Collector) -> None:
    """Check one id index of a release.

    Parameters
    ----------
    read
        Has the parts read.
    found
        Receives the findings; its directory is that of the index.
    """
    catalog = opened.path.parent / record.directory
    if not catalog.is_dir():
        found.add("index", "", "the directory of the id index is missing")
        return
    damaged = check_small_files(catalog, found)
    check_properties(catalog, expected_index_properties(opened, record), found)
    parts, problem = tried_file(damaged, _FILES, lambda: _read_parts(catalog))
    if parts is None:
        found.add("index", _FILES, problem)
        return
    check_data_tree(catalog, [index_part_path(part.number) for part in parts], found)
    _check_totals(record, parts, found)
    schema = index_schema(opened.schema.field(record.column).type, record.column)
    check_schema_file(catalog, damaged, schema, found, exact=False)
    chosen = [parts[number] for number in sorted(_chosen(len(parts), scope))]
    joined = _joined(opened, record, read, chosen, found)
    if joined.is_complete and len(chosen) == len(parts):
        joined.compare(scope)
    if joined.is_readable:
        _check_metadata(catalog, damaged, parts, found)


def _read_parts(catalog: Path) -> list[IndexPart]:
    table = pq.read_table(catalog / _FILES, memory_map=False)
    if not table.schema.equals(INDEX_FILES_SCHEMA):
        msg = f"its columns are {table.schema.names}"
        raise LayoutError(msg)
    rows = table.column("rows").to_numpy()
    columns = [table.column(name).to_pylist() for name in ("part", "rows", "bytes", "xxh3_128")]
    return [IndexPart(*line) for line in zip(*columns, (np.cumsum(rows) - rows).tolist(), strict=True)]


def _check_totals(record: IndexRecord, parts: Sequence[IndexPart], found: Collector) -> None:
    for name, told in (("rows", record.rows), ("bytes", record.bytes)):
        total = sum(getattr(part, name) for part in parts)
        found.expect(total == told, "rows", _FILES, f"it adds up to {total} {name}, the manifest tells {told}")
    numbers = [part.number for part in parts]
    found.expect(numbers == list(range(len(parts))), "index", _FILES, "its parts are not numbered in order")


def _joined(
    opened: OpenCatalog, record: IndexRecord, read: ReadParts, chosen: Sequence[IndexPart], found: Collector
) -> "_Joined":
    """Read the chosen parts, and return what they add up to."""
    catalog = opened.path.parent / record.directory
    flat = _flat_arrays(catalog, record, found)
    joined = _Joined(opened, record, found)
    for part, entries in read(PartChecks(opened, catalog, record.column, flat), chosen):
        joined.add(part, entries)
    for name in flat:
        starts = [at for unlike, at in joined.differ if unlike == name]
        wrong = f"it differs from the parts in {len(starts)} row groups, first from entry {min(starts, default=0)} on"
        found.expect(not starts, "index", name, wrong)
    return joined


def _chosen(parts: int, scope: IndexScope) -> set[int]:
    count = max(1, round(parts * scope.fraction)) if parts else 0
    return set(np.random.default_rng(scope.seed).permutation(parts)[:count].tolist())


class _Joined:
    """What the parts that were read add up to."""

    def __init__(self, opened: OpenCatalog, record: IndexRecord, found: Collector) -> None:
        self._opened, self._record, self._column, self._found = opened, record, record.column, found
        self._hashes = np.zeros(len(opened.files), dtype=np.uint64)
        self._counts = np.zeros(len(opened.files), dtype=np.int64)
        self._last: pa.Table | None = None
        self.differ: list[tuple[str, int]] = []
        self.distinct = 0
        self.is_readable = self.is_complete = True

    def add(self, part: IndexPart, entries: PartEntries) -> None:
        """Add the next part that was read, and check that it is sorted after the one before it."""
        self._found.merge(entries.found)
        self._hashes[entries.tiles] += entries.hashes
        self._counts[entries.tiles] += entries.counts
        self.differ += entries.differ
        self.distinct += entries.distinct
        self.is_readable &= entries.is_readable
        self.is_complete &= entries.is_complete
        if self._last is not None and entries.first is not None:
            wrong = f"its entries are not sorted by {self._column} and {HEALPIX_COLUMN}"
            path = index_part_path(part.number)
            self._found.expect(is_sorted(entries.first, self._last, self._column), "index", path, wrong)
            self.distinct -= bool(entries.first.column(0)[0] == self._last.column(0)[0])
        self._last = self._last if entries.last is None else entries.last

    def compare(self, scope: IndexScope) -> None:
        """Compare the entries of each tile with its leaf, or their number with that of the tile's ids."""
        wrong = f"it has {self.distinct} different ids, the manifest tells {self._record.distinct}"
        self._found.expect(self._record.distinct in (None, self.distinct), "index", "", wrong)
        for number, file in enumerate(self._opened.files):
            read, entries = scope.sums.get(number), int(self._counts[number])
            if read is not None and read.is_complete:
                told = read.id_entries[self._column]
            elif scope.null_ids is not None:
                read, told = None, file.rows - int(scope.null_ids[number])
            else:
                continue
            wrong = f"{entries} entries, but {told} rows with an id"
            same = self._found.expect(entries == told, "index", "", wrong, file.pixel)
            if same and read is not None:
                equal = int(self._hashes[number]) == read.id_hashes.get(self._column, 0)
                wrong = "the ids or indices of its entries are not those of the rows"
                self._found.expect(equal, "index", "", wrong, file.pixel)


def _flat_arrays(catalog: Path, record: IndexRecord, found: Collector) -> tuple[str, ...]:
    """Return the files of ids and of their HEALPix indices that are there, of the size they must be."""
    sound = []
    for name in () if record.flat else FLAT_FILES:
        found.expect(not (catalog / name).exists(), "stray", name, "the manifest tells of no flat arrays")
    for name in FLAT_FILES if record.flat else ():
        size, problem = tried(lambda name=name: (catalog / name).stat().st_size)  # type: ignore[misc]
        wrong = problem or f"it has {size} bytes, not 8 for each of {record.rows} entries"
        if found.expect(size == 8 * record.rows, "index", name, wrong):
            sound.append(name)
    return tuple(sound)


def _check_metadata(catalog: Path, damaged: Collection[str], parts: Sequence[IndexPart], found: Collector) -> None:
    """Check that the collected footers are those of the parts, in order."""
    collected, problem = tried_file(damaged, METADATA, lambda: pq.read_metadata(catalog / METADATA))
    if collected is None:
        found.add("index", METADATA, problem)
        return
    at = 0
    for part in parts:
        name = index_part_path(part.number)
        footer, _ = tried(partial(pq.read_metadata, catalog / name))
        if footer is None:
            return  # told already
        groups = range(at, at + footer.num_row_groups)
        good = groups.stop <= collected.num_row_groups and all(
            _same_group(collected.row_group(number), footer.row_group(number - at), name) for number in groups
        )
        if not found.expect(good, "index", METADATA, f"it does not hold the footer of {name}: look-ups go astray"):
            return
        at = groups.stop
    found.expect(at == collected.num_row_groups, "index", METADATA, "it has more row groups than the parts")


def _same_group(collected: pq.RowGroupMetaData, own: pq.RowGroupMetaData, name: str) -> bool:
    if any(getattr(collected, name) != getattr(own, name) for name in _GROUP_FOOTER):
        return False
    columns = [(collected.column(number), own.column(number)) for number in range(own.num_columns)]
    file = name.removeprefix("dataset/")
    return all(mine.file_path == file and _told(mine) == _told(other) for mine, other in columns)


def _told(column: pq.ColumnChunkMetaData) -> tuple[object, ...]:
    """Return what a footer tells of a column chunk; bounds as they are stored: Python has not all dates and times."""
    told, found = [getattr(column, name) for name in _CHUNK_FOOTER], column.statistics
    if found is not None:
        told += [found.has_min_max, found.null_count, found.distinct_count, found.num_values]
        told += [found.min_raw, found.max_raw] if found.has_min_max else []
    return tuple(told)
