"""Checks of an id index: sorted, true to the leaves, its copies equal.

Entries and leaves are compared by sums of hashes for each tile (`hashing`), so that no more than one row group is in
memory and a difference names its tile.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import LayoutError
from ..layout.leaf import file_checksum
from ..layout.manifest import INDEX_FILES_SCHEMA, IndexRecord
from ..layout.paths import FLAT_HEALPIX_FILE, FLAT_IDS_FILE, HEALPIX_COLUMN, MANIFEST_DIR, METADATA, index_part_path
from ..layout.schema import ascending, schema_fingerprint
from .catalog import OpenCatalog, tried, tried_file
from .hashing import entry_hashes
from .hats import check_properties, check_schema_file, expected_index_properties
from .leaf import LeafSums
from .report import Collector
from .tree import check_data_tree, check_small_files

__all__ = ["INDEX_GROUP_ROWS", "IndexScope", "check_index", "index_schema"]

_FILES: Final = f"{MANIFEST_DIR}/files.parquet"

INDEX_GROUP_ROWS: Final = 100_000
"""Most rows of a row group: a look-up decodes one."""


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


def index_schema(kind: pa.DataType, column: str) -> pa.Schema:
    """Return the columns of an id index of a column of type `kind`."""
    return pa.schema([(column, kind), (HEALPIX_COLUMN, pa.int64()), ("Norder", pa.uint8()), ("Npix", pa.uint64())])


def check_index(opened: OpenCatalog, record: IndexRecord, scope: IndexScope, found: Collector) -> None:
    """Check one id index of a release.

    Parameters
    ----------
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
    check_data_tree(catalog, [index_part_path(part["part"]) for part in parts], found)
    _check_totals(record, parts, found)
    schema = index_schema(opened.schema.field(record.column).type, record.column)
    check_schema_file(catalog, damaged, schema, found, exact=False)
    sound = _check_entries(opened, record, scope, parts, found)
    if sound:
        _check_metadata(catalog, damaged, parts, found)


def _read_parts(catalog: Path) -> list[dict[str, Any]]:
    table = pq.read_table(catalog / _FILES, memory_map=False)
    if not table.schema.equals(INDEX_FILES_SCHEMA):
        msg = f"its columns are {table.schema.names}"
        raise LayoutError(msg)
    parts: list[dict[str, Any]] = table.to_pylist()
    return parts


def _check_totals(record: IndexRecord, parts: Sequence[dict[str, Any]], found: Collector) -> None:
    for name, told in (("rows", record.rows), ("bytes", record.bytes)):
        total = sum(part[name] for part in parts)
        found.expect(total == told, "rows", _FILES, f"it adds up to {total} {name}, the manifest tells {told}")
    numbers = [part["part"] for part in parts]
    found.expect(numbers == list(range(len(parts))), "index", _FILES, "its parts are not numbered in order")


def _check_entries(
    opened: OpenCatalog, record: IndexRecord, scope: IndexScope, parts: Sequence[dict[str, Any]], found: Collector
) -> bool:
    """Read the chosen parts, row group by row group, and compare their sums with the leaves if all were read.

    Returns
    -------
    bool
        Whether all that were chosen could be read.
    """
    catalog = opened.path.parent / record.directory
    schema = index_schema(opened.schema.field(record.column).type, record.column)
    chosen = _chosen(len(parts), scope)
    entries = _Entries(opened, record, found)
    flat, problem = tried(lambda: _flat_arrays(catalog, record))
    found.expect(flat is not None, "index", FLAT_IDS_FILE, problem)
    at, differ, readable = 0, list[int](), True
    for number, part in enumerate(parts):
        start, part_is_read = at, number in chosen
        for group in _part_groups(catalog, part, schema, found) if part_is_read else ():
            entries.add(index_part_path(part["part"]), group)
            if flat is not None and not _equals_flat(group, record.column, flat, at):
                differ.append(at)
            at += group.num_rows
        whole = at == start + part["rows"]
        entries.is_complete &= part_is_read and whole
        readable &= whole or not part_is_read
        entries.last = entries.last if part_is_read else None
        at = start + part["rows"]
    if differ:
        wrong = f"the flat arrays differ from the parts in {len(differ)} row groups, first from entry {differ[0]} on"
        found.add("index", FLAT_IDS_FILE, wrong)
    if entries.is_complete:
        wrong = f"it has {entries.distinct} different ids, the manifest tells {record.distinct}"
        found.expect(record.distinct in (None, entries.distinct), "index", "", wrong)
        entries.compare(scope)
    return readable


def _chosen(parts: int, scope: IndexScope) -> set[int]:
    count = max(1, round(parts * scope.fraction)) if parts else 0
    return set(np.random.default_rng(scope.seed).permutation(parts)[:count].tolist())


