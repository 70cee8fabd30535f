"""Shapes made of columns to SQL: polygons, and how circles and polygons lie to each other.

Corners become lists of unit vectors. With p a point and a, b the ends of a side, everything rests on the volume
``[p, a, b] = p . ((a - p) x (b - p))``, which keeps its digits however small a polygon is:

- p is inside if the sides turn about it, seen from above, by the turn of the polygon itself; the turn about the
  antipode of an inside point is the opposite one. So polygons may be concave and of either winding. As elsewhere, a
  polygon lies in a hemisphere, and its inside is the smaller side.
- The separation of p from a side is that from its great circle where p projects onto the side, else from an end.
- Two sides cross if the ends of each lie on different sides of the other.

Boundaries belong to shapes, with the same tolerance as everywhere. A shape with a NULL in it is related to nothing: the
condition is NULL.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from partitioning.sky.separation import EDGE_TOLERANCE_DEG

from ..models.tree import Circle, Contains, Expr, Intersects, Point, PolygonShape, RegionColumn
from .sqltext import double, let

__all__ = ["area_value", "centroid_value", "polygon_value", "related"]

Degrees = Callable[[Expr], str]

_TOLERANCE: Final = double(EDGE_TOLERANCE_DEG)
_SINE: Final = double(math.radians(EDGE_TOLERANCE_DEG))

# --- vectors --------------------------------------------------------------------------------------


def _minus(a: str, b: str) -> str:
    return f"array_value({a}[1] - {b}[1], {a}[2] - {b}[2], {a}[3] - {b}[3])"


def _cross(a: str, b: str) -> str:
    return f"array_cross_product({a}, {b})"


def _dot(a: str, b: str) -> str:
    return f"array_inner_product({a}, {b})"


def _norm(a: str) -> str:
    return f"array_distance({a}, array_value(0e0, 0e0, 0e0))"


def _volume(p: str, a: str, b: str) -> str:
    return _dot(p, _cross(_minus(a, p), _minus(b, p)))


def _separation(p: str, a: str) -> str:
    """Return the angle between two vectors in degrees."""
    return f"degrees(atan2({_norm(_cross(p, _minus(a, p)))}, {_dot(p, a)}))"


def _vectors(spots: str) -> str:
    """Return the unit vectors of a list of pairs of RA and Dec; something harmless where one is NULL."""
    lon, lat = (f"radians(coalesce(c[{axis}], 0e0))" for axis in (1, 2))
    vector = f"array_value(cos({lat}) * cos({lon}), cos({lat}) * sin({lon}), sin({lat}))"
    return f"list_transform({spots}, lambda c: {vector})"


def _any(values: str, name: str, condition: str) -> str:
    return f"list_bool_or(list_transform({values}, lambda {name}: {condition}))"


def _all(values: str, name: str, condition: str) -> str:
    return f"list_bool_and(list_transform({values}, lambda {name}: {condition}))"


# --- shapes ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Disc:
    """A point, or a circle, whose radius is an expression."""

    centre: str
    radius: str = ""
    """Empty of a point."""


@dataclass(frozen=True, slots=True)
class _Ring:
    """A polygon."""

    corners: str
    count: str
    turn: str
    """Area in steradians, positive if corners go round counter-clockwise."""

    def sides(self, name: str, value: str) -> str:
        """Return the list of `value` of each side, in which ``name.a`` and ``name.b`` are its ends."""
        ends = {"a": f"{self.corners}[{name}k]", "b": f"{self.corners}[{name}k % {self.count} + 1]"}
        return f"list_transform(range(1, {self.count} + 1), lambda {name}k: {let(value, name, **ends)})"


def _turn(corners: str, count: str) -> str:
    """Return the signed area of a polygon: the sum of the triangles of a fan (van Oosterom & Strackee 1983)."""
    ends = {"a": f"{corners}[1]", "b": f"{corners}[f]", "c": f"{corners}[f + 1]"}
    dots = " + ".join(_dot(f"t.{one}", f"t.{other}") for one, other in ("ab", "bc", "ca"))
    triangle = let(f"2e0 * atan2({_volume('t.a', 't.b', 't.c')}, 1e0 + {dots})", "t", **ends)
    return f"list_sum(list_transform(range(2, {count}), lambda f: {triangle}))"


def _inside(p: str, ring: _Ring) -> str:
    """Return whether the vector `p` lies in a polygon or on its border."""
    to_a, to_b = _minus("e.a", p), _minus("e.b", p)
    angle = f"atan2({_volume(p, 'e.a', 'e.b')}, {_dot(_cross(p, to_a), _cross(p, to_b))})"
    turns = f"list_sum({ring.sides('e', angle)}) * sign({ring.turn}) > 3e0"
    normal = _cross("e.a", _minus("e.b", "e.a"))
    touches = let(
        f"n.length > 0e0 AND abs({_volume(p, 'n.a', 'n.b')}) <= {_SINE} * n.length "
        f"AND {_dot(p, _cross('n.normal', 'n.a'))} >= -{_SINE} * n.length "
        f"AND {_dot(p, _cross('n.b', 'n.normal'))} >= -{_SINE} * n.length",
        "n",
        a="e.a",
        b="e.b",
        normal=normal,
        length=_norm(normal),
    )
    return f"({turns} OR list_bool_or({ring.sides('e', touches)}))"


def _clearance(p: str, ring: _Ring) -> str:
    """Return the separation of the vector `p` from the border of a polygon in degrees."""
    normal = _cross("e.a", _minus("e.b", "e.a"))
    across = f"degrees(atan2(abs({_volume(p, 'n.a', 'n.b')}), {_norm(_cross(p, 'n.normal'))}))"
    beside = (
        f"{_norm('n.normal')} > 0e0 AND {_dot(p, _cross('n.normal', 'n.a'))} >= 0e0 "
        f"AND {_dot(p, _cross('n.b', 'n.normal'))} >= 0e0"
    )
    ends = f"least({_separation(p, 'n.a')}, {_separation(p, 'n.b')})"
    nearest = let(f"CASE WHEN {beside} THEN {across} ELSE {ends} END", "n", a="e.a", b="e.b", normal=normal)
    return f"list_min({ring.sides('e', nearest)})"


def _sides_cross(one: _Ring, other: _Ring) -> str:
    """Return whether a side of one polygon crosses one of the other, ends not counted."""
    signs = let(
        "sign(x.c) = sign(x.d) AND sign(x.d) = sign(x.f) AND sign(x.f) = sign(x.g) AND x.c <> 0e0",
        "x",
        c=f"-{_volume('u.a', 'u.b', 'w.a')}",
        d=_volume("u.a", "u.b", "w.b"),
        f=f"-{_volume('w.a', 'w.b', 'u.b')}",
        g=_volume("w.a", "w.b", "u.a"),
    )
    crossed = f"list_bool_or({other.sides('w', signs)})"
    return f"list_bool_or({one.sides('u', crossed)})"


# --- relations ------------------------------------------------------------------------------------


def _circle_in_circle(inner: _Disc, outer: _Disc) -> str:
    apart = _separation(inner.centre, outer.centre)
    reach = f"{apart} + {inner.radius}" if inner.radius else apart
    are_circles = f"{outer.radius} >= 0e0" + (f" AND {inner.radius} >= 0e0" if inner.radius else "")
    return f"({are_circles} AND ({reach} <= {outer.radius} + {_TOLERANCE} OR {outer.radius} >= 180e0))"


def _circle_in_polygon(inner: _Disc, outer: _Ring) -> str:
    inside = _inside(inner.centre, outer)
    if not inner.radius:
        return inside
    return (
        f"({inner.radius} >= 0e0 AND {inside} AND {_clearance(inner.centre, outer)} >= {inner.radius} - {_TOLERANCE})"
    )


def _polygon_in_circle(inner: _Ring, outer: _Disc) -> str:
    """Return whether the circle around the antipode that is the circle's outside has no point of the polygon."""
    away = f"array_value(-{outer.centre}[1], -{outer.centre}[2], -{outer.centre}[3])"
    outside = f"{_inside('q.p', inner)} OR {_clearance('q.p', inner)} < 180e0 - {outer.radius} - {_TOLERANCE}"
    return f"({outer.radius} >= 180e0 OR ({outer.radius} >= 0e0 AND NOT ({let(outside, 'q', p=away)})))"


