"""One builder at a time works on a table; one that died, or stands still, does not keep others out."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from partitioning import lease as leases
from partitioning.exceptions import ConfigError, PartitioningError
from partitioning.lease import STALE_S, lease, lease_holder
from partitioning.pipeline import append, build
from tests.partitioning.builders import CREATED, config, published, sky_rows, sky_table, stored, write_files

TABLE = sky_table(target_rows=200)
HOLD = """
import sys, time
from pathlib import Path
from partitioning.lease import lease
with lease(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
RACE = """
import sys, time
from pathlib import Path
from partitioning.exceptions import ConfigError
from partitioning.lease import lease
home = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    with lease(home):
        print("held", flush=True)
        sys.stdin.readline()
except ConfigError as error:
    print(error, flush=True)
"""


def start(code: str, home: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(code), str(home)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert line(process) in {"held", "ready"}
    return process


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def foreign(home: Path, age_s: float, **changed: Any) -> Path:
    """Write a lease of another host, renewed some time ago."""
    home.mkdir(parents=True, exist_ok=True)
    holder = {"host": "node7 boot pid:[1]", "pid": 1, "started": "1", "token": "x", **changed}
    path = home / ".lease"
    path.write_text(json.dumps(holder))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_a_second_build_is_told_who_builds(tmp_path: Path) -> None:
    write_files(tmp_path / "Object", sky_rows(50))
    home = tmp_path / "catalogs/survey/Object"
    process = start(HOLD, home)
    try:
        with pytest.raises(ConfigError, match=rf"another build of this table is running \(process {process.pid} on "):
            build(config(tmp_path, TABLE), created=CREATED)
        assert lease_holder(home) == f"process {process.pid} on {os.uname().nodename}"
        os.kill(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while lease_holder(home) is not None:  # also while it is a zombie: nobody has waited for it yet
            assert time.monotonic() < deadline
        build(config(tmp_path, TABLE), created=CREATED)
    finally:
        process.kill()
        process.communicate()
    assert [path.name for path in home.glob(".*")] == []


def test_a_lease_of_another_host_is_judged_by_its_age(tmp_path: Path) -> None:
    foreign(tmp_path, STALE_S - 20)
    with pytest.raises(ConfigError, match="process 1 on node7"), lease(tmp_path):
        pass
    foreign(tmp_path, STALE_S + 5)
    assert lease_holder(tmp_path) is None
    with lease(tmp_path) as held:
        held.check()
    assert not list(tmp_path.iterdir())


def test_another_host_of_the_same_name_is_another_host(tmp_path: Path) -> None:
    """Copies of one image are often called the same; process numbers of one say nothing about the other."""
    foreign(tmp_path, 5, host=f"{os.uname().nodename} another-boot pid:[4026531836]", pid=999_999)
    with pytest.raises(ConfigError, match="process 999999"), lease(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[1]"])
def test_a_lease_that_cannot_be_read_is_judged_by_its_age(tmp_path: Path, content: bytes) -> None:
    """Such as a power failure leaves."""
    foreign(tmp_path, 5).write_bytes(content)
    with pytest.raises(ConfigError, match="another build of this table is running"), lease(tmp_path):
        pass
    os.utime(tmp_path / ".lease", (0, 0))
    with lease(tmp_path) as held:
        held.check()


def test_a_holder_that_stood_still_finds_out(tmp_path: Path) -> None:
    """It cannot publish any more, and it does not take the new holder's lease away when it ends."""
    with lease(tmp_path) as held:
        path = foreign(tmp_path, 0)
        with pytest.raises(PartitioningError, match="another process has taken over this build"):
            held.check()
    assert path.exists()
    path.unlink()


def test_a_build_whose_lease_is_lost_publishes_nothing(tmp_path: Path) -> None:
    write_files(tmp_path / "Object", sky_rows(50))
    home = tmp_path / "catalogs/survey/Object"

    def lose(text: str) -> None:
        if "verify" in text:
            foreign(home, 0)

    with pytest.raises(PartitioningError, match="another process has taken over this build"):
        build(config(tmp_path, TABLE), created=CREATED, report=lose)
    assert not (home / "collection.properties").exists()


def test_a_lease_is_renewed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.02)
    with lease(tmp_path):
        os.utime(tmp_path / ".lease", (0, 0))
        deadline = time.monotonic() + 5
        while (tmp_path / ".lease").stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("stale", [True, False])
def test_of_many_that_start_at_once_one_builds(tmp_path: Path, stale: bool) -> None:
    for _ in range(3):
        if stale:
            foreign(tmp_path, STALE_S + 5)
        racers = [start(RACE, tmp_path) for _ in range(5)]
        try:
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write("go\n")
                racer.stdin.flush()
            answers = [line(racer) for racer in racers]
        finally:
            for racer in racers:
                racer.communicate("end\n")
        assert answers.count("held") == 1
        assert sum("another build of this table is running" in answer for answer in answers) == len(racers) - 1
        assert not list(tmp_path.iterdir())


def test_takers_of_a_stale_lease_never_overlap(tmp_path: Path) -> None:
    """Threads take turns many times; a thread counts as another holder since it has another token."""
    inside, most, won = 0, 0, 0
    counter = threading.Lock()

    def take() -> None:
        nonlocal inside, most, won
        for _ in range(60):
            try:
                with lease(tmp_path):
                    with counter:
                        inside += 1
                        most, won = max(most, inside), won + 1
                    time.sleep(0.001)
                    with counter:
                        inside -= 1
                    foreign(tmp_path, STALE_S + 5)  # dies without giving it back
            except ConfigError:
                pass

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won > 10
    assert most == 1


def test_of_two_appends_at_once_none_takes_rows_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one was about to begin when the first one published: it goes on from there."""
    from partitioning import pipeline

    write_files(tmp_path / "Object", sky_rows(300, first_id=0), files=1)
    build(config(tmp_path, TABLE), created=CREATED)
    write_files(tmp_path / "Object/more1", sky_rows(30, seed=2, first_id=1000), files=1)
    first = config(tmp_path, sky_table(target_rows=200, input=("Object/*.parquet", "Object/more1/*.parquet")))
    write_files(tmp_path / "Object/more2", sky_rows(30, seed=3, first_id=2000), files=1)
    second = config(tmp_path, sky_table(target_rows=200, input=("Object/*.parquet", "Object/more2/*.parquet")))
    waiting = [True]

    def late(home: Path) -> Any:
        if waiting:
            waiting.clear()
            append(second, created=CREATED)
        return lease(home)

    monkeypatch.setattr(pipeline, "lease", late)
    (table,) = append(first, created=CREATED)
    assert table.directory.name == "Object_r3"
    ids = stored(published(tmp_path / "catalogs/survey/Object"))["id"].to_pylist()
    assert sorted(ids) == [*range(300), *range(1000, 1030), *range(2000, 2030)]
