"""Checks of one part of an id index, whichever: its bytes, and its entries one row group after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.leaf import file_checksum
from ..layout.paths import FLAT_HEALPIX_FILE, FLAT_IDS_FILE, HEALPIX_COLUMN, index_part_path
from ..layout.schema import ascending, schema_fingerprint
from .catalog import OpenCatalog, tried
from .hashing import entry_hashes
from .report import Collector
from .sound import Apart

__all__ = ["INDEX_GROUP_ROWS", "IndexPart", "PartChecks", "PartEntries", "index_schema", "is_sorted"]

INDEX_GROUP_ROWS: Final = 100_000
"""Most rows of a row group: a look-up decodes one."""


@dataclass(frozen=True)
class IndexPart:
    """One line of ``files.parquet`` of an id index."""

    number: int
    rows: int
    bytes: int
    xxh3_128: str
    start: int
    """Entries in the parts before it."""


@dataclass
class PartEntries:
    """What the entries of one part add up to."""

    found: Collector
    tiles: NDArray[np.int64]
    """Numbers of the files that it has entries of."""
    counts: NDArray[np.int64]
    """Entries of each of them."""
    hashes: NDArray[np.uint64]
    """Sum of the hashes of these entries."""
    first: pa.Table | None
    last: pa.Table | None
    """First and last entry; None if there is none."""
    distinct: int
    """Different ids, if all were read."""
    differ: list[tuple[str, int]]
    """Flat arrays that differ from a row group, and the number of its first entry."""
    is_readable: bool
    """Whether all row groups were read."""
    is_complete: bool
    """Whether all entries were."""


def index_schema(kind: pa.DataType, column: str) -> pa.Schema:
    """Return the columns of an id index of a column of type `kind`."""
    return pa.schema([(column, kind), (HEALPIX_COLUMN, pa.int64()), ("Norder", pa.uint8()), ("Npix", pa.uint64())])


@dataclass(frozen=True, eq=False)
class PartChecks:
    """The check of one part of an id index, whichever."""

    opened: OpenCatalog
    catalog: Path
    column: str
    flat: tuple[str, ...]
    """Files of ids and of their HEALPix indices, if they are to be compared."""

    @cached_property
    def _pixels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Orders and numbers of the tiles."""
        pixels = np.array([file.pixel for file in self.opened.files], dtype=np.int64).reshape(-1, 2)
        return pixels[:, 0], pixels[:, 1]

    def __call__(self, part: IndexPart, _apart: Apart) -> PartEntries:
        """Check a part; one that is damaged is not decoded."""
        found, path = Collector(self.catalog.name), index_part_path(part.number)
        schema = index_schema(self.opened.schema.field(self.column).type, self.column)
        entries, differ, at = _Entries(self, path, found), list[tuple[str, int]](), part.start
        for group in _part_groups(self.catalog, part, schema, found):
            entries.add(group)
            differ += [(name, at) for name in self._unlike(group, at)]
            at += group.num_rows
        is_readable = at == part.start + part.rows
        tiles = np.flatnonzero(entries.counts)
        return PartEntries(
            found=found,
            tiles=tiles,
            counts=entries.counts[tiles],
            hashes=entries.hashes[tiles],
            first=entries.first,
            last=entries.last,
            distinct=entries.distinct,
            differ=differ,
            is_readable=is_readable,
            is_complete=is_readable and entries.is_complete,
        )

    def _unlike(self, group: pa.Table, at: int) -> list[str]:
        """Return the flat arrays that have not the entries of a row group from entry `at` on, or cannot be read.

        They are read, not mapped: pages of a map count as memory.
        """
        columns = {FLAT_IDS_FILE: self.column, FLAT_HEALPIX_FILE: HEALPIX_COLUMN}
        read = partial(np.fromfile, dtype="<i8", count=group.num_rows, offset=8 * at)
        unlike = []
        for name in self.flat:
            stored, _ = tried(partial(read, self.catalog / name))
            if stored is None or not np.array_equal(stored, group.column(columns[name]).to_numpy().astype(np.int64)):
                unlike.append(name)
        return unlike

    def check_names(self, path: str, group: pa.Table, tile: NDArray[np.int64], found: Collector) -> None:
        """Check that entries name the tile that holds their index."""
        orders, numbers = self._pixels
        order, number = group.column("Norder").to_numpy(), group.column("Npix").to_numpy().astype(np.int64)
        wrong, held = tile < 0, np.flatnonzero(tile >= 0)
        wrong[held] = (orders[tile[held]] != order[held]) | (numbers[tile[held]] != number[held])
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            text = f"{int(wrong.sum())} entries name another tile than holds their {HEALPIX_COLUMN}, first id "
            text += str(group.column(self.column)[first])
            holder = self.opened.files[int(tile[first])].pixel if tile[first] >= 0 else None
            found.add("index", path, text, holder)


