"""Set operations of the MySQL dialect on texts: rows are the same whose texts differ by case and trailing blanks only.

``a UNION b`` becomes ``SELECT ... FROM (a UNION ALL b) GROUP BY`` what is compared; of equal rows the smallest is
shown. INTERSECT and EXCEPT count, beside that, from which side the rows are, and show those of the left one. A result
that is sorted by a text is sorted around.

>>> from ...models.schema import Column, DataType
>>> from ...models.tree import NullLiteral
>>> name = Column(name="name", datatype=DataType.TEXT)
>>> one = Select((SelectItem(NullLiteral(), column=name),), None)
>>> made = collate_sets(SetOperation("UNION", False, one, one), iter(range(9)).__next__)
>>> made.source.query.all, [key.name for key in made.group_by]
(True, ['mysql_fold'])
"""

from collections.abc import Callable
from dataclasses import replace

from ...models.schema import Column, DataType
from ...models.tree import (
    Aggregate,
    And,
    Case,
    ColumnRef,
    Comparison,
    Expr,
    FunctionCall,
    Identifier,
    IntegerLiteral,
    OrderItem,
    Query,
    Select,
    SelectItem,
    SetOperation,
    SubqueryRef,
)
from ..types import query_columns

__all__ = ["collate_sets"]


def collate_sets(query: SetOperation, next_source: Callable[[], int]) -> Query:
    """Return a resolved set operation as MySQL compares and sorts its texts.

    Parameters
    ----------
    query
        The operation, its operands of the same types.
    next_source
        Numbers the derived tables that this takes.
    """
    columns = query_columns(query)
    if not any(column.datatype is DataType.TEXT for column in columns):
        return query
    inner = replace(query, order_by=(), top=None, offset=None)
    compared: Query = inner if query.all else _grouped(inner, columns, next_source)
    if isinstance(compared, SetOperation) and not any(_is_text(item, columns) for item in query.order_by):
        return query
    if not (query.order_by or query.top is not None or query.offset is not None):
        return compared
    return _sorted(compared, query, columns, next_source())


def _grouped(query: SetOperation, columns: tuple[Column, ...], next_source: Callable[[], int]) -> Select:
    """Return what an operation on sets of rows gives, from the rows of both sides."""
    mark = _mark(columns)
    if query.op == "UNION":
        both: SetOperation = replace(query, all=True)
    else:
        left = _of_side(query.left, IntegerLiteral(1), mark, next_source())
        right = _of_side(query.right, IntegerLiteral(2), mark, next_source())
        both = SetOperation("UNION", True, left, right)  # noqa: FBT003
    source = SubqueryRef(both, Identifier("rows"), next_source(), query_columns(both))
    values = [ColumnRef(source.source, column) for column in columns]
    side = ColumnRef(source.source, mark)
    shown = values if query.op == "UNION" else [_of_left(value, side) for value in values]
    return Select(
        tuple(_item(Aggregate("any_value", (one,)), column) for one, column in zip(shown, columns, strict=True)),
        source,
        group_by=tuple(map(_key, values)),
        having=None if query.op == "UNION" else _sides(side, query.op),
    )


def _mark(columns: tuple[Column, ...]) -> Column:
    """Return the column that tells from which operand a row is, 1 or 2; its name is none of the others'."""
    name, taken = "side", {column.name.lower() for column in columns}
    while name in taken:
        name += "_"
    return Column(name=name, datatype=DataType.INT)


def _of_side(query: Query, number: IntegerLiteral, mark: Column, source: int) -> Select:
    """Return the rows of an operand with its number beside them."""
    columns = query_columns(query)
    items = [_item(ColumnRef(source, column), column) for column in columns]
    return Select((*items, _item(number, mark)), SubqueryRef(query, Identifier("operand"), source, columns))


def _of_left(value: Expr, side: Expr) -> Expr:
    return Case(None, ((Comparison("=", side, IntegerLiteral(1)), value),), None)


def _sides(side: Expr, op: str) -> Expr:
    """Return which groups of equal rows an operation keeps: those of both sides, or of the left one alone."""
    from_left = Comparison("=", Aggregate("min", (side,)), IntegerLiteral(1))
    last = Comparison("=", Aggregate("max", (side,)), IntegerLiteral(2 if op == "INTERSECT" else 1))
    return And((from_left, last))


def _sorted(compared: Query, query: SetOperation, columns: tuple[Column, ...], source: int) -> Select:
    values = [ColumnRef(source, column) for column in columns]
    order_by = [
        replace(item, expr=_key(values[item.expr.value - 1]))
        if isinstance(item.expr, IntegerLiteral) and _is_text(item, columns)
        else item
        for item in query.order_by
    ]
    return Select(
        tuple(_item(value, column) for value, column in zip(values, columns, strict=True)),
        SubqueryRef(compared, Identifier("rows"), source, columns),
        order_by=tuple(order_by),
        top=query.top,
        offset=query.offset,
        span=query.span,
    )


def _is_text(item: OrderItem, columns: tuple[Column, ...]) -> bool:
    return isinstance(item.expr, IntegerLiteral) and columns[item.expr.value - 1].datatype is DataType.TEXT


def _key(value: ColumnRef) -> Expr:
    return FunctionCall("mysql_fold", (value,)) if value.column.datatype is DataType.TEXT else value


def _item(expr: Expr, column: Column) -> SelectItem:
    return SelectItem(expr, Identifier(column.name), column)
