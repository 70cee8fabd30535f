"""Grouping: where aggregates may stand, and columns beside them.

A column that a grouped query uses outside GROUP BY and aggregates has many values per group. Users of MySQL and of
Rubin's service write such queries; one value of the group is taken, always the smallest, so that the answer does not
change from run to run.

>>> from ...models.schema import Column, DataType, Table
>>> from ...models.tree import SelectItem, TableRef
>>> n, ra = (ColumnRef(0, Column(name=name, datatype=DataType.DOUBLE)) for name in ("n", "ra"))
>>> source = TableRef(0, Table("s", "t", ()), "t")
>>> grouped = check_aggregates(Select((SelectItem(n), SelectItem(ra)), source, group_by=(n,)), print)
column outside GROUP BY
>>> [type(item.expr).__name__ for item in grouped.items]
['ColumnRef', 'Aggregate']
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from ...exceptions import QueryError, QueryTypeError
from ...models.tree import (
    Aggregate,
    ColumnRef,
    Exists,
    Expr,
    InQuery,
    IntegerLiteral,
    OrderItem,
    ScalarQuery,
    Select,
)
from ...models.walk import from_sources
from ..errors import error_at
from ..rewrite import LITERALS, map_children, walk, walk_expression

__all__ = ["aggregates_in", "check_aggregates", "refuse_aggregates"]

Note = Callable[[str], None]


def check_aggregates(select: Select, note: Note) -> Select:
    """Return `select` with columns outside its GROUP BY made definite; `note` is told if there are any.

    Raises
    ------
    QueryTypeError
        If an aggregate stands where none can be, or a constant in GROUP BY.
    """
    for key in select.group_by:
        refuse_aggregates(key, "GROUP BY")
        if isinstance(key, LITERALS):
            raise error_at(QueryTypeError, "GROUP BY takes columns and expressions, not constants.", key.span)
    outputs = [item.expr for item in select.items] + [item.expr for item in select.order_by]
    if select.having is not None:
        outputs.append(select.having)
    if not (select.group_by or select.having is not None or any(map(aggregates_in, outputs))):
        return select
    grouping = _Grouping(select.group_by, from_sources(select.source), note)
    return replace(
        select,
        items=tuple(replace(item, expr=grouping.fit(item.expr)) for item in select.items),
        having=None if select.having is None else grouping.fit(select.having),
        order_by=tuple(_fit_order(item, grouping) for item in select.order_by),
    )


def refuse_aggregates(expr: Expr | None, place: str) -> None:
    """Refuse aggregates in `expr`, which stands in the clause called `place`."""
    for aggregate in [] if expr is None else aggregates_in(expr):
        remedy = "Use HAVING." if place == "WHERE" else None
        message = f"{aggregate.name.upper()} cannot stand in {place}: it is computed from groups of rows."
        raise error_at(QueryTypeError, message, aggregate.span, remedy=remedy)


def aggregates_in(expr: Expr) -> list[Aggregate]:
    """Return the aggregates of an expression, not those of its subqueries."""
    return [part for part in walk_expression(expr) if isinstance(part, Aggregate)]


def _fit_order(item: OrderItem, grouping: "_Grouping") -> OrderItem:
    return item if isinstance(item.expr, IntegerLiteral) else replace(item, expr=grouping.fit(item.expr))


@dataclass(frozen=True, slots=True)
class _Grouping:
    keys: Collection[Expr]
    local: frozenset[int]
    """Sources of the grouped query itself; others belong to enclosing queries, whose columns are constants here."""
    note: Note

    def fit(self, expr: Expr) -> Expr:
        """Return `expr`, fit for the rows of the grouped query."""
        if expr in self.keys:
            return expr
        match expr:
            case Aggregate():
                return self._aggregate(expr)
            case ColumnRef(source=source) if source in self.local:
                self.note("column outside GROUP BY")
                return Aggregate("any_value", (expr,), span=expr.span)
            case ScalarQuery(query=query) | Exists(query=query) | InQuery(query=query):
                for node in walk(query):
                    if isinstance(node, ColumnRef) and node.source in self.local and node not in self.keys:
                        raise self._ungrouped(node)
            case _:
                pass
        return map_children(expr, self.fit)

    def _aggregate(self, expr: Aggregate) -> Expr:
        inner = [part for arg in expr.args for part in walk_expression(arg)]
        for part in inner:
            if isinstance(part, Aggregate):
                message = f"{part.name.upper()} cannot stand inside {expr.name.upper()}."
                raise error_at(QueryTypeError, message, part.span, remedy="Compute one of them in a subquery.")
        columns = [part for part in inner if isinstance(part, ColumnRef)]
        if columns and not any(column.source in self.local for column in columns):
            message = f"{expr.name.upper()} has only columns of an enclosing query."
            raise error_at(QueryTypeError, message, expr.span)
        return expr

    def _ungrouped(self, column: ColumnRef) -> QueryError:
        message = f"the subquery uses {column.column.name}, which is not in GROUP BY."
        return error_at(QueryTypeError, message, column.span)
