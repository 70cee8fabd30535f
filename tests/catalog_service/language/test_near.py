"""Joins on a separation against all pairs: brute force in numpy, and the same condition where cells cannot be used."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog_service.language.emit_near import Cells
from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.language.rewrite import walk
from catalog_service.models.query import Language, QueryText, TableScan
from catalog_service.models.schema import DataType, SkyPosition, Table
from catalog_service.models.tree import TableRef
from partitioning.sky.separation import EDGE_TOLERANCE_DEG, separation_deg

from .store import SMALL_ROWS, Store, View, column

ARCSEC = 1 / 3600

COLUMNS = (column("id", DataType.LONG), column("ra", DataType.DOUBLE), column("dec", DataType.DOUBLE))
PLAIN = Table("s", "A", COLUMNS)
"""A table whose positions nobody has checked."""
ADOPTED = Table(
    "s",
    "B",
    (
        COLUMNS[0],
        *(column(name, DataType.DOUBLE, may_be_nan=True) for name in ("ra", "dec")),
        column("Cell", DataType.INT),
    ),
    position=SkyPosition("ra", "dec"),
    primary_key=("id",),
)
"""One that may hold NaN and sentinels, and a column called as that of cells."""

NEAR = "DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec))"
IDS = "SELECT a.id AS one, b.id AS other FROM"

Position = tuple[float | None, float | None]
Pairs = list[tuple[int | None, int | None]]


class Sky:
    """Two tables of positions, A and B, and a connection that reads them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.connection = duckdb.connect(config={"threads": 1})
        self.sql = ""

    def fill(self, a: Sequence[Position], b: Sequence[Position]) -> None:
        for name, rows in (("A", a), ("B", b)):
            arrays = {"id": pa.array(range(len(rows)), pa.int64()), "Cell": pa.array([7] * len(rows), pa.int32())}
            arrays |= {axis: pa.array([row[i] for row in rows], pa.float64()) for i, axis in enumerate(("ra", "dec"))}
            pq.write_table(pa.table(arrays), self._path(name))

    def _path(self, name: str) -> str:
        return str(self.directory / f"{name}.parquet")

    def run(self, query: str, language: Language = Language.ADQL) -> list[tuple[Any, ...]]:
        resolved = resolve(parse(QueryText(query, language)), View((PLAIN, ADOPTED)))
        tables = [node for node in walk(resolved.tree) if isinstance(node, TableRef)]
        scans = {node.source: TableScan(node.table, (self._path(node.table.name),)) for node in tables}
        self.sql = emit(resolved, scans, max_rows=1_000_000)
        return self.connection.sql(self.sql).fetchall()

    def pairs(self, query: str, language: Language = Language.ADQL) -> Pairs:
        """Return the pairs of a query that must be run by cells."""
        rows = in_order(self.run(query, language))
        assert "unnest" in self.sql, query
        return rows


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    return Sky(tmp_path_factory.mktemp("near"))


def in_order(rows: Iterable[tuple[Any, ...]]) -> Pairs:
    return sorted(rows, key=lambda row: [(value is None, value or 0) for value in row])


def matches(a: Sequence[Position], b: Sequence[Position], radius_deg: float) -> set[tuple[int, int]]:
    """Return the pairs of rows that lie within a radius, by haversines of all pairs."""
    left, right = usable(a), usable(b)
    if not left or not right:
        return set()
    ones, others = np.array([a[i] for i in left], float), np.array([b[i] for i in right], float)
    apart = separation_deg(ones[:, None, 0], ones[:, None, 1], others[None, :, 0], others[None, :, 1])
    return {(left[i], right[j]) for i, j in np.argwhere(apart <= radius_deg).tolist()}


def usable(rows: Sequence[Position]) -> list[int]:
    return [
        i
        for i, (ra, dec) in enumerate(rows)
        if ra is not None and dec is not None and math.isfinite(ra + dec) and abs(dec) <= 90
    ]


def joined(kind: str, found: set[tuple[int, int]], a: Sequence[Position], b: Sequence[Position]) -> Pairs:
    rows: list[tuple[int | None, int | None]] = list(found)
    if kind == "LEFT":
        rows += [(i, None) for i in set(range(len(a))) - {one for one, _ in found}]
    if kind == "RIGHT":
        rows += [(None, j) for j in set(range(len(b))) - {other for _, other in found}]
    return in_order(rows)


