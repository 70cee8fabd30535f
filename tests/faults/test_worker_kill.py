"""A killed worker costs exactly its query; a client that goes away frees its worker."""

import io
import signal
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError

import astropy.io.votable
import psutil
import pytest

from tests.harness import RunningServer, SampleStore, start_server, stop_server

SLOW = "SELECT COUNT(*) AS n FROM tycho2.stars AS a, tycho2.stars AS b WHERE a.vt_mag + b.vt_mag > 100"
"""Forty billion pairs: minutes of work."""
QUICK = "SELECT TOP 5 tyc_row FROM tycho2.stars WHERE DISTANCE(POINT(ra, dec), POINT(56.75, 24.12)) < 1"


@pytest.fixture(scope="module")
def running(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(sample_store.root, tmp_path_factory.mktemp("server"), extra_config="workers = 2\n")
    yield running
    stop_server(running)


@pytest.fixture
def server(running: RunningServer) -> RunningServer:
    """Return the server when what replaces the workers of the test before has started: they would seem to compute."""
    deadline = time.monotonic() + 60
    while any(cpu_seconds(process) > 0.05 for process in workers(running)):
        assert time.monotonic() < deadline, "the workers do not come to rest"
    return running


def ask(url: str, query: str) -> tuple[int, bytes]:
    body = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": query}).encode()
    try:
        with urllib.request.urlopen(f"{url}/tap/sync", body, timeout=60) as response:
            return response.status, response.read()
    except HTTPError as error:
        return error.code, error.read()


def workers(server: RunningServer) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


def cpu_seconds(process: psutil.Process, during_s: float = 0.25) -> float:
    """Return the processor time that a process uses from now on."""
    before = sum(process.cpu_times()[:2])
    time.sleep(during_s)
    return sum(process.cpu_times()[:2]) - before


def busy_worker(server: RunningServer) -> psutil.Process:
    """Return the worker that computes, however slow the machine."""
    for _ in range(60):
        for process in workers(server):
            if cpu_seconds(process) > 0.05:
                return process
    pytest.fail("no worker became busy")


def status_of(body: bytes) -> str:
    document = astropy.io.votable.parse(io.BytesIO(body))
    return next(i.value for resource in document.resources for i in resource.infos if i.name == "QUERY_STATUS")


def test_a_killed_worker_costs_its_query_only(server: RunningServer) -> None:
    before = {process.pid for process in workers(server)}
    with ThreadPoolExecutor() as threads:
        slow = threads.submit(ask, server.url, SLOW)
        victim = busy_worker(server)
        others = [threads.submit(ask, server.url, QUICK) for _ in range(10)]
        victim.send_signal(signal.SIGKILL)
        status, body = slow.result()
        assert status == 500
        assert status_of(body) == "ERROR"
        assert b"Traceback" not in body
        assert all(other.result()[0] == 200 for other in others)
    assert ask(server.url, QUICK)[0] == 200
    assert ask(server.url, QUICK)[0] == 200
    time.sleep(1)
    after = {process.pid for process in workers(server)}
    assert victim.pid not in after
    assert len(after) == len(before)


@contextmanager
def asking(server: RunningServer, query: str) -> Iterator[None]:
    """Ask for an answer that nobody reads; go away at the end."""
    host, port = server.url.removeprefix("http://").split(":")
    words = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": query})
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"GET /tap/sync?{words} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        yield


def test_a_client_that_goes_away_frees_its_worker(server: RunningServer) -> None:
    with asking(server, SLOW):
        busy = busy_worker(server)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and busy.is_running() and cpu_seconds(busy) > 0.02:
        pass
    assert not busy.is_running() or cpu_seconds(busy) <= 0.02
    assert ask(server.url, QUICK)[0] == 200


def test_a_time_limit_ends_the_query_with_408(sample_store: SampleStore, tmp_path: Path) -> None:
    running = start_server(sample_store.root, tmp_path, extra_config="workers = 1\nsync_timeout_s = 1.5\n")
    try:
        started = time.monotonic()
        status, body = ask(running.url, SLOW)
        assert status == 408
        assert time.monotonic() - started < 6
        assert status_of(body) == "ERROR"
        assert b"1.5" in body
        assert ask(running.url, QUICK)[0] == 200
    finally:
        stop_server(running)


def test_metadata_answer_while_every_worker_is_busy(server: RunningServer) -> None:
    with ExitStack() as clients:  # a server that ends while queries run would wait for them
        for _ in range(3):
            clients.enter_context(asking(server, SLOW))
        busy_worker(server)
        for path in ("/livez", "/tap/capabilities", "/tap/tables?detail=min", "/api/v1/catalogs"):
            started = time.monotonic()
            with urllib.request.urlopen(server.url + path, timeout=10) as response:
                assert response.status == 200
            assert time.monotonic() - started < 1
