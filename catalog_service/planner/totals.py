"""Counts of whole tables, which are known without reading them."""

from collections.abc import Callable
from dataclasses import replace

from partitioning.layout.partition_map import PartitionMap

from ..models.query import ResolvedQuery
from ..models.schema import DataType, Table
from ..models.stored import StoredTable
from ..models.tree import Aggregate, Cast, IntegerLiteral, Select, TableRef

__all__ = ["counted"]


def counted(query: ResolvedQuery, lookup: Callable[[Table], StoredTable]) -> ResolvedQuery:
    """Return `query` with ``SELECT COUNT(*) FROM table`` turned into the number itself; any other query as it is."""
    match query.tree:
        case Select(items=items, source=TableRef(table=table), where=None, group_by=(), having=None) as select if all(
            item.expr == Aggregate("count", ()) for item in items
        ):
            stored = lookup(table)
        case _:
            return query
    if not isinstance(stored.partitions, PartitionMap):
        # one file, which may hold rows that the caller must not see; or files of others, which may have changed
        return query
    rows = Cast(IntegerLiteral(stored.rows), DataType.LONG)
    return replace(
        query, tree=replace(select, source=None, order_by=(), items=tuple(replace(i, expr=rows) for i in items))
    )
