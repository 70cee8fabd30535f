"""Placing child tables by their parent's position, looked up on a key.

DuckDB does the look-up: it joins and sorts within a memory limit and spills to disk beyond it, for integer and text
keys alike. The parent's keys and positions are gathered once, sorted by key, into a DuckDB file that every unit reads;
the rows of a unit stream through it, and come back in input order.
"""

import secrets
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..config import PositionFrom, TableConfig
from ..exceptions import ConfigError, InputError, PartitioningError
from ..layout.files import replaced
from ..layout.manifest import Manifest, Placement, read_manifest, read_partition_map
from ..layout.partition_map import PartitionMap
from ..layout.paths import HEALPIX_COLUMN, leaf_path
from ..layout.schema import stored_type
from .damage import Damage
from .places import Lookup, PlacedRows, Unplaced, degrees, index_or_reason
from .plan import TablePlan
from .units import UnitBatch, unit_batches

__all__ = [
    "Parent",
    "check_keys",
    "lookup_connection",
    "make_lookup",
    "open_parent",
    "place_by_parent",
    "quoted",
    "told",
]

_BATCH_ROWS: Final = 1 << 18

_PARENT_SQL: Final = """
CREATE TABLE parent AS
SELECT {key} AS key, min({index}) AS index, min({ra}) AS ra, min({dec}) AS dec,
       min({ra}) <> max({ra}) OR min({dec}) <> max({dec}) AS ambiguous
FROM read_parquet($paths, hive_partitioning = false)
WHERE {key} IS NOT NULL
GROUP BY 1
ORDER BY 1
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

    @property
    def column_types(self) -> dict[str, str]:
        """Arrow's spelling of the types of the stored columns."""
        return {column.name: column.arrow_type for column in self.manifest.columns}


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


def check_keys(
    table: TableConfig, wanted: PositionFrom, schema: pa.Schema, types: Mapping[str, str], where: str
) -> None:
    """Check that the child's key and the parent's, whose columns have `types`, can be compared.

    Raises
    ------
    ConfigError
        If a key is missing or of an unfit type.
    """
    if wanted.child_key not in schema.names:
        msg = f"{where}: there is no key column {wanted.child_key!r} (position_from of {table.name!r})"
        raise ConfigError(msg)
    if wanted.parent_key not in types:
        msg = f"parent table {wanted.parent!r} has no column {wanted.parent_key!r} (position_from of {table.name!r})"
        raise ConfigError(msg)
    child = schema.field(wanted.child_key).type
    fits = (pa.types.is_integer(child) and "int" in types[wanted.parent_key]) or (
        pa.types.is_string(child) and types[wanted.parent_key] == str(stored_type(child))
    )
    if not fits:
        problem = f"{wanted.child_key!r} is {child}, the parent's {wanted.parent_key!r} is {types[wanted.parent_key]}"
        msg = f"table {table.name!r}: position_from needs two integer or two text keys, but {problem}"
        raise ConfigError(msg)


def make_lookup(lookup: Lookup, parent: Parent) -> None:
    """Gather the parent's keys and positions into the file of `lookup`.

    Raises
    ------
    InputError
        If two rows of the parent have one key and different positions.
    """
    wanted = lookup.wanted
    paths = [str(parent.catalog / leaf_path(parent.partitions.pixel(tile))) for tile in range(len(parent.partitions))]
    ra, dec = parent.placement.ra_column, parent.placement.dec_column
    names = {"key": wanted.parent_key, "index": HEALPIX_COLUMN, "ra": ra, "dec": dec}
    sql = _PARENT_SQL.format(**{name: quoted(column) for name, column in names.items()})
    with told(wanted.parent), replaced(lookup.path) as hidden:
        hidden.unlink(missing_ok=True)
        with lookup_connection(lookup, hidden, read_only=False) as connection:
            connection.execute(sql, {"paths": paths})
            connection.execute("CHECKPOINT")  # closing does it too, but does not tell if the disk is full
            twice = connection.execute("SELECT key FROM parent WHERE ambiguous ORDER BY key LIMIT 1").fetchone()
    if twice is not None:
        lookup.path.unlink()
        msg = (
            f"parent table {wanted.parent!r} has several positions for {wanted.parent_key} = {twice[0]!r}; "
            f"the key of position_from must be unique there"
        )
        raise InputError(msg)


def place_by_parent(
    plan: TablePlan, unit: int, damage: tuple[Damage, ...], lookup: Lookup
) -> Iterator[tuple[UnitBatch, PlacedRows]]:
    """Yield the rows of a unit, without columns, with their places: the parent's where there is one, else their own.

    Raises
    ------
    InputError
        If a row's own position is not its parent's though ``same_position`` says so.
    """
    join = _Join(plan, unit, damage)
    with (
        told(join.parent),
        lookup_connection(lookup, lookup.path, read_only=True) as connection,
    ):
        yield from join.places(connection)


@contextmanager
def told(parent: str) -> Iterator[None]:
    """Turn DuckDB's errors into ours."""
    try:
        yield
    except duckdb.Error as error:
        remedy = "raise build.memory or free disk space, and run the same command again: it goes on here"
        msg = f"the look-up of positions in {parent!r} failed: {' '.join(str(error).split())}; {remedy}"
        raise PartitioningError(msg) from error


