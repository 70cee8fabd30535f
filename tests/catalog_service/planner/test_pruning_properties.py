"""No row that satisfies a condition is ever pruned: not by its tile, not by the index ranges, not by the box."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.models.tree import (
    And,
    Between,
    Binary,
    ColumnRef,
    Comparison,
    Contains,
    Distance,
    Expr,
    IntegerLiteral,
    Not,
    Or,
)
from partitioning.layout.manifest import Placement
from tests.catalog_service.planner.conditions import (
    DEC,
    RA,
    Condition,
    circle,
    conditions,
    cones,
    contains,
    number,
    own_point,
    point,
    polygons,
    rows_about,
)
from tests.catalog_service.planner.worlds import (
    Bools,
    Floats,
    World,
    anywhere,
    awkward,
    make_table,
    make_world,
    plan_one,
    points_near,
)
from tests.harness import examples

seeds = st.integers(0, 2**32 - 1)

FORMS_OF_RA: Mapping[str, Callable[[Floats], Floats]] = {
    "folded": lambda ra: ra % 360.0,
    "with 360.0": lambda ra: np.where(ra % 360.0 < 1e-6, 360.0, ra % 360.0),
    "-180..180": lambda ra: (ra + 180.0) % 360.0 - 180.0,
    "second turn": lambda ra: ra % 360.0 + 360.0,
}


def lost_rows(world: World, condition: Condition) -> Bools:
    """Return which matching rows the planned scan cannot return."""
    scan, planned = plan_one(world, condition.expr)
    readable = world.readable(scan)
    partitions = world.stored.partitions
    assert partitions is not None
    assert planned.files == len(scan.files) <= planned.files_total == len(partitions)
    assert planned.rows >= np.count_nonzero(readable)
    return condition.holds(world.ra, world.dec) & ~readable


def rows_for(rng: np.random.Generator, condition: Condition) -> tuple[Floats, Floats]:
    parts = [rows_about(rng, condition, 40), anywhere(rng, 60), awkward()]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


@settings(max_examples=examples(60, 150), deadline=None)
@given(conditions, seeds, st.sampled_from(sorted(FORMS_OF_RA)))
def test_no_matching_row_is_lost(condition: Condition, seed: int, form: str) -> None:
    rng = np.random.default_rng(seed)
    ra, dec = rows_for(rng, condition)
    world = make_world(rng, make_table("stars"), (FORMS_OF_RA[form](ra), dec))
    assert not lost_rows(world, condition).any()


@settings(max_examples=examples(40, 100), deadline=None)
@given(conditions, seeds, st.floats(-4, 1.5).map(lambda power: 10.0**power))
def test_no_row_placed_away_from_its_own_position_is_lost(condition: Condition, seed: int, scatter_deg: float) -> None:
    rng = np.random.default_rng(seed)
    ra, dec = rows_for(rng, condition)
    away = [points_near(rng, a, d, scatter_deg * rng.choice([0, 1e-3, 1]), 1) for a, d in zip(ra, dec, strict=True)]
    placed = np.concatenate([p[0] for p in away]), np.concatenate([p[1] for p in away])
    ra[rng.random(len(ra)) < 0.05] = np.nan
    placement = Placement(
        ra_column="_parent_ra", dec_column="_parent_dec", own_ra_column="ra", own_dec_column="dec", parent="Object"
    )
    world = make_world(rng, make_table("sources"), (ra, dec), placed=placed, placement=placement)
    assert not lost_rows(world, condition).any()


@settings(max_examples=examples(30, 60), deadline=None)
@given(st.lists(cones() | polygons(), min_size=2, max_size=4), seeds)
def test_all_bounds_of_a_conjunction_are_used(parts: list[Condition], seed: int) -> None:
    """Each further bound can only take tiles away."""
    rng = np.random.default_rng(seed)
    positions = [rows_for(rng, part) for part in parts]
    own = np.concatenate([p[0] for p in positions]), np.concatenate([p[1] for p in positions])
    world = make_world(rng, make_table("stars"), own)
    together, _ = plan_one(world, And(tuple(part.expr for part in parts)))
    for part in parts:
        alone, _ = plan_one(world, part.expr)
        assert set(together.files) <= set(alone.files)


def test_a_small_cone_reads_few_tiles() -> None:
    rng = np.random.default_rng(7)
    world = make_world(rng, make_table("stars"), anywhere(rng, 20_000), finest=4, splitting=0.97)
    partitions = world.stored.partitions
    assert partitions is not None
    assert len(partitions) > 1000
    for ra, dec in zip(*anywhere(rng, 50), strict=True):
        scan, planned = plan_one(world, contains(circle(float(ra), float(dec), 0.1)))
        assert planned.files <= 4
        assert world.readable(scan).sum() <= 2


RA_COLUMN, DEC_COLUMN = ColumnRef(0, RA), ColumnRef(0, DEC)
AWAY = Distance(own_point(), point(40.0, 30.0))


@pytest.mark.parametrize(
    "condition",
    [
        Or((Comparison(">", RA_COLUMN, number(350.0)), Comparison("<", RA_COLUMN, number(10.0)))),
        Between(RA_COLUMN, number(10.0), number(350.0), negated=True),
        Comparison(">=", RA_COLUMN, number(350.0)),
        Between(DEC_COLUMN, number(-80.0), number(80.0), negated=True),
        Not(Or((Comparison(">", AWAY, number(5.0)), Comparison("<", DEC_COLUMN, number(30.0))))),
        Not(Comparison("=", Contains(own_point(), circle(40.0, 30.0, 5.0)), IntegerLiteral(0))),
        Comparison("<>", Contains(own_point(), circle(40.0, 30.0, 5.0)), IntegerLiteral(0)),
        Between(AWAY, number(0.0), number(5.0)),
        Comparison("<", Binary("*", AWAY, number(3600.0)), number(18000.0)),
        Comparison(">", AWAY, number(175.0)),
    ],
)
@pytest.mark.parametrize(("form", "most"), [("folded", 0.2), ("-180..180", 0.7)])
def test_each_spelling_leaves_tiles_out(condition: Expr, form: str, most: float) -> None:
    rng = np.random.default_rng(7)
    ra, dec = anywhere(rng, 4000)
    world = make_world(rng, make_table("stars"), (FORMS_OF_RA[form](ra), dec), finest=4, splitting=0.9)
    _, planned = plan_one(world, condition)
    assert planned.files < most * planned.files_total
