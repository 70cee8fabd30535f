"""ORDER BY keys: a key that equals an item of the select list becomes its position.

>>> from ...models.schema import Column, DataType
>>> from ...models.tree import ColumnRef, OrderItem, Select, SelectItem
>>> ra = ColumnRef(0, Column(name="ra", datatype=DataType.DOUBLE))
>>> check_order(Select((SelectItem(ra),), None, order_by=(OrderItem(ra),))).order_by[0].expr
IntegerLiteral(value=1)
"""

from dataclasses import replace

from ...exceptions import QueryTypeError
from ...models.tree import IntegerLiteral, OrderItem, Select
from ..errors import error_at
from .check import require_sortable

__all__ = ["check_order"]


def check_order(select: Select) -> Select:
    """Return `select` with sort keys as positions where they are in its select list.

    Raises
    ------
    QueryTypeError
        For keys without an order, and for keys of SELECT DISTINCT that are no result columns.
    """
    return replace(select, order_by=tuple(_key(item, select) for item in select.order_by))


def _key(item: OrderItem, select: Select) -> OrderItem:
    outputs = [output.expr for output in select.items]
    if isinstance(item.expr, IntegerLiteral):
        require_sortable(outputs[item.expr.value - 1], "ORDER BY")
        return item
    require_sortable(item.expr, "ORDER BY")
    if item.expr in outputs:
        return replace(item, expr=IntegerLiteral(outputs.index(item.expr) + 1, span=item.expr.span))
    if select.distinct:
        message = "with SELECT DISTINCT, ORDER BY takes result columns only."
        raise error_at(QueryTypeError, message, item.span, remedy="Add it to the select list.")
    return item
