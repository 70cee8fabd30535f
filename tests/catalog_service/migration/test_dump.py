"""Tables of a real MariaDB dumped into Parquet: every value as it was, and no chunk asked for twice."""

import contextlib
import hashlib
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog_service.cli import main
from catalog_service.exceptions import ParameterError
from catalog_service.migration.dump_files import locked
from catalog_service.migration.dump_source import Source
from catalog_service.migration.recorder.access import parse_address
from tests.catalog_service.language.mariadb import MariaDb, running_mariadb
from tests.catalog_service.migration.nasty import make_floats, make_nasty, random_doubles, random_floats
from tests.harness import examples


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Place:
    mariadb: MariaDb
    address: str

    def dump(self, table: str, out: Path, *options: str) -> "Ended":
        """Run the command in this process: starting another one each time would take longer than the dump."""
        told = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(told[0]),
            contextlib.redirect_stderr(told[1]),
        ):
            patch.setattr(sys, "argv", self.command(table, out, *options)[2:])
            with pytest.raises(SystemExit) as end:
                main()
        return Ended(int(end.value.code or 0), told[0].getvalue(), told[1].getvalue())

    def command(self, table: str, out: Path, *options: str) -> list[str]:
        start = [sys.executable, "-m", "catalog_service.cli", "migrate", "dump", self.address, table]
        return [*start, "--out", str(out), "--rate", "100%", *options]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("m")
    with running_mariadb(directory) as mariadb:
        make_nasty(mariadb)
        yield Place(mariadb, f"mysql://root@localhost/?unix_socket={directory / 'socket'}")


moment = datetime.fromisoformat


def read(directory: Path) -> pa.Table:
    return pq.read_table(directory).sort_by("id")


def test_every_value_is_what_it_was(place: Place, tmp_path: Path) -> None:
    run = place.dump("nasty.T", tmp_path, "--verify")
    assert (run.returncode, run.stdout) == (0, ""), run.stdout + run.stderr
    assert run.stderr.count(": verified") == 3
    table = read(tmp_path / "nasty" / "T")
    assert "chunkId" not in table.column_names
    expected = {
        "f": [np.float32(0.1), None, 0.0, np.float32(3.4028234663852886e38)],
        "f2": [1.5, None, 0.0, 1.0],
        "d": [0.1, None, 0.0, 1.7976931348623157e308],
        "d2": [1.5, None, 0.0, -1.5],
        "u": [2**64 - 1, None, 0, 2**63],
        "t": [-128, None, 127, 1],
        "z": [42, None, 0, 99999999],
        "n": [Decimal("12345678901234567890.0123456789"), None, Decimal("-1e-10"), Decimal(0)],
        "w": [Decimal("1234567890123456789012345678901234567890123456789012345.0123456789"), None, -1, 0],
        "b": [True, None, False, True],
        "bits": [2**64 - 1, None, 0, 1],
        "y": [2026, None, 0, 1999],
        "day": [date(2026, 11, 26), None, date(1000, 1, 1), date(2000, 2, 29)],
        "at": [
            moment("2026-11-26 01:02:03.456789"),
            None,
            moment("9999-12-31 23:59:59.999999"),
            moment("2000-02-29"),
        ],
        "moment": [
            moment("2026-11-26 01:02:03.456"),
            None,
            moment("1970-01-02 00:00:01"),
            moment("2000-02-29"),
        ],
        "span": ["-12:34:56", None, "838:59:59", "00:00:00"],
        "c": ["ab", None, "", "NULL"],
        "v": ["caf\xe9", None, "", "a\\b\nc,\"d'"],
        "wide": ["\U0001f30c", None, "", "x "],
        "kind": ["star", None, "galaxy", None],
        "raw": [b"\0\0\0", None, b"\xff\0\0", b"NUL"],
        "bytes": [b"\0\xff\n\r'", None, b"", b"NULL"],
        "lob": [b"\xff\0", None, b"", b"nan"],
    }
    for name, values in expected.items():
        assert table[name].to_pylist() == values, name