def around(centre: tuple[float, float], count: int, spread_deg: float, rng: np.random.Generator) -> list[Position]:
    """Return positions within `spread_deg` of one, evenly in angle, thick towards it."""
    ra, dec = np.radians(centre)
    distance, angle = np.radians(spread_deg * rng.uniform(size=count)), rng.uniform(0, 2 * np.pi, count)
    lat = np.arcsin(np.clip(np.sin(dec) * np.cos(distance) + np.cos(dec) * np.sin(distance) * np.cos(angle), -1, 1))
    lon = ra + np.arctan2(np.sin(angle) * np.sin(distance) * np.cos(dec), np.cos(distance) - np.sin(dec) * np.sin(lat))
    return list(zip((np.degrees(lon) % 360).tolist(), np.degrees(lat).tolist(), strict=True))


AWKWARD = [(0, 90), (123, 90), (0, -90), (250, -90), (0, 0), (360, 0), (-0.0, 0), (720, 0), (90, 0), (180, 0), (270, 0)]
NOWHERE: list[Position] = [(None, 0), (0, None), (None, None), (math.inf, 0), (0, -math.inf)]


@pytest.mark.parametrize("kind", ["INNER", "LEFT", "RIGHT"])
@pytest.mark.parametrize("radius_deg", [1e-6 * ARCSEC, 0.01 * ARCSEC, 5 * ARCSEC, 0.3, 5, 10])
def test_pairs_are_those_of_brute_force(sky: Sky, kind: str, radius_deg: float) -> None:
    rng = np.random.default_rng(5)
    centres = [(0, 90), (77, -90), (0, 0), (359.999999, 12), (45, 35.26438968), (201, -61)]
    a, b = ([row for centre in centres for row in around(centre, 60, 3 * radius_deg, rng)] for _ in range(2))
    a += [*AWKWARD, *NOWHERE, *b[:40]]
    b += [*AWKWARD, *NOWHERE, (math.nan, 0), (0, math.nan), (0, -999), (0, 95), *b[:20]]
    sky.fill(a, b)
    found = matches(a, b, radius_deg - EDGE_TOLERANCE_DEG)  # `<` leaves positions on the boundary out
    assert len(found) > 100
    assert sky.pairs(f"{IDS} A a {kind} JOIN B b ON {NEAR} < {radius_deg!r}") == joined(kind, found, a, b)


@pytest.mark.parametrize("kind", ["INNER", "LEFT", "RIGHT"])
@pytest.mark.parametrize("swapped", [False, True])
def test_radius_0_finds_the_same_place_however_it_is_written(sky: Sky, kind: str, swapped: bool) -> None:
    a: list[Position] = [(0, 10), (360, 10), (10, 90), (20, 90), (10, -90), (33.25, 44.5), (33.25, 44.5), (7, 7)]
    b: list[Position] = [(0, 10), (-360, 10), (200, 90), (33.25, 44.5), (33.25, 44.5 + 1e-9), (187, -7)]
    if swapped:
        a, b = b, a
    sky.fill(a, b)
    assert len(matches(a, b, 1e-11)) == 8
    assert sky.pairs(f"{IDS} A a {kind} JOIN B b ON {NEAR} <= 0") == joined(kind, matches(a, b, 1e-11), a, b)
    assert sky.pairs(f"{IDS} A a {kind} JOIN B b ON {NEAR} < 0") == joined(kind, set(), a, b)
    assert sky.pairs(f"{IDS} A a {kind} JOIN B b ON {NEAR} < -1") == joined(kind, set(), a, b)


def border_positions(radius_deg: float) -> list[Position]:
    """Return positions in planes between cells, and a ball's radius beside them."""
    cells = Cells(radius_deg)
    heights = [k * cells.width + side * cells.ball for k in (-3, -1, 0, 1, 2, 7) for side in (-1, 0, 1)]
    decs = [math.degrees(math.asin(z)) for z in heights if abs(z) <= 1]
    on_equator = [math.degrees(math.acos(x)) for x in heights if abs(x) <= 1]
    rows: list[Position] = [(ra, dec) for ra in (0, 45, 90, 211) for dec in decs]
    rows += [(ra + turn, 0) for ra in on_equator for turn in (0, 90)]
    return rows + [(ra, dec + radius_deg / 2) for ra, dec in rows if ra is not None and dec is not None]


