"""Comparisons and the literals in them: read off alike wherever a condition is looked at."""

from collections.abc import Mapping
from typing import Final

from .tree import Expr, IntegerLiteral, RealLiteral, Unary

__all__ = ["MIRRORED", "OPPOSITE", "constant", "long_value"]

MIRRORED: Final[Mapping[str, str]] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
"""Operators of comparisons, and what they are with the sides exchanged."""

OPPOSITE: Final[Mapping[str, str]] = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
"""Operators of comparisons, and what holds of two values where they do not."""


_INT64: Final = range(-(2**63), 2**63)


def constant(expr: Expr) -> float | None:
    """Return the value of a numeric literal as a double, signs included; None for anything else.

    Arithmetic is folded in resolution.

    >>> constant(Unary("-", IntegerLiteral(3)))
    -3.0
    """
    match expr:
        case IntegerLiteral(value=value) | RealLiteral(value=value):
            return float(value)
        case Unary(op=op, operand=operand):
            unsigned = constant(operand)
            return None if unsigned is None else (-unsigned if op == "-" else unsigned)
        case _:
            return None


def long_value(expr: Expr) -> int | None:
    """Return the value of an integer literal that a 64-bit column can hold, signs included; None for anything else."""
    match expr:
        case IntegerLiteral(value=value):
            pass
        case Unary(op="-", operand=IntegerLiteral(value=positive)):
            value = -positive
        case _:
            return None
    return value if value in _INT64 else None
