"""Geometry to SQL: separations by haversines, polygons by half-spaces.

Positions are degrees; everything is computed in doubles. With the haversine of a separation d,
``h(d) = sin(d / 2)**2``, which needs no arc sine to be compared with a constant, ``d <= r`` is ``h <= sin(r / 2)**2``.
Towards 180 degrees h is flat, so radii beyond 90 degrees are tested by the haversine of the distance to the antipode,
which is small there. The separation itself is ``2 atan2(sqrt(h), sqrt(h'))`` with h' that of the antipode: precise
everywhere.

Boundaries: positions within `EDGE_TOLERANCE_DEG` of a boundary count as lying on it. CONTAINS, ``DISTANCE <= r`` and
``DISTANCE = r`` take them in, ``DISTANCE < r`` and ``DISTANCE > r`` leave them out, whatever way the arithmetic rounds;
so ``<`` and ``>=`` are complements, and so are ``<=`` and ``>``.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np

from partitioning.sky.regions import ConvexPolygon, Polygon
from partitioning.sky.separation import EDGE_TOLERANCE_DEG, unit_vectors

from ..models.comparisons import MIRRORED, constant
from ..models.tree import (
    Area,
    Centroid,
    Circle,
    Contains,
    Coordinate,
    Distance,
    Expr,
    FunctionCall,
    Point,
    PolygonShape,
)
from .emit_shapes import area_value, centroid_value, polygon_value
from .sqltext import bound, double

__all__ = [
    "Degrees",
    "contains_point",
    "distance",
    "distance_limit",
    "distance_test",
    "geometry_value",
    "is_constant",
    "polygon_area",
    "position",
]

Degrees = Callable[[Expr], str]
"""Writes a coordinate or radius as a DOUBLE that is finite or NULL."""


def contains_point(condition: Contains, degrees: Degrees) -> str:
    """Return a condition: whether a point lies inside a circle or a polygon of numbers; NULL where a coordinate is."""
    point, shape = condition.inner, condition.outer
    assert isinstance(point, Point)
    if isinstance(shape, PolygonShape):
        return _in_polygon(point, shape, degrees)
    assert isinstance(shape, Circle)
    assert isinstance(shape.centre, Point)
    radius = constant(shape.radius)
    if radius is not None:
        return _compare("<=", point, shape.centre, distance_limit("<=", radius), degrees)
    return f"({distance(point, shape.centre, degrees)} <= {degrees(shape.radius)} + {double(EDGE_TOLERANCE_DEG)})"


def distance_test(op: str, separation: Distance, radius_deg: float, degrees: Degrees) -> str:
    """Return the condition ``DISTANCE(...) op radius_deg``."""
    first, second = separation.first, separation.second
    assert isinstance(first, Point)
    assert isinstance(second, Point)
    if op in {"<=", ">", "<", ">="}:
        return _compare(op, first, second, distance_limit(op, radius_deg), degrees)
    near, far = (_compare(one, first, second, distance_limit(one, radius_deg), degrees) for one in (">=", "<="))
    return f"({near} AND {far})" if op == "=" else f"(NOT ({near} AND {far}))"


def distance_limit(op: str, radius_deg: float) -> float:
    """Return the separation with which one is compared, exactly, to find whether it is ``op radius_deg``."""
    if op in {"<=", ">"}:
        return radius_deg + EDGE_TOLERANCE_DEG if radius_deg >= 0 else radius_deg
    return radius_deg - min(EDGE_TOLERANCE_DEG, radius_deg / 2) if radius_deg > 0 else radius_deg


def distance(first: Expr, second: Expr, degrees: Degrees) -> str:
    """Return the separation of two points in degrees."""
    assert isinstance(first, Point)
    assert isinstance(second, Point)
    names, args = _arguments((first, second), degrees)
    near = _haversine(first, second, names, antipodal=False)
    far = _haversine(first, second, names, antipodal=True)
    return bound(f"degrees(2e0 * atan2(sqrt(abs({near})), sqrt(abs({far}))))", *args)


def _compare(op: str, first: Point, second: Point, limit_deg: float, degrees: Degrees) -> str:
    """Return the condition that the separation of two points is ``op limit_deg``, exactly."""
    antipodal = 90 < limit_deg <= 180
    names, args = _arguments((first, second), degrees)
    haversine = _haversine(first, second, names, antipodal=antipodal)
    if limit_deg < 0 or limit_deg > 180:
        always = (limit_deg > 180) == (op in {"<", "<="})
        return bound(f"({haversine} {'>=' if always else '<'} 0e0)", *args)
    threshold = math.sin(math.radians((180 - limit_deg if antipodal else limit_deg) / 2)) ** 2
    return bound(f"({haversine} {MIRRORED[op] if antipodal else op} {double(threshold)})", *args)


Names = list[tuple[str, str]]
"""How a template names the coordinates of points."""


def _haversine(first: Point, second: Point, names: Names, *, antipodal: bool) -> str:
    """Return a template for the haversine of a separation, or of that to the antipode."""
    (ra1, dec1), (ra2, dec2) = names
    across, sign = ("cos", "+") if antipodal else ("sin", "-")
    lat = f"sin(radians(0.5e0 * ({dec1} {sign} {dec2})))"
    lon = f"{across}(radians(0.5e0 * ({ra1} - {ra2})))"
    return f"({lat} * {lat} + {_cosine(first, dec1)} * {_cosine(second, dec2)} * {lon} * {lon})"


def _arguments(points: tuple[Point, ...], degrees: Degrees) -> tuple[Names, tuple[str, ...]]:
    """Return the names of points' coordinates, constants by value, the rest ``{0}``, ``{1}``, ...; and their values."""
    args: list[str] = []
    names: Names = []
    for point in points:
        pair = []
        for coordinate in (point.ra, point.dec):
            value = constant(coordinate)
            if value is not None:
                pair.append(double(value))
            else:
                pair.append(f"{{{len(args)}}}")
                args.append(degrees(coordinate))
        names.append((pair[0], pair[1]))
    return names, tuple(args)


