"""The parent's side of the worker processes: one query per worker, so that killing one hurts exactly one query."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from catalog_service.exceptions import (
    CatalogServiceError,
    ConfigurationError,
    UnavailableError,
    WorkerCrashedError,
)
from catalog_service.models.frames import End, Task

from .base import WorkerConfig
from .process import WorkerProcess
from .result import QueryResult
from .scratch import ScratchDirectory

__all__ = ["PoolStats", "WorkerPool"]

_log = logging.getLogger(__name__)

_FIRST_RETRY_S: Final = 0.1
_LONGEST_RETRY_S: Final = 10.0
_PATIENCE_S: Final = 5.0
"""How long to wait at the end for killed processes that hang in the kernel."""
_LONGEST_RETRY_AFTER_S: Final = 60
_AVERAGING: Final = 0.05
"""Weight of the latest query in the typical duration."""
_RSS_MARGIN_BYTES: Final = 512 << 20
"""Resident memory beyond DuckDB's limit that a worker may keep between queries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """Figures of a pool, now and since its start."""

    size: int
    busy: int
    idle: int
    queued: int
    """Queries that wait for a worker."""
    unreaped: int
    """Killed processes that have not ended yet; they hang in the kernel if this stays above 0."""
    queries: int
    crashes: int
    """Workers that ended or were killed during a query."""
    restarts: int
    """Workers started in place of others."""


