"""Wherever units of work run, the release is the same, byte for byte."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from distributed import LocalCluster

from partitioning import executors
from partitioning.cli import ALLOCATOR
from partitioning.exceptions import LayoutError, PartitioningError
from partitioning.executors import ArrayExecutor, DaskExecutor, Done, Executor, InlineExecutor, LocalExecutor, work_on
from partitioning.pipeline import build
from partitioning.stages import bucket as bucket_stage
from partitioning.stages import plan as plan_stage
from partitioning.stages.run import Share
from partitioning.stages.workspace import Workspace
from tests.partitioning.builders import CREATED, config, leaves, sky_rows, sky_table, tree, write_files

SHARE = Share(64 << 20)
TABLE = sky_table(target_rows=300, row_group_rows=64)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with input that makes several units and buckets."""
    monkeypatch.setattr(plan_stage, "_SMALL_UNIT_BYTES", 60_000)
    monkeypatch.setattr(bucket_stage, "_SMALL_BUCKET_ROWS", 500)
    write_files(tmp_path / "Object", sky_rows(4000), files=5)
    return tmp_path


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    start: Any = LocalCluster
    with start(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as running:
        yield running


def built(base: Path, name: str, executor: Executor) -> dict[str, bytes]:
    (table,) = build(config(base, TABLE, root=base / name), created=CREATED, executor=executor)
    margin, index = (table.directory.with_name(f"Object_r1_{part}") for part in ("10arcs", "id"))
    return {**tree(table.directory), **tree(margin), **tree(index)}


def test_local_processes(base: Path) -> None:
    local = LocalExecutor(SHARE, 2)
    assert built(base, "local", local) == built(base, "inline", InlineExecutor(SHARE))


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalExecutor]:
    if sys.platform != "linux":
        pytest.skip("only there builds choose Arrow's allocator")
    monkeypatch.setenv(*ALLOCATOR)
    monkeypatch.delenv("JE_ARROW_MALLOC_CONF", raising=False)
    local = LocalExecutor(Share(1 << 30), 2)
    local.start()
    assert "JE_ARROW_MALLOC_CONF" not in os.environ  # other processes of the caller are none of ours
    yield local
    local.close()


def test_a_roomy_process_keeps_what_it_freed(roomy: LocalExecutor) -> None:
    taken = [roomy._submit(pages_taken_anew) for _ in range(2)]
    assert max(one.result() for one in taken) < 100


def pages_taken_anew() -> int:
    """Use memory of Arrow's and give it back; return how many pages of it must be asked for when it is used later."""
    values = pa.array(np.zeros(1 << 20))
    pc.add(values, values)
    time.sleep(2.5)  # by default pages are given back within a second
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pc.add(values, values)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_memory_freed_in_large_pieces_serves_small_ones(roomy: LocalExecutor) -> None:
    assert roomy._submit(growth_by_small_pieces).result() < 20 << 20


def growth_by_small_pieces() -> int:
    """Use and free a large piece of memory, then use as much in small ones; return by how much the process grew."""
    use(64 << 20)
    before = psutil.Process().memory_info().rss
    pieces = [use(32 << 10) for _ in range(1500)]
    return psutil.Process().memory_info().rss - before if pieces else 0


