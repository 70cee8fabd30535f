"""Polygons of every kind, held against Rubin's sphgeom: in numpy, as SQL, as SQL of columns, and as what is read.

sphgeom knows convex polygons alone. A point lies in any polygon if it lies in an odd number of the triangles that one
corner makes with each side.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lsst import sphgeom
from numpy.typing import NDArray

from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.models.query import QueryText, TableScan
from catalog_service.models.schema import DataType, SkyPosition, Table
from partitioning.sky.coverage import Coverage, cover
from partitioning.sky.healpix import radec_to_index
from partitioning.sky.regions import Polygon
from tests.catalog_service.language.store import View, column
from tests.catalog_service.language.test_geometry import around, vectors

EDGE_DEG = 2e-11
"""Positions so near to a side lie on it, and so inside; sphgeom may see them outside."""

NEAR_DEG = 1e-9
"""How far beside the sides the nearest positions are put that must be right."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SPOT = Table(
    "sky",
    "Spot",
    tuple(column(name, DataType.LONG) for name in ("shape_id", "place"))
    + tuple(column(name, DataType.DOUBLE) for name in ("ra", "dec", "shift")),
    position=SkyPosition("ra", "dec"),
)


@dataclass(frozen=True)
class Case:
    """A polygon, positions in and around it, and sphgeom's word on them."""

    corners: tuple[tuple[float, float], ...]
    ra: Floats
    dec: Floats

    @property
    def vectors(self) -> Floats:
        """Unit vectors of the corners, shape ``(n, 3)``."""
        return vectors(*np.array(self.corners).T)

    def inside(self) -> Bools:
        """Return what sphgeom says."""
        first, *others = (sphgeom.UnitVector3d(*corner) for corner in self.vectors)
        odd = np.zeros(len(self.ra), bool)
        for one, other in pairwise(others):
            turn = sphgeom.orientation(first, one, other)
            if turn:
                triangle = sphgeom.ConvexPolygon([first, one, other][::turn])
                odd ^= triangle.contains(np.radians(self.ra), np.radians(self.dec))
        return odd

    def on_edge(self) -> Bools:
        """Return which positions lie on a side, as far as numbers tell."""
        points, near = vectors(self.ra, self.dec), np.zeros(len(self.ra), bool)
        corners = self.vectors
        for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            normal = np.cross(a, b - a)
            normal /= np.linalg.norm(normal)
            middle = a + b
            along = points @ (middle / np.linalg.norm(middle)) >= a @ middle / np.linalg.norm(middle) - 1e-15
            near |= along & (np.degrees(np.abs((points - a) @ normal)) < EDGE_DEG)
        return near


def near_sides(corners: list[tuple[float, float]]) -> Iterator[Floats]:
    """Yield positions: the corners, and points of the sides and close beside them."""
    ends = vectors(*np.array(corners).T)
    yield ends
    for a, b in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        normal = np.cross(a, b - a)
        normal /= np.linalg.norm(normal)
        for share in (0.11, 0.5, 0.83):
            side = a + share * (b - a)
            side /= np.linalg.norm(side)
            yield np.array([side + math.radians(by) * normal for by in (-NEAR_DEG, 0.0, NEAR_DEG)])


def case(rng: np.random.Generator, centre: tuple[float, float], angles: Floats, radii: Floats) -> Case:
    corners = around(*centre, angles, radii)
    count = 300
    spread = around(*centre, rng.uniform(0, 360, count), radii.max() * 1.2 * np.sqrt(rng.random(count)))
    x, y, z = np.concatenate(list(near_sides(corners))).T
    ra = np.concatenate([[one[0] for one in spread], np.degrees(np.arctan2(y, x)) % 360])
    dec = np.concatenate([[one[1] for one in spread], np.degrees(np.arctan2(z, np.hypot(x, y)))])
    return Case(tuple(corners), ra, dec)


def cases() -> Iterator[Case]:
    """Yield triangles, convex polygons, stars and combs of 0.03 arcsec to 80 degrees at awkward places."""
    rng = np.random.default_rng(17)
    for centre in ((0.0, 90.0), (200.0, -90.0), (30.0, 89.99), (0.0, 0.0), (359.99999, 1.0), (123.0, -45.0)):
        for radius in (1e-5, 1e-3, 0.4, 9.0, 80.0):
            start = rng.uniform(0, 360)
            yield case(rng, centre, start + np.array([0.0, 100, 230]), np.full(3, radius))
            yield case(rng, centre, start + np.arange(0.0, 360.0, 40.0), np.full(9, radius))
            star = start + np.arange(0.0, 360.0, 36.0)
            yield case(rng, centre, star, np.full(10, radius) * np.where(np.arange(10) % 2, 0.3, 1.0))
            wild = np.sort(rng.uniform(0, 30, 12)) + np.arange(12) * 30.0
            yield case(rng, centre, start + wild, rng.uniform(0.15 * radius, radius, 12))


