"""Shapes made of columns, and how they lie to each other, against planar geometry in the plane that touches the sphere.

Great circles are straight lines there, so that polygons can be judged by textbook means: even-odd crossings of a ray,
and orientations of triples of points. Circles are judged by separations from points and arcs in turned coordinates.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from catalog_service.exceptions import QueryError
from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.models.query import QueryText, TableScan
from catalog_service.models.schema import DataType, Table
from tests.catalog_service.language.store import Store, View, column
from tests.catalog_service.language.test_geometry import around, separation, tangents, vectors

Vector = NDArray[np.float64]

ROWS = 400

NAMES = [f"{axis}{k}" for k in range(1, 8) for axis in ("x", "y")] + ["ra", "dec", "radius", "width", "height"]
SHAPES = Table("sky", "Shapes", tuple(column(name, DataType.DOUBLE) for name in ("id", *NAMES)))
DART = f"POLYGON({', '.join(NAMES[:8])})"
TRIANGLE = f"POLYGON({', '.join(NAMES[8:14])})"
CIRCLE, POINT, BOX = "CIRCLE(ra, dec, radius)", "POINT(ra, dec)", "BOX(ra, dec, width, height)"

MARGIN = 1e-9
"""Relative to a row's scale: shapes nearer than that may touch or not."""


@dataclass(frozen=True)
class Row:
    """One dart (a polygon of four corners, concave or not), one triangle and one circle of about the same size."""

    centre: tuple[float, float]
    scale: float
    dart: list[tuple[float, float]]
    triangle: list[tuple[float, float]]
    spot: tuple[float, float]
    radius: float
    width: float
    height: float

    def plane(self, corners: list[tuple[float, float]]) -> Vector:
        """Return points in the touching plane, in units of the row's scale."""
        east, north = tangents(*self.centre)
        points = vectors(*np.array(corners).T)
        depth = points @ vectors(*self.centre)
        return np.stack([points @ east / depth, points @ north / depth], axis=1) / math.tan(math.radians(self.scale))


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(17)
    places = [(0.0, 90.0), (50.0, 89.999), (10.0, -90.0), (0.0, 0.0), (359.9999, -30.0), (180.0, 45.0), (90.0, -75.0)]
    for k in range(ROWS):
        centre = places[k % 8] if k % 8 < 7 else (rng.uniform(0, 360), math.degrees(math.asin(rng.uniform(-1, 1))))
        scale = float(10 ** rng.uniform(-4, 1.3))
        dart = around(*centre, np.arange(4) * 90 + rng.uniform(-40, 40, 4), scale * rng.uniform(0.15, 1, 4))
        near = around(*centre, rng.uniform(0, 360, 1), scale * rng.uniform(0, 1.3, 1))[0]
        angles = np.arange(3) * 120 + rng.uniform(-25, 25, 3)
        triangle = around(
            *near, angles, np.minimum(scale * rng.choice([0.1, 0.5, 1.0, 4.0]) * rng.uniform(0.5, 1, 3), 50.0)
        )
        spot = around(*centre, rng.uniform(0, 360, 1), scale * rng.uniform(0, 1.3, 1))[0]
        if rng.random() < 0.5:
            dart, triangle = dart[::-1], triangle[::-1]
        size = scale * rng.uniform(0.1, 1.5, 2)
        radius = scale * rng.choice([0.05, 0.4, 1.0, 2.5]) * rng.uniform(0.5, 1)
        yield Row(centre, scale, dart, triangle, spot, min(radius, 170.0), min(size[0], 90.0), min(size[1], 90.0))


@dataclass(frozen=True)
class Shapes:
    """The rows, and where they are stored."""

    store: Store
    path: str
    rows: list[Row]

    def ask(self, query: str) -> list[tuple[object, ...]]:
        resolved = resolve(parse(QueryText(query)), View((SHAPES,)))
        scans = {source: TableScan(SHAPES, (self.path,)) for source in range(4)}
        return self.store.connection.execute(emit(resolved, scans, max_rows=10**6)).fetchall()

    def flags(self, *conditions: str) -> NDArray[np.bool_]:
        items = ", ".join(f"{condition} AS c{k}" for k, condition in enumerate(conditions))
        return np.array(self.ask(f"SELECT {items} FROM sky.Shapes ORDER BY id")).astype(bool)


