"""Asynchronous jobs through a real server: pyvo, plain HTTP, and the rules of UWS 1.1."""

import base64
import hashlib
import io
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import astropy.io.votable
import lxml.etree
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pyvo
import requests
from astropy.table import Table

from tests.harness import RunningServer, SampleStore, start_server, stop_server

SLOW = "SELECT COUNT(*) AS n FROM tycho2.stars AS a, tycho2.stars AS b WHERE a.vt_mag * b.vt_mag < a.ra - b.dec"
"""Takes minutes."""


@pytest.fixture(scope="module")
def jobs_server(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(
        sample_store.root,
        tmp_path_factory.mktemp("jobs"),
        extra_config=(
            "batch_files = 2\nresult_mb = 2\npart_mb = 1\nretention_days_hard = 10\njob_wait_s = 3\njobs_queued = 5\n"
        ),
    )
    yield running
    stop_server(running)


@pytest.fixture(scope="module")
def url(jobs_server: RunningServer) -> str:
    return f"{jobs_server.url}/tap/async"


def create(url: str, query: str, **parameters: Any) -> str:
    """Create a job and return its address."""
    answer = requests.post(url, data={"LANG": "ADQL", "QUERY": query, **parameters}, allow_redirects=False, timeout=30)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def finished(job: str) -> str:
    """Wait for the end of a job; return its phase."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        requests.get(job, params={"WAIT": "-1"}, timeout=30)
        phase = requests.get(f"{job}/phase", timeout=30).text
        if phase not in {"PENDING", "QUEUED", "EXECUTING"}:
            return phase
    raise AssertionError(f"{job} does not end")


def awaited(job: str, phase: str) -> None:
    """Wait until a job is in a phase."""
    deadline = time.monotonic() + 60
    while requests.get(f"{job}/phase", timeout=30).text != phase:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def results_of(server: RunningServer) -> list[Path]:
    """Return the directories of jobs that a server keeps."""
    return list((server.log.parent / "state" / "jobs" / "files").iterdir())


def test_pyvo_runs_a_job(jobs_server: RunningServer, sample_store: SampleStore) -> None:
    service = pyvo.dal.TAPService(f"{jobs_server.url}/tap")
    table = service.run_async("SELECT COUNT(*) AS n, MIN(vt_mag) AS m FROM tycho2.stars").to_table()
    magnitudes = pq.read_table(sample_store.tycho2, columns=["vt_mag"])["vt_mag"].to_numpy()
    assert (table["n"][0], table["m"][0]) == (len(magnitudes), magnitudes.min())
    assert str(table["m"].unit) == "mag"


def test_pyvo_controls_a_job(jobs_server: RunningServer) -> None:
    service = pyvo.dal.TAPService(f"{jobs_server.url}/tap")
    job = service.submit_job("SELECT TOP 7 * FROM tycho2.stars", runid="mine", maxrec=5)
    assert job.phase == "PENDING"
    job.query = "SELECT TOP 7 ra FROM tycho2.stars"
    job.execution_duration = 77
    job.destruction = datetime.now(UTC) + timedelta(days=3)
    assert job.execution_duration.to_value("s") == 77
    job.run().wait(timeout=30)
    assert job.phase == "COMPLETED"
    assert job.job.runid == "mine"
    result = job.fetch_result()
    assert len(result) == 5
    found = pyvo.dal.AsyncTAPJob(job.url)
    assert found.job_id == job.job_id
    address = job.url
    job.delete()
    assert requests.get(address, timeout=30).status_code == 404
    assert not any(directory.name in address for directory in results_of(jobs_server))


def test_a_failed_job_says_why(url: str) -> None:
    job = create(url, "SELECT vt_mga FROM tycho2.stars", PHASE="RUN")
    assert finished(job) == "ERROR"
    document = requests.get(job, timeout=30).text
    assert '<uws:errorSummary type="fatal" hasDetail="true"><uws:message>line 1, column 8' in document
    answer = requests.get(f"{job}/error", timeout=30)
    assert answer.status_code == 200
    assert 'value="ERROR">line 1, column 8: there is no column' in answer.text
    assert "vt_mag" in answer.text
    assert requests.get(f"{job}/results/result", timeout=30).status_code == 404
    with pytest.raises(pyvo.dal.DALQueryError, match="there is no column"):
        pyvo.dal.AsyncTAPJob(job).raise_if_error()


def test_parameters_are_checked_when_the_job_runs(url: str) -> None:
    job = requests.post(url, allow_redirects=False, timeout=30).headers["Location"]
    assert requests.get(f"{job}/phase", timeout=30).text == "PENDING"
    changes = {"QUERY": "SELECT TOP 1 ra FROM tycho2.stars", "lang": "ADQL", "RESPONSEFORMAT": "csv", "OTHER": "x"}
    answer = requests.post(f"{job}/parameters", data=changes, allow_redirects=False, timeout=30)
    assert (answer.status_code, answer.headers["Location"]) == (303, job)
    listed = requests.get(f"{job}/parameters", timeout=30).text
    assert '<uws:parameter id="LANG">ADQL</uws:parameter>' in listed
    assert "OTHER" not in listed
    requests.post(f"{job}/phase", data={"PHASE": "RUN"}, timeout=30)
    assert finished(job) == "COMPLETED"
    result = requests.get(f"{job}/results/result", timeout=30)
    assert result.headers["content-type"] == "text/csv;header=present"
    assert result.text.startswith('"ra"')
    late = requests.post(f"{job}/parameters", data={"MAXREC": "1"}, timeout=30)
    assert late.status_code == 403
    assert "COMPLETED" in late.text
    empty = requests.post(url, data={"PHASE": "RUN"}, allow_redirects=False, timeout=30).headers["Location"]
    assert finished(empty) == "ERROR"
    assert "parameter LANG is missing" in requests.get(f"{empty}/error", timeout=30).text


def test_a_result_is_a_file_with_ranges_and_a_digest(url: str) -> None:
    job = create(url, "SELECT TOP 20000 ra, dec FROM tycho2.stars", PHASE="RUN", RESPONSEFORMAT="csv")
    assert finished(job) == "COMPLETED"
    result = f"{job}/results/result"
    whole = requests.get(result, timeout=30)
    digest = hashlib.sha256(whole.content)
    assert whole.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert whole.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    head = requests.head(result, timeout=30)
    assert int(head.headers["content-length"]) == len(whole.content)
    half = {"Range": "bytes=1000-", "If-Range": whole.headers["ETag"]}
    rest = requests.get(result, headers=half, timeout=30)
    assert (rest.status_code, rest.content) == (206, whole.content[1000:])
    changed = requests.get(result, headers={**half, "If-Range": '"other"'}, timeout=30)
    assert (changed.status_code, changed.content) == (200, whole.content)
    document = requests.get(job, timeout=30).text
    assert f'size="{len(whole.content)}" mime-type="text/csv;header=present"' in document
    assert digest.hexdigest() in document
    assert '<info name="rows">20000</info>' in document


def test_every_format_can_be_a_file(url: str) -> None:
    query = "SELECT TOP 20 tyc_row, ra FROM tycho2.stars ORDER BY tyc_row"
    for name in ("votable", "votable/td", "csv", "tsv", "json", "fits", "parquet", "arrow"):
        job = create(url, query, PHASE="RUN", RESPONSEFORMAT=name)
        assert finished(job) == "COMPLETED", requests.get(f"{job}/error", timeout=30).text
        sync = requests.get(
            f"{url.removesuffix('async')}sync", {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": name}, timeout=30
        )
        kept = requests.get(f"{job}/results/result", timeout=30)
        assert kept.headers["content-type"] == sync.headers["content-type"]
        assert abs(len(kept.content) - len(sync.content)) < 100  # the query's id differs


def test_maxrec_0_gives_the_columns(url: str, tmp_path: Path) -> None:
    job = create(url, "SELECT ra, dec FROM tycho2.stars", PHASE="RUN", MAXREC="0")
    assert finished(job) == "COMPLETED"
    path = tmp_path / "result.vot"
    path.write_bytes(requests.get(f"{job}/results/result", timeout=30).content)
    table = astropy.io.votable.parse_single_table(path)
    assert ([field.name for field in table.fields], len(table.array)) == (["ra", "dec"], 0)
    assert '<info name="overflow">true</info>' in requests.get(job, timeout=30).text


def test_a_result_is_cut_at_the_limit_of_bytes(url: str) -> None:
    """The limit is 2 MB; the table takes 7.7."""
    job = create(url, "SELECT * FROM tycho2.stars", PHASE="RUN", MAXREC="1000000")
    assert finished(job) == "COMPLETED"
    document = requests.get(job, timeout=30).text
    assert '<info name="overflow">true</info>' in document
    result = requests.get(f"{job}/results/result", timeout=30)
    assert 2_000_000 <= len(result.content) < 5_000_000
    assert '<INFO name="QUERY_STATUS" value="OVERFLOW"' in result.text


def test_abort_stops_the_query_at_once(url: str) -> None:
    job = create(url, SLOW, PHASE="RUN")
    awaited(job, "EXECUTING")
    started = time.monotonic()
    answer = requests.post(f"{job}/phase", data={"PHASE": "ABORT"}, allow_redirects=False, timeout=30)
    assert (answer.status_code, answer.headers["Location"]) == (303, job)
    assert requests.get(f"{job}/phase", timeout=30).text == "ABORTED"
    assert finished(create(url, "SELECT TOP 1 ra FROM tycho2.stars", PHASE="RUN")) == "COMPLETED"
    assert time.monotonic() - started < 5
    again = requests.post(f"{job}/phase", data={"PHASE": "RUN"}, timeout=30)
    assert again.status_code == 403


def test_a_time_limit_ends_a_job(url: str) -> None:
    job = create(url, SLOW)
    requests.post(f"{job}/executionduration", data={"EXECUTIONDURATION": "1"}, timeout=30)
    requests.post(f"{job}/phase", data={"PHASE": "RUN"}, timeout=30)
    assert finished(job) == "ABORTED"
    document = requests.get(job, timeout=30).text
    assert "The query hit its time limit of 1 s." in document
    assert "asynchronous" not in document


def test_waiting_ends_with_a_change(url: str) -> None:
    job = create(url, SLOW, PHASE="RUN")
    awaited(job, "EXECUTING")
    started = time.monotonic()
    requests.get(job, params={"WAIT": "30", "PHASE": "PENDING"}, timeout=30)  # it is not PENDING
    assert time.monotonic() - started < 2
    requests.get(job, params={"WAIT": "1"}, timeout=30)
    assert 1 <= time.monotonic() - started < 3
    requests.get(job, params={"WAIT": "-1"}, timeout=30)  # capped at 3 s
    assert time.monotonic() - started < 6
    threading.Timer(0.5, lambda: requests.post(f"{job}/phase", data={"PHASE": "ABORT"}, timeout=30)).start()
    started = time.monotonic()
    answer = requests.get(job, params={"WAIT": "30", "PHASE": "EXECUTING"}, timeout=30)
    assert "<uws:phase>ABORTED</uws:phase>" in answer.text
    assert time.monotonic() - started < 2.5


def test_progress_is_told(url: str) -> None:
    job = create(url, f"{SLOW} AND a.ra > 0", PHASE="RUN")
    awaited(job, "EXECUTING")
    requests.post(f"{job}/phase", data={"PHASE": "ABORT"}, timeout=30)
    # a query in batches of two files: the document of a running one tells how many are done
    batches = create(url, "SELECT COUNT(*) AS n, AVG(SIN(vt_mag) * COS(ra)) AS m FROM tycho2.stars", PHASE="RUN")
    seen = set()
    while "EXECUTING" in (document := requests.get(batches, timeout=30).text) or "QUEUED" in document:
        if "batches_total" in document:
            seen.add(document.split('batches_total">')[1].split("<")[0])
    assert finished(batches) == "COMPLETED"
    assert len(seen) <= 1
    assert "0" not in seen


def test_destruction_is_clamped_and_done(url: str, jobs_server: RunningServer) -> None:
    job = create(url, "SELECT TOP 1 ra FROM tycho2.stars", PHASE="RUN")
    finished(job)
    far = datetime.now(UTC) + timedelta(days=300)
    requests.post(f"{job}/destruction", data={"DESTRUCTION": far.isoformat()}, timeout=30)
    clamped = datetime.fromisoformat(requests.get(f"{job}/destruction", timeout=30).text)
    assert timedelta(days=9) < clamped - datetime.now(UTC) <= timedelta(days=10)
    requests.post(f"{job}/destruction", data={"DESTRUCTION": "2020-01-01T00:00:00Z"}, timeout=30)
    deadline = time.monotonic() + 15
    while requests.get(job, timeout=30).status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    while any(directory.name in job for directory in results_of(jobs_server)):  # right after
        assert time.monotonic() < deadline
    malformed = requests.post(f"{create(url, 'x')}/destruction", data={"DESTRUCTION": "tomorrow"}, timeout=30)
    assert malformed.status_code == 400
    assert "DESTRUCTION='tomorrow' is not an ISO time" in malformed.text


@pytest.mark.parametrize("action", ["DELETE", "ACTION"])
def test_a_running_job_can_be_deleted(url: str, action: str) -> None:
    job = create(url, SLOW, PHASE="RUN")
    awaited(job, "EXECUTING")
    if action == "DELETE":
        answer = requests.delete(job, allow_redirects=False, timeout=30)
    else:
        answer = requests.post(job, data={"ACTION": "DELETE"}, allow_redirects=False, timeout=30)
    assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (303, url)
    assert requests.get(job, timeout=30).status_code == 404


def test_a_full_queue_refuses_and_asks_to_come_back(url: str) -> None:
    jobs = [create(url, SLOW, PHASE="RUN") for _ in range(1)]
    awaited(jobs[0], "EXECUTING")
    jobs += [create(url, SLOW, PHASE="RUN") for _ in range(5)]
    try:
        full = requests.post(
            url, data={"LANG": "ADQL", "QUERY": "SELECT 1", "PHASE": "RUN"}, allow_redirects=False, timeout=30
        )
        assert full.status_code == 503
        assert int(full.headers["Retry-After"]) > 0
        assert "5 jobs wait in the queue already; the limit is 5" in full.text
        assert requests.get(f"{create(url, 'SELECT 1')}/phase", timeout=30).text == "PENDING"
    finally:
        for job in reversed(jobs):
            requests.delete(job, allow_redirects=False, timeout=30)


@pytest.mark.parametrize(
    ("method", "child", "data", "status"),
    [
        ("GET", "nothing", {}, 404),
        ("GET", "results/other", {}, 404),
        ("GET", "error", {}, 404),
        ("POST", "phase", {"PHASE": "SUSPEND"}, 400),
        ("POST", "phase", {}, 400),
        ("POST", "executionduration", {"EXECUTIONDURATION": "long"}, 400),
        ("POST", "", {"ACTION": "COPY"}, 400),
        ("POST", "", {"QUERY": "SELECT 1"}, 400),
        ("GET", "?WAIT=soon", {}, 400),
    ],
)
def test_bad_requests(url: str, method: str, child: str, data: dict[str, str], status: int) -> None:
    job = create(url, "SELECT 1")
    address = f"{job}{child}" if child.startswith("?") else f"{job}/{child}".rstrip("/")
    answer = requests.request(method, address, data=data, allow_redirects=False, timeout=30)
    assert answer.status_code == status
    assert 'name="QUERY_STATUS" value="ERROR"' in answer.text


def test_unknown_jobs_do_not_exist(url: str) -> None:
    for address in (f"{url}/{'0' * 32}", f"{url}/..%2f..%2fetc", f"{url}/%00", f"{url}/{'0' * 32}/results/result"):
        assert requests.get(address, timeout=30).status_code == 404


def test_the_list_is_empty_for_anonymous_callers_and_its_filters_are_checked(url: str) -> None:
    create(url, "SELECT 1")
    for filters in ("", "?PHASE=PENDING&PHASE=QUEUED", "?LAST=3", "?AFTER=2020-01-01T00:00:00Z", "?PHASE=ARCHIVED"):
        answer = requests.get(url + filters, timeout=30)
        assert answer.status_code == 200
        assert "jobref" not in answer.text
        assert "<uws:jobs " in answer.text
    for filters in ("?PHASE=DONE", "?LAST=-3", "?AFTER=now"):
        assert requests.get(url + filters, timeout=30).status_code == 400


def test_jobs_as_json(jobs_server: RunningServer) -> None:
    api = f"{jobs_server.url}/api/v1/jobs"
    body: dict[str, Any] = {"query": "SELECT TOP 3 ra FROM tycho2.stars", "format": "csv", "maxrec": 2, "runid": "r"}
    created = requests.post(api, json=body, timeout=30)
    assert created.status_code == 201
    job = f"{api}/{created.json()['job_id']}"
    info = requests.get(job, params={"wait": 3}, timeout=30).json()
    while info["phase"] in {"QUEUED", "EXECUTING"}:
        info = requests.get(job, params={"wait": 3}, timeout=30).json()
    assert (info["phase"], info["overflow"], info["runid"]) == ("COMPLETED", True, "r")
    (result,) = info["results"]
    assert result["rows"] == 2
    assert len(requests.get(result["url"], timeout=30).text.splitlines()) == 3
    assert requests.delete(job, timeout=30).status_code == 204
    gone = requests.get(job, timeout=30)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")
    assert requests.get(api, timeout=30).json() == []


def test_a_result_in_parts_can_be_used_part_by_part(url: str, sample_store: SampleStore) -> None:
    """The limit of bytes is 2 MB, a part's 1 MB."""
    columns = "tyc_row, ra, dec, vt_mag"
    job = create(
        url, f"SELECT {columns} FROM tycho2.stars", PHASE="RUN", RESPONSEFORMAT="parquet/parts", MAXREC="80000"
    )
    assert finished(job) == "COMPLETED", requests.get(f"{job}/error", timeout=30).text
    listed = requests.get(f"{job}/results/result", timeout=30)
    assert listed.headers["content-type"] == "text/uri-list"
    parts = listed.text.split("\r\n")[:-1]
    assert parts == [f"{job}/results/part-{number:05d}" for number in range(len(parts))]
    assert len(parts) > 1
    tables = [pq.read_table(io.BytesIO(requests.get(part, timeout=30).content)) for part in parts]
    assert sum(table.num_rows for table in tables) == 80_000
    assert [table.schema.metadata[b"overflow"] for table in tables] == [b"false"] * (len(parts) - 1) + [b"true"]
    assert [int(table.schema.metadata[b"rows"]) for table in tables] == [table.num_rows for table in tables]
    rows = pa.concat_tables([table.replace_schema_metadata() for table in tables])
    stars = pq.read_table(sample_store.tycho2, columns=columns.split(", "))
    assert set(rows["tyc_row"].to_pylist()) <= set(stars["tyc_row"].to_pylist())
    assert len(set(rows["tyc_row"].to_pylist())) == 80_000
    assert rows["ra"].null_count == 0
    document = requests.get(job, timeout=30).text
    assert '<info name="rows">80000</info>' in document
    sync = requests.get(
        f"{url.removesuffix('async')}sync",
        {"LANG": "ADQL", "QUERY": "SELECT 1", "RESPONSEFORMAT": "parquet/parts"},
        timeout=30,
    )
    assert sync.status_code == 400
    assert "is for asynchronous jobs" in sync.text


def test_an_empty_result_in_parts_is_one_empty_part(url: str) -> None:
    job = create(url, "SELECT ra FROM tycho2.stars WHERE ra < 0", PHASE="RUN", RESPONSEFORMAT="parquet/parts")
    assert finished(job) == "COMPLETED"
    (part,) = requests.get(f"{job}/results/result", timeout=30).text.split()
    assert pq.read_table(io.BytesIO(requests.get(part, timeout=30).content)).schema.names == ["ra"]


def test_a_job_keeps_the_tables_that_came_with_it(jobs_server: RunningServer) -> None:
    service = pyvo.dal.TAPService(f"{jobs_server.url}/tap")
    targets = Table({"name": ["a", "b"], "ra": [56.75, 10.0], "dec": [24.12, -80.0]})
    query = (
        "SELECT t.name, COUNT(*) AS n FROM TAP_UPLOAD.mine AS t JOIN tycho2.stars AS s "
        "ON DISTANCE(POINT(t.ra, t.dec), POINT(s.ra, s.dec)) < 0.5 GROUP BY t.name ORDER BY t.name"
    )
    expected = service.run_sync(query, uploads={"mine": targets}).to_table()
    assert len(expected) == 2
    job = service.submit_job(query, uploads={"mine": targets})
    kept = {path.name for path in results_of(jobs_server) if list(path.glob("uploads/*"))}
    assert job.job_id in kept
    job.run().wait(timeout=30)
    assert (job.fetch_result().to_table() == expected).all()
    job.delete()
    assert job.job_id not in {path.name for path in results_of(jobs_server)}
    address = f"{jobs_server.url}/tap/async"
    missing = requests.post(
        address, data={"LANG": "ADQL", "QUERY": query, "UPLOAD": "mine,param:other"}, allow_redirects=False, timeout=30
    )
    assert missing.status_code == 400
    assert "no part called 'other'" in missing.text


def test_a_result_of_a_job_can_be_named_as_an_upload(jobs_server: RunningServer, url: str) -> None:
    """It is taken from the disk, for those who may read it; no other address is looked at."""
    job = create(url, "SELECT TOP 40 tyc_row, vt_mag FROM tycho2.stars ORDER BY vt_mag", PHASE="RUN")
    assert finished(job) == "COMPLETED"
    query = "SELECT COUNT(*) AS n FROM TAP_UPLOAD.bright AS b JOIN tycho2.stars AS s ON s.tyc_row = b.tyc_row"
    asked = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv"}
    sync = f"{jobs_server.url}/tap/sync"
    answer = requests.post(sync, {**asked, "UPLOAD": f"bright,{job}/results/result"}, timeout=60)
    assert answer.text.split() == ['"n"', "40"]
    chained = create(url, query, PHASE="RUN", RESPONSEFORMAT="csv", UPLOAD=f"bright,{job}/results/result")
    requests.delete(job, allow_redirects=False, timeout=30)
    assert finished(chained) == "COMPLETED"  # the table is its own by now
    for address, status in (
        (f"{job}/results/result", 404),
        (f"{url}/{'0' * 32}/results/../../x", 400),
        (f"{jobs_server.url}/tap/capabilities", 400),
        ("http://127.0.0.1:1/x.vot", 400),
        ("file:\x2f//etc/hostname", 400),
        ("vos://cadc.nrc.ca/x", 400),
    ):
        refused = requests.post(sync, {**asked, "UPLOAD": f"bright,{address}"}, timeout=60)
        assert refused.status_code == status, address


def test_what_no_document_can_hold(url: str, jobs_server: RunningServer) -> None:
    job = create(url, "SELECT 'a\x01b' AS t, 1 AS \x0b", RUNID="r\x02")
    for document in (requests.get(job, timeout=30).text, requests.get(f"{job}/parameters", timeout=30).text):
        lxml.etree.fromstring(document.encode())
        assert "\ufffd" in document
    api = f"{jobs_server.url}/api/v1/jobs"
    for body in ({"query": "SELECT '\ud800'"}, {"query": "SELECT 1", "runid": "\ud800"}):
        refused = requests.post(api, data=json.dumps(body), headers={"Content-Type": "application/json"}, timeout=30)
        assert (refused.status_code, "surrogate" in refused.text) == (400, True)
    form = b'--b\r\nContent-Disposition: form-data; name="LANG"\r\n\r\nADQL\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b; charset=undefined"}
    assert requests.post(url, form, headers=headers, timeout=30).status_code == 400


def test_parameters_of_a_job_are_limited(url: str) -> None:
    fields = [("QUERY", (None, "x" * 200_000)) for _ in range(4)]
    answer = requests.post(url, files=fields, allow_redirects=False, timeout=30)
    assert answer.status_code == 413
    assert "the limit is 524288 bytes" in answer.text


def test_changes_at_once_add_up(url: str) -> None:
    job = create(url, "SELECT 1")
    changes = [{"MAXREC": "7"}, {"RUNID": "mine"}, {"RESPONSEFORMAT": "csv"}, {"LANG": "QSERV"}]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda change: requests.post(f"{job}/parameters", change, timeout=30), changes))
    listed = requests.get(f"{job}/parameters", timeout=30).text
    for change in changes:
        ((name, value),) = change.items()
        assert f'<uws:parameter id="{name}">{value}</uws:parameter>' in listed
    with ThreadPoolExecutor(3) as threads:
        phases = [threads.submit(requests.post, f"{job}/phase", {"PHASE": "RUN"}, timeout=30) for _ in range(3)]
    assert {phase.result().status_code for phase in phases} <= {200, 403}
    assert finished(job) == "COMPLETED"


