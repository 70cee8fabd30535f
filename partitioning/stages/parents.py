"""Placing child tables by their parent's position, looked up on a key.

DuckDB does the look-up: it joins and sorts within a memory limit and spills to disk beyond it, for integer and text
keys alike. The child's rows stream through it once; results come back in input order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..config import PositionFrom, TableConfig
from ..exceptions import ConfigError, InputError, PartitioningError
from ..layout.manifest import Manifest, Placement, read_manifest, read_partition_map
from ..layout.partition_map import PartitionMap
from ..layout.paths import HEALPIX_COLUMN, leaf_path
from ..layout.schema import stored_type
from ..readers.source import Source
from .histogram import check_position_column
from .places import PlacedRows, Places, Unplaced, degrees, index_or_reason, write_places

__all__ = ["Lookup", "Parent", "open_parent", "place_by_parent"]

_BATCH_ROWS: Final = 1 << 18

_PARENT_SQL: Final = """
CREATE TEMP TABLE parent AS
SELECT {key} AS key, min({index}) AS index, min({ra}) AS ra, min({dec}) AS dec,
       min({ra}) <> max({ra}) OR min({dec}) <> max({dec}) AS ambiguous
FROM read_parquet($paths, hive_partitioning = false)
WHERE {key} IS NOT NULL
GROUP BY 1
"""
"""One row a key; `ambiguous` where rows of one key lie at several positions."""

_JOIN_SQL: Final = """
SELECT n, child.ra AS own_ra, child.dec AS own_dec, parent.index, parent.ra, parent.dec
FROM child LEFT JOIN parent USING (key)
ORDER BY n
"""


@dataclass(frozen=True)
class Parent:
    """A built parent table, published or about to be."""

    catalog: Path
    manifest: Manifest
    placement: Placement
    partitions: PartitionMap


@dataclass(frozen=True)
class Lookup:
    """What the look-up of parents needs to know."""

    table: TableConfig
    position_from: PositionFrom
    parent: Parent
    scratch: Path
    memory: int
    threads: int

    @property
    def stores_parent(self) -> bool:
        """Whether the parent's position is stored beside the child's own."""
        return not self.position_from.same_position


def open_parent(name: str, catalog: Path) -> Parent:
    """Return the built table in directory `catalog` as a parent.

    Raises
    ------
    ConfigError
        If the table has no positions, or was adopted.
    """
    manifest = read_manifest(catalog)
    if manifest.placement is None:
        msg = f"parent table {name!r} has no positions, so no table can take its position from it"
        raise ConfigError(msg)
    if manifest.adopted is not None:
        msg = f"parent table {name!r} is adopted; its children can be placed by it once it is built"
        raise ConfigError(msg)
    return Parent(catalog, manifest, manifest.placement, read_partition_map(catalog))


def place_by_parent(source: Source, lookup: Lookup) -> tuple[Places, int]:
    """Place every row by its parent's position; return the places and the number of rows without a parent.

    A row whose key has no parent is placed by its own position where it has one.

    Raises
    ------
    ConfigError
        If a key or position column is missing or of an unfit type.
    InputError
        If two rows of the parent have one key and different positions, or if a row's own position is not its
        parent's though ``same_position`` says so.
    """
    _check_columns(source, lookup)
    join = _Join(source, lookup)
    directory = lookup.scratch / "places"
    with _connection(lookup) as connection:
        _load_parent(connection, lookup)
        write_places(directory, join.places(connection), has_parent=lookup.stores_parent)
    return Places(directory, tuple(join.file_rows.tolist()), has_parent=lookup.stores_parent), join.orphans


def _check_columns(source: Source, lookup: Lookup) -> None:
    table, wanted = lookup.table, lookup.position_from
    for name in (table.ra, table.dec):
        if name is not None:
            check_position_column(source, name)
    if wanted.child_key not in source.schema.names:
        msg = f"{source.file_name(0)}: there is no key column {wanted.child_key!r} (position_from of {table.name!r})"
        raise ConfigError(msg)
    types = {column.name: column.arrow_type for column in lookup.parent.manifest.columns}
    if wanted.parent_key not in types:
        msg = f"parent table {wanted.parent!r} has no column {wanted.parent_key!r} (position_from of {table.name!r})"
        raise ConfigError(msg)
    child = source.schema.field(wanted.child_key).type
    fits = (pa.types.is_integer(child) and "int" in types[wanted.parent_key]) or (
        pa.types.is_string(child) and types[wanted.parent_key] == str(stored_type(child))
    )
    if not fits:
        problem = f"{wanted.child_key!r} is {child}, the parent's {wanted.parent_key!r} is {types[wanted.parent_key]}"
        msg = f"table {table.name!r}: position_from needs two integer or two text keys, but {problem}"
        raise ConfigError(msg)


def _connection(lookup: Lookup) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        config={
            "memory_limit": f"{lookup.memory}B",
            "threads": lookup.threads,
            "temp_directory": str(lookup.scratch / "lookup"),
        }
    )


def _load_parent(connection: duckdb.DuckDBPyConnection, lookup: Lookup) -> None:
    """Make the temporary table ``parent``: one row a key."""
    parent, key = lookup.parent, lookup.position_from.parent_key
    ra, dec = parent.placement.ra_column, parent.placement.dec_column
    paths = [str(parent.catalog / leaf_path(parent.partitions.pixel(tile))) for tile in range(len(parent.partitions))]
    names = {"key": _quoted(key), "index": _quoted(HEALPIX_COLUMN), "ra": _quoted(ra), "dec": _quoted(dec)}
    connection.execute(_PARENT_SQL.format(**names), {"paths": paths})
    twice = connection.execute("SELECT key FROM parent WHERE ambiguous ORDER BY key LIMIT 1").fetchone()
    if twice is not None:
        msg = (
            f"parent table {lookup.position_from.parent!r} has several positions for {key} = {twice[0]!r}; "
            f"the key of position_from must be unique there"
        )
        raise InputError(msg)


class _Join:
    """Streams a child's rows through the look-up, and gathers what comes out beside the places."""

    def __init__(self, source: Source, lookup: Lookup) -> None:
        self._source, self._lookup = source, lookup
        self._own = [name for name in (lookup.table.ra, lookup.table.dec) if name is not None]
        self._key = lookup.position_from.child_key
        key_type = source.schema.field(self._key).type
        self._schema = pa.schema([("n", pa.int64()), ("key", key_type), ("ra", pa.float64()), ("dec", pa.float64())])
        self._failure: PartitioningError | None = None
        self.file_rows = np.zeros(len(source.files), dtype=np.int64)
        self.orphans = 0
        """Rows without a parent that have a place nevertheless."""

    def places(self, connection: duckdb.DuckDBPyConnection) -> Iterator[PlacedRows]:
        """Yield the places of all rows in input order."""
        connection.register("child", pa.RecordBatchReader.from_batches(self._schema, self._rows()))
        try:
            # A relation: DuckDB 2.0 was seen to return ORDER BY results out of order from execute().to_arrow_reader().
            next_row = 0
            for batch in connection.sql(_JOIN_SQL).to_arrow_reader(_BATCH_ROWS):
                self._check_order(batch, next_row)
                yield self._place(batch, next_row)
                next_row += batch.num_rows
        except duckdb.Error as error:
            if self._failure is not None:
                raise self._failure from error
            remedy = "raise build.memory or free disk space"
            msg = f"the look-up of parents of {self._lookup.table.name!r} failed: {error}; {remedy}"
            raise PartitioningError(msg) from error

    def _rows(self) -> Iterator[pa.RecordBatch]:
        """Yield row number, key and own position (NaN if there is none) of every row."""
        columns, start = list(dict.fromkeys([self._key, *self._own])), 0
        try:
            for number, batch in self._source.batches(columns, batch_rows=_BATCH_ROWS):
                rows = batch.num_rows
                own = [degrees(batch.column(name)) for name in self._own] or [np.full(rows, np.nan)] * 2
                row_numbers = pa.array(np.arange(start, start + rows))
                arrays = [row_numbers, batch.column(self._key), *map(pa.array, own)]
                yield pa.RecordBatch.from_arrays(arrays, schema=self._schema)
                self.file_rows[number] += rows
                start += rows
        except PartitioningError as error:  # DuckDB raises its own instead of it
            self._failure = error
            raise

    def _check_order(self, batch: pa.RecordBatch, next_row: int) -> None:
        numbers = batch.column("n").to_numpy()
        if not np.array_equal(numbers, np.arange(next_row, next_row + len(numbers))):
            msg = f"the look-up of parents of {self._lookup.table.name!r} returned rows out of order; report this"
            raise PartitioningError(msg)

    def _place(self, batch: pa.RecordBatch, first_row: int) -> PlacedRows:
        own_ra, own_dec, ra, dec = (degrees(batch.column(name)) for name in ("own_ra", "own_dec", "ra", "dec"))
        found = batch.column("index").is_valid().to_numpy(zero_copy_only=False)
        own_index = index_or_reason(own_ra, own_dec)
        self.orphans += int(np.count_nonzero(~found & (own_index >= 0)))
        otherwise = np.where(own_index >= 0, own_index, int(Unplaced.NO_PARENT))
        index = np.where(found, batch.column("index").fill_null(0).to_numpy(), otherwise)
        if self._lookup.position_from.same_position:
            unusable = found & (own_index < 0)
            index[unusable] = own_index[unusable]
            self._check_same(found & ~unusable & ((own_ra != ra) | (own_dec != dec)), first_row)
        return PlacedRows(index, np.where(found, ra, own_ra), np.where(found, dec, own_dec))

    def _check_same(self, moved: NDArray[np.bool_], first_row: int) -> None:
        if not moved.any():
            return
        row, ends = first_row + int(np.flatnonzero(moved)[0]), np.cumsum(self.file_rows)
        file = int(np.searchsorted(ends, row, side="right"))
        row -= int(ends[file - 1]) if file else 0
        msg = (
            f"{self._source.file_name(file)}: row {row} of {self._lookup.table.name!r} is not at its parent's "
            f"position; drop same_position from position_from, and both positions are kept"
        )
        raise InputError(msg)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