def lookup_connection(lookup: Lookup, path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Connect; the directory for what does not fit in memory is this connection's own: nodes may share the disk."""
    lookup.spill.mkdir(parents=True, exist_ok=True)
    temporary = str(lookup.spill / secrets.token_hex(8))
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{lookup.memory}B",
        "threads": 1,
        "temp_directory": temporary,
    }
    return duckdb.connect(path, read_only=read_only, config=config)


class _Join:
    """Streams a unit's rows through the look-up, and gathers what comes out beside the places."""

    def __init__(self, plan: TablePlan, unit: int, damage: tuple[Damage, ...]) -> None:
        assert plan.table.position_from is not None
        self._plan, self._unit, self._damage, self._wanted = plan, unit, damage, plan.table.position_from
        self._own = [name for name in (plan.table.ra, plan.table.dec) if name is not None]
        key_type = plan.schema.field(self._wanted.child_key).type
        self._schema = pa.schema([("n", pa.int64()), ("key", key_type), ("ra", pa.float64()), ("dec", pa.float64())])
        self._failure: PartitioningError | None = None
        self._read: list[UnitBatch] = []
        """Batches as they were read, without columns; all of them are there before the first row comes back."""
        self._starts: list[int] = []
        """Number of the first row of each in the unit."""

    @property
    def parent(self) -> str:
        """Name of the parent table."""
        return self._wanted.parent

    def places(self, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[UnitBatch, PlacedRows]]:
        """Yield the places of all rows in input order, cut as they were read."""
        connection.register("child", pa.RecordBatchReader.from_batches(self._schema, self._rows()))
        try:
            # A relation: DuckDB 2.0 was seen to return ORDER BY results out of order from execute().to_arrow_reader().
            next_row = 0
            for batch in connection.sql(_JOIN_SQL).to_arrow_reader(_BATCH_ROWS):
                self._check_order(batch, next_row)
                for read, first, rows in self._cut(next_row, batch.num_rows):
                    yield read, self._place(batch.slice(first - next_row, rows), read)
                next_row += batch.num_rows
        except duckdb.Error as error:
            if self._failure is not None:
                raise self._failure from error
            raise

    def _cut(self, start: int, count: int) -> Iterator[tuple[UnitBatch, int, int]]:
        """Cut rows ``[start, start + count)`` of the unit as they were read; yield (rows read, first row, rows)."""
        stop = start + count
        while start < stop:
            at = bisect_right(self._starts, start) - 1
            read, skip = self._read[at], start - self._starts[at]
            rows = min(stop - start, read.batch.num_rows - skip)
            yield UnitBatch(read.batch, read.numbers, read.file, read.row + skip), start, rows
            start += rows

    def _rows(self) -> Iterator[pa.RecordBatch]:
        """Yield row number, key and own position (NaN if there is none) of every row."""
        columns, start = list(dict.fromkeys([self._wanted.child_key, *self._own])), 0
        try:
            for read in unit_batches(self._plan, self._unit, self._damage, columns, _BATCH_ROWS):
                batch, rows = read.batch, read.batch.num_rows
                own = [degrees(batch.column(name)) for name in self._own] or [np.full(rows, np.nan)] * 2
                row_numbers = pa.array(np.arange(start, start + rows))
                arrays = [row_numbers, batch.column(self._wanted.child_key), *map(pa.array, own)]
                if rows == 0:
                    continue
                self._starts.append(start)
                self._read.append(UnitBatch(batch.select([]), read.numbers, read.file, read.row))
                yield pa.RecordBatch.from_arrays(arrays, schema=self._schema)
                start += rows
        except PartitioningError as error:  # DuckDB raises its own instead of it
            self._failure = error
            raise

    def _check_order(self, batch: pa.RecordBatch, next_row: int) -> None:
        numbers = batch.column("n").to_numpy()
        if not np.array_equal(numbers, np.arange(next_row, next_row + len(numbers))):
            msg = f"the look-up of parents of {self._plan.table.name!r} returned rows out of order; report this"
            raise PartitioningError(msg)

    def _place(self, joined: pa.RecordBatch, read: UnitBatch) -> PlacedRows:
        own_ra, own_dec, ra, dec = (degrees(joined.column(name)) for name in ("own_ra", "own_dec", "ra", "dec"))
        found = joined.column("index").is_valid().to_numpy(zero_copy_only=False)
        own_index = index_or_reason(own_ra, own_dec)
        otherwise = np.where(own_index >= 0, own_index, int(Unplaced.NO_PARENT))
        index = np.where(found, joined.column("index").fill_null(0).to_numpy(), otherwise)
        if self._wanted.same_position:
            unusable = found & (own_index < 0)
            index[unusable] = own_index[unusable]
            self._check_same(found & ~unusable & ((own_ra != ra) | (own_dec != dec)), read)
        orphans = int(np.count_nonzero(~found & (own_index >= 0)))
        return PlacedRows(index, np.where(found, ra, own_ra), np.where(found, dec, own_dec), orphans)

    def _check_same(self, moved: NDArray[np.bool_], read: UnitBatch) -> None:
        if not moved.any():
            return
        row = read.row + int(np.flatnonzero(moved)[0])
        msg = (
            f"{self._plan.inputs[read.file].name}: row {row} of {self._plan.table.name!r} is not at its parent's "
            f"position; drop same_position from position_from, and both positions are kept"
        )
        raise InputError(msg)


def quoted(name: str) -> str:
    """Return a column's name as SQL text."""
    return '"' + name.replace('"', '""') + '"'
