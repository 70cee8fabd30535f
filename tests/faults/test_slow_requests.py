"""Clients that do not go on sending a request hold no connection; slow ones that do are served."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.harness import RunningServer, SampleStore, start_server, stop_server

STALL_S = 1.0
BODY = b"LANG=ADQL&RESPONSEFORMAT=csv&QUERY=SELECT+1+AS+n"
HEAD = (
    b"POST /tap/sync HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
)


@pytest.fixture(scope="module")
def server(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(
        sample_store.root, tmp_path_factory.mktemp("slow"), extra_config=f"workers = 1\nrequest_stall_s = {STALL_S}\n"
    )
    yield running
    stop_server(running)


@pytest.fixture
def client(server: RunningServer) -> Iterator[socket.socket]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=15) as connection:
        yield connection


def cut_after(client: socket.socket) -> float:
    """Return the seconds until the server closes the connection."""
    began = time.monotonic()
    with suppress(ConnectionResetError):
        assert client.recv(1000) == b""
    return time.monotonic() - began


def send_slowly(client: socket.socket, content: bytes, pieces: int, pause_s: float) -> None:
    size = -(-len(content) // pieces)
    for start in range(0, len(content), size):
        client.sendall(content[start : start + size])
        time.sleep(pause_s)


@pytest.mark.parametrize("begun", [b"", HEAD[:20], HEAD[:-2], HEAD, HEAD + BODY[:-1]])
def test_a_request_that_does_not_go_on_is_cut(client: socket.socket, begun: bytes) -> None:
    client.sendall(begun)
    assert STALL_S / 2 < cut_after(client) < STALL_S + 5


def test_a_letter_now_and_then_does_not_help(client: socket.socket) -> None:
    began = time.monotonic()
    with suppress(OSError):
        for letter in HEAD * 3:
            client.sendall(bytes((letter,)))
            time.sleep(0.2)
    assert time.monotonic() - began < STALL_S + 5


def test_a_slow_body_is_taken_and_so_are_later_requests(client: socket.socket) -> None:
    client.sendall(HEAD)
    send_slowly(client, BODY, pieces=4, pause_s=0.6 * STALL_S)
    for _ in range(2):
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            answer += client.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        time.sleep(1.5 * STALL_S)  # between requests the server's own, longer limit counts
        client.sendall(HEAD + BODY)
    client.recv(1)


def test_a_query_may_take_longer_than_its_request(client: socket.socket) -> None:
    query = "SELECT+COUNT(*)+AS+n+FROM+tycho2.stars+AS+a,+tycho2.stars+AS+b+WHERE+a.vt_mag+>+b.vt_mag"
    client.sendall(f"GET /tap/sync?LANG=ADQL&QUERY={query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    client.settimeout(2.5 * STALL_S)
    with suppress(TimeoutError):
        assert client.recv(100).startswith(b"HTTP/1.1 200"), "it was not cut"
