"""Figures for monitoring count what happened, and nothing that a user wrote."""

import re
import urllib.parse
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import RunningServer, SampleStore, start_server, stop_server

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(server: RunningServer) -> Figures:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = list(text_string_to_metric_families(response.read().decode()))
    return {
        (sample.name.removeprefix("catalog_service_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def get(server: RunningServer, path: str, **parameters: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"{server.url}{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as response:
            return response.status, response.read()
    except HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def grown(server: RunningServer) -> "Growth":
    return Growth(server)


class Growth:
    """How much figures have grown; others may use the server at the same time, so `at least` is what can be said."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._before = scrape(server)

    def __call__(self, name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return scrape(self._server)[key] - self._before.get(key, 0)


def test_queries_are_counted(server: RunningServer, grown: Growth) -> None:
    query = "SELECT TOP 7 * FROM tycho2.stars WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(56.75, 24.12, 1))"
    status, body = get(server, "/tap/sync", LANG="ADQL", QUERY=query, RESPONSEFORMAT="csv", MAXREC="5")
    assert status == 200
    assert grown("query_seconds_count", lane="interactive", status="overflow") == 1
    assert grown("rows_total", lane="interactive") == 5
    assert grown("result_bytes_total", lane="interactive") == len(body)
    read, considered = (
        grown("tiles_read_total", lane="interactive"),
        grown("tiles_considered_total", lane="interactive"),
    )
    assert 0 < read < considered
    assert grown("planned_bytes_total", lane="interactive") > len(body)
    assert grown("http_responses_total", route="/tap/sync", status="2xx") == 1


def test_errors_are_counted_by_their_code(server: RunningServer, grown: Growth) -> None:
    assert get(server, "/tap/sync", LANG="ADQL", QUERY="SELECT 1 FRM x")[0] == 400
    assert grown("query_seconds_count", lane="interactive", status="syntax_error") == 1
    assert grown("http_responses_total", route="/tap/sync", status="4xx") == 1


def test_what_a_caller_wrote_is_in_no_label(server: RunningServer, grown: Growth) -> None:
    for path in ("/secretword", "/cone/secretword.stars", "/static/secretword", "/api/v1/catalogs/secretword.x"):
        get(server, path, QUERY="secretword")
    get(server, "/tap/sync", LANG="ADQL", QUERY="SELECT secretword FROM secretword.x")
    _, text = get(server, "/metrics")
    assert b"secretword" not in text
    assert b"tycho2" not in text
    assert grown("http_responses_total", route="other", status="4xx") >= 2
    assert grown("http_responses_total", route="/cone/{table}", status="2xx") >= 1  # SCS errors come with 200


def test_pools_jobs_and_process_are_told(server: RunningServer) -> None:
    figures = scrape(server)
    for lane in ("interactive", "batch"):
        label = ("lane", lane)
        workers = figures["workers", (label, ("state", "busy"))] + figures["workers", (label, ("state", "idle"))]
        assert workers >= 1
        assert figures["queries_queued", (label,)] == 0
        assert figures["worker_crashes_total", (label,)] >= 0
        assert figures["worker_restarts_total", (label,)] >= 0
    assert figures["jobs", (("phase", "queued"),)] >= 0
    assert figures["jobs", (("phase", "executing"),)] >= 0
    assert figures["process_start_time_seconds", ()] > 0
    assert any(name == "build_info" and dict(labels)["version"] for name, labels in figures)


def test_names_are_lower_case_words(server: RunningServer) -> None:
    _, text = get(server, "/metrics")
    names = re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE)
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"(catalog_service|process)_[a-z_]+", name) for name in names)


def test_figures_can_be_kept_from_the_public(sample_store: SampleStore, tmp_path: Path) -> None:
    server = start_server(sample_store.root, tmp_path, extra_config='metrics = "admin"\nworkers = 1\n')
    try:
        hidden, unknown = get(server, "/metrics"), get(server, "/no-such-page")
    finally:
        stop_server(server)
    assert hidden[0] == 404
    assert hidden == unknown


def test_workers_give_way_to_the_service(server: RunningServer) -> None:
    """It has little to do, for all of them."""
    service = psutil.Process(server.process.pid)
    lower = sorted(worker.nice() - service.nice() for worker in service.children())
    assert lower[0] == 0  # the one for descriptions
    assert {step > 0 for step in lower[1:]} == {True}
    assert len(set(lower[1:])) == 3  # short queries, scans, jobs
