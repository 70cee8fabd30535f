"""A server that runs nearly everything in batches of two files answers as one that does not."""

from collections.abc import Iterator
from typing import Any

import pytest

from catalog_service.client import CatalogClient
from tests.harness import RunningServer, SampleStore, start_server, stop_server


@pytest.fixture(scope="module")
def batching(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(
        sample_store.root, tmp_path_factory.mktemp("batches"), extra_config="batch_files = 2\nbatch_mb = 1\n"
    )
    yield running
    stop_server(running)


QUERIES = """
SELECT COUNT(objectId), SUM(g_cModelFlux), AVG(coord_ra), MIN(objectId), MAX(i_psfMag) FROM survey.Object

SELECT TOP 50 objectId, i_psfMag FROM survey.Object WHERE i_psfMag > 0 ORDER BY i_psfMag DESC, objectId

SELECT objectId FROM survey.Object WHERE g_cModelFlux > 5000

SELECT DISTINCT visit FROM survey.ForcedSource

SELECT visit, COUNT(*) AS n, AVG(psfFlux) AS f FROM survey.ForcedSource GROUP BY visit HAVING COUNT(*) > 3

SELECT o.objectId, COUNT(f.visit) AS n, MAX(f.psfFlux) FROM survey.Object AS o
LEFT JOIN survey.ForcedSource AS f ON f.objectId = o.objectId GROUP BY o.objectId ORDER BY n DESC, o.objectId

SELECT o.objectId, f.visit FROM survey.Object AS o JOIN survey.ForcedSource AS f ON f.objectId = o.objectId
WHERE o.i_psfMag < 19

SELECT v.band, COUNT(*) AS n FROM survey.ForcedSource AS f JOIN survey.Visit AS v ON v.visit = f.visit GROUP BY v.band

SELECT a.objectId, b.objectId AS other FROM survey.Object AS a, survey.Object AS b WHERE a.parentObjectId = b.objectId

SELECT a.objectId, b.objectId AS other, DISTANCE(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec) AS apart
FROM survey.Object AS a JOIN survey.Object AS b ON DISTANCE(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec) < 0.0005
WHERE a.objectId < b.objectId

SELECT a.objectId, COUNT(b.sourceId) AS n, MIN(DISTANCE(a.coord_ra, a.coord_dec, b.ra, b.dec)) AS nearest
FROM survey.Object AS a LEFT JOIN survey.Source AS b ON DISTANCE(b.ra, b.dec, a.coord_ra, a.coord_dec) < 0.0003
GROUP BY a.objectId ORDER BY n DESC, a.objectId

SELECT COUNT(*) AS n, COUNT(a.objectId) AS m FROM survey.Object AS a RIGHT JOIN survey.Object AS b
ON DISTANCE(b.coord_ra, b.coord_dec, a.coord_ra, a.coord_dec) < 0.001 AND a.objectId <> b.objectId

SELECT COUNT(DISTINCT objectId) FROM survey.ForcedSource

SELECT visit, COUNT(DISTINCT objectId) AS n, COUNT(*) AS m FROM survey.ForcedSource GROUP BY visit

SELECT q.k, q.o FROM (SELECT a.objectId AS k, b.objectId AS o, ROW_NUMBER() OVER (PARTITION BY a.objectId
ORDER BY DISTANCE(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec), b.objectId) AS place FROM survey.Object AS a
JOIN survey.Object AS b ON DISTANCE(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec) < 0.001
AND a.objectId <> b.objectId) AS q WHERE q.place = 1

SELECT a.objectId FROM survey.Object AS a WHERE NOT EXISTS (SELECT 1 FROM survey.Object AS b
WHERE DISTANCE(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec) < 0.001 AND a.objectId <> b.objectId)

SELECT o.objectId, MEDIAN(f.psfFlux) AS n FROM survey.Object AS o JOIN survey.ForcedSource AS f
ON f.objectId = o.objectId GROUP BY o.objectId

SELECT FLOOR(vt_mag) AS m, COUNT(*) AS n FROM tycho2.stars GROUP BY FLOOR(vt_mag) ORDER BY m
""".strip().split("\n\n")


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    table = CatalogClient(url).query(query, maxrec=1_000_000).to_arrow()
    found = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    is_ordered = "ORDER BY" in query.rsplit(")", 1)[-1]  # not only a window
    return found if is_ordered else sorted(found, key=lambda row: tuple(str(value) for value in row))


@pytest.mark.parametrize("query", QUERIES)
def test_the_same_answers(server_url: str, batching: RunningServer, query: str) -> None:
    whole, parts = rows(server_url, query), rows(batching.url, query)
    assert len(whole) == len(parts)
    for one, other in zip(whole, parts, strict=True):
        for value, again in zip(one, other, strict=True):
            assert value == (pytest.approx(again, rel=1e-9) if isinstance(again, float) else again)


def test_overflow_is_marked(batching: RunningServer) -> None:
    client = CatalogClient(batching.url)
    for query in ("SELECT objectId FROM survey.Object", "SELECT objectId FROM survey.Object ORDER BY objectId"):
        with pytest.warns(match="cut"):
            assert len(client.query(query, maxrec=100)) == 100
    assert len(client.query("SELECT TOP 100 objectId FROM survey.Object")) == 100
