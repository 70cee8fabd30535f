"""Conditions on positions, whichever way they are written: what the planner and the language read off them alike."""

import math
from dataclasses import dataclass
from typing import Final

from .tree import (
    Between,
    Binary,
    Circle,
    Comparison,
    Contains,
    Distance,
    Expr,
    FunctionCall,
    IntegerLiteral,
    InUnit,
    Point,
    RealLiteral,
    Unary,
)

__all__ = ["FLIPPED", "Near", "constant", "demanded_containment", "demanded_nearness"]

FLIPPED: Final = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
"""Operators of comparisons, and what they are with the sides exchanged."""


@dataclass(frozen=True, slots=True)
class Near:
    """Two points no farther apart than `radius_deg`, but for rounding of the separation."""

    first: Point
    second: Point
    radius_deg: float
    """In [0, 180]."""


def constant(expr: Expr) -> float | None:
    """Return the value of a numeric literal, signs included; arithmetic is folded in resolution."""
    match expr:
        case IntegerLiteral(value=value) | RealLiteral(value=value):
            return float(value)
        case Unary(op=op, operand=operand):
            unsigned = constant(operand)
            return None if unsigned is None else (-unsigned if op == "-" else unsigned)
        case _:
            return None


def demanded_containment(condition: Expr) -> Contains | None:
    """Return what must be contained where `condition` is true: ``CONTAINS(...) = 1`` in any of its forms, or None.

    The value is 0, 1 or NULL; with ``COALESCE(..., 0)`` it is 0 instead of NULL.
    """
    if not isinstance(condition, Comparison):
        return None
    op, value, bound = condition.op, _without_null(condition.left), condition.right
    if not isinstance(value, Contains):
        op, value, bound = FLIPPED.get(op, ""), _without_null(condition.right), condition.left
    number = constant(bound)
    if not isinstance(value, Contains) or number is None:
        return None
    holds = {
        "=": lambda v: v == number,
        "<>": lambda v: v != number,
        "<": lambda v: v < number,
        "<=": lambda v: v <= number,
        ">": lambda v: v > number,
        ">=": lambda v: v >= number,
    }.get(op)
    return value if holds is not None and holds(1) and not holds(0) else None


def _without_null(expr: Expr) -> Expr:
    match expr:
        case FunctionCall(name="coalesce", args=(inner, IntegerLiteral(value=0))):
            return inner
        case _:
            return expr


def demanded_nearness(condition: Expr) -> Near | None:
    """Return which points are near each other where `condition` is true, None if it demands nothing of the kind.

    ``DISTANCE(p, q) < r`` and ``<=``, ``=``, BETWEEN, also with the separation in other units, and
    ``CONTAINS(p, CIRCLE(q, r)) = 1``, for a constant r.
    """
    match demanded_containment(condition):
        case Contains(inner=Point() as inner, outer=Circle(centre=Point() as centre, radius=radius)):
            return _near(inner, centre, constant(radius))
        case _:
            return _demanded_separation(condition)


def _demanded_separation(condition: Expr) -> Near | None:
    match condition:
        case Between(operand=value, high=high, negated=False):
            return _separated_by_at_most(value, constant(high))
        case Comparison(op="<" | "<=" | "=", left=value, right=right) if constant(right) is not None:
            return _separated_by_at_most(value, constant(right))
        case Comparison(op=">" | ">=" | "=", left=left, right=value):
            return _separated_by_at_most(value, constant(left))
        case _:
            return None


def _separated_by_at_most(value: Expr, most: float | None) -> Near | None:
    """Return the bound that ``value <= most`` is, if `value` is a separation times a positive number."""
    if most is None:
        return None
    match value:
        case Distance(first=Point() as first, second=Point() as second):
            return _near(first, second, most)
        case InUnit(operand=inner, factor=factor):
            pass
        case Binary(op="*", left=left, right=right):
            inner, other = (right, left) if constant(left) is not None else (left, right)
            factor = constant(other) or 0.0
        case Binary(op="/", left=inner, right=right):
            factor = 1 / (constant(right) or math.inf)
        case _:
            return None
    return _separated_by_at_most(inner, most / factor) if factor > 0 else None


def _near(first: Point, second: Point, radius_deg: float | None) -> Near | None:
    return None if radius_deg is None else Near(first, second, min(max(radius_deg, 0.0), 180.0))