@pytest.mark.parametrize("radius_deg", [0.0, 1e-6 * ARCSEC, 5 * ARCSEC, 0.1, 5])
def test_positions_on_borders_of_cells_meet_once(sky: Sky, radius_deg: float) -> None:
    rows = [row for row in border_positions(radius_deg) if row[1] is not None and abs(row[1]) <= 90]
    sky.fill(rows, rows)
    for op in ("<", "<="):
        for kind in ("INNER", "LEFT", "RIGHT"):
            by_cells = sky.pairs(f"{IDS} A a {kind} JOIN B b ON {NEAR} {op} {radius_deg!r}")
            slow = sky.run(f"{IDS} A a {kind} JOIN B b ON ({NEAR} {op} {radius_deg!r} OR a.id < -1)")
            assert "unnest" not in sky.sql
            assert by_cells == in_order(slow)


longitudes = st.sampled_from([0.0, 360.0, 359.9999999, 90.0, 180.0, -45.0, 450.0]) | st.floats(-360, 720)
latitudes = st.sampled_from([90.0, -90.0, 0.0, 89.9999999, 35.264389682754654]) | st.floats(-90, 90)
places = st.lists(st.tuples(longitudes, latitudes), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    a=places,
    b=places,
    radius_deg=st.sampled_from([0.0, 1e-9, 1e-3, 0.5]) | st.floats(0, 10),
    offsets=st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), max_size=8),
    kind=st.sampled_from(["INNER", "LEFT", "RIGHT"]),
    op=st.sampled_from(["<", "<="]),
)
def test_cells_change_no_answer(
    sky: Sky,
    a: list[Position],
    b: list[Position],
    radius_deg: float,
    offsets: list[tuple[float, float]],
    kind: str,
    op: str,
) -> None:
    for (ra, dec), (x, y) in zip(a, offsets, strict=False):
        assert ra is not None
        assert dec is not None
        b = [*b, (ra + x * radius_deg, min(max(dec + y * radius_deg, -90.0), 90.0))]
    sky.fill(a, b)
    by_cells = sky.pairs(f"{IDS} A a {kind} JOIN B b ON {NEAR} {op} {radius_deg!r}")
    assert by_cells == in_order(sky.run(f"{IDS} A a {kind} JOIN B b ON ({NEAR} {op} {radius_deg!r} OR a.id < -1)"))


# --- every spelling -------------------------------------------------------------------------------

SPELLINGS = [
    "DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec)) < 0.5",
    "DISTANCE(POINT(b.ra, b.dec), POINT(a.ra, a.dec)) <= 1800./3600",
    "0.5 > DISTANCE(POINT('ICRS', a.ra, a.dec), POINT('ICRS', b.ra, b.dec))",
    "0.5 >= DISTANCE(a.ra, a.dec, b.ra, b.dec)",
    "DISTANCE(a.ra, a.dec, b.ra, b.dec) BETWEEN 0 AND 0.5",
    "CONTAINS(POINT(a.ra, a.dec), CIRCLE(b.ra, b.dec, 0.5)) = 1",
    "1 = CONTAINS(POINT(b.ra, b.dec), CIRCLE(POINT(a.ra, a.dec), 0.5))",
    "INTERSECTS(CIRCLE(b.ra, b.dec, 0.2), CIRCLE(a.ra, a.dec, 0.3)) = 1",
    "scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.5",
]


@pytest.fixture
def crowd(sky: Sky) -> tuple[Sky, list[Position], list[Position]]:
    """Return tables of 200 rows with positions around RA 0."""
    rng = np.random.default_rng(8)
    a, b = around((0.1, 60), 200, 4, rng), around((0.1, 60), 200, 4, rng)
    sky.fill(a, b)
    return sky, a, b


Crowd = tuple[Sky, list[Position], list[Position]]


@pytest.mark.parametrize("condition", SPELLINGS)
@pytest.mark.parametrize(
    "shape", ["{} A a JOIN B b ON {}", "{} A a, B b WHERE {}", "{} A a CROSS JOIN B b WHERE {} AND a.id >= 0"]
)
def test_every_spelling(crowd: Crowd, condition: str, shape: str) -> None:
    sky, a, b = crowd
    assert sky.pairs(shape.format(IDS, condition)) == joined("INNER", matches(a, b, 0.5), a, b)


