"""A proxy between users and the old service: users get the old answer whatever the new service does."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from catalog_service.migration.shadow_answers import Answered
from catalog_service.migration.shadow_compare import compared
from catalog_service.migration.shadow_queries import QueryNames, blanked, query_in
from tests.harness import RunningServer, free_port

pytestmark = pytest.mark.filterwarnings("ignore::astropy.io.votable.exceptions.VOWarning")

CONE = (
    "SELECT tyc_row, ra, dec FROM tycho2.stars "
    "WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(56.75, 24.12, 0.7)) ORDER BY ra"
)
HTTP = urllib3.PoolManager(retries=False)


@dataclass
class Shadow:
    url: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def tap(self) -> str:
        return f"{self.url}/tap"

    def sync(self, query: str = CONE, *, form: str = "csv", **more: Any) -> urllib3.BaseHTTPResponse:
        fields = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": form}
        return HTTP.request("POST", f"{self.tap}/sync", fields=fields, encode_multipart=False, timeout=30, **more)

    def lines(
        self, event: str = "compared", count: int = 1, *, about: str = "", seconds: float = 20
    ) -> list[dict[str, Any]]:
        """Return lines of the log once there are so many."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
            found = [line for line in lines if line["event"] == event and about in line.get("text", "")]
            if len(found) >= count:
                return found
            time.sleep(0.05)
        pytest.fail(f"{len(found)} of {count} lines: {lines}")


@contextmanager
def shadowing(old: str, new: str, directory: Path, *options: str) -> Iterator[Shadow]:
    port = free_port()
    log = directory / "shadow.jsonl"
    command = [sys.executable, "-m", "catalog_service.cli", "migrate", "shadow", "--old", old, "--new", f"{new}/tap"]
    process = subprocess.Popen([*command, "--port", str(port), "--log", str(log), *options])
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.05)
        yield Shadow(f"http://127.0.0.1:{port}", log, process)
    finally:
        process.terminate()
        process.wait(30)
        assert process.returncode == 0


@contextmanager
def fake(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Run an HTTP server that answers every request by a function."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            answer(self)

        do_GET = do_POST = handle_one  # noqa: N815 - names of the library

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def shadow(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shadow]:
    """Shadow our own server by itself."""
    with shadowing(server.url, server.url, tmp_path_factory.mktemp("shadow")) as running:
        yield running


QUERY_ID = re.compile(r"\b[0-9a-f]{16}\b")


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("POST", "/tap/sync", {"LANG": "ADQL", "QUERY": CONE, "FORMAT": "csv"}),
        ("GET", "/tap/sync", {"LANG": "ADQL", "QUERY": "SELECT TOP 1 tyc_row FROM tycho2.stars", "FORMAT": "tsv"}),
        ("GET", "/tap/capabilities", {}),
        ("HEAD", "/livez", {}),
        ("GET", "/tap/tables?detail=min", {}),
        ("GET", "/no/such%20page", {}),
        ("DELETE", "/tap/async/nothing", {}),
    ],
)
def test_answers_are_those_of_the_old_service(
    shadow: Shadow, server: RunningServer, method: str, path: str, fields: dict[str, str]
) -> None:
    more: dict[str, Any] = {"encode_multipart": False} if method == "POST" else {}
    told = {"Host": "old.example.org", "Accept-Encoding": "gzip"}
    direct, passed = (
        HTTP.request(method, url + path, fields=fields or None, headers=told, decode_content=False, **more)
        for url in (server.url, shadow.url)
    )
    assert (passed.status, passed.data) == (direct.status, direct.data)
    told_by = [
        sorted((n, QUERY_ID.sub("", v)) for n, v in one.headers.items() if n != "date") for one in (direct, passed)
    ]
    assert told_by[0] == told_by[1]


def test_a_query_is_copied_compared_and_logged_without_identities(shadow: Shadow) -> None:
    text = CONE.replace("0.7", "0.71234").replace("dec FROM", "dec AS marked FROM") + " -- for Ann"
    answer = shadow.sync(text, headers={"Authorization": "Bearer secret", "X-Forwarded-For": "203.0.113.9"})
    assert answer.status == 401  # the old service does not know the token, and the copy does not bring it along
    assert shadow.sync(text, form="votable").status == 200
    refused, line = shadow.lines(count=2, about="marked")
    assert (refused["verdict"], refused["old"]["status"], refused["new"]["status"]) == ("old failed", 401, 200)
    assert line["verdict"] == "equal"
    assert line["rows"]["old"] == line["rows"]["new"] > 5
    assert line["old"]["status"] == line["new"]["status"] == 200
    assert 0 < line["old"]["first_byte_s"] <= line["old"]["seconds"] < 30
    assert "CIRCLE(?, ?, ?)" in line["text"]
    content = shadow.log.read_text()
    assert [word for word in ("0.71234", "Ann", "secret", "203.0.113.9", "127.0.0.1") if word in content] == []


