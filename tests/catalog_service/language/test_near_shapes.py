"""Joins of near positions: the pairs that numpy finds among all, and the rows that the same text without cells gives."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.language import emit_near
from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.language.rewrite import walk
from catalog_service.models.query import QueryText, TableScan
from catalog_service.models.schema import DataType, SkyPosition, Table
from catalog_service.models.tree import TableRef
from partitioning.sky.separation import EDGE_TOLERANCE_DEG, separation_deg
from tests.catalog_service.language.store import View, column

COLUMNS = (
    column("id", DataType.LONG, indexed=True),
    column("ra", DataType.DOUBLE),
    column("dec", DataType.DOUBLE),
    column("m", DataType.INT),
    column("lon", DataType.DOUBLE),
    column("lat", DataType.DOUBLE),
)
A, B, C = (Table("sky", name, COLUMNS, position=SkyPosition("ra", "dec")) for name in "abc")
VIEW = View((A, B, C))

Positions = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Sky:
    """Three small tables with the same columns; `lon` and `lat` are the position, or NULL, or no number."""

    directory: Path
    connection: duckdb.DuckDBPyConnection

    def write(self, name: str, positions: Positions, rng: np.random.Generator) -> None:
        ra, dec = positions
        lon, lat = ra.astype(object), dec.astype(object)
        lon[rng.random(len(ra)) < 0.1] = None
        lat[rng.random(len(ra)) < 0.05] = np.inf
        lat[rng.random(len(ra)) < 0.05] = np.nan
        ids = np.arange(len(ra)) + 2**60
        ids[-3:] = ids[0]  # an id need not be one row's
        values = {"id": ids, "ra": ra, "dec": dec, "m": rng.integers(0, 3, len(ra)).astype(np.int32)}
        rows = pa.table(values | {"lon": pa.array(lon, pa.float64()), "lat": pa.array(lat, pa.float64())})
        pq.write_table(rows, self.directory / f"{name}.parquet")

    def sql(self, text: str) -> str:
        resolved = resolve(parse(QueryText(text)), VIEW)
        tables = [node for node in walk(resolved.tree) if isinstance(node, TableRef)]
        scans = {
            node.source: TableScan(node.table, (str(self.directory / f"{node.table.name}.parquet"),)) for node in tables
        }
        return emit(resolved, scans, max_rows=10**6)

    def run(self, text: str) -> list[tuple[Any, ...]]:
        return self.connection.sql(self.sql(text)).fetchall()

    def table(self, name: str) -> pa.Table:
        return pq.read_table(self.directory / f"{name}.parquet")


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sky]:
    with duckdb.connect(config={"threads": 1}) as connection:
        yield Sky(tmp_path_factory.mktemp("near"), connection)


CENTRES = [(0.0, 90.0), (77.0, -90.0), (0.0, 0.0), (359.9999999999, 0.0), (45.0, 41.8), (180.0, -89.99), (270.0, 1e-9)]
RADII = [0.0, 1e-6 / 3600, 1e-3 / 3600, 0.1 / 3600, 1 / 3600, 5 / 3600, 0.01, 0.5, 5.0, 9.999]


def positions(rng: np.random.Generator, radius_deg: float, count: int) -> Positions:
    """Return positions in groups about a radius wide, some twice, some on the borders of cells, some anywhere."""
    centres = [CENTRES[i] for i in rng.integers(0, len(CENTRES), 3)]
    at = np.array([centres[i] for i in rng.integers(0, 3, count)])
    share = rng.choice([0.0, 0.25, 0.5, 1.0, 1.0, 1 + 1e-7, 1.3, 2.0, 3.0], count)
    distance, angle = np.radians(share * radius_deg), rng.choice(np.radians([0, 45, 90, 180, 200.0, 270]), count)
    a, d = np.radians(at).T
    centre = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    east = np.stack([-np.sin(a), np.cos(a), 0 * a])
    x, y, z = np.cos(distance) * centre + np.sin(distance) * (
        np.cos(angle) * east + np.sin(angle) * np.cross(centre.T, east.T).T
    )
    ra, dec = np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))
    border = rng.random(count) < 0.2
    side = max(3 * (2 * np.sin(np.radians(radius_deg) / 2) * (1 + 1e-9) + 1e-10), 2.0**-19)
    ra[border] = rng.choice([0.0, 90.0, 180.0, 360.0, 45.0], border.sum())
    dec[border] = np.degrees(np.arcsin(np.clip(rng.integers(-3, 4, border.sum()) * side, -1, 1)))
    ra += 360 * rng.choice([0, 0, 0, -1, 2], count)
    same = rng.random(count) < 0.1
    ra[same], dec[same] = ra[0], dec[0]
    return ra, dec


def near_pairs(sky: Sky, radius_deg: float, *, outer: bool) -> Callable[[int, int], tuple[bool, bool]]:
    """Return, for rows of a and b by number, whether they must be near and whether they may be."""
    a, b = ({name: sky.table(table)[name].to_numpy() for name in ("ra", "dec")} for table in "ab")
    away = separation_deg(a["ra"][:, None], a["dec"][:, None], b["ra"][None, :], b["dec"][None, :])
    limit = radius_deg + EDGE_TOLERANCE_DEG if outer else radius_deg - min(EDGE_TOLERANCE_DEG, radius_deg / 2)
    slack = 2e-14 + 1e-12 * radius_deg
    must, may = away < limit - slack, away <= limit + slack
    return lambda i, j: (bool(must[i, j]), bool(may[i, j]))


FORMS = {
    "DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec)) < {r}": False,
    "DISTANCE(b.ra, b.dec, a.ra, a.dec) <= {r}": True,
    "{r} > DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec))": False,
    "scisql_angSep(a.ra, a.dec, b.ra, b.dec) <= {r}": True,
    "DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec)) BETWEEN 0 AND {r}": True,
    "CONTAINS(POINT(a.ra, a.dec), CIRCLE(b.ra, b.dec, {r})) = 1": True,
    "1 = CONTAINS(POINT(b.ra, b.dec), CIRCLE(POINT(a.ra, a.dec), {r}))": True,
    "INTERSECTS(POINT(b.ra, b.dec), CIRCLE(POINT(a.ra, a.dec), {r})) = 1": True,
    "scisql_s2PtInCircle(b.ra, b.dec, a.ra, a.dec, {r}) = 1": True,
}
KINDS = ("JOIN", "LEFT JOIN", "RIGHT JOIN", ",")


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    radius_deg=st.sampled_from(RADII) | st.floats(-9, 0.9).map(lambda power: 10.0**power),
    form=st.sampled_from(sorted(FORMS)),
    kind=st.sampled_from(KINDS),
    extra=st.booleans(),
)
def test_pairs_of_all_kinds_of_joins(sky: Sky, seed: int, radius_deg: float, form: str, kind: str, extra: bool) -> None:
    rng = np.random.default_rng(seed)
    for name in "ab":
        sky.write(name, positions(rng, radius_deg, int(rng.integers(1, 60))), rng)
    condition = form.format(r=repr(radius_deg)) + (" AND a.m <> b.m" if extra else "")
    word = "WHERE" if kind == "," else "ON"
    columns = ", ".join(f"{t}.{name}" for t in "ab" for name in ("id", "ra", "dec", "m"))
    text = f"SELECT {columns} FROM a {kind} b {word} {condition}"
    assert "unnest" in sky.sql(text)
    found = Counter(sky.run(text))
    assert within(found, sky, near_pairs(sky, radius_deg, outer=FORMS[form]), kind, extra)


def within(
    found: Counter[tuple[Any, ...]], sky: Sky, near: Callable[[int, int], tuple[bool, bool]], kind: str, extra: bool
) -> bool:
    """Return whether `found` is a join's answer, whatever is said of pairs at the very radius."""
    a, b = (list(zip(*sky.table(t).select(["id", "ra", "dec", "m"]).to_pydict().values(), strict=True)) for t in "ab")
    least: Counter[tuple[Any, ...]] = Counter()
    most: Counter[tuple[Any, ...]] = Counter()
    partners = {"a": [[False, False] for _ in a], "b": [[False, False] for _ in b]}
    for (i, one), (j, other) in itertools.product(enumerate(a), enumerate(b)):
        must, may = (held and (not extra or one[3] != other[3]) for held in near(i, j))
        least[one + other] += must
        most[one + other] += may
        for of in (partners["a"][i], partners["b"][j]):
            of[0], of[1] = of[0] or must, of[1] or may
    nothing = (None,) * 4
    if kind == "LEFT JOIN":
        for one, (must, may) in zip(a, partners["a"], strict=True):
            least[one + nothing] += not may
            most[one + nothing] += not must
    if kind == "RIGHT JOIN":
        for other, (must, may) in zip(b, partners["b"], strict=True):
            least[nothing + other] += not may
            most[nothing + other] += not must
    return least <= found <= most


