"""A recording of a MariaDB that looks like a Qserv, against our service and against itself with faults."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from catalog_service.cli import app
from catalog_service.migration.compare import DifferenceKind, Verdict
from catalog_service.migration.compare.found import Report
from catalog_service.migration.compare.recordings import compare_recordings
from catalog_service.migration.compare.target import Target, ask_target
from catalog_service.migration.recorder.access import PASSWORD_VARIABLE, TOKEN_VARIABLE, parse_address
from catalog_service.migration.recorder.command import main
from catalog_service.migration.recorder.format import Recording
from catalog_service.migration.recorder.options import Options
from catalog_service.migration.recorder.pace import Rate
from catalog_service.migration.recorder.records import Answer
from tests.catalog_service.migration.compare.recordings import Made
from tests.catalog_service.migration.qserv_like import QservLike, running_qserv_like
from tests.harness import SampleStore

AREA = "scisql_s2PtInCircle(coord_ra, coord_dec, 62, -37, 0.03) = 1"
QUERIES = f"""
SELECT * FROM survey.Object WHERE {AREA};
SELECT objectId, scisql_nanojanskyToAbMag(g_cModelFlux), g_cModelFlux / 7 FROM survey.Object WHERE {AREA};
SELECT COUNT(*) AS n, AVG(coord_ra) AS a, chunkId FROM survey.Object GROUP BY chunkId;
SELECT COUNT(*), AVG(coord_ra), SUM(g_cModelFlux), STD(g_cModelFlux), SUM(objectId % 7) FROM survey.Object;
SELECT band, COUNT(*) AS n, AVG(airmass) FROM survey.Visit GROUP BY band;
SELECT objectId, g_cModelFlux FROM survey.Object WHERE g_cModelFlux > 0 ORDER BY g_cModelFlux LIMIT 50;
SELECT objectId, refBand FROM survey.Object ORDER BY refBand LIMIT 20;
SELECT objectId FROM survey.Object LIMIT 10;
SELECT * FROM survey.Visit ORDER BY visit;
SELECT DISTINCT band FROM survey.Visit;
SELECT 7 DIV 2, 7 / 3 AS third, 2.5e0 AS x, 'Abc' AS t, objectId IN (1, 2) AS flag FROM survey.Object WHERE {AREA};
SELECT o.objectId, m.match_chisq FROM survey.Object o, survey.MatchesTruth m
  WHERE o.objectId = m.match_objectId AND {AREA};
