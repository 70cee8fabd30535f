"""Operands of set operations: as many columns, and common types; the left one gives names and units.

>>> def one(name, kind):
...     column = Column(name=name, datatype=kind)
...     return Select((SelectItem(ColumnRef(0, column), column=column),), None)
>>> operation = SetOperation("UNION", False, one("n", DataType.INT), one("x", DataType.DOUBLE))
>>> left, right = align_operands(operation, operation.left, operation.right, lambda: 7)
>>> left.items[0].expr.target, left.source.source, right is operation.right
(<DataType.DOUBLE: 'double'>, 7, True)
"""

from collections.abc import Callable
from dataclasses import replace

from ...exceptions import QueryTypeError
from ...models.schema import Column, DataType
from ...models.tree import Cast, ColumnRef, Expr, Identifier, Query, Select, SelectItem, SetOperation, SubqueryRef
from ..errors import error_at
from ..types import common_type, query_columns, type_word

__all__ = ["align_operands"]


def align_operands(
    operation: SetOperation, left: Query, right: Query, next_source: Callable[[], int]
) -> tuple[Query, Query]:
    """Return the operands with columns cast to the types that both sides can have.

    Parameters
    ----------
    operation
        For messages.
    left, right
        Its resolved operands.
    next_source
        Numbers the derived table that a cast needs.

    Raises
    ------
    QueryTypeError
        If the columns do not fit.
    """
    first, second = query_columns(left), query_columns(right)
    if len(first) != len(second):
        message = f"{operation.op} needs as many columns on both sides: {len(first)} and {len(second)}."
        raise error_at(QueryTypeError, message, operation.right.span)
    types = [_common(operation, a, b) for a, b in zip(first, second, strict=True)]
    return _cast(left, types, next_source), _cast(right, types, next_source)


def _common(operation: SetOperation, left: Column, right: Column) -> DataType:
    found = common_type([left.datatype, right.datatype])
    if found is None or left.is_array != right.is_array:
        message = f"{operation.op} cannot combine {left.name} ({type_word(left.datatype)}) with {right.name}"
        raise error_at(QueryTypeError, f"{message} ({type_word(right.datatype)}).", operation.right.span)
    return found


def _cast(query: Query, types: list[DataType], next_source: Callable[[], int]) -> Query:
    columns = query_columns(query)
    if [column.datatype for column in columns] == types:
        return query
    source = next_source()
    items = tuple(
        SelectItem(_cast_column(source, column, kind), Identifier(column.name), replace(column, datatype=kind))
        for column, kind in zip(columns, types, strict=True)
    )
    return Select(items, SubqueryRef(query, Identifier("operand"), source, columns))


def _cast_column(source: int, column: Column, kind: DataType) -> Expr:
    reference = ColumnRef(source, column)
    return reference if column.datatype is kind else Cast(reference, kind)