@pytest.mark.parametrize(
    "condition",
    ["scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.5", "scisql_s2PtInCircle(a.ra, a.dec, b.ra, b.dec, 0.5) = 1"],
)
def test_qserv(crowd: Crowd, condition: str) -> None:
    sky, a, b = crowd
    query = f"SELECT a.id, b.id FROM A a, B b WHERE {condition}"
    assert sky.pairs(query, Language.QSERV) == joined("INNER", matches(a, b, 0.5), a, b)


@pytest.mark.parametrize(
    "condition",
    [
        f"{NEAR} < 11",
        f"{NEAR} > 0.5",
        f"({NEAR} < 0.5 OR a.id = b.id)",
        f"NOT {NEAR} >= 0.5",
        f"{NEAR} < 0.5 * a.id",
        f"{NEAR} NOT BETWEEN 0 AND 0.5",
        f"{NEAR} < 0.5 AND a.id = b.id",
        "DISTANCE(POINT(a.ra, b.dec), POINT(b.ra, a.dec)) < 0.5",
        "DISTANCE(POINT(a.ra, a.dec), POINT(1, 2)) < 0.5",
        "CONTAINS(POINT(a.ra, a.dec), CIRCLE(b.ra, b.dec, 0.5)) = 0",
    ],
)
def test_other_conditions_are_left_as_they_are(crowd: Crowd, condition: str) -> None:
    sky, _, _ = crowd
    sky.run(f"{IDS} A a JOIN B b ON {condition}")
    assert "unnest" not in sky.sql


# --- shapes of queries ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["INNER", "LEFT", "RIGHT"])
def test_other_conditions_of_on_decide_about_partners(crowd: Crowd, kind: str) -> None:
    sky, a, b = crowd
    found = {(i, j) for i, j in matches(a, b, 0.5) if i < j and j % 3}
    query = f"{IDS} A a {kind} JOIN B b ON a.id < b.id AND {NEAR} < 0.5 AND MOD(b.id, 3) <> 0"
    assert sky.pairs(query) == joined(kind, found, a, b)


def test_full_join_keeps_both_sides(crowd: Crowd) -> None:
    sky, a, b = crowd
    found = matches(a, b, 0.2)
    rows = sky.run(f"{IDS} A a FULL JOIN B b ON {NEAR} < 0.2")
    alone = [row for row in joined("LEFT", found, a, b) if row[1] is None]
    assert in_order(rows) == in_order([*joined("RIGHT", found, a, b), *alone])


def test_self_join_holds_each_row_itself(crowd: Crowd) -> None:
    sky, a, _ = crowd
    found = matches(a, a, 0.5)
    assert len(found) > len(a)
    assert sky.pairs(f"SELECT a.id, b.id FROM A a JOIN A b ON {NEAR} < 0.5") == in_order(found)
    others = in_order((i, j) for i, j in found if i < j)
    assert sky.pairs(f"SELECT a.id, b.id FROM A a, A b WHERE {NEAR} < 0.5 AND a.id < b.id") == others


def test_derived_and_common_tables(crowd: Crowd) -> None:
    sky, a, b = crowd
    found = {(i, j) for i, j in matches(a, b, 0.5) if i < 150 and j % 2}
    left, right = "(SELECT id, ra, dec FROM A WHERE id < 150)", "(SELECT * FROM B WHERE MOD(id, 2) = 1)"
    assert sky.pairs(f"{IDS} {left} a JOIN {right} b ON {NEAR} < 0.5") == in_order(found)
    assert sky.pairs(f"WITH x AS {left}, y AS {right} {IDS} x a, y b WHERE {NEAR} < 0.5") == in_order(found)
    nested = f"SELECT one, other FROM ({IDS} {left} a JOIN {right} b ON {NEAR} < 0.5) q WHERE one >= 0"
    assert sky.pairs(nested) == in_order(found)
    counted = sky.run(f"SELECT COUNT(*) FROM A a WHERE a.id IN (SELECT a.id FROM A a JOIN B b ON {NEAR} < 0.5)")
    assert "unnest" in sky.sql
    assert counted == [(len({i for i, _ in matches(a, b, 0.5)}),)]


