"""The service is killed with jobs in every phase: none is lost, none ends twice, each ends with a reason."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from tests.harness import RunningServer, SampleStore, start_server, stop_server

SLOW = "SELECT COUNT(*) AS n FROM tycho2.stars AS a, tycho2.stars AS b WHERE a.vt_mag * b.vt_mag < a.ra - b.dec"
"""Takes minutes."""
JOBS = 200


def create(url: str, query: str, *, run: bool = True) -> str:
    data = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv"} | ({"PHASE": "RUN"} if run else {})
    answer = requests.post(f"{url}/tap/async", data=data, allow_redirects=False, timeout=60)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"].rsplit("/", 1)[1]


def phase(url: str, job_id: str) -> str:
    answer = requests.get(f"{url}/tap/async/{job_id}/phase", timeout=60)
    assert answer.status_code == 200
    return answer.text


def kill(server: RunningServer) -> None:
    server.process.kill()
    server.process.wait()


def executing(url: str, job_id: str) -> None:
    deadline = time.monotonic() + 60
    while phase(url, job_id) != "EXECUTING":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ends_in_log(server: RunningServer) -> list[str]:
    """Return the job of each query that ended well, by the audit lines of one run of the service."""
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")
    ]
    return [line["job"] for line in lines if line.get("status") == "ok" and "job" in line]


def test_jobs_survive_kills(sample_store: SampleStore, tmp_path: Path) -> None:
    directories = [tmp_path / f"run{number}" for number in range(3)]
    for directory in directories:
        directory.mkdir()
        if directory != directories[0]:
            (directory / "state").symlink_to(directories[0] / "state")
    server = start_server(sample_store.root, directories[0])
    with ThreadPoolExecutor(8) as threads:
        ended = list(threads.map(lambda n: create(server.url, f"SELECT {n} AS n"), range(30)))
        while any(phase(server.url, job_id) != "COMPLETED" for job_id in ended):
            time.sleep(0.05)
        slow = create(server.url, SLOW)
        executing(server.url, slow)
        pending = list(threads.map(lambda n: create(server.url, f"SELECT {n} AS n", run=False), range(30, 60)))
        queued = list(threads.map(lambda n: create(server.url, f"SELECT {n} AS n"), range(60, JOBS - 20)))
        aborted = list(threads.map(lambda n: create(server.url, f"SELECT {n} AS n"), range(JOBS - 20, JOBS)))
        for job_id in aborted:
            requests.post(f"{server.url}/tap/async/{job_id}/phase", data={"PHASE": "ABORT"}, timeout=60)
    kill(server)
    logs = ends_in_log(server)

    server = start_server(sample_store.root, directories[1])
    executing(server.url, slow)  # once more, before those that wait
    assert {phase(server.url, job_id) for job_id in queued} == {"QUEUED"}
    kill(server)
    logs += ends_in_log(server)

    server = start_server(sample_store.root, directories[2])
    try:
        deadline = time.monotonic() + 60
        while any(phase(server.url, job_id) == "QUEUED" for job_id in queued):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.2)
        phases = {job_id: phase(server.url, job_id) for job_id in [*ended, slow, *pending, *queued, *aborted]}
        assert {phases[job_id] for job_id in [*ended, *queued]} == {"COMPLETED"}
        assert {phases[job_id] for job_id in pending} == {"PENDING"}
        assert {phases[job_id] for job_id in aborted} == {"ABORTED"}
        assert phases[slow] == "ERROR"
        reason = requests.get(f"{server.url}/tap/async/{slow}/error", timeout=60).text
        assert "The service stopped 2 times while this job ran" in reason
        for number, job_id in [*enumerate(ended), *enumerate(queued, start=60)]:
            result = requests.get(f"{server.url}/tap/async/{job_id}/results/result", timeout=60)
            assert result.text.split() == ['"n"', str(number)]
        logs += ends_in_log(server)
        assert sorted(logs) == sorted([*ended, *queued])
    finally:
        stop_server(server)


def test_a_stop_does_not_count_against_a_job(sample_store: SampleStore, tmp_path: Path) -> None:
    for number in range(3):
        directory = tmp_path / f"run{number}"
        directory.mkdir()
        if number:
            (directory / "state").symlink_to(tmp_path / "run0" / "state")
        server = start_server(sample_store.root, directory)
        if number == 0:
            job_id = create(server.url, SLOW)
        executing(server.url, job_id)
        stop_server(server)
    assert not list((tmp_path / "run0" / "state" / "jobs" / "files").glob("*/attempt-*"))
