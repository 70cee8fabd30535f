"""Watching a process, all its descendants and some directories from outside, while they work."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

__all__ = ["ProcessMeter", "directory_size", "measured_command", "tree_cpu_s"]

EVERY_S = 0.05
"""Seconds between two looks at the memory."""

LOOKS_PER_SURVEY = 5
"""Looks at the memory between two surveys of processes and directories, which cost more."""


def tree_cpu_s(process: psutil.Process) -> float:
    """Return user and system time of a process and its living descendants, in seconds."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            times = one.cpu_times()
            total += times.user + times.system
    return total


class ProcessMeter:
    """Measures a tree of processes until it leaves the context.

    Memory of a process is its resident set less the pages that it shares (files it maps: libraries). The memory of
    the tree is the sum of these, plus the largest set of shared pages, once: about the sum of the proportional set
    sizes, at a hundredth of the cost of asking the kernel for them.
    """

    def __init__(self, pid: int, directories: Mapping[str, Path] | None = None) -> None:
        self.peak_bytes = 0
        """Most memory of all processes together."""
        self.largest_bytes = 0
        """Most memory of one process."""
        self.peak_directory_bytes = dict.fromkeys(directories or {}, 0)
        self.peak_files = dict.fromkeys(directories or {}, 0)
        self._root = pid
        self._directories = dict(directories or {})
        self._cpu_s: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="meter")

    @property
    def cpu_s(self) -> float:
        """User and system time of all processes seen, as of the last look at each."""
        return sum(self._cpu_s.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        looks, tree = 0, list[psutil.Process]()
        while not self._stop.is_set():
            start = time.perf_counter()
            if looks % LOOKS_PER_SURVEY == 0:
                tree = self._survey()
            self._look(tree)
            looks += 1
            self._stop.wait(max(0.0, EVERY_S - (time.perf_counter() - start)))

    def _survey(self) -> list[psutil.Process]:
        """Measure the directories, and return the processes that there are."""
        for name, directory in self._directories.items():
            size, files = directory_size(directory)
            self.peak_directory_bytes[name] = max(self.peak_directory_bytes[name], size)
            self.peak_files[name] = max(self.peak_files[name], files)
        with suppress(psutil.Error):
            root = psutil.Process(self._root)
            return [root, *root.children(recursive=True)]
        return []

    def _look(self, tree: list[psutil.Process]) -> None:
        own, shared = [0], [0]
        for process in tree:
            with suppress(psutil.Error):
                memory: Any = process.memory_info()
                own.append(memory.rss - memory.shared)
                shared.append(memory.shared)
                times = process.cpu_times()
                self._cpu_s[process.pid] = times.user + times.system
        self.peak_bytes = max(self.peak_bytes, sum(own) + max(shared))
        self.largest_bytes = max(self.largest_bytes, max(own) + max(shared))


def directory_size(directory: Path) -> tuple[int, int]:
    """Return bytes and number of the files below a directory, which may change meanwhile."""
    size = files = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                size += Path(folder, name).stat().st_size
                files += 1
    return size, files


def measured_command(command: Sequence[str], directories: Mapping[str, Path]) -> tuple[str, ProcessMeter]:
    """Run a command; return what it prints, and its measurements.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        ProcessMeter(process.pid, directories) as meter,
    ):
        text, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return text, meter
