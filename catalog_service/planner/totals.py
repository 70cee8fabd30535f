"""Counts, minima and maxima of whole tables, which are known without reading them."""

from collections.abc import Callable
from dataclasses import replace

from partitioning.layout.partition_map import PartitionMap

from ..models.query import ResolvedQuery
from ..models.schema import Column, DataType, Table
from ..models.stored import StoredTable
from ..models.tree import (
    Aggregate,
    Cast,
    ColumnRef,
    Expr,
    IntegerLiteral,
    NullLiteral,
    RealLiteral,
    Select,
    SelectItem,
    TableRef,
)

__all__ = ["counted"]


def counted(query: ResolvedQuery, lookup: Callable[[Table], StoredTable]) -> ResolvedQuery:
    """Return `query` with totals of a whole table turned into the numbers themselves; any other query as it is.

    Totals are ``COUNT(*)``, and of columns COUNT, MIN and MAX where the manifest knows them exactly.
    """
    match query.tree:
        case Select(source=TableRef(table=table), where=None, group_by=(), having=None, items=items) as select if all(
            isinstance(item.expr, Aggregate) for item in items
        ):
            stored = lookup(table)
        case _:
            return query
    if not isinstance(stored.partitions, PartitionMap):
        # one file, which may hold rows that the caller must not see; or files of others, which may have changed
        return query
    known: list[SelectItem] = []
    for item in items:
        total = _total(item.expr, stored)
        if total is None:
            return query
        known.append(replace(item, expr=total))
    return replace(query, tree=replace(select, source=None, order_by=(), items=tuple(known)))


def _total(expr: Expr, stored: StoredTable) -> Expr | None:
    """Return the value of a set function over all rows, None if only a look at them tells."""
    match expr:
        case Aggregate(name="count", args=(), distinct=False):
            return Cast(IntegerLiteral(stored.rows), DataType.LONG)
        case Aggregate(name="count", args=(ColumnRef(column=column),), distinct=False):
            listed = stored.columns.get(column.stored_name or "")
            return None if listed is None else Cast(IntegerLiteral(stored.rows - listed.nulls), DataType.LONG)
        case Aggregate(name="min" | "max" as name, args=(ColumnRef(column=column),)):
            return _bound(name, column, stored)
        case _:
            return None


def _bound(name: str, column: Column, stored: StoredTable) -> Expr | None:
    """Return the least or largest number of a column, with its type.

    The manifest leaves out what JSON cannot hold: infinities. Texts may be cut, times are rewritten.
    """
    listed = stored.columns.get(column.stored_name or "")
    if listed is None or column.is_array or not column.datatype.is_numeric:
        return None
    if listed.nulls == stored.rows:
        return Cast(NullLiteral(), column.datatype)
    value = listed.minimum if name == "min" else listed.maximum
    match value:
        case bool() | str() | None:
            return None
        case int():
            return Cast(IntegerLiteral(value), column.datatype)
        case float():
            # Parquet's statistics write either zero as -0.0 or 0.0
            return Cast(RealLiteral(value or 0.0), column.datatype)
