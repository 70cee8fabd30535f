"""Whatever the new service answers to copies, users get the old answers at once, and memory stays bounded."""

import contextlib
import gzip
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psutil
import pytest

from catalog_service.migration.shadow_answers import NewService

from .shadow_raw import raw_server
from .test_shadow import Shadow, fake, shadowing

CSV = b"a\n1\n"
OLD = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 4\r\n\r\n" + CSV
ASKED = [("QUERY", "SELECT 1")]
Answer = Callable[[BaseHTTPRequestHandler], None]


def answered(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "text/csv", "Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def endless_body(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 20))


def slow_body(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"1")
        time.sleep(0.1)


def endless_start(handler: BaseHTTPRequestHandler) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


def endless_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X: " + b"x" * 1000 + b"\r\n")


def bomb(handler: BaseHTTPRequestHandler) -> None:
    answered(handler, BOMB, Content_Encoding="gzip")


def ended(shadow: Shadow, expected: str, count: int) -> None:
    line = shadow.lines(count=count)[-1]
    assert (line["new"].get("why") or line.get("why"), line["verdict"] == "equal") == (expected, False)


BOMB = gzip.compress(bytes(1 << 30), 1)


def test_a_hostile_new_service_touches_no_answer_and_no_memory(tmp_path: Path) -> None:
    modes: list[Answer] = []

    def new_answer(handler: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            modes[-1](handler)

    cases = [
        (endless_body, "timeout"),
        (slow_body, "timeout"),
        (endless_headers, "unreachable or broken off"),
        (bomb, "too large when decompressed"),
    ]
    with (
        raw_server(OLD) as old,
        fake(new_answer) as new,
        shadowing(old.url, new, tmp_path, "--timeout", "1") as shadow,
    ):

        def ask(mode: Answer) -> None:
            modes.append(mode)
            began = time.monotonic()
            answer = shadow.sync("SELECT 1")
            assert (answer.status, answer.data) == (200, CSV)
            assert time.monotonic() - began < 1

        for number, (mode, expected) in enumerate(cases, start=1):
            ask(mode)
            ended(shadow, expected, number)
        (copier,) = psutil.Process(shadow.process.pid).children()
        assert peak_bytes(copier.pid) < 800 << 20
        assert peak_bytes(shadow.process.pid) < 300 << 20
        ask(endless_start)
        assert shadow.lines("fault")[0]["why"] == "the new service did not end an answer"
        for _ in range(50):
            ask(lambda handler: answered(handler, CSV))
            if "equal" in [line["verdict"] for line in shadow.lines()]:
                break
            time.sleep(0.1)
        assert "equal" in [line["verdict"] for line in shadow.lines()]


def peak_bytes(pid: int) -> int:
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) << 10


@pytest.mark.parametrize("status", [302, 303, 307, 308])
@pytest.mark.parametrize("does_run", [False, True])
def test_no_query_and_no_token_follows_a_redirection_to_another_host(status: int, does_run: bool) -> None:
    seen: list[str] = []

    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.path)
        answered(handler, CSV)

    with fake(elsewhere) as other, fake(lambda one: answered(one, b"", status, Location=f"{other}/tap/x")) as new:
        service = NewService(f"{new}/tap", "secret", timeout_s=5, most_bytes=1 << 20)
        found = service.run(ASKED) if does_run else service.ask(ASKED)
    assert found.why == ("no job was made" if does_run and status != 303 else "redirected elsewhere")
    assert seen == []


def test_a_redirection_on_the_same_host_is_followed_with_the_token_but_not_in_circles() -> None:
    seen: list[Any] = []

    def redirecting(handler: BaseHTTPRequestHandler) -> None:
        seen.append((handler.command, handler.path, handler.headers["authorization"]))
        if handler.path == "/tap/there":
            answered(handler, CSV)
        else:
            answered(handler, b"", 303, Location="there" if handler.path == "/tap/sync" else "/turn/tap/sync")

    with fake(redirecting) as new:
        found = NewService(f"{new}/tap", "secret", timeout_s=5, most_bytes=1 << 20).ask(ASKED)
        turning = NewService(f"{new}/turn/tap", None, timeout_s=5, most_bytes=1 << 20).ask(ASKED)
    assert (found.status, found.body) == (200, CSV)
    assert seen[:2] == [("POST", "/tap/sync", "Bearer secret"), ("GET", "/tap/there", "Bearer secret")]
    assert (turning.why, len(seen)) == ("redirected elsewhere", 2 + 6)


def test_a_job_whose_phase_never_ends_is_left() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "POST":
            answered(handler, b"", 303, Location="async/j1")
        else:
            with contextlib.suppress(OSError):
                endless_body(handler)

    with fake(endless) as new:
        found = NewService(f"{new}/tap", None, timeout_s=1, most_bytes=1 << 20).run(ASKED)
    assert found.why == "job timeout"
