"""Exact membership tests of regions, against independent formulas; and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from partitioning.exceptions import RegionError
from partitioning.sky.regions import Box, Cone, ConvexPolygon, Polygon, bounding_cone
from partitioning.sky.separation import EDGE_TOLERANCE_DEG, separation_deg, unit_vectors

NAN = math.nan
seeds = st.integers(0, 2**32 - 1)


# --- cones ----------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(st.floats(-720, 720), st.floats(-90, 90), st.floats(0, 180), seeds)
def test_a_cone_holds_what_its_chord_says(ra: float, dec: float, radius: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ras, decs = rng.uniform(-360, 720, 300), rng.uniform(-90, 90, 300)
    chord = np.linalg.norm(unit_vectors(ras, decs) - unit_vectors(ra, dec), axis=1)
    limit = 2 * math.sin(math.radians(radius) / 2)
    clear = np.abs(chord - limit) > 1e-9
    assert (Cone(ra, dec, radius).contains(ras, decs) == (chord <= limit))[clear].all()


@pytest.mark.parametrize(
    ("cone", "ra", "dec", "expected"),
    [
        (Cone(0, 0, 0), 360.0, 0.0, True),
        (Cone(0, 0, 0), -720.0, 0.0, True),
        (Cone(0, 0, 0), 1e-9, 0.0, False),
        (Cone(10, 90, 0), 200.0, 90.0, True),
        (Cone(10, 0, 1), 11.0, 0.0, True),
        (Cone(10, 0, 1), 11.000000001, 0.0, False),
        (Cone(10, 20, 180), 190.0, -20.0, True),
        (Cone(10, 20, 180), NAN, 0.0, False),
        (Cone(10, 20, 180), 0.0, NAN, False),
    ],
)
def test_borders_of_cones(cone: Cone, ra: float, dec: float, expected: bool) -> None:
    assert cone.contains(np.array([ra]), np.array([dec])).tolist() == [expected]


def test_a_cone_folds_its_ra() -> None:
    assert [Cone(ra, 0, 1).ra_deg for ra in (-10.0, 350.0, 710.0, 360.0)] == [350.0, 350.0, 350.0, 0.0]


# --- boxes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "inside", "outside"),
    [
        (Box(10, 20, -5, 5), [(10, -5), (20, 5), (15, 0), (375, 0), (-345, 0)], [(9.99, 0), (20.01, 0), (15, 5.01)]),
        (Box(350, 10, 0, 1), [(350, 0), (0, 0), (10, 1), (360, 0), (-1e-20, 0.5)], [(349.9, 0), (10.1, 0)]),
        (Box(350, 370, 0, 1), [(350, 0), (0, 0), (10, 1)], [(349.9, 0), (10.1, 0)]),
        (Box(0, 10, 0, 1), [(0, 0), (360, 0), (-1e-20, 0)], [(359.9, 0), (10.1, 0)]),
        (Box(0, 360, 0, 1), [(0, 0), (180, 1), (359.9, 0.5)], [(0, -0.1), (NAN, 0)]),
        (Box(-180, 180, -90, 90), [(0, 90), (180, -90)], [(0, NAN)]),
        (Box(5, 5, 7, 7), [(5, 7), (365, 7)], [(5.001, 7), (5, 7.001)]),
    ],
)
def test_boxes(box: Box, inside: list[tuple[float, float]], outside: list[tuple[float, float]]) -> None:
    assert box.contains(*np.array(inside).T).all()
    assert not box.contains(*np.array(outside).T).any()


# --- polygons -------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.floats(0, 360), st.sampled_from([90.0, -90.0]) | st.floats(-90, 90), st.floats(-5, 0.5), seeds, st.booleans())
def test_a_polygon_holds_what_lies_between_its_spokes(
    ra: float, dec: float, power: float, seed: int, backwards: bool
) -> None:
    """Star-shaped polygons, convex or not: a point is inside if it lies on the centre's side of the edge it faces."""
    rng = np.random.default_rng(seed)
    size, count = 10.0**power, int(rng.integers(3, 30))
    turns = np.sort(rng.uniform(0, 2 * np.pi, count))
    gaps = np.diff(turns, append=turns[0] + 2 * np.pi)
    assume(gaps.max() < 3.0 and gaps.min() > 1e-3)
    corners = size * rng.uniform(0.1, 1, count)[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    vertices = to_sky(ra, dec, corners)[:: -1 if backwards else 1]
    polygon = Polygon(tuple((float(a), float(d)) for a, d in vertices))

    points = rng.uniform(-size, size, (400, 2))
    facing = np.searchsorted(turns, np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)) - 1
    start, end = corners[facing], corners[(facing + 1) % count]
    edge, offset = end - start, points - start
    height = (edge[:, 0] * offset[:, 1] - edge[:, 1] * offset[:, 0]) / np.hypot(*edge.T)
    clear = np.abs(height) > 1e-8 * size + 1e-11
    assert (polygon.contains(*to_sky(ra, dec, points).T) == (height > 0))[clear].all()
    assert polygon.contains(*np.asarray(vertices).T).all(), "corners lie inside"


