"""The command line: against the real service, through the installed entry point's function."""

import csv
import io
import json
import os
import pty
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse_single_table
from astropy.table import Table

from catalog_service.cli import exit_code_of, main
from catalog_service.client import ConnectionFailedError, TransferAbortedError
from catalog_service.exceptions import ERRORS_BY_CODE

CONE = ("cone", "56.75", "24.12", "1deg", "--table", "tycho2.stars")


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str


class Command:
    """Runs commands in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfdbinary

    def __call__(self, *arguments: str, stdin: str = "") -> Run:
        run, out = self.binary(*arguments, stdin=stdin)
        return Run(run.code, out.decode(), run.err)

    def binary(self, *arguments: str, stdin: str = "") -> tuple[Run, bytes]:
        self._monkeypatch.setattr(sys, "argv", ["catalog-service", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as end:
            main()
        captured = self._capfd.readouterr()
        return Run(int(end.value.code or 0), "", captured.err.decode()), captured.out


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Run commands that need no service."""
    return Command(monkeypatch, capfdbinary)


@pytest.fixture
def run(offline: Command, monkeypatch: pytest.MonkeyPatch, server_url: str) -> Command:
    """Run commands against the shared service."""
    monkeypatch.setenv("CATALOG_SERVICE_URL", server_url)
    return offline


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_cone_in_a_pipe_is_csv(run: Command) -> None:
    found = run(*CONE)
    assert (found.code, found.err) == (0, "")
    rows = rows_of(found.out)
    assert len(rows) > 50
    assert all(abs(float(row["dec"]) - 24.12) <= 1 for row in rows)


def test_a_cone_may_have_distances_and_the_nearest_first(run: Command) -> None:
    found = run(*CONE, "--distance", "--order", "distance", "--maxrec", "3", "--columns", "tyc_row")
    rows = rows_of(found.out)
    assert [row["tyc_row"] for row in rows] == ["1826628", "1826627", "1826626"]
    assert [round(float(row["_r"]), 6) for row in rows] == [0.063549, 0.076015, 0.080089]


@pytest.mark.parametrize("dec", ["-37", "-37.0", "-3.7e1"])
def test_negative_declinations_are_positions(run: Command, dec: str) -> None:
    found = run("cone", "10", dec, "1deg", "--table", "tycho2.stars", "--columns", "tyc_row,dec")
    assert found.code == 0
    assert all(-38 <= float(row["dec"]) <= -36 for row in rows_of(found.out))
    assert len(rows_of(found.out)) > 5


def test_every_format_holds_the_same_rows(run: Command, tmp_path: Path) -> None:
    paths = {
        suffix: tmp_path / f"stars.{suffix}" for suffix in ("csv", "tsv", "json", "fits", "parquet", "arrow", "vot")
    }
    for path in paths.values():
        done = run(*CONE, "--out", str(path))
        assert (done.code, done.out, done.err) == (0, "", "")
    expected = sorted(int(row["tyc_row"]) for row in rows_of(paths["csv"].read_text()))
    assert len(expected) > 50
    tsv = csv.DictReader(io.StringIO(paths["tsv"].read_text()), dialect="excel-tab")
    assert sorted(int(row["tyc_row"]) for row in tsv) == expected
    assert sorted(Table.read(paths["fits"], hdu=1)["tyc_row"].tolist()) == expected
    assert sorted(row["tyc_row"] for row in json.loads(paths["json"].read_text())) == expected
    assert sorted(pq.read_table(paths["parquet"])["tyc_row"].to_pylist()) == expected
    assert sorted(pa.ipc.open_stream(paths["arrow"]).read_all()["tyc_row"].to_pylist()) == expected
    assert sorted(parse_single_table(paths["vot"]).to_table()["tyc_row"].tolist()) == expected


def test_a_query_comes_from_argument_file_or_standard_input(run: Command, tmp_path: Path) -> None:
    adql = "SELECT TOP 2 tyc_row FROM tycho2.stars ORDER BY tyc_row"
    file = tmp_path / "query.adql"
    file.write_text(adql)
    outputs = [run("query", adql), run("query", "-", stdin=adql), run("query", "--file", str(file))]
    assert [(done.code, done.out) for done in outputs] == [(0, outputs[0].out)] * 3
    assert len(rows_of(outputs[0].out)) == 2


@pytest.mark.parametrize("form", ["csv", "tsv", "fits", "json", "votable", "arrow"])
def test_a_cut_result_warns(run: Command, form: str) -> None:
    done, out = run.binary("query", "SELECT ra FROM tycho2.stars", "--maxrec", "3", "--format", form)
    assert done.code == 0
    assert out
    assert "cut at MAXREC" in done.err
    assert "--maxrec" in done.err