def _polygon_in_polygon(inner: _Ring, outer: _Ring) -> str:
    """Return whether corners and middles of sides are inside, no side crosses another, and no corner looks in."""
    middle = let(
        "array_value(m.s[1] / m.l, m.s[2] / m.l, m.s[3] / m.l)",
        "m",
        s="array_value(y.a[1] + y.b[1], y.a[2] + y.b[2], y.a[3] + y.b[3])",
        l="array_distance(y.a, array_value(-y.b[1], -y.b[2], -y.b[3]))",
    )
    covered = f"{_inside('y.a', outer)} AND {let(_inside('z.p', outer), 'z', p=middle)}"
    strictly = f"{_inside('v', inner)} AND {_clearance('v', inner)} > {_TOLERANCE}"
    looks_in = _any(outer.corners, "v", strictly)
    return f"(list_bool_and({inner.sides('y', covered)}) AND NOT {_sides_cross(inner, outer)} AND NOT {looks_in})"


def _circles_meet(one: _Disc, other: _Disc) -> str:
    near = f"{_separation(one.centre, other.centre)} <= {one.radius} + {other.radius} + {_TOLERANCE}"
    return f"({one.radius} >= 0e0 AND {other.radius} >= 0e0 AND {near})"


def _circle_meets_polygon(disc: _Disc, ring: _Ring) -> str:
    near = f"{_clearance(disc.centre, ring)} <= {disc.radius} + {_TOLERANCE}"
    return f"({disc.radius} >= 0e0 AND ({_inside(disc.centre, ring)} OR {near}))"