def test_a_job_is_copied_when_it_runs_and_compared_when_its_result_is_fetched(shadow: Shadow) -> None:
    fields = {"LANG": "ADQL", "QUERY": CONE.replace("dec FROM", "dec AS in_a_job FROM")}
    made = HTTP.request("POST", f"{shadow.tap}/async", fields=fields, encode_multipart=False, redirect=False)
    job = shadow.url + urllib.parse.urlsplit(made.headers["location"]).path
    HTTP.request("POST", f"{job}/phase", fields={"PHASE": "RUN"}, encode_multipart=False, redirect=False)
    ran = shadow.lines("ran", about="in_a_job")[-1]
    assert (ran["kind"], ran["new"]["status"]) == ("async", 200)
    for _ in range(100):
        if HTTP.request("GET", f"{job}/phase").data == b"COMPLETED":
            break
        time.sleep(0.05)
    result = HTTP.request("GET", f"{job}/results/result", preload_content=True)
    assert result.status == 200
    line = shadow.lines(about="in_a_job")[-1]
    assert (line["kind"], line["verdict"], line["query"]) == ("async", "equal", ran["query"])
    assert line["rows"]["old"] > 5


def test_a_table_that_is_sent_along_is_passed_on_and_not_copied(shadow: Shadow) -> None:
    fields = {"LANG": "ADQL", "QUERY": "SELECT * FROM TAP_UPLOAD.sent", "UPLOAD": "sent,param:f", "FORMAT": "csv"}
    answer = HTTP.request("POST", f"{shadow.tap}/sync", fields={**fields, "f": ("t.csv", b"a\n1\n", "text/csv")})
    assert (answer.status, answer.data) == (200, b'"a"\r\n1\r\n')
    shadow.sync(CONE.replace("dec FROM", "dec AS after_it FROM"))
    shadow.lines(about="after_it")
    assert "UPLOAD" not in shadow.log.read_text()


def test_what_is_not_known_of_a_query_is_not_in_its_name() -> None:
    query = query_in([("QUERY", "SELECT 1"), ("RUNID", "ann")])
    assert query is not None
    assert query.parameters == (("QUERY", "SELECT 1"),)
    names = {QueryNames(key).of(query)["query"] for key in (b"a", b"a", b"b")}
    assert len(names) == 2


@pytest.mark.parametrize(("lang", "shown"), [("qserv", "qserv"), ("ADQL-2.1", "ADQL-2.1"), ("ann.smith", "other")])
def test_only_known_languages_are_logged(lang: str, shown: str) -> None:
    query = query_in([("QUERY", "SELECT 1"), ("LANG", lang)])
    assert query is not None
    assert QueryNames(b"a").of(query)["lang"] == shown
    assert QueryNames(b"a", keep_text=True).of(query)["lang"] == lang


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT 'it''s \" a', \"x\" FROM t2 WHERE a1>-1.5e-3", "SELECT ?, ? FROM t2 WHERE a1>-?"),
        ("SELECT 'a\\b' FROM t2", "SELECT ? FROM t2"),
        ("SELECT ra FROM t WHERE a = 'x\\' AND b = 'Ann'", "?"),
        ("SELECT ra FROM t WHERE a = 'it\\'s Ann'", "?"),
        ('SELECT ra FROM t WHERE a = "x\\" AND b = "Ann"', "?"),
        (
            "SELECT 0x1F, 1e5x FROM t # 12 a\nWHERE b=.5 /* 7\n8 */ AND c IN(1,2)",
            "SELECT ?, ? FROM t WHERE b=? AND c IN(?,?)",
        ),
        ("SELECT 'never closed 12.5", "SELECT ?"),
        ("SELECT `a1`, `ann.smith@x.org`, `b``c` FROM `s`.`t`", "SELECT `a1`, ?, ? FROM `s`.`t`"),
        ('SELECT "Ann Smith" FROM `never closed', "SELECT ? FROM ?"),
    ],
)
def test_literals_and_comments_are_blanked(text: str, shown: str) -> None:
    assert blanked(text) == shown


@pytest.mark.parametrize(
    ("column", "shown"), [("Ann", "?"), ("ABS(ra - 56.75)", "ABS(ra - ?)"), ("ann smith", "?"), ("psfFlux", "psfFlux")]
)
def test_names_of_columns_that_differ_tell_no_literal(column: str, shown: str) -> None:
    query = "SELECT 'Ann', ABS(ra - 56.75), psfFlux AS f, \"Ann Smith\" FROM t"
    old, new = (Answered(200, "text/csv", body=f'"{column}"\n{value}\n'.encode()) for value in (1, 2))
    found = compared(old, new, [("QUERY", query), ("LANG", "QSERV")])
    assert {one["column"] for one in found["differences"]} == {shown}


