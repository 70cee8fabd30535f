"""What one caller does costs the others little: scans, many queries, connections that nobody reads, crashes."""

import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.error import HTTPError

import pytest

from tests.harness import RunningServer, SampleStore, start_server, stop_server

PAIRS = "SELECT COUNT(*) AS n FROM tycho2.stars AS a, tycho2.stars AS b WHERE a.vt_mag + b.vt_mag > 100"
"""A scan that takes minutes."""
QUICK = "SELECT TOP 5 tyc_row FROM tycho2.stars WHERE DISTANCE(POINT(ra, dec), POINT(56.75, 24.12)) < 1"
METADATA = "SELECT table_name FROM TAP_SCHEMA.tables"
SETTINGS = """
workers = 2
scan_mb = 1
"""


@pytest.fixture(scope="module")
def server(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(sample_store.root, tmp_path_factory.mktemp("isolation"), extra_config=SETTINGS)
    yield running
    stop_server(running)


def ask(server: RunningServer, query: str, *, timeout_s: float = 20) -> tuple[int, str]:
    body = urllib.parse.urlencode({"LANG": "ADQL", "FORMAT": "csv", "QUERY": query}).encode()
    try:
        with urllib.request.urlopen(f"{server.url}/tap/sync", body, timeout=timeout_s) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


@contextmanager
def asking(
    server: RunningServer, query: str, *, source: str = "127.0.0.1", maxrec: int = 10
) -> Iterator[socket.socket]:
    """Ask from an address of one's own for an answer that nobody reads; go away at the end."""
    host, port = server.url.removeprefix("http://").split(":")
    words = urllib.parse.urlencode({"LANG": "ADQL", "MAXREC": maxrec, "QUERY": query})
    with socket.create_connection((host, int(port)), source_address=(source, 0)) as connection:
        connection.sendall(f"GET /tap/sync?{words} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        yield connection


def test_short_queries_pass_scans(server: RunningServer) -> None:
    with ExitStack() as clients:
        for _ in range(4):
            clients.enter_context(asking(server, PAIRS))
        time.sleep(0.5)
        started = time.monotonic()
        for query in (QUICK, METADATA, QUICK):
            assert ask(server, query)[0] == 200
        assert time.monotonic() - started < 10