def use(size: int) -> pa.Array:
    """Return an array of Arrow's that takes so many bytes, having written to them."""
    return pc.add(pa.array(np.zeros(size // 8)), 1.0)


def test_resting_ends_roomy_processes(roomy: LocalExecutor) -> None:
    started = psutil.Process(roomy._submit(os.getpid).result())
    roomy.rest()
    assert not started.is_running()
    assert roomy._submit(os.getpid).result() != started.pid  # others are started


def test_the_callers_script_is_run_once(base: Path) -> None:
    """A script that calls `build` at its top level, as a notebook does, is not run again by each process."""
    script = base / "script.py"
    script.write_text(
        f"""
from pathlib import Path
from partitioning.executors import LocalExecutor
from partitioning.pipeline import build
from tests.partitioning.test_executors import SHARE, TABLE, config

print("run", flush=True)
build(config(Path({str(base)!r}), TABLE, root=Path({str(base / "out")!r})), executor=LocalExecutor(SHARE, 2))
""",
        encoding="utf-8",
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, env=environment)
    assert (run.returncode, run.stdout) == (0, "run\n"), run.stderr


def test_dask(base: Path, cluster: LocalCluster) -> None:
    made = built(base, "dask", DaskExecutor(SHARE, cluster.scheduler_address))
    assert made == built(base, "inline", InlineExecutor(SHARE))


class NotedDask(DaskExecutor):
    """Notes what stages it runs."""

    def __init__(self, share: Share, address: str) -> None:
        super().__init__(share, address)
        self.stages: list[str] = []

    def run(self, workspace: Workspace, stage: str, units: int, done: Done) -> None:
        self.stages.append(stage)
        super().run(workspace, stage, units, done)


def test_dask_verifies(base: Path, cluster: LocalCluster) -> None:
    """Its workers may start no processes, as one does that looks at a damaged file."""
    dask, told = NotedDask(SHARE, cluster.scheduler_address), list[str]()
    ways: dict[str, Executor] = {"inline": InlineExecutor(SHARE), "dask": dask}
    for name, executor in ways.items():
        staging = base / name / "survey/Object/.staging"

        def damage(line: str, staging: Path = staging) -> None:
            if line.startswith("survey.Object: maps "):
                path = leaves(staging / "Object_r1")[3]
                content = bytearray(path.read_bytes())
                content[len(content) // 3] ^= 1
                path.write_bytes(content)

        with pytest.raises(LayoutError) as failed:
            build(config(base, TABLE, root=base / name), created=CREATED, executor=executor, report=damage)
        told.append(str(failed.value))
    assert told[0] == told[1]
    assert dask.stages[-3:] == ["verify-tiles", "verify-margin-10-arcsec", "verify-index-id"]


def test_helpers_that_share_the_directory(base: Path) -> None:
    """A director and two helpers, which find the build by its directory alone."""
    done = threading.Event()
    helped: list[int] = []

    def help_out(root: Path) -> None:
        while not done.is_set():
            if work_on(root / "survey/Object", SHARE):
                helped.append(1)
            else:
                done.wait(0.01)

    helpers = [threading.Thread(target=help_out, args=(base / "array",)) for _ in range(2)]
    for helper in helpers:
        helper.start()
    try:
        made = built(base, "array", ArrayExecutor(SHARE))
    finally:
        done.set()
        for helper in helpers:
            helper.join()
    assert made == built(base, "inline", InlineExecutor(SHARE))
    assert len(helped) > 0


def test_a_killed_process_is_told(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from partitioning.exceptions import PartitioningError

    executor = LocalExecutor(SHARE, 2)
    told: list[str] = []

    def kill_at_bucket(line: str) -> None:
        told.append(line)
        if ": tiling" in line:
            kill_workers(executor)

    with pytest.raises(PartitioningError, match="a process of the build was killed in stage bucket"):
        build(config(base, TABLE), created=CREATED, executor=executor, report=kill_at_bucket)
    assert built(base, "catalogs", InlineExecutor(SHARE)) == built(base, "inline", InlineExecutor(SHARE))


def kill_workers(executor: LocalExecutor) -> None:
    pool = executor._pool
    assert pool is not None
    for process in list(pool._processes.values()):
        process.kill()


def test_units_on_dask_end_before_an_error_is_raised(
    tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "run_unit", fail_or_dawdle)
    executor, units = DaskExecutor(SHARE, cluster.scheduler_address), 40
    workspace = Workspace(tmp_path, "a_r1", tmp_path / "spill")
    with pytest.raises(PartitioningError, match="damaged"):
        executor.run(workspace, "sort", units, lambda unit, rows: None)  # noqa: ARG005
    begun, ended = (sorted(path.stem for path in tmp_path.glob(f"*.{what}")) for what in ("begun", "ended"))
    assert begun == ended
    assert 1 <= len(ended) < units - 1
    executor.close()


def fail_or_dawdle(workspace: Workspace, stage: str, unit: int, share: Share) -> int:
    if unit == 0:
        time.sleep(0.5)
        msg = "damaged"
        raise PartitioningError(msg)
    (workspace.home / f"{unit}.begun").touch()
    time.sleep(1)
    (workspace.home / f"{unit}.ended").touch()
    return 1


def test_units_that_run_end_before_an_error_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They read spill files, which whoever catches the error may make anew."""
    ended: list[int] = []
    begun = threading.Event()

    def run(workspace: Workspace, stage: str, unit: int, share: Share) -> int:
        if unit == 0:
            begun.wait(10)
            raise PartitioningError("damaged")
        begun.set()
        time.sleep(0.3)
        ended.append(unit)
        return 1

    monkeypatch.setattr(executors, "run_unit", run)
    executor = LocalExecutor(Share(1 << 26), 2)
    with ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(executor, "_pool", pool)
        with pytest.raises(PartitioningError, match="damaged"):
            executor.run(Workspace(tmp_path, "a_r1", tmp_path / "spill"), "sort", 2, lambda unit, rows: None)  # noqa: ARG005
        assert ended == [1]