def to_sky(ra: float, dec: float, plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sky positions of points of the plane that touches the sphere at a position (gnomonic)."""
    a, d = math.radians(ra), math.radians(dec)
    centre = np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])
    east = np.array([-math.sin(a), math.cos(a), 0.0])
    x, y, z = (centre + plane[:, :1] * east + plane[:, 1:] * np.cross(centre, east)).T
    return np.stack([np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))], axis=1)


def test_pieces_cover_a_polygon_without_overlap() -> None:
    """A comb: every tooth is a corner that is not convex."""
    comb = ((0, 0), (8, 0), (8, 4), (7, 1), (6, 4), (5, 1), (4, 4), (3, 1), (2, 4), (1, 1), (0, 4))
    polygon = Polygon(tuple((float(a), float(d)) for a, d in comb))
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(-1, 9, 5000), rng.uniform(-1, 5, 5000)
    pieces = np.array([piece.contains(ra, dec) for piece in polygon.pieces])
    assert pieces.sum(axis=0).max() == 1
    assert np.array_equal(pieces.any(axis=0), polygon.contains(ra, dec))
    between = (dec > 2) & (np.abs(ra % 2 - 1) < 0.2)
    assert not polygon.contains(ra[between], dec[between]).any()


@pytest.mark.parametrize("shift", range(5))
def test_a_polygon_is_the_same_from_any_corner(shift: int) -> None:
    corners = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (2.0, 1.0), (0.0, 4.0)]
    turned = corners[shift:] + corners[:shift]
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(-1, 5, 2000), rng.uniform(-1, 5, 2000)
    assert np.array_equal(Polygon(tuple(turned)).contains(ra, dec), Polygon(tuple(corners)).contains(ra, dec))


def test_repeated_and_flat_corners_are_harmless() -> None:
    plain = Polygon(((0, 0), (4, 0), (4, 4), (2, 1), (0, 4)))
    full = Polygon(((0, 0), (2, 0), (4, 0), (4, 0), (4, 2), (4, 4), (2, 1), (0, 4), (0, 0)))
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(-1, 5, 2000), rng.uniform(-1, 5, 2000)
    assert np.array_equal(plain.contains(ra, dec), full.contains(ra, dec))


def test_a_large_polygon_is_the_inside_of_its_hemisphere() -> None:
    cap = Polygon(tuple((float(ra), 3.0) for ra in range(0, 360, 10)))
    assert cap.contains(np.array([0.0, 5.0, 100.0]), np.array([90.0, 3.5, 45.0])).all()
    assert not cap.contains(np.array([0.0, 5.0, 100.0]), np.array([-90.0, 2.5, -45.0])).any()


@pytest.mark.parametrize(
    ("vertices", "problem"),
    [
        (((0, 0), (1, 0)), "at least 3"),
        (((0, 0), (1, 0), (1, 0), (360, 0)), "3 distinct"),
        (((0, 0), (10, 0), (20, 0)), "no area"),
        (((0, 0), (1, 1), (1, 0), (0, 1)), "crosses itself \\(sides 1 and 3\\)"),
        (((0, 0), (1, 1), (2, 0), (2, 2), (1, 1), (0, 2)), "touches itself"),
        (((0, 0), (90, 0), (180, 0), (270, 0)), "hemisphere"),
        (((0, 0), (120, 0), (240, 0), (0, 90)), "hemisphere"),
        (((0, 0), (1, 0), (1, 91)), "declination 91"),
        (((0, 0), (1, 0), (NAN, 1)), "finite"),
    ],
)
def test_ill_defined_polygons_are_refused(vertices: tuple[tuple[float, float], ...], problem: str) -> None:
    with pytest.raises(RegionError, match=problem):
        Polygon(vertices)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Cone(1, 91, 1), "declination 91"),
        (lambda: Cone(math.inf, 0, 1), "finite"),
        (lambda: Cone(1, 0, -1), "radius"),
        (lambda: Cone(1, 0, 181), "radius"),
        (lambda: Cone(1, 0, NAN), "radius"),
        (lambda: Box(0, 1, 5, 4), "reversed"),
        (lambda: Box(0, 1, -91, 4), "declination -91"),
    ],
)
def test_ill_defined_cones_and_boxes_are_refused(make: object, problem: str) -> None:
    assert callable(make)
    with pytest.raises(RegionError, match=problem):
        make()


def test_borders_of_polygons_count_as_inside() -> None:
    square = Polygon(((0, 0), (1, 0), (1, 1), (0, 1)))
    assert square.contains(np.array([0.0, 0.5, 1.0, 360.0]), np.array([0.0, 0.0, 0.5, 0.5])).all()
    assert not square.contains(np.array([0.5]), np.array([-100 * EDGE_TOLERANCE_DEG])).any()
    assert not square.contains(np.array([NAN]), np.array([0.5])).any()


# --- bounding cones -------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 360), st.floats(-90, 90), st.floats(-6, 1.9), st.integers(3, 8), seeds)
def test_a_bounding_cone_holds_its_polygon(ra: float, dec: float, power: float, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    radius = math.radians(10.0**power)
    turns = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * (2 * np.pi / count)
    plane = math.tan(radius) * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    polygon = Polygon(tuple((float(a), float(d)) for a, d in to_sky(ra, dec, plane)))
    cone = bounding_cone(polygon.vertices)
    points = to_sky(ra, dec, math.tan(radius) * rng.uniform(-1, 1, (300, 2)))
    within = polygon.contains(*points.T)
    assert cone.contains(*points[within].T).all()
    assert cone.radius_deg == 180 or cone.radius_deg <= 2 * math.degrees(radius) + 1e-6


def test_a_convex_piece_knows_its_corners() -> None:
    (piece,) = Polygon(((0, 0), (1, 0), (0, 1))).pieces
    assert isinstance(piece, ConvexPolygon)
    assert np.linalg.norm(piece.normals, axis=1) == pytest.approx(1.0)
    assert float(separation_deg(0, 0, *piece.vertices[0])) == 0.0