@pytest.mark.parametrize(("most", "verdict"), [("2", "not compared"), ("3", "different"), ("x", "different")])
def test_full_answers_of_forms_that_do_not_say_overflow(most: str, verdict: str) -> None:
    old, new = (Answered(200, "text/csv", body=f"a\n1\n{last}\n".encode()) for last in (2, 3))
    assert compared(old, new, [("QUERY", "SELECT a FROM t"), ("MAXREC", most)])["verdict"] == verdict


def test_a_new_service_that_is_down_changes_nothing(server: RunningServer, tmp_path: Path) -> None:
    with shadowing(server.url, f"http://127.0.0.1:{free_port()}", tmp_path) as shadow:
        assert shadow.sync().data.count(b"\n") > 5
        line = shadow.lines()[0]
    assert (line["verdict"], line["new"]["status"]) == ("new failed", None)
    assert line["new"]["why"] == "unreachable or broken off"


def test_a_slow_new_service_drops_copies_and_slows_nobody(server: RunningServer, tmp_path: Path) -> None:
    release = threading.Event()

    def waiting(_handler: BaseHTTPRequestHandler) -> None:
        release.wait(30)

    with (
        fake(waiting) as new,
        shadowing(server.url, new, tmp_path, "--queue", "2") as shadow,
    ):
        began = time.monotonic()
        answers = [shadow.sync().status for _ in range(60)]
        seconds = time.monotonic() - began
        release.set()
    assert answers == [200] * 60
    assert seconds < 10
    counts = shadow.lines("counts")[-1]
    assert counts["offered"] == 60
    assert counts["dropped"] > 10


def test_a_wrong_new_service_is_told_and_not_seen_by_users(server: RunningServer, tmp_path: Path) -> None:
    def wrong(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/csv")
        handler.end_headers()
        handler.wfile.write(b"tyc_row,ra,dec\n1,2.5,3.5\n")

    with fake(wrong) as new, shadowing(server.url, new, tmp_path, "--keep-text") as shadow:
        rows = shadow.sync().data.count(b"\n") - 1
        line = shadow.lines()[0]
    assert rows > 5
    assert line["verdict"] == "different"
    assert line["rows"] == {"old": rows, "new": 1}
    assert line["text"] == CONE
    assert {one["kind"] for one in line["differences"]} >= {"row count", "rows only left"}


def test_a_copier_that_dies_is_replaced(server: RunningServer, tmp_path: Path) -> None:
    with shadowing(server.url, server.url, tmp_path) as shadow:
        assert shadow.sync().status == 200
        shadow.lines()
        for child in children(shadow.process.pid):
            child.kill()
            child.wait(10)
        deadline = time.monotonic() + 20
        while len(shadow.lines()) < 2 and time.monotonic() < deadline:
            assert shadow.sync().status == 200
            time.sleep(0.3)
        assert len(shadow.lines()) >= 2
    assert shadow.lines("counts")[-1]["restarts"] >= 1


def children(pid: int) -> list[Any]:
    import psutil

    found = psutil.Process(pid).children()
    assert len(found) == 1
    return found


def test_a_broken_old_answer_is_broken_for_the_user_too(tmp_path: Path) -> None:
    def broken(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half of it")

    with fake(broken) as old, shadowing(old, old, tmp_path) as shadow:
        with pytest.raises(urllib3.exceptions.ProtocolError):
            shadow.sync()
        with shadowing(f"http://127.0.0.1:{free_port()}", old, tmp_path) as without:
            answer = without.sync()
    assert (answer.status, answer.data) == (502, b"The old service cannot be reached.\n")


def test_rows_pass_as_they_come_and_a_user_who_leaves_ends_the_query(tmp_path: Path) -> None:
    is_gone = threading.Event()

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/csv")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"1\n")
                time.sleep(0.01)
        except OSError:
            is_gone.set()

    with fake(endless) as old, shadowing(old, old, tmp_path) as shadow:
        answer = shadow.sync(preload_content=False)
        assert answer.read(4) == b"1\n1\n"
        answer.close()
        assert is_gone.wait(10)


def test_a_sync_query_that_is_redirected_is_followed(tmp_path: Path) -> None:
    def redirecting(handler: BaseHTTPRequestHandler) -> None:
        is_first = handler.command == "POST" and "/api/tap/sync" in handler.path
        handler.send_response(303 if is_first else 200)
        if is_first:
            handler.send_header("Location", "/api/tap/sync/j17/run")
        handler.send_header("Content-Type", "text/csv")
        handler.end_headers()
        handler.wfile.write(b"" if is_first else b"a\n1\n")

    with fake(redirecting) as old, shadowing(old, old, tmp_path, "--prefix", "/api/tap") as shadow:
        fields = {"LANG": "ADQL", "QUERY": "SELECT a FROM t"}
        place = HTTP.request(
            "POST", f"{shadow.url}/api/tap/sync", fields=fields, encode_multipart=False, redirect=False
        ).headers["location"]
        answer = HTTP.request("GET", f"{shadow.url}{place}")
        assert answer.data == b"a\n1\n"
        assert shadow.lines()[0]["verdict"] == "equal"
