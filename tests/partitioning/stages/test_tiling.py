"""Tilings are disjoint, hold every row, respect the wanted size, and follow a parent's."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from partitioning.sky.healpix import SKY_STOP, order_shift, radec_to_index
from partitioning.stages.bucket import group_tiles
from partitioning.stages.histogram import count_unit, count_within, counts_of_units, write_count_request
from partitioning.stages.places import PlacedRows, Places, Unplaced, index_or_reason, write_places
from partitioning.stages.spill import write_record
from partitioning.stages.tiles import count_in_units
from partitioning.stages.tiling import TileLimits, Tiling, make_tiling
from partitioning.stages.workspace import Workspace

COARSE = 4
"""A coarse histogram, so that small inputs need refinement."""


def counted(index: NDArray[np.int64], order: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pixels, rows = np.unique(index >> order_shift(order), return_counts=True)
    return pixels, rows.astype(np.int64)


def tiled(index: NDArray[np.int64], limits: TileLimits) -> Tiling:
    def refine(pixels: NDArray[np.int64], order: int, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        inside = np.isin(index >> order_shift(order), pixels)
        return counted(index[inside], order + depth)

    return make_tiling(counted(index, COARSE), COARSE, limits, refine)


def rows_of(tiling: Tiling, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the tile of each row; fails where there is none."""
    tile = np.searchsorted(tiling.starts, index, side="right") - 1
    assert (tile >= 0).all()
    assert (index < tiling.stops[tile]).all()
    return tile


def assert_sound(tiling: Tiling, index: NDArray[np.int64], limits: TileLimits) -> None:
    assert (tiling.starts[1:] >= tiling.stops[:-1]).all()
    assert tiling.orders.max() <= limits.finest
    counts = np.bincount(rows_of(tiling, index), minlength=len(tiling))
    assert counts.tolist() == tiling.rows.tolist()
    assert (counts > 0).all()
    assert (counts[tiling.orders < limits.max_order] <= limits.rows).all()


CLUMPS = st.lists(
    st.tuples(
        st.floats(0, 360), st.floats(-90, 90), st.sampled_from([0.0, 1e-7, 1e-4, 0.1, 60.0]), st.integers(1, 300)
    ),
    min_size=1,
    max_size=5,
)


