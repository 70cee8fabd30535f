"""Qserv's statements about queries: submit, list, cancel; each caller's own, without a session."""

import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from catalog_service.client import CatalogClient
from catalog_service.exceptions import CatalogServiceError, NotFoundError, QueryNameError, QueryRefusedError
from tests.harness import SampleStore
from tests.identified import serving_names

BRIGHT = "SELECT COUNT(*) AS n FROM survey.Object WHERE i_psfMag < 20"
ENDLESS = (
    "SELECT COUNT(*) AS n FROM survey.Object AS a, survey.Object AS b, survey.Object AS c "
    "WHERE a.i_psfMag + b.i_psfMag * c.i_psfMag < 1"
)


@pytest.fixture(scope="module")
def url(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving_names(sample_store.root, tmp_path_factory.mktemp("sessions")) as (url, _):
        yield url


def ask(client: CatalogClient, statement: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.query(statement, lang="QSERV").to_arrow().to_pylist()
    return rows


def listed_when(client: CatalogClient, status: str, words: str) -> dict[str, Any]:
    """Return the newest query of a status and with some words, once there is one."""
    statement = f"SELECT * FROM information_schema.processlist WHERE STATUS = '{status}' AND QUERY LIKE '%{words}%'"
    for _ in range(200):
        found = ask(client, statement + " AND QUERY NOT LIKE '%processlist%'")
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(status)


def test_what_is_submitted_becomes_a_job(url: str) -> None:
    with CatalogClient(url, "anna") as anna, CatalogClient(url, "bob") as bob:
        (told,) = ask(anna, f"SUBMIT {BRIGHT};")
        assert told["resultLocation"] == f"{url}/tap/async/{told['jobId']}/results/result"
        job = anna.job(told["jobId"]).wait(60)
        assert job.info.phase == "COMPLETED"
        ended = listed_when(anna, "COMPLETED", "i_psfMag < 20")
        assert (ended["ID"], ended["TYPE"]) in {(told["jobId"], "ASYNC"), (ended["ID"], "SYNC")}
        kept = ask(
            anna, f"SELECT TYPE, `ROWS`, QUERY FROM information_schema.queries AS q WHERE q.ID = '{told['jobId']}'"
        )
        assert kept == [{"TYPE": "ASYNC", "ROWS": 1, "QUERY": f"{BRIGHT};"}]
        assert told["jobId"] not in {row["ID"] for row in ask(bob, "SHOW PROCESSLIST")}
        with pytest.raises(NotFoundError):
            ask(bob, f"CALL qserv_result_delete({told['jobId']})")
        assert ask(anna, f"CALL qserv_result_delete({told['jobId']})") == [{"ok": 1}]
        with pytest.raises(NotFoundError):
            anna.job(told["jobId"]).wait(1)


def test_owners_cancel_what_runs(url: str) -> None:
    failed: list[CatalogServiceError] = []

    def run() -> None:
        with CatalogClient(url, "anna") as client, pytest.raises(CatalogServiceError) as raised:
            ask(client, ENDLESS)
        failed.append(raised.value)

    thread = threading.Thread(target=run)
    thread.start()
    with CatalogClient(url, "anna") as anna, CatalogClient(url, "bob") as bob:
        running = listed_when(anna, "EXECUTING", "c.i_psfMag")
        assert running["TYPE"] == "SYNC"
        with pytest.raises(NotFoundError):
            ask(bob, f"KILL {running['ID']}")
        assert ask(anna, f"KILL QUERY '{running['ID']}'") == [{"ok": 1}]
        thread.join(20)
        assert not thread.is_alive()
        assert "You cancelled the query" in str(failed[0])
        (job,) = ask(anna, f"submit {ENDLESS}")
        assert ask(anna, f"CANCEL {job['jobId']}") == [{"ok": 1}]
        assert anna.job(job["jobId"]).info.phase == "ABORTED"


def test_lists_keep_to_their_owner_and_to_what_is_asked(url: str) -> None:
    with CatalogClient(url, "carl") as carl, CatalogClient(url) as nobody:
        long = f"SELECT 'it''s \\\\ long {'x' * 300}' AS t, COUNT(*) AS n FROM survey.Visit"
        ask(carl, long)
        own = [row for row in ask(carl, "SHOW FULL PROCESSLIST") if "it''s" in row["QUERY"]]
        assert own[0]["QUERY"] == long
        assert list(own[0]) == "ID TYPE STATUS SUBMITTED COMPLETED CHUNKS CHUNKS_COMP BYTES ROWS QUERY ERROR".split()
        short = [row["QUERY"] for row in ask(carl, "show processlist") if "it''s" in row["QUERY"]]
        assert short == [long[:100]]
        assert ask(nobody, "SHOW PROCESSLIST") == []
        count = ask(carl, "SELECT STATUS, COUNT(*) AS n FROM information_schema . PROCESSLIST p GROUP BY p.STATUS")
        assert [(row["STATUS"], row["n"] > 1) for row in count] == [("COMPLETED", True)]


def test_what_has_no_answer_says_so(url: str) -> None:
    with CatalogClient(url, "anna") as anna:
        for statement, error, words in (
            ("SELECT * FROM qserv_result(12)", NotFoundError, "12"),
            ("SELECT * FROM qserv_result(1 + 1)", QueryRefusedError, "the id of one job"),
            ("KILL 1 OR 1", QueryRefusedError, "the id of one query"),
            ("KILL 12345", NotFoundError, "12345"),
            ("USE survey", QueryRefusedError, "schema.table"),
        ):
            with pytest.raises(error, match=words):
                ask(anna, statement)
        assert ask(anna, "SELECT DATABASE()") == [{"DATABASE()": None}]
        assert ask(anna, "COMMIT") == ask(anna, "SET autocommit = 1") == []


def test_results_of_jobs_are_tables_of_their_owners(url: str) -> None:
    bands = "SELECT band, COUNT(*) AS n, MIN(expMidptMJD) FROM survey.Visit GROUP BY band ORDER BY band"
    with CatalogClient(url, "anna") as anna, CatalogClient(url, "bob") as bob:
        (told,) = ask(anna, f"SUBMIT {bands}")
        anna.job(told["jobId"]).wait(60)
        stored = f"qserv_result('{told['jobId']}')"
        assert ask(anna, f"SELECT * FROM {stored}") == ask(anna, bands)
        assert ask(anna, f"SELECT SUM(r.n) AS visits FROM {stored} AS r, survey.Visit v WHERE v.band = r.band") != []
        count = ask(
            anna, f"SELECT COUNT(*) AS c, 'qserv_result(1)' AS t FROM {stored} r WHERE r.n > 0 -- qserv_result(2)"
        )
        assert count[0]["t"] == "qserv_result(1)"
        assert count[0]["c"] == len(ask(anna, bands))
        with pytest.raises(NotFoundError):
            ask(bob, f"SELECT * FROM {stored}")
        fields = {"LANG": "QSERV", "QUERY": f"SELECT * FROM {stored}", "RESPONSEFORMAT": "votable/td"}
        request = urllib.request.Request(
            f"{url}/tap/sync", urllib.parse.urlencode(fields).encode(), {"Authorization": "Bearer anna"}
        )
        with urllib.request.urlopen(request) as response:
            assert f"SELECT * FROM {stored}".replace("'", "&#39;").encode() in response.read().replace(b"'", b"&#39;")


def test_explain_tells_what_would_be_read(url: str) -> None:
    with CatalogClient(url, "anna") as anna:
        query = "SELECT v.band FROM survey.Object o, survey.Visit v WHERE qserv_areaspec_circle(62, -37, 0.01)"
        objects, visits = ask(anna, f"explain {query}")
        assert (objects["table"], visits["table"]) == ("survey.Object", "survey.Visit")
        assert 0 < objects["files"] < objects["files_total"]
        assert "a region" in objects["Extra"] or "meet" in objects["Extra"]
        with pytest.raises(QueryNameError, match="band"):
            ask(anna, "EXPLAIN SELECT bnad FROM survey.Visit")


def test_an_answer_tells_what_was_asked(url: str) -> None:
    fields = urllib.parse.urlencode({"LANG": "QSERV", "QUERY": "SHOW PROCESSLIST", "RESPONSEFORMAT": "votable/td"})
    with urllib.request.urlopen(f"{url}/tap/sync", fields.encode()) as response:
        assert b'name="QUERY" value="SHOW PROCESSLIST"' in response.read()
