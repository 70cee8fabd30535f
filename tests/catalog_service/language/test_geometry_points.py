"""Geometry at poles, across RA 0, tiny and huge, against astropy and closed formulas: to 1e-9 degrees."""

import math
from itertools import pairwise

import numpy as np
import pytest
from astropy.coordinates import angular_separation

from .store import Store

CENTRES = [
    (0.0, 0.0),
    (359.9999999, 0.0),
    (0.0, 90.0),
    (77.0, -90.0),
    (201.3, -61.7),
]
RADII = [1e-7, 0.5, 89.9999, 90.0001, 179.9]
ANGLES = [0.0, 37.0, 270.0]
TOLERANCE = 1e-9
"""Degrees."""
SPHERE = 4 * math.pi * math.degrees(1) ** 2
"""Area of the sky in square degrees."""

Place = tuple[float, float]


def at(centre: Place, angle: float, distance: float) -> Place:
    """Return the place at a distance and position angle from another."""
    (a, d), turn, reach = np.radians(centre), math.radians(angle), math.radians(distance)
    here = np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])
    east = np.array([-math.sin(a), math.cos(a), 0.0])
    there = math.cos(reach) * here + math.sin(reach) * (math.sin(turn) * east + math.cos(turn) * np.cross(here, east))
    return math.degrees(math.atan2(there[1], there[0])) % 360, math.degrees(
        math.atan2(there[2], math.hypot(*there[:2]))
    )


def apart(one: Place, other: Place) -> float:
    return math.degrees(float(angular_separation(*np.radians([*one, *other]))))


def row(store: Store, items: list[str]) -> tuple[float, ...]:
    """Return the values of constant expressions."""
    names = (f"{item} AS v{number}" for number, item in enumerate(items))
    return tuple(store.run(f"SELECT {', '.join(names)}").rows[0])


def ring(centre: Place, radius: float, corners: int) -> str:
    """Return a regular polygon about a centre, counterclockwise on the sky."""
    places = [at(centre, -360 * number / corners, radius) for number in range(corners)]
    return f"POLYGON({', '.join(f'{ra!r}, {dec!r}' for ra, dec in places)})"


@pytest.mark.parametrize("centre", CENTRES)
def test_distances(store: Store, centre: Place) -> None:
    places = [at(centre, angle, radius) for radius in [*RADII, 179.999999] for angle in ANGLES]
    ra, dec = centre
    found = row(store, [f"DISTANCE(POINT({ra!r}, {dec!r}), POINT({lon!r}, {lat!r}))" for lon, lat in places])
    for place, distance in zip(places, found, strict=True):
        assert distance == pytest.approx(apart(centre, place), abs=TOLERANCE), place


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("radius", RADII)
def test_the_boundary_of_a_circle(store: Store, centre: Place, radius: float) -> None:
    """Just inside is inside, just outside is not, in each direction; also as CIRCLE against CIRCLE."""
    items, expected = [], []
    for angle in ANGLES:
        for by, inside in ((-TOLERANCE, 1), (TOLERANCE, 0)):
            lon, lat = at(centre, angle, radius + by)
            if abs(apart(centre, (lon, lat)) - radius) < TOLERANCE / 3:
                continue  # the place itself is not known to so many digits
            point = f"POINT({lon!r}, {lat!r})"
            circle = f"CIRCLE({centre[0]!r}, {centre[1]!r}, {radius!r})"
            items += [f"CONTAINS({point}, {circle})", f"INTERSECTS({point}, {circle})"]
            items.append(f"INTERSECTS(CIRCLE({lon!r}, {lat!r}, 0), {circle})")
            expected += [inside] * 3
    assert len(items) > len(ANGLES)
    assert row(store, items) == tuple(expected)


@pytest.mark.parametrize("centre", CENTRES)
def test_circles_that_just_touch(store: Store, centre: Place) -> None:
    for one, other in ((0.3, 0.2), (1e-4, 5.0), (80.0, 20.0)):
        for by, meets in ((-TOLERANCE, 1), (TOLERANCE, 0)):
            lon, lat = at(centre, 123.0, one + other + by)
            found = row(
                store, [f"INTERSECTS(CIRCLE({centre[0]!r}, {centre[1]!r}, {one}), CIRCLE({lon!r}, {lat!r}, {other}))"]
            )
            assert found == (meets,), (one, other, by)


def test_areas_of_circles(store: Store) -> None:
    radii = [1e-6, 1e-3, 0.5, 45.0, 90.0, 135.0, 180.0]
    found = row(store, [f"AREA(CIRCLE(10, {dec}, {radius!r}))" for radius in radii for dec in (-90, 3, 89)])
    expected = [SPHERE * math.sin(math.radians(radius) / 2) ** 2 for radius in radii for _ in range(3)]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("radius", [1e-3, 30.0, 85.0])
@pytest.mark.parametrize("corners", [3, 7])
def test_regular_polygons(store: Store, centre: Place, radius: float, corners: int) -> None:
    """Area by the angles of a triangle from the centre, centroid in the centre, borders half-way along each side."""
    shape = ring(centre, radius, corners)
    area, ra, dec = row(store, [f"AREA({shape})", f"COORD1(CENTROID({shape}))", f"COORD2(CENTROID({shape}))"])
    half, reach = math.pi / corners, math.radians(radius)
    # by Napier's rules: the angle at a corner, half of it, of the right triangle to the middle of a side
    corner = math.atan2(1, math.cos(reach) * math.tan(half))
    excess = corners * (2 * half + 2 * corner - math.pi)
    if radius > 0.1:  # where the sum of angles has digits enough
        assert area == pytest.approx(excess * math.degrees(1) ** 2, rel=1e-9)
    else:
        assert area == pytest.approx(corners / 2 * radius**2 * math.sin(2 * half), rel=1e-6)
    assert apart(centre, (ra, dec)) < TOLERANCE
    side = math.degrees(math.atan(math.tan(reach) * math.cos(half)))
    items = []
    for number in range(corners):
        for by in (-TOLERANCE * 3, TOLERANCE * 3):
            lon, lat = at(centre, -360 * (number + 0.5) / corners, side + by)
            items.append(f"CONTAINS(POINT({lon!r}, {lat!r}), {shape})")
    assert row(store, items) == (1, 0) * corners


def test_areas_of_zones_and_octants(store: Store) -> None:
    octant = row(store, ["AREA(POLYGON(0, 0, 90, 0, 0, 90))", "AREA(POLYGON(350, 0, 80, 0, 123, 90))"])
    assert octant == pytest.approx((SPHERE / 8, SPHERE / 8), rel=1e-12)
    thin = row(store, [f"AREA(POLYGON(10, 0, {10 + width!r}, 0, 77, 90))" for width in (1e-6, 1e-3, 60.0)])
    assert thin == pytest.approx([SPHERE / 2 * width / 360 for width in (1e-6, 1e-3, 60.0)], rel=1e-6)
    edges = [10.0 + 25 * number for number in range(5)]
    slices = row(
        store, [f"AREA(POLYGON({one}, -20, {other}, -20, {other}, 30, {one}, 30))" for one, other in pairwise(edges)]
    )
    assert slices == pytest.approx([slices[0]] * 4, rel=1e-12)