def test_what_may_write_is_not_sent(place: Place) -> None:
    source = Source(parse_address(place.address))
    with pytest.raises(ParameterError, match="may write"):
        source.rows("SELECT 1.0INTO @x")
    with pytest.raises(ParameterError, match="may write"), source.stream("SELECT GET_LOCK('a', 1)"):
        pass
    assert source.rows("SELECT 1") == [(b"1",)]
    source.close()


def test_floats_keep_every_bit(place: Place, tmp_path: Path) -> None:
    count = examples(20_000, 1_000_000)
    floats, doubles = random_floats(count, 1), random_doubles(count, 2)
    count = min(len(floats), len(doubles))
    floats, doubles = floats[:count], doubles[:count]
    make_floats(place.mariadb, floats.astype(float).tolist(), doubles.tolist())
    assert place.dump("reals.T", tmp_path, "--chunk-rows", "7000").returncode == 0
    table = read(tmp_path / "reals" / "T")
    assert (table["f"].to_numpy().view(np.uint32) == floats.view(np.uint32)).all()
    assert (table["d"].to_numpy().view(np.uint64) == doubles.view(np.uint64)).all()
    assert len(list((tmp_path / "reals" / "T").glob("range_*.parquet"))) >= 3


def test_files_are_described_and_checksummed(place: Place, tmp_path: Path) -> None:
    assert place.dump("nasty.T", tmp_path, "--without", "lob", "--keep-technical").returncode == 0
    directory = tmp_path / "nasty" / "T"
    manifest = json.loads((directory / "_manifest.json").read_text())
    assert manifest["rows"] == 4
    for name, one in manifest["files"].items():
        content = (directory / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (one["bytes"], one["sha256"])
        assert pq.read_metadata(directory / name).num_rows == one["rows"]
    assert {"chunkId", "subChunkId"} <= set(pq.read_schema(directory / "chunk_0000007.parquet").names)
    assert not list(tmp_path.rglob("*.part"))


def test_only_what_is_missing_is_dumped_again(place: Place, tmp_path: Path) -> None:
    assert place.dump("nasty.T", tmp_path).returncode == 0
    directory = tmp_path / "nasty" / "T"
    before = {path.name: path.stat().st_mtime_ns for path in directory.glob("*.parquet")}
    (directory / "chunk_0000008.parquet").unlink()
    (directory / "chunk_0000008.parquet.part").write_text("rest of a killed dump")
    run = place.dump("nasty.T", tmp_path)
    assert run.returncode == 0
    after = {path.name: path.stat().st_mtime_ns for path in directory.glob("*.parquet")}
    assert {name for name in before if before[name] != after[name]} == {"chunk_0000008.parquet"}
    assert "2 of 3 chunks are there" in run.stderr
    assert not list(directory.glob("*.part"))


@pytest.fixture(scope="module")
def big(place: Place) -> Place:
    """Add a table of two chunks, a small and a large one, and a view of it whose rows come slowly."""
    place.mariadb.execute(
        "CREATE DATABASE faults; USE faults;"
        "CREATE TABLE faults.T (id INT PRIMARY KEY, chunkId INT, x DOUBLE);"
        "INSERT INTO faults.T SELECT seq, seq > 100, RAND(seq) FROM seq_1_to_60000;"
        "CREATE VIEW faults.Slow AS SELECT id, chunkId, x + SLEEP(0.0005) * 0 AS x FROM faults.T WHERE id < 2000;"
        "CREATE TABLE faults.Changing LIKE faults.T; INSERT INTO faults.Changing SELECT * FROM faults.T WHERE id < 900;"
    )
    return place


@contextlib.contextmanager
def cut_after(place: Place, most_bytes: int) -> Iterator[str]:
    """Yield an address that leads to the server, and breaks for good after so many bytes of its answers."""
    path = place.address.partition("unix_socket=")[2]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def relay() -> None:
            with listener.accept()[0] as client, socket.socket(socket.AF_UNIX) as server:
                server.connect(path)
                threading.Thread(target=forward, args=(client, server), daemon=True).start()
                left = most_bytes
                while left > 0 and (data := server.recv(min(left, 65536))):
                    client.sendall(data)
                    left -= len(data)
                listener.close()
                client.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=relay)
        thread.start()
        yield f"mysql://root@127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def forward(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        return


