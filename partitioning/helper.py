"""A helper of builds in array mode: does units of whatever stage is announced, until the build is over."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .checks.report import listing
from .executors import Announced, announced_stage, work_on
from .lease import lease_holder
from .stages.run import Share

__all__ = ["help_builds"]

_POLL_S = 0.5


def help_builds(homes: Sequence[Path], share: Share, *, wait_s: float, report: Callable[[str], None]) -> int:
    """Do units of the builds of some tables; return how many were done.

    It may start before the build, and returns when the build has ended (nobody holds a table, and no stage is
    announced), or when there has been no build for `wait_s` seconds: one whose director died may be started again.

    Parameters
    ----------
    homes
        Directories of the tables.
    share
        What this process may use.
    wait_s
        Seconds to wait for a build.

    Raises
    ------
    PartitioningError
        If a unit cannot be done: unusable input, a full disk.
    """
    units, met, last = 0, False, time.monotonic()
    news = _News(report, wait_s)
    while True:
        held = [home for home in homes if lease_holder(home) is not None]
        if held:
            met, last = True, time.monotonic()
            units += _work_until_idle(held, share, news)
        elif met and not any(announced_stage(home) for home in homes):
            report(f"the build has ended; {units} units were done here")
            return units
        elif time.monotonic() - last > wait_s:
            report(f"no build for {wait_s:g} s; {units} units were done here")
            return units
        else:
            news.waits(homes, is_director_gone=met)
        time.sleep(_POLL_S)


def _work_until_idle(homes: Sequence[Path], share: Share, news: "_News") -> int:
    """Do units as long as there are free ones."""
    units = 0
    while any(_one_unit(home, share, news) for home in homes):
        units += 1
    return units


def _one_unit(home: Path, share: Share, news: "_News") -> bool:
    """Do one unit of the build of a table, if one is free; return whether one was done."""
    announced = announced_stage(home)
    if announced is not None and announced.units:
        news.works(home, announced)
    return work_on(home, share)


class _News:
    """Tells when a helper begins to wait or to work: a line each, since hundreds of helpers write a log."""

    def __init__(self, report: Callable[[str], None], wait_s: float) -> None:
        self._report, self._wait_s = report, wait_s
        self._is_waiting = False
        self._builds = set[tuple[Path, str]]()

    def waits(self, homes: Sequence[Path], *, is_director_gone: bool) -> None:
        """Tell once that there is no build, or none any more."""
        if not self._is_waiting:
            gone = "the director is gone; " if is_director_gone else ""
            names = listing(f"{home.parent.name}.{home.name}" for home in homes)
            self._report(f"{gone}waiting up to {self._wait_s:g} s for a build of {names}")
        self._is_waiting = True
        self._builds.clear()

    def works(self, home: Path, announced: Announced) -> None:
        """Tell once that there is something to do for a build."""
        self._is_waiting = False
        build = (home, announced.release)
        if build not in self._builds:
            self._builds.add(build)
            self._report(f"working for {home.parent.name}.{home.name} ({announced.release}), stage {announced.stage}")
