"""Requests that no honest client sends: each gets the error of its door, and the log stays short."""

import json
import socket
import time
import urllib.parse
import urllib.request
from urllib.error import HTTPError, URLError

import pytest

from tests.harness import RunningServer

CONE = "/cone/tycho2.stars?RA=56.75&DEC=24.12&SR=1"
QUERY = {"LANG": "ADQL", "QUERY": "SELECT TOP 1 ra FROM tycho2.stars"}


def answer(
    server: RunningServer, path: str, body: bytes | None = None, kind: str = "", method: str | None = None
) -> tuple[int, str, str]:
    """Return (status, media type, text) of an answer.

    A server that refuses a body before all of it was sent may reset the connection under the client: it asks again.
    """
    request = urllib.request.Request(server.url + path, body, {"Content-Type": kind} if kind else {}, method=method)
    for _ in range(5):
        try:
            return opened(request)
        except URLError as error:
            if not isinstance(error.reason, ConnectionResetError | BrokenPipeError):
                raise
    pytest.fail("the connection was reset five times")


def opened(request: urllib.request.Request) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers.get_content_type(), response.read().decode()
    except HTTPError as error:
        return error.code, error.headers.get_content_type(), error.read().decode()


def test_a_number_with_thousands_of_digits(server: RunningServer) -> None:
    status, _, text = answer(server, f"{CONE}&MAXREC={'9' * 5000}")
    assert status == 200
    assert 'name="Error"' in text
    assert len(text) < 1000
    status, _, text = answer(server, "/tap/sync?" + urllib.parse.urlencode({**QUERY, "MAXREC": "9" * 5000}))
    assert status == 400
    assert 'value="ERROR"' in text


@pytest.mark.parametrize("query", ["\\ud800", "SELECT '\\udfff' AS x FROM tycho2.stars"])
def test_half_of_a_surrogate_pair(server: RunningServer, query: str) -> None:
    status, _, text = answer(server, "/api/v1/query", f'{{"query": "{query}"}}'.encode(), "application/json")
    assert status == 400
    assert "surrogate" in json.loads(text)["error"]["message"]


@pytest.mark.parametrize("ra", ["nan", "inf", "-inf"])
def test_a_cone_around_nowhere(server: RunningServer, ra: str) -> None:
    status, _, text = answer(server, f"/api/v1/cone?table=tycho2.stars&ra={ra}&dec=0&radius_deg=1")
    assert (status, json.loads(text)["error"]["code"]) == (400, "bad_parameter")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"z"),
        ("multipart/form-data; boundary=x", b"z"),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % number for number in range(2000))),
    ],
)
def test_malformed_forms(server: RunningServer, kind: str, body: bytes) -> None:
    status, media_type, text = answer(server, "/tap/sync", body, kind)
    assert (status, media_type) == (400, "application/x-votable+xml")
    assert 'value="ERROR"' in text
    status, media_type, text = answer(server, CONE, body, kind)
    assert (status, media_type) == (200, "text/xml")
    assert 'name="Error"' in text


def test_an_endless_body(server: RunningServer) -> None:
    before = server.log.stat().st_size
    status, _, text = answer(server, "/api/v1/query", b'{"query": "' + b"a" * 4_000_000, "application/json")
    assert (status, json.loads(text)["error"]["code"]) == (413, "too_large")
    fields = b"&".join(b"a%d=%s" % (number, b"x" * 100_000) for number in range(40))
    status, media_type, text = answer(server, "/tap/sync", fields, "application/x-www-form-urlencoded")
    assert (status, media_type) == (413, "application/x-votable+xml")
    assert "limit" in text
    too_long = json.dumps({"query": "SELECT " + "1" * 1_000_000}).encode()
    assert answer(server, "/api/v1/query", too_long, "application/json")[0] == 413
    assert server.log.stat().st_size - before < 500_000


@pytest.mark.parametrize(("path", "kind"), [("/tap/sync", "application/x-votable+xml"), ("/", "application/json")])
def test_methods_and_addresses_that_are_not_served(server: RunningServer, path: str, kind: str) -> None:
    assert answer(server, path, b"x", "text/plain", "PUT")[:2] == (405, kind)
    assert answer(server, f"{path}/nothing/here")[:2] == (404, kind)


def test_clients_that_leave_before_their_request_is_complete(server: RunningServer) -> None:
    start = server.log.stat().st_size
    host, _, port = server.url.removeprefix("http://").partition(":")
    for path, kind in (("/tap/sync", "application/x-www-form-urlencoded"), ("/api/v1/query", "application/json")):
        with socket.create_connection((host, int(port))) as client:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n"
            client.sendall(head.encode() + b"LANG=A")
            time.sleep(0.2)
    time.sleep(0.3)
    assert answer(server, CONE)[0] == 200
    assert "Traceback" not in server.log.read_text()[start:]
