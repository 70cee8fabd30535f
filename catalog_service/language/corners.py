"""Corners of boxes made of columns, by two hidden functions of a box's centre, width and height.

Sides of a box are great circles, which are straight in the plane that touches the sphere at the centre: there a corner
lies ``tan(width / 2)`` to the east or west and ``tan(height / 2)`` to the north or south.
"""

from collections.abc import Mapping
from typing import Final

from ..models.schema import DataType
from ..models.tree import BoxShape, FunctionCall, IntegerLiteral, Point, PolygonShape
from .function import Function, Kind

__all__ = ["CORNERS", "box_polygon"]

_EAST: Final = "({4} * tan(radians({2} / 2e0)))"
_NORTH: Final = "({5} * tan(radians({3} / 2e0)))"
_OUTWARD: Final = f"(cos(radians({{1}})) - {_NORTH} * sin(radians({{1}})))"
_UP: Final = f"(sin(radians({{1}})) + {_NORTH} * cos(radians({{1}})))"
_VALID: Final = (
    "{2} > 0e0 AND {2} < 180e0 AND {3} > 0e0 AND {3} < 180e0 AND isfinite({0}) AND {1} BETWEEN -90e0 AND 90e0"
)

_RA: Final = f"CASE WHEN {_VALID} THEN (({{0}} + degrees(atan2({_EAST}, {_OUTWARD}))) % 360e0 + 360e0) % 360e0 END"
_DEC: Final = f"CASE WHEN {_VALID} THEN degrees(atan2({_UP}, sqrt({_OUTWARD} * {_OUTWARD} + {_EAST} * {_EAST}))) END"

CORNERS: Final[Mapping[str, Function]] = {
    name: Function(name, (Kind.NUMBER,) * 6, DataType.DOUBLE, {6: template}, hidden=True)
    for name, template in (("box.ra", _RA), ("box.dec", _DEC))
}
"""Functions that only rewrites make: RA, Dec, width, height, and 1 or -1 for east or west, north or south."""


def box_polygon(box: BoxShape) -> PolygonShape:
    """Return the polygon of a box; its corners are NULL where its extents are outside ]0, 180[ degrees."""
    assert isinstance(box.centre, Point)
    numbers = (box.centre.ra, box.centre.dec, box.width, box.height)
    vertices = []
    for east, north in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
        args = (*numbers, IntegerLiteral(east, span=box.span), IntegerLiteral(north, span=box.span))
        ra, dec = (FunctionCall(f"box.{axis}", args, span=box.span) for axis in ("ra", "dec"))
        vertices.append(Point(ra, dec, span=box.span))
    return PolygonShape(tuple(vertices), span=box.span)