@pytest.fixture(scope="module")
def shapes(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    made = list(rows())
    numbers = [
        [*np.ravel(row.dart), *np.ravel(row.triangle), *row.spot, row.radius, row.width, row.height] for row in made
    ]
    columns = dict(zip(NAMES, np.array(numbers).T, strict=True))
    path = tmp_path_factory.mktemp("shapes") / "shapes.parquet"
    pq.write_table(pa.table({"id": np.arange(float(len(made))), **columns}), path)
    return Shapes(store, str(path), made)


# --- judges ---


def turn(a: Vector, b: Vector, c: Vector) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def sides(corners: Vector) -> list[tuple[Vector, Vector]]:
    return [(corners[k - 1], corners[k]) for k in range(len(corners))]


def holds(corners: Vector, point: Vector) -> bool:
    inside = False
    for a, b in sides(corners):
        if (a[1] > point[1]) != (b[1] > point[1]):
            inside ^= bool(point[0] < (b[0] - a[0]) * (point[1] - a[1]) / (b[1] - a[1]) + a[0])
    return inside


def cross(first: Vector, second: Vector) -> bool:
    return any(
        turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0
        for a, b in sides(first)
        for c, d in sides(second)
    )


def narrowest(first: Vector, second: Vector) -> float:
    """Return by how much corners of two polygons miss the other's sides, in units of the scale."""

    def miss(p: Vector, a: Vector, b: Vector) -> float:
        along = np.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        return float(np.linalg.norm(p - a - along * (b - a)))

    pairs = [(first, second), (second, first)]
    return min(miss(p, a, b) for one, other in pairs for p in one for a, b in sides(other))


def clearance(spot: tuple[float, float], corners: list[tuple[float, float]]) -> float:
    """Return the separation of a point from the border of a polygon in degrees."""
    found = []
    p = vectors(*spot)
    for a, b in sides(np.array(corners)):
        start, stop = vectors(*a), vectors(*b)
        up = np.cross(start, stop - start)
        up /= np.linalg.norm(up)
        ahead = np.cross(up, start)
        length = math.atan2(stop @ ahead, stop @ start)
        place = math.atan2(p @ ahead, p @ start)
        beside = 0 <= place <= length
        height = math.degrees(math.atan2(abs((p - start) @ up), np.linalg.norm(np.cross(p, up))))
        found.append(height if beside else min(float(separation(float(x), float(y), p[None])[0]) for x, y in (a, b)))
    return min(found)


# --- tests ---


def test_points_in_polygons_of_columns(shapes: Shapes) -> None:
    found = shapes.flags(f"CONTAINS({POINT}, {DART})", f"INTERSECTS({DART}, {POINT})", f"CONTAINS({POINT}, {TRIANGLE})")
    inside = 0
    for row, flags in zip(shapes.rows, found, strict=True):
        spot = row.plane([row.spot])[0]
        assert flags.tolist() == [*[holds(row.plane(row.dart), spot)] * 2, holds(row.plane(row.triangle), spot)]
        inside += flags[0]
    assert ROWS / 5 < inside < ROWS / 1.5


def test_a_polygon_of_columns_is_that_of_the_same_numbers(shapes: Shapes) -> None:
    areas = shapes.ask(f"SELECT AREA({DART}), {DART}, COORDSYS({DART}) FROM sky.Shapes ORDER BY id")
    for number in range(0, ROWS, 80):
        text = DART
        for name, value in zip(NAMES[:8], np.ravel(shapes.rows[number].dart), strict=True):
            text = text.replace(name, repr(float(value)))
        wanted = shapes.ask(f"SELECT AREA({text}), {text}, 'ICRS' AS f")[0]
        assert areas[number][0] == pytest.approx(wanted[0], rel=1e-6)
        assert areas[number][1] == wanted[1]
        inside = shapes.ask(f"SELECT id FROM sky.Shapes WHERE 1 = CONTAINS({POINT}, {text}) ORDER BY id")
        same = shapes.ask(
            f"SELECT b.id FROM sky.Shapes AS a JOIN sky.Shapes AS b ON CONTAINS(POINT(b.ra, b.dec), POLYGON({', '.join(f'a.{n}' for n in NAMES[:8])})) = 1"
            f" WHERE a.id = {number} ORDER BY b.id"
        )
        assert inside == same
        assert len(inside) < ROWS


def test_points_in_boxes_of_columns(shapes: Shapes) -> None:
    """A box is |x| <= tan(w/2), |y| <= tan(h/2) in the plane that touches the sphere at its centre."""
    query = f"SELECT CONTAINS(POINT(x1, y1), {BOX}), CONTAINS(POINT(x1, y1), BOX(POINT(ra, dec), width, 2)), CONTAINS(POINT(x1, y1), BOX(ra, dec, 0 - width, 1)), AREA({BOX}) FROM sky.Shapes ORDER BY id"
    for row, (inside, other, none, area) in zip(shapes.rows, shapes.ask(query), strict=True):
        east, north = tangents(*row.spot)
        point = vectors(*row.dart[0])
        depth = point @ vectors(*row.spot)
        halves = np.tan(np.radians([row.width / 2, row.height / 2, 1.0]))
        x, y = abs(point @ east) / depth, abs(point @ north) / depth
        assert inside == int(depth > 0 and x <= halves[0] and y <= halves[1])
        assert other == int(depth > 0 and x <= halves[0] and y <= halves[2])
        assert none is None
        a, b = halves[:2] / np.sqrt(1 + halves[:2] ** 2)
        assert area == pytest.approx(4 * math.asin(a * b) * math.degrees(1) ** 2, rel=1e-6)


def test_circles_and_polygons(shapes: Shapes) -> None:
    conditions = [f"INTERSECTS({CIRCLE}, {DART})", f"INTERSECTS({DART}, {CIRCLE})"]
    conditions += [f"CONTAINS({CIRCLE}, {DART})", f"CONTAINS({DART}, {CIRCLE})"]
    seen = np.zeros(3)
    for row, found in zip(shapes.rows, shapes.flags(*conditions), strict=True):
        inside, gap = holds(row.plane(row.dart), row.plane([row.spot])[0]), clearance(row.spot, row.dart)
        farthest = separation(*row.spot, vectors(*np.array(row.dart).T)).max()  # circles up to 90 degrees are convex
        assert row.radius <= 90
        if min(abs(gap - row.radius), abs(farthest - row.radius)) < MARGIN * row.scale:
            continue
        expected = [inside or gap <= row.radius, inside and gap >= row.radius, farthest <= row.radius]
        assert found.tolist() == [expected[0], *expected], row
        seen += expected
    assert (seen > ROWS / 30).all()
    assert (seen < ROWS * 0.9).all()


def test_large_circles_hold_what_does_not_meet_the_rest_of_the_sky(shapes: Shapes) -> None:
    """A circle beyond 90 degrees is no convex shape: corners alone do not tell."""
    text = "CONTAINS({}, CIRCLE({}, {}, {}))"
    dart = "POLYGON(20, 0, 340, 0, 340, 40, 20, 40)"
    for radius, expected in ((159.0, 0), (161.9, 0), (179.0, 0)):  # the antipode (0, 20) is inside
        assert shapes.ask("SELECT " + text.format(dart, 180, -20, radius))[0] == (expected,)
    assert shapes.ask("SELECT " + text.format(dart, 180, -20, 180))[0] == (1,)
    gap = clearance((0.0, 20.0), [(20.0, 30.0), (40.0, 30.0), (40.0, 10.0), (20.0, 10.0)])
    wide = "POLYGON(20, 30, 40, 30, 40, 10, 20, 10)"
    assert shapes.ask("SELECT " + text.format(wide, 180, -20, 180 - gap + 1e-9))[0] == (1,)
    assert shapes.ask("SELECT " + text.format(wide, 180, -20, 180 - gap - 1e-9))[0] == (0,)


def test_polygons_and_polygons(shapes: Shapes) -> None:
    conditions = [f"INTERSECTS({DART}, {TRIANGLE})", f"INTERSECTS({TRIANGLE}, {DART})"]
    conditions += [f"CONTAINS({TRIANGLE}, {DART})", f"CONTAINS({DART}, {TRIANGLE})"]
    seen = np.zeros(3)
    for row, found in zip(shapes.rows, shapes.flags(*conditions), strict=True):
        dart, triangle = row.plane(row.dart), row.plane(row.triangle)
        if narrowest(dart, triangle) < 1e-7:
            continue
        crossing = cross(dart, triangle)
        one, other = holds(dart, triangle[0]), holds(triangle, dart[0])
        expected = [crossing or one or other, one and not crossing, other and not crossing]
        assert found.tolist() == [expected[0], *expected], row
        seen += expected
    assert (seen > ROWS / 50).all()
    assert (seen < ROWS * 0.9).all()


def test_borders_belong_to_shapes(store: Store) -> None:
    square = "POLYGON(0 + 0 * visit, 0, 10, 0, 10, 10, 0, 10)"
    for condition, expected in {
        f"CONTAINS(POINT(0, 5), {square})": 1,
        f"CONTAINS(POINT(5, 0), {square})": 1,
        f"CONTAINS(POINT(10, 10), {square})": 1,
        f"CONTAINS(POINT(185, 0), {square})": 0,
        f"CONTAINS(POINT(185, -5), {square})": 0,
        f"CONTAINS(POINT(5, -0.00000001), {square})": 0,
        f"CONTAINS(POINT(20, 0), {square})": 0,
        f"INTERSECTS(POLYGON(10, 0, 20, 0, 20, 10, 10, 10), {square})": 1,
        f"INTERSECTS(POLYGON(10.000001, 0, 20, 0, 20, 10, 10.000001, 10), {square})": 0,
        f"CONTAINS(POLYGON(0, 0, 10, 0, 10, 10), {square})": 1,
        f"CONTAINS({square}, {square})": 1,
        f"CONTAINS(CIRCLE(5, 5, 4), {square})": 1,
        f"INTERSECTS(CIRCLE(12, 0, 2), {square})": 1,
        f"INTERSECTS(CIRCLE(12, 0, 1.99999), {square})": 0,
        f"INTERSECTS(CIRCLE(5, 5, 0 - visit - 1), {square})": 0,
        f"CONTAINS(CIRCLE(5, 5, 0 - visit - 1), {square})": 0,
        f"CONTAINS({square}, CIRCLE(5, 5, 180))": 1,
    }.items():
        assert set(store.run(f"SELECT {condition} FROM sky.Visit").column()) == {expected}, condition


def test_a_notch_is_outside(store: Store) -> None:
    """The triangle's corners lie on the border of a concave polygon, one of its sides in the notch outside."""
    notched = "POLYGON(0 + 0 * visit, 0, 10, 0, 10, 10, 5, 2, 0, 10)"
    answer = store.run(
        f"SELECT CONTAINS(POLYGON(1, 1, 9, 1, 5, 1.5), {notched}), CONTAINS(POLYGON(0, 10, 10, 10, 5, 1), {notched}),"
        f" CONTAINS(POINT(5, 5), {notched}), INTERSECTS(POLYGON(4.9, 6, 5.1, 6, 5, 7), {notched}) FROM sky.Visit"
    )
    assert set(answer.rows) == {(1, 0, 0, 0)}


def test_null_makes_the_relation_unknown(store: Store) -> None:
    """lon may be NULL or infinite, lat infinite: such a row has no shape."""
    usable = [
        lon is not None and math.isfinite(lon) and math.isfinite(lat)
        for lon, lat in zip(store.objects["lon"], store.objects["lat"], strict=True)
    ]
    for condition in (
        "CONTAINS(POINT(1, 1), POLYGON(lon, lat, 2, 0, 2, 2))",
        "INTERSECTS(CIRCLE(lon, lat, 1), BOX(1, 1, 1, 1))",
        "CONTAINS(POINT(1, 1), BOX(lon, lat, 1, 1))",
        "AREA(POLYGON(lon, lat, 2, 0, 2, 2))",
    ):
        answer = store.run(f"SELECT {condition} FROM sky.Object ORDER BY objectId").column()
        assert [value is not None for value in answer] == usable
    hit = "INTERSECTS(CIRCLE(lon, lat, 30), BOX(1, 1, 1, 1)) = 1"
    counts = [
        store.run(f"SELECT COUNT(*) FROM sky.Object WHERE {text}").rows[0][0]
        for text in (hit, f"NOT {hit}", f"({hit}) IS NULL")
    ]
    assert sum(counts) == len(usable)
    assert counts[2] == usable.count(False)
    assert (
        counts[0]
        == store.run(
            "SELECT COUNT(*) FROM sky.Object WHERE 0 <> INTERSECTS(BOX(1, 1, 1, 1), CIRCLE(lon, lat, 30)) OR 1 = 2"
        ).rows[0][0]
        > 0
    )


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("INTERSECTS(POINT(ra, dec), POINT(1, 2))", "INTERSECTS of two points is not supported. Compare their DISTANCE"),
        ("CONTAINS(CIRCLE(ra, dec, 1), POINT(1, 2))", "a point has no inside"),
        ("AREA(POLYGON(ra, dec, 1, 95, 3, 4))", "the declination 95.0 is outside [-90, 90] degrees"),
        ("AREA(POLYGON(name, dec, 1, 5, 3, 4))", "POINT needs numbers in degrees, not a text"),
        ("AREA(BOX(ra, dec, 181, 1))", "the box's extent 181.0 is outside ]0, 180[ degrees"),
    ],
)  # fmt: skip
def test_what_is_no_shape_is_told(store: Store, item: str, message: str) -> None:
    with pytest.raises(QueryError) as error:
        store.run(f"SELECT {item} FROM sky.Object")
    assert message in str(error.value)


