"""Look-ups on a disk that hangs cost the queries that need them, at their time limit, and nobody else."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from catalog_service.storage.ids import find_ids
from partitioning.exceptions import LayoutError
from tests.harness import SampleStore
from tests.identified import serving_names

LIMIT_S = 2.0
BY_ID = "SELECT ra FROM tycho2.stars WHERE tyc_row = {}"
BY_POSITION = "SELECT COUNT(*) AS n FROM tycho2.stars WHERE DISTANCE(POINT(ra, dec), POINT(56.75, 24.12)) < 1"


@pytest.fixture
def let_go(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let look-ups of ids hang until the event is set."""
    event = threading.Event()

    def hang(ids: tuple[Any, ...]) -> Any:
        return find_ids(ids) if not ids or event.wait(60) else None

    monkeypatch.setattr("catalog_service.services.planning.find_ids", hang)
    yield event
    event.set()


def test_look_ups_that_hang(
    sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory, let_go: threading.Event
) -> None:
    state = tmp_path_factory.mktemp("hanging")
    with serving_names(sample_store.root, state, workers=1, sync_timeout_s=LIMIT_S) as (url, _):

        def ask(query: str) -> tuple[int, float, str]:
            began = time.monotonic()
            answer = requests.get(f"{url}/tap/sync", {"LANG": "ADQL", "QUERY": query}, timeout=30)
            return answer.status_code, time.monotonic() - began, answer.text

        def explain(query: str) -> tuple[int, float, str]:
            began = time.monotonic()
            answer = requests.post(f"{url}/api/v1/explain", json={"query": query}, timeout=30)
            return answer.status_code, time.monotonic() - began, answer.text

        with ThreadPoolExecutor(20) as threads:
            explained = threads.submit(explain, BY_ID.format(1))
            hanging = [threads.submit(ask, BY_ID.format(number)) for number in range(19)]
            time.sleep(0.3)
            assert ask(BY_POSITION)[0] == 200
            assert requests.get(f"{url}/tap/tables", timeout=30).status_code == 200
            for one in [*hanging, explained]:
                status, seconds, text = one.result()
                assert (status, f"time limit of {LIMIT_S:g} s" in text) == (408, True)
                assert seconds < LIMIT_S + 3
        let_go.set()


def test_a_list_of_row_groups_that_hangs_or_is_damaged(
    sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, event = tmp_path_factory.mktemp("groups"), threading.Event()

    def hang(*_: Any) -> Any:
        if event.wait(60):
            raise LayoutError("damaged")

    monkeypatch.setattr("catalog_service.services.explain.count_row_groups", hang)
    with serving_names(sample_store.root, state, workers=1, sync_timeout_s=LIMIT_S) as (url, _):
        answer = requests.post(f"{url}/api/v1/explain", json={"query": BY_POSITION}, timeout=30)
        assert answer.status_code == 408
        event.set()
        answer = requests.post(f"{url}/api/v1/explain", json={"query": BY_POSITION}, timeout=30)
        assert (answer.status_code, answer.json()["tables"][0]["row_groups"]) == (200, None)
