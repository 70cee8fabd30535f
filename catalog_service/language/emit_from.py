"""FROM items to SQL: base tables as scans of exactly the files that the planner chose."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..models.query import RaDecBox, TableScan
from ..models.schema import SUB_TILE, TILE_NUMBER, TRANSACTION, Column, Table
from ..models.tree import ColumnRef, FunctionCall, Node, Select, SubqueryRef, TableRef
from .sqltext import bound, double, quoted, text
from .types import SQL_TYPES

__all__ = ["PositionColumns", "position_columns", "scan_sql"]

_GUARD: Final = "CASE WHEN isfinite({0}) OR isinf({0}) THEN {0} END"
"""NULL instead of NaN. DuckDB 2.0 folds `isnan`, NULLIF and comparisons by file statistics, which leave NaN out."""


@dataclass(frozen=True, slots=True)
class PositionColumns:
    """Columns, as (source, name), that hold positions of stored rows."""

    indexes: dict[FunctionCall, ColumnRef] = field(default_factory=dict)
    """Stored indices by the calls that ask for them."""

    finite: set[tuple[int, str]] = field(default_factory=set)
    """Known to be finite, or NULL."""
    loose_dec: set[tuple[int, str]] = field(default_factory=set)
    """Declinations of adopted tables, which may be sentinels such as -999: such a row has no position."""


_FILE: Final = "_file"
"""Column of the path of a row's file, where one is asked for."""

_ORDER: Final = f"TRY_CAST(regexp_extract({quoted(_FILE)}, '/Norder=([0-9]+)/', 1) AS INTEGER)"
_TILE_NUMBER: Final = (
    f"TRY_CAST(4 * power(4, {_ORDER}) AS BIGINT)"
    f" + TRY_CAST(regexp_extract({quoted(_FILE)}, '/Npix=([0-9]+)[./]', 1) AS BIGINT)"
)


def scan_sql(scan: TableScan, columns: Sequence[Column], conditions: Sequence[str] = ()) -> str:
    """Return a SELECT of `columns` from a base table's files, with their names as queries know them.

    Rows that cannot match are left out where the file statistics make that cheap; no file gives no rows. NaN becomes
    NULL here, at the source, so that nothing else of a query has to know of it.

    Parameters
    ----------
    conditions
        Conditions on stored columns that every row which the query can use satisfies.
    """
    if not scan.files:
        return f"SELECT {_empty_items(columns)} WHERE false"  # names are quoted
    items = ", ".join(f"{_item(column, scan)} AS {quoted(column.name)}" for column in columns)
    files = ", ".join(text(path) for path in scan.files)
    # by default a file's column is cast to its type in the first file, doubles to floats without a word
    options = ", union_by_name = true" if any(column.is_mixed for column in columns) else ""
    options += f", filename = {quoted(_FILE)}" if {TILE_NUMBER, SUB_TILE}.intersection(columns) else ""
    reader = f"read_parquet([{files}], hive_partitioning = false{options})"
    source = f"SELECT {items or 'true'} FROM {reader}"  # noqa: S608  # names and paths are quoted
    filters = [*_filters(scan), *conditions]
    return f"{source} WHERE {' AND '.join(filters)}" if filters else source


def position_columns(nodes: Iterable[Node]) -> PositionColumns:
    """Return the columns that hold positions: tables' own, also where derived tables pass them on.

    Those of tables that we built are finite; of adopted ones, if that was checked.

    Parameters
    ----------
    nodes
        All nodes of a query, parents first.
    """
    found = PositionColumns()
    derived: list[SubqueryRef] = []
    for node in nodes:
        if isinstance(node, TableRef):
            _add_own(node, found)
        elif isinstance(node, SubqueryRef) and isinstance(node.query, Select):
            derived.append(node)
    for reference in reversed(derived):  # the walk met outer ones first
        for key, column in _passed_on(reference):
            for known in (found.finite, found.loose_dec):
                if key in known:
                    known.add((reference.source, column.name))
    return found


def _add_own(reference: TableRef, found: PositionColumns) -> None:
    position, columns = reference.table.position, reference.table.columns_by_folded_name
    if position is None:
        return
    keys = [(reference.source, name) for name in (position.ra, position.dec) if not columns[name.lower()].may_be_nan]
    found.finite.update(keys)
    if (reference.source, position.dec) not in found.finite:
        found.loose_dec.add((reference.source, position.dec))


def _passed_on(reference: SubqueryRef) -> Iterator[tuple[tuple[int, str], Column]]:
    """Yield (what it is inside, column outside) for the columns that a derived table passes on as they are."""
    assert isinstance(reference.query, Select)
    for item, column in zip(reference.query.items, reference.columns, strict=True):
        if isinstance(item.expr, ColumnRef):
            yield (item.expr.source, item.expr.column.name), column


def _sub_tile(index: str) -> str:
    """Return which 64th of its tile a row is in, by its HEALPix index of order 29; tiles of order 26 have 64 cells."""
    return f"CASE WHEN {_ORDER} <= 26 THEN ({quoted(index)} >> (2 * (26 - {_ORDER}))) & 63 ELSE 0 END"


def _item(column: Column, scan: TableScan) -> str:
    """Return a stored column: in its declared type, NULL instead of NaN."""
    if column is TILE_NUMBER:
        return _TILE_NUMBER
    if column is SUB_TILE:
        return _sub_tile(scan.healpix_column)
    if column is TRANSACTION:
        return "CAST(0 AS BIGINT)"
    sql = quoted(column.stored_name or column.name)
    if column.is_mixed or column.is_converted:
        sql = f"CAST({sql} AS {SQL_TYPES[column.datatype]}{'[]' if column.is_array else ''})"
    if not column.may_be_nan:
        return sql
    return f"list_transform({sql}, lambda v: {_GUARD.format('v')})" if column.is_array else bound(_GUARD, sql)


def _empty_items(columns: Sequence[Column]) -> str:
    items = [
        f"CAST(NULL AS {SQL_TYPES[column.datatype]}{'[]' if column.is_array else ''}) AS {quoted(column.name)}"
        for column in columns
    ]
    return ", ".join(items) or "true"


def _filters(scan: TableScan) -> list[str]:
    filters = []
    if scan.healpix_ranges:
        name = quoted(scan.healpix_column)
        ranges = [f"({name} >= {start} AND {name} < {stop})" for start, stop in scan.healpix_ranges]
        filters.append(f"({' OR '.join(ranges)})")
    if scan.box is not None:
        filters.append(_box(scan.box, scan.table))
    if scan.visible_schemas is not None:
        names = ", ".join(text(schema) for schema in scan.visible_schemas)
        filters.append(f'("_schema" IN ({names}))' if names else "false")
    return filters


def _box(box: RaDecBox, table: Table) -> str:
    assert table.position is not None
    dec = _stored(table, table.position.dec)
    bounds = [f"{dec} BETWEEN {double(box.dec_min_deg)} AND {double(box.dec_max_deg)}"]
    if box.ra_ranges_deg:
        ra = _stored(table, table.position.ra)
        ranges = [f"{ra} BETWEEN {double(low)} AND {double(high)}" for low, high in box.ra_ranges_deg]
        bounds.append(f"({' OR '.join(ranges)})")
    return f"({' AND '.join(bounds)})"


def _stored(table: Table, name: str) -> str:
    column = table.columns_by_folded_name[name.lower()]
    return quoted(column.stored_name or column.name)
