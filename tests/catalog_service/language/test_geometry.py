"""Regions computed by DuckDB from what we emit, against numpy over the same arrays with other formulas."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.models.query import QueryText, RaDecBox, TableScan
from catalog_service.models.schema import Column, DataType, Table
from tests.catalog_service.language.store import OBJECT, N, Store, View

EDGE_DEG = 1e-9
"""Rows so near to a boundary may be in or out."""

Vector = NDArray[np.float64]


def vectors(ra: Vector | float, dec: Vector | float) -> Vector:
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def separation(ra: float, dec: float, points: Vector) -> Vector:
    """Return degrees, from cross and dot products: not the formula that we emit."""
    centre = vectors(ra, dec)
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(points, centre), axis=1), points @ centre))


@pytest.fixture(scope="module")
def points(store: Store) -> Vector:
    return vectors(store.objects["ra"], store.objects["dec"])


def indices(store: Store, condition: str, table: str = "sky.Object") -> set[int]:
    found = store.run(f"SELECT objectId FROM {table} WHERE {condition}").column()
    return {(ident - 2**60 - 1) // 3 for ident in found}


def check(found: set[int], distance: Vector, inside: Callable[[Vector], NDArray[np.bool_]], radius: float) -> None:
    expected = set(np.flatnonzero(inside(distance)).tolist())
    near = set(np.flatnonzero(np.abs(distance - radius) < EDGE_DEG).tolist())
    assert found - near == expected - near


def cones() -> Iterator[tuple[float, float, float]]:
    rng = np.random.default_rng(5)
    centres = [
        (0.0, 90.0),
        (77.0, 90.0),
        (0.0, -90.0),
        (0.0, 0.0),
        (359.99, 0.01),
        (150.0, 2.0),
        (-30.0, 10.0),
        (720.5, 5.0),
    ]
    for ra, dec in centres:
        for radius in (0.0, 1 / 3600, 0.01, 0.5, 3.0, 30.0, 89.999, 90.0, 90.001, 150.0, 179.9999, 180.0):
            yield ra, dec, radius
    for _ in range(60):
        dec = math.degrees(math.asin(rng.uniform(-1, 1)))
        yield rng.uniform(-360, 720), dec, float(10 ** rng.uniform(-3, 2.2))


def test_cones(store: Store, points: Vector) -> None:
    answered = 0
    for ra, dec, radius in cones():
        distance = separation(ra, dec, points)
        found = indices(store, f"1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra!r}, {dec!r}, {radius!r}))")
        check(found, distance, lambda d, r=radius: d <= r, radius)  # type: ignore[misc]
        answered += len(found)
    assert answered > 20_000


@pytest.mark.parametrize(
    ("condition", "inside"),
    [
        ("CONTAINS({p}, {c}) = 1", True),
        ("CONTAINS({p}, {c}) = 1.0", True),
        ("CONTAINS({p}, {c}) = TRUE", True),
        ("1 = INTERSECTS({p}, {c})", True),
        ("INTERSECTS({c}, {p}) = 1", True),
        ("CONTAINS({p}, {c}) <> 0", True),
        ("CONTAINS({p}, {c}) > 0", True),
        ("CONTAINS({p}, {c}) IN (1)", True),
        ("CONTAINS({p}, {c}) BETWEEN 1 AND 2", True),
        ("DISTANCE({p}, {o}) <= {r}", True),
        ("{r} >= DISTANCE({o}, {p})", True),
        ("DISTANCE(ra, dec, {ra}, {dec}) <= {r}", True),
        ("DISTANCE({p}, {o}) - {r} <= 0", True),
        ("DISTANCE({p}, {o}) BETWEEN 0 AND {r}", True),
        ("0 = CONTAINS({p}, {c})", False),
        ("NOT CONTAINS({p}, {c}) = 1", False),
        ("CONTAINS({p}, {c}) != 1", False),
        ("DISTANCE({p}, {o}) > {r}", False),
        ("NOT {r} >= DISTANCE({p}, {o})", False),
        ("NOT (DISTANCE({p}, {o}) < {r} OR DISTANCE({p}, {o}) = {r})", False),
    ],
)
def test_spellings(store: Store, points: Vector, condition: str, inside: bool) -> None:
    for ra, dec, radius in [(150.0, 2.0, 0.02), (0.0, 0.0, 2.0), (10.0, 89.0, 3.0), (200.0, -40.0, 120.0)]:
        text = condition.format(
            p="POINT(ra, dec)",
            o=f"POINT({ra}, {dec})",
            c=f"CIRCLE(POINT({ra}, {dec}), {radius})",
            ra=ra,
            dec=dec,
            r=radius,
        )
        distance = separation(ra, dec, points)
        check(indices(store, text), distance, lambda d, r=radius: (d <= r) == inside, radius)  # type: ignore[misc]


def test_boundaries(store: Store) -> None:
    """A row 10 deg away, in decimals: inside for <= and CONTAINS, outside for <, and its own match at radius 0."""
    row = 6  # (10, 20)
    assert (store.objects["ra"][row], store.objects["dec"][row]) == (10.0, 20.0)
    inner, outer = "DISTANCE(ra, dec, 10, 10)", "CONTAINS(POINT(ra, dec), CIRCLE(10, 10, 10))"
    for condition, expected in {
        f"{inner} <= 10": True,
        f"{inner} = 10": True,
        f"{inner} >= 10": True,
        f"{inner} < 10": False,
        f"{inner} > 10": False,
        f"{inner} <> 10": False,
        f"{outer} = 1": True,
        f"{outer} = 0": False,
        "DISTANCE(ra, dec, 370, 20) <= 0": True,
        "DISTANCE(ra, dec, 370, 20) = 0": True,
        "DISTANCE(ra, dec, 370, 20) < 0": False,
        "DISTANCE(ra, dec, 370, 20) < 1e-12": True,
        "DISTANCE(ra, dec, 370, 20) >= 0": True,
        "DISTANCE(ra, dec, 370, 20) > 0": False,
        "CONTAINS(POINT(ra, dec), CIRCLE(370, 20, 0)) = 1": True,
        "DISTANCE(ra, dec, 190, -20) <= 180": True,
        "DISTANCE(ra, dec, 190, -20) < 180": False,
        "DISTANCE(ra, dec, 190, -20) >= 180": True,
        "DISTANCE(ra, dec, 190, -20) < 181": True,
        "DISTANCE(ra, dec, 190, -20) > 181": False,
        "DISTANCE(ra, dec, 190, -20) > -1": True,
        "DISTANCE(ra, dec, 190, -20) <= -1": False,
        "CONTAINS(POINT(ra, dec), CIRCLE(190, -20, 179.99999999)) = 1": False,
        "CONTAINS(POINT(ra, dec), CIRCLE(190, -20, 180)) = 1": True,
    }.items():
        assert (row in indices(store, condition)) is expected, condition


def test_complements_share_no_row_and_lose_none(store: Store) -> None:
    for radius in (0.0, 0.02, 2.0, 90.0, 179.0, 180.0):
        for first, second in (("<", ">="), ("<=", ">"), ("=", "<>")):
            one = indices(store, f"DISTANCE(ra, dec, 150, 2) {first} {radius}")
            other = indices(store, f"DISTANCE(ra, dec, 150, 2) {second} {radius}")
            assert not one & other
            assert len(one | other) == N


def test_distances(store: Store, points: Vector) -> None:
    for ra, dec in [(0.0, 0.0), (150.0, 2.0), (10.0, 20.0), (190.0, -20.0), (5.0, 90.0), (123.4, -56.7)]:
        answer = store.run(f"SELECT objectId, DISTANCE(POINT(ra, dec), POINT({ra}, {dec})) FROM sky.Object ORDER BY 1")
        np.testing.assert_allclose(answer.column(1), separation(ra, dec, points), rtol=1e-12, atol=2e-13)


def test_tiny_and_nearly_antipodal_distances_keep_their_digits(store: Store) -> None:
    for offset in (1e-9, 1e-7, 1e-5):
        near, far = store.run(f"SELECT DISTANCE(10, 0, 10, {offset!r}), DISTANCE(10, 0, 190, {offset!r})").rows[0]
        assert near == pytest.approx(offset, rel=1e-9)
        assert 180 - far == pytest.approx(offset, rel=1e-5)


def test_positions_that_are_null_or_infinite_are_nowhere(store: Store) -> None:
    lon = np.array([np.nan if value is None else value for value in store.objects["lon"]])
    lat = store.objects["lat"]
    usable = np.isfinite(lon) & np.isfinite(lat)
    circle = "CIRCLE(0, 0, 100)"
    with np.errstate(invalid="ignore"):
        distance = separation(0, 0, vectors(lon, lat))
    inside = indices(store, f"CONTAINS(POINT(lon, lat), {circle}) = 1")
    outside = indices(store, f"CONTAINS(POINT(lon, lat), {circle}) = 0")
    assert inside == set(np.flatnonzero(usable & (distance <= 100)).tolist())
    assert outside == set(np.flatnonzero(usable & (distance > 100)).tolist())
    unknown = store.run(f"SELECT objectId FROM sky.Object WHERE NOT (CONTAINS(POINT(lon, lat), {circle}) IN (0, 1))")
    assert unknown.rows == []
    answer = store.run(
        f"SELECT CONTAINS(POINT(lon, lat), {circle}) AS c, COUNT(*) FROM sky.Object GROUP BY CONTAINS(POINT(lon, lat), {circle})"
    )
    assert dict(answer.rows) == {1: len(inside), 0: len(outside), None: int((~usable).sum())}
    polygon = "POLYGON(350, -10, 10, -10, 10, 10, 350, 10)"
    assert indices(store, f"CONTAINS(POINT(lon, lat), {polygon}) IS NULL") == set(np.flatnonzero(~usable).tolist())
    assert store.run("SELECT COUNT(*) FROM sky.Object WHERE DISTANCE(lon, lat, 0, 0) >= 0").rows == [
        (int(usable.sum()),)
    ]


def test_columns_as_centre_and_radius(store: Store, points: Vector) -> None:
    size = np.array(store.objects["size"])
    found = indices(store, 'CONTAINS(POINT(150, 2), CIRCLE(ra, dec, "size")) = 1')
    assert found == set(np.flatnonzero(separation(150, 2, points) <= size).tolist())
    assert len(found) > 300
    found = indices(store, 'DISTANCE(ra, dec, 150, 2) < "size" * 10')
    assert found == set(np.flatnonzero(separation(150, 2, points) < size * 10).tolist())
    negative = indices(store, 'CONTAINS(POINT(ra, dec), CIRCLE(ra, dec, -"size")) = 1')
    assert negative == set(np.flatnonzero(size <= 1e-11).tolist())


def test_joins_on_distance(store: Store, points: Vector) -> None:
    query = "SELECT a.objectId, b.objectId FROM sky.Small a JOIN sky.Small b ON {} WHERE a.objectId < b.objectId"
    small = points[:250]
    apart = np.degrees(np.arctan2(np.linalg.norm(np.cross(small[:, None], small[None]), axis=2), small @ small.T))
    rows, others = np.nonzero(np.triu(apart < 1.5, k=1))
    expected = {(2**60 + 1 + 3 * int(i), 2**60 + 1 + 3 * int(j)) for i, j in zip(rows, others, strict=True)}
    assert len(expected) > 100
    for condition in (
        "DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec)) < 1.5",
        "1.5 > DISTANCE(b.ra, b.dec, a.ra, a.dec)",
        "1 = CONTAINS(POINT(a.ra, a.dec), CIRCLE(b.ra, b.dec, 1.5))",
    ):
        assert set(store.run(query.format(condition)).rows) == expected


# --- polygons -------------------------------------------------------------------------------------


def tangents(ra: float, dec: float) -> tuple[Vector, Vector]:
    """Return the directions east and north at a position."""
    lon, lat = math.radians(ra), math.radians(dec)
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = np.array([-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)])
    return east, north


def around(ra: float, dec: float, angles_deg: Vector, radii_deg: Vector) -> list[tuple[float, float]]:
    """Return points at position angles and distances from a centre."""
    angle, radius = np.radians(angles_deg)[:, None], np.radians(radii_deg)[:, None]
    east, north = tangents(ra, dec)
    x, y, z = (np.cos(radius) * vectors(ra, dec) + np.sin(radius) * (np.cos(angle) * north + np.sin(angle) * east)).T
    lon, lat = np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))
    return list(zip(lon.tolist(), lat.tolist(), strict=True))


def in_polygon(
    corners: list[tuple[float, float]], centre: tuple[float, float], points: Vector
) -> tuple[NDArray[np.bool_], Vector]:
    """Return whether points are inside by the even-odd rule in the gnomonic plane, and how near to a side (degrees)."""
    c, (east, north) = vectors(*centre), tangents(*centre)
    corner_vectors = vectors(*np.array(corners).T)
    front = points @ c > 1e-9
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = points @ east / (points @ c), points @ north / (points @ c)
    x, y = corner_vectors @ east / (corner_vectors @ c), corner_vectors @ north / (corner_vectors @ c)
    inside, near = np.zeros(len(points), bool), np.full(len(points), 180.0)
    for i in range(len(corners)):
        j = i - 1
        crosses = (y[i] > v) != (y[j] > v)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (u < (x[j] - x[i]) * (v - y[i]) / (y[j] - y[i]) + x[i])
        normal = np.cross(corner_vectors[j], corner_vectors[i])
        near = np.minimum(near, np.degrees(np.abs(np.arcsin(np.clip(points @ normal / np.linalg.norm(normal), -1, 1)))))
    return inside & front, near


def polygons() -> Iterator[tuple[tuple[float, float], list[tuple[float, float]]]]:
    rng = np.random.default_rng(8)
    for ra, dec in [(0.0, 90.0), (30.0, -89.5), (0.0, 0.0), (359.0, 1.0), (150.0, 2.0), (200.0, 40.0), (77.0, -45.0)]:
        for count in (3, 6):
            scale = float(10 ** rng.uniform(-1.5, 1.6))
            angles = np.sort(rng.uniform(0, 360, count)) if count > 4 else np.arange(count) * 360.0 / count + 10
            if np.diff(np.append(angles, angles[0] + 360)).max() > 170:
                angles = np.arange(count) * 360.0 / count
            yield (ra, dec), around(ra, dec, angles, np.full(count, scale))
            star = np.arange(count * 2) * 180.0 / count
            yield (ra, dec), around(ra, dec, star, np.where(np.arange(count * 2) % 2, scale, scale * 0.3))


def test_polygons(store: Store, points: Vector) -> None:
    answered = 0
    for centre, corners in polygons():
        inside, near = in_polygon(corners, centre, points)
        expected, edge = set(np.flatnonzero(inside).tolist()), set(np.flatnonzero(near < EDGE_DEG).tolist())
        for ring in (corners[::-1], corners[2:] + corners[:2]):
            numbers = ", ".join(f"{value!r}" for corner in ring for value in corner)
            found = indices(store, f"CONTAINS(POINT(ra, dec), POLYGON({numbers})) = 1")
            assert found - edge == expected - edge, (centre, ring)
            answered += len(found)
        outside = indices(store, f"CONTAINS(POINT(ra, dec), POLYGON({numbers})) = 0")
        assert not found & outside
        assert len(found | outside) == N
    assert answered > 2000


def test_vertices_and_sides_belong_to_a_polygon(store: Store) -> None:
    answer = store.run(
        "SELECT CONTAINS(POINT(10, 20), POLYGON(10, 20, 30, 20, 20, 40)), CONTAINS(POINT(0, 5), POLYGON(0, 0, 0, 10, 350, 5)),"
        "CONTAINS(POINT(5, 0), POLYGON(POINT(0, 0), POINT(10, 0), POINT(5, 5))), CONTAINS(POINT(5, -0.000001), POLYGON(0, 0, 10, 0, 5, 5))"
    )
    assert answer.rows == [(1, 1, 1, 0)]


def test_boxes(store: Store, points: Vector) -> None:
    """A box is |x| <= tan(w/2), |y| <= tan(h/2) in the plane that touches the sphere at its centre."""
    for ra, dec, width, height in [
        (0.0, 0.0, 3.0, 1.0),
        (150.0, 2.0, 0.03, 0.05),
        (40.0, 89.0, 4.0, 2.2),
        (10.0, -60.0, 100.0, 20.0),
    ]:
        east, north = tangents(ra, dec)
        depth = points @ vectors(ra, dec)
        inside = (depth > 0) & (np.abs(points @ east) <= depth * math.tan(math.radians(width / 2)))
        inside &= np.abs(points @ north) <= depth * math.tan(math.radians(height / 2))
        found = indices(store, f"1 = CONTAINS(POINT(ra, dec), BOX('ICRS', {ra}, {dec}, {width}, {height}))")
        assert found == set(np.flatnonzero(inside).tolist())
        assert found


def test_regions_and_casts_mean_the_same_as_functions(store: Store) -> None:
    circle = indices(store, "1 = CONTAINS(POINT(ra, dec), CIRCLE(150, 2, 0.02))")
    assert circle == indices(store, "1 = CONTAINS(POINT(ra, dec), REGION('Circle ICRS GEOCENTER 150 2 0.02'))")
    assert circle == indices(store, "1 = CONTAINS(POINT(ra, dec), CAST('150 2 0.02' AS CIRCLE))")
    polygon = indices(store, "1 = CONTAINS(POINT(ra, dec), POLYGON(149, 1, 151, 1, 150, 3))")
    assert polygon == indices(store, "1 = CONTAINS(POINT(ra, dec), REGION('polygon 149 1 151 1 150 3'))")
    assert polygon == indices(store, "1 = CONTAINS(POINT(ra, dec), CAST('149 1 151 1 150 3' AS POLYGON))")
    box = indices(store, "1 = CONTAINS(POINT(ra, dec), BOX(150, 2, 1, 2))")
    assert box == indices(store, "1 = CONTAINS(POINT(ra, dec), REGION('BOX ICRS 150 2 1 2'))")


# --- scans ----------------------------------------------------------------------------------------


def test_scans_leave_out_what_lies_outside_ranges_and_boxes(store: Store, points: Vector) -> None:
    """What a scan may leave out is decided elsewhere; here it must be left out, and nothing else."""
    resolved = store.resolve("SELECT objectId FROM sky.Object")
    ra, dec = store.objects["ra"], store.objects["dec"]
    box = RaDecBox(-10.0, 20.0, ((350.0, 360.0), (0.0, 10.0)))
    sql = emit(resolved, {0: TableScan(OBJECT, store.files["sky.Object"], box=box)}, max_rows=N)
    found = {row[0] for row in store.connection.sql(sql).fetchall()}
    chosen = (dec >= -10) & (dec <= 20) & ((ra >= 350) | (ra <= 10))
    assert found == set(store.objects["objectId"][chosen].tolist())


def test_rows_of_schemas_that_the_caller_may_not_see_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "tables.parquet"
    names = {"_schema": ["a", "b", "it's"], "table_name": ["a.t", "b.t", "c.t"]}
    pq.write_table(pa.table(names), path)
    table = Table(
        "TAP_SCHEMA", "tables", (Column(name="table_name", datatype=DataType.TEXT, stored_name="table_name"),)
    )
    resolved = resolve(parse(QueryText("SELECT table_name FROM tap_schema.tables ORDER BY 1")), View((table,)))
    for visible, expected in {("a", "it's"): ["a.t", "c.t"], (): [], ("x' OR '1'='1",): []}.items():
        sql = emit(resolved, {0: TableScan(table, (str(path),), visible_schemas=visible)}, max_rows=10)
        assert [row[0] for row in duckdb.connect().sql(sql).fetchall()] == expected


def test_no_files_are_no_rows_of_the_right_types(store: Store) -> None:
    for query in (
        "SELECT * FROM sky.Object",
        "SELECT COUNT(*), MAX(mag), SUM(n), MIN(name) FROM sky.Object",
        "SELECT mag + 1, name || 'x', flag, seen FROM sky.Object WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(1, 2, 3))",
    ):
        resolved = store.resolve(query)
        sql = emit(resolved, {0: TableScan(OBJECT, ())}, max_rows=10)
        empty, full = store.connection.sql(sql), store.connection.sql(store.run(query).sql)
        assert empty.columns == full.columns
        assert list(map(str, empty.types)) == list(map(str, full.types))
        assert empty.fetchall() == ([(0, None, None, None)] if "COUNT" in query else [])