def test_a_centroid_of_columns_is_a_point_like_others(store: Store) -> None:
    centre = "CENTROID(POLYGON(lon, lat, lon + 1, lat, lon, lat + 1))"
    rows = store.run(
        f"SELECT lon, lat, {centre}, COORD1({centre}) FROM sky.Object WHERE ABS(lat) < 60 OR lat IS NULL"
    ).rows
    assert any(lon is None for lon, *_ in rows)
    for lon, lat, point, ra in rows:
        if lon is None or lat is None or math.isinf(lon) or math.isinf(lat):
            assert (point, ra) == (None, None)
        else:
            assert point[0] == ra == pytest.approx((lon + 1 / 3) % 360, abs=0.01)
            assert point[1] == pytest.approx(lat + 1 / 3, abs=0.01)
    inside = f"SELECT COUNT(*) FROM sky.Object WHERE CONTAINS({centre}, CIRCLE(0, 0, 5)) = 1"
    apart = f"SELECT COUNT(*) FROM sky.Object WHERE DISTANCE({centre}, POINT(0, 0)) <= 5"
    assert store.run(inside).rows == store.run(apart).rows != [(0,)]


# --- texts of regions ---

IMAGES = Table("sky", "Images", (column("id", DataType.LONG), column("s_region", DataType.TEXT)))