def _polygons_meet(one: _Ring, other: _Ring) -> str:
    corners = f"{_any(one.corners, 'v', _inside('v', other))} OR {_any(other.corners, 'v', _inside('v', one))}"
    return f"({corners} OR {_sides_cross(one, other)})"


Figure = _Disc | _Ring

Figures = list[tuple[str, Figure]]
"""What a shape may be: the condition of being known as one, and the figure."""


def _contained(inner: Figure, outer: Figure) -> str:
    if isinstance(inner, _Disc):
        return _circle_in_circle(inner, outer) if isinstance(outer, _Disc) else _circle_in_polygon(inner, outer)
    return _polygon_in_circle(inner, outer) if isinstance(outer, _Disc) else _polygon_in_polygon(inner, outer)


def _met(one: Figure, other: Figure) -> str:
    if isinstance(one, _Disc):
        return _circles_meet(one, other) if isinstance(other, _Disc) else _circle_meets_polygon(one, other)
    return _circle_meets_polygon(other, one) if isinstance(other, _Disc) else _polygons_meet(one, other)


# --- from the tree --------------------------------------------------------------------------------


def related(condition: Contains | Intersects, degrees: Degrees, text: Callable[[Expr], str]) -> str:
    """Return whether one shape contains, or meets, another by the general way: a condition, NULL where a number is."""
    if isinstance(condition, Contains):
        return _relation(condition.inner, condition.outer, _contained, (degrees, text))
    return _relation(condition.first, condition.second, _met, (degrees, text))


Writers = tuple[Degrees, Callable[[Expr], str]]


def _relation(one: Expr, other: Expr, relate: Callable[[Figure, Figure], str], writers: Writers) -> str:
    first, second = _parts("a", one, writers), _parts("b", other, writers)
    pairs = [
        (f"{is_first} AND {is_second}", relate(figure, other_figure))
        for is_first, figure in first.figures
        for is_second, other_figure in second.figures
    ]
    branches = " ".join(f"WHEN {known} THEN {related}" for known, related in pairs)
    body = let(f"CASE {branches} END", "h", **first.third, **second.third)
    body = let(body, "g", **first.second, **second.second)
    return f"({let(body, 's', **first.first, **second.first)})"


