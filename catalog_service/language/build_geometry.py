"""Calls of geometry functions to nodes: argument counts, and the deprecated coordinate-system argument."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ..exceptions import QuerySyntaxError
from ..models.tree import (
    Area,
    BoxShape,
    Centroid,
    Circle,
    Contains,
    Coordinate,
    Distance,
    Expr,
    FunctionCall,
    IntegerLiteral,
    Intersects,
    NullLiteral,
    Point,
    PolygonShape,
    RealLiteral,
    RegionLiteral,
    Span,
    StringLiteral,
    Unary,
)
from .errors import error_at

__all__ = ["geometry_node", "point_at"]

Arguments = Sequence[Expr]

_USAGE: Final = {
    "AREA": "AREA(shape)",
    "BOX": "BOX(ra, dec, width, height) or BOX(POINT(ra, dec), width, height)",
    "CENTROID": "CENTROID(shape)",
    "CIRCLE": "CIRCLE(ra, dec, radius) or CIRCLE(POINT(ra, dec), radius)",
    "CONTAINS": "CONTAINS(inner, outer)",
    "COORD1": "COORD1(point)",
    "COORD2": "COORD2(point)",
    "COORDSYS": "COORDSYS(geometry)",
    "DISTANCE": "DISTANCE(point, point) or DISTANCE(ra, dec, ra, dec)",
    "INTERSECTS": "INTERSECTS(first, second)",
    "POINT": "POINT(ra, dec)",
    "POLYGON": "POLYGON(ra1, dec1, ra2, dec2, ra3, dec3, ...) or POLYGON(POINT(...), POINT(...), POINT(...), ...)",
    "REGION": "REGION('text')",
}


def geometry_node(name: str, args: Arguments, span: Span) -> Expr:
    """Return the node of one call.

    Raises
    ------
    QuerySyntaxError
        If the number or form of the arguments is wrong.
    """
    node = _BUILDERS[name](args, span)
    if node is None:
        raise error_at(QuerySyntaxError, f"the arguments of {name} do not fit.", span, remedy=f"Write {_USAGE[name]}.")
    return node


def _split_frame(args: Arguments, counts: set[int]) -> tuple[str | None, Arguments]:
    """Return the coordinate-system argument, if there is one, and the others."""
    if args and isinstance(args[0], StringLiteral):
        return args[0].value, args[1:]
    if args and isinstance(args[0], NullLiteral) and len(args) - 1 in counts:
        return None, args[1:]
    return None, args


def point_at(ra: Expr, dec: Expr) -> Point:
    """Return the point that two coordinates of a call mean."""
    return Point(ra, dec, span=Span(ra.span.start, dec.span.stop, ra.span.text))


def _is_number(node: Expr) -> bool:
    return isinstance(node, IntegerLiteral | RealLiteral | StringLiteral | Unary)


def _point(args: Arguments, span: Span) -> Expr | None:
    frame, rest = _split_frame(args, {2})
    return Point(rest[0], rest[1], frame=frame, span=span) if len(rest) == 2 else None


def _centred(rest: Arguments, extents: int) -> tuple[Expr, Arguments] | None:
    """Return a centre and the `extents` arguments after it, from either form."""
    if len(rest) == 2 + extents:
        return point_at(rest[0], rest[1]), rest[2:]
    if len(rest) == 1 + extents and not _is_number(rest[0]):
        return rest[0], rest[1:]
    return None


def _circle(args: Arguments, span: Span) -> Expr | None:
    frame, rest = _split_frame(args, {2, 3})
    found = _centred(rest, 1)
    return None if found is None else Circle(found[0], found[1][0], frame=frame, span=span)


def _box(args: Arguments, span: Span) -> Expr | None:
    frame, rest = _split_frame(args, {3, 4})
    found = _centred(rest, 2)
    return None if found is None else BoxShape(found[0], found[1][0], found[1][1], frame=frame, span=span)


def _polygon(args: Arguments, span: Span) -> Expr | None:
    frame, rest = _split_frame(args, {len(args) - 1} if len(args) % 2 else set())
    points = [arg for arg in rest if isinstance(arg, Point | Centroid)]
    if points:
        return PolygonShape(tuple(rest), frame=frame, span=span) if len(points) == len(rest) >= 3 else None
    if len(rest) < 6 or len(rest) % 2:
        return None
    vertices = tuple(point_at(ra, dec) for ra, dec in zip(rest[::2], rest[1::2], strict=True))
    return PolygonShape(vertices, frame=frame, span=span)


def _region(args: Arguments, span: Span) -> Expr | None:
    return RegionLiteral(args[0].value, span=span) if len(args) == 1 and isinstance(args[0], StringLiteral) else None


def _distance(args: Arguments, span: Span) -> Expr | None:
    if len(args) == 4:
        first, second = _centred(args[:2], 0), _centred(args[2:], 0)
        return None if first is None or second is None else Distance(first[0], second[0], span=span)
    return Distance(args[0], args[1], span=span) if len(args) == 2 else None


def _contains(args: Arguments, span: Span) -> Expr | None:
    return Contains(args[0], args[1], span=span) if len(args) == 2 else None


def _intersects(args: Arguments, span: Span) -> Expr | None:
    return Intersects(args[0], args[1], span=span) if len(args) == 2 else None


def _single(make: Callable[[Expr, Span], Expr]) -> Callable[[Arguments, Span], Expr | None]:
    return lambda args, span: make(args[0], span) if len(args) == 1 else None


_BUILDERS: Final[Mapping[str, Callable[[Arguments, Span], Expr | None]]] = {
    "AREA": _single(lambda shape, span: Area(shape, span=span)),
    "BOX": _box,
    "CENTROID": _single(lambda shape, span: Centroid(shape, span=span)),
    "CIRCLE": _circle,
    "CONTAINS": _contains,
    "COORD1": _single(lambda point, span: Coordinate(1, point, span=span)),
    "COORD2": _single(lambda point, span: Coordinate(2, point, span=span)),
    "COORDSYS": _single(lambda shape, span: FunctionCall("coordsys", (shape,), span=span)),
    "DISTANCE": _distance,
    "INTERSECTS": _intersects,
    "POINT": _point,
    "POLYGON": _polygon,
    "REGION": _region,
}