CASES = tuple(cases())


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> tuple[duckdb.DuckDBPyConnection, TableScan]:
    path: Path = tmp_path_factory.mktemp("polygons") / "positions.parquet"
    counts = [len(one.ra) for one in CASES]
    columns = {
        "shape_id": np.repeat(np.arange(len(CASES)), counts),
        "place": np.concatenate([np.arange(count) for count in counts]),
        "ra": np.concatenate([one.ra for one in CASES]),
        "dec": np.concatenate([one.dec for one in CASES]),
        "shift": np.zeros(sum(counts)),
    }
    pq.write_table(pa.table(columns), path, row_group_size=1000)
    return duckdb.connect(config={"threads": 1}), TableScan(SPOT, (str(path),))


def selected(connection: tuple[duckdb.DuckDBPyConnection, TableScan], number: int, polygon: str) -> Bools:
    """Return which positions of a case the SQL for a polygon selects."""
    query = f"SELECT place FROM sky.Spot WHERE shape_id = {number} AND 1 = CONTAINS(POINT(ra, dec), {polygon})"
    duck, scan = connection
    sql = emit(resolve(parse(QueryText(query)), View((SPOT,))), {0: scan}, max_rows=10**6)
    found = np.zeros(len(CASES[number].ra), bool)
    found[[row for (row,) in duck.sql(sql).fetchall()]] = True
    return found


def numbers(one: Case, more: str = "") -> str:
    return ", ".join(f"{value!r}{more}" for corner in one.corners for value in corner)


def pixels_of(coverage: Coverage, index: NDArray[np.int64]) -> Bools:
    held = np.zeros(len(index), bool)
    for start, stop in coverage:
        held |= (index >= start) & (index < stop)
    return held


def test_polygons_hold_what_sphgeom_says() -> None:
    judged = held = 0
    for one in CASES:
        expected, edge = one.inside(), one.on_edge()
        found = Polygon(one.corners).contains(one.ra, one.dec)
        np.testing.assert_array_equal(found[~edge], expected[~edge], err_msg=str(one.corners))
        assert found[edge].all()
        judged, held = judged + int((~edge).sum()), held + int(expected[~edge].sum())
    assert held > 0.3 * judged > 10_000


def test_emitted_polygons_hold_what_sphgeom_says(connection: tuple[duckdb.DuckDBPyConnection, TableScan]) -> None:
    for number, one in enumerate(CASES):
        expected, edge = one.inside(), one.on_edge()
        found = selected(connection, number, f"POLYGON({numbers(one)})")
        np.testing.assert_array_equal(found[~edge], expected[~edge], err_msg=str(one.corners))
        assert found[edge].all()


def test_polygons_of_columns_hold_what_sphgeom_says(connection: tuple[duckdb.DuckDBPyConnection, TableScan]) -> None:
    for number, one in list(enumerate(CASES))[::11]:
        expected, edge = one.inside(), one.on_edge()
        found = selected(connection, number, f"POLYGON({numbers(one, ' + shift')})")
        np.testing.assert_array_equal(found[~edge], expected[~edge], err_msg=str(one.corners))


def test_centroids_of_columns_are_those_of_numbers(connection: tuple[duckdb.DuckDBPyConnection, TableScan]) -> None:
    duck, scan = connection
    for number, one in list(enumerate(CASES))[::11]:
        of_columns, of_numbers = (f"CENTROID(POLYGON({numbers(one, more)}))" for more in (" + shift", ""))
        query = f"SELECT DISTANCE({of_columns}, {of_numbers}), {of_columns} FROM sky.Spot WHERE shape_id = {number}"
        sql = emit(resolve(parse(QueryText(f"{query} AND place = 0")), View((SPOT,))), {0: scan}, max_rows=1)
        ((apart, (ra, dec)),) = duck.sql(sql).fetchall()
        assert apart < 1e-9
        assert 0 <= ra <= 360
        assert abs(dec) <= 90


def test_what_is_read_for_a_polygon_holds_all_of_it_and_not_much_more() -> None:
    spared = outside = 0
    for one in CASES:
        expected, edge = one.inside(), one.on_edge()
        read = pixels_of(cover(Polygon(one.corners), 0.0), radec_to_index(one.ra, one.dec))
        assert read[expected | edge].all()
        far = ~expected & ~edge
        far[300:] = False  # beside a side
        spared, outside = spared + int((far & ~read).sum()), outside + int(far.sum())
    assert spared > 0.4 * outside