def _part_groups(catalog: Path, part: dict[str, Any], schema: pa.Schema, found: Collector) -> Iterator[pa.Table]:
    """Yield the row groups of one part that can be read, while checking file and footer."""
    name = index_part_path(part["part"])
    path = catalog / name
    if not found.expect(path.is_file(), "files", name, "the part is missing"):
        return
    size, (checksum, _) = path.stat().st_size, tried(lambda: file_checksum(path))
    found.expect(size == part["bytes"], "files", name, f"it has {size} bytes, not {part['bytes']}")
    found.files, found.bytes = found.files + 1, found.bytes + size
    if not found.expect(checksum == part["xxh3_128"], "checksum", name, f"its xxh3-128 is not {part['xxh3_128']}"):
        return  # decoding a damaged file may end the process
    leaf, problem = tried(lambda: pq.ParquetFile(path, page_checksum_verification=True))
    if leaf is None:
        found.add("unreadable", name, problem)
        return
    with leaf:
        same = schema_fingerprint(leaf.schema_arrow) == schema_fingerprint(schema)
        if not found.expect(same, "schema", name, f"its columns are not {schema.names}"):
            return
        wrong = f"it has {leaf.metadata.num_rows} rows, not {part['rows']}"
        found.expect(leaf.metadata.num_rows == part["rows"], "rows", name, wrong)
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


class _Entries:
    """Checks entries in their order, and sums them up for each tile."""

    def __init__(self, opened: OpenCatalog, record: IndexRecord, found: Collector) -> None:
        self._opened, self._column, self._found = opened, record.column, found
        self._orders = np.array([file.pixel.order for file in opened.files], dtype=np.int64)
        self._numbers = np.array([file.pixel.number for file in opened.files], dtype=np.int64)
        self._hashes = np.zeros(len(opened.files), dtype=np.uint64)
        self._counts = np.zeros(len(opened.files), dtype=np.int64)
        self.last: pa.Table | None = None
        """The last entry before the next row group; None if that part was not read."""
        self.is_complete = True
        """Whether all entries were read."""
        self.distinct = 0
        """Different ids, if all were read."""

    def add(self, path: str, group: pa.Table) -> None:
        """Check one row group of the part `path`."""
        if group.num_rows == 0:  # there is no entry at all
            return
        if any(column.null_count for column in group.columns):
            self._found.add("index", path, "it has entries with NULL")
            self.is_complete = False
            return
        wrong = f"its entries are not sorted by {self._column} and {HEALPIX_COLUMN}"
        self._found.expect(_is_sorted(group, self.last, self._column), "index", path, wrong)
        self.distinct += _new_ids(group.column(self._column), self.last)
        self.last = group.slice(group.num_rows - 1, 1)
        index = group.column(HEALPIX_COLUMN).to_numpy()
        tile = self._opened.tiles_of(index)
        self._check_names(path, group, tile)
        hashes, kept = entry_hashes(group.column(self._column), index), tile >= 0
        np.add.at(self._hashes, tile[kept], hashes[kept])
        self._counts += np.bincount(tile[kept], minlength=len(self._counts))

    def compare(self, scope: IndexScope) -> None:
        """Compare the entries of each tile with its leaf, or their number with that of the tile's ids."""
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

    def _check_names(self, path: str, group: pa.Table, tile: NDArray[np.int64]) -> None:
        """Check that entries name the tile that holds their index."""
        order, number = group.column("Norder").to_numpy(), group.column("Npix").to_numpy().astype(np.int64)
        wrong = (tile < 0) | (self._orders[tile] != order) | (self._numbers[tile] != number)
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            text = f"{int(wrong.sum())} entries name another tile than holds their {HEALPIX_COLUMN}, first id "
            text += str(group.column(self._column)[first])
            holder = self._opened.files[int(tile[first])].pixel if tile[first] >= 0 else None
            self._found.add("index", path, text, holder)


def _is_sorted(group: pa.Table, before: pa.Table | None, column: str) -> bool:
    keys = group if before is None else pa.concat_tables([before, group])
    order = pc.sort_indices(keys, ascending([column, HEALPIX_COLUMN])).to_numpy()  # stable
    return bool((order == np.arange(len(order))).all())


def _flat_arrays(catalog: Path, record: IndexRecord) -> tuple[Path, ...]:
    """Return the files of ids and of their HEALPix indices, if there are any; their size must be right."""
    if not record.flat:
        return ()
    paths = (catalog / FLAT_IDS_FILE, catalog / FLAT_HEALPIX_FILE)
    for path in paths:
        if path.stat().st_size != 8 * record.rows:
            msg = f"{path.name} has {path.stat().st_size} bytes, not 8 for each of {record.rows} entries"
            raise LayoutError(msg)
    return paths


def _equals_flat(group: pa.Table, column: str, flat: tuple[Path, ...], at: int) -> bool:
    """Return whether the flat arrays have the entries of a row group from entry `at` on.

    They are read, not mapped: pages of a map count as memory.
    """
    columns = (group.column(name).to_numpy().astype(np.int64) for name in (column, HEALPIX_COLUMN))
    return all(
        np.array_equal(np.fromfile(path, "<i8", group.num_rows, offset=8 * at), mine)
        for path, mine in zip(flat, columns, strict=False)
    )


def _check_metadata(catalog: Path, damaged: Collection[str], parts: Sequence[dict[str, Any]], found: Collector) -> None:
    """Check that the collected footers are those of the parts, in order."""
    collected, problem = tried_file(damaged, METADATA, lambda: pq.read_metadata(catalog / METADATA))
    if collected is None:
        found.add("index", METADATA, problem)
        return
    at = 0
    for part in parts:
        name = index_part_path(part["part"])
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
    mine, other = collected.to_dict(), own.to_dict()
    for column in mine["columns"]:
        if column.pop("file_path") != name.removeprefix("dataset/"):
            return False
    for column in other["columns"]:
        column.pop("file_path")
    return bool(mine == other)