def finished(out: Path, table: str) -> set[str]:
    return finished_in(out / "faults" / table)


def test_a_dump_that_was_killed_goes_on(big: Place, tmp_path: Path) -> None:
    part = tmp_path / "faults" / "Slow" / "chunk_0000001.parquet.part"
    with subprocess.Popen(big.command("faults.Slow", tmp_path), stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not part.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert part.exists()
    assert finished(tmp_path, "Slow") == {"chunk_0000000.parquet"}
    assert not (tmp_path / "faults" / "Slow" / "_manifest.json").exists()
    run = big.dump("faults.Slow", tmp_path)
    assert run.returncode == 0, run.stderr
    assert "1 of 2 chunks are there" in run.stderr
    assert read(tmp_path / "faults" / "Slow")["id"].to_pylist() == list(range(1, 2000))


def test_a_source_that_goes_away_leaves_what_is_finished(big: Place, tmp_path: Path) -> None:
    with cut_after(big, 400_000) as address:
        run = Place(big.mariadb, address).dump("faults.T", tmp_path / "out")
    assert run.returncode == 5, run.stderr
    assert "went away" in run.stderr
    assert finished(tmp_path / "out", "T") == {"chunk_0000000.parquet"}
    assert not list(tmp_path.rglob("*.part"))
    Place(big.mariadb, big.address).dump("faults.T", tmp_path / "out")
    assert read(tmp_path / "out" / "faults" / "T")["id"].to_pylist() == list(range(1, 60_001))


def test_a_full_disk_is_told_and_leaves_what_is_finished(big: Place, tmp_path: Path) -> None:
    limit = 100_000
    run = subprocess.run(
        big.command("faults.T", tmp_path),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "chunk_0000001.parquet cannot be written: File too large. What is finished stays" in run.stderr
    assert finished(tmp_path, "T") == {"chunk_0000000.parquet"}
    assert not list(tmp_path.rglob("*.part"))
    assert big.dump("faults.T", tmp_path).returncode == 0
    assert read(tmp_path / "faults" / "T").num_rows == 60_000


def test_a_type_that_changed_between_runs_stops_the_dump(big: Place, tmp_path: Path) -> None:
    assert big.dump("faults.Changing", tmp_path).returncode == 0
    (tmp_path / "faults" / "Changing" / "chunk_0000001.parquet").unlink()
    big.mariadb.execute("ALTER TABLE faults.Changing MODIFY x FLOAT, ADD y INT")
    run = big.dump("faults.Changing", tmp_path)
    assert run.returncode == 2
    assert "'x' was double, stored as float64, and is float, float32" in run.stderr
    assert "'y' is new" in run.stderr
    assert finished(tmp_path, "Changing") == {"chunk_0000000.parquet"}


def test_rows_that_came_or_went_meanwhile_are_told(big: Place, tmp_path: Path) -> None:
    big.mariadb.execute("CREATE TABLE faults.Growing AS SELECT * FROM faults.T WHERE id < 300")
    assert big.dump("faults.Growing", tmp_path).returncode == 0
    (tmp_path / "faults" / "Growing" / "chunk_0000001.parquet").unlink()
    big.mariadb.execute("INSERT INTO faults.Growing VALUES (1000000, 1, 0)")
    run = big.dump("faults.Growing", tmp_path)
    assert run.returncode == 5
    assert "sent 200 rows of chunk_0000001 of `faults`.`Growing`, and counts 199" in run.stderr


def test_a_complete_dump_says_of_when_it_is(big: Place, tmp_path: Path) -> None:
    big.mariadb.execute("CREATE TABLE faults.Later AS SELECT * FROM faults.T WHERE id < 300")
    assert "were made" not in big.dump("faults.Later", tmp_path).stderr
    directory = tmp_path / "faults" / "Later"
    for path in directory.glob("*.parquet"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    big.mariadb.execute("UPDATE faults.Later SET x = x + 1")
    run = big.dump("faults.Later", tmp_path)
    assert "made from 2023-11-14T22:13:20+00:00 to 2023-11-14T22:13:20+00:00 and are kept" in run.stderr
    assert f"to dump anew, move {directory} away first" in run.stderr
    assert json.loads((directory / "_manifest.json").read_text())["finished"] == "2023-11-14T22:13:20+00:00"
    assert big.dump("faults.Later", tmp_path, "--verify").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["faults.Nothing"], "faults.Nothing' doesn't exist"),
        (["faults"], "'faults' is no SCHEMA.TABLE"),
        (["faults.T", "--without", "y"], "faults.T has no column 'y'"),
        (["faults.T", "--ra", "x"], "Give both --ra and --dec"),
        (["faults.T", "--key", "x"], "--key 'x' is no integer column"),
        (["faults.T", "--part", "3/2"], "--part '3/2' is not K/N"),
        (["faults.T", "--parent", "Object"], "--parent 'Object' is not TABLE:KEY"),
    ],
)
def test_a_wrong_request_is_told(big: Place, tmp_path: Path, arguments: list[str], said: str) -> None:
    run = big.dump(arguments[0], tmp_path, *arguments[1:])
    assert run.returncode in {2, 4}
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_a_date_beyond_the_calendar_names_its_column_and_a_way_out(big: Place, tmp_path: Path) -> None:
    big.mariadb.execute(
        "CREATE TABLE faults.Dates (id INT PRIMARY KEY, day DATE); INSERT INTO faults.Dates VALUES (1, 0)"
    )
    run = big.dump("faults.Dates", tmp_path)
    assert run.returncode == 1
    assert "column 'day' (date) holds a value that is no date32: " in run.stderr
    assert "'0000-00-00'" in run.stderr
    run = big.dump("faults.Dates", tmp_path / "text", "--as-text", "day")
    assert read(tmp_path / "text" / "faults" / "Dates")["day"].to_pylist() == ["0000-00-00"]


