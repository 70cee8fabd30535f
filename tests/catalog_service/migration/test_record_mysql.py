"""Recording a MySQL-protocol source: what is kept is what it answers, politely, and from where it stopped."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from catalog_service.migration.recorder.access import PASSWORD_VARIABLE, parse_address
from catalog_service.migration.recorder.command import main
from catalog_service.migration.recorder.errors import QueryTimeout, RefusedError, UnreachableError, UsageError
from catalog_service.migration.recorder.format import Recording
from catalog_service.migration.recorder.mysql_source import MysqlSource
from catalog_service.migration.recorder.records import Answer
from catalog_service.migration.recorder.statements import check_reads_only
from tests.catalog_service.migration.qserv_like import DATABASE, QservLike, running_qserv_like
from tests.harness import SampleStore

FAST = ["--rate", "100%", "--retry-wait", "0.05"]
ODD = """
CREATE DATABASE odd; USE odd;
CREATE TABLE Odd (id BIGINT, big BIGINT UNSIGNED, small TINYINT, t VARCHAR(20), u VARCHAR(20) CHARACTER SET utf8mb4,
  f FLOAT, d DOUBLE, m DECIMAL(12,4), flag BIT(1), bits BIT(12), b VARBINARY(8), day DATE, at DATETIME(3));
INSERT INTO Odd VALUES (9007199254740993, 18446744073709551615, -1, 'say "a, b"\\n\\\\N', UNHEX('CEB1F09F8CA0'), 0.1,
  0.1e0, 12345678.9012, 1, 2049, UNHEX('00ff22'), '2026-01-02', '2026-01-02 03:04:05.678');
