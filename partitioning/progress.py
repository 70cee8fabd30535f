"""Telling how far a build is: bars on a terminal, plain lines with rates in a log."""

import time
from collections.abc import Callable
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["Bars", "Lines", "Teller", "duration", "size_text"]

_TELL_S: Final = 10.0
"""Seconds between two lines about the progress of one stage."""


_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


class Teller(Protocol):
    """Where a build says what it does."""

    def line(self, text: str) -> None:
        """Say one thing."""

    def begin(self, table: str, stage: str, units: int, done: int) -> None:
        """Begin a stage of so many units, of which `done` were done before."""

    def advance(self, rows: int) -> None:
        """One more unit is done; it had so many rows."""

    def end(self) -> None:
        """End the stage."""


class Lines:
    """Progress as lines for a log: units done, rows a second, and when the stage will end at this rate."""

    def __init__(self, report: Callable[[str], None], every_s: float = _TELL_S) -> None:
        self._report, self._every_s = report, every_s
        self._name, self._units, self._done, self._before, self._rows = "", 0, 0, 0, 0
        self._start = self._told = 0.0

    def line(self, text: str) -> None:
        """Say one thing."""
        self._report(text)

    def begin(self, table: str, stage: str, units: int, done: int) -> None:
        """Begin a stage."""
        self._name, self._units, self._done, self._before, self._rows = f"{table}: {stage}", units, done, done, 0
        self._start = self._told = time.perf_counter()

    def advance(self, rows: int) -> None:
        """Count a unit, and tell now and then."""
        self._done += 1
        self._rows += rows
        now = time.perf_counter()
        if now - self._told < self._every_s:
            return
        self._told = now
        elapsed = now - self._start
        left = elapsed * (self._units - self._done) / max(1, self._done - self._before)
        rate = f"{self._rows / elapsed / 1e6:.2f} M rows/s"
        self._report(f"{self._name} {self._done} of {self._units} units, {rate}, {duration(left)} left")

    def end(self) -> None:
        """Nothing is left to do: the stage's time is a line of its own."""


class Bars:
    """Progress as a bar on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._task: TaskID | None = None

    def line(self, text: str) -> None:
        """Say one thing above the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begin(self, table: str, stage: str, units: int, done: int) -> None:
        """Show a bar."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
        )
        self._bars = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
        self._task = self._bars.add_task(f"{table} {stage}", total=units, completed=done, rate="")
        self._rows, self._start = 0, time.perf_counter()
        self._bars.start()

    def advance(self, rows: int) -> None:
        """Move the bar."""
        self._rows += rows
        rate = f"{self._rows / max(1e-9, time.perf_counter() - self._start) / 1e6:.2f} M rows/s"
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, advance=1, rate=rate)

    def end(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = None


def duration(seconds: float) -> str:
    """Return a time span for people.

    >>> duration(59.4), duration(61), duration(7322)
    ('59 s', '1 min 01 s', '2 h 02 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size_text(size: float) -> str:
    """Return a number of bytes for people.

    >>> size_text(0), size_text(1234), size_text(56_789_000), size_text(7e15)
    ('0 B', '1.23 kB', '56.8 MB', '7000 TB')
    """
    power = 0
    while size >= 999.5 and power < len(_UNITS) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.0f} {_UNITS[power]}" if power == 0 or size >= 999.5 else f"{size:.3g} {_UNITS[power]}"
