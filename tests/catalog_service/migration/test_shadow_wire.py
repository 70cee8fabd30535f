"""The shadowing proxy passes on what is unusual in HTTP, and what is wrong is its own answer only if none can come."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .shadow_raw import RawServer, ask_raw, raw_server
from .test_shadow import HTTP, Shadow, shadowing

END = b"Connection: close\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nX Name: v\r\n goes on\r\nX-Bell: a\x07\r\nX-Good: g\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def old() -> Iterator[RawServer]:
    with raw_server(ANSWER) as running:
        yield running


@pytest.fixture(scope="module")
def shadow(old: RawServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shadow]:
    with shadowing(old.url, old.url, tmp_path_factory.mktemp("shadow")) as running:
        yield running


@pytest.mark.parametrize(
    ("request_head", "seen"),
    [
        (b"GET /x HTTP/1.0\r\n\r\n", b"GET /x HTTP/1.1\r\nhost: 127.0.0.1:"),
        (b"GET /t?a=" + b"b" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n" + END, b"GET /t?a=" + b"b" * 50_000),
        ("GET /ü?q=é HTTP/1.1\r\nHost: x\r\n".encode() + END, b"GET /%C3%BC?q=%C3%A9 HTTP/1.1\r\nhost: x\r\n"),
        (b"GET http://x/a%2Fb?c=%20d HTTP/1.1\r\nHost: x\r\n" + END, b"GET /a%2Fb?c=%20d HTTP/1.1\r\n"),
        (
            b"GET /x HTTP/1.1\r\nHost: x\r\nX-Mine: 1\r\nConnection: X-Mine, Host, close\r\n\r\n",
            b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        ),
    ],
)
def test_unusual_requests_are_passed_on(shadow: Shadow, old: RawServer, request_head: bytes, seen: bytes) -> None:
    answer = ask_raw(shadow.url, request_head)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nok")
    assert old.seen[-1].startswith(seen)


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /x HTTP/1.1\r\nHost: x\r\nHost: y\r\n" + END,
        b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n" + END,
    ],
)
def test_what_no_service_can_answer_is_a_bad_request(shadow: Shadow, old: RawServer, request_head: bytes) -> None:
    before = len(old.seen)
    assert ask_raw(shadow.url, request_head).startswith(b"HTTP/1.1 400 ")
    assert len(old.seen) == before


def test_only_the_wrong_headers_of_an_answer_are_left_out(shadow: Shadow) -> None:
    head = ask_raw(shadow.url, b"GET /x HTTP/1.1\r\nHost: x\r\n" + END)
    assert head == b"HTTP/1.1 200 OK\r\nx-good: g\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


def test_an_answer_whose_end_cannot_be_told_is_refused(tmp_path: Path) -> None:
    with (
        raw_server(b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok") as old,
        shadowing(old.url, old.url, tmp_path) as shadow,
    ):
        assert HTTP.request("GET", f"{shadow.url}/x").status == 502


def test_an_answer_that_comes_before_the_body_was_sent_is_passed_on_at_once(tmp_path: Path) -> None:
    refused = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
    with raw_server(refused, is_early=True) as old, shadowing(old.url, old.url, tmp_path) as shadow:
        began = time.monotonic()
        answer = HTTP.request("POST", f"{shadow.url}/x", body=bytes(20_000_000), timeout=10)
        assert (answer.status, answer.data) == (413, b"big")
        assert time.monotonic() - began < 4
