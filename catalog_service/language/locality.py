"""What a query that runs batch by batch may consist of, and where groups and windows stand in one batch.

An allow-list: of nodes that are not known here nothing is assumed.
"""

from typing import Final

from ..models import tree as nodes
from ..models.spines import ColumnOf, Cut, expression_nodes, passed_columns
from ..models.tree import (
    Aggregate,
    ColumnRef,
    CommonTableRef,
    Expr,
    FunctionCall,
    Identifier,
    OrderItem,
    Query,
    Select,
    SelectItem,
    SetOperation,
    TableRef,
    WindowCall,
    With,
)
from .functions import FUNCTIONS
from .passes.aggregates import aggregates_in
from .rewrite import LITERALS, walk

__all__ = [
    "KNOWN_NODES",
    "MERGED_AGAIN",
    "PER_ROW",
    "columns_among",
    "is_grouped",
    "keys_outside",
    "refused_part",
    "refused_window",
]

MERGED_AGAIN: Final = {"count": "sum", "sum": "sum", "min": "min", "max": "max", "any_value": "any_value"}
"""How values of an aggregate are merged."""

PER_ROW: Final = (
    *LITERALS,
    ColumnRef,
    nodes.Unary,
    nodes.Binary,
    FunctionCall,
    nodes.Cast,
    nodes.Case,
    nodes.InUnit,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Comparison,
    nodes.Between,
    nodes.InList,
    nodes.Like,
    nodes.IsNull,
    nodes.Point,
    nodes.Circle,
    nodes.PolygonShape,
    nodes.RegionColumn,
    nodes.Contains,
    nodes.Intersects,
    nodes.Distance,
    nodes.Coordinate,
    nodes.Area,
)
"""Expressions that have one value for one row, wherever and whenever they are computed."""

_OF_QUERIES: Final = (nodes.ScalarQuery, nodes.InQuery, nodes.Exists)
_OF_ROWS: Final = (Aggregate, WindowCall)
_RELATIONS: Final = (
    *(Select, SelectItem, OrderItem, SetOperation, With, nodes.CommonTable, Identifier),
    *(TableRef, nodes.SubqueryRef, CommonTableRef, nodes.Join),
)

KNOWN_NODES: Final = frozenset((*PER_ROW, *_OF_QUERIES, *_OF_ROWS, *_RELATIONS))
"""Classes of nodes that a query may have which is split."""

_NEVER_ALIKE: Final = frozenset({"rand"})
"""Functions that give another value each time."""


def refused_part(tree: Query, cut: Cut) -> str | None:
    """Return what a query has that may differ from batch to batch; None if there is nothing."""
    return _unknown(tree) or _unsteady(tree, cut)


def _unknown(tree: Query) -> str | None:
    """Return what a query has that is not known to be the same in each batch."""
    for node in walk(tree):
        if type(node) not in KNOWN_NODES:
            return f"nothing is known of {type(node).__name__}"
        if isinstance(node, Select) and node.rollup:
            return "WITH ROLLUP has groups of all batches"
        if isinstance(node, FunctionCall) and (node.name in _NEVER_ALIKE or node.name not in FUNCTIONS):
            return f"{node.name.upper()} gives another value each time"
    return None


def _unsteady(tree: Query, cut: Cut) -> str | None:
    """Return why what stands beside the spine may give other rows to one batch than to the next.

    A subquery that is asked for each row outside is asked in one batch only.
    """
    for query in walk(tree):
        if not isinstance(query, Select | SetOperation) or any(query is select for select in cut.spine.selects):
            continue
        picks = query.top is not None or query.offset or (isinstance(query, Select) and _picks(query))
        if picks and not _is_asked_for_rows(query):
            return "a subquery picks some of several rows, or adds up as they come"
    return None


def _picks(select: Select) -> bool:
    return any(
        isinstance(node, WindowCall) or (isinstance(node, Aggregate) and node.name not in {*MERGED_AGAIN, "avg"})
        for node in expression_nodes(select)
    )


def _is_asked_for_rows(query: Query) -> bool:
    """Return whether a subquery uses a column from outside."""
    inside = {node.source for node in walk(query) if isinstance(node, TableRef | nodes.SubqueryRef | CommonTableRef)}
    return any(isinstance(node, ColumnRef) and node.source not in inside for node in walk(query))


def keys_outside(cut: Cut) -> frozenset[ColumnOf] | str:
    """Return the key columns of the root's FROM, or why a SELECT further in is not made batch by batch."""
    keys, spine = cut.keys, cut.spine
    for select, source in zip(reversed(spine.selects[1:]), reversed(spine.sources[:-1]), strict=True):
        reason = _inner_refusal(select, keys) or refused_window(select, keys)
        if reason is not None:
            return reason
        keys = frozenset(outer for outer, inner in passed_columns(select, source).items() if inner in keys)
    return keys


def _inner_refusal(select: Select, keys: frozenset[ColumnOf]) -> str | None:
    if select.top is not None or select.offset:
        return "a derived table is cut"
    if select.distinct and keys.isdisjoint(columns_among([item.expr for item in select.items])):
        return "DISTINCT of a derived table has no key of one batch"
    if is_grouped(select) and keys.isdisjoint(columns_among(select.group_by)):
        return "groups of a derived table have no key of one batch"
    return None


def refused_window(select: Select, keys: frozenset[ColumnOf]) -> str | None:
    """Return why windows of a SELECT may reach over several batches; None if each stands in one.

    Parameters
    ----------
    keys
        Columns of FROM that no rows of two batches have equal values in.
    """
    for node in expression_nodes(select):
        if isinstance(node, WindowCall) and keys.isdisjoint(columns_among(node.partition_by)):
            return "a window function is not partitioned by a key of one batch"
    return None


def columns_among(expressions: tuple[Expr, ...] | list[Expr]) -> frozenset[ColumnOf]:
    """Return the columns among some expressions."""
    return frozenset((expr.source, expr.column.name) for expr in expressions if isinstance(expr, ColumnRef))


def is_grouped(select: Select) -> bool:
    """Return whether rows of a SELECT are made of groups of rows."""
    expressions = [item.expr for item in select.items] + [item.expr for item in select.order_by]
    return bool(select.group_by) or select.having is not None or any(map(aggregates_in, expressions))
