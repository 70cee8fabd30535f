"""Queries that end the process which runs them are not run again and again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from math import ceil
from typing import Final

from ..exceptions import UnavailableError
from ..models.query import EngineQuery

__all__ = ["Quarantine"]

_MOST_CRASHES: Final = 2
"""One may be an accident: the query of a neighbour took the memory, or an operator killed the process."""
_MOST_REMEMBERED: Final = 1000


@dataclass(slots=True)
class Quarantine:
    """Remembers which queries have crashed workers.

    A query is known by its generated SQL, or its excerpt: spaces, comments and letter case of its text make no
    difference, but other values make another query, since an innocent one of the same shape must not suffer.
    """

    seconds: float
    """How long a crash is remembered."""
    clock: Callable[[], float] = time.monotonic
    _crashes: dict[bytes, tuple[float, ...]] = field(default_factory=dict)
    """Times by query, the query that crashed last at the end."""

    def check(self, query: EngineQuery) -> None:
        """Refuse a query that crashed two workers.

        Raises
        ------
        UnavailableError
            If it did so lately.
        """
        crashes = self._lately(self._crashes.get(_digest(query), ())) if self._crashes else ()
        if len(crashes) >= _MOST_CRASHES:
            error = UnavailableError(
                f"This query ended the process that ran it {len(crashes)} times; it is not run again for "
                f"{self.seconds:g} s after the last time (quarantine_s).",
                remedy="Ask for less: fewer rows, columns or tables, or a smaller region.",
            )
            error.retry_after_s = max(1, ceil(crashes[-1] + self.seconds - self.clock()))
            raise error

    def note(self, query: EngineQuery) -> None:
        """Remember that a query crashed its worker."""
        digest = _digest(query)
        crashes = self._lately(self._crashes.pop(digest, ()))
        self._crashes[digest] = (*crashes, self.clock())[-_MOST_CRASHES:]
        while len(self._crashes) > _MOST_REMEMBERED:
            del self._crashes[next(iter(self._crashes))]

    def _lately(self, crashes: tuple[float, ...]) -> tuple[float, ...]:
        """Return the crashes that still count: all of them until the last is forgotten."""
        return crashes if crashes and self.clock() - crashes[-1] < self.seconds else ()


def _digest(query: EngineQuery) -> bytes:
    excerpt = "" if query.excerpt is None else repr(query.excerpt)
    return sha256("\0".join((excerpt, query.sql, *query.batches)).encode()).digest()
