"""Where units of work run: here, in processes of this machine, on nodes that share the directory, on Dask.

Units are pure functions of the workspace (`dispatch.run_unit`), so that it makes no difference to the result.
"""

import ctypes
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, cast

import pyarrow as pa

from .dispatch import run_unit
from .exceptions import ConfigError, PartitioningError
from .layout.files import replace_bytes
from .layout.paths import STAGING_DIR
from .lease import STALE_S, seconds_since
from .spawning import without_main_module
from .stages.run import Share
from .stages.workspace import Workspace
from .without_pandas import hide_pandas

__all__ = [
    "Announced",
    "ArrayExecutor",
    "DaskExecutor",
    "Executor",
    "InlineExecutor",
    "LocalExecutor",
    "announced_stage",
    "await_helpers",
    "spare_memory",
    "work_on",
]

_ROOMY_BYTES: Final = 512 << 20
"""A process that may use so much keeps what it has freed: each unit takes about as much as the one before."""

_KEPT: Final = ("JE_ARROW_MALLOC_CONF", "dirty_decay_ms:-1,background_thread:false,lg_extent_max_active_fit:30")
"""Environment variable that Arrow's jemalloc reads when it is loaded; a setting of later does not reach what is in use.
A twentieth of the time of a build was memory given back and taken anew. Without the last option memory that was freed
in large pieces is not used for small ones: builds of a thousand columns took gigabytes."""

_MMAP_THRESHOLD: Final = (-3, 32 << 20)
_TRIM_THRESHOLD: Final = (-1, 512 << 20)
"""Options of mallopt(3) and bytes. Without the first, whose greatest value this is in older C libraries, the second
would do harm."""

_POLL_S: Final = 0.2
_STAGE_FILE: Final = "stage.json"
_CLAIMS: Final = "claims"


Done = Callable[[int, int], None]
"""Is told the number of a unit that is done, and its rows, if they are known."""


class Executor(Protocol):
    """Runs the units of a stage."""

    @property
    def is_local(self) -> bool:
        """Whether all units run on this machine, so that it can flush what they made."""

    @property
    def share(self) -> Share:
        """What one process may use."""

    def run(self, workspace: Workspace, stage: str, units: int, done: Done) -> None:
        """Run all units of a stage that are not done, telling `done` of each."""

    def rest(self) -> None:
        """Give back what the processes hold, since there is nothing to do for some time."""

    def close(self) -> None:
        """End the processes."""


