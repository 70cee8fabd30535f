"""The running query, as its consumer sees it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final, Self

from catalog_service.exceptions import CatalogServiceError
from catalog_service.models import frames
from catalog_service.models.frames import End, Task
from catalog_service.models.query import Outcome, ResultPart

from .base import QueryCancelledError, SqlNeededError
from .channel import ChannelClosedError
from .errors import timeout_error
from .process import WorkerProcess

__all__ = ["CANCEL_GRACE_S", "QueryResult"]

CANCEL_GRACE_S: Final = 2.0
"""How long a worker may take to obey before it is killed."""


class QueryResult(AsyncIterator[bytes]):
    """Final bytes of a result, piece by piece as the worker makes them; made by `WorkerPool.run`.

    The worker waits while nobody asks for the next piece. Always `close` it, or use it as a context::

        async with await pool.run(query) as result:
            async for piece in result:
                ...
        audit(result.outcome)
    """

    overflow: bool | None = None
    """Whether the result was cut, if that is known before its first byte; else see `outcome`."""
    outcome: Outcome | None = None
    """Set when the last piece was read."""
    progress: tuple[int, int] | None = None
    """Batches of tiles that are done, and all of them; None for a query that is run as a whole."""
    parts: tuple[ResultPart, ...] = ()
    """Files of the result that are on the disk, if it is written in parts."""
    body_complete: bool = False
    """After an error: whether the bytes read are a whole document all the same."""

    def __init__(
        self,
        worker: WorkerProcess,
        query: Task,
        deadline: float,
        *,
        released: Callable[[WorkerProcess, End], None],
        lost: Callable[[WorkerProcess, Task], CatalogServiceError],
    ) -> None:
        self._worker = worker
        self._query = query
        self._deadline = deadline
        self._released = released
        self._lost = lost
        self._reading = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._ended = False
        self._failure: Exception | None = None
        loop = asyncio.get_running_loop()
        self._watchdog = loop.call_at(deadline + CANCEL_GRACE_S, self._expire)

    async def begin(self) -> None:
        """Send the query and wait until its first rows are encoded.

        Raises
        ------
        CatalogServiceError
            If it failed before.
        SqlNeededError
            If it is to be sent again with SQL.
        QueryCancelledError
            If it was closed meanwhile.
        """
        remaining_s = max(0.001, self._deadline - asyncio.get_running_loop().time())
        async with self._reading:
            try:
                await self._worker.channel.send(frames.encode_task(self._query, remaining_s=remaining_s))
                kind = frames.PROGRESS
                while kind == frames.PROGRESS:
                    kind, payload = await self._worker.channel.next_frame()
                    self._handle(kind, payload)
            except ChannelClosedError:
                self._fail_lost()
        if self._failure is not None:
            raise self._failure

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece.

        Raises
        ------
        CatalogServiceError
            If the query failed after its first rows.
        QueryCancelledError
            If it was closed.
        """
        piece = await self._next_piece()
        if piece is not None:
            return piece
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancel the query unless it has ended, and wait until its worker is free, or killed.

        The cancellation goes on even if the caller is cancelled while it waits here.
        """
        await asyncio.shield(self.abandon())

    def stop(self, error: CatalogServiceError) -> None:
        """Have the worker end the result with `error` where it is; one that does not within the grace is killed.

        Unlike `close`, this leaves the rest to be read.
        """
        if self._stopping is None and not self._ended:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(error))

    async def _stop(self, error: CatalogServiceError) -> None:
        if self._ended:
            return
        with suppress(ChannelClosedError):
            await self._worker.channel.send(frames.encode_json_frame(frames.CANCEL, error.to_json()))
            await asyncio.sleep(CANCEL_GRACE_S)
        if not self._ended:
            self._failure = error
            self._worker.kill()
            self._fail_lost()

    def abandon(self) -> "asyncio.Task[None]":
        """Begin to `close` without waiting."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._cancel())
        return self._closing

    async def _cancel(self) -> None:
        if self._ended:
            return
        with suppress(TimeoutError, ChannelClosedError):
            async with asyncio.timeout(CANCEL_GRACE_S):
                await self._worker.channel.send(frames.encode_frame(frames.CANCEL))
                while await self._next_piece() is not None:
                    pass
        if not self._ended:
            self._worker.kill()
            self._fail_lost()

    async def _next_piece(self) -> bytes | None:
        """Return the next piece, None at the end; keep what ended it."""
        async with self._reading:
            channel = self._worker.channel
            try:
                while not self._ended:
                    if channel.data_left:
                        return await channel.read_data()
                    self._handle(*await channel.next_frame())
            except ChannelClosedError:
                self._fail_lost()
        return None

    def _handle(self, kind: bytes, payload: bytes) -> None:
        if kind == frames.HEAD:
            self.overflow = json.loads(payload)["overflow"]
        elif kind == frames.PROGRESS:
            now = json.loads(payload)
            self.progress = now["done"], now["total"]
        elif kind == frames.PART:
            self.parts += (ResultPart(**json.loads(payload)),)
        elif kind == frames.END:
            self._finish(frames.decode_end(payload))

    def _finish(self, end: End) -> None:
        self.outcome = end.outcome
        self.body_complete = end.body_complete or end.outcome is not None
        self._failure = QueryCancelledError() if end.cancelled else SqlNeededError() if end.needs_sql else end.error
        self._end()
        self._released(self._worker, end)

    def _fail_lost(self) -> None:
        """Give up: the worker is gone. Of the reasons that may have killed it, the first one counts."""
        if self._ended:
            return
        self._end()
        error = self._lost(self._worker, self._query)
        if self._failure is None:
            self._failure = QueryCancelledError() if self._closing is not None else error

    def _expire(self) -> None:
        """Kill a worker that has not obeyed its own time limit."""
        self._failure = timeout_error(self._query)
        self._failure.query_id = self._query.query_id
        self._worker.kill()
        asyncio.get_running_loop().call_later(CANCEL_GRACE_S, self._fail_lost)

    def _end(self) -> None:
        self._ended = True
        self._watchdog.cancel()
        if self._stopping is not None and self._stopping is not asyncio.current_task():
            self._stopping.cancel()