class _Entries:
    """Checks the entries of a part in their order, and sums them up for each tile."""

    def __init__(self, checks: PartChecks, path: str, found: Collector) -> None:
        self._checks, self._path, self._found = checks, path, found
        self.hashes = np.zeros(len(checks.opened.files), dtype=np.uint64)
        self.counts = np.zeros(len(checks.opened.files), dtype=np.int64)
        self.first: pa.Table | None = None
        self.last: pa.Table | None = None
        self.is_complete = True
        self.distinct = 0

    def add(self, group: pa.Table) -> None:
        """Check one row group."""
        column, opened = self._checks.column, self._checks.opened
        if group.num_rows == 0:  # there is no entry at all
            return
        if any(each.null_count for each in group.columns):
            self._found.add("index", self._path, "it has entries with NULL")
            self.is_complete = False
            return
        wrong = f"its entries are not sorted by {column} and {HEALPIX_COLUMN}"
        self._found.expect(is_sorted(group, self.last, column), "index", self._path, wrong)
        self.distinct += _new_ids(group.column(column), self.last)
        self.first = group.take([0]) if self.first is None else self.first  # copies: a slice would keep all of it
        self.last = group.take([group.num_rows - 1])
        index = group.column(HEALPIX_COLUMN).to_numpy()
        tile = opened.tiles_of(index)
        self._checks.check_names(self._path, group, tile, self._found)
        hashes, kept = entry_hashes(group.column(column), index), tile >= 0
        np.add.at(self.hashes, tile[kept], hashes[kept])
        self.counts += np.bincount(tile[kept], minlength=len(self.counts))


def _part_groups(catalog: Path, part: IndexPart, schema: pa.Schema, found: Collector) -> Iterator[pa.Table]:
    """Yield the row groups of one part that can be read, while checking file and footer."""
    name = index_part_path(part.number)
    path = catalog / name
    if not found.expect(path.is_file(), "files", name, "the part is missing"):
        return
    size, (checksum, _) = path.stat().st_size, tried(lambda: file_checksum(path))
    found.expect(size == part.bytes, "files", name, f"it has {size} bytes, not {part.bytes}")
    found.files, found.bytes = found.files + 1, found.bytes + size
    if not found.expect(checksum == part.xxh3_128, "checksum", name, f"its xxh3-128 is not {part.xxh3_128}"):
        return  # decoding a damaged file may end the process
    leaf, problem = tried(lambda: pq.ParquetFile(path, page_checksum_verification=True))
    if leaf is None:
        found.add("unreadable", name, problem)
        return
    with leaf:
        same = schema_fingerprint(leaf.schema_arrow) == schema_fingerprint(schema)
        if not found.expect(same, "schema", name, f"its columns are not {schema.names}"):
            return
        wrong = f"it has {leaf.metadata.num_rows} rows, not {part.rows}"
        found.expect(leaf.metadata.num_rows == part.rows, "rows", name, wrong)
        for number in range(leaf.metadata.num_row_groups):
            group, problem = tried(partial(leaf.read_row_group, number))
            if group is None:
                found.add("unreadable", name, f"row group {number}: {problem}")
                continue
            found.rows += group.num_rows
            wrong = f"row group {number} has {group.num_rows} rows, more than {INDEX_GROUP_ROWS}"
            found.expect(group.num_rows <= INDEX_GROUP_ROWS, "row_groups", name, wrong)
            good = _bounds_hold(leaf.metadata.row_group(number).column(0).statistics, group.column(0))
            found.expect(good, "statistics", name, f"row group {number}: the footer's bounds are not those of the ids")
            yield group.cast(schema)  # whether columns may be NULL differs


def _bounds_hold(statistics: pq.Statistics | None, ids: pa.ChunkedArray) -> bool:
    """Return whether the footer's bounds, if it has any, are those of the ids."""
    if statistics is None or not statistics.has_min_max or pa.types.is_temporal(ids.type):
        return True
    bounds: bool = (statistics.min, statistics.max) == tuple(pc.min_max(ids).as_py().values())
    return bounds


def _new_ids(ids: pa.ChunkedArray, last: pa.Table | None) -> int:
    """Return how many different ids a sorted row group has, without that of the last entry before it."""
    changes = int(pc.sum(pc.not_equal(ids[1:], ids[:-1])).as_py() or 0)
    return changes + (last is None or last.column(0)[0] != ids[0])


def is_sorted(group: pa.Table, before: pa.Table | None, column: str) -> bool:
    """Return whether a row group is sorted, and comes after the entry `before` it."""
    keys = group if before is None else pa.concat_tables([before, group])
    order = pc.sort_indices(keys, ascending([column, HEALPIX_COLUMN])).to_numpy()  # stable
    return bool((order == np.arange(len(order))).all())