def test_columns_of_region_texts(shapes: Shapes, tmp_path: Path) -> None:
    """Each text means what REGION makes of the same text; what is none is unknown."""
    texts = [f"POLYGON ICRS {' '.join(repr(float(v)) for v in np.ravel(row.dart))}" for row in shapes.rows[:80]]
    texts += [f"Circle  {row.spot[0]!r} {row.spot[1]!r} {float(row.radius)!r}" for row in shapes.rows[80:160]]
    texts += [
        f" polygon icrs TOPOCENTER {' '.join(repr(float(v)) for v in np.ravel(row.triangle))} "
        for row in shapes.rows[160:200]
    ]
    known = len(texts)
    strange = [
        "",
        "CIRCLE FK5 1 2 3",
        "CIRCLE 1 2",
        "POLYGON 1 2 3 4 5",
        "UNION (CIRCLE 1 2 3)",
        "POLYGON 1 95 2 3 4 5",
        "CIRCLE 1 2 x",
    ]
    path = tmp_path / "images.parquet"
    columns = {"id": range(known + len(strange) + 1), "s_region": [*texts, *strange, None]}
    pq.write_table(pa.table({"id": pa.array(columns["id"]), "s_region": pa.array(columns["s_region"])}), path)
    relations = [
        "CONTAINS(POINT(0.01, 0.01), {})",
        "INTERSECTS({}, CIRCLE(180, 45, 3))",
        "INTERSECTS(POLYGON(0, 80, 120, 80, 240, 80), {})",
    ]
    asked = f"SELECT {', '.join(r.format('s_region') + f' AS c{k}' for k, r in enumerate(relations))} FROM sky.Images ORDER BY id"
    resolved = resolve(parse(QueryText(asked)), View((IMAGES,)))
    sql = emit(resolved, {0: TableScan(IMAGES, (str(path),))}, max_rows=10**6)
    rows = shapes.store.connection.execute(sql).fetchall()
    assert rows[known:] == [(None, None, None)] * (len(strange) + 1)
    for text, row in list(zip(texts, rows, strict=False))[::12]:
        wanted = shapes.ask(
            "SELECT " + ", ".join(r.format(f"REGION('{text}')") + f" AS c{k}" for k, r in enumerate(relations))
        )
        assert wanted == [row]
    assert 3 < sum(row[0] for row in rows[:known]) < known / 2


def test_a_circle_whose_radius_is_negative_is_none(store: Store) -> None:
    circle = "CIRCLE(ra, dec, m)"
    for relation in (f"CONTAINS({circle}, CIRCLE(150, 2, 10))", f"INTERSECTS({circle}, CIRCLE(150, 2, 120))"):
        found = store.run(f"SELECT COUNT(*) AS n FROM sky.Object WHERE m < 0 AND {relation} = 1")
        assert found.rows == [(0,)], relation


def test_a_circle_of_180_degrees_in_a_column_holds_every_circle(store: Store) -> None:
    whole = "CONTAINS(CIRCLE(ra, dec, 10), CIRCLE(ra, -dec, m * 0 + 180)) = 1"
    known = sum(value is not None for value in store.objects["m"])
    assert store.run(f"SELECT COUNT(*) AS n FROM sky.Object WHERE {whole}").rows == [(known,)]
