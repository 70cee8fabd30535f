"""Short queries never wait behind scans, nor one caller's queries behind another's, nor anybody behind slow readers."""

import asyncio
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse, IncompleteRead

import psutil
import pytest

from tests.harness import RunningServer, SampleStore, start_server, stop_server

MEDIUM = (
    "SELECT COUNT(*) AS n FROM survey.Visit AS a, survey.Visit AS b, survey.Visit AS c, survey.Visit AS d, "
    "survey.Visit AS e WHERE a.ra * 0 = b.ra * 0 AND b.ra * 0 = c.ra * 0 AND c.ra * 0 = d.ra * 0 "
    "AND d.ra * 0 = e.ra * 0 AND a.ra + b.ra + c.ra + d.ra + e.ra > 1e9"
)
"""A table of 48 rows, hundreds of millions of combinations that are linked for show: nothing tells beforehand."""
PRODUCT = MEDIUM.replace("survey.Visit AS e", "survey.Visit AS e, survey.Object AS o").replace(
    "AND a.ra +", "AND e.ra * 0 = o.coord_ra * 0 AND o.coord_ra + a.ra +"
)
"""The same, thousands of times as many."""
UNLINKED = f"SELECT COUNT(*) AS n FROM {', '.join(f'survey.Visit AS v{n}' for n in range(6))} WHERE v0.ra + v5.ra > 1e9"
"""Billions of combinations, of a small table."""
SCAN = "SELECT COUNT(*) AS n FROM tycho2.stars AS a, tycho2.stars AS b WHERE a.vt_mag + b.vt_mag > 100"
"""Minutes of work on tables that together are larger than `short_mb` below."""
QUICK = "SELECT TOP 5 tyc_row FROM tycho2.stars WHERE DISTANCE(POINT(ra, dec), POINT(56.75, 24.12)) < 1"
COLUMNS = "SELECT column_name FROM TAP_SCHEMA.columns WHERE table_name = 'tycho2.stars'"
HEAD = "SELECT TOP 10 * FROM survey.ForcedSource"
LARGE = "SELECT TOP 1000000 a.* FROM tycho2.stars AS a, survey.Visit AS b"
"""40 MB, made at once."""

CONFIG = """
workers = 2
scan_mb = 7
scan_files = 1000
short_s = 0.5
sync_timeout_s = 20
queries_per_address = 3
queued_per_user = 10
trusted_proxies = ["127.0.0.1"]
connection_stall_s = 4
"""
SOON_S = 5.0
"""On a machine that does other things, too."""


@pytest.fixture(scope="module")
def server(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(sample_store.root, tmp_path_factory.mktemp("lanes"), extra_config=CONFIG)
    yield running
    stop_server(running)


class Asked:
    """A request under way; closing it lets the query go."""

    def __init__(self, server: RunningServer, query: str, address: str) -> None:
        self.began = time.monotonic()
        self._connection = HTTPConnection(server.url.removeprefix("http://"), timeout=60)
        parameters = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv"})
        self._connection.request("GET", f"/tap/sync?{parameters}", headers={"X-Forwarded-For": address})

    def answer(self) -> tuple[int, float, str]:
        """Return (status, seconds since it was asked, text)."""
        response = self._connection.getresponse()
        text = response.read().decode()
        self.retry_after = response.headers["Retry-After"]
        return response.status, time.monotonic() - self.began, text

    def close(self) -> None:
        self._connection.close()


Ask = Callable[..., Asked]


@pytest.fixture
def ask(server: RunningServer) -> Iterator[Ask]:
    with ExitStack() as stack:
        yield lambda query, address="192.0.2.1": stack.enter_context(closing(Asked(server, query, address)))
    assert_idle(server)


def processor_time(server: RunningServer) -> float:
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process(server.process.pid).children())


