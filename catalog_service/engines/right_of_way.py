"""Short queries come first: while they do, scans leave one processor to them.

A low priority is not enough. A query goes through several processes that each work for a millisecond or less and wait
for one another; on a kernel that lets a running thread finish its slice before it looks at priorities, each of these
steps waits for the scans. With one processor that no scan uses, none does.
"""

import asyncio
import os
from collections.abc import Collection, Sequence
from typing import Final

from .pool import WorkerPool

__all__ = ["RightOfWay"]

_QUIET_S: Final = 1.0
"""After so long without short queries, scans use all processors again."""


class RightOfWay:
    """Decides which processors the workers of scans may use.

    Parameters
    ----------
    pools
        Of scans.
    quiet_s
        How long after the last short query scans get all processors back.
    """

    def __init__(self, pools: Sequence[WorkerPool], *, quiet_s: float = _QUIET_S) -> None:
        self._pools = tuple(pools)
        self._quiet_s = quiet_s
        self._all = frozenset(os.sched_getaffinity(0))
        self._fewer = self._all - {min(self._all)} or self._all
        self._last_s = 0.0
        self._is_held = False

    def claim(self) -> None:
        """Have the way free for a short query, which begins now."""
        loop = asyncio.get_running_loop()
        self._last_s = loop.time()
        if not self._is_held:
            self._set(self._fewer)
            self._is_held = True
            loop.call_later(self._quiet_s, self._look)

    def _look(self) -> None:
        """Give all back after a while of quiet."""
        loop = asyncio.get_running_loop()
        left_s = self._last_s + self._quiet_s - loop.time()
        if left_s > 0:
            loop.call_later(left_s, self._look)
            return
        self._is_held = False
        self._set(self._all)

    def _set(self, processors: Collection[int]) -> None:
        for pool in self._pools:
            pool.keep_to(processors)
