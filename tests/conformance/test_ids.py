"""Look-ups by id, equal to a look at the input, read only the tiles of their rows; counts of whole tables read none."""

import threading
import time
import urllib.request

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from catalog_service.client import CatalogClient
from tests.harness import SampleStore


@pytest.fixture(scope="module")
def client(server_url: str) -> CatalogClient:
    return CatalogClient(server_url)


def read(store: SampleStore, table: str, columns: list[str]) -> pd.DataFrame:
    return pq.read_table(store.survey / table, columns=columns).to_pandas()


def placed(store: SampleStore) -> pd.DataFrame:
    """Return the objects that have a usable position, and so a place in the catalog."""
    objects = read(store, "Object", ["objectId", "coord_ra", "coord_dec"])
    return objects[np.isfinite(objects.coord_ra) & np.isfinite(objects.coord_dec)]


def answer(client: CatalogClient, query: str) -> tuple[pd.DataFrame, int]:
    """Return the rows, and how many tiles were read."""
    table = client.query(query, maxrec=1_000_000).to_arrow()
    return table.to_pandas(), int(table.schema.metadata[b"TILES_READ"].split(b" of ")[0])


def test_objects_and_their_forced_sources(client: CatalogClient, sample_store: SampleStore) -> None:
    forced = read(sample_store, "ForcedSource", ["objectId", "visit"])
    for number in np.random.default_rng(4).choice(forced.objectId.unique(), 12).tolist():
        mine = sorted(forced.visit[forced.objectId == number])
        found, tiles = answer(client, f"SELECT objectId FROM survey.Object WHERE objectId = {number}")
        assert (found.objectId.tolist(), tiles) == ([number], 1)
        found, tiles = answer(client, f"SELECT visit FROM survey.ForcedSource WHERE {number} = objectId")
        assert (sorted(found.visit), tiles) == (mine, 1)
        join = "survey.Object AS o JOIN survey.ForcedSource AS f ON f.objectId = o.objectId"
        for side in ("o", "f"):
            found, tiles = answer(client, f"SELECT f.visit FROM {join} WHERE {side}.objectId IN ({number}, -5)")
            assert (sorted(found.visit), tiles) == (mine, 2)


def test_statistics_of_other_columns_leave_out_tiles(client: CatalogClient, sample_store: SampleStore) -> None:
    columns = ["objectId", "coord_ra", "coord_dec", "tract", "g_cModelFlux", "refBand", "detect_isPrimary"]
    objects = read(sample_store, "Object", columns)
    objects = objects[np.isfinite(objects.coord_ra) & np.isfinite(objects.coord_dec)]
    everything = answer(client, "SELECT objectId FROM survey.Object WHERE tract + 0 > 0")[1]
    brightest = float(objects.g_cModelFlux.max())
    tract = int(objects.tract.min())
    band, flux = objects.refBand.iloc[0], objects.g_cModelFlux
    cases = {
        f"g_cModelFlux >= {brightest!r}": (flux >= brightest, True),
        f"g_cModelFlux > {brightest!r}": (flux > brightest, True),
        f"tract = {tract} AND g_cModelFlux > 0": ((objects.tract == tract) & (flux > 0), True),
        f"tract IN ({tract}, -1) OR g_cModelFlux >= {brightest!r}": (
            (objects.tract == tract) | (flux >= brightest),
            True,
        ),
        f"refBand = '{band}'": (objects.refBand == band, False),
        "refBand = 'no band'": (objects.refBand == "no band", True),
        "detect_isPrimary = 0": (objects.detect_isPrimary == 0, False),
        "g_cModelFlux IS NULL": (flux.isna(), False),
    }
    for condition, (wanted, fewer) in cases.items():
        found, tiles = answer(client, f"SELECT objectId FROM survey.Object WHERE {condition}")
        assert sorted(found.objectId) == sorted(objects.objectId[wanted]), condition
        assert tiles < everything if fewer else tiles <= everything, condition
    explained = client.explain(f"SELECT objectId FROM survey.Object WHERE g_cModelFlux >= {brightest!r}")
    assert explained.tables[0].reason.endswith("meet the statistics of g_cModelFlux")


def test_many_ids_and_ranges(client: CatalogClient, sample_store: SampleStore) -> None:
    known = np.sort(placed(sample_store).objectId.to_numpy())
    wanted = np.random.default_rng(5).choice(known, 3000, replace=False)
    text = ", ".join(map(str, [*wanted.tolist(), 1, 2**62, -(2**62)]))
    found, _ = answer(client, f"SELECT objectId FROM survey.Object WHERE objectId IN ({text})")
    assert np.array_equal(np.sort(found.objectId), np.sort(wanted))
    low, high = known[100], known[140]
    found, _ = answer(client, f"SELECT objectId FROM survey.Object WHERE objectId BETWEEN {low} AND {high}")
    assert sorted(found.objectId) == known[100:141].tolist()
    found, tiles = answer(client, "SELECT objectId FROM survey.Object WHERE objectId = 1 OR objectId = 2")
    assert (len(found), tiles) == (0, 0)


