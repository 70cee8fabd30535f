"""Parts of the recorder that need no source: lists of queries, reading only, the pace, addresses, built-in queries."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from datetime import time as time_of_day
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_service.migration.recorder import pace as pace_module
from catalog_service.migration.recorder.access import parse_address
from catalog_service.migration.recorder.builtin import Sample, builtin_queries
from catalog_service.migration.recorder.dialect import CONES, Cone, Dialect
from catalog_service.migration.recorder.errors import RefusedError, UsageError
from catalog_service.migration.recorder.fingerprint_run import CellProgress, FingerprintRecorder
from catalog_service.migration.recorder.format import Recording
from catalog_service.migration.recorder.options import Options
from catalog_service.migration.recorder.pace import Pace, Rate, Stopped, StopSwitch, Window, parse_rate, parse_window
from catalog_service.migration.recorder.querylist import distinct, read_log, read_statements
from catalog_service.migration.recorder.records import Column, Fingerprint, Header, Source, Table
from catalog_service.migration.recorder.source import Result
from catalog_service.migration.recorder.statements import check_reads_only, split_statements

Found = TypeVar("Found")
GENERAL_LOG = """\
/usr/sbin/mariadbd, Version: 10.11.19-MariaDB (Debian 12). started with:
Tcp port: 3306  Unix socket: /run/mysqld/mysqld.sock
Time\t\t    Id Command\tArgument
261126  7:46:26\t    13 Connect\talice@10.0.0.7 on survey using TCP/IP
\t\t    13 Query\tSET NAMES utf8mb4
\t\t    13 Query\tSELECT objectId
FROM Object
WHERE band = 'g'
\t\t    13 Query\tDELETE FROM Object
2026-11-26T07:46:27.123456Z\t   14 Query\tSELECT   objectId FROM Object WHERE band = 'g';
2026-11-26T07:46:28.123456Z\t   14 Query\tSELECT DATABASE()
\t\t    13 Quit\t
"""
JSON_LOG = """\
2026-11-26 INFO {"user": "alice", "query": "SELECT 1 FROM a", "seconds": 3}
{"event": "finished"}
{"query": "-- mine\\nSELECT 2 FROM a;", "lang": "ADQL"}
{"query": broken
"""


def write(directory: Path, text: str) -> Path:
    file = directory / "list.sql"
    file.write_text(text)
    return file


def test_a_file_of_statements(tmp_path: Path) -> None:
    text = """
-- use case: one id
SELECT * FROM t WHERE name = 'a;b
c';
select 2 -- two; really
# cones

(SELECT 3 /* ; */);

SHOW TABLES
"""
    found = [(one.use_case, one.query) for one in read_statements(write(tmp_path, text))]
    assert [use_case for use_case, _ in found] == ["one id", "one id", "one id", "one id"]
    assert [query for _, query in found] == [
        "SELECT * FROM t WHERE name = 'a;b\nc'",
        "select 2 -- two; really\n# cones",
        "(SELECT 3 /* ; */)",
        "SHOW TABLES",
    ]


def test_headings_hold_until_the_next() -> None:
    text = "SELECT 0\n\n-- a\nSELECT 1; SELECT 2;\n# use case: b\nSELECT 3"
    assert [heading for heading, _ in split_statements(text)] == ["", "a", "a", "b"]


@pytest.mark.parametrize(("text", "queries"), [
    (GENERAL_LOG, ["SELECT objectId\nFROM Object\nWHERE band = 'g'"]),
    (JSON_LOG, ["SELECT 1 FROM a", "SELECT 2 FROM a"]),
])  # fmt: skip
def test_logs_give_each_query_once_and_nothing_of_users(tmp_path: Path, text: str, queries: list[str]) -> None:
    found = list(distinct(read_log(write(tmp_path, text))))
    assert [one.query for one in found] == queries
    assert "alice" not in repr(found)


def test_comments_in_a_log_may_name_somebody(tmp_path: Path) -> None:
    queries = [
        "SELECT /* alice */ a FROM t WHERE b = '-- # /* c */' -- alice",
        "SELECT 1 /*! INTO @x */ FROM a",
        "SELECT a # alice\nFROM t",
    ]
    file = write(tmp_path, "\n".join(json.dumps({"query": one}) for one in queries))
    found = [one.query for one in read_log(file)]
    assert [" ".join(one.split()) for one in found] == ["SELECT a FROM t WHERE b = '-- # /* c */'", "SELECT a FROM t"]


def test_backslashes_in_texts_of_adql_are_backslashes(tmp_path: Path) -> None:
    queries = (
        "SELECT a FROM t WHERE b = 'x\\'",
        "SELECT b FROM t WHERE b = 'x\\' AND c = 'update; it'",
        'SELECT "\\" FROM t',
    )
    text = ";\n".join(queries)
    found = [one.query for one in read_statements(write(tmp_path, text), "ADQL")]
    assert found == list(queries)
    assert len(list(distinct(read_statements(write(tmp_path, f"{text}; {text}"), "ADQL"), "ADQL"))) == 3
    with pytest.raises(UsageError, match="not DROP"):
        list(read_statements(write(tmp_path, "SELECT a FROM t WHERE b = 'x\\'; DROP TABLE t -- '"), "ADQL"))
    with pytest.raises(UsageError):
        list(read_statements(write(tmp_path, text)))


@pytest.mark.parametrize(
    "garbage",
    [
        *(b"\x00\xff\xfe\n", b"\t" * 999, b'"query" {{{\n', b'{"query": 7}\n', b'{"query": ' + b"[" * 100_000 + b"\n"),
        *(b'{"query": "SELECT \\ud800 FROM a"}\n', b'{"query": "SELECT\\u0000 1 FROM a"}\n'),
        *(b'{"query": "SELECT 1 INTO @x FROM a"}\n', b'{"query": "x", "n": ' + b"9" * 5000 + b"}\n"),
    ],
)
def test_garbage_in_a_log_hides_no_query(tmp_path: Path, garbage: bytes) -> None:
    file = tmp_path / "server.log"
    query = "SELECT 'a\u2028b\x0c' FROM a"
    file.write_bytes(garbage + b"\n" + json.dumps({"query": query}, ensure_ascii=False).encode() + b"\r\n" + garbage)
    assert [one.query for one in read_log(file)] == [query]


def test_a_log_without_queries_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no query"):
        list(read_log(write(tmp_path, "nothing here\n")))


@pytest.mark.parametrize(
    "statement",
    [
        *("SELECT 1", " (SELECT 1)", "show tables", "DESCRIBE t", "-- x\nSELECT 1;"),
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "SELECT replace(a, 'into', ''), \"for update\" FROM t -- INSERT INTO",
        "SELECT `update`, `into` FROM t",
        "SELECT a -- the \tid\r\n FROM t WHERE b = 'x\x01\u00a0' # it's\n",
        "SELECT INSERT(a, 1, 2, 'b'), sleep, `sleep`, update_time, finto FROM t WHERE name = 'é' OR `é` IN (1)",
    ],
)
def test_what_reads_is_sent(statement: str) -> None:
    check_reads_only(statement)


@pytest.mark.parametrize(
    "statement",
    [
        *("DROP TABLE t", "", "SET x = 1", "SELECT 1; SELECT 2", "SELECT 1 INTO @x", "SELECT a FROM t FOR UPDATE"),
        *("SELECT 'a' INTO OUTFILE 'b'", "SELECT 1 /*!50000 INTO OUTFILE 'b' */", "WITH a AS (SELECT 1) DELETE FROM t"),
        *("SELECT a FROM t LOCK IN SHARE MODE", "CALL p()", "SELECT 'it\\'s' INTO DUMPFILE 'b'", "EXPLAIN SELECT 1"),
        "SELECT '\\' INTO OUTFILE 'b' -- '",
        *(
            f"SELECT 1 --{blank}'\n INTO OUTFILE 'b' -- '"
            for blank in ("\x01", "\x1f", "\x7f", "\u00a0", "\u2003", "x")
        ),
        "SELECT 1 --\u00a0 INTO OUTFILE 'b' \n FROM (SELECT 1 AS `\u00a0`) t",
        *(f"SELECT{blank}1" for blank in ("\x00", "\x0b", "\x0c", "\x85", "\u00a0", "\u2028", "\u3000", "\ufeff")),
        *(
            "SELECT 1.0INTO OUTFILE 'b'",
            "SELECT \\NINTO OUTFILE 'b'",
            "SELECT .5INTO@x",
            "SELECT 'a'INTO@x",
            "SELECT 1 # '\n INTO OUTFILE 'b' # '",
            'SELECT "\\" INTO OUTFILE \'b\' -- "',
            "SELECT 1 /*M!100000 INTO OUTFILE 'b' */",
        ),
        *("SELECT sleep (1)", "SELECT `SLEEP`(1)", 'SELECT "sleep"(1)', "SELECT slèep(1)", "SELECT `slèep`(1)"),
        *(
            "SELECT GET_LOCK/**/('a', 1)",
            "SELECT release_lock('a')",
            "SELECT 1+benchmark(1, 1)",
            "SELECT LOAD_FILE('a')",
        ),
        *(
            "SELECT nextval(s)",
            "SELECT NEXT VALUE FOR s",
            "SELECT 1 FROM t PROCEDURE ANALYSE()",
            "SELECT a FROM t FOR\nSHARE",
        ),
        *(
            "SELECT $$'$$ INTO x FROM t WHERE a = '",
            "SELECT '\ud800'",
            "--x\nDELETE FROM t",
            "WITH a AS (SELECT 1) UPDATE(t)",
        ),
    ],
)
def test_what_may_write_is_refused(statement: str) -> None:
    with pytest.raises(UsageError):
        check_reads_only(statement)


@given(busy=st.lists(st.floats(0.001, 100), min_size=1, max_size=30), percent=st.floats(0.5, 100))
def test_the_source_is_busy_no_longer_than_allowed(busy: list[float], percent: float) -> None:
    rate, now = parse_rate(f"{percent}%"), 0.0
    for seconds in busy:
        now = rate.next_start(now, now + seconds)
    assert sum(busy) <= percent / 100 * now * (1 + 1e-9)


def test_rates_count_queries() -> None:
    assert parse_rate("10/min").next_start(100.0, 100.5) == 106.0
    assert parse_rate("30/h").next_start(0.0, 500.0) == 500.0
    for wrong in ("0%", "101%", "5", "0/min", "x"):
        with pytest.raises(UsageError, match="rate"):
            parse_rate(wrong)


def test_windows() -> None:
    assert parse_window("08:00-09:30").holds(time_of_day(9, 29))
    assert not parse_window("08:00-09:30").holds(time_of_day(9, 30))
    assert parse_window("20:00-06:00").holds(time_of_day(0, 0))
    for wrong in ("25:00-06:00", "20-6", "night"):
        with pytest.raises(UsageError, match="window"):
            parse_window(wrong)


@given(ends=st.lists(st.times(), min_size=2, max_size=2, unique=True), now=st.times())
def test_a_window_and_the_rest_of_the_day_share_no_time(ends: list[time_of_day], now: time_of_day) -> None:
    first, second = ends
    assert Window(first, second).holds(now) != Window(second, first).holds(now)


def test_a_clock_that_is_set_back_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        hours = [23, 0, 22, 21]  # past midnight, then back by two hours, out of the window at last

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls(2026, 1, 1, cls.hours.pop(0), tzinfo=tz)

    monkeypatch.setattr(pace_module, "datetime", Clock)
    said: list[str] = []
    switch = StopSwitch()
    pace = Pace(Rate(), (parse_window("22:00-06:00"),), tmp_path / "pause", switch, said.append)
    for _ in range(3):
        began = time.monotonic()
        pace.wait()
        pace.spent(began)
    monkeypatch.setattr(pace, "_say", lambda _: setattr(switch, "pressed", 1))
    with pytest.raises(Stopped):
        pace.wait()
    assert said == []


def test_a_stop_ends_the_wait_at_once(tmp_path: Path) -> None:
    said: list[str] = []
    switch = StopSwitch()
    pace = Pace(Rate(duty=1e-6), (), tmp_path / "pause", switch, said.append)
    with switch.installed(said.append):
        pace.spent(time.monotonic() - 10)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
        began = time.monotonic()
        with pytest.raises(Stopped):
            pace.wait()
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 2
    assert "once more to drop it" in said[0]


def test_the_hours_of_a_window_are_kept(tmp_path: Path) -> None:
    said: list[str] = []
    switch = StopSwitch()
    never = parse_window("03:00-03:00")
    pace = Pace(Rate(), (never,), tmp_path / "pause", switch, said.append)

    def stop(text: str) -> None:
        said.append(text)
        switch.pressed = 1

    pace._say = stop
    with pytest.raises(Stopped):
        pace.wait()
    assert said == ["outside the hours of --between"]


@pytest.mark.parametrize("lang", ["QSERV", "ADQL"])
@pytest.mark.parametrize("cones", CONES)
def test_built_in_queries_read_only_and_repeat_nothing(lang: str, cones: str) -> None:
    columns = (
        Column("objectId", "bigint", "int64"), Column("ra", "double", "float64"), Column("dec", "double", "float64"),
        Column("a b", "float", "float32"), Column("chunkId", "int", "int64"),
    )  # fmt: skip
    parent = Table("s", "Object", columns, 100, key=("objectId",), ra="ra", dec="dec", chunk="chunkId")
    child = Table("s", "Source", (Column("sourceId", "bigint", "int64"), columns[0]), 900, key=("sourceId",))
    samples = {"s.Object": [Sample("1", 10.0, -5.0), Sample("2", 11.0, -6.0)], "s.Source": [Sample("7", None, None)]}
    dialect = Dialect(lang, next(one for one in CONES if one == cones))
    found = list(builtin_queries([parent, child], samples, dialect))
    for one in found:
        check_reads_only(one.query)
    assert len({one.query for one in found}) == len(found)
    assert {"join by key in a cone", "group by chunk", "cone of 1 deg", "list of ids"} <= {
        one.use_case for one in found
    }


def test_a_plain_cone_means_the_angle() -> None:
    table = Table("s", "t", (), ra="ra", dec="dec")
    text = Dialect("QSERV", "plain").cone(table, Cone(10.0, 20.0, 0.5))
    assert "BETWEEN 19.500000 AND 20.500000" in text
    assert Dialect("ADQL", "contains").cone(table, Cone(10.0, 20.0, 0.5), "o") == (
        "CONTAINS(POINT('ICRS', o.ra, o.dec), CIRCLE('ICRS', 10.000000, 20.000000, 0.5)) = 1"
    )


def test_addresses(tmp_path: Path) -> None:
    found = parse_address("mysql://me@db.example:4040/survey", tmp_path / "none")
    assert (found.kind, found.shown, found.user, found.port) == ("mysql", "mysql://db.example:4040/survey", "me", 4040)
    assert parse_address("https://tap.example/tap/").shown == "https://tap.example/tap"
    for wrong in ("mysql://me:secret@h/d", "https://me@h/tap", "ftp://h", "mysql://h/d?ssl=1"):
        with pytest.raises(UsageError) as told:
            parse_address(wrong, tmp_path / "none")
        assert "secret" not in str(told.value).replace("a secret", "")


@dataclass
class Stub:
    """A source that knows chunks, and refuses to group by expressions."""

    lang: str = "QSERV"
    asked: list[str] = field(default_factory=list)
    rows: int = 2
    overflow: bool = False

    def describe(self) -> Source:
        return Source("mysql", "mysql://stub/", "stub")

    def tables(self) -> Iterator[Table]:
        return iter(())

    @contextmanager
    def ask(
        self, query: str, *, timeout_s: float, max_rows: int | None = None, lang: str | None = None
    ) -> Iterator[Result]:
        del timeout_s, max_rows, lang
        self.asked.append(query)
        if "FLOOR" in query or " % 1009" in query:
            raise RefusedError("no expressions here")
        row = (str(self.rows),) if query.startswith("SELECT COUNT(*)") else ("7", "2.0", "30", "2", "1", "2", "1.5000")
        yield Result((), iter([[row]]), overflow=self.overflow)

    def close(self) -> None:
        """Do nothing."""


def at_once(work: Callable[[], Found]) -> Found:
    return work()


def test_cells_that_a_source_refuses_give_way_to_others(tmp_path: Path) -> None:
    columns = (Column("ra", "double", "float64"), Column("dec", "double", "float64"), Column("chunkId", "int", "int64"))
    table = Table(
        "s", "t", (Column("id", "bigint", "int64"), *columns), 2, key=("id",), ra="ra", dec="dec", chunk="chunkId"
    )
    recording, source = Recording(tmp_path), Stub()
    recording.begin(Header(source.describe(), "now", "1"))
    found = FingerprintRecorder(recording, source, Options(columns=1), at_once).record(table)
    assert found is not None
    assert (found.error, found.cells, found.rows) == (None, {"kind": "chunk", "column": "chunkId"}, 2)
    assert list(recording.rows_of(found)) == [("7", "2", "30", "0", "1", "2", "1.5000")]
    assert [one.name for one in found.fields] == ["cell", "rows", "id:sum", "ra:nulls", "ra:min", "ra:max", "ra:avg"]
    assert len(source.asked) == 3
    assert FingerprintRecorder(recording, source, Options(columns=1), at_once).record(table) is None


def recorded(directory: Path, source: Stub, counted: int | None, *, per_cell: bool) -> Fingerprint:
    columns = (Column("id", "bigint", "int64"), Column("ra", "double", "float64"), Column("chunkId", "int", "int64"))
    table = Table("s", "t", columns, counted, key=("id",), ra="ra", chunk="chunkId")
    recording = Recording(directory)
    recording.begin(Header(source.describe(), "now", "1"))
    options = Options(columns=1, cells="chunk", query_per_cell=per_cell)
    found = FingerprintRecorder(recording, source, options, at_once).record(table)
    assert found is not None
    assert list(recording.fingerprints()) == [found]
    assert recording.rows_path(found).exists() == (found.error is None)
    return found


@pytest.mark.parametrize("per_cell", [False, True])
@pytest.mark.parametrize(
    ("counted", "now", "overflow", "kind"),
    [
        (2, 2, False, None),
        (1, 2, False, None),
        (None, 9, False, None),
        (9, 9, False, "lost"),
        (2, 2, True, "too large"),
    ],
)
def test_fingerprints_that_are_not_of_the_whole_table_are_none(
    tmp_path: Path, counted: int | None, now: int, overflow: bool, kind: str | None, per_cell: bool
) -> None:
    found = recorded(tmp_path, Stub(rows=now, overflow=overflow), counted, per_cell=per_cell)
    assert (found.error and found.error.kind) == kind
    assert found.cell_count == (None if kind == "too large" else 1)


def test_a_cell_that_a_crash_cut_is_asked_again(tmp_path: Path) -> None:
    progress = CellProgress(tmp_path / "t.cells", "SELECT 1")
    progress.append(["a", "1"])
    progress.append(["b", None])
    content = progress.path.read_bytes()
    progress.path.write_bytes(content[:-3])
    again = CellProgress(tmp_path / "t.cells", "SELECT 1")
    assert again.cells == {"a"}
    again.append(["b", None])
    again.append(["c", "3"])
    assert list(CellProgress(tmp_path / "t.cells", "SELECT 1").rows()) == [["a", "1"], ["b", None], ["c", "3"]]
    assert CellProgress(tmp_path / "t.cells", "SELECT 2").cells == set()
