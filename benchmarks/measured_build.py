"""Builds in processes of their own, measured from outside and inside; and builds that are killed halfway."""

import multiprocessing
import os
import re
import resource
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.process_meter import ProcessMeter, directory_size, tree_cpu_s
from partitioning.cli import ALLOCATOR
from partitioning.config import BuildConfig
from partitioning.layout.paths import STAGING_DIR
from partitioning.pipeline import build
from partitioning.progress import Lines
from partitioning.without_pandas import hide_pandas

__all__ = ["Measured", "build_killed_halfway", "build_measured"]

_STAGE_DONE: Final = re.compile(r"\S+: (\w+) [0-9.]+ s")
_RECORD: Final = "[0-9][0-9][0-9][0-9][0-9].npz"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One build."""

    seconds: float
    cpu_s: float
    """User and system time of the director and its workers."""
    stages_s: dict[str, float]
    stages_cpu_s: dict[str, float]
    units: int
    """Units of work of all stages."""
    tiles: int
    main_bytes: int
    """Leaves of the main catalog."""
    release_bytes: int
    """All files of the release: main catalog, margin, index."""
    peak_bytes: int = 0
    largest_bytes: int = 0
    spill_bytes: int = 0
    spill_files: int = 0

    @property
    def build_s(self) -> float:
        """Wall time of everything but `verify`."""
        return self.seconds - self.stages_s.get("verify", 0.0)

    @property
    def build_cpu_s(self) -> float:
        """CPU time of everything but `verify`."""
        return self.cpu_s - self.stages_cpu_s.get("verify", 0.0)


def build_measured(config: BuildConfig) -> Measured:
    """Build in a fresh process, as the command line does, so that its memory is the build's alone."""
    process, receive = _started(config)
    receive.recv()
    with ProcessMeter(process.pid or 0, {"spill": _staging(config) / "spill"}) as meter:
        try:
            result: dict[str, Any] = receive.recv()
        except EOFError:
            sys.exit("the build failed: see above")
    process.join()
    return Measured(
        **result,
        peak_bytes=meter.peak_bytes,
        largest_bytes=meter.largest_bytes,
        spill_bytes=meter.peak_directory_bytes["spill"],
        spill_files=meter.peak_files["spill"],
    )


def build_killed_halfway(config: BuildConfig, units: int) -> tuple[float, float]:
    """Begin a build and kill its director when half of its units are done; return wall and CPU time until then."""
    process, receive = _started(config)
    receive.recv()
    start, imported = time.perf_counter(), tree_cpu_s(psutil.Process(process.pid))  # as a whole build is measured
    with ProcessMeter(process.pid or 0) as meter:
        while process.is_alive() and sum(1 for _ in _staging(config).rglob(_RECORD)) < units / 2:
            time.sleep(0.02)
        workers = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid or 0, signal.SIGKILL)
        seconds = time.perf_counter() - start
    process.join()
    psutil.wait_procs(workers, timeout=10)  # they end with the director
    return seconds, meter.cpu_s - imported


def _staging(config: BuildConfig) -> Path:
    return config.root / config.schema / config.tables[0].name / STAGING_DIR


def _started(config: BuildConfig) -> tuple[BaseProcess, Connection]:
    """Start a build; its pipe gives None when it begins and a report at its end."""
    os.environ.setdefault(*ALLOCATOR)
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_build_and_report, args=(config, send))
    process.start()
    send.close()
    return process, receive


def _build_and_report(config: BuildConfig, send: Connection) -> None:
    hide_pandas()  # as the command line does
    teller = _StageMeter()
    send.send(None)
    before, start = _cpu_s(), time.perf_counter()
    (table,) = build(config, teller=teller)
    seconds = time.perf_counter() - start
    home = config.root / config.schema / table.name
    send.send(
        {
            "seconds": seconds,
            "cpu_s": _cpu_s() - before,
            "stages_s": dict(table.seconds),
            "stages_cpu_s": teller.cpu_s,
            "units": teller.units,
            "tiles": len(list(table.directory.glob("dataset/Norder=*/Dir=*/*.parquet"))),
            "main_bytes": table.manifest.bytes,
            "release_bytes": directory_size(home)[0],
        }
    )


def _cpu_s() -> float:
    """Return user and system time of this process and all its children, those that live and those that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return tree_cpu_s(psutil.Process()) + ended.ru_utime + ended.ru_stime


class _StageMeter(Lines):
    """Tells progress, and keeps the CPU time of each stage and the number of units."""

    def __init__(self) -> None:
        super().__init__(lambda text: print(text, file=sys.stderr, flush=True))
        self.cpu_s: dict[str, float] = {}
        self.units = 0
        self._last = _cpu_s()

    def line(self, text: str) -> None:
        """Say one thing; the end of a stage is one."""
        super().line(text)
        if found := _STAGE_DONE.fullmatch(text):
            now = _cpu_s()
            self.cpu_s[found[1]] = now - self._last
            self._last = now

    def begin(self, table: str, stage: str, units: int, done: int) -> None:
        """Begin a stage."""
        super().begin(table, stage, units, done)
        self.units += units
