"""Queries to a part for each batch of tiles and a merge of the parts' rows.

An allow-list: what is not known to give the same rows is not split, and the reason is told. A query without aggregates
is run on each batch, its rows are put together, and sorted and cut again. One with COUNT, SUM, MIN, MAX or AVG becomes
partial sums that are summed again. Groups and windows that stand in one batch each, since a key of the table that is
cut tells them apart, are made there, with whatever is made of them; so are derived tables. Whether the tables may be
cut at all is the planner's business.
"""

from dataclasses import dataclass, field, replace

from ..models.query import PARTIAL_ROWS, SplitQuery
from ..models.schema import Column
from ..models.spines import ColumnOf, Cut
from ..models.tree import (
    Aggregate,
    ColumnRef,
    CommonTableRef,
    Expr,
    FunctionCall,
    Identifier,
    IntegerLiteral,
    OrderItem,
    Query,
    Select,
    SelectItem,
    With,
)
from .locality import (
    MERGED_AGAIN,
    PER_ROW,
    columns_among,
    is_grouped,
    keys_outside,
    refused_part,
    refused_window,
)
from .rewrite import map_children
from .types import is_array, type_of

__all__ = ["split_query"]

_MERGED = -1
"""Number of the merge's one FROM item; those of the query itself count from 0."""


def split_query(tree: Query, cut: Cut) -> SplitQuery | str:
    """Return the parts of a resolved query, or why it is run as a whole.

    Parameters
    ----------
    cut
        Whose rows are dealt out to batches.
    """
    root = cut.spine.root
    reason = refused_part(tree, cut)
    if reason is not None:
        return reason
    keys = keys_outside(cut)
    if isinstance(keys, str):
        return keys
    reason = refused_window(root, keys)
    if reason is not None:
        return reason
    grouped = is_grouped(root) and keys.isdisjoint(columns_among(root.group_by))
    parts = _grouped(root, cut.few) if grouped else _plain(root)
    if isinstance(parts, SplitQuery) and isinstance(tree, With):
        assert isinstance(parts.partial, Select)
        return replace(parts, partial=With(tree.tables, parts.partial))
    return parts


@dataclass(slots=True)
class _Partial:
    """The select list of the partial query as it grows, and what stands for its columns in the merge."""

    items: list[SelectItem] = field(default_factory=list)
    columns: dict[Expr, ColumnRef] = field(default_factory=dict)
    few: frozenset[ColumnOf] = frozenset()
    """Columns of which all different values can be kept."""
    may_be_empty: bool = False
    """Whether a batch without rows may give none, not one that counts 0."""
    values: dict[Expr, None] = field(default_factory=dict)
    """Columns of whose different values there are aggregates."""
    refused: str | None = None
    """Why there is no merge."""

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


def _grouped(select: Select, few: frozenset[ColumnOf]) -> SplitQuery | str:
    if select.distinct:
        return "DISTINCT of groups is not split"
    rows = _Partial(few=few, may_be_empty=not select.group_by)
    keys = tuple(rows.column(key) for key in dict.fromkeys(select.group_by))
    items = tuple(replace(item, expr=_merged(item.expr, rows)) for item in select.items)
    having = None if select.having is None else _merged(select.having, rows)
    order = tuple(
        item if isinstance(item.expr, IntegerLiteral) else replace(item, expr=_merged(item.expr, rows))
        for item in select.order_by
    )
    if len(rows.values) > 1:
        return "DISTINCT of several columns cannot be merged"
    if rows.refused is not None or not rows.items:
        return rows.refused or "it has neither groups nor aggregates"
    groups = tuple(dict.fromkeys((*select.group_by, *rows.values)))
    bare = replace(select, having=None, order_by=(), top=None, offset=None)
    partial = replace(bare, items=tuple(rows.items), group_by=groups)
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
        case Aggregate():
            return _merged_aggregate(expr, rows)
        case _ if expr in rows.columns:  # what it is grouped by
            return rows.columns[expr]
        case _ if isinstance(expr, PER_ROW):
            return map_children(expr, lambda child: _merged(child, rows))
        case _:
            rows.refused = "a subquery or a window of groups cannot be merged"
            return expr


def _merged_aggregate(call: Aggregate, rows: _Partial) -> Expr:
    match call:
        case Aggregate(name=name) if name != "avg" and name not in MERGED_AGAIN:
            rows.refused = f"{name.upper()} cannot be merged"
        case Aggregate(distinct=True, args=(ColumnRef(source=source, column=column) as arg,)) if (
            source,
            column.name,
        ) in rows.few:
            rows.values[arg] = None  # which all batches hand on
            return replace(call, args=(rows.column(arg),))
        case Aggregate(distinct=True):
            rows.refused = f"{call.name.upper()}(DISTINCT ...) of many values cannot be merged"
        case Aggregate(name="avg", args=(arg,)):
            return Aggregate("merged_mean", (rows.column(_sum(arg)), rows.column(Aggregate("count", (arg,)))))
        case Aggregate(name="sum", args=(arg,)):
            return Aggregate("sum", (rows.column(_sum(arg)),), span=call.span)
        case Aggregate(name="count") if rows.may_be_empty:
            added = Aggregate("sum", (rows.column(call),), span=call.span)
            return FunctionCall("coalesce", (added, IntegerLiteral(0)))
        case Aggregate(name=name):
            return Aggregate(MERGED_AGAIN[name], (rows.column(call),), span=call.span)
    return call


def _sum(arg: Expr) -> Aggregate:
    """Return the sum of one batch, which the merge alone may find too large, or no number."""
    return Aggregate("partial_integers" if type_of(arg).is_integer else "partial_doubles", (arg,))