SEPARATIONS = [
    "DISTANCE(POINT(o.ra, o.dec), POINT(i.ra, i.dec)) < 0.5",
    "CONTAINS(POINT(i.ra, i.dec), CIRCLE(o.ra, o.dec, 0.5)) = 1",
    "0.5 >= DISTANCE(i.ra, i.dec, o.ra, o.dec)",
]


@pytest.mark.parametrize("near", SEPARATIONS)
@pytest.mark.parametrize("inner", ["B", "(SELECT id, ra, dec FROM B)"])
def test_subqueries_about_rows_close_to_one_outside(crowd: Crowd, near: str, inner: str) -> None:
    """EXISTS, aggregates and values: each row of the subquery counts once."""
    sky, a, b = crowd
    a, b = [*a, *NOWHERE, (0, 90), (0, 0)], [*b, *NOWHERE, (180, 90), (math.nan, 0), (0, -999)]
    sky.fill(a, b)
    found = {(one, other) for one, other in matches(a, b, 0.5) if other % 3}
    counts = [sum(one == i for one, _ in found) for i in range(len(a))]
    assert 0 < min(filter(None, counts)) < max(counts)

    def by_cells(query: str) -> list[tuple[Any, ...]]:
        rows = sky.run(query)
        assert "unnest" in sky.sql
        return sorted(rows, key=lambda row: row[0])

    rest = f"FROM {inner} AS i WHERE {near} AND MOD(i.id, 3) > 0"
    ids = [(i,) for i, count in enumerate(counts) if count]
    assert by_cells(f"SELECT o.id FROM A AS o WHERE EXISTS (SELECT 1 {rest})") == ids
    alone = [(i,) for i, count in enumerate(counts) if not count]
    assert by_cells(f"SELECT o.id FROM A AS o WHERE NOT EXISTS (SELECT i.id {rest})") == alone
    assert by_cells(f"SELECT o.id, (SELECT COUNT(*) {rest}) AS n FROM A AS o") == list(enumerate(counts))
    greatest = [max((j for i, j in found if i == one), default=None) for one in range(len(a))]
    assert by_cells(f"SELECT o.id, (SELECT MAX(i.id) {rest}) AS n FROM A AS o") == list(enumerate(greatest))
    many = sorted((i,) for i, count in enumerate(counts) if i in {j for one, j in found if one == i})
    assert by_cells(f"SELECT o.id FROM A AS o WHERE o.id IN (SELECT i.id {rest})") == many


@pytest.mark.parametrize(
    "condition",
    [
        "NOT EXISTS (SELECT 1 FROM B AS i WHERE {0} >= 0.5)",
        "EXISTS (SELECT 1 FROM B AS i WHERE {0} < 0.5 OR i.id = 1)",
        "EXISTS (SELECT 1 FROM B AS i LEFT JOIN A AS j ON i.id = j.id WHERE {0} < 0.5)",
        "EXISTS (SELECT 1 FROM B AS i WHERE {0} < 11)",
    ],
)
def test_other_subqueries_are_left_as_they_are(crowd: Crowd, condition: str) -> None:
    sky, _, _ = crowd
    sky.run(f"SELECT o.id FROM A AS o WHERE {condition.format('DISTANCE(o.ra, o.dec, i.ra, i.dec)')}")
    assert "unnest" not in sky.sql


def test_the_side_of_fewer_rows_is_repeated() -> None:
    resolved = resolve(parse(QueryText(f"{IDS} A a JOIN B b ON {NEAR} < 0.5")), View((PLAIN, ADOPTED)))
    for rows, column_of_cells in (((5, 500), '"t0"."cell" = '), ((500, 5), '"t1"."_cell" = ')):
        scans = {n: TableScan(table, ("a", "b"), rows=rows[n]) for n, table in enumerate((PLAIN, ADOPTED))}
        assert column_of_cells in emit(resolved, scans, max_rows=10)


def test_computed_columns_of_derived_tables(crowd: Crowd) -> None:
    sky, a, b = crowd
    moved: list[Position] = [(ra + 360, -dec) for ra, dec in a if ra is not None and dec is not None]
    query = f"{IDS} (SELECT id, ra + 360 AS ra, -dec AS dec FROM A) a JOIN (SELECT id, ra, -dec AS dec FROM B) b ON {NEAR} < 0.5"
    found = matches(moved, [(ra, -dec) for ra, dec in b if ra is not None and dec is not None], 0.5)
    assert sky.pairs(query) == in_order(found)


