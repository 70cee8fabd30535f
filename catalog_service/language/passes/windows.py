"""Window functions: where they may stand. They are computed from the rows that WHERE, GROUP BY and HAVING leave.

>>> from ...models.tree import Comparison, IntegerLiteral
>>> refuse_windows(Comparison(">", WindowCall("count", ()), IntegerLiteral(1)), "WHERE")
Traceback (most recent call last):
...
catalog_service.exceptions.QueryTypeError: COUNT(...) OVER cannot stand in WHERE: windows are made of the rows that it \
leaves. Compute it in a derived table: SELECT ... FROM (SELECT ..., f(x) OVER (...) AS y FROM ...) AS t.
"""

from typing import Final

from ...exceptions import QueryTypeError
from ...models.tree import Aggregate, Expr, Select, WindowCall
from ..errors import error_at
from ..rewrite import walk_expression

__all__ = ["check_windows", "refuse_windows"]


_DERIVED: Final = "Compute it in a derived table: SELECT ... FROM (SELECT ..., f(x) OVER (...) AS y FROM ...) AS t."


def check_windows(select: Select) -> Select:
    """Return `select` as it is.

    Raises
    ------
    QueryTypeError
        If a window function stands in GROUP BY, HAVING, a set function or another window function.
    """
    for key in select.group_by:
        refuse_windows(key, "GROUP BY")
    refuse_windows(select.having, "HAVING")
    for expr in (*(item.expr for item in select.items), *(item.expr for item in select.order_by)):
        for part in walk_expression(expr):
            if isinstance(part, Aggregate | WindowCall):
                _refuse_inside(part)
    return select


def refuse_windows(expr: Expr | None, place: str) -> None:
    """Refuse window functions in `expr`, which stands in the clause called `place`."""
    for part in () if expr is None else walk_expression(expr):
        if isinstance(part, WindowCall):
            name = part.name.upper()
            message = f"{name}(...) OVER cannot stand in {place}: windows are made of the rows that it leaves."
            raise error_at(QueryTypeError, message, part.span, remedy=_DERIVED)


def _refuse_inside(outer: Aggregate | WindowCall) -> None:
    for part in walk_expression(outer):
        if isinstance(part, WindowCall) and part is not outer:
            message = f"{part.name.upper()}(...) OVER cannot stand inside {outer.name.upper()}."
            raise error_at(QueryTypeError, message, part.span, remedy="Compute one of them in a derived table.")
