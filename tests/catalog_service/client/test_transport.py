"""Requests, errors and retries, against servers that misbehave."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from catalog_service.client import (
    CatalogClient,
    CatalogServiceError,
    ConnectionFailedError,
    NotFoundError,
    ParameterError,
    ServerError,
    UnavailableError,
    UnexpectedAnswerError,
)
from catalog_service.exceptions import ERRORS_BY_CODE

Serve = Callable[..., Any]

ARROW = {"Content-Type": "application/vnd.apache.arrow.stream"}


def error_body(error: CatalogServiceError) -> bytes:
    return json.dumps({"error": error.to_json()}).encode()


@pytest.mark.parametrize("kind", sorted(ERRORS_BY_CODE.values(), key=str))
def test_every_error_of_the_service_comes_back_as_it_was(serve: Serve, kind: type[CatalogServiceError]) -> None:
    sent = kind("what", line=2, column=3, remedy="do this")
    sent.query_id = "q-9"
    server = serve(lambda request: request.reply(kind.status, error_body(sent)))
    with pytest.raises(CatalogServiceError) as caught:
        CatalogClient(server.url).query("SELECT\n\tab FROM t")
    assert type(caught.value) is kind
    assert caught.value.to_json() == sent.to_json()
    assert str(caught.value) == "what do this"


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFoundError), (502, ServerError), (503, UnavailableError), (500, ServerError)]
)
def test_errors_of_a_proxy_are_typed_by_status(serve: Serve, status: int, kind: type[CatalogServiceError]) -> None:
    server = serve(lambda request: request.reply(status, b"<html>oops</html>"))
    with pytest.raises(kind, match=f"HTTP {status}.*proxy"):
        CatalogClient(server.url).tables()


def test_the_query_id_is_taken_from_the_header(serve: Serve) -> None:
    server = serve(lambda request: request.reply(500, b"", {"X-Query-Id": "q-3"}))
    with pytest.raises(ServerError) as caught:
        CatalogClient(server.url).query("SELECT 1")
    assert caught.value.query_id == "q-3"


def test_an_unreachable_service_is_named(free_port: int) -> None:
    with pytest.raises(ConnectionFailedError, match=rf"127\.0\.0\.1:{free_port}.*refused.*catalog-service serve"):
        CatalogClient(f"http://127.0.0.1:{free_port}").tables()


@pytest.fixture
def free_port() -> int:
    """A port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "http://host?x=1", "http://[::1"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ParameterError, match="http"):
        CatalogClient(url)


def test_a_silent_service_is_given_up(serve: Serve) -> None:
    server = serve(lambda request: request.rfile.read(1))
    with pytest.raises(ConnectionFailedError, match=r"0\.2 s.*timeout_s"):
        CatalogClient(server.url, timeout_s=0.2).query("SELECT 1")
    assert len(server.requests) == 1


def test_a_request_that_was_received_is_not_repeated(serve: Serve) -> None:
    server = serve(lambda request: request.connection.shutdown(socket.SHUT_RDWR))
    with pytest.raises(ConnectionFailedError):
        CatalogClient(server.url).query("SELECT 1")
    with pytest.raises(ConnectionFailedError):
        CatalogClient(server.url).tables()
    assert len(server.requests) == 2


def test_a_busy_service_is_asked_again(serve: Serve, stream_of: Callable[..., bytes], table: pa.Table) -> None:
    def script(request: Any) -> None:
        if len(request.server.requests) < 3:
            request.reply(503, error_body(UnavailableError("busy")), {"Retry-After": "0"})
        else:
            request.reply(200, stream_of(table), ARROW)

    server = serve(script)
    assert len(CatalogClient(server.url).query("SELECT 1")) == 1000
    assert [json.loads(body)["query"] for body in server.bodies] == ["SELECT 1"] * 3


@pytest.mark.parametrize("wait", ["31", "Fri, 01 Jan 2100 00:00:00 GMT", "soon", ""])
def test_a_service_that_is_busy_for_long_is_given_up(serve: Serve, wait: str) -> None:
    server = serve(lambda request: request.reply(503, error_body(UnavailableError("busy")), {"Retry-After": wait}))
    with pytest.raises(UnavailableError, match="busy"):
        CatalogClient(server.url).query("SELECT 1")
    assert len(server.requests) == 1


