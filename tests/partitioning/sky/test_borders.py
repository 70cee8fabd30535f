"""Distances to pixels and margins against densely sampled pixel borders."""

from functools import cache

import healpy
import hpgeom
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from partitioning.sky.borders import Tiles, _halo_order, distance_to_pixels_deg, halo_of, margin_rows
from partitioning.sky.edges import edge_points, nested_number, nested_xy, pixel_edges
from partitioning.sky.healpix import ORDER, radec_to_index
from partitioning.sky.separation import unit_vectors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CELL_DEG = 58.632
CORNERS = [(0.0, 90.0), (200.0, -90.0), (45.0, 0.0), (0.0, 0.0), (90.0, np.degrees(np.arcsin(2 / 3)))]
CORNERS += [(0.0, -np.degrees(np.arcsin(2 / 3))), (0.0, 20.0), (180.0, -66.44353569089876)]
"""Points where base pixels meet: four at the poles and the equator, three at sin(Dec) = 2/3; and on their borders."""


@cache
def border(order: int, number: int, step: int) -> Floats:
    """Return `step` unit vectors along each edge of a pixel, from another library."""
    vectors: Floats = healpy.boundaries(1 << order, number, step=step, nest=True).T
    return vectors


def sampled_distance(ra: Floats, dec: Floats, order: int, number: int, step: int = 2048) -> Floats:
    """Return the distance (degrees) of each point to the polygon of dense samples, 0 inside the pixel."""
    samples = border(order, number, step)
    chords = np.roll(samples, -1, axis=0) - samples
    squares = (chords**2).sum(axis=1)
    result = np.zeros(len(ra))
    inside = radec_to_index(ra, dec) >> (2 * (ORDER - order)) == number
    for row in np.flatnonzero(~inside):
        away = unit_vectors(ra[row], dec[row]) - samples
        part = np.clip((away * chords).sum(axis=1) / squares, 0, 1)
        nearest = np.sqrt(((away - part[:, None] * chords) ** 2).sum(axis=1).min())
        result[row] = np.degrees(2 * np.arcsin(min(1, nearest / 2)))
    return result


def polygon_error(order: int, step: int = 2048) -> float:
    """Return how far (degrees) the polygon of samples may lie from the curve: the sagitta of one step, twice."""
    side = np.radians(2 * CELL_DEG / 2**order)
    curvature = 1 + 1 / side
    return float(np.degrees(curvature * (side / step) ** 2 / 4)) + 1e-11


