"""How much one caller may have read of the catalogs lately."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from ..exceptions import UnavailableError

__all__ = ["ScanBudget"]

_SLOTS: Final = 60
"""The window is counted in so many steps."""
_MOST_REMEMBERED: Final = 10_000
"""Callers; beyond, those are looked for who have read nothing lately."""


@dataclass(slots=True)
class ScanBudget:
    """Bytes of data files that the queries of one caller may choose within a sliding window.

    What counts is a query's plan, an upper bound of what it reads, from when it begins. A query is let through while
    anything is left: else one that is larger than the budget could never run. A restart of the service forgets it all.
    """

    most_bytes: int
    """0: no limit."""
    window_s: float
    clock: Callable[[], float] = time.monotonic
    _read: dict[str, dict[int, int]] = field(default_factory=dict)
    """Bytes by caller and step of the clock, the oldest step first."""

    def take(self, caller: str, size_bytes: int) -> None:
        """Count what a query is going to read.

        Raises
        ------
        UnavailableError
            If nothing is left; the error tells from when on there is.
        """
        if not self.most_bytes or not size_bytes:
            return
        wait_s = self.relief_s(caller)
        if wait_s:
            raise self._error(caller, wait_s)
        self.note(caller, size_bytes)

    def note(self, caller: str, size_bytes: int) -> None:
        """Count what is read in any case; what is below zero was not read after all."""
        if not self.most_bytes or not size_bytes:
            return
        if len(self._read) >= _MOST_REMEMBERED:
            self._read = {one: steps for one in list(self._read) if (steps := self._lately(one))}
        steps = self._read.setdefault(caller, {})
        steps[self._step()] = steps.get(self._step(), 0) + size_bytes

    def relief_s(self, caller: str) -> float:
        """Return for how many seconds a caller has to wait; 0: not at all."""
        if not self.most_bytes:
            return 0.0
        steps = self._lately(caller)
        left = sum(steps.values()) - self.most_bytes
        for step, size_bytes in steps.items():
            if left < 0:
                break
            left -= size_bytes
            if left < 0:
                return max(self._seconds(step + 1 + _SLOTS) - self.clock(), 0.001)
        return 0.0

    def exhausted(self) -> int:
        """Return how many callers have to wait."""
        return sum(self.relief_s(caller) > 0 for caller in list(self._read))

    def _lately(self, caller: str) -> dict[int, int]:
        """Return what a caller has read within the window, and forget the rest."""
        steps = self._read.get(caller, {})
        oldest = self._step() - _SLOTS
        for step in [one for one in steps if one < oldest]:
            del steps[step]
        if not steps:
            self._read.pop(caller, None)
        return steps

    def _step(self) -> int:
        return int(self.clock() * _SLOTS / self.window_s)

    def _seconds(self, step: int) -> float:
        return step * self.window_s / _SLOTS

    def _error(self, caller: str, wait_s: float) -> UnavailableError:
        read = sum(self._lately(caller).values()) / 1e6
        error = UnavailableError(
            f"Your queries have chosen {read:.0f} MB of data files within the last {self.window_s:g} s; the limit is "
            f"{self.most_bytes / 1e6:g} MB (scan_budget_mb).",
            remedy="Try again later, or submit the query as a job, which waits for its turn.",
        )
        error.retry_after_s = ceil(wait_s)
        return error
