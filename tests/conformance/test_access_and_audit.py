"""A schema without a rule is closed, and every query leaves one audit line."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.harness import RunningServer, SampleStore, start_server, stop_server


@pytest.fixture(scope="module")
def half_open(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve the samples with one schema public and the other without a rule."""
    directory = tmp_path_factory.mktemp("half_open")
    config = 'workers = 1\n[schemas.tycho2]\naccess = "public"\naliases = ["stars_of_old"]\n'
    server = start_server(sample_store.root, directory, access=None, extra_config=config)
    yield server
    stop_server(server)


def lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def get(url: str, **parameters: str) -> tuple[int, dict[str, str], str]:
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{url}?{query}" if query else url, timeout=20) as response:
            return response.status, lower(response.headers), response.read().decode()
    except HTTPError as error:
        return error.code, lower(error.headers), error.read().decode()


def adql(server: RunningServer, query: str, **parameters: str) -> tuple[int, dict[str, str], str]:
    return get(f"{server.url}/tap/sync", LANG="ADQL", QUERY=query, RESPONSEFORMAT="csv", **parameters)


def test_examples_name_no_closed_schema(half_open: RunningServer) -> None:
    status, _, text = get(f"{half_open.url}/tap/examples")
    assert (status, "tycho2.stars" in text, "survey" in text) == (200, True, False)


def test_a_schema_without_a_rule_does_not_exist(half_open: RunningServer) -> None:
    assert adql(half_open, "SELECT TOP 1 ra FROM tycho2.stars")[0] == 200
    for answer in (
        adql(half_open, "SELECT TOP 1 objectId FROM survey.Object"),
        adql(half_open, "SELECT TOP 1 objectId FROM survey.Objekt"),
        get(f"{half_open.url}/cone/survey.Object", RA="62", DEC="-37", SR="0.1"),
        get(f"{half_open.url}/api/v1/cone", table="survey.Object", ra="62", dec="-37", radius_deg="0.1"),
        get(f"{half_open.url}/api/v1/catalogs/survey.Object"),
        get(f"{half_open.url}/tap/tables/survey.Object"),
    ):
        assert answer[0] in {200, 400, 404}
        assert "did you mean" not in answer[2].lower()
        assert "OK" not in answer[2]
        assert "objectId" not in answer[2].replace("SELECT TOP 1 objectId", "")


def test_metadata_show_open_schemas_only(half_open: RunningServer) -> None:
    for path in ("/tap/tables", "/api/v1/catalogs", "/"):
        status, _, body = get(half_open.url + path)
        assert status == 200
        assert "tycho2.stars" in body
        assert "survey" not in body
    for table in ("schemas", "tables", "columns", "keys", "key_columns"):
        status, _, body = adql(half_open, f"SELECT * FROM tap_schema.{table}")
        assert status == 200
        assert "survey" not in body


def test_an_alias_is_another_name_of_a_schema(half_open: RunningServer) -> None:
    assert adql(half_open, "SELECT COUNT(*) AS n FROM stars_of_old.stars")[2].split() == ['"n"', "199217"]


def audit_lines(server: RunningServer) -> list[dict[str, Any]]:
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [entry for entry in map(json.loads, lines) if entry.get("event") == "query"]


def audit_line(server: RunningServer, query_id: str) -> dict[str, Any]:
    for _ in range(50):
        found = [entry for entry in audit_lines(server) if entry["query_id"] == query_id]
        if found:
            assert len(found) == 1
            return found[0]
        time.sleep(0.05)
    pytest.fail(f"no audit line for {query_id}")


def test_audit_line_of_a_query(server: RunningServer) -> None:
    query = "SELECT tyc_row FROM tycho2.stars WHERE DISTANCE(POINT(ra, dec), POINT(56.75, 24.12)) < 1"
    _, headers, body = adql(server, query, RUNID="night-7")
    entry = audit_line(server, headers["x-query-id"])
    assert entry["who"] == "anonymous"
    assert entry["what"] == query
    assert entry["runid"] == "night-7"
    assert entry["status"] == "ok"
    assert entry["rows"] == len(body.split()) - 1 == 65
    assert 0 < entry["files"] < entry["files_total"]
    assert entry["bytes"] > 0
    assert entry["bytes_out"] == len(body)
    assert 0 < entry["seconds"] < 20


def test_audit_line_of_a_refused_query(server: RunningServer) -> None:
    _, headers, _ = adql(server, "SELECT nothing FROM tycho2.stars")
    entry = audit_line(server, headers["x-query-id"])
    assert entry["status"] == "unknown_name"
    assert "nothing" in entry["message"]


def test_audit_line_of_a_cone(server: RunningServer) -> None:
    _, headers, _ = get(f"{server.url}/cone/tycho2.stars", RA="56.75", DEC="24.12", SR="1")
    entry = audit_line(server, headers["x-query-id"])
    assert entry["what"] == "cone tycho2.stars 56.75 24.12 1.0"
    assert entry["rows"] == 65


def test_no_answer_names_a_path(server: RunningServer, sample_store: SampleStore) -> None:
    where = str(sample_store.root)
    bodies = [get(server.url + path)[2] for path in ("/", "/tap/tables", "/tap/capabilities", "/api/v1/catalogs")]
    bodies.append(adql(server, "SELECT TOP 1 * FROM survey.Object")[2])
    bodies.append(adql(server, "SELECT CAST(refBand AS INTEGER) AS x FROM survey.Object")[2])
    assert all(where not in body and "/Norder=" not in body for body in bodies)


def test_published_files_are_not_touched_by_queries(server: RunningServer, sample_store: SampleStore) -> None:
    def state() -> set[tuple[Path, int, int]]:
        return {(p, p.stat().st_size, p.stat().st_mtime_ns) for p in sample_store.root.rglob("*")}

    before = state()
    assert adql(server, "SELECT COUNT(*) AS n FROM survey.ForcedSource AS a, survey.Visit AS b")[0] == 200
    assert state() == before
