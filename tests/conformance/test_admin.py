"""Operators see what runs and stop it; its user learns why; nothing of it is left behind."""

import json
import os
import signal
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import IncompleteRead
from typing import Any
from urllib.error import HTTPError

import pytest
from fastapi import FastAPI

from catalog_service.client import CatalogClient, QueryStoppedError
from tests.harness import SampleStore
from tests.identified import OPERATOR, serving_names

SLOW = "SELECT COUNT(*) AS n FROM tycho2.stars AS a, tycho2.stars AS b WHERE a.vt_mag * b.vt_mag < a.ra - b.dec"
"""Takes minutes, and gives no row before."""
LONG = "SELECT a.*, b.* FROM tycho2.stars AS a, tycho2.stars AS b WHERE a.vt_mag <> b.vt_mag"
"""Gives rows for minutes."""
REASON = "operator cancelled"


@dataclass(frozen=True)
class Served:
    url: str
    app: FastAPI

    def ask(self, path: str, name: str | None = OPERATOR, method: str = "GET") -> tuple[int, bytes]:
        headers = {} if name is None else {"Authorization": f"Bearer {name}"}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.url + path, headers=headers, method=method), timeout=20
            ) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()

    def running(self) -> list[dict[str, Any]]:
        status, body = self.ask("/api/v1/admin/queries")
        assert status == 200
        found: list[dict[str, Any]] = json.loads(body)
        return found

    def stop(self, query_id: str) -> int:
        return self.ask(f"/api/v1/admin/queries/{query_id}", method="DELETE")[0]

    def wait_for(self, number: int) -> list[dict[str, Any]]:
        end = time.monotonic() + 20
        while len(found := self.running()) != number:
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return found

    def sync_url(self, query: str, response_format: str) -> str:
        parameters = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": response_format, "MAXREC": "10000000"}
        return f"{self.url}/tap/sync?{urllib.parse.urlencode(parameters)}"


