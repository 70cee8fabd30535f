"""A coverage loses no row: every point of a region, padded or not, has its stored index inside."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from partitioning.exceptions import RegionError
from partitioning.sky.coverage import EMPTY, WHOLE_SKY, Coverage, complement, cover, intersection, union
from partitioning.sky.healpix import SKY_STOP, radec_to_index
from partitioning.sky.regions import Box, Cone, Polygon, Region
from partitioning.sky.separation import separation_deg

Points = tuple[NDArray[np.float64], NDArray[np.float64]]

RAS = st.one_of(st.sampled_from([0.0, 360.0, -0.0, 90.0, 179.9999999, 359.9999999, -30.0]), st.floats(-360, 720))
DECS = st.one_of(st.sampled_from([-90.0, 90.0, 0.0, 89.99999, -41.8103148957786]), st.floats(-90, 90))
RADII = st.one_of(st.sampled_from([0.0, 1e-9, 90.0, 135.0, 179.0, 180.0]), st.floats(-7, 2.25).map(lambda x: 10.0**x))
PADS = st.sampled_from([0.0, 1e-6, 0.001, 0.3, 5.0])
SEEDS = st.integers(0, 2**32 - 1)


def moved(ra: NDArray[np.float64], dec: NDArray[np.float64], distance: NDArray[np.float64], bearing: Points) -> Points:
    """Return points at a distance (degrees) from others, in the direction (sine, cosine)."""
    sin_d, cos_d = np.sin(np.radians(distance)), np.cos(np.radians(distance))
    sin_dec, cos_dec = np.sin(np.radians(dec)), np.cos(np.radians(dec))
    new_dec = np.arcsin(np.clip(sin_dec * cos_d + cos_dec * sin_d * bearing[1], -1, 1))
    shift = np.arctan2(bearing[0] * sin_d * cos_dec, cos_d - sin_dec * np.sin(new_dec))
    return (ra + np.degrees(shift)) % 360.0, np.degrees(new_dec)


def around(rng: np.random.Generator, ra: float, dec: float, radius: float, count: int = 200) -> Points:
    """Return points within `radius` degrees of a centre: the centre itself, and many at the very edge."""
    distance = radius * np.where(rng.random(count) < 0.3, 1.0, np.sqrt(rng.random(count)))
    angle = rng.uniform(0, 2 * np.pi, count)
    points = moved(np.full(count, ra), np.full(count, dec), distance, (np.sin(angle), np.cos(angle)))
    points[0][0], points[1][0] = ra, dec
    return points


def held(coverage: Coverage, points: Points) -> NDArray[np.bool_]:
    """Return which points have their index in a coverage."""
    index = radec_to_index(*points)
    slot = np.searchsorted(coverage[:, 0], index, side="right") - 1
    result: NDArray[np.bool_] = (slot >= 0) & (index < coverage[np.maximum(slot, 0), 1])
    return result


def assert_covered(region: Region, candidates: Points, pad: float, rng: np.random.Generator) -> int:
    """Check that points of the region, and points within `pad` of those, are covered; return how many were checked."""
    inside = region.contains(*candidates)
    ra, dec = candidates[0][inside], candidates[1][inside]
    angle = rng.uniform(0, 2 * np.pi, len(ra))
    near = moved(ra, dec, np.full(len(ra), pad), (np.sin(angle), np.cos(angle)))
    coverage = cover(region, pad)
    assert (coverage[:, 0] < coverage[:, 1]).all()
    assert (coverage[1:, 0] > coverage[:-1, 1]).all()  # sorted, disjoint, merged
    assert held(coverage, (ra, dec)).all()
    assert held(coverage, near).all()
    return len(ra)


@given(ra=RAS, dec=DECS, radius=RADII, pad=PADS, seed=SEEDS)
@settings(max_examples=80, deadline=None)
def test_cone(ra: float, dec: float, radius: float, pad: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    radius = min(radius, 180.0)
    assert assert_covered(Cone(ra, dec, radius), around(rng, ra % 360, dec, radius), pad, rng) > 0


@given(ra=RAS, dec=DECS, width=st.floats(0, 400), height=st.floats(0, 180), pad=PADS, seed=SEEDS)
@settings(max_examples=80, deadline=None)
def test_box_with_wrap(ra: float, dec: float, width: float, height: float, pad: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    top = min(90.0, dec + height)
    box = Box(ra, ra + width, dec, top)
    candidates = (rng.uniform(ra, ra + width, 400) % 360, rng.uniform(dec, top, 400))
    assert_covered(box, candidates, pad, rng)


@given(ra=RAS, dec=DECS, size=st.floats(-4, 1.6).map(lambda x: 10.0**x), pad=PADS, seed=SEEDS, count=st.integers(3, 9))
@settings(max_examples=60, deadline=None)
def test_star_shaped_polygon(ra: float, dec: float, size: float, pad: float, seed: int, count: int) -> None:
    """Convex or not, around any centre: corners at sorted angles and random distances."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, count))
    distance = size * rng.uniform(0.2, 1, count)
    corners = moved(np.full(count, ra % 360), np.full(count, dec), distance, (np.sin(angle), np.cos(angle)))
    try:
        polygon = Polygon(tuple(zip(corners[0].tolist(), corners[1].tolist(), strict=True)))
    except RegionError:
        return  # degenerate corners
    assert_covered(polygon, around(rng, ra % 360, dec, size), pad, rng)


