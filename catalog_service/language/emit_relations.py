"""Whether one shape lies inside, or meets, another: each pair of shapes by the cheapest way that answers it.

What `emit_shapes` writes is exact and slow, some ten microseconds for a pair. So a sieve stands before it: shapes whose
caps (circles around them) are apart have nothing to do with each other. No point of a polygon is farther from its first
corner than half of the polygon's circumference, which the separations of the other corners from the first add up to.
"""

from collections.abc import Callable
from typing import Final

from partitioning.sky.separation import separation_deg

from ..models.tree import Circle, Contains, Expr, FunctionCall, Intersects, Point, PolygonShape, RegionColumn
from .emit_geometry import Degrees, contains_point, distance, is_constant, position
from .emit_shapes import related
from .sqltext import bound, double

__all__ = ["relation"]

_SLACK_DEG: Final = 1e-6
"""By how much caps must be apart: far more than rounding and the tolerance of boundaries."""

_BOX_REACH: Final = (
    "CASE WHEN {0} > 0e0 AND {0} < 180e0 AND {1} > 0e0 AND {1} < 180e0 "
    "THEN degrees(atan(sqrt(power(tan(radians({0} / 2e0)), 2e0) + power(tan(radians({1} / 2e0)), 2e0)))) END"
)


def relation(condition: Contains | Intersects, degrees: Degrees, text: Callable[[Expr], str]) -> str:
    """Return a condition, NULL where a coordinate of a shape is; `text` writes a column of regions."""
    if isinstance(condition, Contains):
        one, other = condition.inner, condition.outer
        simple = isinstance(other, Circle) or (isinstance(other, PolygonShape) and is_constant(other))
        if isinstance(one, Point) and simple:
            return contains_point(condition, degrees)
    else:
        one, other = condition.first, condition.second
    if isinstance(one, RegionColumn) or isinstance(other, RegionColumn):
        return related(condition, degrees, text)
    (centre, reach), (other_centre, other_reach) = _cap(one, degrees), _cap(other, degrees)
    apart = f"{distance(centre, other_centre, degrees)} > {reach} + {other_reach} + {double(_SLACK_DEG)}"
    return f"(CASE WHEN {apart} THEN false ELSE {related(condition, degrees, text)} END)"


def _cap(shape: Expr, degrees: Degrees) -> tuple[Point, str]:
    """Return the centre of a circle around a shape, and its radius in degrees; it is NULL where the shape is."""
    match shape:
        case Point():
            return shape, "0e0"
        case Circle(centre=Point() as centre, radius=radius):
            return centre, degrees(radius)
        case PolygonShape(vertices=(Point(ra=FunctionCall(name="box.ra", args=(ra, dec, width, height, *_))), *_)):
            return Point(ra, dec), bound(_BOX_REACH, degrees(width), degrees(height))
        case PolygonShape(vertices=(Point() as first, *others)) if is_constant(shape):
            apart = [separation_deg(*position(first), *position(other)) for other in others]
            return first, double(float(sum(apart)))
        case PolygonShape(vertices=(Point() as first, *others)):
            return first, f"({' + '.join(distance(first, other, degrees) for other in others)})"
        case _:
            raise TypeError(shape)