def test_an_error_points_at_its_place(run: Command) -> None:
    done = run("query", "SELECT ra,\n\tvtmag FROM tycho2.stars")
    assert done.code == 3
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[-2].endswith("vtmag FROM tycho2.stars")
    assert lines[-1].index("^") == lines[-2].index("vtmag")


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("cone", "1", "2", "3furlongs", "--table", "tycho2.stars"), 2, "arcmin"),
        (("cone", "1", "-91", "1", "--table", "tycho2.stars"), 2, "-91"),
        (("cone", "1", "2", "3"), 2, "--table"),
        (("cone", "1", "2", "3", "--table", "tycho2.stars", "--order", "vt_mag"), 2, "ORDER=distance"),
        (("cone", "1", "2", "3", "--table", "tycho2.star"), 4, "tycho2.stars"),
        (("columns", "tycho2.star"), 4, "tycho2.star"),
        (("query",), 2, "one query"),
        (("query", "SELECT 1", "--file", "/dev/null"), 2, "one query"),
        (("query", "SELECT 1", "--out", "x.xlsx"), 2, "--format"),
        (("query", "SELECT 1", "--out", "x.csv", "--format", "table"), 2, "terminal"),
        (("query", "SELECT ra FRM tycho2.stars"), 3, "FRM"),
        (("frobnicate",), 2, "frobnicate"),
    ],
)
def test_exit_codes_and_reasons(run: Command, arguments: tuple[str, ...], code: int, reason: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (code, "")
    assert reason in done.err
    assert "Traceback" not in done.err


def test_an_unreachable_service_is_named(offline: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = offline("tables", "--url", f"http://127.0.0.1:{port}")
    assert done.code == 5
    assert f"http://127.0.0.1:{port}" in done.err
    assert "catalog-service serve" in done.err


def test_the_help_documents_every_exit_code(offline: Command) -> None:
    text = offline("--help").out
    codes = {
        exit_code_of(kind("x")) for kind in (*ERRORS_BY_CODE.values(), ConnectionFailedError, TransferAbortedError)
    }
    assert codes == {1, 2, 3, 4, 5}
    documented = {line.split()[0] for line in text.splitlines() if line.split() and line.split()[0].isdigit()}
    assert documented == {*map(str, codes), "0", "130", "141"}


def test_tables_and_columns(run: Command) -> None:
    rows = {row["name"]: row for row in rows_of(run("tables").out)}
    assert rows["tycho2.stars"]["rows"] == "199217"
    listed = json.loads(run("tables", "--json").out)
    assert {table["name"] for table in listed} == set(rows)
    columns = {row["name"]: row for row in rows_of(run("columns", "tycho2.stars").out)}
    assert columns["ra"]["unit"] == "deg"
    assert [c["name"] for c in json.loads(run("columns", "tycho2.stars", "--json").out)] == list(columns)


def on_a_terminal(*arguments: str, url: str, width: int = 80) -> str:
    """Run a command whose standard output is a terminal, and return what that shows."""
    parent, child = pty.openpty()
    environment = {**os.environ, "CATALOG_SERVICE_URL": url, "COLUMNS": str(width), "TERM": "xterm"}
    command = [sys.executable, "-m", "catalog_service.cli", *arguments]
    with subprocess.Popen(command, stdout=child, stderr=subprocess.STDOUT, env=environment) as process:
        os.close(child)
        shown = b""
        try:
            while block := os.read(parent, 65536):
                shown += block
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(parent)
    assert process.returncode is not None
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())


def test_a_terminal_gets_a_table(server_url: str) -> None:
    shown = on_a_terminal(*CONE, url=server_url)
    assert "tyc_row" in shown
    assert "deg" in shown
    assert "the first 40 are shown" in shown


def test_columns_that_do_not_fit_are_counted(server_url: str) -> None:
    adql = "SELECT TOP 1 * FROM survey.Object"
    shown = on_a_terminal("query", adql, url=server_url, width=60)
    assert re.search(r"1 row; \d of 82 columns fit", shown)
    assert "objectId" in shown
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown  # no column is squeezed
    assert max(len(line) for line in shown.splitlines()) <= 60


def test_a_terminal_gets_no_binary(server_url: str) -> None:
    assert "Add --out FILE" in on_a_terminal(*CONE, "--format", "parquet", url=server_url)


@pytest.mark.parametrize("form", ["csv", "arrow"])
def test_a_reader_that_stops_early_is_no_failure(server_url: str, form: str) -> None:
    """As in ``catalog-service query ... | head``."""
    adql = "SELECT * FROM tycho2.stars"
    command = [sys.executable, "-m", "catalog_service.cli", "query", adql, "--url", server_url, "--format", form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(100)) == 100
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_missing_extra_is_named(offline: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "catalog_service.main", raising=False)
    done = offline("serve", "--config", str(tmp_path / "service.toml"))
    assert done.code == 2
    assert "catalog-service[server]" in done.err
    assert "uvicorn" in done.err


def test_a_wrong_configuration_is_named(offline: Command, tmp_path: Path) -> None:
    done = offline("serve", "--config", str(tmp_path / "none.toml"))
    assert done.code != 0
    assert "none.toml" in done.err
    assert "Traceback" not in done.err
