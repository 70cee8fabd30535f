"""Recording a TAP service: VOTables of any serialisation, read as they come; our own server, both ways to ask it."""

import base64
import errno
import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import numpy as np
import pytest
from astropy.io.votable import from_table, writeto
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.client import CatalogClient
from catalog_service.migration.recorder.access import TOKEN_VARIABLE
from catalog_service.migration.recorder.command import main
from catalog_service.migration.recorder.errors import LostError, RefusedError
from catalog_service.migration.recorder.format import Recording
from catalog_service.migration.recorder.rows import RowWriter
from catalog_service.migration.recorder.votable import read_votable
from catalog_service.migration.recorder.votable_binary import shortest_float32

pytestmark = pytest.mark.filterwarnings("ignore::astropy.io.votable.exceptions.VOWarning")

FAST = ["--rate", "100%", "--retry-wait", "0.05"]


def votable(serialisation: str) -> bytes:
    """Return a table as astropy writes it."""
    mask = [False, serialisation == "binary2", False]  # the others have no general NULL
    table = Table()
    table["i"] = MaskedColumn(np.array([1, 2, -(2**62) - 1], "int64"), mask=mask)
    table["f"] = np.array([0.1, np.nan, 3.4028235e38], "float32")
    table["d"] = np.array([0.1, -np.inf, 5e-324])
    table["s"] = ["a<b", "", "\xe9 \u03b1"]
    table["b"] = MaskedColumn([True, False, False], mask=mask)
    table["v"] = np.array([[1, 2], [3, 4], [5, 6]], "int16")
    sink = io.BytesIO()
    document = from_table(table)
    document.version = "1.4"
    writeto(document, sink, tabledata_format=serialisation)
    return sink.getvalue()


def pieces(document: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(document), size):
        yield document[at : at + size]


@pytest.mark.parametrize("serialisation", ["tabledata", "binary", "binary2"])
@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
def test_what_astropy_writes_is_read(serialisation: str, size: int) -> None:
    result = read_votable(pieces(votable(serialisation), size))
    assert [one.kind for one in result.columns] == ["int64", "float32", "float64", "text", "boolean", "other"]
    rows = [list(row) for batch in result.batches for row in batch]
    assert [row[0] for row in (rows[0], rows[2])] == ["1", "-4611686018427387905"]
    assert [np.float32(row[1]) for row in (rows[0], rows[2])] == [np.float32(0.1), np.float32(3.4028235e38)]
    assert [float(str(row[2])) for row in rows] == [0.1, -np.inf, 5e-324]
    assert [row[3] or "" for row in rows] == ["a<b", "", "\xe9 \u03b1"]
    assert [row[5] for row in rows] == ["1 2", "3 4", "5 6"]
    if serialisation == "binary2":
        assert (rows[1][0], rows[1][4]) == (None, None)


@settings(max_examples=30)
@given(values=st.lists(st.floats(width=32), max_size=20))
def test_32_bit_numbers_round_trip(values: list[float]) -> None:
    stream = base64.b64encode(np.array(values, ">f4").tobytes()).decode()
    document = (
        f'<VOTABLE><RESOURCE><TABLE><FIELD name="f" datatype="float"/><DATA><BINARY><STREAM encoding="base64">{stream}'
    )
    document += "</STREAM></BINARY></DATA></TABLE></RESOURCE></VOTABLE>"
    rows = [row for batch in read_votable([document.encode()]).batches for row in batch]
    assert np.array_equal(np.array([row[0] for row in rows], "float32"), np.array(values, "float32"), equal_nan=True)