@dataclass(frozen=True)
class InlineExecutor:
    """Runs units one after the other in this process: for small tables."""

    share: Share
    is_local: ClassVar = True

    def run(self, workspace: Workspace, stage: str, units: int, done: Done) -> None:
        """Run all units of a stage that are not done."""
        for unit in workspace.pending(stage, units):
            done(unit, run_unit(workspace, stage, unit, self.share))

    def rest(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is left."""


class LocalExecutor:
    """Runs units in processes of this machine, which are started when they are first needed, or before (`start`)."""

    is_local: Final = True

    def __init__(self, share: Share, workers: int) -> None:
        self.share = share
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def start(self) -> None:
        """Start the processes: they import what they need while the director looks at the input."""
        for _ in range(self._workers):
            self._submit(os.getpid)

    def run(self, workspace: Workspace, stage: str, units: int, done: Done) -> None:
        """Run all units of a stage that are not done.

        Raises
        ------
        PartitioningError
            If a unit fails, or its process is killed.
        """
        pending = workspace.pending(stage, units)
        if not pending:
            return
        waiting: dict[Future[int], int] = {}
        try:
            for unit in pending:
                if len(waiting) > self._workers:
                    _finish(waiting, done)
                waiting[self._submit(run_unit, workspace, stage, unit, self.share)] = unit
            while waiting:
                _finish(waiting, done)
        except BrokenProcessPool as error:
            self._pool = None
            remedy = (
                "lower build.memory or build.workers if memory ran out, and run the same command again: it goes on here"
            )
            msg = f"{workspace.name}: a process of the build was killed in stage {stage}; {remedy}"
            raise PartitioningError(msg) from error
        finally:
            for future in waiting:
                future.cancel()
            wait(waiting)  # what runs still reads spill files, which may be made anew, or given back, after an error

    def rest(self) -> None:
        """End processes that keep memory; others are started when they are needed."""
        if _is_roomy(self.share):
            self.close()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _submit(self, task: Callable[..., int], *arguments: object) -> Future[int]:
        """Give a task to the processes; this may start one more of them."""
        if self._pool is None:
            context = get_context("spawn")
            begin = (os.getpid(), self.share)
            self._pool = ProcessPoolExecutor(self._workers, context, initializer=_begin, initargs=begin)
        keeping = _environment(*_KEPT) if _is_roomy(self.share) else nullcontext()
        with without_main_module(), keeping:
            return self._pool.submit(task, *arguments)


def spare_memory(share: Share) -> None:
    """Let Arrow give memory that it frees back to the system at once if the budget is small, not a second later.

    That takes time, but what was freed within a second is as much as the rows of a small budget.
    """
    if not _is_roomy(share) and pa.default_memory_pool().backend_name == "jemalloc":
        pa.jemalloc_set_decay_ms(0)


def _finish(waiting: dict[Future[int], int], done: Done) -> None:
    """Wait until one of some units is done, and take out those that are."""
    finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in finished:
        done(waiting.pop(future), future.result())


def _is_roomy(share: Share) -> bool:
    """Return whether a process may keep what it has freed."""
    return share.memory >= _ROOMY_BYTES


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable for processes that are started meanwhile, unless it is set."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _begin(parent: int, share: Share) -> None:
    """Prepare a process: one thread for Arrow, no pandas, and an end together with the director of the build."""
    hide_pandas()
    pa.set_cpu_count(1)
    if _is_roomy(share):
        _keep_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the director tells when to stop
    if sys.platform == "linux":
        set_parent_death_signal: Final = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _keep_memory() -> None:
    """Keep what the C library frees for the next unit, as Arrow does (`_KEPT`)."""
    set_option: Any = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None and set_option(*_MMAP_THRESHOLD):
        set_option(*_TRIM_THRESHOLD)


class ArrayExecutor:
    """Directs processes on any nodes that share the directory (`work_on`), and works on units itself.

    Parameters
    ----------
    share
        What this process may use.
    stale_s
        Seconds after which a process that has not renewed its claim of a unit is taken for dead.
    """

    is_local: Final = False

    def __init__(self, share: Share, stale_s: float = STALE_S) -> None:
        self.share = share
        self._stale_s = stale_s

    def run(self, workspace: Workspace, stage: str, units: int, done: Done) -> None:
        """Announce a stage, and work on it until all of its units are done."""
        announced = Announced(workspace.name, str(workspace.spill.resolve()), stage, units, self._stale_s)
        (workspace.staging / _CLAIMS).mkdir(exist_ok=True)
        _announce(workspace.home, announced)
        try:
            self._work(workspace, announced, done)
        finally:
            _withdraw(workspace.home, announced)

    def _work(self, workspace: Workspace, announced: "Announced", done: Done) -> None:
        stage, units = announced.stage, announced.units
        before = workspace.pending(stage, units)
        while pending := workspace.pending(stage, units):
            for unit in set(before).difference(pending):
                done(unit, 0)
            before = pending
            if not _claim_one(workspace, announced, pending, self.share):
                time.sleep(_POLL_S)
        for unit in before:
            done(unit, 0)

    def rest(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is left: helpers end when the build's directory is gone."""


@dataclass(frozen=True, slots=True)
class Announced:
    """The stage that a build in array mode is in: what its helpers need to know beside the plan."""

    release: str
    """Directory name of the release."""
    spill: str
    """Directory of the spill files."""
    stage: str
    units: int
    stale_s: float
    """Seconds after which a claim that was not renewed is nobody's."""


def announced_stage(home: Path) -> Announced | None:
    """Return the stage that a build of the table in directory `home` has announced; None if there is none."""
    try:
        return Announced(**json.loads((home / STAGING_DIR / _STAGE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _announce(home: Path, announced: Announced) -> None:
    replace_bytes(home / STAGING_DIR / _STAGE_FILE, json.dumps(asdict(announced)).encode())


def _withdraw(home: Path, announced: Announced) -> None:
    """Let helpers do nothing until the next stage is announced: the records of this one may be removed."""
    if announced_stage(home) == announced:  # not that of a director that has taken over
        _announce(home, replace(announced, units=0))


def work_on(home: Path, share: Share) -> bool:
    """Do one unit of the announced stage of the build of a table, if one is free; return whether one was done."""
    announced = announced_stage(home)
    if announced is None:
        return False
    workspace = Workspace(home, announced.release, Path(announced.spill))
    return _claim_one(workspace, announced, workspace.pending(announced.stage, announced.units), share)


def await_helpers(home: Path, stale_s: float = STALE_S) -> None:
    """Wait until no helper works on an interrupted build any more: it must not write into the one that begins."""
    claims = home / STAGING_DIR / _CLAIMS
    announced = announced_stage(home)
    if announced is not None:
        stale_s = announced.stale_s
        _withdraw(home, announced)
    while any(_age(claim) <= stale_s for claim in claims.glob("[!.]*")):
        time.sleep(_POLL_S)


def _claim_one(workspace: Workspace, announced: Announced, pending: list[int], share: Share) -> bool:
    for unit in pending:
        path = workspace.staging / _CLAIMS / f"{announced.stage}-{unit}"
        with _claim(path, announced.stale_s) as mine:
            if mine:
                _run_claimed(workspace, announced, unit, share)
                return True
    return False


def _run_claimed(workspace: Workspace, announced: Announced, unit: int, share: Share) -> None:
    """Do a unit; that it cannot be done is no matter if another process did it meanwhile, and tidied up."""
    try:
        run_unit(workspace, announced.stage, unit, share)
    except (OSError, PartitioningError):
        done = workspace.record(announced.stage, unit).exists()
        if not done and announced_stage(workspace.home) == announced:
            raise


@contextmanager
def _claim(path: Path, stale_s: float) -> Iterator[bool]:
    """Claim a unit; a claim that has not been renewed for long is nobody's. Two may do one unit: no harm is done."""
    if path.exists() and _age(path) > stale_s:
        path.unlink(missing_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except (FileExistsError, FileNotFoundError):  # without the directory the build is over
        yield False
        return
    stop = threading.Event()
    renewer = threading.Thread(target=_renew, args=(path, stop, stale_s / 6), daemon=True)
    renewer.start()
    try:
        yield True
    finally:
        stop.set()
        renewer.join()
        path.unlink(missing_ok=True)


def _age(claim: Path) -> float:
    """Return how long ago a claim was renewed; for ever if it is gone."""
    return seconds_since(claim) if claim.exists() else math.inf


def _renew(path: Path, stop: threading.Event, every_s: float) -> None:
    while not stop.wait(every_s):
        with suppress(FileNotFoundError):
            os.utime(path)


class DaskExecutor:
    """Runs units on the workers of a Dask cluster that share the directory."""

    is_local: Final = False

    def __init__(self, share: Share, address: str) -> None:
        try:
            from distributed import Client  # noqa: PLC0415  an extra of its own
        except ImportError as error:
            msg = "executor 'dask' needs the extra 'dask': pip install 'catalog-service[dask]'"
            raise ConfigError(msg) from error
        self.share = share
        connect: Any = Client
        self._client: Any = connect(address)

    def run(self, workspace: Workspace, stage: str, units: int, done: Done) -> None:
        """Run all units of a stage that are not done."""
        from distributed import as_completed  # noqa: PLC0415  an extra of its own

        submit, finished = self._client.submit, cast("Callable[..., Iterator[Any]]", as_completed)
        pending = workspace.pending(stage, units)
        futures = {submit(run_unit, workspace, stage, unit, self.share, pure=False): unit for unit in pending}
        try:
            for future in finished(futures):
                done(futures[future], future.result())
        except BaseException:
            self._end(list(futures))
            raise

    def _end(self, futures: list[Any]) -> None:
        """Take back the units that wait, and await those that run: they read what may be made anew after an error."""
        from distributed import wait  # noqa: PLC0415  an extra of its own

        running = {key for keys in self._client.processing().values() for key in keys}
        self._client.cancel([future for future in futures if future.key not in running])
        await_all: Any = wait
        await_all([future for future in futures if future.key in running])

    def rest(self) -> None:
        """Do nothing: the cluster is not ours."""

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()
