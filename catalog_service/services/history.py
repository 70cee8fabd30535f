"""The history of queries: kept for their owners, in batches beside the event loop, so that it costs queries nothing."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from ..exceptions import AccessError, CatalogServiceError
from ..models.record import QueryRecord
from ..models.user import ANONYMOUS, Identity
from ..storage.history import HistoryStore
from .beside import Beside

__all__ = ["HistoryService"]

_LOG: Final = logging.getLogger(__name__)

_COLLECT_S: Final = 0.5
"""How long queries are collected before they are written together."""
_MOST_WAITING: Final = 5_000
"""Queries that may wait to be written: at most `_TEXT_CHARACTERS` times so many characters."""
_TEXT_CHARACTERS: Final = 10_000
"""So much of a query's text is kept, since all of a long list of ids would fill the disk."""
_TIDY_S: Final = 3600.0
_MOST_LISTED: Final = 10_000


class HistoryService:
    """Keeps queries that have ended and lists them.

    Parameters
    ----------
    store
        Where they are kept; None: nowhere.
    days
        How long.
    clock
        Tells the time, aware.
    """

    def __init__(self, store: HistoryStore | None, *, days: float, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._days = days
        self._clock = clock
        self._beside = Beside("history")
        self._waiting: deque[QueryRecord] = deque()
        self._arrived = asyncio.Event()
        self._writing = asyncio.Lock()
        self._chores: list[asyncio.Task[None]] = []
        self.dropped = 0
        """Queries that could not be kept."""

    def record(self, record: QueryRecord) -> None:
        """Keep a query, soon."""
        if self._store is None:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append(
            replace(record, text=_storable(record.text), message=record.message and _storable(record.message))
        )
        self._arrived.set()

    async def start(self) -> None:
        """Begin to write."""
        if self._store is not None:
            self._chores = [
                asyncio.create_task(self._write_on(self._store)),
                asyncio.create_task(self._tidy(self._store)),
            ]

    async def close(self) -> None:
        """Write what waits, and end."""
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        if self._store is not None:
            await self._write(self._store)
            self._store.close()
        self._beside.close()

    async def queries(
        self, identity: Identity, *, last: int, since: datetime | None = None, everybody: bool = False
    ) -> tuple[QueryRecord, ...]:
        """Return the caller's queries, the newest first; none for anonymous callers, who are many.

        Parameters
        ----------
        identity
            Who asks.
        last
            At most so many, and at most 10,000.
        since
            Only queries that began then or later.
        everybody
            Queries of everybody, for operators.

        Raises
        ------
        AccessError
            If somebody else asks for the queries of everybody.
        UnavailableError
            If the history cannot be read now.
        """
        if everybody and not identity.is_admin:
            raise AccessError("the queries of everybody are for operators; leave `all` out for your own.")
        if self._store is None or (identity.name == ANONYMOUS.name and not everybody):
            return ()
        await self._write(self._store)
        owner, most = None if everybody else identity.name, max(0, min(last, _MOST_LISTED))
        return await self._beside(self._store.queries, owner, since=since, last=most)

    async def _write_on(self, store: HistoryStore) -> None:
        while True:
            await self._arrived.wait()
            await asyncio.sleep(_COLLECT_S)
            await self._write(store)

    async def _write(self, store: HistoryStore) -> None:
        """Write what waits; what cannot be written is dropped, so that it neither piles up nor is tried for ever."""
        async with self._writing:
            self._arrived.clear()
            batch = tuple(self._waiting)
            self._waiting.clear()
            if not batch:
                return
            try:
                await self._beside(store.add, batch)
            except CatalogServiceError as error:
                self.dropped += len(batch)
                _LOG.warning("%d queries are missing in the history: %s", len(batch), error.__cause__)

    async def _tidy(self, store: HistoryStore) -> None:
        while True:
            try:
                await self._beside(store.remove_before, self._clock() - timedelta(days=self._days))
            except CatalogServiceError as error:
                _LOG.warning("old queries cannot be removed from the history: %s", error.__cause__)
            await asyncio.sleep(_TIDY_S)


def _storable(text: str) -> str:
    """Return the beginning of a text, without halves of surrogate pairs, which databases refuse."""
    return text[:_TEXT_CHARACTERS].encode(errors="replace").decode()
