"""What a query would read: true to what it then reads; and the same query on the shards in a DuckDB of one's own."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict

import duckdb
import pyarrow.parquet as pq
import pytest

from catalog_service.client import CatalogClient
from catalog_service.exceptions import QueryNameError, QueryRefusedError, QuerySyntaxError
from partitioning.sky.separation import separation_deg
from tests.harness import RunningServer, SampleStore, start_server, stop_server

NEAR = "DISTANCE(POINT(o.coord_ra, o.coord_dec), POINT(62, -37)) < 0.05"

APART = "DISTANCE(POINT(a.coord_ra, a.coord_dec), POINT(b.coord_ra, b.coord_dec))"
PAIR = (
    "FROM survey.Object AS a JOIN survey.Object AS b ON "
    "DISTANCE(POINT(a.coord_ra, a.coord_dec), POINT(b.coord_ra, b.coord_dec)) < 0.001 AND a.objectId <> b.objectId"
)

QUERIES = [
    "SELECT objectId FROM survey.Object AS o WHERE " + NEAR,
    "SELECT o.objectId, f.visit FROM survey.Object AS o JOIN survey.ForcedSource AS f ON f.objectId = o.objectId WHERE "
    + NEAR,
    "SELECT MAX(g_cModelFlux) AS g, COUNT(i_psfMag) AS n FROM survey.Object",
    "SELECT TOP 3 * FROM survey.Visit ORDER BY visit",
    (
        "SELECT q.k, q.o FROM (SELECT a.objectId AS k, b.objectId AS o, ROW_NUMBER() OVER (PARTITION BY a.objectId "
        f"ORDER BY {APART}, b.objectId) AS place {PAIR}) AS q WHERE q.place = 1"
    ),
    f"SELECT a.objectId, MIN({APART}) AS d {PAIR} GROUP BY a.objectId",
    (
        "SELECT a.objectId FROM survey.Object AS a WHERE NOT EXISTS (SELECT 1 FROM survey.Object AS b WHERE "
        "DISTANCE(POINT(a.coord_ra, a.coord_dec), POINT(b.coord_ra, b.coord_dec)) < 0.001 AND a.objectId <> b.objectId)"
    ),
    (
        "SELECT a.objectId, COUNT(DISTINCT f.visit) AS n, MEDIAN(f.psfFlux) AS m FROM survey.Object AS a JOIN "
        "survey.ForcedSource AS f ON f.objectId = a.objectId GROUP BY a.objectId"
    ),
]


@pytest.fixture(scope="module")
def client(server_url: str) -> CatalogClient:
    return CatalogClient(server_url)


@pytest.fixture(scope="module")
def direct(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = '[schemas.survey]\naccess = "public"\ndirect_access = true\n'
    running = start_server(sample_store.root, tmp_path_factory.mktemp("direct"), extra_config=config)
    yield running
    stop_server(running)


@pytest.mark.parametrize("query", QUERIES)
def test_what_is_explained_is_what_is_read(client: CatalogClient, query: str) -> None:
    explanation = client.explain(query)
    metadata = client.query(query, maxrec=1_000_000).to_arrow().schema.metadata
    assert metadata[b"TILES_READ"].decode() == f"{explanation.files} of {explanation.files_total}"
    assert sum(table.files for table in explanation.tables) == explanation.files
    assert explanation.rows == sum(table.rows for table in explanation.tables)


def test_reasons_and_advice(client: CatalogClient) -> None:
    explanation = client.explain("SELECT s.sourceId FROM survey.Source AS s WHERE psfFlux > 0", maxrec=10)
    (table,) = explanation.tables
    total = table.files_total
    assert total > 1
    assert table.reason == f"no position or id constraint on survey.Source: {total} of {total} tiles"
    assert explanation.limits == ("a result of more than 10 rows is cut (MAXREC)",)
    assert "add a region" in explanation.advice[0]
    assert explanation.columns == ("sourceId",)
    near = client.explain(QUERIES[1])
    own, joined = (table.reason.split(" meet ")[1] for table in near.tables)
    assert (own, joined) == ("the region of its position", "the region of a joined table")
    assert near.advice == ()
    ids = client.explain("SELECT visit FROM survey.ForcedSource WHERE objectId = 2968681394995201")
    assert ids.tables[0].files <= 1
    assert ids.tables[0].reason.endswith("ids that are asked for")
    assert client.explain("SELECT COUNT(*) FROM survey.Object").tables == ()
    shown = str(explanation)
    assert "survey.Source: no position" in shown
    assert "advice: " in shown
    assert "limit: a result of more than 10 rows" in shown


def test_bytes_are_those_of_the_columns_that_are_used(client: CatalogClient, sample_store: SampleStore) -> None:
    explanation = client.explain("SELECT objectId FROM survey.Object WHERE i_psfMag - g_psfMag > -99")
    leaves = list(sample_store.root.glob("survey/Object/Object_r[0-9]/dataset/**/*.parquet"))
    used = {"objectId", "i_psfMag", "g_psfMag"}
    assert explanation.size_bytes == sum(path.stat().st_size for path in leaves)
    footers = [pq.read_metadata(path) for path in leaves]
    groups = [footer.row_group(number) for footer in footers for number in range(footer.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    read = sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema in used)
    assert explanation.read_bytes == pytest.approx(read, rel=0.2)  # footers are part of the files, too
    assert explanation.read_bytes == explanation.tables[0].read_bytes < explanation.size_bytes / 4
    assert "of columns that are used" in str(explanation)


@pytest.mark.parametrize("radius_deg", [0.01, 0.3, 5.0])
def test_row_groups_are_those_that_meet_the_region(
    client: CatalogClient, sample_store: SampleStore, radius_deg: float
) -> None:
    where = f"1 = CONTAINS(POINT(coord_ra, coord_dec), CIRCLE(62, -37, {radius_deg}))"
    explanation = client.explain(f"SELECT objectId FROM survey.Object WHERE {where}")
    reading = explanation.tables[0]
    holding = total = 0
    for path in sample_store.root.glob("survey/Object/Object_r[0-9]/dataset/**/*.parquet"):
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                rows = file.read_row_group(number, columns=["coord_ra", "coord_dec"])
                away = separation_deg(rows["coord_ra"].to_numpy(), rows["coord_dec"].to_numpy(), 62, -37)
                holding += bool((away <= radius_deg).any())
                total += 1
    assert reading.row_groups_total == total
    assert reading.row_groups is not None
    assert holding <= reading.row_groups <= total
    assert radius_deg > 0.1 or reading.row_groups <= 2
    assert f"{reading.row_groups} of {total} row groups" in str(explanation)


def test_languages_and_errors(client: CatalogClient) -> None:
    area = client.explain("SELECT objectId FROM Object WHERE qserv_areaspec_circle(62, -37, 0.05)", lang="QSERV")
    assert area.tables == client.explain(QUERIES[0]).tables
    with pytest.raises(QuerySyntaxError) as raised:
        client.explain("SELECT objectId FRM survey.Object")
    assert (raised.value.line, raised.value.column) == (1, 21)
    with pytest.raises(QueryNameError):
        client.explain("SELECT a FROM hidden.Secret")


@pytest.mark.parametrize("table", ["schemas", "tables", "columns"])
def test_sizes_of_metadata_do_not_tell_of_closed_schemas(client: CatalogClient, table: str) -> None:
    explained = client.explain(f"SELECT a.* FROM TAP_SCHEMA.{table} AS a CROSS JOIN TAP_SCHEMA.{table} AS b", maxrec=1)
    assert [(one.rows, one.size_bytes) for one in explained.tables] == [(0, 0)] * 2
    assert (explained.rows, explained.size_bytes) == (0, 0)
    assert not explained.limits


def test_no_answer_has_a_path(client: CatalogClient, sample_store: SampleStore) -> None:
    for query in QUERIES:
        assert str(sample_store.root) not in json.dumps(asdict(client.explain(query)))
    with pytest.raises(QueryRefusedError, match="survey are not open to direct access"):
        client.plan(QUERIES[0])


@pytest.mark.parametrize("query", QUERIES)
def test_the_sql_gives_the_same_answer_on_the_shards(direct: RunningServer, query: str) -> None:
    client = CatalogClient(direct.url)
    plan = client.plan(query)
    with duckdb.connect() as connection:
        ours = connection.sql(plan.sql).to_arrow_table()
    theirs = client.query(query, maxrec=1_000_000).to_arrow()
    assert ours.column_names == theirs.column_names
    assert ours.num_rows == theirs.num_rows > 0
    keys = [(theirs.column_names[0], "ascending"), (theirs.column_names[-1], "ascending")]
    if ours.num_rows < 2:
        assert ours.to_pylist() == theirs.to_pylist()
    else:
        assert ours.sort_by(keys).to_pylist() == theirs.sort_by(keys).to_pylist()
    assert all(file in plan.sql for file in plan.files)
    read = {one.table: one.files for one in client.explain(query).tables}  # a table joined with itself once
    assert len(plan.files) == sum(read.values())


def test_every_schema_of_a_direct_plan_must_be_open(direct: RunningServer) -> None:
    client = CatalogClient(direct.url)
    for query in ("SELECT TOP 1 ra FROM tycho2.stars", "SELECT table_name FROM TAP_SCHEMA.tables"):
        with pytest.raises(QueryRefusedError, match="not open to direct access"):
            client.plan(query)
    mixed = "SELECT 1 AS a FROM survey.Visit AS v WHERE EXISTS (SELECT ra FROM tycho2.stars AS s WHERE s.ra = v.ra)"
    with pytest.raises(QueryRefusedError, match="tycho2 are not open"):
        client.plan(mixed)


def test_from_a_terminal(server_url: str) -> None:
    for command in (["explain", QUERIES[0]], ["query", "--explain", QUERIES[0]]):
        run = subprocess.run(
            [sys.executable, "-m", "catalog_service.cli", *command, "--url", server_url],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "survey.Object: " in run.stdout
        assert "tiles meet the region of its position" in run.stdout
    as_json = subprocess.run(
        [sys.executable, "-m", "catalog_service.cli", "explain", "--json", QUERIES[0], "--url", server_url],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(as_json.stdout)["tables"][0]["table"] == "survey.Object"


def test_the_body_over_plain_http(server_url: str) -> None:
    body = json.dumps({"query": QUERIES[0]}).encode()
    request = urllib.request.Request(
        f"{server_url}/api/v1/explain", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        answer = json.loads(response.read())
    assert answer["tables"][0]["table"] == "survey.Object"
    assert answer["files"] < answer["files_total"]
