"""Every form of condition that bounds a position, and forms that look alike but do not."""

import math

import pytest

from catalog_service.models.schema import Column, DataType, SkyPosition
from catalog_service.models.tree import (
    And,
    Between,
    Binary,
    BooleanLiteral,
    BoxShape,
    Case,
    Circle,
    ColumnRef,
    Comparison,
    Contains,
    Coordinate,
    Distance,
    Expr,
    FunctionCall,
    InList,
    IntegerLiteral,
    IsNull,
    Not,
    NullLiteral,
    Or,
    PolygonShape,
    RealLiteral,
    StringLiteral,
    Unary,
)
from catalog_service.planner.regions import AllOf, AnyOf, RegionExpr, condition_regions
from partitioning.sky.regions import Box, Cone, Polygon
from tests.catalog_service.planner.conditions import DEC, RA, circle, contains, number, own_point, point

POSITIONS = {0: SkyPosition("ra", "dec"), 1: SkyPosition("ra", "dec")}
ra, dec = ColumnRef(0, RA), ColumnRef(0, DEC)
MAG = ColumnRef(0, Column(name="mag", datatype=DataType.DOUBLE))
ONE = IntegerLiteral(1)
CONE = Cone(10.0, -20.0, 0.5)
INSIDE = Contains(own_point(), circle(10.0, -20.0, 0.5))
IN_CONE = Comparison("=", INSIDE, ONE)
SEPARATION = Distance(own_point(), point(10.0, -20.0))
SEPARATION_BACK = Distance(point(10.0, -20.0), own_point())
R = number(0.5)
CORNERS = ((0.0, 0.0), (2.0, 0.0), (1.0, 2.0))
NEGATIVE = Unary("-", RealLiteral(2.5))


@pytest.mark.parametrize(
    ("condition", "region"),
    [
        (IN_CONE, CONE),
        (Comparison("=", ONE, INSIDE), CONE),
        (Comparison("=", INSIDE, RealLiteral(1.0)), CONE),
        (Comparison("<", SEPARATION, R), CONE),
        (Comparison("<=", SEPARATION, R), CONE),
        (Comparison("=", SEPARATION, R), CONE),
        (Comparison("<=", SEPARATION_BACK, R), CONE),
        (Comparison(">", R, SEPARATION), CONE),
        (Comparison(">=", R, SEPARATION_BACK), CONE),
        (Comparison("=", R, SEPARATION), CONE),
        (Comparison("<", SEPARATION, IntegerLiteral(2)), Cone(10.0, -20.0, 2.0)),
        (Comparison("<", SEPARATION, number(-1.0)), Cone(10.0, -20.0, 0.0)),
        (Comparison("<", SEPARATION, number(500.0)), Cone(10.0, -20.0, 180.0)),
        (contains(circle(370.0, -20.0, 0.5)), Cone(10.0, -20.0, 0.5)),
        (contains(circle(0.0, 90.0, 180.0)), Cone(0.0, 90.0, 180.0)),
        (contains(PolygonShape(tuple(point(*c) for c in CORNERS))), Polygon(CORNERS)),
        (Between(dec, number(-2.5), number(4.0)), Box(0.0, 360.0, -2.5, 4.0)),
        (And((Comparison(">", dec, NEGATIVE), Comparison("<=", dec, IntegerLiteral(4)))), Box(0.0, 360.0, -2.5, 4.0)),
        (And((Comparison("<", NEGATIVE, dec), Comparison(">=", IntegerLiteral(4), dec))), Box(0.0, 360.0, -2.5, 4.0)),
        (Comparison("=", dec, number(4.0)), Box(0.0, 360.0, 4.0, 4.0)),
        (Comparison("<", dec, number(4.0)), Box(0.0, 360.0, -90.0, 4.0)),
        (Between(ra, number(350.0), number(370.0)), Box(350.0, 370.0, -90.0, 90.0)),
        (
            And((Between(ra, number(1.0), number(2.0)), Comparison(">", dec, number(4.0)))),
            Box(1.0, 2.0, 4.0, 90.0),
        ),
        (And((Comparison(">", ra, number(1.0)), Between(dec, number(1.0), number(2.0)))), Box(0.0, 360.0, 1.0, 2.0)),
        (
            And((And((Comparison(">", ra, number(1.0)), IN_CONE)), Comparison("<", ra, number(2.0)))),
            AllOf((CONE, Box(1.0, 2.0, -90.0, 90.0))),
        ),
        (And((IN_CONE, Comparison("<", MAG, number(20.0)))), CONE),
        (Or((IN_CONE, contains(circle(1.0, 2.0, 3.0)))), AnyOf((CONE, Cone(1.0, 2.0, 3.0)))),
        (Or((IN_CONE, Between(dec, number(1.0), number(2.0)))), AnyOf((CONE, Box(0.0, 360.0, 1.0, 2.0)))),
        (
            Or((And((IN_CONE, Comparison("<", MAG, number(20.0)))), contains(circle(1.0, 2.0, 3.0)))),
            AnyOf((CONE, Cone(1.0, 2.0, 3.0))),
        ),
        (And((IN_CONE, Or((IN_CONE, Comparison("<", MAG, number(20.0)))))), CONE),
    ],
)
def test_bounds(condition: Expr, region: RegionExpr) -> None:
    assert condition_regions(condition, POSITIONS) == {0: region}