def test_children_by_the_key_of_a_parent_that_some_lack(client: CatalogClient, sample_store: SampleStore) -> None:
    sources = read(sample_store, "DiaSource", ["diaSourceId", "diaObjectId"])
    keys = sources.diaObjectId.drop_duplicates().sample(15, random_state=1).tolist()
    for key in keys:
        found, _ = answer(client, f"SELECT diaSourceId FROM survey.DiaSource WHERE diaObjectId = {int(key)}")
        assert sorted(found.diaSourceId) == sorted(sources.diaSourceId[sources.diaObjectId == key])
    text = ", ".join(str(int(key)) for key in keys)
    for join in ("JOIN", "LEFT JOIN"):
        query = f"""SELECT s.diaSourceId FROM survey.DiaSource AS s
            {join} survey.DiaObject AS o ON s.diaObjectId = o.diaObjectId WHERE s.diaObjectId IN ({text})"""
        found, _ = answer(client, query)
        parents = read(sample_store, "DiaObject", ["diaObjectId"]).diaObjectId
        kept = sources[sources.diaObjectId.isin(keys) & ((join == "LEFT JOIN") | sources.diaObjectId.isin(parents))]
        assert sorted(found.diaSourceId) == sorted(kept.diaSourceId)


@pytest.mark.parametrize("table", ["Object", "ForcedSource", "DiaSource"])
def test_a_count_of_all_rows_reads_nothing(client: CatalogClient, sample_store: SampleStore, table: str) -> None:
    rows = sum(pq.read_metadata(path).num_rows for path in (sample_store.survey / table).glob("*.parquet"))
    rows = len(placed(sample_store)) if table == "Object" else rows
    found, tiles = answer(client, f"SELECT COUNT(*) AS n, COUNT(*) FROM survey.{table} ORDER BY n")
    assert found.to_numpy().tolist() == [[rows, rows]]
    assert tiles == 0
    condition = "WHERE 1 = 1" if table == "Object" else f"HAVING COUNT(*) > {rows}"
    found, tiles = answer(client, f"SELECT COUNT(*) AS n FROM survey.{table} {condition}")
    assert found.n.tolist() == ([rows] if table == "Object" else [])


def test_very_many_ids_hold_nobody_up(client: CatalogClient, server_url: str, sample_store: SampleStore) -> None:
    """A text as long as a text may be is parsed, resolved, looked up and written beside the event loop."""
    known = placed(sample_store).objectId.to_numpy()
    rng = np.random.default_rng(6)
    wanted = rng.choice(known, 400, replace=False)
    others = rng.integers(10_000, 100_000, 40_000)
    text = ",".join(map(str, [*wanted.tolist(), *others.tolist()]))
    waits: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            started = time.perf_counter()
            with urllib.request.urlopen(f"{server_url}/livez", timeout=30) as response:
                assert response.status == 200
            waits.append(time.perf_counter() - started)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        found, _ = answer(client, f"SELECT objectId FROM survey.Object WHERE objectId IN ({text})")
    finally:
        done.set()
        watcher.join()
    assert sorted(found.objectId) == sorted(wanted.tolist())
    assert max(waits) < 0.6


def test_texts_are_looked_up_as_integers_are(client: CatalogClient, sample_store: SampleStore) -> None:
    truth = read(sample_store, "TruthSummary", ["id_truth_type", "ra", "dec"])
    names = truth.id_truth_type[np.isfinite(truth.ra) & np.isfinite(truth.dec)]
    for name in names.sample(5, random_state=2):
        found, tiles = answer(client, f"SELECT id_truth_type FROM survey.TruthSummary WHERE id_truth_type = '{name}'")
        assert (found.id_truth_type.tolist(), tiles) == ([name], 1)
        matches = "survey.TruthSummary AS t JOIN survey.MatchesTruth AS m ON m.id_truth_type = t.id_truth_type"
        found, tiles = answer(client, f"SELECT t.id_truth_type FROM {matches} WHERE m.id_truth_type IN ('{name}', 'x')")
        assert found.id_truth_type.isin([name]).all()
        assert tiles <= 2
    wanted = names.sample(2000, random_state=3)
    text = ", ".join(f"'{name}'" for name in wanted)
    found, _ = answer(client, f"SELECT id_truth_type FROM survey.TruthSummary WHERE id_truth_type IN ({text}, 'none')")
    assert sorted(found.id_truth_type) == sorted(wanted)
    found, tiles = answer(client, "SELECT id_truth_type FROM survey.TruthSummary WHERE id_truth_type = 'none'")
    assert (len(found), tiles) == (0, 0)
