"""Light-curve joins inside a cone, and joins of every child table with its parent, equal joins made in pandas."""

import pandas as pd
import pyarrow.parquet as pq
import pytest

from catalog_service.client import CatalogClient
from tests.conformance.oracle import Sky
from tests.harness import SampleStore


@pytest.fixture(scope="module")
def client(server_url: str) -> CatalogClient:
    return CatalogClient(server_url)


def read(store: SampleStore, table: str, columns: list[str]) -> pd.DataFrame:
    return pq.read_table(store.survey / table, columns=columns).to_pandas()


def inside(store: SampleStore, table: str, ident: str, ra: str, dec: str, cone: tuple[float, float, float]) -> set[int]:
    sky = Sky(sorted((store.survey / table).glob("*.parquet")), ident, ra, dec)
    return set(sky.ids[sky.separation_deg(*cone[:2]) <= cone[2]].tolist())


@pytest.mark.parametrize("cone", [(62.0, -37.0, 0.01), (61.95, -36.95, 0.02), (62.05, -37.05, 0.004)])
def test_object_forcedsource_visit(
    client: CatalogClient, sample_store: SampleStore, cone: tuple[float, float, float]
) -> None:
    query = f"""
        SELECT o.objectId, v.visit, v.band, v.expMidptMJD, f.psfFlux
        FROM survey.Object AS o
        JOIN survey.ForcedSource AS f ON f.objectId = o.objectId
        JOIN survey.Visit AS v ON v.visit = f.visit
        WHERE CONTAINS(POINT(o.coord_ra, o.coord_dec), CIRCLE({cone[0]}, {cone[1]}, {cone[2]})) = 1
        """
    result = client.query(query, maxrec=1_000_000)
    found = result.to_arrow().to_pandas().sort_values(["objectId", "visit"]).reset_index(drop=True)
    chosen = inside(sample_store, "Object", "objectId", "coord_ra", "coord_dec", cone)
    forced = read(sample_store, "ForcedSource", ["objectId", "visit", "psfFlux"])
    visits = read(sample_store, "Visit", ["visit", "band", "expMidptMJD"])
    truth = forced[forced.objectId.isin(chosen)].merge(visits, on="visit")
    truth = truth.sort_values(["objectId", "visit"]).reset_index(drop=True)[found.columns]
    assert len(truth) > 50
    pd.testing.assert_frame_equal(found, truth, check_dtype=False)
    read_tiles, all_tiles = result.to_arrow().schema.metadata[b"TILES_READ"].split(b" of ")
    assert int(read_tiles) <= int(all_tiles)


def test_child_with_another_position(client: CatalogClient, sample_store: SampleStore) -> None:
    """DiaSource lies in its DiaObject's tile; cones on its own position and on its parent's are both exact."""
    sources = read(sample_store, "DiaSource", ["diaSourceId", "diaObjectId", "ra", "dec"])
    for row in range(0, len(sources), 60):
        cone = (float(sources.ra[row]), float(sources.dec[row]), 0.1 / 3600)
        own = inside(sample_store, "DiaSource", "diaSourceId", "ra", "dec", cone)
        found = client.cone(*cone, table="survey.DiaSource", columns=["diaSourceId"]).to_arrow()
        assert set(found.column(0).to_pylist()) == own
    parents = read(sample_store, "DiaObject", ["diaObjectId", "ra", "dec"])
    for row in range(0, len(parents), 15):
        cone = (float(parents.ra[row]), float(parents.dec[row]), 5.0)
        chosen = inside(sample_store, "DiaObject", "diaObjectId", "ra", "dec", cone)
        query = f"""
            SELECT s.diaSourceId FROM survey.DiaObject AS o JOIN survey.DiaSource AS s ON s.diaObjectId = o.diaObjectId
            WHERE DISTANCE(POINT(o.ra, o.dec), POINT({cone[0]!r}, {cone[1]!r})) <= {cone[2]}"""
        answer = client.query(query, maxrec=100_000).to_arrow().column(0).to_pylist()
        assert sorted(answer) == sorted(sources[sources.diaObjectId.isin(chosen)].diaSourceId)


def test_child_without_a_position_found_by_a_text_key(client: CatalogClient, sample_store: SampleStore) -> None:
    cone = (62.0, -37.0, 0.02)
    query = f"""
        SELECT m.match_objectId, t.id_truth_type FROM survey.TruthSummary AS t
        JOIN survey.MatchesTruth AS m ON m.id_truth_type = t.id_truth_type
        WHERE CONTAINS(POINT(t.ra, t.dec), CIRCLE({cone[0]}, {cone[1]}, {cone[2]})) = 1"""
    found = client.query(query, maxrec=100_000).to_arrow().to_pandas()
    chosen = inside(sample_store, "TruthSummary", "id_truth_type", "ra", "dec", cone)
    matches = read(sample_store, "MatchesTruth", ["id_truth_type", "match_objectId"])
    truth = matches[matches.id_truth_type.isin(chosen)]
    assert len(truth) > 50
    assert sorted(found.match_objectId) == sorted(truth.match_objectId)


def test_left_join_keeps_objects_without_sources(client: CatalogClient, sample_store: SampleStore) -> None:
    cone = (62.0, -37.0, 0.05)
    query = f"""
        SELECT o.objectId, COUNT(f.visit) AS n FROM survey.Object AS o
        LEFT JOIN survey.ForcedSource AS f ON f.objectId = o.objectId AND f.band = 'u'
        WHERE CONTAINS(POINT(o.coord_ra, o.coord_dec), CIRCLE({cone[0]}, {cone[1]}, {cone[2]})) = 1
        GROUP BY o.objectId"""
    found = client.query(query, maxrec=100_000).to_arrow().to_pandas().set_index("objectId").n.sort_index()
    chosen = inside(sample_store, "Object", "objectId", "coord_ra", "coord_dec", cone)
    forced = read(sample_store, "ForcedSource", ["objectId", "band"])
    counts = forced[forced.band == "u"].groupby("objectId").size().reindex(sorted(chosen), fill_value=0)
    assert found.to_dict() == counts.to_dict()