SELECT nosuch FROM survey.Object;
"""
FAST = Options(rate=Rate(), retries=1, retry_wait_s=0.05, again=("lost", "timeout"))


def record(server: QservLike, directory: Path, queries: str, *more: str) -> Path:
    file = directory / "queries.sql"
    file.write_text(queries)
    assert main([server.url, "--out", str(directory / "left"), "--rate", "100%", "--queries", str(file), *more]) == 0
    return directory / "left"


def silent(_: str) -> None:
    pass


def asked(server: QservLike, recording: Path, into: Path, say: Callable[[str], None] = silent) -> tuple[bool, str]:
    target = Target(parse_address(server.url), server.password, FAST)
    found = ask_target(recording, target, into, say)
    return found.is_complete, found.problem


@pytest.fixture(scope="module", autouse=True)
def _password(qserv_like: QservLike) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORD_VARIABLE, qserv_like.password)
        patch.setenv("CATALOG_TARGET_PASSWORD", qserv_like.password)
        yield


@pytest.fixture(scope="module")
def recording(qserv_like: QservLike, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(qserv_like, tmp_path_factory.mktemp("recorded"), QUERIES)


def run(*arguments: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["migrate", "compare", *map(str, arguments)])
    return found.exit_code, found.output


def test_our_service_answers_as_the_qserv_did(recording: Path, server_url: str, tmp_path: Path) -> None:
    report, page, kept = tmp_path / "report.json", tmp_path / "report.html", tmp_path / "ours"
    code, text = run(
        recording, server_url, "--keep", kept, "--json", report, "--html", page, "--nan-is-null", "--timeout", 60
    )
    found = json.loads(report.read_text())
    differing = [one for one in found["compared"] if one["verdict"] in {"different", "not compared"}]
    undefined = [one for one in differing if one["verdict"] == "not compared"]
    assert undefined == differing, json.dumps(differing, indent=1)[:3000]
    assert [("chunkId" in one["query"], "LIMIT 10" in one["query"]) for one in undefined] == [
        (True, False),
        (False, True),
    ]
    assert code == 2
    assert "equal within rules, 2 not compared" in text
    rules = {rule for one in found["compared"] for rule in one["rules"]}
    assert {"FLOAT", "NaN is NULL", "refused by both", "order not asked for"} <= rules
    assert page.read_text().count("<details") == len(found["compared"]) == 5 + 13 + 5
    assert all(one["right"]["seconds"] > 0 for one in found["compared"] if one["subject"] == "answer")
    strict = compare_recordings(recording, kept)
    kinds = {one.kind for each in strict.compared if each.subject == "answer" for one in each.comparison.differences}
    assert kinds == {DifferenceKind.NULL_NAN}, "MySQL holds NULL where the survey has infinities"


class Answering(BaseHTTPRequestHandler):
    """A TAP service of one number."""

    number = 1
    tokens: ClassVar[set[str | None]] = set()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send("<x/>")

    def do_POST(self) -> None:
        query = self.rfile.read(int(self.headers["Content-Length"])).decode()
        rows = "" if "TAP_SCHEMA" in query else f"<TR><TD>{self.number}</TD></TR>"
        self._send(
            '<VOTABLE><RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/><TABLE>'
            f'<FIELD name="a" datatype="long"/><DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>'
        )

    def _send(self, body: str) -> None:
        self.tokens.add(self.headers.get("Authorization"))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-votable+xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def answering() -> Iterator[str]:
    Answering.number, Answering.tokens = 1, set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/tap"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_finished_comparison_asks_anew(answering: str, tmp_path: Path) -> None:
    made = Made(tmp_path / "left", "tap")
    made.answer("SELECT a FROM t", {"a": "int64"}, [(1,)], lang="ADQL")
    code, text = run(made.directory, answering)
    assert (code, "answers taken" in text) == (0, True), text
    Answering.number = 999
    code, text = run(made.directory, answering, "--reuse")
    assert (code, "answers taken" in text) == (0, True), text
    code, text = run(made.directory, answering)
    assert (code, "asked anew" in text) == (1, True), text
    assert len(list(tmp_path.iterdir())) == 3, "the earlier answers are kept"


def test_damaged_answers_of_the_target_are_asked_anew(answering: str, tmp_path: Path) -> None:
    made = Made(tmp_path / "left", "tap")
    made.answer("SELECT a FROM t", {"a": "int64"}, [(1,)], lang="ADQL")
    assert run(made.directory, answering, "--keep", tmp_path / "right")[0] == 0
    (answer,) = (tmp_path / "right" / "answers").glob("*.json")
    answer.write_text("{")
    code, text = run(made.directory, answering, "--keep", tmp_path / "right", "--reuse")
    assert (code, "is recorded anew" in text) == (0, True), text
    assert answer.with_name(f"{answer.name}.damaged").read_text() == "{"


def test_the_target_gets_no_secret_of_the_source(
    answering: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(tmp_path / "left", "tap")
    made.answer("SELECT a FROM t", {"a": "int64"}, [(1,)], lang="ADQL")
    monkeypatch.setenv(TOKEN_VARIABLE, "old")
    assert run(made.directory, answering)[0] == 0
    assert Answering.tokens == {None}
    monkeypatch.setenv("CATALOG_SERVICE_TOKEN", "new")
    assert run(made.directory, answering)[0] == 0
    assert Answering.tokens == {None, "Bearer new"}
    Answering.tokens.clear()
    secret = tmp_path / "secret"
    secret.write_text("filed\n")
    secret.chmod(0o600)
    assert run(made.directory, answering, "--token-file", secret)[0] == 0
    assert Answering.tokens <= {None, "Bearer filed"}


def test_what_is_known_is_not_asked_again(recording: Path, server_url: str, tmp_path: Path) -> None:
    first = Made(tmp_path / "left")
    first.answer("SELECT visit FROM survey.Visit", {"visit": "int64"}, [])
    found: list[Answer] = []
    for _ in range(2):
        assert run(first.directory, server_url, "--keep", tmp_path / "ours", "--async", "--reuse")[0] == 1
        found += Recording(tmp_path / "ours").answers()
    assert found[0] == found[1]
    assert found[0].rows == 48


@pytest.fixture(scope="module")
def frail(sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QservLike]:
    """A server that tests may change and kill."""
    with running_qserv_like(
        tmp_path_factory.mktemp("frail"), sample_store.survey, ("Object", "MatchesTruth")
    ) as server:
        yield server


def located(report: Report, table: str) -> tuple[set[str], set[str | None]]:
    """Return the cells in which the fingerprints of a table differ, and the fields."""
    (found,) = [one for one in report.compared if (one.subject, one.name) == ("fingerprints", table)]
    cells = {example["row"]["cell"] for one in found.comparison.differences for example in one.examples}
    return cells, {one.column for one in found.comparison.differences}


def test_one_row_altered_missing_or_twice_is_found_and_located(frail: QservLike, tmp_path: Path) -> None:
    query = "SELECT objectId, coord_ra, g_cModelFlux FROM survey.Object"
    recording = record(frail, tmp_path, query, "--columns", "0")
    (answer,) = Recording(recording).answers()
    rows = list(Recording(recording).rows_of(answer))
    ident, ra = int(rows[777][0] or 0), float(rows[777][1] or 0)
    change = frail.database.execute
    for name, table in (("kept", "Object"), ("also", "MatchesTruth")):
        change(f"CREATE TABLE survey.{name} AS SELECT * FROM survey.{table}")
    faults = {
        f"UPDATE survey.Object SET g_cModelFlux = g_cModelFlux * 1.001 WHERE objectId = {ident}": DifferenceKind.CELLS,
        f"DELETE FROM survey.Object WHERE objectId = {ident}": DifferenceKind.ONLY_LEFT,
        f"INSERT INTO survey.MatchesTruth SELECT * FROM survey.also WHERE match_objectId = {ident} LIMIT 1": None,
    }
    for number, (statement, kind) in enumerate(faults.items()):
        change(statement)
        assert asked(frail, recording, tmp_path / f"right{number}") == (True, "")
        report = compare_recordings(recording, tmp_path / f"right{number}")
        (compared,) = [one for one in report.compared if one.subject == "answer"]
        if kind is None:
            cells, fields = located(report, "survey.MatchesTruth")
            assert "rows" in fields
            assert len(cells) == 1
        else:
            assert compared.comparison.count(kind) == 1
            cells, fields = located(report, "survey.Object")
            assert [cell.split()[0] for cell in cells] == [str(int(ra))]
        change("REPLACE INTO survey.Object SELECT * FROM survey.kept; FLUSH TABLES")  # a later test kills the server


def test_a_server_that_dies_in_the_middle(frail: QservLike, tmp_path: Path) -> None:
    queries = [f"SELECT objectId + {number} AS x FROM survey.Object LIMIT 100" for number in range(4)]
    recording = record(frail, tmp_path, ";".join(queries), "--steps", "queries", "--table", "nothing")

    def kill(said: str) -> None:
        if said.startswith("query 2"):
            frail.kill()

    try:
        is_complete, problem = asked(frail, recording, tmp_path / "right", kill)
    finally:
        frail.restart()
    assert not is_complete
    assert "continues" in problem
    partial = compare_recordings(recording, tmp_path / "right")
    assert [one.comparison.verdict for one in partial.compared] == [Verdict.EQUAL] * 2 + [Verdict.NOT_COMPARED] * 2
    assert partial.exit_status == 2
    again: list[Any] = []
    assert asked(frail, recording, tmp_path / "right", again.append) == (True, "")
    assert len([said for said in again if said.startswith("query")]) == 2
    assert compare_recordings(recording, tmp_path / "right").exit_status == 0


def test_a_target_that_takes_too_long(frail: QservLike, tmp_path: Path) -> None:
    made = Made(tmp_path / "left")
    made.answer("SELECT survey.nap(5) AS s", {"s": "int64"}, [(0,)])
    code, text = run(made.directory, frail.url, "--keep", tmp_path / "right", "--timeout", "0.3")
    assert code == 2
    assert "timeout: stopped after the time limit of 0.3 s" in text


def test_what_may_write_is_not_asked_whoever_recorded_it(frail: QservLike, tmp_path: Path) -> None:
    made = Made(tmp_path / "left")
    made.answer("SELECT 1.0INTO @x", {"s": "int64"}, [(0,)])
    made.answer("SELECT 1 AS s", {"s": "int64"}, [(1,)])
    code, text = run(made.directory, frail.url, "--keep", tmp_path / "right")
    assert code == 2
    assert "not asked: Nothing is sent that may write" in text
    assert [one.query for one in Recording(tmp_path / "right").answers()] == ["SELECT 1 AS s"]


def test_what_was_refused_is_asked_again_on_request(frail: QservLike, tmp_path: Path) -> None:
    made = Made(tmp_path / "left")
    made.answer("SELECT x FROM survey.later", {"x": "float64"}, [(1e-13,)])
    options = ("--keep", tmp_path / "right", "--margin", "1e-12")
    assert run(made.directory, frail.url, *options)[0] == 1
    frail.database.execute("CREATE TABLE survey.later AS SELECT 2e-13 AS x")
    assert run(made.directory, frail.url, *options, "--reuse")[0] == 1
    code, text = run(made.directory, frail.url, *options, "--reuse", "--refused-again")
    assert (code, "1 equal within rules" in text) == (0, True), text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["http://127.0.0.1:1/tap", "--retries", "0"], "cannot"),
        (["mysql://somebody:secret@127.0.0.1/survey"], "holds a password"),
        (["mysql://somebody@127.0.0.1/survey", "--rate", "often"], "is no rate"),
        (["nowhere"], "holds no recording"),
    ],
)
def test_targets_that_cannot_be_compared_with(tmp_path: Path, arguments: list[str], words: str) -> None:
    made = Made(tmp_path / "left")
    made.answer("SELECT 1 AS a", {"a": "int64"}, [(1,)])
    code, text = run(made.directory, *arguments)
    assert code == 2
    assert words in text
