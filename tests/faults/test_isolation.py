"""What one caller does costs the others little: scans, many queries, connections that nobody reads, crashes."""

import http.client
import json
import socket
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psutil
import pytest

from tests.faults.test_worker_kill import busy_worker, cpu_seconds, workers
from tests.harness import RunningServer, SampleStore, start_server, stop_server

PAIRS = "SELECT COUNT(*) AS n FROM tycho2.stars AS a, tycho2.stars AS b WHERE a.vt_mag + b.vt_mag > {}"
"""A scan that takes minutes."""
ALL = "SELECT * FROM tycho2.stars"
"""A result that fills all buffers on its way."""
QUICK = "SELECT TOP 5 tyc_row FROM tycho2.stars WHERE DISTANCE(POINT(ra, dec), POINT(56.75, 24.12)) < 1"
METADATA = "SELECT table_name FROM TAP_SCHEMA.tables"
STALL_S = 1.5
SETTINGS = f"""
workers = 2
scan_mb = 7
queries_per_address = 3
queued_per_user = 2
reader_stall_s = {STALL_S}
spool_mb = 0
quarantine_s = 300
"""


@pytest.fixture(scope="module")
def running(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(sample_store.root, tmp_path_factory.mktemp("isolation"), extra_config=SETTINGS)
    yield running
    stop_server(running)


@pytest.fixture
def server(running: RunningServer) -> RunningServer:
    """Return the server when the queries of the test before have ended."""
    wait_for_rest(running)
    return running


def wait_for_rest(server: RunningServer) -> None:
    """Wait until no worker computes or starts."""
    deadline = time.monotonic() + 60
    while any(computes(process) for process in workers(server)):
        assert time.monotonic() < deadline, "the workers do not come to rest"


def computes(process: psutil.Process) -> bool:
    try:
        return cpu_seconds(process) > 0.05
    except psutil.NoSuchProcess:
        return True  # another one takes its place now


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    retry_after: str | None


def ask(server: RunningServer, query: str, *, source: str = "127.0.0.1", timeout_s: float = 40) -> Answer:
    words = urllib.parse.urlencode({"LANG": "ADQL", "FORMAT": "csv", "QUERY": query})
    connection = http.client.HTTPConnection(
        server.url.removeprefix("http://"), timeout=timeout_s, source_address=(source, 0)
    )
    try:
        connection.request("GET", f"/tap/sync?{words}")
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode(), answer.getheader("Retry-After"))
    finally:
        connection.close()


@contextmanager
def asking(server: RunningServer, query: str, *, source: str) -> Iterator[socket.socket]:
    """Ask from an address of one's own for an answer that nobody reads; go away at the end."""
    host, port = server.url.removeprefix("http://").split(":")
    words = urllib.parse.urlencode({"LANG": "ADQL", "MAXREC": 10_000_000, "QUERY": query})
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.bind((source, 0))
        connection.connect((host, int(port)))
        connection.sendall(f"GET /tap/sync?{words} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        yield connection


def audited(server: RunningServer, status: str) -> int:
    """Return how many queries ended in this way."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return sum(line.get("event") == "query" and line["status"] == status for line in lines)


def test_short_queries_pass_scans(server: RunningServer) -> None:
    with ExitStack() as clients:
        for number in range(4):
            clients.enter_context(asking(server, PAIRS.format(100), source=f"127.0.0.{10 + number % 2}"))
        busy_worker(server)
        started = time.monotonic()
        for query in (QUICK, METADATA, QUICK):
            assert ask(server, query).status == 200
        assert time.monotonic() - started < 10


def test_too_many_queries_of_one_address_are_refused_and_those_of_others_are_not(server: RunningServer) -> None:
    with ExitStack() as clients:
        for _ in range(3):  # one of them runs: the other worker is kept for short queries
            clients.enter_context(asking(server, PAIRS.format(101), source="127.0.0.12"))
        busy_worker(server)
        refused = ask(server, PAIRS.format(102), source="127.0.0.12")
        assert refused.status == 503
        assert "2 of your queries are waiting already, the limit is 2 (queued_per_user)" in refused.text
        assert int(refused.retry_after or 0) >= 1
        assert ask(server, QUICK, source="127.0.0.13").status == 200
        assert ask(server, QUICK, source="127.0.0.12").status == 200, "a query that need not wait is not one too many"
    assert ask(server, QUICK, source="127.0.0.12").status == 200


def test_readers_that_stall_hold_no_worker_while_others_wait(server: RunningServer) -> None:
    process = psutil.Process(server.process.pid)
    before, stalled = process.memory_info().rss, audited(server, "stalled")
    with ExitStack() as clients:
        for _ in range(4):
            clients.enter_context(asking(server, ALL, source="127.0.0.14"))
        time.sleep(2 * STALL_S)  # those who wait are stalled readers, too
        started = time.monotonic()
        assert ask(server, QUICK).status == 200
        assert time.monotonic() - started < STALL_S + 8
        assert process.memory_info().rss - before < 64e6
    assert audited(server, "stalled") > stalled


def test_a_query_that_crashed_two_workers_is_not_given_a_third(server: RunningServer) -> None:
    query = PAIRS.format(103)
    with ThreadPoolExecutor() as threads:
        for _ in range(2):
            asked = threads.submit(ask, server, query)
            busy_worker(server).kill()
            assert asked.result().status == 500
            wait_for_rest(server)
    refused = ask(server, query.replace("SELECT", "select   "))
    assert refused.status == 503
    assert "ended the process that ran it 2 times" in refused.text
    assert 250 < int(refused.retry_after or 0) <= 300
    assert ask(server, QUICK).status == 200