class WorkerPool:
    """A fixed number of worker processes and a queue before them. Used from one event loop.

    Parameters
    ----------
    config
        Resources and rights of each worker.
    size
        Number of workers.
    max_queued
        Queries that may wait for a worker; more are refused.
    queries_per_worker
        A worker is replaced after so many queries.
    """

    def __init__(
        self, config: WorkerConfig, size: int, *, max_queued: int = 200, queries_per_worker: int = 2000
    ) -> None:
        self._config = config
        self._size = size
        self._max_queued = max_queued
        self._queries_per_worker = queries_per_worker
        self._idle: list[WorkerProcess] = []
        self._busy: set[WorkerProcess] = set()
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reaping: set[asyncio.Task[None]] = set()
        self._scratch: ScratchDirectory | None = None
        self._is_closed = False
        self._queries = self._crashes = self._restarts = 0
        self._typical_s = 1.0

    async def start(self) -> None:
        """Start the workers and wait until all are ready.

        Raises
        ------
        ConfigurationError
            If one cannot start; the message says why.
        """
        self._scratch = ScratchDirectory(Path(self._config.temp_directory))
        self._config = replace(self._config, temp_directory=str(self._scratch.path))
        workers = [WorkerProcess.start(self._config) for _ in range(self._size)]
        outcomes = await asyncio.gather(*(worker.wait_ready() for worker in workers), return_exceptions=True)
        for worker in workers:
            self._hand_over(worker)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            await self.close()
            raise failures[0]

    async def close(self) -> None:
        """Kill the workers; queries that run or wait fail with `UnavailableError`."""
        self._is_closed = True
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(_closed_error())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in [*self._idle, *self._busy]:
            self._discard(worker)
        if self._reaping:
            await asyncio.wait(self._reaping, timeout=_PATIENCE_S)
        if self._scratch is not None:
            self._scratch.close()

    async def run(self, query: Task) -> QueryResult:
        """Run a query; return once its first rows are there, or it failed.

        Waiting for a free worker counts against the query's time limit. A crash costs the query that ran: it is not
        tried again, since what crashed one worker may crash the next.

        Parameters
        ----------
        query
            What to run. Its `timeout_s` counts from `spent_s` ago.

        Raises
        ------
        UnavailableError
            If the queue is full, or no worker became free in time, or the pool is closed.
        WorkerCrashedError
            If the worker ended before its first rows.
        CatalogServiceError
            If the query failed before its first rows.
        """
        self._queries += 1
        deadline = asyncio.get_running_loop().time() + query.timeout_s - query.spent_s
        worker = await self._acquire(query, deadline)
        worker.queries += 1
        result = QueryResult(worker, query, deadline, released=self._release, lost=self._lose)
        try:
            await result.begin()
        except BaseException:
            self._keep(self._tasks, result.abandon())
            raise
        return result

    def allow(self, directories: tuple[str, ...]) -> None:
        """Let queries that start from now on read `directories` as well.

        A worker's rights are locked when it starts, so workers that may not read them are replaced: idle ones now,
        busy ones after their query.
        """
        missing = {f"{one.rstrip('/')}/" for one in directories}.difference(self._config.allowed_directories)
        if missing:
            allowed = (*self._config.allowed_directories, *sorted(missing))
            self._config = replace(self._config, allowed_directories=allowed)
            for worker in list(self._idle):
                self._replace(worker)

    def ready(self) -> bool:
        """Whether at least one worker can serve queries."""
        return bool(self._idle or self._busy) and not self._is_closed

    def stats(self) -> PoolStats:
        """Return figures for monitoring."""
        return PoolStats(
            size=self._size,
            busy=len(self._busy),
            idle=len(self._idle),
            queued=len(self._waiting),
            unreaped=len(self._reaping),
            queries=self._queries,
            crashes=self._crashes,
            restarts=self._restarts,
        )

    async def _acquire(self, query: Task, deadline: float) -> WorkerProcess:
        if self._is_closed:
            raise _closed_error()
        while self._idle:
            worker = self._idle.pop()
            worker.channel.unwatch()
            if worker.channel.at_end():  # it died this very moment
                self._replace(worker)
                continue
            self._busy.add(worker)
            return worker
        if len(self._waiting) >= self._max_queued:
            raise self._busy_error(f"{len(self._waiting)} queries are waiting already")
        return await self._wait_for_worker(query, deadline)

    async def _wait_for_worker(self, query: Task, deadline: float) -> WorkerProcess:
        future: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout_at(deadline):
                return await future
        except BaseException as error:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._hand_over(future.result())
            if isinstance(error, TimeoutError):
                reason = f"no worker became free within the time limit of {query.timeout_s:g} s"
                raise self._busy_error(reason) from error
            raise
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def _busy_error(self, reason: str) -> UnavailableError:
        """Return an error that asks to come back when about half of the queue is done."""
        error = UnavailableError(f"The service is busy: {reason}.", remedy="Try again later.")
        wait_s = len(self._waiting) * self._typical_s / (2 * self._size)
        error.retry_after_s = max(1, min(_LONGEST_RETRY_AFTER_S, round(wait_s)))
        return error

    def _hand_over(self, worker: WorkerProcess) -> None:
        """Give a free worker to the query that waits longest."""
        self._busy.discard(worker)
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                self._busy.add(worker)
                future.set_result(worker)
                return
        self._idle.append(worker)
        worker.channel.watch(lambda: self._lose_idle(worker))

    def _release(self, worker: WorkerProcess, end: End) -> None:
        if end.outcome is not None:
            self._typical_s += (end.outcome.seconds - self._typical_s) * _AVERAGING
        worn_out = worker.queries >= self._queries_per_worker
        too_large = end.rss_bytes > self._config.memory_limit_bytes + _RSS_MARGIN_BYTES
        if worker not in self._busy:
            return  # it was killed meanwhile
        if end.retire or worn_out or too_large or self._is_outdated(worker):
            self._replace(worker)
        else:
            self._hand_over(worker)

    def _lose(self, worker: WorkerProcess, query: Task) -> CatalogServiceError:
        """Replace a worker that is gone; return the error for its query."""
        if self._is_closed:
            return _closed_error()
        self._crashes += 1
        self._replace(worker)
        error = WorkerCrashedError(f"The process that ran the query ended unexpectedly (query {query.query_id}).")
        error.query_id = query.query_id
        return error

    def _lose_idle(self, worker: WorkerProcess) -> None:
        worker.channel.unwatch()
        self._replace(worker)

    def _replace(self, worker: WorkerProcess) -> None:
        self._discard(worker)
        if not self._is_closed:
            self._restarts += 1
            self._keep(self._tasks, asyncio.get_running_loop().create_task(self._bring_up()))

    def _discard(self, worker: WorkerProcess) -> None:
        self._busy.discard(worker)
        if worker in self._idle:
            worker.channel.unwatch()
            self._idle.remove(worker)
        self._keep(self._reaping, asyncio.get_running_loop().create_task(worker.reap()))

    async def _bring_up(self) -> None:
        """Start a worker, however long it takes."""
        delay_s = _FIRST_RETRY_S
        while True:
            while len(self._reaping) > 2 * self._size:  # killed ones hang: do not pile up more
                await asyncio.wait(self._reaping, return_when=asyncio.FIRST_COMPLETED)
            worker = WorkerProcess.start(self._config)
            try:
                await worker.wait_ready()
            except ConfigurationError as error:
                _log.error("%s", error)
            except asyncio.CancelledError:
                self._discard(worker)
                raise
            else:
                if not self._is_outdated(worker):
                    self._hand_over(worker)
                    return
            self._discard(worker)
            await asyncio.sleep(delay_s)
            delay_s = min(_LONGEST_RETRY_S, 2 * delay_s)

    def _is_outdated(self, worker: WorkerProcess) -> bool:
        return worker.allowed_directories != self._config.allowed_directories

    def _keep(self, tasks: "set[asyncio.Task[None]]", task: "asyncio.Task[None]") -> None:
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def _closed_error() -> UnavailableError:
    return UnavailableError("The service is shutting down.", remedy="Try again later.")