def assert_idle(server: RunningServer, within_s: float = 6) -> None:
    """Clients that went away leave no query behind."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        before = processor_time(server)
        time.sleep(0.3)
        if processor_time(server) - before < 0.05:
            return
    pytest.fail("a worker still computes though nobody waits")


def begin(ask: Ask, query: str, count: int, first: int) -> list[Asked]:
    """Have callers at as many addresses ask as many different queries."""
    asked = [ask(f"{query} + {number}", address=f"192.0.2.{first + number}") for number in range(count)]
    time.sleep(0.8)
    return asked


def test_short_queries_and_metadata_do_not_wait_behind_scans(ask: Ask, server: RunningServer) -> None:
    begin(ask, SCAN, 8, first=10)
    for query in (QUICK, COLUMNS, HEAD):
        status, seconds, _ = ask(query).answer()
        assert status == 200
        assert seconds < SOON_S, query
    for path in ("/livez", "/tap/capabilities"):
        began = time.monotonic()
        with urllib.request.urlopen(server.url + path, timeout=10) as response:
            assert response.status == 200
        assert time.monotonic() - began < 1


def test_products_of_small_tables_are_scans(ask: Ask, server: RunningServer) -> None:
    begin(ask, UNLINKED, 6, first=60)
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as response:
        assert b'catalog_service_workers{lane="interactive",state="busy"} 0.0' in response.read()
    status, seconds, _ = ask(QUICK).answer()
    assert status == 200
    assert seconds < SOON_S


def test_a_burst_waits_and_is_not_refused(server: RunningServer) -> None:
    """More connections at once than the queue had places for once, each with a query of its own."""

    async def one(number: int) -> bytes:
        reader, writer = await asyncio.open_connection(*server.url.removeprefix("http://").split(":"))
        head = f"GET /cone/tycho2.stars?RA={number}&DEC=20&SR=0.01 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        writer.write(f"{head}X-Forwarded-For: 192.0.2.{number}\r\n\r\n".encode())
        status = await reader.readline()
        await reader.read()
        writer.close()
        return status.strip()

    async def all_at_once() -> list[bytes]:
        return await asyncio.gather(*map(one, range(250)))

    assert set(asyncio.run(all_at_once())) == {b"HTTP/1.1 200 OK"}


def test_short_queries_that_turn_out_long_make_room(ask: Ask) -> None:
    begin(ask, PRODUCT, 4, first=20)
    for _ in range(3):
        status, seconds, _ = ask(QUICK).answer()
        assert status == 200
        assert seconds < SOON_S


def test_they_are_begun_again_and_answered(ask: Ask) -> None:
    asked = begin(ask, MEDIUM, 3, first=30)
    assert ask(QUICK).answer()[0] == 200
    assert [one.answer()[::2] for one in asked] == [(200, '"n"\r\n0\r\n')] * 3


class Stalled:
    """A client that asks and does not read."""

    def __init__(self, server: RunningServer, address: str) -> None:
        host, _, port = server.url.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        query = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": LARGE, "MAXREC": 1_000_000})
        head = f"GET /tap/sync?{query} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\n\r\n"
        self.socket.sendall(head.encode())

    def read(self) -> bytes:
        """Return the whole body."""
        response = HTTPResponse(self.socket)
        response.begin()
        return response.read()


@pytest.fixture
def stalled(server: RunningServer) -> Iterator[Callable[[int], list[Stalled]]]:
    with ExitStack() as stack:

        def make(count: int) -> list[Stalled]:
            made = [Stalled(server, f"192.0.2.{50 + number}") for number in range(count)]
            for one in made:
                stack.enter_context(one.socket)
            return made

        yield make
    assert_idle(server)


def test_clients_that_do_not_read_cost_neither_workers_nor_memory(
    server: RunningServer, ask: Ask, stalled: Callable[[int], list[Stalled]]
) -> None:
    process = psutil.Process(server.process.pid)
    stalled(1)[0].read()  # whatever is loaded once
    before, files = process.memory_info().rss, process.num_fds()
    clients = stalled(6)
    time.sleep(2.5)
    status, seconds, _ = ask(QUICK).answer()
    assert status == 200
    assert seconds < 2
    assert process.memory_info().rss - before < 20_000_000
    deadline = time.monotonic() + 15
    while process.num_fds() > files + 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert process.num_fds() <= files + 1, "their connections are cut, their files gone"
    with pytest.raises((ConnectionResetError, IncompleteRead)):
        clients[0].read()


def test_a_client_that_reads_late_gets_everything(
    server: RunningServer, stalled: Callable[[int], list[Stalled]]
) -> None:
    quick, late = stalled(2)
    whole = quick.read()
    time.sleep(2)
    assert len(late.read()) == len(whole) > 38_000_000


def test_a_client_that_leaves_while_its_result_streams(
    server: RunningServer, stalled: Callable[[int], list[Stalled]]
) -> None:
    for client in stalled(2):
        client.socket.recv(1000)
        client.socket.close()
    assert_idle(server, within_s=2.5)
