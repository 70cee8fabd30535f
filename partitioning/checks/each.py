"""Who checks many files: threads of this process, or whoever else gives the same results (`units`)."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from .report import Notify
from .sound import Apart

__all__ = ["AHEAD", "Checked", "Each", "Threads", "ahead"]

AHEAD: Final = 8
"""Results for each thread that may wait for a slow one before them: they take megabytes."""

_TELL_S: Final = 10.0
"""Seconds between two lines about progress."""


class Checked(Protocol):
    """A file to check."""

    @property
    def rows(self) -> int:
        """Its rows."""

    @property
    def bytes(self) -> int:
        """Its size."""


_File = TypeVar("_File", bound=Checked)
_S = TypeVar("_S")
_T = TypeVar("_T")


def ahead(pool: Executor, function: Callable[[_S], _T], items: Iterable[_S], most: int) -> Iterator[_T]:
    """Yield the result of a function for each item, in order, while a pool works on at most so many later ones."""
    waiting = deque[Future[_T]]()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


class Each(Protocol):
    """Calls a check for each of some files."""

    def __call__(
        self, what: str, check: Callable[[_File, Apart], _T], files: Sequence[_File], apart: Apart
    ) -> Iterator[tuple[_File, _T]]:
        """Yield each file with the result of its check, in order.

        Parameters
        ----------
        what
            Name of the check, unlike that of any other of the same release.
        check
            Can be sent to other processes, and so can its results.
        apart
            Where a damaged file is looked at; for `check`.
        """


@dataclass(frozen=True)
class Threads:
    """Calls checks in threads of this process, and tells how far they are."""

    workers: int
    report: Notify

    def __call__(
        self, what: str, check: Callable[[_File, Apart], _T], files: Sequence[_File], apart: Apart
    ) -> Iterator[tuple[_File, _T]]:
        """Yield each file with the result of its check, in order."""
        told = time.perf_counter()
        with ThreadPoolExecutor(self.workers) as pool:
            results = ahead(pool, lambda file: check(file, apart), files, AHEAD * self.workers)
            for number, pair in enumerate(zip(files, results, strict=True), start=1):
                yield pair
                if time.perf_counter() - told > _TELL_S:
                    told = time.perf_counter()
                    self.report(f"{what}: {number} of {len(files)} checked")
