"""Receivers that take nothing of their result."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["ReceiverWatch"]


@dataclass(slots=True)
class ReceiverWatch:
    """Tells a receiver that has stopped reading from a slow one."""

    seconds: float
    """How long a receiver may take nothing."""
    clock: Callable[[], float] = time.monotonic
    _unsent: int = 0
    _since: float = field(default=0.0)

    def has_stalled(self, unsent: int) -> bool:
        """Whether nothing was taken for too long.

        Parameters
        ----------
        unsent
            Bytes that wait to be taken now; to be told about every second. What the receiver takes, and what is
            added, changes it.
        """
        now = self.clock()
        if unsent == 0 or unsent != self._unsent:
            self._unsent, self._since = unsent, now
        return now - self._since >= self.seconds
