"""Whose turn it is when a worker becomes free."""

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Claim", "Turns", "Waiter"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the queue before the workers knows of a query."""

    owner: str = ""
    """Who asks."""
    most_running: int | None = None
    """Queries of its owner that may run at the same time; more wait."""
    most_waiting: int | None = None
    """Queries of its owner that may wait; more are refused."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiter(Generic[T]):
    """A query that waits for a worker."""

    claim: Claim
    turn: asyncio.Future[T]
    """Is given the worker."""


class Turns(Generic[T]):
    """The queue before the workers.

    The owner with the fewest running queries comes first; of several, the one whose last turn was longest ago, so that
    they take turns however many queries each has lined up. The queries of one owner come in the order of their arrival.

    Nothing is counted up and down: who waits stands here, who runs is told, and all else follows from these.
    """

    def __init__(self) -> None:
        self._waiting: list[Waiter[T]] = []
        self._turn = 0
        self._last_turns: dict[str, int] = {}
        """Of the owners that wait."""

    def __len__(self) -> int:
        return len(self._waiting)

    def of_owner(self, owner: str) -> int:
        """Return how many queries of `owner` wait."""
        return sum(waiter.claim.owner == owner for waiter in self._waiting)

    def join(self, claim: Claim) -> Waiter[T]:
        """Let a query wait."""
        waiter: Waiter[T] = Waiter(claim, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        return waiter

    def leave(self, waiter: Waiter[T]) -> None:
        """Let a query wait no longer, if it does."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def clear(self) -> list[Waiter[T]]:
        """Return all that wait, and let none wait."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def waits_for_worker(self, running: Collection[Claim]) -> bool:
        """Whether a query waits for nothing but a free worker."""
        return bool(self._first_of_owners(running))

    def next(self, running: Collection[Claim]) -> Waiter[T] | None:
        """Return the query whose turn it is, and let it wait no longer.

        Parameters
        ----------
        running
            The claims of the queries that run.
        """
        first = self._first_of_owners(running)
        if not first:
            return None
        of_owner = Counter(claim.owner for claim in running)
        owner = min(first, key=lambda one: (of_owner[one], self._last_turns.get(one, 0)))
        self._waiting.remove(first[owner])
        self._turn += 1
        waiting = {waiter.claim.owner for waiter in self._waiting}
        self._last_turns = {one: turn for one, turn in self._last_turns.items() if one in waiting}
        if owner in waiting:
            self._last_turns[owner] = self._turn
        return first[owner]

    def _first_of_owners(self, running: Collection[Claim]) -> dict[str, Waiter[T]]:
        """Return for each owner the query that may run next, in the order of arrival."""
        of_owner = Counter(claim.owner for claim in running)
        first: dict[str, Waiter[T]] = {}
        for waiter in self._waiting:
            claim = waiter.claim
            below_cap = claim.most_running is None or of_owner[claim.owner] < claim.most_running
            if below_cap and not waiter.turn.done():
                first.setdefault(claim.owner, waiter)
        return first
