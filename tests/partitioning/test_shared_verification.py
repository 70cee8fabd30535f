"""The verification of a build on several machines is done by all of its processes, and finds what one would find."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from partitioning import executors
from partitioning.dispatch import run_unit
from partitioning.exceptions import LayoutError
from partitioning.executors import ArrayExecutor, Executor, InlineExecutor, announced_stage
from partitioning.pipeline import append, build
from partitioning.stages import bucket as bucket_stage
from partitioning.stages import plan as plan_stage
from partitioning.stages.run import Share
from partitioning.stages.workspace import Workspace
from partitioning.status import status_lines, table_status
from tests.partitioning.builders import CREATED, config, leaves, sky_rows, sky_table, tree, visible, write_files

SHARE = Share(64 << 20)
TABLE = sky_table(target_rows=300, row_group_rows=64)
TILES = "verify-tiles"

HELPER = """
import os, signal, sys, time
from pathlib import Path
from partitioning import executors
from partitioning.dispatch import run_unit
from partitioning.stages.run import Share

home, log, victim = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] == ["victim"]

def told(workspace, stage, unit, share):
    if stage.startswith("verify") and victim:
        log.write_text(stage)
        os.kill(os.getpid(), signal.SIGKILL)
    rows = run_unit(workspace, stage, unit, share)
    if stage.startswith("verify"):
        with log.open("a") as file:
            print(stage, unit, file=file)
        while not all("verify" in other.read_text() for other in log.parent.glob("*.log")):
            time.sleep(0.01)  # for others to do one as well
    return rows

executors.run_unit = told
log.touch()
while True:
    if not executors.work_on(home, Share(64 << 20)):
        time.sleep(0.01)
"""
"""A helper that tells what it verified, or one that is killed when it begins to."""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with input that makes several units of all stages."""
    monkeypatch.setattr(plan_stage, "_SMALL_UNIT_BYTES", 30_000)
    monkeypatch.setattr(bucket_stage, "_SMALL_BUCKET_ROWS", 500)
    write_files(tmp_path / "Object", sky_rows(4000), files=5)
    return tmp_path


def home_of(base: Path, name: str) -> Path:
    return base / name / "survey/Object"


def built(base: Path, name: str, executor: Executor, report: Callable[[str], None] = lambda _: None) -> Path:
    """Build below directory `name`; return the release."""
    (table,) = build(config(base, TABLE, root=base / name), created=CREATED, executor=executor, report=report)
    return table.directory


def problem(base: Path, name: str, executor: Executor, report: Callable[[str], None]) -> str:
    """Return what a build that fails to verify says of it."""
    with pytest.raises(LayoutError) as told:
        built(base, name, executor, report)
    assert visible(base / name) == {}
    return str(told.value)