INSERT INTO Odd VALUES (2, 0, 0, '', 'NULL', 1e10, 5e-324, 0, 0, 0, '', NULL, NULL);
INSERT INTO Odd VALUES (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO Odd (id, t, d) VALUES (4, UNHEX('E9E8'), 1.7976931348623157e308);
"""


@pytest.fixture(scope="module")
def odd(qserv_like: QservLike) -> Iterator[QservLike]:
    """Add tables of values that are easily damaged on the way."""
    qserv_like.database.execute(ODD)
    yield qserv_like
    qserv_like.database.execute("DROP DATABASE odd")


@pytest.fixture(autouse=True)
def _password(qserv_like: QservLike, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, qserv_like.password)


def record(server: QservLike, out: Path, *options: str, queries: str = "", database: str = DATABASE) -> Recording:
    """Record and return the recording; `queries` are the statements of a file."""
    if queries:
        (out.parent / "queries.sql").write_text(queries)
        options = ("--queries", str(out.parent / "queries.sql"), "--steps", "queries", *options)
    url = server.url.replace(f"/{DATABASE}", f"/{database}")
    assert main([url, "--out", str(out), *FAST, *options]) == 0
    return Recording(out)


def rows(recording: Recording, number: int = 0) -> list[tuple[str | None, ...]]:
    return list(recording.rows_of(list(recording.answers())[number]))


def told_by_mariadb(server: QservLike, answer: Answer) -> list[tuple[str | None, ...]]:
    """Ask MariaDB's own client; it prints a bit as a byte."""
    command = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root", "--batch", "--skip-column-names"]
    run = subprocess.run([*command, DATABASE, f"--execute={answer.query}"], capture_output=True, check=True)
    bits = [one.kind == "boolean" for one in answer.columns]
    told = [line.split("\t") for line in run.stdout.decode("latin1").split("\n")[:-1]]
    byte = {"\\0": "0", "\1": "1", "NULL": None}
    plain: dict[str, str | None] = {"NULL": None}
    return [
        tuple((byte if is_bit else plain).get(value, value) for value, is_bit in zip(row, bits, strict=True))
        for row in told
    ]


def _iso(value: str | None) -> str | None:
    return value and value.replace(" ", "T")


def by_query(recording: Recording) -> dict[str, tuple[str | None, int]]:
    return {answer.query: (answer.sha256, answer.rows) for answer in recording.answers()}


def test_values_that_are_easily_damaged_are_kept(odd: QservLike, tmp_path: Path) -> None:
    recording = record(odd, tmp_path / "r", queries="SELECT * FROM Odd ORDER BY id DESC", database="odd")
    others = ("12345678.9012", "1", "2049", "00ff22", "2026-01-02", "2026-01-02T03:04:05.678")
    assert rows(recording) == [
        (
            "9007199254740993",
            "18446744073709551615",
            "-1",
            'say "a, b"\n\\N',
            "\u03b1\U0001f320",
            "0.1",
            "0.1",
            *others,
        ),
        ("4", None, None, "\xe9\xe8", None, None, "1.7976931348623157e308", *[None] * 6),
        ("3", *[None] * 12),
        ("2", "0", "0", "", "NULL", "10000000000", "5e-324", "0.0000", "0", "0", "", None, None),
    ]
    (answer,) = recording.answers()
    kinds = "int64 uint64 int64 text text float32 float64 decimal boolean uint64 bytes timestamp timestamp"
    assert [one.kind for one in answer.columns] == kinds.split()
    (table,) = record(odd, tmp_path / "r", "--steps", "tables", database="odd").tables()
    assert [one.kind for one in table.columns] == kinds.split()
    assert table.columns[0].type == "bigint(20)"
    assert (table.rows, table.key) == (4, ("id",))


def test_answers_equal_what_another_client_reads(qserv_like: QservLike, tmp_path: Path) -> None:
    recording = record(qserv_like, tmp_path / "r", "--samples", "1", "--cones", "plain", "--table", "*.[OVM]*")
    answers = list(recording.answers())
    assert {"cone of 0.001 deg", "one id", "list of ids", "join by key in a cone", "group by chunk", "aggregates"} <= {
        answer.use_case for answer in answers
    }
    for answer in answers:
        assert answer.error is None, answer
        if answer.use_case in {
            "cone of 0.5 deg",
            "cone of 1 deg",
        }:  # stored functions are slow, and one row tells little
            continue
        seen, expected = list(recording.rows_of(answer)), told_by_mariadb(qserv_like, answer)
        timed = [at for at, one in enumerate(answer.columns) if one.kind == "timestamp"]
        assert seen == [
            tuple(_iso(value) if at in timed else value for at, value in enumerate(row)) for row in expected
        ]
        assert answer.rows == len(expected)
        assert answer.seconds >= (answer.seconds_to_first_row or 0) > 0


def test_cones_are_written_as_the_source_takes_them(qserv_like: QservLike, tmp_path: Path) -> None:
    recording = record(qserv_like, tmp_path / "r", "--samples", "1", "--table", "*.Visit", "--steps", "queries")
    cones = [answer for answer in recording.answers() if answer.use_case.startswith("cone")]
    assert len(cones) == 5
    assert all("scisql_s2PtInCircle" in answer.query and answer.error is None for answer in cones)


def test_tables_are_described(qserv_like: QservLike, tmp_path: Path) -> None:
    tables = {one.table: one for one in record(qserv_like, tmp_path / "r", "--steps", "tables").tables()}
    found = tables["Object"]
    assert (found.key, found.ra, found.dec, found.chunk) == (("objectId",), "coord_ra", "coord_dec", "chunkId")
    assert found.rows == 20029
    assert {one.name: one.kind for one in found.columns}["g_psfFlux_flag"] == "boolean"
    assert set(tables) == {"Visit", "Object", "Source", "MatchesTruth", "TruthSummary"}


def test_nothing_but_reads_is_sent_and_no_secret_is_kept(odd: QservLike, tmp_path: Path) -> None:
    log = odd.directory / "general.log"
    odd.database.execute(f"SET GLOBAL general_log_file = '{log}'; SET GLOBAL general_log = 1")
    try:
        record(odd, tmp_path / "r", "--cells", "id", "--query-per-cell", database="odd")
        record(odd, tmp_path / "r", "--timeout", "0.2", queries="SELECT survey.nap(9);\nSELECT 1;", database="odd")
    finally:
        odd.database.execute("SET GLOBAL general_log = 0")
    sent = re.findall(r" Query\t(.*)", log.read_text("latin1"))
    statements = {" ".join(one.split()[:3]) for one in sent if not one.startswith(("SELECT", "SHOW"))}
    assert statements <= {"SET NAMES utf8mb4", "SET SESSION TRANSACTION", "SET SESSION net_write_timeout"} | {
        one for one in statements if re.fullmatch(r"KILL QUERY \d+|SET GLOBAL general_log", one)
    }
    assert any(one.startswith("KILL QUERY") for one in statements)
    for path in (tmp_path / "r").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert odd.password.encode() not in content
            assert odd.user.encode() not in content


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM Odd", "SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT 1; DROP TABLE Odd", "SELECT 1 /*! INTO @x */"],
)
def test_what_could_write_is_refused_before_anything_is_sent(
    odd: QservLike, tmp_path: Path, statement: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "q.sql").write_text(f"SELECT 1;\n{statement}\n")
    arguments = [
        odd.url,
        "--out",
        str(tmp_path / "r"),
        *FAST,
        "--steps",
        "queries",
        "--queries",
        str(tmp_path / "q.sql"),
    ]
    code = main(arguments)
    if ";" in statement:  # two statements of a file are two queries: the second is what is refused
        statement = statement.partition("; ")[2]
    assert code == 2
    assert statement in capsys.readouterr().err
    assert list((tmp_path / "r" / "answers").iterdir()) == []


