"""Bounds carried over a separation, where it is tightest: partners on the rim of the enlarged region."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.models.query import ResolvedQuery
from catalog_service.models.schema import Column, DataType, Table
from catalog_service.models.stored import StoredTable
from catalog_service.models.tree import (
    And,
    Comparison,
    Distance,
    Exists,
    Expr,
    IntegerLiteral,
    Join,
    JoinKind,
    Not,
    RealLiteral,
    Select,
    SelectItem,
    TableRef,
)
from catalog_service.planner.near import Link, reaches
from catalog_service.planner.plan import plan
from partitioning.layout.manifest import Placement
from partitioning.sky.regions import Cone
from partitioning.sky.separation import separation_deg

from .conditions import circle, contains, own_point
from .worlds import World, make_table, make_world, points_near

centres = st.tuples(
    st.sampled_from([0.0, 359.999, 45.0]) | st.floats(0, 360), st.sampled_from([90.0, -89.9, 0.0, 41.8])
)
radii = st.sampled_from([0.0, 1 / 3600, 0.1, 2.0]) | st.floats(0, 9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), centre=centres, radius_deg=radii, near_deg=radii, scattered=st.booleans())
def test_no_partner_on_the_rim_is_left_out(
    seed: int, centre: tuple[float, float], radius_deg: float, near_deg: float, *, scattered: bool
) -> None:
    first, second, needed = make_near(seed, centre, radius_deg, near_deg, scattered=scattered)
    for kind in (JoinKind.INNER, JoinKind.LEFT):
        assert readable(first, second, kind, (*centre, radius_deg), near_deg)[needed].all()


def make_near(
    seed: int, centre: tuple[float, float], radius_deg: float, near_deg: float, *, scattered: bool
) -> tuple[World, World, np.ndarray]:
    """Return two tables around a cone, and which rows of the second are near one of the first that is inside."""
    rng = np.random.default_rng(seed)
    first = make_world(rng, make_table("A"), points_near(rng, *centre, radius_deg, 30), finest=9)
    second = make_partners(rng, points_near(rng, *centre, radius_deg + near_deg, 60), 0.3 if scattered else 0.0)
    inside = Cone(*centre, radius_deg).contains(first.ra, first.dec)
    apart = separation_deg(first.ra[inside, None], first.dec[inside, None], second.ra[None, :], second.dec[None, :])
    return first, second, np.asarray((apart <= near_deg).any(axis=0))


def make_partners(rng: np.random.Generator, own: tuple[np.ndarray, np.ndarray], scatter_deg: float) -> World:
    """Make a table B that is placed by positions up to `scatter_deg` away from its own."""
    if not scatter_deg:
        return make_world(rng, make_table("B"), own, finest=9)
    around = [points_near(rng, ra, dec, scatter_deg, 1) for ra, dec in zip(*own, strict=True)]
    placed = (np.concatenate([ra for ra, _ in around]), np.concatenate([dec for _, dec in around]))
    placement = Placement(ra_column="_ra", dec_column="_dec", own_ra_column="ra", own_dec_column="dec")
    return make_world(rng, make_table("B"), own, placed=placed, placement=placement, finest=9)


def readable(
    first: World, second: World, kind: JoinKind, region: tuple[float, float, float], near_deg: float
) -> np.ndarray:
    """Return which rows of B may be read for A in a cone joined with B."""
    on = Comparison("<", Distance(own_point(1), own_point(0)), RealLiteral(near_deg))
    item = Join(kind, TableRef(0, first.table, "a"), TableRef(1, second.table, "b"), on=on)
    one = Column(name="one", datatype=DataType.INT)
    tree = Select((SelectItem(IntegerLiteral(1), column=one),), item, where=contains(circle(*region), 0))

    def lookup(table: Table) -> StoredTable:
        return (first if table.name == "A" else second).stored

    return second.readable(plan(ResolvedQuery(tree, (one,)), lookup, visible_schemas={"sky"}).scans[1])


def readable_inside(
    first: World, second: World, region: tuple[float, float, float], near_deg: float, *, negated: bool
) -> np.ndarray:
    """Return which rows of B may be read by a subquery that looks for them near rows of A, in a cone."""
    one = Column(name="one", datatype=DataType.INT)
    items = (SelectItem(IntegerLiteral(1), column=one),)
    near = Comparison("<", Distance(own_point(1), own_point(0)), RealLiteral(near_deg))
    inner: Expr = Exists(Select(items, TableRef(1, second.table, "b"), where=near))
    where = And((Not(inner) if negated else inner, contains(circle(*region), 0)))
    tree = Select(items, TableRef(0, first.table, "a"), where=where)

    def lookup(table: Table) -> StoredTable:
        return (first if table.name == "A" else second).stored

    return second.readable(plan(ResolvedQuery(tree, (one,)), lookup, visible_schemas={"sky"}).scans[1])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), centre=centres, radius_deg=radii, near_deg=radii, scattered=st.booleans())
def test_a_subquery_finds_all_that_is_near_the_region_around_it(
    seed: int, centre: tuple[float, float], radius_deg: float, near_deg: float, *, scattered: bool
) -> None:
    first, second, needed = make_near(seed, centre, radius_deg, near_deg, scattered=scattered)
    for negated in (True, False):
        assert readable_inside(first, second, (*centre, radius_deg), near_deg, negated=negated)[needed].all()


@pytest.mark.parametrize("scatter_deg", [0.0, 0.3])
def test_a_subquery_reads_nothing_far_from_the_region_around_it(scatter_deg: float) -> None:
    rng = np.random.default_rng(4)
    first = make_world(rng, make_table("A"), points_near(rng, 10, 20, 1, 20), finest=9)
    second = make_partners(rng, points_near(rng, 10, 20, 60, 400), scatter_deg)
    kept = readable_inside(first, second, (10, 20, 1), 0.5, negated=True)
    far = separation_deg(second.ra, second.dec, 10, 20) > 5
    assert far.sum() > 200
    assert not kept[far].any()


@pytest.mark.parametrize("scatter_deg", [0.0, 0.3])
def test_what_is_far_away_is_left_out(scatter_deg: float) -> None:
    rng = np.random.default_rng(4)
    first = make_world(rng, make_table("A"), points_near(rng, 10, 20, 1, 20), finest=9)
    second = make_partners(rng, points_near(rng, 10, 20, 60, 400), scatter_deg)
    kept = readable(first, second, JoinKind.LEFT, (10, 20, 1), 0.5)
    far = separation_deg(second.ra, second.dec, 10, 20) > 5
    assert far.sum() > 200
    assert not kept[far].any()


def test_reaches_are_shortest() -> None:
    pairs = [((0, 1), 1.0), ((1, 2), 1.0), ((0, 2), 5.0), ((2, 3), 0.0), ((4, 5), 1.0)]
    known = [Link(frozenset(pair), within) for pair, within in pairs]
    for order in (known, known[::-1]):
        assert reaches(0, order) == {0: 0.0, 1: 1.0, 2: 2.0, 3: 2.0}
        assert reaches(3, order) == {3: 0.0, 2: 0.0, 1: 1.0, 0: 2.0}
