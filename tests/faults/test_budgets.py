"""Who has read too much lately waits; others, metadata and jobs in the queue do not suffer."""

import time
from collections.abc import Iterator

import pytest
import requests

from tests.faults.test_isolation import ask
from tests.faults.test_job_kills import create, phase
from tests.harness import RunningServer, SampleStore, start_server, stop_server

WINDOW_S = 3
SETTINGS = f"""
scan_budget_mb = 1
scan_budget_s = {WINDOW_S}
"""
SCAN = "SELECT COUNT(*) AS n FROM tycho2.stars WHERE vt_mag > {}"


@pytest.fixture(scope="module")
def server(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(sample_store.root, tmp_path_factory.mktemp("budgets"), extra_config=SETTINGS)
    yield running
    stop_server(running)


def test_a_caller_over_the_budget_is_told_when_to_come_back(server: RunningServer) -> None:
    began = time.monotonic()
    assert ask(server, SCAN.format(5)).status == 200
    refused = ask(server, SCAN.format(6))
    assert refused.status == 503
    assert "the limit is 1 MB (scan_budget_mb)" in refused.text
    assert "catalog_service_callers_over_budget 1.0" in requests.get(f"{server.url}/metrics", timeout=30).text
    assert ask(server, "SELECT table_name FROM TAP_SCHEMA.tables").status == 200
    assert ask(server, "SELECT COUNT(*) AS n FROM tycho2.stars").status == 200, "the manifest answers"
    assert ask(server, SCAN.format(7), source="127.0.0.2").status == 200
    time.sleep(max(0.0, began + int(refused.retry_after or 0) - time.monotonic() + 1))
    assert ask(server, SCAN.format(8)).status == 200


def test_jobs_over_the_budget_wait_and_run_later(server: RunningServer) -> None:
    first, second = (create(server.url, SCAN.format(number)) for number in (1, 2))
    free = create(server.url, "SELECT 1 AS n")
    ended: dict[str, float] = {}
    began, told = time.monotonic(), ""
    while len(ended) < 3:
        assert time.monotonic() - began < 30
        if first in ended and second not in ended:
            told += requests.get(f"{server.url}/tap/async/{second}", timeout=30).text
        for job_id in {first, second, free} - ended.keys():
            if phase(server.url, job_id) == "COMPLETED":
                ended[job_id] = time.monotonic()
        time.sleep(0.05)
    assert ended[second] - ended[first] > WINDOW_S / 2
    assert '<info name="waits_for">the budget of its owner (scan_budget_mb), for' in told


def test_the_limit_is_told(server: RunningServer) -> None:
    document = requests.get(f"{server.url}/tap/capabilities", timeout=30).text
    assert "They may choose data files of 1 MB within 3 s" in document
