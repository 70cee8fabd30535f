"""FROM items to SQL: base tables as scans of exactly the files that the planner chose."""

from collections.abc import Sequence

from partitioning.layout.paths import HEALPIX_COLUMN

from ..models.query import RaDecBox, TableScan
from ..models.schema import Column, Table
from ..models.tree import ColumnRef, Query, Select, SubqueryRef, TableRef
from .rewrite import walk
from .sqltext import double, quoted, text
from .types import SQL_TYPES

__all__ = ["finite_columns", "scan_sql"]


def scan_sql(scan: TableScan, columns: Sequence[Column]) -> str:
    """Return a SELECT of `columns` from a base table's files, with their names as queries know them.

    Rows that cannot match are left out where the file statistics make that cheap; no file gives no rows.
    """
    if not scan.files:
        return f"SELECT {_empty_items(columns)} WHERE false"  # names are quoted
    items = ", ".join(f"{quoted(column.stored_name or column.name)} AS {quoted(column.name)}" for column in columns)
    files = ", ".join(text(path) for path in scan.files)
    reader = f"read_parquet([{files}], hive_partitioning = false)"
    source = f"SELECT {items or 'true'} FROM {reader}"  # noqa: S608  # names and paths are quoted
    filters = _filters(scan)
    return f"{source} WHERE {' AND '.join(filters)}" if filters else source


def finite_columns(tree: Query) -> set[tuple[int, str]]:
    """Return the columns, as (source, name), that hold positions of stored rows: never infinite.

    Those are tables' own position columns, also where derived tables pass them on.
    """
    finite: set[tuple[int, str]] = set()
    derived: list[SubqueryRef] = []
    for node in walk(tree):
        if isinstance(node, TableRef) and node.table.position is not None:
            finite |= {(node.source, node.table.position.ra), (node.source, node.table.position.dec)}
        elif isinstance(node, SubqueryRef) and isinstance(node.query, Select):
            derived.append(node)
    for reference in reversed(derived):  # the walk met outer ones first
        assert isinstance(reference.query, Select)
        for item, column in zip(reference.query.items, reference.columns, strict=True):
            if isinstance(item.expr, ColumnRef) and (item.expr.source, item.expr.column.name) in finite:
                finite.add((reference.source, column.name))
    return finite


def _empty_items(columns: Sequence[Column]) -> str:
    items = [
        f"CAST(NULL AS {SQL_TYPES[column.datatype]}{'[]' if column.is_array else ''}) AS {quoted(column.name)}"
        for column in columns
    ]
    return ", ".join(items) or "true"


def _filters(scan: TableScan) -> list[str]:
    filters = []
    if scan.healpix_ranges:
        name = quoted(HEALPIX_COLUMN)
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
