"""Conditions on the separation of two positions, however they are written: read off here for planner and language."""

from collections.abc import Iterator
from dataclasses import dataclass

from .comparisons import MIRRORED, constant
from .schema import DataType
from .tree import (
    Between,
    Binary,
    Cast,
    Circle,
    ColumnRef,
    Comparison,
    Contains,
    Distance,
    Expr,
    FunctionCall,
    IntegerLiteral,
    InUnit,
    Point,
)
from .walk import conjuncts

__all__ = [
    "Near",
    "Separation",
    "containment",
    "demands_one",
    "near_condition",
    "near_conditions",
    "separation",
    "without_null",
]


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


@dataclass(frozen=True, slots=True)
class Separation:
    """Two points that are at most, or at least, a constant number of degrees apart, but for rounding.

    Of a separation that is compared with a column whose largest value is known, that is the constant.
    """

    first: Expr
    second: Expr
    most_deg: float | None = None
    least_deg: float | None = None


def near_conditions(condition: Expr | None) -> Iterator[Near]:
    """Yield what the conjuncts of a condition say of the separation of two sources."""
    for part in conjuncts(condition):
        near = near_condition(part)
        if near is not None:
            yield near


def near_condition(condition: Expr) -> Near | None:
    """Return the nearness of two sources that one condition demands; None if it demands none, or not by a constant.

    Where the condition holds, so does what is returned; `radius_deg` says nothing of the boundary.
    """
    found = separation(condition)
    if found is None or found.most_deg is None or not (_is_stored(found.first) and _is_stored(found.second)):
        return None
    assert isinstance(found.first, Point)
    assert isinstance(found.second, Point)
    near = Near(found.first, found.second, max(found.most_deg, 0.0))
    return None if near.sources[0] == near.sources[1] else near


def separation(condition: Expr) -> Separation | None:
    """Return what one condition says of the separation of two points, if that is bounded by a constant.

    Forms are ``DISTANCE(a, b) < r`` and all other comparisons, BETWEEN, and ``CONTAINS(a, CIRCLE(b, r)) = 1`` or what
    means the same, either way round; the separation may be in other units, as in ``DISTANCE(a, b) * 3600 < 5``.
    """
    contains = containment(condition)
    match condition if contains is None else contains:
        case Contains(inner=inner, outer=Circle(centre=centre, radius=radius)):
            most = _upper(radius)
            return Separation(inner, centre, most) if most is not None and 0 <= most <= 180 else None
        case Between(operand=value, high=high, negated=False):
            return _compared("<=", value, _upper(high))
        case Comparison(op=op, left=left, right=right) if op in MIRRORED:
            mirrored = MIRRORED[op]
            return _compared(op, left, _limit(op, right)) or _compared(mirrored, right, _limit(mirrored, left))
        case _:
            return None


def _limit(op: str, expr: Expr) -> float | None:
    """Return the constant with which ``op`` compares something, or one that is farther where ``op`` holds."""
    return _upper(expr) if op in {"<", "<=", "="} else constant(expr)


def _upper(expr: Expr) -> float | None:
    """Return a constant that no value of a radius exceeds: of literals, columns with a bound, and their multiples."""
    known = constant(expr)
    if known is not None:
        return known
    match expr:
        case ColumnRef(column=column):
            return column.most
        case InUnit(operand=inner, factor=factor) if factor > 0:
            return _times(_upper(inner), factor)
        case Cast(operand=inner, target=DataType.DOUBLE):
            return _upper(inner)
        case Binary(op="*", left=left, right=right):
            scaled, by = (left, constant(right)) if constant(left) is None else (right, constant(left))
            return _times(_upper(scaled), by) if by is not None and by > 0 else None
        case Binary(op="/", left=inner, right=right):
            divisor = constant(right)
            return _times(_upper(inner), 1 / divisor) if divisor is not None and divisor > 0 else None
        case _:
            return None


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _compared(op: str, value: Expr, limit: float | None) -> Separation | None:
    if limit is None or op == "<>":
        return None
    match value:
        case Distance(first=first, second=second) if op in {"<", "<=", "="}:
            return Separation(first, second, limit)
        case Distance(first=first, second=second):
            return Separation(first, second, least_deg=limit)
        case InUnit(operand=inner, factor=factor):
            return _scaled(op, inner, limit, factor)
        case Binary(op="*", left=left, right=right):
            inner, other = (left, right) if constant(left) is None else (right, left)
            return _scaled(op, inner, limit, constant(other))
        case Binary(op="/", left=inner, right=right):
            divisor = constant(right)
            return _scaled(op, inner, limit, 1 / divisor if divisor else None)
        case _:
            return None


def _scaled(op: str, value: Expr, limit: float, factor: float | None) -> Separation | None:
    """Return what ``value * factor op limit`` says."""
    return _compared(op, value, limit / factor) if factor is not None and factor > 0 else None


def containment(condition: Expr) -> Contains | None:
    """Return what must be contained where a condition holds: ``CONTAINS(...) = 1`` in any of its forms; or None."""
    if not isinstance(condition, Comparison) or condition.op not in MIRRORED:
        return None
    for op, value, limit in (
        (condition.op, condition.left, condition.right),
        (MIRRORED[condition.op], condition.right, condition.left),
    ):
        inner = without_null(value)
        if isinstance(inner, Contains) and demands_one(op, constant(limit)):
            return inner
    return None


def demands_one(op: str, limit: float | None) -> bool:
    """Return whether a comparison with a constant, such as ``> 0``, holds of 1 but not of 0."""
    if limit is None:
        return False
    match op:
        case "=":
            return limit == 1
        case "<>":
            return limit == 0
        case ">":
            return 0 <= limit < 1
        case ">=":
            return 0 < limit <= 1
        case _:
            return False


def without_null(expr: Expr) -> Expr:
    """Return what ``COALESCE(a, 0)`` compares equal to 1 for; other expressions as they are."""
    match expr:
        case FunctionCall(name="coalesce", args=(inner, IntegerLiteral(value=0))):
            return inner
        case _:
            return expr


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
