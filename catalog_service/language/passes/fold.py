"""Constant arithmetic: ``-(3 * 2.5)`` becomes one literal.

The planner reads regions off literals, and a comparison with a literal can use the statistics of files.

>>> from ...models.tree import Binary, IntegerLiteral, RealLiteral
>>> fold(Binary("/", IntegerLiteral(7), IntegerLiteral(2))), fold(Binary("/", RealLiteral(7.0), IntegerLiteral(2)))
(IntegerLiteral(value=3), RealLiteral(value=3.5))
"""

import math
from typing import Final

from ...exceptions import QueryTypeError
from ...models.schema import DataType
from ...models.tree import Binary, Cast, Expr, IntegerLiteral, NullLiteral, RealLiteral, Span, StringLiteral, Unary
from ..errors import error_at
from ..rewrite import map_children

__all__ = ["fold"]

_MAX_INTEGER: Final = 2**63 - 1


def fold(expr: Expr) -> Expr:
    """Return `expr` with arithmetic on literals done, by the rules that columns follow.

    Integers stay 64-bit integers and their division truncates; anything divided by zero is NULL.

    Raises
    ------
    QueryTypeError
        If an integer does not fit into 64 bits.
    """
    match map_children(expr, fold):
        case Unary(op="+", operand=(IntegerLiteral() | RealLiteral()) as literal):
            return literal
        case Unary(op="-", operand=IntegerLiteral(value=value), span=span):
            return IntegerLiteral(-value, span=span)
        case Unary(op="-", operand=RealLiteral(value=value), span=span):
            return RealLiteral(-value, span=span)
        case Binary(op="||", left=StringLiteral(value=left), right=StringLiteral(value=right), span=span):
            return StringLiteral(left + right, span=span)
        case Binary(op=op, left=IntegerLiteral(value=left), right=IntegerLiteral(value=right), span=span) if op != "||":
            return _integer(op, left, right, span)
        case Binary(
            op=op,
            left=(IntegerLiteral() | RealLiteral()) as left,
            right=(IntegerLiteral() | RealLiteral()) as right,
            span=span,
        ) if op != "||":
            return _real(op, float(left.value), float(right.value), span)
        case other:
            return other


def _integer(op: str, left: int, right: int, span: Span) -> Expr:
    if op == "/":
        if right == 0:
            return Cast(NullLiteral(span=span), DataType.LONG, span=span)
        value = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    else:
        value = left + right if op == "+" else left - right if op == "-" else left * right
    if not -_MAX_INTEGER - 1 <= value <= _MAX_INTEGER:
        message = "the value of this expression does not fit into a 64-bit integer."
        raise error_at(QueryTypeError, message, span, remedy="Use a decimal point for doubles.")
    return IntegerLiteral(value, span=span)


def _real(op: str, left: float, right: float, span: Span) -> Expr:
    if op == "/" and right == 0:
        return _no_number(span)
    value = left + right if op == "+" else left - right if op == "-" else left * right if op == "*" else left / right
    return RealLiteral(value, span=span) if math.isfinite(value) else _no_number(span)


def _no_number(span: Span) -> Expr:
    return Cast(NullLiteral(span=span), DataType.DOUBLE, span=span)