def around(ra_deg: float, dec_deg: float, radii_deg: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return one point in a random direction at each distance from a centre."""
    centre = unit_vectors(ra_deg, dec_deg)
    aside = np.cross(centre, rng.normal(size=(len(radii_deg), 3)))
    aside /= np.linalg.norm(aside, axis=1)[:, None]
    radii = np.radians(radii_deg)[:, None]
    x, y, z = (np.cos(radii) * centre + np.sin(radii) * aside).T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


@given(st.integers(0, ORDER), st.data())
def test_lattice_coordinates_equal_healpy(order: int, data: st.DataObject) -> None:
    numbers = np.array(data.draw(st.lists(st.integers(0, (12 << (2 * order)) - 1), min_size=1, max_size=5)))
    face, x, y = nested_xy(numbers, order)
    for mine, theirs in zip((x, y, face), healpy.pix2xyf(1 << order, numbers, nest=True), strict=True):
        assert np.array_equal(mine, theirs)
    assert np.array_equal((face << (2 * order)) + nested_number(x, y), numbers)


@pytest.mark.parametrize("order", [0, 1, 2, 7, 18, 29])
def test_edges_are_the_borders_that_healpy_samples(order: int) -> None:
    pixels = 12 << (2 * order)
    numbers = np.unique(np.append(np.arange(min(pixels, 48)), pixels - 1 - pixels // 50 * np.arange(50)))
    edges = edge_points(pixel_edges(np.full(len(numbers), order), numbers).take((..., None)), np.linspace(0, 1, 9))
    for number, mine in zip(numbers.tolist(), edges.reshape(len(numbers), -1, 3), strict=True):
        apart = np.linalg.norm(mine[:, None] - border(order, number, 8), axis=2)
        assert apart.min(axis=0).max() < 1e-15
        assert apart.min(axis=1).max() < 1e-15


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, ORDER),
    st.one_of(st.sampled_from(CORNERS), st.tuples(st.floats(0, 360), st.floats(-90, 90))),
    st.integers(0, 2**32 - 1),
)
@example(29, (0.0, 90.0), 1)
@example(0, (0.0, -90.0), 2)
@example(1, CORNERS[4], 3)
def test_distances_equal_dense_sampling(order: int, place: tuple[float, float], seed: int) -> None:
    """Of points from far inside a pixel's reach to ten sides away, to one of the pixels at the place."""
    rng = np.random.default_rng(seed)
    radii = np.minimum(CELL_DEG / 2**order * 10 ** rng.uniform(-4, 1, 12), 179)
    ra, dec = around(*place, radii, rng)
    number = int(radec_to_index(*around(*place, radii[:1], rng))[0]) >> (2 * (ORDER - order))
    mine = distance_to_pixels_deg(ra, dec, np.full(12, order), np.full(12, number))
    assert mine == pytest.approx(sampled_distance(ra, dec, order, number), abs=polygon_error(order))


@pytest.mark.parametrize(("order", "number"), [(0, 0), (0, 5), (0, 8), (1, 1), (1, 35), (3, 62), (3, 300)])
def test_distances_to_coarse_pixels_are_precise(order: int, number: int) -> None:
    """With samples so dense that their polygon is the curve to 1e-10 degrees."""
    rng = np.random.default_rng(number)
    corners = hpgeom.boundaries(1 << order, number)
    parts = [around(ra, dec, 10 ** rng.uniform(-5, 1.3, 3), rng) for ra, dec in zip(*corners, strict=True)]
    ra, dec = np.concatenate(parts, axis=1)
    mine = distance_to_pixels_deg(ra, dec, np.full(12, order), np.full(12, number))
    assert mine == pytest.approx(sampled_distance(ra, dec, order, number, 1 << 18), abs=2e-10)


@pytest.mark.parametrize(("order", "number"), [(0, 4), (1, 2), (2, 14)])
def test_where_two_points_of_a_border_are_equally_near(order: int, number: int) -> None:
    """Among many points some have two nearest ones; no sample of the border may be nearer than the distance."""
    rng = np.random.default_rng(4)
    ra, dec = around(0.0, 90.0, rng.uniform(0, CELL_DEG / 2**order * 2, 10_000), rng)
    outside = radec_to_index(ra, dec) >> (2 * (ORDER - order)) != number
    ra, dec = ra[outside], dec[outside]
    mine = distance_to_pixels_deg(ra, dec, np.full(len(ra), order), np.full(len(ra), number))
    nearest = (unit_vectors(ra, dec) @ border(order, number, 512).T).max(axis=1)
    sampled = np.degrees(np.arccos(nearest))
    assert (mine - sampled).max() < 1e-6  # the arc cosine's rounding
    spacing = 2 * CELL_DEG / 2**order / 512
    assert (sampled - mine - spacing * np.minimum(1, spacing / np.maximum(mine, 1e-9))).max() < 1e-6


def test_distance_is_zero_inside_and_on_corners() -> None:
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(-360, 720, 5000), np.degrees(np.arcsin(rng.uniform(-1, 1, 5000)))
    orders = rng.integers(0, 30, 5000)
    numbers = radec_to_index(ra, dec) >> (2 * (ORDER - orders))
    assert not distance_to_pixels_deg(ra, dec, orders, numbers).any()
    for order in (0, 3, 12, 29):
        some = rng.integers(0, 12 << (2 * order), 200)
        corners = hpgeom.boundaries(1 << order, some)
        at = np.full(800, order), np.repeat(some, 4)
        assert distance_to_pixels_deg(corners[0].ravel(), corners[1].ravel(), *at).max() < 1e-12


def test_distances_of_nothing_and_of_bad_positions() -> None:
    none = np.empty(0)
    assert distance_to_pixels_deg(none, none, [], []).shape == (0,)
    with pytest.raises(ValueError, match="finite"):
        distance_to_pixels_deg(np.array([np.nan]), np.array([0.0]), [0], [0])


def random_tiling(place: tuple[float, float], size_deg: float, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return disjoint tiles of several orders, most of them around a place and of about a size; some of them empty."""
    middle = int(np.clip(round(np.log2(CELL_DEG / size_deg)), 1, ORDER - 2))
    level = middle - 1
    ra, dec = around(*place, size_deg * np.linspace(0, 4, 60), rng)
    waiting = np.unique(radec_to_index(ra, dec) >> (2 * (ORDER - level)))
    orders, numbers = [], []
    for order in range(level, middle + 3):
        stop = (rng.random(len(waiting)) < 0.5) | (order == middle + 2)
        keep = stop & (rng.random(len(waiting)) < 0.8)
        orders.append(np.full(np.count_nonzero(keep), order))
        numbers.append(waiting[keep])
        waiting = ((waiting[~stop][:6, None] << 2) + np.arange(4)).ravel()
    return np.concatenate(orders), np.concatenate(numbers)


@settings(deadline=None, max_examples=40)
@given(
    st.one_of(st.sampled_from(CORNERS), st.tuples(st.floats(0, 360), st.floats(-90, 90))),
    st.floats(-6, 0.8),
    st.floats(-2, 0.7),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@example((0.0, 90.0), -6.9, 0.5, True, 1)
@example((0.0, 0.0), 1.2, 0.2, False, 2)
def test_margins_equal_brute_force(
    place: tuple[float, float], log_size: float, log_ratio: float, in_order: bool, seed: int
) -> None:
    """Tiles from far larger to smaller than the threshold; every row is held against every tile."""
    rng = np.random.default_rng(seed)
    size = 10**log_size
    threshold = size * 10**log_ratio
    orders, numbers = random_tiling(place, size, rng)
    ra, dec = around(*place, (6 * size + 2 * threshold) * np.sqrt(rng.random(50)), rng)
    index = radec_to_index(ra, dec)
    if in_order:
        by_index = np.argsort(index)
        ra, dec, index = ra[by_index], dec[by_index], index[by_index]
    rows, tiles = margin_rows(index, ra, dec, Tiles(orders, numbers), threshold)
    found = set(zip(tiles.tolist(), rows.tolist(), strict=True))
    assert list(zip(tiles.tolist(), rows.tolist(), strict=True)) == sorted(found)
    for tile, (order, number) in enumerate(zip(orders.tolist(), numbers.tolist(), strict=True)):
        apart = sampled_distance(ra, dec, order, number, 256)
        unclear = np.abs(apart - threshold) <= max(1e-9, polygon_error(order, 256))
        inside = index >> (2 * (ORDER - order)) == number
        expected = np.flatnonzero((apart <= threshold) & ~inside & ~unclear)
        sure = {row for found_tile, row in found if found_tile == tile and not unclear[row]}
        assert sure == set(expected.tolist())


@pytest.mark.parametrize("rows", [3, 2000])
@pytest.mark.parametrize("in_order", [False, True])
def test_rows_are_found_in_tiles_given_in_any_order(rows: int, in_order: bool) -> None:
    """Some rows lie in no tile; first and last indices of tiles are among them."""
    rng = np.random.default_rng(rows)
    orders, numbers = random_tiling((10.0, 20.0), 1.0, rng)
    shuffled = rng.permutation(len(orders))
    orders, numbers = orders[shuffled], numbers[shuffled]
    shift = 2 * (ORDER - orders)
    edges = np.concatenate([numbers << shift, ((numbers + 1) << shift) - 1, (numbers + 1) << shift])
    index = rng.permutation(np.append(edges, radec_to_index(*around(10.0, 20.0, np.linspace(0, 6, 2000), rng))))[:rows]
    index = np.sort(index) if in_order else index
    holds = (index[:, None] >> shift) == numbers
    expected = np.where(holds.any(axis=1), holds.argmax(axis=1), -1)
    assert np.array_equal(Tiles(orders, numbers).of(index), expected)
    assert rows < 100 or (expected < 0).any()


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_the_cells_around_are_wide_enough(order: int) -> None:
    """No cell beyond a cell's neighbours comes nearer to it than 1/1.6 of the average side."""
    cells = np.arange(12 << (2 * order))
    neighbours = np.column_stack([cells, hpgeom.neighbors(1 << order, cells)])
    near, far = [], []
    for ring in neighbours:
        second = np.setdiff1d(neighbours[ring[ring >= 0]], np.append(ring, -1))
        near.append(np.full(len(second), ring[0]))
        far.append(second)
    near_cells, far_cells = np.concatenate(near), np.concatenate(far)
    ra, dec = (angles.ravel() for angles in hpgeom.boundaries(1 << order, far_cells, step=4))
    apart = distance_to_pixels_deg(ra, dec, np.full(len(ra), order), np.repeat(near_cells, 16))
    assert apart.min() > CELL_DEG / 2**order / 1.6


@pytest.mark.parametrize("level", [0, 1, 3, 5])
def test_halo_is_the_ring_of_adjacent_cells(level: int) -> None:
    numbers = np.arange(12 << (2 * level))[:: max(1, level * level)]
    halo = halo_of(np.full(len(numbers), level), numbers, CELL_DEG / 1.7 / 2**5)
    assert halo.order == 5
    assert (np.diff(halo.cells) >= 0).all()
    for tile, number in enumerate(numbers.tolist()):
        inner = (number << (2 * (5 - level))) + np.arange(1 << (2 * (5 - level)))
        expected = np.setdiff1d(np.append(hpgeom.neighbors(32, inner), -1), [-1, *inner])
        assert np.array_equal(halo.cells[halo.tiles == tile], expected)


@pytest.mark.parametrize(
    ("threshold", "tile_order", "order"),
    [(0.0, 20, 29), (1e-9, 29, 29), (10 / 3600, 5, 13), (36.6, 0, 0), (0.0, 3, 21)],
)
def test_order_of_the_halo(threshold: float, tile_order: int, order: int) -> None:
    """The last one is bounded by the number of cells."""
    assert _halo_order(threshold, np.array([tile_order])) == order


@pytest.mark.parametrize("threshold", [-1.0, np.nan, np.inf, 37.0])
def test_unusable_thresholds_are_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        halo_of([0], [0], threshold)


def test_margins_of_nothing() -> None:
    none, whole = np.empty(0), np.empty(0, dtype=np.int64)
    rows, tiles = margin_rows(radec_to_index(np.ones(3), np.ones(3)), np.ones(3), np.ones(3), Tiles(whole, whole), 0.1)
    assert (len(rows), len(tiles)) == (0, 0)
    rows, tiles = margin_rows(whole, none, none, Tiles([3], [5]), 0.1)
    assert (len(rows), len(tiles)) == (0, 0)


def test_one_row_in_several_margins_across_ra_zero() -> None:
    """At RA 0, Dec 0 four base pixels meet; each of four rows belongs to the margins of the three others."""
    ra, dec = np.array([0.001, 359.999, 360.0, 0.0]), np.array([0.0, 0.0, 0.001, -0.001])
    index = radec_to_index(ra, dec)
    numbers = index >> (2 * (ORDER - 6))
    assert len(set(numbers.tolist())) == 4
    orders = np.full(4, 6)
    rows, tiles = margin_rows(index, ra, dec, Tiles(orders, numbers), 0.01)
    assert tiles.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert rows.tolist() == [1, 2, 3, 0, 2, 3, 0, 1, 3, 0, 1, 2]
