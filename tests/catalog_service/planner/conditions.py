"""Random conditions on positions: a query tree and, beside it, what numpy says about each row."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import strategies as st

from catalog_service.models.schema import Column, DataType
from catalog_service.models.tree import (
    And,
    Between,
    Binary,
    Circle,
    ColumnRef,
    Comparison,
    Contains,
    Distance,
    Expr,
    IntegerLiteral,
    InUnit,
    IsNull,
    Not,
    Or,
    Point,
    PolygonShape,
    RealLiteral,
    Unary,
)
from partitioning.exceptions import RegionError
from partitioning.sky.regions import Cone, Polygon
from tests.catalog_service.planner.worlds import Bools, Floats, points_near

Test = Callable[[Floats, Floats], Bools]
"""Stored RA and Dec (degrees, NaN for NULL) -> rows for which the condition is true."""

RA = Column(name="ra", datatype=DataType.DOUBLE, stored_name="ra")
DEC = Column(name="dec", datatype=DataType.DOUBLE, stored_name="dec")


@dataclass(frozen=True)
class Condition:
    """A condition, its truth in numpy, and circles (RA, Dec, radius) on whose rims its border lies about."""

    expr: Expr
    holds: Test
    circles: tuple[tuple[float, float, float], ...] = field(default=())


def number(value: float) -> Expr:
    """Return a literal as the parser makes it: signs are nodes of their own."""
    return Unary("-", RealLiteral(-value)) if value < 0 else RealLiteral(value)


def point(ra: float, dec: float) -> Point:
    return Point(number(ra), number(dec))


def own_point(source: int = 0) -> Point:
    return Point(ColumnRef(source, RA), ColumnRef(source, DEC))


def circle(ra: float, dec: float, radius: float) -> Circle:
    return Circle(point(ra, dec), number(radius))


def contains(shape: Expr, source: int = 0) -> Comparison:
    return Comparison("=", Contains(own_point(source), shape), IntegerLiteral(1))


ras = st.sampled_from([0.0, 360.0, -1e-9, 45.0, 90.0, 180.0, 359.9999, 725.0]) | st.floats(-30, 400)
decs = st.sampled_from([90.0, -90.0, 89.9999, -89.5, 0.0, 41.810314895778596]) | st.floats(-90, 90)
radii = (
    st.sampled_from([0.0, 1e-6, 1 / 60, 1.0, 45.0, 90.0, 91.0, 150.0, 179.9999, 180.0])
    | st.floats(-6, 1.5).map(lambda power: 10.0**power)
    | st.floats(0, 180)
)


@st.composite
def cones(draw: st.DrawFn) -> Condition:
    """A cone in one of the ways of writing it."""
    ra, dec, radius = draw(ras), draw(decs), draw(radii)
    cone = Cone(ra, dec, radius)
    inside, centre = Contains(own_point(), circle(ra, dec, radius)), point(ra, dec)
    forms: list[Expr] = [
        Comparison("=", inside, IntegerLiteral(1)),
        Comparison("=", IntegerLiteral(1), inside),
        Comparison("<=", Distance(own_point(), centre), number(radius)),
        Comparison("<=", Distance(centre, own_point()), number(radius)),
        Comparison(">=", number(radius), Distance(own_point(), centre)),
        Comparison("<=", Binary("*", Distance(own_point(), centre), number(3600.0)), number(radius * 3600)),
        Comparison(">=", number(radius / 60), Binary("/", Distance(own_point(), centre), number(60.0))),
        Comparison("<=", InUnit(Distance(own_point(), centre), "arcmin", 60.0), number(radius * 60)),
        Comparison("<>", inside, IntegerLiteral(0)),
        Comparison("<", IntegerLiteral(0), inside),
        Not(Comparison("=", IntegerLiteral(0), inside)),
        Not(Comparison(">", Distance(own_point(), centre), number(radius))),
        Between(Distance(own_point(), centre), number(0.0), number(radius)),
        Not(Not(Not(Between(Distance(own_point(), centre), number(0.0), number(radius), negated=True)))),
        Comparison("=", Contains(centre, Circle(own_point(), number(radius))), IntegerLiteral(1)),
    ]
    return Condition(draw(st.sampled_from(forms)), cone.contains, ((cone.ra_deg, dec, radius),))


@st.composite
def far_from(draw: st.DrawFn) -> Condition:
    """What lies away from a position: about its antipode."""
    ra, dec, radius = draw(ras), draw(decs), draw(st.sampled_from([90.5, 179.0, 179.99, 180.0]) | radii)
    cone, apart = Cone(ra + 180, -dec, 180 - radius), Distance(own_point(), point(ra, dec))
    forms: list[Expr] = [
        Comparison(">=", apart, number(radius)),
        Comparison("<=", number(radius), apart),
        Not(Comparison("<", apart, number(radius))),
    ]
    return Condition(draw(st.sampled_from(forms)), cone.contains, ((cone.ra_deg, -dec, 180 - radius),))


@st.composite
def outside_of(draw: st.DrawFn) -> Condition:
    """Right ascension or declination outside of a range."""
    low, width = draw(ras), draw(st.sampled_from([0.5, 20.0, 340.0]))
    expr = Between(ColumnRef(0, RA), number(low), number(low + width), negated=True)
    if draw(st.booleans()):
        return Condition(expr, lambda a, _: (a < low) | (a > low + width), ((low, 0.0, 90.0), (low + width, 0.0, 90.0)))
    dec = draw(decs)
    expr = Between(ColumnRef(0, DEC), number(dec - 60), number(dec + 0.5), negated=True)
    return Condition(expr, lambda _, d: (d < dec - 60) | (d > dec + 0.5))


@st.composite
def polygons(draw: st.DrawFn) -> Condition:
    """A star-shaped polygon, mostly not convex."""
    ra, dec, radius = draw(ras), draw(decs), 10 ** draw(st.floats(-5, 1.85))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(3, 9))
    angles = (np.arange(count) + rng.uniform(-0.4, 0.4, count)) * (2 * np.pi / count)
    shares = rng.uniform(0.3, 1, count) if draw(st.booleans()) else np.ones(count)
    corners = [points_on(ra, dec, radius * share, angle) for share, angle in zip(shares, angles, strict=True)]
    try:
        polygon = Polygon(tuple(corners))
    except RegionError:  # thinner than rounding at the pole
        polygon = Polygon(((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
        corners = list(polygon.vertices)
    shape = PolygonShape(tuple(point(*corner) for corner in corners))
    return Condition(contains(shape), polygon.contains, ((ra, dec, radius), *((a, d, radius / 50) for a, d in corners)))


def points_on(ra: float, dec: float, distance_deg: float, angle: float) -> tuple[float, float]:
    """Return the position at a distance and direction from a centre."""
    a, d, r = np.radians(ra), np.radians(dec), np.radians(distance_deg)
    centre = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    x, y, z = np.cos(r) * centre + np.sin(r) * (np.cos(angle) * east + np.sin(angle) * np.cross(centre, east))
    return float(np.degrees(np.arctan2(y, x))), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


@st.composite
def dec_ranges(draw: st.DrawFn) -> Condition:
    """A range of declination alone."""
    low = draw(decs)
    high = low + draw(st.sampled_from([0.0, 1e-7, 0.01, 3.0, 200.0]))
    column = ColumnRef(0, DEC)
    both: tuple[Expr, ...] = (Comparison(">=", column, number(low)), Comparison(">", number(high), column))
    return draw(
        st.sampled_from(
            [
                Condition(Between(column, number(low), number(high)), lambda _, d: (d >= low) & (d <= high)),
                Condition(And(both), lambda _, d: (d >= low) & (d < high)),
                Condition(both[0], lambda _, d: d >= low),
                Condition(Comparison("=", column, number(low)), lambda _, d: d == low),
            ]
        )
    )


@st.composite
def boxes(draw: st.DrawFn) -> Condition:
    """Ranges of stored RA and Dec; a stored RA is not folded."""
    low, width = draw(ras), draw(st.sampled_from([0.0, 1e-6, 0.1, 20.0, 359.0, 360.0, 500.0]))
    dec_range = draw(dec_ranges())
    high = low + width
    in_ra: Expr = Between(ColumnRef(0, RA), number(low), number(high))
    parts = draw(st.sampled_from([(in_ra, dec_range.expr), (dec_range.expr, in_ra)]))
    circles = tuple((a, 0.0, 90.0) for a in (low, high))
    return Condition(And(parts), lambda a, d: (a >= low) & (a <= high) & dec_range.holds(a, d), circles)


def _ra_alone(low: float) -> Condition:
    return Condition(
        And((Comparison(">", ColumnRef(0, RA), number(low)), Comparison("<", ColumnRef(0, RA), number(low + 2)))),
        lambda a, _: (a > low) & (a < low + 2),
    )


def _negated(atom: Condition) -> Condition:
    return Condition(Not(atom.expr), lambda a, d: ~atom.holds(a, d) & np.isfinite(a) & np.isfinite(d), atom.circles)


no_bounds = st.sampled_from(
    [
        Condition(IsNull(ColumnRef(0, RA), negated=True), lambda a, _: np.isfinite(a)),
        Condition(IsNull(ColumnRef(0, DEC)), lambda _, d: np.isnan(d)),
        Condition(Comparison(">", ColumnRef(0, RA), number(100.0)), lambda a, _: a > 100),
        Condition(Comparison("<>", ColumnRef(0, DEC), number(0.0)), lambda _, d: np.isfinite(d) & (d != 0)),
    ]
)

atoms = cones() | cones() | polygons() | dec_ranges() | boxes() | ras.map(_ra_alone) | no_bounds | cones().map(_negated)
atoms |= far_from() | outside_of()


def _all(parts: list[Condition]) -> Condition:
    return Condition(
        And(tuple(part.expr for part in parts)),
        lambda a, d: np.all([part.holds(a, d) for part in parts], axis=0),
        tuple(circle for part in parts for circle in part.circles),
    )


def _any(parts: list[Condition]) -> Condition:
    return Condition(
        Or(tuple(part.expr for part in parts)),
        lambda a, d: np.any([part.holds(a, d) for part in parts], axis=0),
        tuple(circle for part in parts for circle in part.circles),
    )


def _none(parts: list[Condition]) -> Condition:
    """``NOT (a OR b)``, false where a position is unknown."""
    every = _all([_negated(part) for part in parts])
    return replace(every, expr=Not(Or(tuple(part.expr for part in parts))))


def _not_all(parts: list[Condition]) -> Condition:
    """``NOT (a AND b)``: true where one of them is false, that is, known not to hold."""
    some = _any([_negated(part) for part in parts])
    return replace(some, expr=Not(And(tuple(part.expr for part in parts))))


def _combined(children: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    lists = st.lists(children, min_size=2, max_size=3)
    return lists.map(_all) | lists.map(_any)


wrapped_ra = ras.map(
    lambda ra: Condition(
        Or((Comparison(">", ColumnRef(0, RA), number(ra + 5)), Comparison("<=", ColumnRef(0, RA), number(ra)))),
        lambda a, _: (a > ra + 5) | (a <= ra),
        ((ra, 0.0, 5.0), (ra, 80.0, 5.0)),
    )
)
"""RA beyond one value or below another: a range over RA 0."""

_pairs = st.lists(cones() | polygons(), min_size=2, max_size=3)

conditions = (
    atoms | wrapped_ra | _pairs.map(_none) | _pairs.map(_not_all) | st.recursive(atoms, _combined, max_leaves=5)
)
"""Conditions on the position of source 0."""


def rows_about(rng: np.random.Generator, condition: Condition, count: int) -> tuple[Floats, Floats]:
    """Return positions on and about the borders of a condition."""
    parts = [points_near(rng, *circle, count) for circle in condition.circles[:12]]
    return np.concatenate([np.empty(0), *(p[0] for p in parts)]), np.concatenate([np.empty(0), *(p[1] for p in parts)])
