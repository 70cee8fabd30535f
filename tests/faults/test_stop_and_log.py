"""A stop answers who waits at once; and what the log of a run holds, and does not hold."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.harness import SampleStore, start_server, stop_server

WORD = "unpublished_target"
QUERY = f"SELECT TOP 3 ra AS {WORD} FROM tycho2.stars"


@dataclass(frozen=True)
class Run:
    """A run of the service that has ended."""

    phase: str
    """What a request that waited for a change of a job got."""
    stop_s: float
    job_id: str
    query_ids: tuple[str, ...]
    lines: tuple[str, ...]

    def events(self, event: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.lines) if line["event"] == event]


@pytest.fixture(scope="module")
def run(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Run:
    server = start_server(
        sample_store.root, tmp_path_factory.mktemp("stopped"), extra_config="access_log = true\njob_wait_s = 60\n"
    )
    try:
        asked = {"LANG": "ADQL", "QUERY": QUERY, "RESPONSEFORMAT": "csv"}
        good = requests.get(f"{server.url}/tap/sync", asked, timeout=30)
        bad = requests.get(f"{server.url}/tap/sync", asked | {"QUERY": f"SELECT {WORD}"}, timeout=30)
        job = requests.post(f"{server.url}/tap/async", asked, timeout=30).url
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(requests.get, job, {"WAIT": "-1"}, timeout=90)
            time.sleep(0.5)
            began = time.monotonic()
            server.process.terminate()
            answer = waiting.result()
            server.process.wait(timeout=30)
            stop_s = time.monotonic() - began
    finally:
        if server.process.poll() is None:
            stop_server(server)
    phase = answer.text.partition("<uws:phase>")[2].partition("<")[0]
    ids = (good.headers["X-Query-Id"], bad.headers["X-Query-Id"])
    lines = tuple(line for line in server.log.read_text().splitlines() if line)
    return Run(phase, stop_s, job.rsplit("/", 1)[1], ids, lines)


def test_a_stop_answers_requests_that_wait(run: Run) -> None:
    assert run.phase == "PENDING"
    assert run.stop_s < 4


def test_each_line_is_an_object(run: Run) -> None:
    for line in run.lines:
        assert {"event", "timestamp", "level"} <= json.loads(line).keys(), line


def test_requests_are_logged_by_the_template_of_their_address(run: Run) -> None:
    logged = [(one["method"], one["route"], one["status"]) for one in run.events("request")]
    assert ("GET", "/tap/async/{job_id}", 200) in logged
    assert ("GET", "/tap/sync", 200) in logged
    assert ("GET", "/tap/sync", 400) in logged
    for line in run.lines:
        assert run.job_id not in line, "whoever knows it may use the job"
        assert WORD not in line or json.loads(line)["event"] == "query"


def test_requests_and_queries_meet_by_their_id(run: Run) -> None:
    for query_id in run.query_ids:
        events = {json.loads(line)["event"] for line in run.lines if json.loads(line).get("query_id") == query_id}
        assert {"query", "request"} <= events


PROGRAM = """
import logging, structlog
from catalog_service.logs import configure_logging
configure_logging({!r})
structlog.contextvars.bind_contextvars(query_id="77aa")
structlog.get_logger("service").info("ours", path="x")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("uvicorn.error").exception("of %s", "others")
"""


def logged(log_format: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(log_format)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_lines_of_libraries_have_the_form_and_the_id_as_well() -> None:
    ours, others = map(json.loads, logged("json"))
    assert (ours["event"], ours["query_id"], ours["path"]) == ("ours", "77aa", "x")
    assert (others["event"], others["query_id"], others["level"]) == ("of others", "77aa", "error")
    assert others["logger"] == "uvicorn.error"
    assert "ZeroDivisionError" in others["exception"]


def test_plain_lines_hold_the_same() -> None:
    lines = logged("plain")
    assert "ours" in lines[0]
    assert "query_id=77aa" in lines[0]
    assert "of others" in lines[1]
    assert "query_id=77aa" in lines[1]
    assert any("ZeroDivisionError" in line for line in lines)