@pytest.fixture(scope="module")
def served(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving_names(sample_store.root, tmp_path_factory.mktemp("admin"), workers=1) as (url, app):
        yield Served(url, app)


@pytest.fixture
def beside() -> Iterator[Callable[..., "Future[Any]"]]:
    with ThreadPoolExecutor(4) as threads:
        yield threads.submit


def error_of(url: str) -> tuple[int, str, str]:
    with pytest.raises(HTTPError) as caught:
        urllib.request.urlopen(url, timeout=60)
    with caught.value as error:
        return error.code, error.headers["X-Query-Id"], error.read().decode()


def test_a_query_before_its_first_row(served: Served, beside: Callable[..., "Future[Any]"]) -> None:
    answer = beside(error_of, served.sync_url(SLOW, "csv"))
    (query,) = served.wait_for(1)
    assert (query["owner"], query["lane"], query["query"], query["job_id"]) == ("anonymous", "interactive", SLOW, None)
    assert 0 <= query["seconds"] < 30
    began = time.monotonic()
    assert served.stop(query["query_id"]) == 202
    status, query_id, text = answer.result(20)
    assert time.monotonic() - began < 5
    assert (status, query_id) == (403, query["query_id"])
    assert REASON in text
    assert served.running() == []
    assert served.stop(query["query_id"]) == 404


def test_a_query_that_waits_for_a_worker(served: Served, beside: Callable[..., "Future[Any]"]) -> None:
    first = beside(error_of, served.sync_url(SLOW, "csv"))
    served.wait_for(1)
    second = beside(error_of, served.sync_url(f"{SLOW} AND 1 = 1", "csv"))
    running, waiting = served.wait_for(2)
    assert waiting["query"].endswith("1 = 1")
    assert served.stop(waiting["query_id"]) == 202
    assert second.result(20)[:2] == (403, waiting["query_id"])
    assert served.wait_for(1) == [{**running, "seconds": pytest.approx(running["seconds"], abs=20)}]
    assert served.stop(running["query_id"]) == 202
    assert REASON in first.result(20)[2]


def read_rest(answer: Any, into: list[bytes]) -> None:
    try:
        while piece := answer.read(1 << 16):
            into.append(piece)
    except (IncompleteRead, ConnectionError):
        into.append(b"BROKEN")


@pytest.mark.parametrize("response_format", ["votable", "arrow"])
def test_a_result_on_its_way(served: Served, response_format: str) -> None:
    """A VOTable ends with the reason; what has no place for one ends with a broken connection."""
    pieces: list[bytes] = []
    with urllib.request.urlopen(served.sync_url(LONG, response_format), timeout=60) as answer:
        reading = threading.Thread(target=read_rest, args=(answer, pieces))
        reading.start()
        (query,) = served.wait_for(1)
        assert served.stop(query["query_id"]) == 202
        reading.join(20)
        assert not reading.is_alive()
    end = b"".join(pieces[-3:])
    if response_format == "votable":
        assert b'value="ERROR"' in end
        assert REASON.encode() in end
        assert end.rstrip().endswith(b"</VOTABLE>")
    else:
        assert end.endswith(b"BROKEN")
    served.wait_for(0)


def test_a_result_that_nobody_reads(served: Served) -> None:
    """Its worker does not wait for the reader, who finds the reason at the end of what was made until then."""
    with urllib.request.urlopen(served.sync_url(LONG, "votable"), timeout=60) as answer:
        (query,) = served.wait_for(1)
        time.sleep(0.5)  # until all buffers are full
        assert served.stop(query["query_id"]) == 202
        with CatalogClient(served.url) as client:
            assert len(client.query("SELECT TOP 1 ra FROM tycho2.stars").to_arrow()) == 1
        pieces: list[bytes] = []
        read_rest(answer, pieces)
    end = b"".join(pieces[-3:])
    assert REASON.encode() in end
    assert end.rstrip().endswith(b"</VOTABLE>")
    served.wait_for(0)


def test_a_job(served: Served) -> None:
    with CatalogClient(served.url, "anna") as client:
        job = client.submit(SLOW)
        (query,) = served.wait_for(1)
        assert (query["owner"], query["lane"], query["job_id"]) == ("anna", "batch", job.job_id)
        assert served.stop(query["query_id"]) == 202
        with pytest.raises(QueryStoppedError) as stopped:
            job.wait(20)
        assert stopped.value.query_id == query["query_id"]
        assert job.info.phase == "ABORTED"
        (kept,) = client.queries()
        assert (kept.status, kept.query_id) == ("stopped", query["query_id"])
    assert REASON in served.ask(f"/tap/async/{job.job_id}/error", "anna")[1].decode()


def test_a_job_that_writes(served: Served) -> None:
    with CatalogClient(served.url, "anna") as client:
        job = client.submit(LONG, format="csv", maxrec=10_000_000)
        (query,) = served.wait_for(1)
        time.sleep(0.5)
        assert served.stop(query["query_id"]) == 202
        with pytest.raises(QueryStoppedError, match=REASON):
            job.wait(20)
        assert job.info.phase == "ABORTED"
        assert job.info.results == ()


@pytest.mark.parametrize("name", ["anna", None])
def test_it_does_not_exist_for_others(served: Served, name: str | None) -> None:
    unknown = served.ask("/api/v1/nothing", name)
    assert unknown[0] == 404
    assert served.ask("/api/v1/admin/queries", name) == unknown
    assert served.ask("/api/v1/admin/queries/0123456789abcdef", name, "DELETE") == unknown
    assert b"admin" not in served.ask("/openapi.json", name)[1]


def test_long_texts_are_cut(served: Served, beside: Callable[..., "Future[Any]"]) -> None:
    answer = beside(error_of, served.sync_url(SLOW + " AND a.ra <> 1.5" * 20, "csv"))
    (query,) = served.wait_for(1)
    served.stop(query["query_id"])
    answer.result(20)
    assert len(query["query"]) == 200


def test_nothing_is_left_of_queries_that_end_otherwise(served: Served, beside: Callable[..., "Future[Any]"]) -> None:
    # the client goes away before the first row
    address = urllib.parse.urlsplit(served.sync_url(SLOW, "csv"))
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as client:
        client.sendall(f"GET {address.path}?{address.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        served.wait_for(1)
    served.wait_for(0)
    # and while it reads
    with urllib.request.urlopen(served.sync_url(LONG, "votable"), timeout=60):
        served.wait_for(1)
    served.wait_for(0)
    # its worker crashes
    answer = beside(error_of, served.sync_url(SLOW, "csv"))
    served.wait_for(1)
    (worker,) = served.app.state.services.lanes.scan._busy
    os.kill(worker.pid, signal.SIGKILL)
    assert answer.result(20)[0] == 500
    # it fails
    assert error_of(served.sync_url("SELECT nothing FROM tycho2.stars", "csv"))[0] == 400
    served.wait_for(0)
