"""The answer does not depend on how a table is stored: RA convention, tile sizes, row groups, full scan."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from catalog_service.client import CatalogClient
from tests.conformance.oracle import Sky
from tests.conformance.test_cones import AWKWARD, random_cones
from tests.harness import RunningServer, build_table, start_server, stop_server

N = 12_000
LARGE = 2**53 + 1
"""First integer that a double cannot hold."""


def positions() -> tuple[np.ndarray, np.ndarray]:
    """Return positions over the whole sky with many at RA 0, the poles and exact duplicates."""
    rng = np.random.default_rng(77)
    ra = rng.uniform(0, 360, N)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, N)))
    ra[:2000] = rng.normal(0, 0.5, 2000) % 360
    ra[2000:2010], dec[2000:2005], dec[2005:2010] = 0.0, 90.0, -90.0
    dec[2010:3000] = 90 - rng.exponential(0.5, 990)
    ra[3000:3050], dec[3000:3050] = 0.0, rng.uniform(-80, 80, 50)
    ra[4000:4100], dec[4000:4100] = 200.0, 30.0
    return ra, dec


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    import pyarrow.parquet as pq

    path = tmp_path_factory.mktemp("sky") / "sky.parquet"
    ra, dec = positions()
    pq.write_table(pa.table({"id": np.arange(N) + LARGE, "ra": ra, "dec": dec}), path)
    return Sky([path], "id", "ra", "dec")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    base = tmp_path_factory.mktemp("stores")
    ra, dec = positions()
    rng = np.random.default_rng(1)
    columns = {
        "id": np.arange(N) + LARGE,
        "ra": ra,
        "dec": dec,
        "kind": rng.integers(0, 5, N).astype(np.int16),
        "flux": rng.lognormal(0, 2, N).astype(np.float32),
        "flag": rng.uniform(size=N) < 0.1,
        "name": pa.array([f"star {i % 100}" if i % 7 else None for i in range(N)]),
    }
    with_360 = np.where(ra == 0.0, 360.0, ra)
    signed = np.where(ra > 180, ra - 360, ra)
    position = 'ra = "ra"\ndec = "dec"\nid = ["id"]\n'
    root = base / "catalogs"
    coarse, fine = position + "target_rows = 8_000", position + "target_rows = 300\nrow_group_rows = 50"
    build_table(root, "coarse", [pa.table(columns)], options=coarse)
    shuffled = pa.table(columns).take(rng.permutation(N))
    build_table(root, "fine", [shuffled.slice(0, 4_000), shuffled.slice(4_000)], options=fine)
    build_table(root, "full_turn", [pa.table({**columns, "ra": with_360})], options=fine)
    build_table(root, "signed", [pa.table({**columns, "ra": signed})], options=fine)
    server = start_server(root, base)
    yield server
    stop_server(server)


@pytest.fixture(scope="module")
def client(stores: RunningServer) -> CatalogClient:
    return CatalogClient(stores.url)


TABLES = ["coarse", "fine", "full_turn", "signed"]


@pytest.mark.parametrize("table", TABLES)
def test_cones_equal_brute_force(client: CatalogClient, sky: Sky, table: str) -> None:
    for cone in [*random_cones(sky, 60, seed=4, largest_deg=20), *AWKWARD, (0.0, 0.0, 0.0), (0.0, 5.0, 180.0)]:
        found = client.cone(*cone, table=f"test.{table}", columns=["id"], maxrec=N).to_arrow().column("id").to_numpy()
        sky.check_cone(*cone, found)


QUERIES = [
    "SELECT COUNT(*) AS n, MIN(id) AS a, MAX(id) AS b, SUM(kind) AS c FROM {t}",
    "SELECT kind, COUNT(*) AS n, COUNT(name) AS m, MAX(flux) AS f FROM {t} GROUP BY kind ORDER BY kind",
    "SELECT TOP 20 id, name, flux FROM {t} WHERE flag = 1 ORDER BY flux DESC, id",
    "SELECT id FROM {t} WHERE dec BETWEEN 10 AND 10.5 AND ra BETWEEN 20 AND 90 ORDER BY id",
    "SELECT id FROM {t} WHERE CONTAINS(POINT(ra, dec), POLYGON(10, 10, 20, 10, 20, 20, 10, 20)) = 1 ORDER BY id",
    "SELECT id FROM {t} WHERE CONTAINS(POINT(ra, dec), POLYGON(355, -3, 5, -3, 5, 3, 355, 3)) = 1 ORDER BY id",
    "SELECT id FROM {t} WHERE CONTAINS(POINT(ra, dec), POLYGON(0, 0, 10, 0, 5, 3, 10, 10, 0, 10)) = 1 ORDER BY id",
    (
        "SELECT id FROM {t} WHERE DISTANCE(POINT(ra, dec), POINT(0, 89)) < 2"
        " OR DISTANCE(POINT(ra, dec), POINT(0, -89)) < 2 ORDER BY id"
    ),
    "SELECT id FROM {t} WHERE CONTAINS(POINT(ra, dec), CIRCLE(0, 90, 3)) = 0 AND dec > 80 ORDER BY id",
    "SELECT id FROM {t} WHERE NOT CONTAINS(POINT(ra, dec), CIRCLE(0, 90, 3)) = 1 AND dec > 80 ORDER BY id",
    (
        "SELECT a.id, b.id AS other FROM {t} AS a JOIN {t} AS b ON a.id = b.id"
        " WHERE CONTAINS(POINT(a.ra, a.dec), CIRCLE(0, 0, 5)) = 1 ORDER BY a.id"
    ),
    (
        "SELECT a.id, b.flux FROM {t} AS a LEFT JOIN {t} AS b ON a.id = b.id"
        " AND DISTANCE(POINT(b.ra, b.dec), POINT(1, 0)) < 1"
        " WHERE CONTAINS(POINT(a.ra, a.dec), CIRCLE(0, 0, 2)) = 1 ORDER BY a.id"
    ),
    (
        "SELECT ROUND(DISTANCE(POINT(ra, dec), POINT(0, 0)), 9) AS d, id FROM {t}"
        " WHERE DISTANCE(POINT(ra, dec), POINT(0, 0)) < 1 ORDER BY id"
    ),
    "SELECT id FROM {t} WHERE id = 9007199254740993 OR id = 9007199254740995 ORDER BY id",
]
RANGE_OF_STORED_RA = "ra BETWEEN"
"""A comparison of the stored numbers: only tables that store the same numbers must agree."""


@pytest.mark.parametrize("query", QUERIES)
def test_every_store_gives_the_same_answer(client: CatalogClient, query: str) -> None:
    answers = {
        table: client.query(query.format(t=f"test.{table}"), maxrec=N).to_arrow().to_pylist()
        for table in TABLES
        if RANGE_OF_STORED_RA not in query or table in {"coarse", "fine"}
    }
    assert len(answers["coarse"]) > 0
    assert all(answer == answers["coarse"] for answer in answers.values())


def test_pruned_answer_equals_the_full_scan(client: CatalogClient, sky: Sky) -> None:
    """Write the cone so that nothing prunes: a negation and an expression around the position."""
    for ra, dec, radius in [*random_cones(sky, 25, seed=8, largest_deg=10), *AWKWARD]:
        circle = f"CIRCLE({ra!r}, {dec!r}, {radius!r})"
        pruned = f"SELECT id FROM test.fine WHERE CONTAINS(POINT(ra, dec), {circle}) = 1"
        scanned = f"SELECT id FROM test.fine WHERE NOT CONTAINS(POINT(ra + 0.0, dec + 0.0), {circle}) = 0"
        answers = [set(client.query(q, maxrec=N).to_arrow().column("id").to_pylist()) for q in (pruned, scanned)]
        assert answers[0] == answers[1]


def test_only_the_needed_tiles_are_read(client: CatalogClient) -> None:
    few = client.query("SELECT id FROM test.fine WHERE DISTANCE(POINT(ra, dec), POINT(200, 30)) < 0.01").to_arrow()
    inverted = client.query(
        "SELECT id FROM test.fine WHERE NOT DISTANCE(POINT(ra, dec), POINT(200, 30)) >= 0.01"
    ).to_arrow()
    every = client.query(
        "SELECT id FROM test.fine WHERE DISTANCE(POINT(ra + 0.0, dec), POINT(200, 30)) < 0.01"
    ).to_arrow()
    tiles = [table.schema.metadata[b"TILES_READ"].split(b" of ") for table in (few, inverted, every)]
    assert int(tiles[0][0]) <= 4
    assert tiles[1] == tiles[0]
    assert tiles[2][0] == tiles[2][1]
    assert int(tiles[2][1]) > 50


def test_ids_beyond_2_to_53_are_exact(client: CatalogClient, stores: RunningServer) -> None:
    import pyvo

    arrow = client.query("SELECT id FROM test.coarse", maxrec=N).to_arrow().column("id").to_pylist()
    assert sorted(arrow) == list(range(LARGE, LARGE + N))
    table = pyvo.dal.TAPService(f"{stores.url}/tap").search("SELECT id FROM test.coarse", maxrec=N).to_table()
    assert sorted(table["id"].tolist()) == list(range(LARGE, LARGE + N))