def test_three_tables(crowd: Crowd) -> None:
    sky, a, b = crowd
    found = matches(a, b, 0.3)
    triples = sorted((i, j, k) for i, j in found for k, other in found if other == j)
    near = "DISTANCE(c.ra, c.dec, b.ra, b.dec) < 0.3"
    for source in (
        f"A a JOIN B b ON {NEAR} < 0.3 JOIN A c ON {near}",
        f"A a, B b, A c WHERE {NEAR} < 0.3 AND {near}",
        f"A a JOIN (B b JOIN A c ON {near}) ON {NEAR} < 0.3",
    ):
        assert sorted(sky.run(f"SELECT a.id, b.id, c.id FROM {source}")) == triples
        assert sky.sql.count("unnest") == 2


def test_where_moves_only_where_no_outer_join_is_in_the_way(crowd: Crowd) -> None:
    sky, a, b = crowd
    found = matches(a, b, 0.3)
    kept = sky.run(f"SELECT a.id, b.id, c.id FROM A a, B b LEFT JOIN A c ON c.id = b.id + 190 WHERE {NEAR} < 0.3")
    assert "unnest" in sky.sql
    assert in_order(kept) == in_order((i, j, j + 190 if j < 10 else None) for i, j in found)
    dropped = sky.run(
        f"SELECT a.id, b.id, c.id FROM (A a CROSS JOIN B b) RIGHT JOIN A c ON c.id = b.id + 190 WHERE {NEAR} < 0.3"
    )
    assert sorted(dropped) == sorted((i, j, j + 190) for i, j in found if j < 10)
    outer = sky.run(f"{IDS} A a LEFT JOIN B b ON a.id < b.id WHERE {NEAR} < 0.3")
    assert sorted(outer) == sorted((i, j) for i, j in found if i < j)


def test_nearest_partner(crowd: Crowd) -> None:
    sky, a, b = crowd
    ranked = f"SELECT a.id AS one, b.id AS other, ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY {NEAR}) AS place FROM A a JOIN B b ON {NEAR} < 0.5"
    rows = sky.pairs(f"SELECT one, other FROM ({ranked}) q WHERE place = 1")
    ones, others = np.array(a, float), np.array(b, float)
    apart = separation_deg(ones[:, None, 0], ones[:, None, 1], others[None, :, 0], others[None, :, 1])
    assert rows == [(i, int(apart[i].argmin())) for i in range(len(a)) if apart[i].min() < 0.5]


def test_grouping_counts_neighbours(crowd: Crowd) -> None:
    sky, a, b = crowd
    found = matches(a, b, 0.5)
    query = f"SELECT a.id, COUNT(b.id) FROM A a LEFT JOIN B b ON {NEAR} < 0.5 GROUP BY a.id"
    assert sky.pairs(query) == [(i, sum(one == i for one, _ in found)) for i in range(len(a))]


def test_empty_sides(sky: Sky) -> None:
    sky.fill([], [(0, 0)])
    assert sky.pairs(f"{IDS} A a JOIN B b ON {NEAR} < 1") == []
    assert sky.pairs(f"{IDS} A a RIGHT JOIN B b ON {NEAR} < 1") == [(None, 0)]
    sky.fill([(0, 0)], NOWHERE)
    assert sky.pairs(f"{IDS} A a LEFT JOIN B b ON {NEAR} < 1") == [(0, None)]


def test_stored_tables_of_every_type(store: Store) -> None:
    """A table with own positions, NULLs and infinities, through all of its columns."""
    ra, dec = np.array(store.objects["ra"]), np.array(store.objects["dec"])
    near = separation_deg(ra[:SMALL_ROWS, None], dec[:SMALL_ROWS, None], ra[None, :], dec[None, :]) < 0.05
    answer = store.run(
        "SELECT a.*, b.* FROM Small a JOIN Object b ON DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec)) < 0.05"
    )
    assert len(answer.rows) == int(near.sum())
    assert len(answer.names) == len(set(answer.names))