@contextmanager
def helpers(base: Path, name: str, *kinds: str) -> Iterator[list[Path]]:
    """Start helper processes of a build; yield the files in which they tell what they verified."""
    logs = [base / f"{name}.{number}.log" for number in range(len(kinds))]
    commands = [[sys.executable, "-c", HELPER, home_of(base, name), log] for log in logs]
    processes = [
        subprocess.Popen([*map(str, command), *kind.split()]) for command, kind in zip(commands, kinds, strict=True)
    ]
    try:
        wait_until(lambda: all(log.exists() for log in logs))
        yield logs
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def verified_by(log: Path) -> Counter[str]:
    """Return how many units of each stage a helper did."""
    return Counter(line.split()[0] for line in log.read_text().splitlines())


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let the director begin no unit of the tiles before each of some helpers did one, or was killed."""
    logs: list[Path] = []

    def late(workspace: Workspace, stage: str, unit: int, share: Share) -> int:
        if stage == TILES:
            wait_until(lambda: all(TILES in log.read_text() for log in logs))
        return run_unit(workspace, stage, unit, share)

    monkeypatch.setattr(executors, "run_unit", late)
    return logs


def flip_leaf(staging: Path) -> None:
    flip(leaves(staging / "Object_r1")[3])


def flip_margin(staging: Path) -> None:
    flip(leaves(staging / "Object_r1_10arcs")[1])


def margin_of_another_tile(staging: Path) -> None:
    """Give a leaf of the margin, as long as it was, other values: no checksum of a sound file tells that."""
    path = leaves(staging / "Object_r1_10arcs")[0]
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.slice(0, len(rows) - 1), path)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def after(stage: str, base: Path, name: str, damage: Callable[[Path], None]) -> Callable[[str], None]:
    """Return a listener of a build that does damage to what is made, after a stage."""

    def listen(line: str) -> None:
        if line.startswith(f"survey.Object: {stage} "):
            damage(home_of(base, name) / ".staging")

    return listen


@pytest.mark.parametrize("damage", [flip_leaf, flip_margin, margin_of_another_tile])
def test_helpers_find_what_one_process_finds(base: Path, patient: list[Path], damage: Callable[[Path], None]) -> None:
    expected = problem(base, "inline", InlineExecutor(SHARE), after("maps", base, "inline", damage))
    with helpers(base, "array", "", "") as logs:
        patient += logs
        told = problem(base, "array", ArrayExecutor(SHARE), after("maps", base, "array", damage))
        assert told == expected
        assert all(verified_by(log)[TILES] for log in logs)
        built(base, "array", ArrayExecutor(SHARE))
    assert tree(base / "array") == tree(built(base, "inline", InlineExecutor(SHARE)).parents[2])


def test_a_helper_is_killed(base: Path, patient: list[Path]) -> None:
    with helpers(base, "array", "victim") as logs:
        patient += logs
        release = built(base, "array", ArrayExecutor(SHARE, stale_s=1.5))
        assert logs[0].read_text() == TILES
    assert tree(release) == tree(built(base, "inline", InlineExecutor(SHARE)))


class StopError(Exception):
    """The end of a director."""


@pytest.fixture
def stopped(base: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stop a director after some units of its verification; return what `status` tells before it ends."""
    told: list[str] = []

    def stop(workspace: Workspace, stage: str, unit: int, share: Share) -> int:
        if (stage, unit) == (TILES, 5):
            told.extend(status_lines(table_status(workspace.home)))
            raise StopError
        return run_unit(workspace, stage, unit, share)

    with monkeypatch.context() as patch:
        patch.setattr(executors, "run_unit", stop)
        with pytest.raises(StopError):
            built(base, "array", ArrayExecutor(SHARE))
    return told


def test_results_of_an_earlier_run_are_not_trusted(base: Path, stopped: list[str]) -> None:
    """A leaf that was found sound is damaged before the build goes on."""
    staging = home_of(base, "array") / ".staging"
    assert len(list(staging.glob(f"records/{TILES}/*.npz"))) == 5
    leaf = leaves(staging / "Object_r1")[0]
    flip(leaf)
    told = problem(base, "array", ArrayExecutor(SHARE), lambda _: None)
    assert f"checksum: {leaf.relative_to(staging)} " in told
    release = built(base, "array", ArrayExecutor(SHARE))
    assert tree(release) == tree(built(base, "inline", InlineExecutor(SHARE)))


def test_status_of_a_verification(base: Path, stopped: list[str]) -> None:
    assert any(line.startswith(f"  {TILES}: 5 of ") for line in stopped)
    later = "\n".join(status_lines(table_status(home_of(base, "array"))))
    assert "  maps: 1 of 1 units\n  verify: 0 of 1 units" in later  # it is begun anew
    assert "build goes on with stage verify" in later


def test_an_append_is_verified_by_units(base: Path) -> None:
    """The index of the release that it starts from, too."""
    stages: dict[str, set[str]] = {"place": set(), "verify": set()}
    roots: dict[str, Executor] = {"array": ArrayExecutor(SHARE), "inline": InlineExecutor(SHARE)}
    for name in roots:
        built(base, name, InlineExecutor(SHARE))
    pq.write_table(sky_rows(60, seed=3, first_id=7), base / "Object/late.parquet")
    for name, executor in roots.items():

        def listen(line: str, name: str = name) -> None:
            stage = line.removeprefix("survey.Object: ").split()[0]
            records = home_of(base, name) / ".staging/records"
            if name == "array" and stage in stages:
                stages[stage] |= {path.parent.name for path in records.glob("verify-*/*.npz")}

        append(config(base, TABLE, root=base / name), created=CREATED, executor=executor, report=listen)
    assert stages == {"place": {"verify-index-id"}, "verify": {TILES, "verify-margin-10-arcsec", "verify-index-id"}}
    assert tree(base / "array") == tree(base / "inline")


def test_helpers_of_a_stage_that_is_over_do_nothing(base: Path, stopped: list[str]) -> None:
    assert stopped
    home = home_of(base, "array")
    announced = announced_stage(home)
    assert announced is not None
    assert (announced.stage, announced.units) == (TILES, 0)
    assert not executors.work_on(home, SHARE)
