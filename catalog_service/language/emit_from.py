"""FROM items to SQL: base tables as scans of exactly the files that the planner chose."""

from collections.abc import Sequence

from partitioning.layout.paths import HEALPIX_COLUMN

from ..models.query import RaDecBox, TableScan
from ..models.schema import Column, Table
from .sqltext import double, quoted, text
from .types import SQL_TYPES

__all__ = ["scan_sql"]


def scan_sql(scan: TableScan, columns: Sequence[Column]) -> str:
    """Return a SELECT of `columns` from a base table's files, with their names as queries know them.

    Rows that cannot match are left out where the file statistics make that cheap; no file gives no rows.
    """
    if not scan.files:
        return f"SELECT {_empty_items(columns)} WHERE false"
    items = ", ".join(f"{quoted(column.stored_name or column.name)} AS {quoted(column.name)}" for column in columns)
    files = ", ".join(text(path) for path in scan.files)
    source = f"SELECT {items or 'true'} FROM read_parquet([{files}], hive_partitioning = false)"
    filters = _filters(scan)
    return f"{source} WHERE {' AND '.join(filters)}" if filters else source


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
