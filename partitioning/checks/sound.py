"""Which files are as they were written: only those are decoded here.

A flipped bit in a footer can end the process that decodes it (an assertion in Arrow's C++, no exception), so that one
damaged file would hide all others. A file whose checksum is wrong is decoded in a process of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from threading import Lock
from typing import TypeVar

from ..exceptions import LayoutError
from ..layout.leaf import file_checksum
from ..spawning import without_main_module
from .catalog import DataFile, tried

__all__ = ["Apart", "SoundFiles"]

_T = TypeVar("_T")


@dataclass(eq=False)
class SoundFiles:
    """Tells whether data files of one catalog have their checksums; each is read for it once. Threads may share it."""

    catalog: Path
    _known: dict[str, str] = field(default_factory=dict)

    def problem(self, file: DataFile) -> str:
        """Return what is wrong with the bytes of a data file, or nothing."""
        if file.path not in self._known:
            checksum, problem = tried(lambda: file_checksum(self.catalog / file.path))
            wrong = f"its xxh3-128 is {checksum}, not {file.xxh3_128}: a bit flipped, or it was rewritten"
            self._known[file.path] = problem or ("" if checksum == file.xxh3_128 else wrong)
        return self._known[file.path]

    def known(self, files: Iterable[DataFile]) -> dict[str, str]:
        """Return what is known of data files, by path, for `learn` of another process."""
        return {file.path: self._known[file.path] for file in files if file.path in self._known}

    def learn(self, known: Mapping[str, str]) -> None:
        """Take over what another process knows."""
        self._known.update(known)

    def require(self, files: Iterable[DataFile]) -> None:
        """Refuse damaged files.

        Raises
        ------
        LayoutError
            If one is damaged.
        """
        for file in files:
            if self.problem(file):
                msg = f"{self.catalog.name}/{file.path} is damaged"
                raise LayoutError(msg)


class Apart:
    """Calls functions in a process that may die of it; started when it is first needed. Threads may share it."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lock = Lock()

    def call(self, function: Callable[..., _T], *arguments: object) -> tuple[_T | None, str]:
        """Return the result of a function of a module, or None and what went wrong."""
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, get_context("spawn"))
            try:
                with without_main_module():  # it is started now
                    future = self._pool.submit(function, *arguments)
                return future.result(), ""
            except BrokenProcessPool:
                self._pool = None
                return None, "reading it ends the process that does it"
            except Exception as error:  # noqa: BLE001  as in `tried`: it becomes a finding
                return None, f"{type(error).__name__}: {error}"

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