def clumpy(clumps: list[tuple[float, float, float, int]], seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    parts = [
        radec_to_index(ra + rng.normal(0, size, count), np.clip(dec + rng.normal(0, size, count), -90, 90))
        for ra, dec, size, count in clumps
    ]
    return np.concatenate(parts)


@given(clumps=CLUMPS, seed=st.integers(0, 1000), target=st.integers(1, 200), max_order=st.integers(0, 29))
@settings(max_examples=100, deadline=None)
def test_tilings_are_sound(
    clumps: list[tuple[float, float, float, int]], seed: int, target: int, max_order: int
) -> None:
    index = clumpy(clumps, seed)
    limits = TileLimits(target, max_order)
    assert_sound(tiled(index, limits), index, limits)


@given(clumps=CLUMPS, others=CLUMPS, seed=st.integers(0, 1000), target=st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_children_follow_their_parent(
    clumps: list[tuple[float, float, float, int]],
    others: list[tuple[float, float, float, int]],
    seed: int,
    target: int,
) -> None:
    """Every child tile lies inside a tile of the parent, or meets none; orphans elsewhere get tiles too."""
    parent_index = clumpy(clumps, seed)
    parent = tiled(parent_index, TileLimits(20, 12))
    index = np.concatenate([np.repeat(parent_index, 3), clumpy(others, seed + 1)])
    limits = TileLimits(target, 10, parent.orders, parent.starts)
    child = tiled(index, limits)
    assert_sound(child, index, limits)
    for start, stop in zip(child.starts.tolist(), child.stops.tolist(), strict=True):
        inside = ((parent.starts <= start) & (stop <= parent.stops)).any()
        apart = ((parent.stops <= start) | (stop <= parent.starts)).all()
        assert inside or apart


def test_rows_at_one_position_end_at_the_finest_order() -> None:
    index = np.full(1000, 123_456_789_000_000_000)
    for max_order in (0, 3, 18, 29):
        tiling = tiled(index, TileLimits(10, max_order))
        assert tiling.orders.tolist() == [max_order]
        assert tiling.rows.tolist() == [1000]


def test_few_rows_stay_together() -> None:
    index = np.arange(0, SKY_STOP, SKY_STOP // 120, dtype=np.int64)[:120]
    assert tiled(index, TileLimits(100, 18)).orders.tolist() == [0] * 12


@pytest.fixture
def places(tmp_path: Path) -> Places:
    rng = np.random.default_rng(8)
    index = radec_to_index(10 + rng.normal(0, 1, 5000), rng.normal(0, 1, 5000))
    index[::7] = Unplaced.NO_POSITION
    write_places(tmp_path / "places", [PlacedRows(index[:3000]), PlacedRows(index[3000:])], has_parent=False)
    return Places(tmp_path / "places", has_parent=False)


def test_histograms_count_every_placed_row(places: Places) -> None:
    index = places.read(0, 10_000).index
    assert len(index) == 5000
    placed = index[index >= 0]
    assert np.concatenate(list(places.index_chunks())).tolist() == placed.tolist()
    pixels, _ = counted(placed, 9)
    chosen = pixels[::3]
    pixels, rows = count_within([places, places], chosen, 9, 3)
    expected = counted(placed[np.isin(placed >> order_shift(9), chosen)], 12)
    assert pixels.tolist() == expected[0].tolist()
    assert rows.tolist() == (2 * expected[1]).tolist()


def test_units_count_what_one_process_counts(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Object_r1", tmp_path / "spill")
    rng = np.random.default_rng(9)
    index = radec_to_index(10 + rng.normal(0, 1, 6000), rng.normal(0, 1, 6000))
    pixels, _ = counted(index, 10)
    units = []
    for unit, rows in enumerate(np.split(index, 3)):
        units.append(Places(workspace.places(unit), has_parent=False))
        write_places(units[unit].directory, [PlacedRows(rows)], has_parent=False)
        coarse = counted(rows, 9)
        write_record(workspace.record("place", unit), pixels=coarse[0], counts=coarse[1], rows=np.array([len(rows)]))
    plan: Any = SimpleNamespace(stores_parent=False, unit_count=3)

    def run(stage: str, count: int) -> None:
        assert sum(count_unit(workspace, plan, stage, unit) for unit in range(count)) == len(index)

    found = count_in_units(workspace, plan, run)(pixels[::3], 10, 4)
    expected = count_within(units, pixels[::3], 10, 4)
    assert found[0].tolist() == expected[0].tolist()
    assert found[1].tolist() == expected[1].tolist()
    assert 0 < found[1].sum() < len(index)


def test_a_unit_without_rows_where_it_is_crowded_counts_none(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Object_r1", tmp_path / "spill")
    write_record(workspace.record("place", 0), pixels=np.array([5]), counts=np.array([2]), rows=np.array([2]))
    plan: Any = SimpleNamespace(stores_parent=False, unit_count=1)
    write_count_request(workspace, "count-9", np.array([6, 7]), 9, 2)
    assert count_unit(workspace, plan, "count-9", 0) == 2
    pixels, rows = counts_of_units(workspace, "count-9", 1)
    assert (len(pixels), len(rows)) == (0, 0)


def test_unusable_positions_get_a_reason() -> None:
    nan, inf = np.nan, np.inf
    ra = np.array([0.0, 360.0, -90.0, nan, 1.0, inf, 1.0, 1.0, nan, -0.0])
    dec = np.array([0.0, 0.0, 90.0, 1.0, nan, 1.0, -inf, 90.0000001, 95.0, -90.0])
    index = index_or_reason(ra, dec)
    assert (index[[0, 1, 2, 9]] >= 0).all()
    assert index[0] == index[1]
    assert [Unplaced(code).name for code in index[3:9]] == [
        "NO_POSITION",
        "NO_POSITION",
        "INFINITE",
        "INFINITE",
        "BAD_DECLINATION",
        "NO_POSITION",
    ]


@settings(deadline=None)
@given(rows=st.lists(st.integers(1, 1000), min_size=1, max_size=700), most=st.integers(1, 3000))
def test_groups_of_tiles_are_contiguous_and_bounded(rows: list[int], most: int) -> None:
    edges = [*group_tiles(rows, most).tolist(), len(rows)]
    assert edges[0] == 0
    assert edges == sorted(set(edges))
    assert all(sum(rows[first:last]) <= most or last - first == 1 for first, last in pairwise(edges))