@given(seed=SEEDS, count=st.integers(4, 10))
@settings(max_examples=50, deadline=None)
def test_pieces_partition_a_polygon(seed: int, count: int) -> None:
    """Each point is in the polygon exactly when it is in one of its pieces, and (edges aside) in one piece only.

    The oracle is the winding angle of the corners as seen from the point, in the tangent plane.
    """
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, count))
    distance = rng.uniform(0.2, 1, count)
    corners = moved(np.full(count, 40.0), np.full(count, 20.0), distance, (np.sin(angle), np.cos(angle)))
    try:
        polygon = Polygon(tuple(zip(corners[0].tolist(), corners[1].tolist(), strict=True)))
    except RegionError:
        return
    ra, dec = around(rng, 40.0, 20.0, 1.1, 500)
    shape = np.stack(gnomonic(*corners), axis=1)
    points = np.stack(gnomonic(ra, dec), axis=1)
    arms = shape[None, :, :] - points[:, None, :]
    directions = np.arctan2(arms[..., 1], arms[..., 0])
    turns = (np.diff(directions, append=directions[:, :1]) + np.pi) % (2 * np.pi) - np.pi
    expected = np.abs(turns.sum(axis=1)) > np.pi
    far_from_sides = np.abs(np.abs(turns) - np.pi).min(axis=1) > 1e-6
    assert (polygon.contains(ra, dec) == expected)[far_from_sides].all()
    hits = np.sum([piece.contains(ra, dec) for piece in polygon.pieces], axis=0)
    assert np.mean(hits[expected] == 1) > 0.95  # points on the cuts between pieces belong to two


def gnomonic(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> Points:
    """Project about (40, 20) degrees; great circles become straight lines."""
    lon, lat, lat0 = np.radians(ra - 40.0), np.radians(dec), np.radians(20.0)
    depth = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(lon)
    x = np.cos(lat) * np.sin(lon) / depth
    y = (np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(lon)) / depth
    return x, y


@given(
    cones=st.lists(st.tuples(RAS, DECS, RADII), min_size=2, max_size=2),
    seed=SEEDS,
)
@settings(max_examples=60, deadline=None)
def test_set_operations_agree_with_membership(cones: list[tuple[float, float, float]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (cover(Cone(ra, dec, min(radius, 180.0))) for ra, dec, radius in cones)
    points = (rng.uniform(0, 360, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300))))
    one, two = held_or_none(first, points), held_or_none(second, points)
    assert (held_or_none(union(first, second), points) == (one | two)).all()
    assert (held_or_none(intersection(first, second), points) == (one & two)).all()
    assert (held_or_none(complement(first), points) == ~one).all()


def held_or_none(coverage: Coverage, points: Points) -> NDArray[np.bool_]:
    return held(coverage, points) if len(coverage) else np.zeros(len(points[0]), dtype=np.bool_)


def test_whole_and_empty_sky() -> None:
    assert (complement(EMPTY) == WHOLE_SKY).all()
    assert len(complement(WHOLE_SKY)) == 0
    assert cover(Cone(10.0, -5.0, 180.0)).tolist() == [[0, SKY_STOP]]


def test_small_cones_cover_little() -> None:
    """A coverage that is always the whole sky would pass every other test."""
    rng = np.random.default_rng(5)
    for radius in (1e-5, 0.01, 1.0, 20.0):
        for ra, dec in zip(rng.uniform(0, 360, 20), rng.uniform(-90, 90, 20), strict=True):
            coverage = cover(Cone(ra, dec, radius))
            share = float((coverage[:, 1] - coverage[:, 0]).sum()) / SKY_STOP
            cone_share = (1 - np.cos(np.radians(max(radius, 0.01 / 3600)))) / 2
            assert share < 20 * cone_share
            assert len(coverage) < 100


def test_separation_is_stable_at_its_ends() -> None:
    assert separation_deg(10.0, 20.0, 10.0, 20.0) == 0
    assert separation_deg(0.0, 30.0, 360.0, 30.0) < 1e-12
    assert abs(separation_deg(15.0, -30.0, 195.0, 30.0) - 180.0) < 1e-9
    assert abs(separation_deg(0.0, 90.0, 123.0, 89.0) - 1.0) < 1e-12
    assert np.isnan(separation_deg(np.nan, 0.0, 0.0, 0.0))
