"""Geometry in few forms: every spelling of a region becomes a `Point`, `Circle` or `PolygonShape`.

Coordinate systems are checked and dropped, REGION and CAST texts become shapes, BOX becomes its polygon, INTERSECTS
with a point or of circles becomes CONTAINS, and whatever cannot be answered is refused with its place.

>>> from ...models.tree import Circle, Point, RealLiteral
>>> number = RealLiteral
>>> shapes(Circle(Point(number(1.0), number(95.0)), number(1.0)))
Traceback (most recent call last):
...
catalog_service.exceptions.QueryTypeError: the declination 95.0 is outside [-90, 90] degrees.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from partitioning.exceptions import RegionError
from partitioning.sky.regions import Polygon
from partitioning.sky.separation import unit_vectors

from ...exceptions import QueryRefusedError, QueryTypeError
from ...models.comparisons import constant
from ...models.schema import DataType
from ...models.tree import (
    Area,
    Binary,
    BoxShape,
    Cast,
    Centroid,
    Circle,
    ColumnRef,
    Contains,
    Coordinate,
    Distance,
    Expr,
    FunctionCall,
    Intersects,
    Node,
    Point,
    PolygonShape,
    RealLiteral,
    RegionColumn,
    RegionLiteral,
    Shape,
    Span,
    StringLiteral,
)
from ..corners import box_polygon
from ..errors import error_at
from ..limits import MAX_VERTICES, too_many_vertices
from ..rewrite import map_children
from ..stcs import is_icrs, numbers_shape, parse_region
from ..types import GEOMETRIES, is_array, type_of, type_word
from .fold import fold

__all__ = ["shapes"]

Vector = NDArray[np.float64]

_GEOMETRY_NAMES: Final = {DataType.POINT: "POINT", DataType.CIRCLE: "CIRCLE", DataType.POLYGON: "POLYGON"}


def shapes(expr: Expr) -> Expr:
    """Return `expr` with its geometry in few forms, all of which can be answered.

    Raises
    ------
    QueryTypeError
        If an argument is of a wrong type, or describes no region.
    QueryRefusedError
        If a combination is not supported.
    """
    if isinstance(expr, Centroid) and isinstance(expr.shape, BoxShape):
        return shapes(expr.shape.centre)
    mapped = map_children(expr, shapes)
    if isinstance(mapped, Shape):
        _check_frame(mapped)
    form = _FORMS.get(type(mapped))
    return mapped if form is None else form(mapped)


def _check_frame(shape: Shape) -> None:
    if shape.frame is not None and not is_icrs(shape.frame):
        message = f"the coordinate system '{shape.frame}' is not supported."
        raise error_at(QueryRefusedError, message, shape.span, remedy="Positions are ICRS; leave the argument out.")


def _require(expr: Expr, wanted: DataType, what: str) -> None:
    """Refuse all but a shape of type `wanted` that the query itself makes."""
    _require_geometry(expr, what)
    if type_of(expr) is not wanted:
        message = f"{what} needs {type_word(wanted)} here, not {type_word(type_of(expr))}."
        raise error_at(QueryTypeError, message, expr.span)


def _require_geometry(expr: Expr, what: str) -> None:
    if type_of(expr) not in GEOMETRIES or is_array(expr):
        message = f"{what} needs a geometry such as POINT(ra, dec), not {type_word(type_of(expr))}."
        raise error_at(QueryTypeError, message, expr.span)
    if isinstance(expr, ColumnRef):
        message = f"{what} of a stored geometry ({expr.column.name}) is not supported."
        raise error_at(QueryRefusedError, message, expr.span)


def _require_numbers(what: str, *exprs: Expr) -> None:
    for expr in exprs:
        kind = type_of(expr)
        if is_array(expr) or not (kind.is_numeric or kind is DataType.NULL):
            message = f"{what} needs numbers in degrees, not {type_word(kind)}."
            raise error_at(QueryTypeError, message, expr.span)


def _point(point: Point) -> Expr:
    _require_numbers("POINT", point.ra, point.dec)
    dec = constant(point.dec)
    if dec is not None and abs(dec) > 90:
        message = f"the declination {dec} is outside [-90, 90] degrees."
        raise error_at(QueryTypeError, message, point.dec.span)
    return point


def _circle(circle: Circle) -> Expr:
    _require(circle.centre, DataType.POINT, "CIRCLE")
    _require_numbers("CIRCLE", circle.radius)
    radius = constant(circle.radius)
    if radius is not None and not 0 <= radius <= 180:
        message = f"the radius {radius} is outside [0, 180] degrees."
        raise error_at(QueryTypeError, message, circle.radius.span)
    return circle


def _polygon(polygon: PolygonShape) -> Expr:
    if len(polygon.vertices) > MAX_VERTICES:
        raise too_many_vertices(polygon.span)
    for vertex in polygon.vertices:
        _require(vertex, DataType.POINT, "POLYGON")
    corners = _constant_corners(polygon)
    if corners is not None:
        try:
            Polygon(corners)
        except RegionError as error:
            raise error_at(QueryTypeError, f"{error}.", polygon.span) from None
    return polygon


def _constant_corners(polygon: PolygonShape) -> tuple[tuple[float, float], ...] | None:
    """Return the corners of a polygon of constants; None of one of columns."""
    corners = [_constant_point(vertex) for vertex in polygon.vertices]
    return None if None in corners else tuple(corner for corner in corners if corner is not None)


def _constant_point(point: Expr) -> tuple[float, float] | None:
    if not isinstance(point, Point):
        return None
    ra, dec = constant(point.ra), constant(point.dec)
    return None if ra is None or dec is None else (ra, dec)


def _box(box: BoxShape) -> Expr:
    """Return the polygon of a box: sides are great circles at right angles to a cross's arms, through their ends.

    With c the centre's unit vector and e, n the directions east and north there, the eastern side is the great circle
    normal to ``e cos(w/2) - c sin(w/2)``; corners are where neighbouring sides meet.
    """
    _require(box.centre, DataType.POINT, "BOX")
    _require_numbers("BOX", box.width, box.height)
    centre, width, height = _constant_point(box.centre), constant(box.width), constant(box.height)
    for extent, literal in ((width, box.width), (height, box.height)):
        if extent is not None and not 0 < extent < 180:
            message = f"the box's extent {extent} is outside ]0, 180[ degrees."
            raise error_at(QueryTypeError, message, literal.span)
    if centre is None or width is None or height is None:
        return box_polygon(box)
    ra, dec = np.radians(centre)
    middle = unit_vectors(*centre)
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    across, along = math.tan(math.radians(width / 2)), math.tan(math.radians(height / 2))
    # in the plane that touches the sphere at the centre, a box is a rectangle, since great circles are straight there
    corners = [middle + x * across * east + y * along * north for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    vertices = tuple(_vertex(corner, box.span) for corner in corners)
    return _polygon(PolygonShape(vertices, span=box.span))


def _vertex(corner: Vector, span: Span) -> Point:
    """Return the point in the direction of a vector."""
    x, y, z = (float(value) for value in corner)
    ra, dec = math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))
    return Point(RealLiteral(ra, span=span), RealLiteral(dec, span=span), span=span)


def _cast(cast: Cast) -> Expr:
    """Return the shape that CAST makes of a text; other casts as they are."""
    if cast.target not in GEOMETRIES or not isinstance(cast.operand, StringLiteral):
        return cast
    return shapes(_cast_shape(cast.operand.value, cast.target, cast.span))


def _cast_shape(text: str, target: DataType, span: Span) -> Expr:
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    shape = numbers_shape(_GEOMETRY_NAMES[target], numbers, span)
    if shape is None:
        message = f"'{text[:40]}' is no {_GEOMETRY_NAMES[target].lower()}: numbers in degrees with blanks between."
        raise error_at(QueryTypeError, message, span)
    return shape


def _centroid(whole: Centroid) -> Expr:
    shape = whole.shape
    _require_geometry(shape, "CENTROID")
    if isinstance(shape, Circle):
        return shape.centre
    if isinstance(shape, Point):
        return shape
    assert isinstance(shape, PolygonShape)
    corners = _constant_corners(shape)
    if corners is None:  # computed for each row
        ra, dec = (Coordinate(axis, whole, span=whole.span) for axis in (1, 2))
        return Point(ra, dec, span=whole.span)
    return _vertex(_mean_direction(corners), whole.span)


_SMALL_POLYGON: Final = 1e-3
"""Radians; where the two ways of `_mean_direction` are equally good, to some 1e-10 rad."""


def _mean_direction(corners: tuple[tuple[float, float], ...]) -> Vector:
    """Return the mean of a polygon's points as a vector.

    By Stokes' theorem it is half the sum over sides of arc length times normal (sides between pieces cancel); in small
    polygons, where that sum cancels away, the mean of triangles' centroids, weighted by area, is the better value.
    """
    total = np.zeros(3)
    for piece in Polygon(corners).pieces:
        points = unit_vectors(*np.asarray(piece.vertices).T)
        following = np.roll(points, -1, axis=0)
        if np.linalg.norm(points - points[0], axis=1).max() < _SMALL_POLYGON:
            areas = np.linalg.norm(np.cross(points - points[0], following - points[0]), axis=1)
            total += areas @ (points[0] + points + following)
        else:
            sines, cosines = np.linalg.norm(np.cross(points, following), axis=1), (points * following).sum(axis=1)
            total += 3 * np.arctan2(sines, cosines) @ np.asarray(piece.normals)
    return total


def _area(whole: Area) -> Expr:
    _require_geometry(whole.shape, "AREA")
    return whole


def _region_column(expr: Expr) -> Expr:
    """Return a column of texts as one of regions, anything else as it is."""
    is_text = isinstance(expr, ColumnRef) and expr.column.datatype is DataType.TEXT and not expr.column.is_array
    return RegionColumn(expr, span=expr.span) if is_text else expr


def _contains(whole: Contains) -> Expr:
    whole = replace(whole, inner=_region_column(whole.inner), outer=_region_column(whole.outer))
    inner, outer = whole.inner, whole.outer
    _require_geometry(inner, "CONTAINS")
    _require_geometry(outer, "CONTAINS")
    if isinstance(outer, Point):
        message = "CONTAINS asks whether its first argument lies inside the second; a point has no inside."
        raise error_at(QueryTypeError, message, outer.span, remedy="Swap the arguments.")
    if isinstance(inner, Point):
        return whole
    if isinstance(inner, Circle) and isinstance(outer, Circle) and _are_constant(inner, outer):
        whole_sky = constant(outer.radius) == 180
        radius = outer.radius if whole_sky else _combined("-", outer.radius, inner.radius)
        return replace(whole, inner=inner.centre, outer=Circle(outer.centre, radius, span=outer.span))
    return whole


def _intersects(whole: Intersects) -> Expr:
    whole = replace(whole, first=_region_column(whole.first), second=_region_column(whole.second))
    first, second = whole.first, whole.second
    _require_geometry(first, "INTERSECTS")
    _require_geometry(second, "INTERSECTS")
    if isinstance(second, Point):
        first, second = second, first
    if isinstance(first, Point) and not isinstance(second, Point):
        return Contains(first, second, span=whole.span)
    if isinstance(first, Circle) and isinstance(second, Circle) and _are_constant(first, second):
        radius = _combined("+", first.radius, second.radius)
        return Contains(first.centre, Circle(second.centre, radius, span=second.span), span=whole.span)
    if isinstance(first, Point):
        message = "INTERSECTS of two points is not supported."
        raise error_at(QueryRefusedError, message, whole.span, remedy="Compare their DISTANCE.")
    return whole


def _are_constant(*circles: Circle) -> bool:
    """Return whether the radii are known, and so checked; that of a column may be negative, or more than 180."""
    return all(constant(circle.radius) is not None for circle in circles)


def _combined(op: str, first: Expr, second: Expr) -> Expr:
    """Return the sum or difference of two radii, where it is constant at most 180."""
    radius = fold(Binary(op, first, second, span=first.span))
    value = constant(radius)
    if value is None or value <= 180:
        return radius
    return RealLiteral(180.0, span=first.span)


def _distance(whole: Distance) -> Expr:
    for point in (whole.first, whole.second):
        _require(point, DataType.POINT, "DISTANCE")
    return whole


def _coordinate(whole: Coordinate) -> Expr:
    _require(whole.point, DataType.POINT, f"COORD{whole.axis}")
    return whole


def _function(call: FunctionCall) -> Expr:
    if call.name == "coordsys":
        _require_geometry(call.args[0], "COORDSYS")
    return call


_FORMS: Final[Mapping[type[Node], Callable[[Any], Expr]]] = {
    Point: _point,
    Circle: _circle,
    PolygonShape: _polygon,
    BoxShape: _box,
    RegionLiteral: lambda region: shapes(parse_region(region.text, region.span)),
    Cast: _cast,
    Centroid: _centroid,
    Area: _area,
    Contains: _contains,
    Intersects: _intersects,
    Distance: _distance,
    Coordinate: _coordinate,
    FunctionCall: _function,
}
"""What becomes of each kind of node once its arguments are done."""
