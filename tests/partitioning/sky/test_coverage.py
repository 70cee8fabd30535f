"""Coverages hold their regions, however awkward; and they are close enough to prune."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from partitioning.exceptions import RegionError
from partitioning.sky.coverage import EMPTY, WHOLE_SKY, Coverage, complement, cover, enlarged, intersection, union
from partitioning.sky.healpix import SKY_STOP, radec_to_index
from partitioning.sky.regions import Box, Cone, Polygon, Region
from partitioning.sky.separation import separation_deg, unit_vectors

Positions = tuple[NDArray[np.float64], NDArray[np.float64]]

SQUARE_DEGREES = 41252.96

seeds = st.integers(0, 2**32 - 1)
ras = st.sampled_from([0.0, 360.0, 45.0, 90.0, 180.0, 270.0, 359.9999999]) | st.floats(-10, 370)
decs = (
    st.sampled_from([90.0, -90.0, 0.0, 41.810314895778596, -41.810314895778596])
    | st.floats(-9, 1).map(lambda power: 90 - 10.0**power)
    | st.floats(-9, 1).map(lambda power: 10.0**power - 90)
    | st.floats(-90, 90)
)
sizes = (
    st.sampled_from([0.0, 90.0, 179.9999, 180.0])
    | st.floats(-10, 2.2).map(lambda power: 10.0**power)
    | st.floats(0, 180)
)
pads = st.just(0.0) | st.floats(-8, 0.5).map(lambda power: 10.0**power) | st.floats(0, 40)


def around(rng: np.random.Generator, ra: float, dec: float, radius_deg: float, count: int) -> Positions:
    """Return positions within a radius of a centre, half of them exactly on the circle."""
    a, d, angle = np.radians(ra), np.radians(dec), rng.uniform(0, 2 * np.pi, count)
    r = np.radians(radius_deg) * np.where(np.arange(count) % 2, 1.0, np.sqrt(rng.random(count)))
    centre = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    along = np.cos(angle)[:, None] * east + np.sin(angle)[:, None] * np.cross(centre, east)
    x, y, z = (np.cos(r)[:, None] * centre + np.sin(r)[:, None] * along).T
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def inside(coverage: Coverage, index: NDArray[np.int64]) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = np.zeros(len(index), dtype=np.bool_)
    for start, stop in coverage:
        result |= (index >= start) & (index < stop)
    return result


def lost(rng: np.random.Generator, region: Region, positions: Positions, pad_deg: float) -> int:
    """Return how many positions of `region`, and within `pad_deg` of them, its coverage leaves out."""
    within = region.contains(*positions)
    ra, dec = positions[0][within], positions[1][within]
    if pad_deg:
        spread = [around(rng, a, d, pad_deg, 8) for a, d in zip(ra[:25], dec[:25], strict=True)]
        ra = np.concatenate([ra, *(p[0] for p in spread)])
        dec = np.concatenate([dec, *(p[1] for p in spread)])
    coverage = cover(region, pad_deg)
    check_form(coverage)
    return int(np.count_nonzero(~inside(coverage, radec_to_index(ra, dec))))


def check_form(coverage: Coverage) -> None:
    """Check that ranges are sorted, disjoint, not touching, and of the sky; and not very many."""
    assert coverage.dtype == np.int64
    assert (np.diff(coverage.ravel()) > 0).all()
    assert len(coverage) < 2000
    if len(coverage):
        assert coverage[0, 0] >= 0
        assert coverage[-1, 1] <= SKY_STOP


@settings(max_examples=250, deadline=None)
@given(ras, decs, sizes, pads, seeds)
@example(45.0, -41.81031489577862, 179.9999, 0.0, 0)
@example(0.0, 0.0, 137.49347560292333, 0.01, 0)
def test_cones_are_covered(ra: float, dec: float, radius: float, pad: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cone = Cone(ra, dec, radius)
    positions = around(rng, ra, dec, radius, 200)
    assert lost(rng, cone, positions, pad) == 0
    assert lost(rng, cone, (np.array([ra]), np.array([dec])), 0.0) == 0


@settings(max_examples=250, deadline=None)
@given(ras, decs, st.sampled_from([0.0, 1e-7, 0.01, 3.0]) | sizes, sizes.map(lambda size: 2.3 * size), pads, seeds)
@example(10.0, 89.9, 0.08, 1.0, 0.01, 0)
def test_boxes_are_covered(ra: float, dec: float, height: float, width: float, pad: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    box = Box(ra, ra + width, dec, min(90.0, dec + height))
    share = np.concatenate([rng.random((150, 2)), [[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 1], [0.5, 0]]])
    positions = ra + width * share[:, 0], box.dec_min_deg + (box.dec_max_deg - box.dec_min_deg) * share[:, 1]
    positions = positions[0], np.clip(positions[1], box.dec_min_deg, box.dec_max_deg)
    assert lost(rng, box, positions, pad) == 0


@settings(max_examples=250, deadline=None)
@given(ras, decs, st.floats(-6.5, 1.95), st.integers(3, 9), st.booleans(), pads, seeds)
@example(10.0, 20.0, 1.8, 4, True, 30.0, 0)
@example(10.0, 20.0, 1.92, 4, True, 20.0, 0)
@example(0.0, 90.0, -5.0, 9, False, 0.0, 7578)
def test_polygons_are_covered(
    ra: float, dec: float, power: float, count: int, convex: bool, pad: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    radius = 10.0**power
    shares = np.ones(count) if convex else rng.uniform(0.1, 1, count)
    polygon = star(ra, dec, radius * shares)
    if polygon is None:
        return
    corners = np.asarray(polygon.vertices).T
    positions = around(rng, ra, dec, radius, 400)
    positions = np.concatenate([positions[0], corners[0]]), np.concatenate([positions[1], corners[1]])
    assert lost(rng, polygon, positions, pad) == 0


def star(ra: float, dec: float, radii_deg: NDArray[np.float64]) -> Polygon | None:
    """Return a star-shaped polygon about a centre; None if it is thinner than rounding."""
    count = len(radii_deg)
    corners = []
    for number, radius in enumerate(radii_deg):
        turn = 2 * np.pi * number / count
        a, d, r = np.radians(ra), np.radians(dec), np.radians(radius)
        centre = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
        east = np.array([-np.sin(a), np.cos(a), 0.0])
        x, y, z = np.cos(r) * centre + np.sin(r) * (np.cos(turn) * east + np.sin(turn) * np.cross(centre, east))
        corners.append((float(np.degrees(np.arctan2(y, x))), float(np.degrees(np.arctan2(z, np.hypot(x, y))))))
    try:
        return Polygon(tuple(corners))
    except RegionError:
        return None


@pytest.mark.parametrize("radius", [1 / 3600, 1 / 60, 0.1, 1.0, 10.0, 40.0])
def test_a_cone_is_covered_closely(radius: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        coverage = cover(Cone(rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1))), radius))
        area = 2 * np.pi * (1 - np.cos(np.radians(radius))) / (4 * np.pi) * SKY_STOP
        assert (coverage[:, 1] - coverage[:, 0]).sum() < 6 * area + 1e5
        assert len(coverage) <= 40


@pytest.mark.parametrize(
    ("region", "square_degrees"),
    [
        (Box(10, 11, 20, 21), 0.94),
        (Box(350, 370, -5, 5), 200.0),
        (Box(10, 11, -90, 90), 115.0),
        (Polygon(((0, 0), (4, 0), (4, 4), (2, 1), (0, 4))), 10.0),
    ],
)
def test_boxes_and_polygons_are_covered_closely(region: Region, square_degrees: float) -> None:
    coverage = cover(region)
    assert (coverage[:, 1] - coverage[:, 0]).sum() / SKY_STOP * SQUARE_DEGREES < 3 * square_degrees


@pytest.mark.parametrize(
    "region",
    [
        Box(0, 360, 0, 0.001),
        Box(10, 10.001, -90, 90),
        Box(0, 360, 89.99999, 90),
        Polygon(((10, 20), (10.000001, 20), (10, 20.000001))),
        Polygon(((0, 0), (80, 0), (80, 1e-7))),
    ],
)
@pytest.mark.parametrize("pad", [0.0, 1e-3, 0.5, 30.0])
def test_thin_and_tiny_regions_have_few_ranges(region: Region, pad: float) -> None:
    assert len(cover(region, pad)) < 1000


def test_a_large_cone_is_the_whole_sky() -> None:
    assert np.array_equal(cover(Cone(1, 2, 180)), WHOLE_SKY)
    assert np.array_equal(cover(Cone(1, 2, 30), 170.0), WHOLE_SKY)


# --- operations on coverages ----------------------------------------------------------------------

_CELLS = 64
_CELL = SKY_STOP // _CELLS

cell_sets = st.lists(st.booleans(), min_size=_CELLS, max_size=_CELLS).map(np.array)


def of_cells(cells: NDArray[np.bool_]) -> Coverage:
    """Return the coverage of some of 64 equal parts of the index range."""
    if not cells.any():
        return EMPTY
    return union(*(np.array([[n * _CELL, (n + 1) * _CELL]], dtype=np.int64) for n in np.flatnonzero(cells)))


@given(cell_sets, cell_sets)
def test_set_operations(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> None:
    a, b = of_cells(first), of_cells(second)
    for coverage in (a, b):
        check_form(coverage)
    assert np.array_equal(union(a, b), of_cells(first | second))
    assert np.array_equal(intersection(a, b), of_cells(first & second))
    assert np.array_equal(complement(a), of_cells(~first))


@settings(max_examples=100, deadline=None)
@given(ra=ras, dec=decs, spread=st.floats(0, 20), by=pads, single=st.booleans(), seed=seeds)
def test_enlarged_coverages_hold_their_surroundings(
    ra: float, dec: float, spread: float, by: float, seed: int, *, single: bool
) -> None:
    """Of single cells, as ids give them, and of regions."""
    rng = np.random.default_rng(seed)
    positions = around(rng, ra, dec, spread, 20)
    index = radec_to_index(*positions)
    start = union(np.stack([index, index + 1], axis=1)) if single else cover(Cone(ra, dec, spread))
    larger = enlarged(start, by)
    check_form(larger)
    near = [around(rng, a, d, by, 16) for a, d in zip(*positions, strict=True)]
    assert inside(larger, radec_to_index(*(np.concatenate([one[i] for one in near]) for i in (0, 1)))).all()


def test_enlarged_coverages_are_close() -> None:
    index = radec_to_index(np.array([10.0, 200.0]), np.array([20.0, -89.99]))
    spots = union(np.stack([index, index + 1], axis=1))
    for by in (0.0, 5 / 3600, 0.1, 1.0):
        larger = enlarged(spots, by)
        area = (larger[:, 1] - larger[:, 0]).sum() * SQUARE_DEGREES / SKY_STOP
        assert area < max(1500 * by**2, 1e-6)
    assert len(enlarged(EMPTY, 1.0)) == 0
    assert enlarged(spots, 90).tolist() == WHOLE_SKY.tolist()
    assert enlarged(cover(Cone(0, 0, 60)), 1e-4).tolist() == WHOLE_SKY.tolist()


def test_union_of_nothing_is_empty() -> None:
    assert union().shape == (0, 2)
    assert np.array_equal(complement(EMPTY), WHOLE_SKY)
    assert len(complement(WHOLE_SKY)) == 0


def test_overlapping_ranges_are_joined() -> None:
    ranges = np.array([[5, 9], [0, 3], [2, 4], [9, 10], [6, 7]], dtype=np.int64)
    assert union(ranges).tolist() == [[0, 4], [5, 10]]


def test_the_helpers_of_this_test_agree() -> None:
    rng = np.random.default_rng(0)
    ra, dec = around(rng, 30.0, 89.0, 2.0, 1000)
    assert separation_deg(30.0, 89.0, ra, dec) == pytest.approx(
        np.degrees(np.arccos(unit_vectors(ra, dec) @ unit_vectors(30.0, 89.0))), abs=1e-6
    )
    assert separation_deg(30.0, 89.0, ra, dec)[1::2] == pytest.approx(2.0, abs=1e-9)