def _cosine(point: Point, name: str) -> str:
    dec = constant(point.dec)
    return f"cos(radians({name}))" if dec is None else double(math.cos(math.radians(dec)))


def is_constant(shape: PolygonShape) -> bool:
    """Return whether all corners of a polygon are numbers."""
    numbers = (number for vertex in shape.vertices if isinstance(vertex, Point) for number in (vertex.ra, vertex.dec))
    return all(constant(number) is not None for number in numbers)


def _region(shape: PolygonShape) -> Polygon:
    return Polygon(tuple(position(vertex) for vertex in shape.vertices))


def position(point: Expr) -> tuple[float, float]:
    """Return the coordinates of a point of numbers."""
    assert isinstance(point, Point)
    ra, dec = constant(point.ra), constant(point.dec)
    assert ra is not None
    assert dec is not None
    return ra, dec


def _in_polygon(point: Point, shape: PolygonShape, degrees: Degrees) -> str:
    names, args = _arguments((point,), degrees)
    pieces = [_in_convex(piece, *names[0]) for piece in _region(shape).pieces]
    return bound(f"({' OR '.join(pieces)})" if len(pieces) > 1 else pieces[0], *args)


def _in_convex(piece: ConvexPolygon, ra: str, dec: str) -> str:
    """Return the conjunction of half-spaces ``n . p >= -tolerance``, p in spherical coordinates.

    ``nx cos(ra) + ny sin(ra)`` is one cosine of ``ra`` less the normal's own right ascension.
    """
    sides = []
    for x, y, z in piece.normals:
        along = double(math.degrees(math.atan2(y, x)))
        equatorial = f"{double(math.hypot(x, y))} * cos(radians({ra} - {along})) * cos(radians({dec}))"
        height = f"{equatorial} + {double(z)} * sin(radians({dec}))"
        sides.append(f"{height} >= {double(-math.radians(EDGE_TOLERANCE_DEG))}")
    return f"({' AND '.join(sides)})"


# --- values ---------------------------------------------------------------------------------------

_SQUARE_DEGREES: Final = math.degrees(1) ** 2


def geometry_value(expr: Expr, degrees: Degrees) -> str:
    """Return the value of a geometry (DALI 1.1 section 3.3: lists of degrees) or of a function of one."""
    match expr:
        case Point(ra=ra, dec=dec):
            return _list_value(degrees(ra), degrees(dec))
        case Circle(centre=Point(ra=ra, dec=dec), radius=radius):
            return _list_value(degrees(ra), degrees(dec), degrees(radius))
        case PolygonShape():
            return _polygon_value(expr) if is_constant(expr) else polygon_value(expr, degrees)
        case Distance(first=first, second=second):
            return distance(first, second, degrees)
        case Coordinate(axis=axis, point=Centroid(shape=PolygonShape() as shape)):
            return centroid_value(shape, axis, degrees)
        case Coordinate(axis=axis, point=Point(ra=ra, dec=dec)):
            return degrees(ra if axis == 1 else dec)
        case Area(shape=shape):
            return _area_value(shape, degrees)
        case FunctionCall(name="coordsys", args=(shape,)):
            return f"CASE WHEN {geometry_value(shape, degrees)} IS NOT NULL THEN 'ICRS' END"
        case _:
            raise TypeError(expr)


def _list_value(*parts: str) -> str:
    names = [f"{{{i}}}" for i in range(len(parts))]
    given = " AND ".join(f"{name} IS NOT NULL" for name in names)
    return bound(f"CASE WHEN {given} THEN array_value({', '.join(names)}) END", *parts)


def _polygon_value(shape: PolygonShape) -> str:
    """Return the vertices, counter-clockwise as seen from the origin towards the sky (DALI 1.1 section 3.3.7)."""
    vertices = list(_region(shape).vertices)
    if _signed_area(vertices) < 0:
        vertices.reverse()
    return f"[{', '.join(double(value) for vertex in vertices for value in vertex)}]"


def _area_value(shape: Expr, degrees: Degrees) -> str:
    match shape:
        case Point():
            return f"CASE WHEN {geometry_value(shape, degrees)} IS NOT NULL THEN 0e0 END"
        case Circle(centre=Point(ra=ra, dec=dec), radius=radius):
            half = "sin(radians(0.5e0 * {2}))"
            cap = f"{double(4 * math.pi * _SQUARE_DEGREES)} * {half} * {half}"
            template = f"CASE WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN {cap} END"
            return bound(template, degrees(ra), degrees(dec), degrees(radius))
        case _:
            assert isinstance(shape, PolygonShape)
            return double(polygon_area(shape)) if is_constant(shape) else area_value(shape, degrees)


def polygon_area(shape: PolygonShape) -> float:
    """Return the area of a constant polygon in square degrees."""
    return sum(abs(_signed_area(list(piece.vertices))) for piece in _region(shape).pieces)


def _signed_area(vertices: list[tuple[float, float]]) -> float:
    """Return a polygon's area in square degrees, positive if its vertices turn counter-clockwise as RA grows eastwards.

    Sum over the triangles of a fan (van Oosterom & Strackee 1983).
    """
    points = unit_vectors(*np.asarray(vertices).T)
    total, a = 0.0, points[0]
    for b, c in pairwise(points[1:]):
        volume = float(a @ np.cross(b - a, c - a))
        total += 2 * math.atan2(volume, 1 + float(a @ b) + float(b @ c) + float(c @ a))
    return total * _SQUARE_DEGREES
