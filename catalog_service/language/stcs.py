"""REGION's texts: the part of STC-S that describes one simple shape (ADQL 2.1 section 4.2.20, TAP 1.0 section 6).

``Position``, ``Circle``, ``Box`` and ``Polygon`` in ICRS; frames, reference positions and flavors as words after the
shape's name.
"""

from typing import Final

from ..exceptions import QueryRefusedError, QueryTypeError
from ..models.tree import BoxShape, Circle, Expr, Point, PolygonShape, RealLiteral, Span
from .errors import error_at

__all__ = ["is_icrs", "numbers_shape", "parse_region"]

_REFERENCE_POSITIONS: Final = frozenset(
    {"GEOCENTER", "BARYCENTER", "HELIOCENTER", "TOPOCENTER", "RELOCATABLE", "UNKNOWNREFPOS", "SPHERICAL2"}
)


def is_icrs(frame: str) -> bool:
    """Return whether a coordinate-system text means ICRS, or nothing.

    >>> is_icrs(""), is_icrs("icrs GEOCENTER"), is_icrs("GALACTIC")
    (True, True, False)
    """
    words = frame.upper().split()
    return [word for word in words if word not in _REFERENCE_POSITIONS] in ([], ["ICRS"])


def parse_region(text: str, span: Span) -> Expr:
    """Return the shape that a region text describes, its numbers as literals.

    >>> parse_region("Circle ICRS 10 20 0.5", Span(0, 0))
    Circle(frame=None, centre=Point(frame=None, ra=RealLiteral(value=10.0), dec=RealLiteral(value=20.0)), \
radius=RealLiteral(value=0.5))

    Raises
    ------
    QueryRefusedError
        For shapes and coordinate systems that are not supported.
    QueryTypeError
        If the numbers are not those of the shape.
    """
    words = text.split()
    kind, rest = (words[0].upper() if words else ""), words[1:]
    numbers = next((i for i, word in enumerate(rest) if _number(word) is not None), len(rest))
    frame = " ".join(rest[:numbers])
    if kind not in {"POSITION", "CIRCLE", "BOX", "POLYGON"}:
        message = f"REGION cannot describe '{kind.title() or 'nothing'}'."
        raise error_at(QueryRefusedError, message, span, remedy="It takes Position, Circle, Box and Polygon.")
    if not is_icrs(frame):
        raise error_at(QueryRefusedError, f"the coordinate system '{frame}' is not supported; use ICRS.", span)
    values = [_number(word) for word in rest[numbers:]]
    shape = None if None in values else numbers_shape(kind, [v for v in values if v is not None], span)
    if shape is None:
        raise error_at(QueryTypeError, f"the numbers after {kind.title()} do not describe one.", span)
    return shape


def numbers_shape(kind: str, numbers: list[float], span: Span) -> Expr | None:
    """Return the shape of that kind made of `numbers` in degrees; None if their count is wrong."""
    literals = [RealLiteral(number, span=span) for number in numbers]
    points = [Point(ra, dec, span=span) for ra, dec in zip(literals[::2], literals[1::2], strict=False)]
    match kind, len(literals):
        case "POSITION" | "POINT", 2:
            return points[0]
        case "CIRCLE", 3:
            return Circle(points[0], literals[2], span=span)
        case "BOX", 4:
            return BoxShape(points[0], literals[2], literals[3], span=span)
        case "POLYGON", count if count >= 6 and count % 2 == 0:
            return PolygonShape(tuple(points), span=span)
        case _:
            return None


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