def test_a_votable_that_breaks_off_is_lost() -> None:
    document = votable("tabledata")
    result = read_votable(pieces(document[:-60], 100))
    with pytest.raises(LostError, match="broke off"):
        list(result.batches)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "b">]><VOTABLE/>', "DOCTYPE"),
        (b"not xml", "no VOTable"),
        (b"<VOTABLE><RESOURCE/></VOTABLE>", "without a table"),
        (b'<VOTABLE><INFO name="QUERY_STATUS" value="ERROR">no such\n table</INFO></VOTABLE>', "no such table"),
        (votable("tabledata").replace(b"</TR>", b"<TD>x</TD></TR>", 1), "7 values for 6 columns"),
    ],
)
def test_what_is_no_answer_is_refused(document: bytes, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        list(read_votable([document]).batches)


@pytest.mark.parametrize("options", [[], ["--mode", "async"], ["--lang", "QSERV"], ["--format", "votable/td"]])
def test_our_own_server_is_recorded(server_url: str, tmp_path: Path, options: list[str]) -> None:
    columns = "objectId, coord_ra, refBand, detect_isPrimary, g_psfFlux"
    query = f"SELECT {columns} FROM survey.Object WHERE objectId < 2968681394995400"
    (tmp_path / "q.sql").write_text(f"{query} ORDER BY objectId;\nSELECT nope FROM survey.Object")
    out = tmp_path / "r"
    arguments = [f"{server_url}/tap", "--out", str(out), *FAST, "--table", "survey.Visit", *options]
    assert main([*arguments, "--queries", str(tmp_path / "q.sql"), "--builtin", "--samples", "1"]) == 0
    recording = Recording(out)
    first, second, *builtin = recording.answers()
    with CatalogClient(server_url) as client:
        expected = client.query(f"{query} ORDER BY objectId").to_arrow().to_pylist()
    assert len(expected) > 20
    rows = list(recording.rows_of(first))
    assert [int(row[0] or 0) for row in rows] == [one["objectId"] for one in expected]
    assert [float(row[1] or 0) for row in rows] == [one["coord_ra"] for one in expected]
    assert [row[2] for row in rows] == [one["refBand"] for one in expected]
    assert [row[3] for row in rows] == [str(int(one["detect_isPrimary"])) for one in expected]
    assert [row[4] and np.float32(row[4]) for row in rows] == [
        None if one["g_psfFlux"] is None else np.float32(one["g_psfFlux"]) for one in expected
    ]
    assert [one.kind for one in first.columns] == ["int64", "float64", "text", "boolean", "float32"]
    assert second.error is not None
    assert (second.error.kind, "nope" in second.error.message) == ("refused", True)
    assert [one.error for one in builtin] == [None] * len(builtin)
    assert {one.lang for one in builtin} == {"QSERV" if "QSERV" in options else "ADQL"}
    (table,) = recording.tables()
    assert (table.name, table.rows, table.ra) == ("survey.Visit", 48, "ra")
    (found,) = recording.fingerprints()
    assert (found.error, found.rows, found.cells["kind"]) == (None, 48, "box")


def test_an_answer_cut_by_our_own_limit_is_too_large(server_url: str, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("SELECT objectId FROM survey.Object;\nSELECT TOP 10 objectId FROM survey.Object")
    arguments = [f"{server_url}/tap", "--out", str(tmp_path / "r"), *FAST, "--steps", "queries", "--max-rows", "10"]
    assert main([*arguments, "--queries", str(tmp_path / "q.sql")]) == 0
    large, fine = Recording(tmp_path / "r").answers()
    assert large.error is not None
    assert large.error.kind == "too large"
    assert (fine.rows, fine.overflow) == (10, False)


COLUMNS = [f"<TR><TD>{table}</TD><TD>{column}</TD><TD>int</TD></TR>" for table in ("s.a", "s.b") for column in "xyz"]


class Cutting(BaseHTTPRequestHandler):
    """A TAP service of two tables with three columns that gives five rows at most, and cuts one number as it likes."""

    most: ClassVar[int] = 5
    cut_counts: ClassVar[bool] = False

    def do_GET(self) -> None:
        self._send(b"<capabilities/>")

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        query, is_cut = form["QUERY"], False
        names = ["table_name", "column_name", "datatype", "arraysize", "xtype", "unit", "ucd"]
        if "TAP_SCHEMA.tables" in query:
            names, rows = ["schema_name", "table_name"], [f"<TR><TD>s</TD><TD>s.{t}</TD></TR>" for t in "ab"]
        elif "TAP_SCHEMA.columns" in query:
            name = re.search(r"table_name = '(.*)'", query)
            rows = [row.replace("</TR>", "<TD/>" * 4 + "</TR>") for row in COLUMNS if name is None or name[1] in row]
            if name is not None:
                names, rows = names[1:], [row.replace(f"<TD>{name[1]}</TD>", "") for row in rows]
        else:
            names, rows, is_cut = ["n"], ["<TR><TD>7</TD></TR>"], self.cut_counts
        fields = "".join(f'<FIELD name="{name}" datatype="char" arraysize="*"/>' for name in names)
        status = "OVERFLOW" if is_cut or len(rows) > self.most else "OK"
        self._send(
            f"<VOTABLE><RESOURCE><TABLE>{fields}<DATA><TABLEDATA>{''.join(rows[: self.most])}</TABLEDATA></DATA>"
            f'</TABLE><INFO name="QUERY_STATUS" value="{status}"/></RESOURCE></VOTABLE>'.encode()
        )

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("most", "cut_counts", "columns", "errors"),
    [
        (6, False, [3, 3], [None, None]),
        (5, False, [3, 3], [None, None]),
        (2, False, [2, 2], ["too large", "too large"]),
        (6, True, [3, 3], ["lost", "lost"]),
    ],
)
def test_listings_and_counts_that_the_source_cuts(
    tmp_path: Path, most: int, cut_counts: bool, columns: list[int], errors: list[str | None]
) -> None:
    cutting = type("_Cutting", (Cutting,), {"most": most, "cut_counts": cut_counts})
    with serving(cutting) as address:
        assert main([address, "--out", str(tmp_path / "r"), *FAST, "--steps", "tables"]) == 0
    tables = list(Recording(tmp_path / "r").tables())
    assert [len(one.columns) for one in tables] == columns
    assert [one.error and one.error.kind for one in tables] == errors
    assert [one.rows for one in tables] == ([7, 7] if errors == [None, None] else [None, None])


def test_a_list_of_tables_that_the_source_cuts_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(type("_Cutting", (Cutting,), {"most": 1})) as address:
        assert main([address, "--out", str(tmp_path / "r"), *FAST, "--steps", "tables"]) == 1
    assert "cut its list of tables" in capsys.readouterr().err


class Flaky(BaseHTTPRequestHandler):
    """A TAP service of a test: what it does next is in `script`, what it was asked in `seen`."""

    script: list[str] = []
    seen: list[dict[str, Any]] = []

    def do_GET(self) -> None:
        self.seen.append({"path": self.path, "token": self.headers.get("Authorization")})
        self._answer(b"<capabilities/>")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append({"path": self.path, "token": self.headers.get("Authorization")})
        match self.script.pop(0):
            case "503":
                self.send_error(503)
            case "cut":
                document = votable("tabledata")
                self._answer(document[: len(document) // 2], length=len(document))
            case "hang":
                threading.Event().wait(1)
            case other if other.startswith("http"):
                self.send_response(303)
                self.send_header("Location", other)
                self.end_headers()
            case _:
                self._answer(votable("binary2"))

    def _answer(self, body: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def flaky(*script: str) -> Iterator[str]:
    Flaky.script, Flaky.seen = list(script), []
    with serving(Flaky) as address:
        yield address


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as service:
        thread = threading.Thread(target=service.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{service.server_port}/tap"
        service.shutdown()
        thread.join()


def one_answer(address: str, directory: Path, *options: str) -> Any:
    (directory / "q.sql").write_text("SELECT 1")
    arguments = [
        address,
        "--out",
        str(directory / "r"),
        *FAST,
        "--steps",
        "queries",
        "--queries",
        str(directory / "q.sql"),
    ]
    assert main([*arguments, *options]) == 0
    (answer,) = Recording(directory / "r").answers()
    return answer


def test_a_service_that_fails_now_and_then_is_asked_again(tmp_path: Path) -> None:
    with flaky("503", "cut", "fine") as address:
        answer = one_answer(address, tmp_path)
    assert (answer.error, answer.rows) == (None, 3)


def test_a_query_that_breaks_the_connection_is_asked_three_times(tmp_path: Path) -> None:
    with flaky("503", "cut", "503", "cut", "cut", "fine") as address:
        answer = one_answer(address, tmp_path)
    assert answer.error.kind == "lost"
    assert Flaky.script == ["fine"]


def test_a_table_without_data_has_no_rows() -> None:
    document = b'<VOTABLE><RESOURCE><TABLE><FIELD name="a" datatype="int"/></TABLE></RESOURCE></VOTABLE>'
    result = read_votable([document])
    assert [one.name for one in result.columns] == ["a"]
    assert list(result.batches) == []


def test_an_answer_that_never_comes_is_a_timeout(tmp_path: Path) -> None:
    with flaky("hang") as address:
        answer = one_answer(address, tmp_path, "--timeout", "0.2")
    assert answer.error.kind == "timeout"


def test_a_full_disk_is_not_taken_for_a_fault_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with flaky("fine", "fine") as address:
        with monkeypatch.context() as patch:
            patch.setattr(RowWriter, "write", full)
            (tmp_path / "q.sql").write_text("SELECT 1")
            arguments = [address, "--out", str(tmp_path / "r"), *FAST, "--steps", "queries"]
            assert main([*arguments, "--queries", str(tmp_path / "q.sql")]) == 1
        assert "cannot be written: No space left" in capsys.readouterr().err
        assert list((tmp_path / "r" / "answers").iterdir()) == []
        assert one_answer(address, tmp_path).rows == 3


def test_the_token_stays_with_its_host_and_out_of_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "very-secret")
    with flaky() as other, flaky() as address:
        for target in (f"{other}/elsewhere", f"{address}/here"):
            Flaky.script.append(target)
            answer = one_answer(address, tmp_path, "--again", "refused")
            assert answer.error.kind == "refused"  # what is told at the other place is no table
    tokens = {one["path"]: one["token"] for one in Flaky.seen}
    assert tokens == {
        "/tap/capabilities": "Bearer very-secret",
        "/tap/sync": "Bearer very-secret",
        "/tap/elsewhere": None,
        "/tap/here": "Bearer very-secret",
    }
    for path in (tmp_path / "r").rglob("*"):
        assert path.is_dir() or b"very-secret" not in path.read_bytes()


def test_numbers_of_32_bits_are_told_in_few_digits() -> None:
    """No fewer would do, as numpy reads: of all sizes, of few digits, and near zero, where there are fewer bits."""
    rng = np.random.default_rng(1)
    bits = np.concatenate([rng.integers(0, 1 << 32, 3000), rng.integers(0, 1 << 24, 1000)]).astype(np.uint32)
    short = (rng.integers(0, 10**6, 1000) / 10.0 ** rng.integers(0, 9, 1000)).astype(np.float32)
    values = np.concatenate([bits.view(np.float32), short, np.float32(2.0) ** np.arange(-149, 128, dtype=np.float32)])
    for value in values[np.isfinite(values)].tolist():
        texts = [f"{value:.{digits}g}" for digits in range(1, 10)]
        assert shortest_float32(value) == next(repr(float(text)) for text in texts if np.float32(text) == value)