def test_a_date_in_the_past_means_now(serve: Serve) -> None:
    def script(request: Any) -> None:
        status = 503 if len(request.server.requests) == 1 else 200
        request.reply(status, b'{"schemas": []}', {"Retry-After": "Sat, 01 Jan 2000 00:00:00 GMT"})

    assert CatalogClient(serve(script).url).tables() == ()


def test_requests_say_who_sends_them(serve: Serve) -> None:
    server = serve(lambda request: request.reply(200, b'{"schemas": []}'))
    CatalogClient(server.url + "/", token="s3cret").tables()
    headers = server.requests[0].headers
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["User-Agent"].startswith("catalog-service-client/")
    assert "gzip" in headers["Accept-Encoding"]
    assert server.requests[0].path == "/api/v1/catalogs"


def test_the_token_stays_with_its_host(serve: Serve) -> None:
    other = serve(lambda request: request.reply(200, b'{"schemas": []}'))
    server = serve(lambda request: request.reply(307, b"", {"Location": other.url}))
    CatalogClient(server.url, token="s3cret").tables()
    assert other.requests[0].headers["Authorization"] is None


def test_a_cone_sends_exact_numbers(serve: Serve, stream_of: Callable[..., bytes], table: pa.Table) -> None:
    server = serve(lambda request: request.reply(200, stream_of(table), ARROW))
    CatalogClient(server.url + "/vo").cone(0.1 + 0.2, -37, "0", table="a.b", columns=["x", "y z"], maxrec=5)
    assert server.requests[0].path == (
        "/vo/api/v1/cone?table=a.b&ra=0.30000000000000004&dec=-37.0&radius_deg=0.0&columns=x%2Cy+z&maxrec=5&format=arrow"
    )


def test_connections_are_used_again(serve: Serve, stream_of: Callable[..., bytes], table: pa.Table) -> None:
    server = serve(lambda request: request.reply(200, stream_of(table), ARROW))
    client = CatalogClient(server.url)
    for _ in range(3):
        client.query("SELECT 1")
    assert len({request.client_address for request in server.requests}) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"schemas": [{"name": 1}]}', b'{"schemas": 3}', b"{}"])
def test_unknown_bodies_are_an_error(serve: Serve, body: bytes) -> None:
    server = serve(lambda request: request.reply(200, body, {"Content-Type": "application/json"}))
    with pytest.raises(UnexpectedAnswerError):
        CatalogClient(server.url).tables()


def test_a_table_name_cannot_leave_its_path(serve: Serve) -> None:
    server = serve(lambda request: request.reply(404, error_body(NotFoundError("no table"))))
    with pytest.raises(NotFoundError):
        CatalogClient(server.url).columns("../query?x")
    assert server.requests[0].path == "/api/v1/catalogs/..%2Fquery%3Fx"


INTERRUPTED = """
import signal
import sys
from catalog_service.client import CatalogClient
signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background inherits that it is ignored
try:
    CatalogClient(sys.argv[1]).query("SELECT 1")
except KeyboardInterrupt:
    sys.stdin.read()  # stay alive: the connection must be closed by the client, not by the end of the process
"""


@pytest.mark.parametrize("streaming", [False, True])
def test_interrupting_hangs_up(serve: Serve, stream_of: Callable[..., bytes], table: pa.Table, streaming: bool) -> None:
    """Ctrl-C or a stopped cell closes the connection, which is what stops the query on the service."""
    received, gone = threading.Event(), threading.Event()

    def script(request: Any) -> None:
        if streaming:
            request.start_chunks()
            request.chunk(stream_of(table)[:3000])
        received.set()
        request.rfile.read(1)
        gone.set()

    command = [sys.executable, "-c", INTERRUPTED, serve(script).url]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as client:
        assert received.wait(20)
        time.sleep(0.1)
        os.kill(client.pid, signal.SIGINT)
        assert gone.wait(5)
        assert client.poll() is None