def _parts(side: str, shape: Expr, writers: Writers) -> "_Parts | _RegionParts":
    degrees, text = writers
    return _RegionParts(side, text(shape.text)) if isinstance(shape, RegionColumn) else _Parts(side, shape, degrees)


_NUMBER: Final = "[-+]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)(?:[eE][-+]?[0-9]+)?"
_FRAME: Final = "ICRS|GEOCENTER|BARYCENTER|HELIOCENTER|TOPOCENTER|UNKNOWNREFPOS|SPHERICAL2"
_REGION: Final = f"(?i)\\s*(?:(CIRCLE)|POLYGON)(?:\\s+(?:{_FRAME}))*(?:\\s+{_NUMBER})+\\s*"
"""The STC-S that is understood: circles and polygons in ICRS."""


class _RegionParts:
    """A column of STC-S texts in the three steps of `_Parts`; what is no circle or polygon in ICRS is unknown.

    Parameters
    ----------
    side
        Tells the names of two shapes apart.
    sql
        The column.
    """

    def __init__(self, side: str, sql: str) -> None:
        # the frame's SPHERICAL2 is no number
        words = f"regexp_extract_all({sql}, '\\s({_NUMBER})', 1)"
        numbers = f"list_transform({words}, lambda c: CAST(c AS DOUBLE))"
        self.first = {
            f"{side}n": f"CASE WHEN regexp_full_match({sql}, '{_REGION}') THEN {numbers} END",
            f"{side}c": f"regexp_matches({sql}, '(?i)^\\s*CIRCLE')",
        }
        n = f"s.{side}n"
        spots = f"list_transform(range(1, len({n}) // 2 + 1), lambda c: [{n}[2 * c - 1], {n}[2 * c]])"
        valid = f"CASE WHEN s.{side}c THEN len({n}) = 3 ELSE len({n}) >= 6 AND len({n}) % 2 = 0 END"
        upright = f"list_bool_and(list_transform({spots}, lambda c: c[2] BETWEEN -90e0 AND 90e0))"
        self.second = {
            side: _vectors(spots),
            f"{side}r": f"{n}[3]",
            f"{side}c": f"s.{side}c",
            f"{side}k": f"{valid} AND {upright}",
        }
        ring = f"CASE WHEN g.{side}c THEN 1e0 ELSE {_turn(f'g.{side}', f'len(g.{side})')} END"
        self.third = {key: f"g.{key}" for key in self.second} | {f"{side}t": ring}
        self.figures: Figures = [
            (f"h.{side}k AND h.{side}c", _Disc(f"h.{side}[1]", f"h.{side}r")),
            (f"h.{side}k AND NOT h.{side}c", _Ring(f"h.{side}", f"len(h.{side})", f"h.{side}t")),
        ]


class _Parts:
    """A shape as SQL computes it in three steps: its coordinates, its vectors, and its turn.

    Parameters
    ----------
    side
        Tells the names of two shapes apart.
    shape
        A point, circle or polygon of a resolved tree.
    degrees
        Writes a coordinate or radius.
    """

    def __init__(self, side: str, shape: Expr, degrees: Degrees) -> None:
        spots = f"[{', '.join(f'[{degrees(point.ra)}, {degrees(point.dec)}]' for point in _corners(shape))}]"
        self.first: Mapping[str, str] = {side: spots}
        given = _all(f"s.{side}", "c", "c[1] IS NOT NULL AND c[2] IS NOT NULL")
        self.second = {side: _vectors(f"s.{side}"), f"{side}k": given}
        self.third = {side: f"g.{side}", f"{side}k": f"g.{side}k"}
        self.known = f"h.{side}k"
        figure: Figure = _Disc(f"h.{side}[1]")
        if isinstance(shape, Circle):
            radius = f"{side}r"
            self.first = {**self.first, radius: degrees(shape.radius)}
            self.second[radius], self.third[radius] = f"s.{radius}", f"g.{radius}"
            self.known += f" AND h.{radius} IS NOT NULL"
            figure = _Disc(f"h.{side}[1]", f"h.{radius}")
        elif isinstance(shape, PolygonShape):
            count = str(len(shape.vertices))
            self.third[f"{side}t"] = _turn(f"g.{side}", count)
            figure = _Ring(f"h.{side}", count, f"h.{side}t")
        self.figures: Figures = [(self.known, figure)]


