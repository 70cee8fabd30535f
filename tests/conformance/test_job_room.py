"""What jobs may take: places in the queue, uploaded tables, space for results; and that nothing is left of them."""

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi import FastAPI

from catalog_service.factory import Services
from tests.harness import SampleStore
from tests.identified import serving_names

BIG = "SELECT a.* FROM tycho2.stars AS a JOIN survey.Visit AS b ON 1 = 1"
"""As CSV, some 100 MB."""


@pytest.fixture(scope="module")
def running(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FastAPI]]:
    with serving_names(
        sample_store.root,
        tmp_path_factory.mktemp("room"),
        workers=1,
        owner_result_mb=2,
        jobs_pending=3,
        jobs_pending_per_user=2,
        jobs_upload_mb=1,
        maxrec_default=10_000_000,
    ) as served:
        yield served


@pytest.fixture
def services(running: tuple[str, FastAPI]) -> Services:
    services: Services = running[1].state.services
    return services


@pytest.fixture
def url(running: tuple[str, FastAPI]) -> str:
    return f"{running[0]}/tap/async"


def post(url: str, query: str, owner: str, files: Any = None, **parameters: str) -> requests.Response:
    data = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv", **parameters}
    headers = {"Authorization": f"Bearer {owner}"} if owner else {}
    return requests.post(url, data, files=files, headers=headers, allow_redirects=False, timeout=60)


def created(answer: requests.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def get(job: str, child: str, owner: str) -> str:
    headers = {"Authorization": f"Bearer {owner}"} if owner else {}
    return requests.get(f"{job}{child}", headers=headers, timeout=60).text


def delete(job: str, owner: str) -> None:
    answer = requests.delete(job, headers={"Authorization": f"Bearer {owner}"}, allow_redirects=False, timeout=60)
    assert answer.status_code == 303


def ended(job: str, owner: str) -> str:
    """Wait for the end of a job; return its document."""
    deadline = time.monotonic() + 60
    while get(job, "/phase", owner) in {"PENDING", "QUEUED", "EXECUTING"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return get(job, "", owner)


def files_of(services: Services, job: str) -> list[Path]:
    return list((services.kept.results.root / job.rsplit("/", 1)[1]).rglob("*"))


def test_a_job_deleted_while_it_begins_leaves_no_directory(
    url: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that makes the directory is held up until the deletion has long begun."""
    results, began, go_on = services.kept.results, threading.Event(), threading.Event()
    begin = results.begin

    def held_up(job_id: str, attempt: int) -> Path:
        began.set()
        assert go_on.wait(30)
        return begin(job_id, attempt)

    monkeypatch.setattr(results, "begin", held_up)
    job = created(post(url, "SELECT 1 AS n", "ann", PHASE="RUN"))
    assert began.wait(30)
    with ThreadPoolExecutor() as threads:
        deleting = threads.submit(delete, job, "ann")
        time.sleep(0.3)
        go_on.set()
        deleting.result()
    time.sleep(0.1)
    assert not (results.root / job.rsplit("/", 1)[1]).exists()


def test_jobs_that_are_not_started_have_a_limit(url: str) -> None:
    jobs = [created(post(url, "SELECT 1 AS n", "bob")) for _ in range(2)]
    refused = post(url, "SELECT 1 AS n", "bob")
    assert refused.status_code == 503
    assert "2 jobs of yours were created and not started; the limit is 2 (jobs_pending_per_user)" in refused.text
    assert int(refused.headers["Retry-After"]) > 0
    jobs.append(created(post(url, "SELECT 1 AS n", "bob", PHASE="RUN")))
    created(post(url, "SELECT 1 AS n", "carl"))
    delete(jobs[0], "bob")
    created(post(url, "SELECT 1 AS n", "bob"))


def test_old_anonymous_jobs_that_are_not_started_give_way(
    url: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [created(post(url, "SELECT 1 AS n", "")) for _ in range(3)]
    refused = post(url, "SELECT 1 AS n", "")
    assert (refused.status_code, "jobs_pending" in refused.text) == (503, True)
    monkeypatch.setattr("catalog_service.services.job_room._GIVES_WAY", timedelta(0))
    created(post(url, "SELECT 1 AS n", ""))
    assert [requests.get(job, timeout=30).status_code for job in jobs] == [404, 200, 200]


def test_uploaded_tables_of_jobs_that_wait_are_limited(url: str, services: Services) -> None:
    table = b"a\n" + b"1\n" * 300_000
    query = "SELECT COUNT(*) AS n FROM TAP_UPLOAD.t"

    def upload(owner: str, **parameters: str) -> requests.Response:
        return post(url, query, owner, {"t": ("t.csv", table)}, UPLOAD="t,param:t", **parameters)

    first = created(upload("dora"))
    refused = upload("dora")
    assert refused.status_code == 400
    assert "of your jobs that wait take 600002 bytes, these take 600002; the limit is 1000000 bytes" in refused.text
    created(upload("emil", PHASE="RUN"))
    more = post(f"{first}/parameters", query, "dora", {"u": ("u.csv", table)}, UPLOAD="u,param:u")
    assert "(jobs_upload_mb)" in more.text
    assert len(files_of(services, first)) == 2, "the directory and its one table"
    post(f"{first}/phase", "", "dora", PHASE="RUN")
    assert "COMPLETED" in ended(first, "dora")
    assert not any("uploads" in path.parts for path in files_of(services, first)), "they are of no more use"
    created(upload("dora"))


def test_a_result_that_grows_beyond_the_share_of_its_owner_ends_in_an_error(url: str, services: Services) -> None:
    job = created(post(url, BIG, "fred", PHASE="RUN"))
    document = ended(job, "fred")
    assert "<uws:phase>ERROR</uws:phase>" in document
    assert "the limit is 2000000 bytes (owner_result_mb)" in document
    assert services.kept.results.size_bytes(job.rsplit("/", 1)[1]) == 0
    assert "COMPLETED" in ended(created(post(url, "SELECT 1 AS n", "fred", PHASE="RUN")), "fred")


def test_a_small_excess_is_seen_at_the_end(url: str) -> None:
    query = "SELECT TOP 60000 * FROM tycho2.stars"
    assert "owner_result_mb" in ended(created(post(url, query, "gerd", PHASE="RUN")), "gerd")


def test_a_disk_that_fills_up_ends_the_jobs_that_run(
    url: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = created(post(url, BIG, "", PHASE="RUN"))
    waiting = created(post(url, "SELECT 1 AS n", "", PHASE="RUN"))
    while services.kept.results.size_bytes(job.rsplit("/", 1)[1]) == 0:
        time.sleep(0.01)
    full = shutil.disk_usage(services.kept.results.root)._replace(free=10**6)
    monkeypatch.setattr("catalog_service.storage.results.shutil.disk_usage", lambda _: full)
    for one in (job, waiting):
        document = ended(one, "")
        assert "<uws:phase>ERROR</uws:phase>" in document
        assert "1000000000 bytes of the disk are kept free (free_space_mb)" in document
