"""One id for all that is said of a query: in the answer of every door, the audit line and the log of its worker."""

import json
import os
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from xml.etree import ElementTree as ET

import psutil
import pyarrow as pa
import pytest

from catalog_service.client import CatalogClient, CatalogServiceError, QueryNameError
from catalog_service.engines.result import QueryResult
from catalog_service.services import query as query_service
from tests.harness import RunningServer, build_table, start_server, stop_server
from tests.identified import serving_names

WRONG = "SELECT nothing FROM test.stars"
SLOW = " CROSS JOIN ".join(["SELECT COUNT(*) AS n FROM test.stars AS a", *(f"test.stars AS {k}" for k in "bcdef")])


@dataclass(frozen=True)
class Answer:
    status: int
    query_id: str | None
    body: bytes

    @property
    def infos(self) -> dict[str | None, str | None]:
        """INFO elements of a VOTable."""
        found = ET.fromstring(self.body).iter("{http://www.ivoa.net/xml/VOTable/v1.3}INFO")
        return {one.get("name"): one.get("value") for one in found}


def ask(url: str, sent: tuple[bytes, str] | None = None, /, **parameters: str) -> Answer:
    """GET an address, or POST (body, media type)."""
    body, kind = sent or (None, "")
    address = f"{url}?{urllib.parse.urlencode(parameters)}" if parameters else url
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, body, {"Content-Type": kind} if kind else {}), timeout=30
        ) as answer:
            return Answer(answer.status, answer.headers["X-Query-Id"], answer.read())
    except HTTPError as error:
        return Answer(error.code, error.headers["X-Query-Id"], error.read())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ids") / "catalogs"
    stars = {"id": range(200), "ra": [k * 1.5 for k in range(200)], "dec": [0.0] * 200}
    build_table(root, "stars", [pa.table({name: list(values) for name, values in stars.items()})], options=OPTIONS)
    return root


OPTIONS = 'ra = "ra"\ndec = "dec"\nid = ["id"]'


@pytest.fixture(scope="module")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(root, tmp_path_factory.mktemp("ids_server"), extra_config="workers = 1\n")
    yield running
    stop_server(running)


def log_lines(server: RunningServer, query_id: str, event: str) -> list[dict[str, Any]]:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
        found = [line for line in lines if line.get("query_id") == query_id and line.get("event") == event]
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"no {event} line of {query_id}")


def test_tap_sync(server: RunningServer) -> None:
    answer = ask(f"{server.url}/tap/sync", LANG="ADQL", QUERY=WRONG)
    assert answer.status == 400
    assert answer.query_id
    assert answer.infos["QUERY_ID"] == answer.query_id
    (line,) = log_lines(server, answer.query_id, "query")
    assert line["status"] == "unknown_name"


@pytest.mark.parametrize(
    "parameters",
    [{}, {"SR": "x"}, {"table": "nothing"}, {"COLUMNS": "nothing"}],
    ids=["good", "no_query", "table", "column"],
)
def test_cone(server: RunningServer, parameters: dict[str, str]) -> None:
    """What is refused before it is a query has no id."""
    table, asked = parameters.get("table", "stars"), {"RA": "1", "DEC": "0", "SR": "1", **parameters}
    answer = ask(f"{server.url}/cone/test.{table}", **asked)
    if parameters.get("SR") == "x":
        assert answer.query_id is None
        return
    assert answer.query_id
    assert answer.infos["QUERY_ID"] == answer.query_id
    assert len(log_lines(server, answer.query_id, "query")) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("query", json.dumps({"query": WRONG}).encode()),
        ("cone?table=test.nothing&ra=1&dec=0&radius_deg=1", None),
        ("cones?table=test.nothing&radius_deg=1", b"ra,dec\n1,0\n"),
        ("cones?table=test.stars&radius_deg=1", b"no table"),
    ],
)
def test_api(server: RunningServer, path: str, body: bytes | None) -> None:
    sent = None if body is None else (body, "application/json" if path == "query" else "text/csv")
    answer = ask(f"{server.url}/api/v1/{path}", sent)
    assert answer.status in {400, 404}
    assert answer.query_id
    assert json.loads(answer.body)["error"]["query_id"] == answer.query_id
    assert len(log_lines(server, answer.query_id, "query")) == 1


def test_tap_async(server: RunningServer) -> None:
    with CatalogClient(server.url) as client:
        job = client.submit(WRONG)
        with pytest.raises(QueryNameError) as failure:
            job.wait(30)
    answer = ask(f"{server.url}/tap/async/{job.job_id}/error")
    assert answer.query_id == failure.value.query_id
    assert answer.query_id
    assert answer.infos["QUERY_ID"] == answer.query_id
    (line,) = log_lines(server, answer.query_id, "query")
    assert line["job"] == job.job_id


def test_the_worker_s_log(server: RunningServer, root: Path) -> None:
    """A damaged file: the user gets the id, and the worker's line of that id tells what was wrong."""
    shards = {path: path.read_bytes() for path in root.rglob("Npix=*.parquet")}
    for shard, content in shards.items():
        shard.write_bytes(content[:100] + b"\0" * (len(content) - 200) + content[-100:])
    try:
        answer = ask(f"{server.url}/tap/sync", LANG="ADQL", QUERY="SELECT * FROM test.stars")
    finally:
        for shard, content in shards.items():
            shard.write_bytes(content)
    assert answer.status == 500
    assert answer.query_id
    assert answer.query_id in answer.body.decode()
    (of_worker,) = log_lines(server, answer.query_id, "query_failed")
    assert of_worker["pid"] != server.process.pid
    assert len(log_lines(server, answer.query_id, "query")) == 1


def test_a_crash(server: RunningServer) -> None:
    with CatalogClient(server.url) as client:
        job = client.submit(SLOW)
        while job.refresh().phase != "EXECUTING":
            time.sleep(0.05)
        time.sleep(0.3)
        for worker in psutil.Process(server.process.pid).children():
            os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(CatalogServiceError, match="ended unexpectedly") as failure:
            job.wait(30)
    assert failure.value.query_id
    (line,) = log_lines(server, failure.value.query_id, "query")
    assert line["status"] == "worker_crashed"


@pytest.mark.parametrize("place", ["planned", "chunks"])
def test_a_fault_that_nobody_foresaw(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    if place == "planned":
        monkeypatch.setattr(query_service, "planned", fail)
    else:
        monkeypatch.setattr(QueryResult, "__anext__", fail)
    with serving_names(root, tmp_path, workers=1) as (url, _), CatalogClient(url, "anna") as client:
        with pytest.raises(CatalogServiceError) as failure:
            client.query("SELECT id FROM test.stars")
        if place == "planned":
            assert "secret" not in str(failure.value)
            assert failure.value.query_id
            assert failure.value.query_id in str(failure.value)
        (kept,) = client.queries()
    assert kept.status == "failed"
    printed = capsys.readouterr().out
    assert "ZeroDivisionError" in printed
    assert printed.count(kept.query_id) >= 2