NEAR_AB = "DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec)) < {r}"
NEAR_BC = "DISTANCE(POINT(b.ra, b.dec), POINT(c.ra, c.dec)) < {r} * 2"
NEAR_AC = "DISTANCE(a.ra, a.dec, c.lon, c.lat) <= {r}"
SHAPES = (
    f"SELECT a.id, b.id FROM a LEFT JOIN b ON {NEAR_AB} AND a.m > 0 AND b.m < 2",
    "SELECT a.id, b.id FROM a RIGHT JOIN b ON DISTANCE(a.lon, a.lat, b.lon, b.lat) * 3600 < {r} * 3600 AND a.m = 1",
    "SELECT a.id, b.id, b.lat FROM a LEFT JOIN b ON DISTANCE(a.lon, a.lat, b.lon + 0.0, b.lat) < {r}",
    "SELECT a.id, b.id FROM a JOIN b ON IN_UNIT(DISTANCE(a.lon, a.lat, b.lon, b.lat), 'arcsec') < {r} * 3600",
    "SELECT a.id, b.id, c.id FROM a FULL JOIN b ON a.id = b.id AND a.m = b.m JOIN c ON "
    + NEAR_BC
    + " WHERE a.m IS NULL OR a.m < 2",
    f"SELECT a.id, b.id, c.id FROM a JOIN b ON {NEAR_AB} JOIN c ON {NEAR_BC}",
    f"SELECT a.id, b.id, c.id FROM a JOIN b ON {NEAR_AB} LEFT JOIN c ON {NEAR_BC} AND {NEAR_AC}",
    f"SELECT a.id, b.id, c.id FROM a LEFT JOIN b ON {NEAR_AB} LEFT JOIN c ON {NEAR_AC}",
    f"SELECT a.id, b.id, c.id FROM a LEFT JOIN (b JOIN c ON {NEAR_BC}) ON {NEAR_AB}",
    f"SELECT a.id, b.id, c.id FROM a LEFT JOIN (b LEFT JOIN c ON b.id = c.id AND b.m < c.m) ON {NEAR_AC}",
    f"SELECT a.id, b.id, c.id FROM (a CROSS JOIN b) LEFT JOIN c ON {NEAR_AC} WHERE {NEAR_AB}",
    f"SELECT a.id, b.id, c.id FROM a, b, c WHERE {NEAR_AB} AND {NEAR_BC} AND {NEAR_AC}",
    f"SELECT a.id, b.id FROM a LEFT JOIN b ON a.m = b.m WHERE {NEAR_AB}",
    f"SELECT a.id, b.id FROM a FULL JOIN b ON {NEAR_AB}",
    f"SELECT a.id, b.id FROM a FULL JOIN b ON a.id = b.id AND a.m = b.m WHERE {NEAR_AB}",
    f"SELECT a.id, COUNT(*), MIN(DISTANCE(a.ra, a.dec, b.ra, b.dec)) FROM a, b WHERE {NEAR_AB} GROUP BY a.id",
    "SELECT a.id, b.id FROM a JOIN a AS b ON " + NEAR_AB + " AND a.id < b.id",
    "SELECT a.id, b.id FROM a AS b LEFT JOIN a ON " + NEAR_AB,
    "SELECT a.id, b.id FROM a JOIN (SELECT id, ra, dec, COUNT(*) AS n FROM b GROUP BY id, ra, dec) AS b ON " + NEAR_AB,
    "SELECT a.id, b.x FROM a LEFT JOIN (SELECT id AS x, ra, dec FROM b UNION ALL SELECT id, ra, dec FROM c) AS b ON "
    + NEAR_AB,
    "WITH a AS (SELECT id, lon AS ra, lat AS dec FROM b), b AS (SELECT id, ra, dec FROM c) SELECT a.id, b.id FROM a "
    "LEFT JOIN b ON " + NEAR_AB,
    "WITH w AS (SELECT a.id, b.id AS other, a.ra, a.dec FROM a, b WHERE "
    + NEAR_AB
    + ") SELECT a.id, b.other FROM w AS a JOIN w AS b ON "
    + NEAR_AB,
    f"SELECT a.id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE {NEAR_AB} AND a.m < b.m)",
    f"SELECT a.id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE {NEAR_AB} AND a.id <> b.id)",
    f"SELECT a.id FROM a WHERE NOT EXISTS (SELECT 1 FROM b, c WHERE {NEAR_AB} AND {NEAR_BC})",
    f"SELECT a.m, COUNT(*) FROM a WHERE (SELECT COUNT(*) FROM b WHERE {NEAR_AB}) > 1 GROUP BY a.m",
    f"SELECT a.id FROM a WHERE a.id IN (SELECT b.id FROM b WHERE {NEAR_AB}) OR a.m = 0",
    f"SELECT a.id FROM a WHERE CASE (SELECT COUNT(*) FROM b WHERE {NEAR_AB}) WHEN 1 THEN 1 WHEN 2 THEN 5 END > 0",
    f"SELECT a.id, (SELECT COUNT(*) FROM b WHERE {NEAR_AB}) AS n FROM a",
    f"SELECT a.m, MAX((SELECT COUNT(*) FROM b WHERE {NEAR_AB})) AS n FROM a GROUP BY a.m",
    f'SELECT a.id, b.id, b.near0 FROM a JOIN (SELECT id, ra, dec, m AS near0 FROM b) AS b ON {NEAR_AB} AND "near0" < 2',
)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), radius_deg=st.sampled_from(RADII))
@pytest.mark.parametrize("shape", SHAPES)
def test_cells_change_no_answer(sky: Sky, shape: str, seed: int, radius_deg: float) -> None:
    rng = np.random.default_rng(seed)
    for name in "abc":
        sky.write(name, positions(rng, radius_deg, int(rng.integers(1, 30))), rng)
    text = shape.format(r=repr(radius_deg))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(emit_near, "_MAX_RADIUS_DEG", -1.0)
        assert "unnest" not in sky.sql(text)
        plain = Counter(sky.run(text))
    assert Counter(sky.run(text)) == plain
