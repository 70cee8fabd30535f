"""Conditions that two positions lie within a constant separation of each other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from .tree import (
    Between,
    Circle,
    ColumnRef,
    Comparison,
    Contains,
    Distance,
    Expr,
    FunctionCall,
    IntegerLiteral,
    Point,
    RealLiteral,
)
from .walk import conjuncts

__all__ = ["Near", "near_condition", "near_conditions"]


@dataclass(frozen=True, slots=True)
class Near:
    """Positions of two sources, in columns of each, at most `radius_deg` apart."""

    first: Point
    second: Point
    radius_deg: float
    """At least 0."""

    @property
    def sources(self) -> tuple[int, int]:
        """Return the sources of the two positions."""
        return _source(self.first), _source(self.second)


_MIRRORED: Final[Mapping[str, str]] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


def near_conditions(condition: Expr | None) -> Iterator[Near]:
    """Yield what the conjuncts of a condition say of the separation of two sources."""
    for part in conjuncts(condition):
        near = near_condition(part)
        if near is not None:
            yield near


def near_condition(condition: Expr) -> Near | None:
    """Return the separation that one condition demands; None if it demands none, or not by a constant.

    Forms are ``DISTANCE(a, b) < r``, ``<=``, ``=`` and BETWEEN, and ``CONTAINS(a, CIRCLE(b, r)) = 1``, either way
    round. Where the condition holds, so does what is returned; `radius_deg` says nothing of the boundary.
    """
    match condition:
        case Between(operand=Distance(first=first, second=second), high=high, negated=False):
            return _near(first, second, high)
        case Comparison(op=op, left=left, right=right) if op in _MIRRORED:
            return _compared(op, left, right) or _compared(_MIRRORED[op], right, left)
        case _:
            return None


def _compared(op: str, value: Expr, limit: Expr) -> Near | None:
    match _without_null(value):
        case Distance(first=first, second=second) if op in {"<", "<=", "="}:
            return _near(first, second, limit)
        case Contains(inner=inner, outer=Circle(centre=centre, radius=radius)) if op == "=" and _number(limit) == 1:
            return _near(inner, centre, radius)
        case _:
            return None


def _without_null(expr: Expr) -> Expr:
    """Return what ``COALESCE(a, 0)`` compares equal to 1 for; other expressions as they are."""
    match expr:
        case FunctionCall(name="coalesce", args=(Contains() as inner, IntegerLiteral(value=0))):
            return inner
        case _:
            return expr


def _near(first: Expr, second: Expr, radius: Expr) -> Near | None:
    radius_deg = _number(radius)
    if radius_deg is None or not (_is_stored(first) and _is_stored(second)):
        return None
    assert isinstance(first, Point)
    assert isinstance(second, Point)
    near = Near(first, second, max(radius_deg, 0.0))
    return None if near.sources[0] == near.sources[1] else near


def _is_stored(point: Expr) -> bool:
    """Return whether a point is made of two columns of one source."""
    match point:
        case Point(ra=ColumnRef(source=one), dec=ColumnRef(source=other)):
            return one == other
        case _:
            return False


def _source(point: Point) -> int:
    assert isinstance(point.ra, ColumnRef)
    return point.ra.source


def _number(expr: Expr) -> float | None:
    return float(expr.value) if isinstance(expr, IntegerLiteral | RealLiteral) else None