def test_a_refused_or_failed_job_keeps_no_files(url: str, jobs_server: RunningServer) -> None:
    busy = [create(url, SLOW, PHASE="RUN")]
    awaited(busy[0], "EXECUTING")
    busy += [create(url, SLOW, PHASE="RUN") for _ in range(5)]
    before = len(results_of(jobs_server))
    files = {"t": ("t.csv", b"a\n1\n")}
    data = {"LANG": "ADQL", "QUERY": "SELECT 1", "PHASE": "RUN", "UPLOAD": "t,param:t"}
    refused = requests.post(url, data, files=files, allow_redirects=False, timeout=30)
    assert (refused.status_code, len(results_of(jobs_server))) == (503, before)
    for job in reversed(busy):
        requests.delete(job, allow_redirects=False, timeout=30)


def test_columns_alone_in_parts(url: str) -> None:
    job = create(url, "SELECT ra FROM tycho2.stars", PHASE="RUN", RESPONSEFORMAT="parquet/parts", MAXREC="0")
    assert finished(job) == "COMPLETED"
    (part,) = requests.get(f"{job}/results/result", timeout=30).text.split()
    table = pq.read_table(io.BytesIO(requests.get(part, timeout=30).content))
    assert (table.num_rows, table.schema.names) == (0, ["ra"])
    asked = {"LANG": "ADQL", "QUERY": "SELECT COUNT(*) AS n FROM TAP_UPLOAD.t", "UPLOAD": f"t,{job}/results/result"}
    answer = requests.post(f"{url.removesuffix('async')}sync", asked, timeout=30)
    assert (answer.status_code, "name a part" in answer.text) == (400, True)


@pytest.mark.parametrize(
    "path", ["/api/v1/jobs/{job}?wait=nan", "/api/v1/jobs?last=" + "9" * 30, "/tap/async?LAST=" + "9" * 30]
)
def test_odd_numbers_are_no_fault_of_ours(url: str, jobs_server: RunningServer, path: str) -> None:
    job = create(url, "SELECT 1").rsplit("/", 1)[1]
    assert requests.get(f"{jobs_server.url}{path.format(job=job)}", timeout=30).status_code < 500
    headers = {"Authorization": b"Basic \xfc\xfc"}
    assert requests.get(f"{jobs_server.url}/tap/async", headers=headers, timeout=30).status_code == 401
