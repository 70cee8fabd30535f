"""Queries to a part for each batch of tiles and a merge of the parts' rows.

An allow-list: what is not known to give the same rows is not split, and the reason is told. A query without aggregates
is run on each batch, its rows are put together, and sorted and cut again. One with COUNT, SUM, MIN, MAX or AVG becomes
partial sums that are summed again. Whether the tables may be cut at all is the planner's business.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ..models.query import PARTIAL_ROWS, SplitQuery
from ..models.schema import Column
from ..models.tree import (
    Aggregate,
    ColumnRef,
    CommonTableRef,
    Exists,
    Expr,
    FromItem,
    FunctionCall,
    Identifier,
    InQuery,
    IntegerLiteral,
    Join,
    OrderItem,
    Query,
    ScalarQuery,
    Select,
    SelectItem,
    TableRef,
    WindowCall,
)
from .passes.aggregates import aggregates_in
from .rewrite import map_children, walk
from .types import is_array, type_of

__all__ = ["split_query"]

_MERGED = -1
"""Number of the merge's one FROM item; those of the query itself count from 0."""

_AGAIN = {"count": "sum", "sum": "sum", "min": "min", "max": "max", "any_value": "any_value"}
"""How values of an aggregate are merged."""


def split_query(tree: Query) -> SplitQuery | str:
    """Return the parts of a resolved query, or why it is run as a whole."""
    if not isinstance(tree, Select) or tree.source is None:
        return "only a single SELECT is split"
    reason = _refusal(tree)
    if reason is not None:
        return reason
    expressions = [item.expr for item in tree.items] + [item.expr for item in tree.order_by]
    grouped = bool(tree.group_by) or tree.having is not None or any(map(aggregates_in, expressions))
    return _grouped(tree) if grouped else _plain(tree)


def _refusal(select: Select) -> str | None:
    if not all(isinstance(item, TableRef | Join) for item in _from_items(select.source)):
        return "FROM has a derived or common table"
    for node in walk(select):
        match node:
            case ScalarQuery() | InQuery() | Exists():
                return "it has a subquery"
            case WindowCall():
                return "it has a window function"
            case Aggregate(distinct=True):
                return f"{node.name.upper()}(DISTINCT ...) cannot be merged"
            case Aggregate(name=name) if name != "avg" and name not in _AGAIN:
                return f"{name.upper()} cannot be merged"
            case FunctionCall(name="rand"):
                return "RAND gives another value each time"
            case _:
                pass
    return None


def _from_items(item: FromItem | None) -> Iterator[FromItem | None]:
    yield item
    if isinstance(item, Join):
        yield from _from_items(item.left)
        yield from _from_items(item.right)


@dataclass(slots=True)
class _Partial:
    """The select list of the partial query as it grows, and what stands for its columns in the merge."""

    items: list[SelectItem] = field(default_factory=list)
    columns: dict[Expr, ColumnRef] = field(default_factory=dict)

    def column(self, expr: Expr) -> ColumnRef:
        """Return the column of the merge's table that holds `expr`."""
        if expr not in self.columns:
            column = Column(name=f"p{len(self.items)}", datatype=type_of(expr), is_array=is_array(expr))
            self.items.append(SelectItem(expr, Identifier(column.name), column))
            self.columns[expr] = ColumnRef(_MERGED, column)
        return self.columns[expr]

    @property
    def source(self) -> CommonTableRef:
        """The merge's FROM."""
        columns = tuple(item.column for item in self.items if item.column is not None)
        return CommonTableRef(_MERGED, PARTIAL_ROWS, PARTIAL_ROWS, columns)


# --- without aggregates ---


def _plain(select: Select) -> SplitQuery | str:
    if not select.order_by and not select.distinct:
        return "OFFSET without ORDER BY takes any rows" if select.offset else SplitQuery(select, None, is_cut=True)
    rows = _Partial()
    items = tuple(replace(item, expr=rows.column(item.expr)) for item in select.items)
    order = tuple(_merged_key(item, rows) for item in select.order_by)
    wanted = None if select.top is None else select.top + (select.offset or 0)
    partial = replace(
        select,
        items=tuple(rows.items),
        order_by=tuple(_partial_key(item, select, rows) for item in select.order_by),
        top=wanted,
        offset=None,
    )
    merge = Select(items, rows.source, order_by=order, distinct=select.distinct, top=select.top, offset=select.offset)
    return SplitQuery(partial, merge, is_cut=True)


def _merged_key(item: OrderItem, rows: _Partial) -> OrderItem:
    return item if isinstance(item.expr, IntegerLiteral) else replace(item, expr=rows.column(item.expr))


def _partial_key(item: OrderItem, select: Select, rows: _Partial) -> OrderItem:
    """Return the sort key of the partial query, by the position that its column has there."""
    expr = select.items[item.expr.value - 1].expr if isinstance(item.expr, IntegerLiteral) else item.expr
    position = list(rows.columns).index(expr) + 1
    return replace(item, expr=IntegerLiteral(position))


# --- with aggregates ---


def _grouped(select: Select) -> SplitQuery | str:
    if select.distinct:
        return "DISTINCT of groups is not split"
    rows = _Partial()
    keys = tuple(rows.column(key) for key in dict.fromkeys(select.group_by))
    items = tuple(replace(item, expr=_merged(item.expr, rows)) for item in select.items)
    having = None if select.having is None else _merged(select.having, rows)
    order = tuple(
        item if isinstance(item.expr, IntegerLiteral) else replace(item, expr=_merged(item.expr, rows))
        for item in select.order_by
    )
    if not rows.items:
        return "it has neither groups nor aggregates"
    partial = replace(select, items=tuple(rows.items), having=None, order_by=(), top=None, offset=None)
    merge = Select(
        items,
        rows.source,
        group_by=keys,
        having=having,
        order_by=order,
        top=select.top,
        offset=select.offset,
    )
    return SplitQuery(partial, merge, is_cut=False)


def _merged(expr: Expr, rows: _Partial) -> Expr:
    """Return what an expression of groups is in the merge."""
    match expr:
        case Aggregate(name="avg", args=(arg,)):
            return Aggregate("merged_mean", (rows.column(_sum(arg)), rows.column(Aggregate("count", (arg,)))))
        case Aggregate(name="sum", args=(arg,)):
            return Aggregate("sum", (rows.column(_sum(arg)),), span=expr.span)
        case Aggregate(name=name):
            return Aggregate(_AGAIN[name], (rows.column(expr),), span=expr.span)
        case _ if expr in rows.columns:  # what it is grouped by
            return rows.columns[expr]
        case _:
            return map_children(expr, lambda child: _merged(child, rows))


def _sum(arg: Expr) -> Aggregate:
    """Return the sum of one batch, which the merge alone may find too large, or no number."""
    return Aggregate("partial_integers" if type_of(arg).is_integer else "partial_doubles", (arg,))