def _corners(shape: Expr) -> tuple[Point, ...]:
    match shape:
        case Point():
            points: tuple[Expr, ...] = (shape,)
        case Circle(centre=centre):
            points = (centre,)
        case PolygonShape(vertices=vertices):
            points = vertices
        case _:
            raise TypeError(shape)
    return tuple(point for point in points if isinstance(point, Point))


def _of_polygon(shape: PolygonShape, value: str, degrees: Degrees) -> str:
    """Return a value of a polygon, in which ``s.a`` are its corners in degrees and ``h.at`` its turn."""
    parts = _Parts("a", shape, degrees)
    body = let(f"CASE WHEN {parts.known} THEN {value} END", "h", **parts.third)
    return let(let(body, "g", **parts.second), "s", **parts.first)


def polygon_value(shape: PolygonShape, degrees: Degrees) -> str:
    """Return the coordinates of a polygon's corners, counter-clockwise (DALI 1.1 section 3.3.7)."""
    return _of_polygon(shape, "flatten(CASE WHEN h.at < 0e0 THEN list_reverse(s.a) ELSE s.a END)", degrees)


def area_value(shape: PolygonShape, degrees: Degrees) -> str:
    """Return a polygon's area in square degrees."""
    return _of_polygon(shape, f"abs(h.at) * {double(math.degrees(1) ** 2)}", degrees)


_SMALL: Final = double(1e-3)
"""Radians; in smaller polygons the sum over sides cancels away, larger ones are not flat."""


def centroid_value(shape: PolygonShape, axis: int, degrees: Degrees) -> str:
    """Return a coordinate, 1 or 2, of the mean direction of a polygon's points, in degrees.

    By Stokes' theorem the mean is half the sum over sides of arc length times normal; in small polygons that of the
    centroids of triangles, weighted by area.
    """
    ring = _Ring("h.a", str(len(shape.vertices)), "h.at")
    normal = _cross("e.a", _minus("e.b", "e.a"))
    length = _norm("n.v")
    arc = f"CASE WHEN {length} > 0e0 THEN atan2({length}, {_dot('n.a', 'n.b')}) / {length} ELSE 0e0 END"
    sides = ring.sides("e", let(_scaled("n.v", arc), "n", v=normal, a="e.a", b="e.b"))
    middle = "array_value(" + ", ".join(f"t.a[{k}] + t.b[{k}] + t.c[{k}]" for k in (1, 2, 3)) + ")"
    ends = {"a": "h.a[1]", "b": "h.a[f]", "c": "h.a[f + 1]"}
    triangle = let(_scaled(middle, _volume("t.a", "t.b", "t.c")), "t", **ends)
    triangles = f"list_transform(range(2, {ring.count}), lambda f: {triangle})"
    is_small = f"list_max(list_transform(h.a, lambda v: {_norm(_minus('v', 'h.a[1]'))})) < {_SMALL}"
    x, y, z = (f"list_sum(list_transform(m.v, lambda w: w[{k}])) * sign(m.turn)" for k in (1, 2, 3))
    angle = f"atan2({y}, {x})" if axis == 1 else f"atan2({z}, sqrt(pow({x}, 2) + pow({y}, 2)))"
    folded = f"(degrees({angle}) + 360e0) % 360e0" if axis == 1 else f"degrees({angle})"
    mean = let(folded, "m", v=f"CASE WHEN {is_small} THEN {triangles} ELSE {sides} END", turn="h.at")
    return _of_polygon(shape, mean, degrees)


def _scaled(vector: str, by: str) -> str:
    parts = ", ".join(f"s.v[{k}] * s.by" for k in (1, 2, 3))
    return let(f"array_value({parts})", "s", v=vector, by=by)