def test_verify_finds_what_is_not_as_at_the_source(big: Place, tmp_path: Path) -> None:
    big.mariadb.execute(
        "CREATE TABLE faults.Told AS SELECT id, chunkId, x, CAST(x AS FLOAT) AS f, CONCAT('t', id) AS t, "
        "CAST(x AS DECIMAL(9, 7)) AS n FROM faults.T WHERE id < 300"
    )
    assert big.dump("faults.Told", tmp_path, "--verify").returncode == 0
    big.mariadb.execute(
        "UPDATE faults.Told SET f = f * 1.0000002, x = NULL WHERE id = 7; UPDATE faults.Told SET f = 3 WHERE id = 8;"
        "UPDATE faults.Told SET t = 'T107', n = n + 0.0000001 WHERE id = 107; DELETE FROM faults.Told WHERE id = 200"
    )
    directory = tmp_path / "faults" / "Told"
    run = big.dump("faults.Told", tmp_path, "--verify")
    assert run.returncode == 5  # a row is missing: the dump is not of this table any more
    big.mariadb.execute("INSERT INTO faults.Told SELECT 200, 1, x, x, CONCAT('t', id), x FROM faults.T WHERE id = 200")
    run = big.dump("faults.Told", tmp_path, "--verify")
    assert run.returncode == 1
    assert [line.partition(" at the source")[0] for line in run.stdout.splitlines()] == [
        "faults.Told chunk_0000000: column 'x': the source has 99 values, the file 100",
        f"faults.Told chunk_0000000: column 'f': least and greatest are {least_and_greatest(directory)},",
        "faults.Told chunk_0000001: column 't': the checksum of the values is another",
        "faults.Told chunk_0000001: column 'n': the sum of the values is another",
    ]
    (directory / "chunk_0000000.parquet").write_bytes(b"x" * (directory / "chunk_0000000.parquet").stat().st_size)
    run = big.dump("faults.Told", tmp_path, "--verify")
    assert "chunk_0000000: the file is not the one that was written: its SHA-256 is another" in run.stdout


