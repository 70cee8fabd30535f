"""Scan plans: what is named, counted and said, for every place in a query where a base table can stand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalog_service.models.query import RaDecBox, ResolvedQuery, ScanPlan
from catalog_service.models.schema import Column, DataType
from catalog_service.models.stored import StoredTable
from catalog_service.models.tree import (
    And,
    Between,
    CommonTable,
    CommonTableRef,
    Exists,
    Expr,
    FromItem,
    Identifier,
    InQuery,
    IntegerLiteral,
    Join,
    JoinKind,
    Or,
    Point,
    PolygonShape,
    Query,
    ScalarQuery,
    Select,
    SelectItem,
    SetOperation,
    SubqueryRef,
    TableRef,
    With,
)
from catalog_service.planner.plan import plan
from catalog_service.planner.prune import Chosen, expected_rows
from partitioning.layout.manifest import Placement
from partitioning.sky.coverage import cover
from partitioning.sky.regions import Cone
from tests.catalog_service.planner.conditions import circle, contains, number, own_point, point
from tests.catalog_service.planner.worlds import (
    World,
    anywhere,
    awkward,
    make_table,
    make_world,
    plan_one,
    points_near,
)

ONE = Column(name="one", datatype=DataType.INT)
NEAR, FAR = contains(circle(40.0, 10.0, 0.2)), contains(circle(200.0, -30.0, 0.2))


@pytest.fixture(scope="module")
def stars() -> World:
    rng = np.random.default_rng(3)
    return make_world(rng, make_table("stars"), anywhere(rng, 20_000), finest=3, splitting=1.0)


def selecting(source: FromItem | None, where: Expr | None = None, *items: Expr) -> Select:
    made = items or (IntegerLiteral(1),)
    return Select(tuple(SelectItem(item, column=ONE) for item in made), source, where=where)


def planned(tree: Query, world: World) -> ScanPlan:
    return plan(ResolvedQuery(tree, (ONE,)), lambda _: world.stored, visible_schemas={"sky"})


def ref(world: World, source: int) -> TableRef:
    return TableRef(source, world.table, f"t{source}")


def about(condition_source: int, ra: float) -> Expr:
    return contains(circle(ra, 10.0, 0.2), condition_source)


def test_paths_are_absolute_and_in_the_tiling_of_hats(stars: World) -> None:
    scan, planned_scan = plan_one(stars, NEAR)
    assert scan.files
    for path in scan.files:
        directory, order, group, name = path.rsplit("/", 3)
        assert directory == "/catalogs/sky/stars/dataset"
        number = int(name.removeprefix("Npix=").removesuffix(".parquet"))
        assert (order, group) == ("Norder=3", "Dir=0")
        assert 0 <= number < 768
    (table,) = planned_scan.tables
    assert (table.files, table.files_total, table.reason) == (len(scan.files), 768, "the region of its position")


def test_sums_speak_of_the_chosen_tiles(stars: World) -> None:
    scan, one = plan_one(stars, NEAR)
    _, everything = plan_one(stars, None)
    chosen = np.isin(stars.tile, stars.tile[stars.readable(replace(scan, healpix_ranges=(), box=None))])
    assert one.rows == np.count_nonzero(chosen) < everything.rows == len(stars.ra)
    assert one.size_bytes == 100 * one.rows
    assert everything.files == everything.files_total == 768
    (table,) = everything.tables
    assert (table.files, table.files_total, table.reason) == (768, 768, "no position or id constraint")


@pytest.mark.parametrize("radius_deg", [0.5, 5.0, 20.0, 90.0])
def test_expected_rows_are_those_of_a_region_of_even_density(radius_deg: float) -> None:
    rng = np.random.default_rng(5)
    even = make_world(rng, make_table("stars"), anywhere(rng, 200_000), finest=2, splitting=1.0)
    partitions = even.stored.partitions
    assert partitions is not None
    coverage = cover(Cone(40.0, 10.0, radius_deg))
    chosen = Chosen(partitions.select(coverage), coverage)
    share = (1 - np.cos(np.radians(radius_deg))) / 2
    # coverages are somewhat larger than their cones
    assert 0.9 * share < expected_rows(partitions, chosen) / 200_000 < 2.5 * share


def test_few_rows_are_expected_of_small_regions_of_few_tiles(stars: World) -> None:
    where = {radius: contains(circle(40.0, 10.0, radius)) for radius in (0.1, 5.0, 60.0)}
    assert [plan_one(stars, region)[1].expects_few for region in where.values()] == [True, False, False]
    assert not plan_one(stars, None)[1].expects_few
    assert not planned(selecting(None), stars).expects_few


def test_footers_are_kept_of_few_tiles_only(stars: World) -> None:
    assert plan_one(stars, NEAR)[1].reads_few_tiles
    assert not plan_one(stars, None)[1].reads_few_tiles
    table = make_table("Visit", "visit", position=None)
    plain = StoredTable(table, Path("/c/sky/Visit/Visit_r2"), 2, 7, 99, None, None)
    query = ResolvedQuery(selecting(TableRef(0, table, "v")), (ONE,))
    assert not plan(query, lambda _: plain, visible_schemas={"sky"}).reads_few_tiles


def test_no_constraint_means_no_filter(stars: World) -> None:
    scan, _ = plan_one(stars, None)
    assert (scan.healpix_ranges, scan.box) == ((), None)


def test_the_whole_sky_is_no_filter(stars: World) -> None:
    scan, one = plan_one(stars, contains(circle(1.0, 2.0, 180.0)))
    assert one.files == 768
    assert (scan.healpix_ranges, scan.box) == ((), None)


def test_regions_that_exclude_each_other_read_nothing(stars: World) -> None:
    scan, one = plan_one(stars, And((NEAR, FAR)))
    assert (scan.files, scan.healpix_ranges, one.rows, one.files_total) == ((), (), 0, 768)


def test_an_empty_table_plans_to_nothing(stars: World) -> None:
    rng = np.random.default_rng(0)
    empty = make_world(rng, make_table("stars"), (np.empty(0), np.empty(0)))
    for where in (None, NEAR):
        scan, one = plan_one(empty, where)
        assert (scan.files, one.files, one.files_total, one.rows) == ((), 0, 0, 0)


def test_far_regions_give_few_ranges_around_both(stars: World) -> None:
    cones = [contains(circle(ra, 10.0, 0.2)) for ra in range(0, 360, 20)]
    scan, _ = plan_one(stars, Or(tuple(cones)))
    assert len(scan.healpix_ranges) == 4
    assert all(low < high for low, high in scan.healpix_ranges)
    assert all(a[1] < b[0] for a, b in zip(scan.healpix_ranges, scan.healpix_ranges[1:], strict=False))
    two, _ = plan_one(stars, Or((NEAR, FAR)))
    assert two.box is None
    width = sum(high - low for low, high in two.healpix_ranges)
    assert width < 1e-3 * (12 << 58), "the ranges are joined over the smallest gaps, not over the largest"


@pytest.mark.parametrize(
    "tree",
    [
        lambda w: selecting(SubqueryRef(selecting(ref(w, 0), about(0, 40.0)), Identifier("d"), 1)),
        lambda w: selecting(None, None, ScalarQuery(selecting(ref(w, 0), about(0, 40.0)))),
        lambda w: selecting(None, Exists(selecting(ref(w, 0), about(0, 40.0)))),
        lambda w: selecting(None, InQuery(IntegerLiteral(1), selecting(ref(w, 0), about(0, 40.0)))),
        lambda w: With(
            (CommonTable(Identifier("c"), selecting(ref(w, 0), about(0, 40.0))),),
            selecting(CommonTableRef(1, "c", "c", (ONE,))),
        ),
    ],
    ids=["derived table", "scalar subquery", "EXISTS", "IN", "WITH"],
)
def test_tables_of_subqueries_are_planned_by_their_own_where(tree: object, stars: World) -> None:
    assert callable(tree)
    nested, (flat, _) = planned(tree(stars), stars), plan_one(stars, NEAR)
    assert set(nested.scans) == {0}
    assert nested.scans[0] == flat


def test_both_sides_of_a_union_are_planned(stars: World) -> None:
    tree = SetOperation("UNION", False, selecting(ref(stars, 0), about(0, 40.0)), selecting(ref(stars, 1)))
    both = planned(tree, stars)
    assert both.scans[0] == plan_one(stars, NEAR)[0]
    assert len(both.scans[1].files) == 768
    assert both.files == len(both.scans[0].files) + 768


def test_a_bound_outside_a_subquery_does_not_reach_inside(stars: World) -> None:
    """EXISTS (SELECT ... FROM stars b WHERE CONTAINS(POINT(a.ra, a.dec), ...) = 1) bounds neither."""
    tree = selecting(ref(stars, 0), Exists(selecting(ref(stars, 1), about(0, 40.0))))
    assert [len(scan.files) for scan in planned(tree, stars).scans.values()] == [768, 768]


def test_each_side_of_a_self_join_has_its_own_bounds(stars: World) -> None:
    where = And((about(0, 40.0), about(1, 100.0)))
    tree = selecting(Join(JoinKind.CROSS, ref(stars, 0), ref(stars, 1)), where)
    scans = planned(tree, stars).scans
    assert scans[0] == plan_one(stars, NEAR)[0]
    assert scans[1] == plan_one(stars, about(0, 100.0))[0]


def test_a_table_without_positions_is_one_file() -> None:
    table = make_table("Visit", "visit", position=None)
    stored = StoredTable(table, Path("/c/sky/Visit/Visit_r2"), 2, 7, 99, None, None)
    query = ResolvedQuery(selecting(TableRef(0, table, "v")), (ONE,))
    made = plan(query, lambda _: stored, visible_schemas={"sky"})
    assert made.scans[0].files == ("/c/sky/Visit/Visit_r2/table.parquet",)
    assert made.scans[0].visible_schemas is None
    assert (made.files, made.files_total, made.rows, made.size_bytes) == (1, 1, 7, 99)


def test_tap_schema_shows_the_callers_schemas_only() -> None:
    table = replace(make_table("tables", position=None), schema_name="TAP_SCHEMA")
    stored = StoredTable(table, Path("/s/tables"), 1, 7, 99, None, None)
    query = ResolvedQuery(selecting(TableRef(0, table, "t")), (ONE,))
    assert plan(query, lambda _: stored, visible_schemas={"b", "a"}).scans[0].visible_schemas == ("a", "b")
    assert plan(query, lambda _: stored, visible_schemas=set()).scans[0].visible_schemas == ()


# --- the box on stored degrees --------------------------------------------------------------------


def box_of(ra: float, dec: float, radius: float, stored_ra: tuple[float, float] = (0.0, 359.9)) -> RaDecBox | None:
    rng = np.random.default_rng(0)
    world = make_world(rng, make_table("stars"), (np.array(stored_ra), np.zeros(2)))
    return plan_one(world, contains(circle(ra, dec, radius)))[0].box


def test_a_box_holds_its_cone_closely() -> None:
    box = box_of(120.0, 60.0, 1.0)
    assert box is not None
    half = np.degrees(np.arcsin(np.sin(np.radians(1.0)) / np.cos(np.radians(60.0))))
    assert (box.dec_min_deg, box.dec_max_deg) == pytest.approx((59.0, 61.0), abs=1e-5)
    assert box.dec_min_deg < 59.0
    assert box.dec_max_deg > 61.0
    ((low, high),) = box.ra_ranges_deg
    assert (low, high) == pytest.approx((120 - half, 120 + half), abs=1e-4)
    assert low < 120 - half
    assert high > 120 + half


STORED_RA = [(0.0, 359.9999), (0.0, 360.0), (-1e-12, 10.0), (-180.0, 180.0), (360.0, 719.0), (200.0, 300.0)]


@pytest.mark.parametrize("ra", [0.05, 359.95, 0.0, 360.0, 120.0, 180.0, -179.99, 725.0])
@pytest.mark.parametrize("stored_ra", STORED_RA)
def test_a_box_bounds_stored_ra_of_any_turn(ra: float, stored_ra: tuple[float, float]) -> None:
    box = box_of(ra, 0.0, 0.1, stored_ra)
    assert box is not None
    assert box.ra_ranges_deg
    stored = np.concatenate([np.linspace(*stored_ra, 40_000), stored_ra])
    away = np.abs((stored - ra + 180) % 360 - 180)
    kept = np.any([(stored >= low) & (stored <= high) for low, high in box.ra_ranges_deg], axis=0)
    assert kept[away <= 0.1].all()
    assert not kept[away > 0.1 + 1e-4].any()


@pytest.mark.parametrize(("dec", "radius"), [(90.0, 0.1), (-89.95, 0.1), (80.0, 10.0), (30.0, 59.9999)])
def test_around_a_pole_only_dec_is_bounded(dec: float, radius: float) -> None:
    box = box_of(120.0, dec, radius)
    assert box is not None
    assert box.ra_ranges_deg == ()
    assert -90 <= box.dec_min_deg < box.dec_max_deg <= 90


def test_stored_ra_of_many_turns_is_not_bounded() -> None:
    box = box_of(120.0, 0.0, 0.1, (-3000.0, 3000.0))
    assert box is not None
    assert box.ra_ranges_deg == ()


def test_ra_without_known_bounds_is_not_bounded(stars: World) -> None:
    placement = stars.stored.placement
    assert placement is not None
    for unknown in (replace(placement, ra_min=None), replace(placement, ra_max=None)):
        world = replace(stars, stored=replace(stars.stored, placement=unknown))
        box = plan_one(world, NEAR)[0].box
        assert box is not None
        assert box.ra_ranges_deg == ()


def test_wide_regions_and_unions_have_no_box(stars: World) -> None:
    for where in (
        contains(circle(1.0, 2.0, 70.0)),
        Or((NEAR, FAR)),
        Between(own_point().dec, number(1.0), number(2.0)),
    ):
        assert plan_one(stars, where)[0].box is None


def test_polygons_and_conjunctions_have_a_box(stars: World) -> None:
    triangle = PolygonShape(tuple[Point, ...](point(*corner) for corner in ((10, 10), (12, 10), (11, 12))))
    for where in (contains(triangle), And((contains(circle(11.0, 11.0, 50.0)), contains(triangle)))):
        box = plan_one(stars, where)[0].box
        assert box is not None
        assert box.dec_max_deg - box.dec_min_deg < 4


# --- rows placed away from their own position -----------------------------------------------------


def test_only_scattered_tiles_are_padded() -> None:
    """One outlier costs the tiles of its own size of separation, not all."""
    rng = np.random.default_rng(5)
    own = anywhere(rng, 3000)
    placed = (own[0].copy(), own[1].copy())
    away = points_near(rng, float(own[0][0]), float(own[1][0]), 20.0, 1)
    placed[0][0], placed[1][0] = away[0][0], away[1][0]
    placement = Placement(
        ra_column="_parent_ra", dec_column="_parent_dec", own_ra_column="ra", own_dec_column="dec", parent="Object"
    )
    world = make_world(rng, make_table("sources"), own, placed=placed, placement=placement, finest=3, splitting=1.0)
    scan, one = plan_one(world, contains(circle(float(own[0][0]), float(own[1][0]), 0.01)))
    assert world.readable(scan)[0]
    assert one.files <= 6


def test_a_query_without_from_reads_nothing(stars: World) -> None:
    nothing = planned(selecting(None), stars)
    assert (nothing.scans, nothing.files, nothing.tables) == ({}, 0, ())


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({}, True),
        ({"parent": "Object", "parent_key": ("objectId", "objectId")}, False),
        ({"ra_column": "_parent_ra", "dec_column": "_parent_dec"}, False),
        ({"own_ra_column": None, "own_dec_column": None}, False),
        ({"healpix_column": None}, False),
    ],
)
def test_an_index_counts_as_that_of_the_own_position_only_if_that_placed_the_row(
    changes: dict[str, Any], own: bool
) -> None:
    plain = Placement(ra_column="ra", dec_column="dec", own_ra_column="ra", own_dec_column="dec")
    world = make_world(np.random.default_rng(1), make_table("T"), awkward(), placement=replace(plain, **changes))
    assert plan_one(world, None)[0].own_index is own
