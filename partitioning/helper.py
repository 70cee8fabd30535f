"""A helper of builds in array mode: does units of whatever stage is announced, until the build is over."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .executors import announced_stage, work_on
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
    while True:
        held = [home for home in homes if lease_holder(home) is not None]
        if held:
            met, last = True, time.monotonic()
            done = _work_until_idle(held, share)
            units += done
        elif met and not any(announced_stage(home) for home in homes):
            report(f"the build has ended; {units} units were done here")
            return units
        elif time.monotonic() - last > wait_s:
            report(f"no build for {wait_s:g} s; {units} units were done here")
            return units
        time.sleep(_POLL_S)


def _work_until_idle(homes: Sequence[Path], share: Share) -> int:
    """Do units as long as there are free ones."""
    units = 0
    while any(work_on(home, share) for home in homes):
        units += 1
    return units