@pytest.mark.parametrize(
    "condition",
    [
        None,
        Comparison("<", MAG, number(20.0)),
        Comparison("=", INSIDE, IntegerLiteral(0)),
        Comparison("<>", INSIDE, ONE),
        Comparison("<", INSIDE, ONE),
        Comparison("=", INSIDE, INSIDE),
        Not(IN_CONE),
        Not(And((IN_CONE, IN_CONE))),
        Or((IN_CONE, Comparison("<", MAG, number(20.0)))),
        Or((IN_CONE, IsNull(ra))),
        Or((IN_CONE, contains(circle(1.0, 2.0, 3.0), source=1))),
        IsNull(dec, negated=True),
        BooleanLiteral(value=True),
        NullLiteral(),
        Case(None, ((IN_CONE, BooleanLiteral(value=True)),), BooleanLiteral(value=True)),
        InList(dec, (number(1.0), number(2.0))),
        Comparison(">", SEPARATION, R),
        Comparison(">=", SEPARATION, R),
        Comparison("<>", SEPARATION, R),
        Comparison("<", R, SEPARATION),
        Comparison("<", SEPARATION, MAG),
        Comparison("<", Distance(own_point(), own_point(1)), R),
        Comparison("<", Distance(point(1.0, 2.0), point(3.0, 4.0)), R),
        contains(Circle(own_point(1), number(1.0))),
        contains(Circle(point(1.0, 2.0), MAG)),
        contains(BoxShape(point(1.0, 2.0), number(1.0), number(1.0))),
        Comparison("=", Contains(type(own_point())(dec, ra), circle(1.0, 2.0, 3.0)), ONE),
        Comparison("=", Contains(type(own_point())(ra, ColumnRef(1, DEC)), circle(1.0, 2.0, 3.0)), ONE),
        Comparison("=", Contains(type(own_point())(Unary("-", ra), dec), circle(1.0, 2.0, 3.0)), ONE),
        Comparison("=", Contains(type(own_point())(MAG, dec), circle(1.0, 2.0, 3.0)), ONE),
        Comparison("=", FunctionCall("abs", (INSIDE,)), ONE),
        Comparison("<", Coordinate(2, own_point()), number(1.0)),
        Comparison("<", FunctionCall("abs", (dec,)), number(1.0)),
        Comparison("<", Binary("+", dec, ONE), number(1.0)),
        Comparison("<>", dec, number(1.0)),
        Comparison("<", dec, MAG),
        Comparison("=", dec, StringLiteral("1")),
        Comparison("=", dec, NullLiteral()),
        Between(dec, number(1.0), number(2.0), negated=True),
        Between(dec, number(1.0), MAG),
        Between(MAG, number(1.0), number(2.0)),
        Comparison(">", ra, number(1.0)),
        Between(ra, number(0.0), number(360.0)),
        Between(dec, number(-90.0), number(90.0)),
        Comparison(">", dec, number(-200.0)),
        # contradictions are left to the engine
        Comparison(">", dec, number(95.0)),
        Between(dec, number(2.0), number(1.0)),
        Between(ra, number(2.0), number(1.0)),
        # ill-defined regions are reported by the language layer
        contains(circle(1.0, 95.0, 3.0)),
        contains(circle(1.0, 2.0, 300.0)),
        contains(PolygonShape((point(0.0, 0.0), point(1.0, 0.0)))),
        contains(circle(math.nan, 2.0, 3.0)),
    ],
)
def test_no_bounds(condition: Expr | None) -> None:
    assert condition_regions(condition, POSITIONS) == {}


def test_each_source_gets_its_own_bounds() -> None:
    there = contains(circle(1.0, 2.0, 3.0), source=1)
    assert condition_regions(And((IN_CONE, there)), POSITIONS) == {0: CONE, 1: Cone(1.0, 2.0, 3.0)}
    either = Or((And((IN_CONE, there)), And((there, contains(circle(4.0, 5.0, 6.0))))))
    assert condition_regions(either, POSITIONS) == {
        0: AnyOf((CONE, Cone(4.0, 5.0, 6.0))),
        1: AnyOf((Cone(1.0, 2.0, 3.0), Cone(1.0, 2.0, 3.0))),
    }


def test_positions_of_other_sources_do_not_count() -> None:
    """An outer query's column in a correlated subquery, or a table without a position."""
    assert condition_regions(IN_CONE, {}) == {}
    assert condition_regions(IN_CONE, {1: SkyPosition("ra", "dec")}) == {}
    assert condition_regions(IN_CONE, {0: SkyPosition("ra_other", "dec")}) == {}
    assert condition_regions(Between(dec, number(1.0), number(2.0)), {0: SkyPosition("ra", "dec2")}) == {}
