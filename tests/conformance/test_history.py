"""Every query is in the history of the one who asked, whatever its end was; and the history never costs a query."""

import json
import sqlite3
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from catalog_service.cli import app as commands
from catalog_service.client import AccessError, CatalogClient, CatalogServiceError, OverflowWarning, QuerySyntaxError
from tests.harness import SampleStore
from tests.identified import OPERATOR, serving_names

CONE = "SELECT tyc_row FROM tycho2.stars WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(56.75, 24.12, 1))"


@dataclass(frozen=True)
class Served:
    url: str
    state: Path

    def client(self, name: str | None) -> CatalogClient:
        return CatalogClient(self.url, name)


@pytest.fixture(scope="module")
def served(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    state = tmp_path_factory.mktemp("history")
    with serving_names(sample_store.root, state) as (url, _):
        yield Served(url, state)


def test_queries_of_all_ends_are_kept_newest_first(served: Served) -> None:
    began = datetime.now(UTC)
    with served.client("anna") as client:
        rows = client.query(CONE).to_arrow().num_rows
        with pytest.warns(OverflowWarning):
            client.query(CONE, maxrec=3)
        with pytest.raises(QuerySyntaxError) as wrong:
            client.query("SELECT 1 FRM x")
        job = client.submit(CONE, runid="mine").wait(60)
        found = client.queries()
    of_job, failed, cut, whole = found
    assert (of_job.job_id, of_job.runid, of_job.rows) == (job.job_id, "mine", rows)
    assert of_job.bytes_out == job.info.results[0].size_bytes
    assert (failed.status, failed.query, failed.query_id) == ("syntax_error", "SELECT 1 FRM x", wrong.value.query_id)
    assert failed.message == str(wrong.value)
    assert (cut.status, cut.rows) == ("overflow", 3)
    assert (whole.status, whole.rows, whole.owner, whole.job_id) == ("ok", rows, "anna", None)
    assert 0 < whole.files < whole.files_total
    assert whole.bytes_out > 0
    assert 0 < whole.seconds < 60
    assert abs(datetime.fromisoformat(whole.started) - began) < timedelta(seconds=60)


def test_everybody_sees_their_own(served: Served) -> None:
    with served.client("berta") as berta, served.client("carl") as carl, served.client(None) as nobody:
        for client in (berta, carl, nobody):
            client.query(f"{CONE} AND 1 = 1")
        assert [one.owner for one in berta.queries()] == ["berta"]
        assert [one.owner for one in carl.queries()] == ["carl"]
        assert nobody.queries() == ()
        with pytest.raises(AccessError):
            berta.queries(everybody=True)
        with pytest.raises(AccessError):
            nobody.queries(everybody=True)
    with served.client(OPERATOR) as operator:
        assert operator.queries() == ()
        assert {"berta", "carl", "anonymous"} <= {one.owner for one in operator.queries(everybody=True)}


def test_last_and_since(served: Served) -> None:
    with served.client("dora") as client:
        for number in range(3):
            client.query(f"SELECT {number} AS n, tyc_row FROM tycho2.stars WHERE tyc_row = 0")
        oldest, middle, newest = reversed(client.queries())
        assert client.queries(last=1) == (newest,)
        assert client.queries(last=0) == ()
        since = client.queries(since=middle.started)
        assert newest in since
        assert oldest not in since
        assert client.queries(since="2999-01-01T00:00:00") == ()
        with pytest.raises(CatalogServiceError, match="since"):
            client.queries(since="yesterday")


def test_the_command(served: Served) -> None:
    with served.client("emil") as client:
        client.query(CONE)
    environment = {"CATALOG_SERVICE_URL": served.url, "CATALOG_SERVICE_TOKEN": "emil"}
    printed = CliRunner().invoke(commands, ["history", "--json"], env=environment).stdout
    assert [one["query"] for one in json.loads(printed)] == [CONE]
    table = CliRunner().invoke(commands, ["history", "--last", "1"], env=environment).stdout
    assert table.splitlines()[0] == "started,seconds,status,rows,query_id,query"


def test_a_locked_history_costs_no_query(served: Served) -> None:
    """Another process holds the database for writing: queries go on, and what is missing is counted."""
    other = sqlite3.connect(served.state / "history" / "queries.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with served.client("fritz") as client:
            for _ in range(3):
                assert client.query(CONE).to_arrow().num_rows
            with urllib.request.urlopen(f"{served.url}/metrics", timeout=5) as page:
                assert b"\ncatalog_service_history_dropped_total" in page.read()
            assert client.queries() == ()
            assert dropped(served) == 3
    finally:
        other.execute("ROLLBACK")
        other.close()
    with served.client("fritz") as client:
        client.query(CONE)
        assert len(client.queries()) == 1


def dropped(served: Served) -> float:
    with urllib.request.urlopen(f"{served.url}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("catalog_service_history_dropped_total"))


def test_no_history_is_kept_if_the_operator_says_so(sample_store: SampleStore, tmp_path: Path) -> None:
    with serving_names(sample_store.root, tmp_path, history_days=0) as (url, _), CatalogClient(url, "anna") as client:
        client.query(CONE)
        assert client.queries() == ()
    assert not (tmp_path / "history").exists()
