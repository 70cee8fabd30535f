"""Calls of scisql's spherical geometry to nodes of ADQL's, so that they prune alike.

``scisql_s2PtIn...`` gives 1 or 0, and 0 where an argument is NULL.
"""

from collections.abc import Callable, Mapping
from typing import Final

from ..exceptions import QuerySyntaxError
from ..models.tree import (
    Circle,
    Contains,
    Distance,
    Expr,
    FunctionCall,
    IntegerLiteral,
    PolygonShape,
    Span,
)
from .build_geometry import point_at
from .errors import error_at
from .function import declared_form
from .scisql_htm import POLYGON_BYTES, VECTOR_SEPARATION

__all__ = ["GEOMETRY_SIGNATURES", "geometry_forms", "scisql_geometry"]

Arguments = tuple[Expr, ...]

_MOST_VERTICES: Final = 20

GEOMETRY_SIGNATURES: Final[Mapping[str, str]] = {
    "scisql_angsep": "scisql_angSep(lon1, lat1, lon2, lat2)",
    POLYGON_BYTES: "scisql_s2CPolyToBin(lon1, lat1, lon2, lat2, lon3, lat3, ...)",
    "scisql_s2ptincircle": "scisql_s2PtInCircle(lon, lat, centreLon, centreLat, radius)",
    "scisql_s2ptincpoly": "scisql_s2PtInCPoly(lon, lat, lon1, lat1, lon2, lat2, lon3, lat3, ...)",
}
"""How each function is called, by canonical name."""

_REMEDIES: Final[Mapping[str, str]] = {
    "scisql_angsep": f"Write {GEOMETRY_SIGNATURES['scisql_angsep']} in degrees, "
    "or scisql_angSep(x1, y1, z1, x2, y2, z2).",
    "scisql_s2ptincpoly": f"Write {GEOMETRY_SIGNATURES['scisql_s2ptincpoly']}, all in degrees, or "
    "scisql_s2PtInCPoly(lon, lat, scisql_s2CPolyToBin(lon1, lat1, ...)).",
}


def geometry_forms() -> tuple[str, ...]:
    """Return the functions as TAP capabilities declare them; the polygon with the fewest vertices."""
    return tuple(
        declared_form(signature.replace(", ...", ""), "DOUBLE PRECISION" if name == "scisql_angsep" else "INTEGER")
        for name, signature in GEOMETRY_SIGNATURES.items()
        if name != POLYGON_BYTES
    )


def scisql_geometry(name: str, args: Arguments, span: Span) -> Expr:
    """Return the node of one call.

    Raises
    ------
    QuerySyntaxError
        If the number of arguments is wrong.
    """
    node = _BUILDERS[name](args, span)
    if node is None:
        message = "the number of arguments does not fit."
        raise error_at(
            QuerySyntaxError,
            message,
            span,
            remedy=_REMEDIES.get(name) or f"Write {GEOMETRY_SIGNATURES[name]}, all in degrees.",
        )
    return node


def _separation(args: Arguments, span: Span) -> Expr | None:
    if len(args) == 6:  # two vectors
        return FunctionCall(VECTOR_SEPARATION, args, span=span)
    return Distance(point_at(*args[:2]), point_at(*args[2:]), span=span) if len(args) == 4 else None


def _in_circle(args: Arguments, span: Span) -> Expr | None:
    if len(args) != 5:
        return None
    return _one_or_zero(Contains(point_at(*args[:2]), Circle(point_at(*args[2:4]), args[4], span=span), span=span))


def _polygon_bytes(args: Arguments, span: Span) -> Expr | None:
    """Return what `_in_polygon` alone can read; anywhere else it is refused (passes/check.py)."""
    if len(args) % 2 or not 3 <= len(args) // 2 <= _MOST_VERTICES:
        return None
    return FunctionCall(POLYGON_BYTES, args, span=span)


def _in_polygon(args: Arguments, span: Span) -> Expr | None:
    if len(args) == 3 and isinstance(args[2], FunctionCall) and args[2].name == POLYGON_BYTES:
        args = (*args[:2], *args[2].args)
    if len(args) % 2 or not 3 <= len(args) // 2 - 1 <= _MOST_VERTICES:
        return None
    vertices = tuple(point_at(lon, lat) for lon, lat in zip(args[2::2], args[3::2], strict=True))
    return _one_or_zero(Contains(point_at(*args[:2]), PolygonShape(vertices, span=span), span=span))


def _one_or_zero(contains: Contains) -> Expr:
    return FunctionCall("coalesce", (contains, IntegerLiteral(0, span=contains.span)), span=contains.span)


_BUILDERS: Final[Mapping[str, Callable[[Arguments, Span], Expr | None]]] = {
    "scisql_angsep": _separation,
    POLYGON_BYTES: _polygon_bytes,
    "scisql_s2ptincircle": _in_circle,
    "scisql_s2ptincpoly": _in_polygon,
}
