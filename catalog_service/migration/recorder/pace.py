"""Politeness: how much of the time a source works for us, at which hours, and how a run is paused and stopped."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from datetime import time as time_of_day
from pathlib import Path
from types import FrameType
from typing import Final

from .errors import UsageError
from .source import Dropped

__all__ = ["Pace", "Rate", "StopSwitch", "Stopped", "Window", "parse_rate", "parse_window"]

_TICK_S: Final = 0.2
"""How soon a stop or the end of a pause is noticed."""
_RATE: Final = re.compile(r"(?:(\d+(?:\.\d+)?)\s*%|(\d+(?:\.\d+)?)\s*/\s*(min|h))")
_HOURS: Final = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")


class Stopped(BaseException):
    """The run is to end before the next query."""


@dataclass(frozen=True)
class Rate:
    """How busy the source may be with us; one of the two."""

    duty: float = 1.0
    """Most of the time, 0-1."""
    interval_s: float = 0.0
    """Least time from the start of a query to that of the next."""

    def next_start(self, began: float, ended: float) -> float:
        """Return when the next query may start, on the same clock."""
        return max(ended + (ended - began) * (1 / self.duty - 1), began + self.interval_s)


@dataclass(frozen=True)
class Window:
    """Hours of the day, local time; may go past midnight."""

    start: time_of_day
    end: time_of_day

    def holds(self, now: time_of_day) -> bool:
        """Tell whether it is within the window.

        Examples
        --------
        >>> night = parse_window("20:00-06:00")
        >>> [night.holds(time_of_day(hour)) for hour in (19, 20, 3, 6)]
        [False, True, True, False]
        """
        if self.start <= self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end


def parse_rate(text: str) -> Rate:
    """Return the rate of ``5%`` (of the time), ``10/min`` or ``30/h`` (queries).

    Raises
    ------
    UsageError
        If it is none of them.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no rate: write 5% (of the time), 10/min or 30/h (queries).")
    percent, count, unit = found.groups()
    if percent is not None:
        if not 0 < float(percent) <= 100:
            raise UsageError(f"A rate of {text} is not between 0 and 100 %.")
        return Rate(duty=float(percent) / 100)
    if float(count) == 0:
        raise UsageError(f"A rate of {text} would never ask; to wait, make the file `pause` in the recording.")
    return Rate(interval_s={"min": 60.0, "h": 3600.0}[unit] / float(count))


def parse_window(text: str) -> Window:
    """Return the hours of ``20:00-06:00``.

    Raises
    ------
    UsageError
        If it is no such text.
    """
    found = _HOURS.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        first, second, third, fourth = map(int, found.groups())
        return Window(time_of_day(first, second), time_of_day(third, fourth))
    except ValueError:
        raise UsageError(f"{text!r} is no window of time: write 20:00-06:00 (local time).") from None


class StopSwitch:
    """Turns SIGINT and SIGTERM into a stop: the first lets the running query end, the second drops it."""

    def __init__(self) -> None:
        self.pressed = 0

    @contextmanager
    def installed(self, say: Callable[[str], None]) -> Iterator[None]:
        """Listen to the signals."""

        def press(_signal: int, _frame: FrameType | None) -> None:
            self.pressed += 1
            if self.pressed > 1:
                raise Dropped
            say("stopping after the running query; once more to drop it")

        before = {one: signal.signal(one, press) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


class Pace:
    """Decides when the next query may be sent.

    Parameters
    ----------
    rate
        How busy the source may be.
    windows
        Hours in which queries are sent; none: all.
    pause_file
        While it exists, nothing is sent.
    switch
        What ends the run.
    say
        Told why nothing is sent.
    """

    def __init__(
        self, rate: Rate, windows: tuple[Window, ...], pause_file: Path, switch: StopSwitch, say: Callable[[str], None]
    ) -> None:
        self._rate = rate
        self._windows = windows
        self._pause_file = pause_file
        self._switch = switch
        self._say = say
        self._not_before = 0.0
        self._told = ""

    def wait(self, seconds: float = 0.0) -> None:
        """Return when the next query may start, after so many seconds at least.

        Raises
        ------
        Stopped
            If the run is to end.
        """
        not_before = max(self._not_before, time.monotonic() + seconds)
        while True:
            if self._switch.pressed:
                raise Stopped
            reason = self._reason()
            left = not_before - time.monotonic()
            if not reason and left <= 0:
                return
            self._tell(reason)
            time.sleep(_TICK_S if reason else min(left, _TICK_S))

    def spent(self, began: float) -> None:
        """Note that a query ran from a time of the monotonic clock until now."""
        self._not_before = self._rate.next_start(began, time.monotonic())

    def _reason(self) -> str:
        if self._pause_file.exists():
            return f"paused until {self._pause_file} is removed"
        if self._windows and not any(one.holds(datetime.now().time()) for one in self._windows):  # noqa: DTZ005 - local
            return "outside the hours of --between"
        return ""

    def _tell(self, reason: str) -> None:
        if reason and reason != self._told:
            self._say(reason)
        self._told = reason