def test_texts_that_mariadb_reads_otherwise_write_nothing(odd: QservLike) -> None:
    """What a scanner takes for a comment or a text may be none: each of these wrote a file, or slept."""
    target = odd.directory / "written"
    tricks = [
        f"SELECT 1 --\x01'\n INTO OUTFILE '{target}' -- '",
        f"SELECT 1 --\u00a0 INTO OUTFILE '{target}' \n FROM (SELECT 1 AS `\u00a0`) t",
        f"SELECT 1.0INTO OUTFILE '{target}'",
        f"SELECT \\NINTO OUTFILE '{target}'",
        f"SELECT 1 /*M!100000 INTO OUTFILE '{target}' */",
    ]
    with pymysql.connect(unix_socket=str(odd.socket), user="root", charset="utf8mb4") as owner:
        for trick in tricks:
            with owner.cursor() as cursor:
                cursor.execute(trick)
            target.unlink()  # the trick works: it must not be sent
            with pytest.raises(UsageError):
                check_reads_only(trick)


def test_an_answer_without_a_result_is_refused(odd: QservLike, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog_service.migration.recorder.mysql_source.check_reads_only", lambda _: None)
    source = MysqlSource(parse_address(odd.url), odd.password)
    with pytest.raises(RefusedError, match="without a result"), source.ask("DO 1", timeout_s=5):
        pass
    with source.ask("SELECT 1", timeout_s=5) as result:
        assert [list(row) for batch in result.batches for row in batch] == [["1"]]
    source.close()


def test_a_stored_function_cannot_write(odd: QservLike, tmp_path: Path) -> None:
    """Not even with the rights of its definer, and into a table without transactions."""
    functions = "".join(
        f"CREATE TABLE odd.{engine} (n INT) ENGINE={engine};\nDELIMITER //\n"
        f"CREATE FUNCTION odd.write_{engine}() RETURNS INT MODIFIES SQL DATA SQL SECURITY DEFINER "
        f"BEGIN INSERT INTO odd.{engine} VALUES (1); RETURN 1; END//\nDELIMITER ;\n"
        for engine in ("Aria", "InnoDB")
    )
    odd.database.execute(functions)
    recording = record(odd, tmp_path / "r", queries="SELECT odd.write_Aria();\nSELECT odd.write_InnoDB()")
    for answer in recording.answers():
        assert answer.error is not None
        assert "READ ONLY" in answer.error.message
    assert odd.database.answers(["SELECT n FROM odd.Aria UNION SELECT n FROM odd.InnoDB"], "odd") == [[]]


def test_an_error_names_no_account(odd: QservLike, tmp_path: Path) -> None:
    odd.database.execute(
        "CREATE USER 'ann'@'%'; GRANT SELECT ON odd.* TO 'ann'@'%'; CREATE TABLE mysql.secret (a INT);"
    )
    (tmp_path / "q.sql").write_text("SELECT * FROM mysql.secret")
    url = odd.url.replace(f"{odd.user}@", "ann@").replace(f"/{DATABASE}", "/odd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORD_VARIABLE, "")
        arguments = ["--steps", "queries", "--queries", str(tmp_path / "q.sql")]
        assert main([url, "--out", str(tmp_path / "r"), *FAST, *arguments]) == 0
    (answer,) = Recording(tmp_path / "r").answers()
    assert answer.error is not None
    assert "denied to the account for table" in answer.error.message


def test_what_earlier_runs_left_open_stays_to_be_recorded(odd: QservLike, tmp_path: Path) -> None:
    record(odd, tmp_path / "r", queries="SELECT 1;\nSELECT 2")
    (tmp_path / "r" / "answers").joinpath(next(Recording(tmp_path / "r").answers()).id + ".json").unlink()
    record(odd, tmp_path / "r", queries="SELECT 3")
    asked = json.loads((tmp_path / "r" / "queries.json").read_text())["asked"]
    assert [one["query"] for one in asked] == ["SELECT 1", "SELECT 2", "SELECT 3"]
    assert {one.query for one in Recording(tmp_path / "r").answers()} == {"SELECT 2", "SELECT 3"}


def test_errors_are_answers(odd: QservLike, tmp_path: Path) -> None:
    queries = "SELECT nope FROM Odd;\nSELECT survey.nap(20);\nSELECT * FROM survey.Source;\nSELECT 5"
    limits = ("--timeout", "0.3", "--max-rows", "1000")
    recording = record(odd, tmp_path / "r", *limits, queries=queries, database="odd")
    refused, slow, large, fine = recording.answers()
    assert [one.error and one.error.kind for one in (refused, slow, large, fine)] == [
        "refused",
        "timeout",
        "too large",
        None,
    ]
    assert refused.error is not None
    assert "Unknown column 'nope'" in refused.error.message
    assert 0.2 < slow.seconds < 2
    assert sorted(path.name for path in (tmp_path / "r" / "answers").glob("*.gz")) == [f"{fine.id}.csv.gz"]
    running = (
        "SELECT info FROM information_schema.processlist WHERE info LIKE 'SELECT%' AND info NOT LIKE '%processlist%'"
    )
    assert odd.database.answers([running], "odd") == [[]]
    record(odd, tmp_path / "r", *limits, "--again", "refused", queries=queries, database="odd")
    again = list(recording.answers())
    assert again[0].started > refused.started
    assert again[1:] == [slow, large, fine]


def test_a_run_that_was_killed_goes_on_where_it_was(qserv_like: QservLike, tmp_path: Path) -> None:
    statements = [f"SELECT * FROM Object WHERE objectId % 97 = {number}" for number in range(16)]
    whole = by_query(record(qserv_like, tmp_path / "whole", queries=";\n".join(statements)))
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "catalog_service.migration.recorder", qserv_like.url, "--out", str(out), *FAST]
    command += ["--steps", "queries", "--queries", str(tmp_path / "queries.sql")]
    for wanted in (1, 9):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while len(list(out.glob("answers/*.json"))) < wanted and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        process.wait()
        before = {answer.id: answer for answer in Recording(out).answers()}
        assert wanted <= len(before) < len(statements)
    recording = record(qserv_like, out, queries=";\n".join(statements))
    answers = {answer.id: answer for answer in recording.answers()}
    assert {id_: answers[id_] for id_ in before} == before
    assert by_query(recording) == whole
    assert all(len(list(recording.rows_of(answer))) == answer.rows for answer in answers.values())
    assert list(out.rglob("*.part")) == []


def test_a_run_that_was_killed_in_mid_answer_leaves_no_half_of_it(qserv_like: QservLike, tmp_path: Path) -> None:
    out, query = tmp_path / "r", "SELECT visit, survey.nap(0.01) FROM Visit"
    (tmp_path / "q.sql").write_text(query)
    command = [sys.executable, "-m", "catalog_service.migration.recorder", qserv_like.url, "--out", str(out), *FAST]
    process = subprocess.Popen([*command, "--steps", "queries", "--queries", str(tmp_path / "q.sql")])
    await_file(out / "answers" / "*.part")
    process.kill()
    process.wait()
    assert list(Recording(out).answers()) == []
    (answer,) = record(qserv_like, out, queries=query).answers()
    assert len(list(Recording(out).rows_of(answer))) == answer.rows == 48
    assert list(out.rglob("*.part")) == []


def test_a_server_that_hangs_is_left_in_time(qserv_like: QservLike, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the query nor the connection that is to kill it may wait for a server that takes all and says nothing."""
    monkeypatch.setattr("catalog_service.migration.recorder.mysql_source._CONNECT_S", 0.3)
    source = MysqlSource(parse_address(qserv_like.url), qserv_like.password)
    source.describe()
    qserv_like.process.send_signal(signal.SIGSTOP)
    os.waitpid(qserv_like.process.pid, os.WUNTRACED)  # until all its threads stand still
    try:
        began = time.monotonic()
        with pytest.raises(QueryTimeout, match="stopped after the time limit"), source.ask("SELECT 1", timeout_s=0.2):
            pass
        with pytest.raises(UnreachableError):
            source.describe()
        assert time.monotonic() - began < 5
    finally:
        qserv_like.process.send_signal(signal.SIGCONT)
    with source.ask("SELECT 1", timeout_s=5) as result:
        assert [list(row) for batch in result.batches for row in batch] == [["1"]]
    source.close()


def test_signals_finish_or_drop_the_running_query(qserv_like: QservLike, tmp_path: Path) -> None:
    out = tmp_path / "r"
    (tmp_path / "q.sql").write_text("SELECT survey.nap(0.5);\nSELECT 2;\nSELECT survey.nap(30)")
    command = [sys.executable, "-m", "catalog_service.migration.recorder", qserv_like.url, "--out", str(out), *FAST]
    command += ["--steps", "queries", "--queries", str(tmp_path / "q.sql")]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    await_file(out / "answers" / "*.part")
    first.send_signal(signal.SIGINT)
    assert "the same command continues" in first.communicate(timeout=10)[1]
    assert first.returncode == 130
    assert len(list(Recording(out).answers())) == 1
    second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    await_file(out / "answers" / "0003*.part")
    second.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    second.send_signal(signal.SIGTERM)
    assert "dropped" in second.communicate(timeout=10)[1]
    assert second.returncode == 130
    assert len(list(Recording(out).answers())) == 2


def await_file(pattern: Path) -> None:
    deadline = time.monotonic() + 20
    while not list(pattern.parent.glob(pattern.name)):
        assert time.monotonic() < deadline, f"{pattern} does not appear"
        time.sleep(0.01)


def test_a_file_named_pause_pauses(qserv_like: QservLike, tmp_path: Path) -> None:
    pause = tmp_path / "r" / "pause"
    pause.parent.mkdir()
    pause.touch()
    seen: list[bool] = []

    def resume() -> None:
        time.sleep(0.5)
        seen.append((pause.parent / "recording.json").exists())
        pause.unlink()

    thread = threading.Thread(target=resume)
    thread.start()
    record(qserv_like, tmp_path / "r", queries="SELECT 1")
    thread.join()
    assert seen == [False]


def test_two_runs_do_not_write_to_one_recording(
    qserv_like: QservLike, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from catalog_service.migration.recorder.run import locked

    with locked(Recording(tmp_path)):
        assert main([qserv_like.url, "--out", str(tmp_path), *FAST]) == 2
    assert "Another run writes to" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told(
    qserv_like: QservLike, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([qserv_like.url, "--out", str(tmp_path / "file" / "r"), *FAST]) == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_a_password_that_others_may_read_is_refused(
    qserv_like: QservLike, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE)
    secret = tmp_path / "secret"
    secret.write_text(qserv_like.password)
    secret.chmod(0o644)
    out = tmp_path / "r"
    arguments = [qserv_like.url, "--out", str(out), *FAST, "--steps", "tables", "--password-file", str(secret)]
    assert main(arguments) == 2
    assert "chmod 600" in capsys.readouterr().err
    secret.chmod(0o600)
    assert main(arguments) == 0
    assert main([qserv_like.url, "--out", str(out), *FAST]) == 2
    assert "Access denied" in capsys.readouterr().err
    home = tmp_path / "home"
    home.mkdir()
    (home / ".my.cnf").write_text(f"[client]\nuser = {qserv_like.user}\npassword = '{qserv_like.password}'\n")
    monkeypatch.setenv("HOME", str(home))
    assert main([qserv_like.url.replace("reader@", ""), "--out", str(out), *FAST, "--steps", "tables"]) == 0
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main([qserv_like.url.replace("reader@", "reader:x@"), "--out", str(out)]) == 2
    assert "--password-file" in capsys.readouterr().err


def test_a_copied_bundle_runs_on_a_plain_python(qserv_like: QservLike, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "catalog_service.cli", "migrate"]
    subprocess.run([*command, "bundle", str(tmp_path / "made")], check=True, capture_output=True)
    copied = tmp_path / "elsewhere"
    (tmp_path / "made" / "recorder").rename(copied)
    secret = tmp_path / "secret"
    secret.write_text(qserv_like.password)
    secret.chmod(0o600)
    url = f"mysql://{qserv_like.user}@/{DATABASE}?unix_socket={qserv_like.socket}"
    plain = [str(Path(sys.executable).resolve()), "-I", "-S", str(copied), url, "--out", str(tmp_path / "r"), *FAST]
    plain += ["--password-file", str(secret), "--table", "*.Visit"]
    run = subprocess.run(plain, capture_output=True, text=True, cwd=tmp_path, env={}, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert [(one.name, one.rows) for one in Recording(tmp_path / "r").fingerprints()] == [("survey.Visit", 48)]
    status = subprocess.run([*command, "status", str(tmp_path / "r")], capture_output=True, text=True, check=True)
    assert "queries without an answer: 0" in status.stdout
    assert "not recorded yet: nothing" in status.stdout
    assert qserv_like.user not in status.stdout


def test_the_lost_pymysql_names_the_extra(
    qserv_like: QservLike, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    assert main([qserv_like.url, "--out", str(tmp_path / "r")]) == 2
    assert "catalog-service[migrate]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "least"),
    [
        (["box"], 7),
        (["box", "--query-per-cell"], 7),
        (["id", "--query-per-cell"], 2),
        (["remainder"], 1009),
        (["chunk"], 7),
    ],
)
def test_fingerprints_tell_an_altered_a_missing_and_a_repeated_row(
    copies: QservLike, tmp_path: Path, options: list[str], least: int
) -> None:
    steps = ("--steps", "fingerprints", "--box-deg", "0.25", "--cells")
    recording = record(copies, tmp_path / "r", *steps, *options, database="copies")
    kept = {}
    for found in recording.fingerprints():
        assert found.error is None, found
        kept[found.table] = {row[0]: row for row in recording.rows_of(found)}
        assert found.rows == sum(int(row[1] or 0) for row in kept[found.table].values())
    same = kept.pop("same")
    assert len(same) >= least
    assert kept.pop("again") == same
    assert set(kept) == {"altered", "missing", "repeated"}
    for name, cells in kept.items():
        assert len([cell for cell, row in cells.items() if row != same[cell]]) == 1, name


@pytest.fixture(scope="module")
def copies(qserv_like: QservLike) -> Iterator[QservLike]:
    """Add copies of a table, each with another change to one row."""
    some = "FROM survey.Object WHERE objectId % 4 = 0"
    target = f"(SELECT MIN(objectId) {some} AND coord_dec BETWEEN -37.05 AND -37 AND g_psfFlux > 0)"
    changes = {
        "same": "SELECT 1",
        "again": "SELECT 1",
        "altered": f"UPDATE altered SET g_psfFlux = g_psfFlux * 1.0001 WHERE objectId = {target}",
        "missing": f"DELETE FROM missing WHERE objectId = {target}",
        "repeated": f"INSERT INTO repeated SELECT * FROM repeated WHERE objectId = {target}",
    }
    columns = "objectId, coord_ra, coord_dec, g_psfFlux, chunkId"
    made = "".join(f"CREATE TABLE {name} AS SELECT {columns} {some}; {change};" for name, change in changes.items())
    qserv_like.database.execute("CREATE DATABASE copies; USE copies;" + made)
    yield qserv_like
    qserv_like.database.execute("DROP DATABASE copies")


def test_a_source_that_dies_in_the_middle_is_waited_for(
    sample_store: SampleStore, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path_factory.mktemp("dies")
    with running_qserv_like(directory, sample_store.survey, ("Visit",)) as server:
        monkeypatch.setenv(PASSWORD_VARIABLE, server.password)
        out = directory / "r"
        queries = "SELECT visit, survey.nap(0.02) FROM Visit;\nSELECT 2"

        def crash() -> None:
            await_file(out / "answers" / "0001*.part")
            time.sleep(0.3)
            server.kill()
            server.restart()

        thread = threading.Thread(target=crash)
        thread.start()
        recording = record(server, out, "--retries", "8", "--retry-wait", "0.2", queries=queries)
        thread.join()
        first, second = recording.answers()
        assert (first.error, first.rows, second.rows) == (None, 48, 1)
        server.kill()
        assert main([server.url, "--out", str(out), *FAST, "--retries", "1", "--steps", "tables"]) == 1
        server.restart()


def test_a_query_that_kills_its_connection_is_lost_and_asked_again_later(qserv_like: QservLike, tmp_path: Path) -> None:
    stop = threading.Event()

    def cut() -> None:
        with pymysql.connect(unix_socket=str(qserv_like.socket), user="root", autocommit=True) as owner:
            while not stop.wait(0.05):
                with owner.cursor() as cursor:
                    cursor.execute("SELECT id FROM information_schema.processlist WHERE state = 'User sleep'")
                    for (thread,) in cursor.fetchall():
                        cursor.execute(f"KILL CONNECTION {thread}")

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        recording = record(qserv_like, tmp_path / "r", "--retries", "2", queries="SELECT survey.nap(1.5);\nSELECT 3")
    finally:
        stop.set()
        thread.join()
    lost, fine = recording.answers()
    assert lost.error is not None
    assert lost.error.kind == "lost"
    assert fine.error is None
    record(qserv_like, tmp_path / "r", queries="SELECT survey.nap(1.5);\nSELECT 3")
    again: list[Answer] = list(recording.answers())
    assert (again[0].id, again[0].error, again[0].rows) == (lost.id, None, 1)
    assert again[1] == fine
    assert list((tmp_path / "r" / "fingerprints").iterdir()) == []