def least_and_greatest(directory: Path) -> str:
    values = pq.read_table(directory / "chunk_0000000.parquet")["f"].to_pylist()
    return f"{min(values)} and {max(values)}"


def test_sigterm_lets_the_chunk_end(big: Place, tmp_path: Path) -> None:
    part = tmp_path / "faults" / "Slow" / "chunk_0000001.parquet.part"
    with subprocess.Popen(big.command("faults.Slow", tmp_path), stderr=subprocess.PIPE, text=True) as process:
        while not part.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=30)[1]
    assert finished(tmp_path, "Slow") == {"chunk_0000000.parquet", "chunk_0000001.parquet"}
    assert "stopping after the running query" in told


def test_chunks_are_asked_for_by_their_area(big: Place, tmp_path: Path) -> None:
    """MariaDB has no such function: here it notes that it was asked, and lets every row pass."""
    big.mariadb.execute(
        "CREATE DATABASE sky; CREATE TABLE sky.T (id INT PRIMARY KEY, chunkId INT, ra DOUBLE, decl FLOAT);"
        "INSERT INTO sky.T VALUES (1, 5, 0, -90), (2, 5, 359.5, -89.5), (3, 9, 10.25, 20.1), (4, 9, 10.75, 21)"
    )
    run = big.dump("sky.T", tmp_path, "--areas", "--ra", "ra", "--dec", "decl")
    assert "FUNCTION qserv_areaspec_box does not exist" in run.stderr or "refused a query" in run.stderr
    plan = json.loads((tmp_path / "sky" / "T" / "_plan.json").read_text())
    assert [one["condition"] for one in plan["chunks"]] == [
        "qserv_areaspec_box(0.0000000, -90.0000000, 359.5000010, -89.4999990) AND `chunkId` = 5",
        "qserv_areaspec_box(10.2499990, 20.0999994, 10.7500010, 21.0000010) AND `chunkId` = 9",
    ]


def test_parts_are_dumped_side_by_side_and_the_last_completes(place: Place, tmp_path: Path) -> None:
    first = place.dump("nasty.T", tmp_path, "--part", "2/2")
    assert (first.returncode, finished_in(tmp_path / "nasty" / "T")) == (0, {"chunk_0000008.parquet"})
    assert "this part is there; others are missing" in first.stderr
    assert not (tmp_path / "nasty" / "T" / "_manifest.json").exists()
    with locked(tmp_path / "nasty" / "T", (1, 2)):
        for part in ("1/2", "1/1"):
            run = place.dump("nasty.T", tmp_path, "--part", part)
            assert (run.returncode, "Another dump is writing to" in run.stderr) == (5, True)
        assert place.dump("nasty.T", tmp_path, "--part", "2/2").returncode == 0
    assert "complete. Next:" in place.dump("nasty.T", tmp_path, "--part", "1/2").stderr
    assert read(tmp_path / "nasty" / "T").num_rows == 4


def finished_in(directory: Path) -> set[str]:
    return {path.name for path in directory.glob("*.parquet")}


def test_a_chunk_of_many_rows_is_cut_into_runs_of_its_parts(big: Place, tmp_path: Path) -> None:
    big.mariadb.execute(
        "CREATE DATABASE parts; USE parts; CREATE TABLE T (id INT PRIMARY KEY, chunkId INT, subChunkId INT);"
        "INSERT INTO T SELECT seq, seq > 10, seq DIV 100 FROM seq_1_to_999;"
    )
    run = big.dump("parts.T", tmp_path, "--chunk-rows", "250", "--verify")
    assert run.returncode == 0, run.stderr
    assert finished_in(tmp_path / "parts" / "T") == {
        "chunk_0000000.parquet",
        *(f"chunk_0000001_{first:07d}.parquet" for first in (0, 2, 4, 6, 8)),
    }
    assert read(tmp_path / "parts" / "T")["id"].to_pylist() == list(range(1, 1000))
