"""The parent's side of the worker processes: one query per worker, so that killing one hurts exactly one query."""

import asyncio
import logging
from collections.abc import Callable, Collection
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

from .base import OvertimeError, WorkerConfig
from .process import WorkerProcess
from .result import QueryResult
from .scratch import ScratchDirectory
from .turns import Claim, Turns

__all__ = ["PoolStats", "WorkerPool"]

_log = logging.getLogger(__name__)

_FIRST_RETRY_S: Final = 0.1
_LONGEST_RETRY_S: Final = 10.0
_PATIENCE_S: Final = 5.0
"""How long to wait at the end for killed processes that hang in the kernel."""
_LOOK_S: Final = 0.25
"""So often a pool looks whether somebody waits for the worker of a query that takes long."""
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
        self,
        config: WorkerConfig,
        size: int,
        *,
        max_queued: int = 200,
        queries_per_worker: int = 2000,
    ) -> None:
        self._config = config
        self._size = size
        self._max_queued = max_queued
        self._queries_per_worker = queries_per_worker
        self._idle: list[WorkerProcess] = []
        self._busy: dict[WorkerProcess, Claim] = {}
        self._turns: Turns[WorkerProcess] = Turns()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reaping: set[asyncio.Task[None]] = set()
        self._scratch: ScratchDirectory | None = None
        self._processors: Collection[int] | None = None
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
        for waiter in self._turns.clear():
            if not waiter.turn.done():
                waiter.turn.set_exception(_closed_error())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in [*self._idle, *self._busy]:
            self._discard(worker)
        if self._reaping:
            await asyncio.wait(self._reaping, timeout=_PATIENCE_S)
        if self._scratch is not None:
            self._scratch.close()

    async def run(
        self,
        query: Task,
        claim: Claim = Claim(),  # noqa: B008 - frozen
        *,
        patience_s: float | None = None,
        told: Callable[[QueryResult], object] | None = None,
    ) -> QueryResult:
        """Run a query; return once its first rows are there, or it failed.

        Waiting for a free worker counts against the query's time limit. A crash costs the query that ran: it is not
        tried again, since what crashed one worker may crash the next.

        Parameters
        ----------
        query
            What to run. Its `timeout_s` counts from `spent_s` ago.
        claim
            Decides when it is its turn.
        patience_s
            How long its first rows may take while others wait for its worker; None: as long as its time limit.
        told
            Is called with the result when the query begins, before its first rows are there.

        Raises
        ------
        OvertimeError
            If its first rows took longer than `patience_s` and others wait.
        SqlNeededError
            If it is to be sent again with SQL.
        UnavailableError
            If the queue is full, or holds too many queries of the same owner, or no worker became free in time, or
            the pool is closed.
        WorkerCrashedError
            If the worker ended before its first rows.
        CatalogServiceError
            If the query failed before its first rows.
        """
        self._queries += 1
        deadline = asyncio.get_running_loop().time() + query.timeout_s - query.spent_s
        worker = await self._acquire(query, claim, deadline)
        worker.queries += 1
        result = QueryResult(worker, query, deadline, released=self._release, lost=self._lose)
        if told is not None:
            told(result)
        try:
            await self._begin(result, patience_s)
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

    def keep_to(self, processors: Collection[int]) -> None:
        """Let the workers use these processors only, from now on."""
        self._processors = processors
        for worker in [*self._idle, *self._busy]:
            worker.keep_to(processors)

    def ready(self) -> bool:
        """Whether at least one worker can serve queries."""
        return bool(self._idle or self._busy) and not self._is_closed

    @property
    def size(self) -> int:
        """Number of workers."""
        return self._size

    def has_idle(self) -> bool:
        """Whether a worker is free."""
        return bool(self._idle)

    def is_awaited(self) -> bool:
        """Whether a query would run now if a worker became free."""
        return not self._idle and self._turns.waits_for_worker(self._busy.values())

    def stats(self) -> PoolStats:
        """Return figures for monitoring."""
        return PoolStats(
            size=self._size,
            busy=len(self._busy),
            idle=len(self._idle),
            queued=len(self._turns),
            unreaped=len(self._reaping),
            queries=self._queries,
            crashes=self._crashes,
            restarts=self._restarts,
        )

    async def _begin(self, result: QueryResult, patience_s: float | None) -> None:
        if patience_s is None:
            await result.begin()
            return
        beginning = asyncio.ensure_future(result.begin())
        try:
            await asyncio.wait({beginning}, timeout=patience_s)
            while not beginning.done():
                if self.is_awaited():
                    raise OvertimeError
                await asyncio.wait({beginning}, timeout=_LOOK_S)
            await beginning
        finally:
            if not beginning.done():
                beginning.cancel()
                await asyncio.wait({beginning})

    async def _acquire(self, query: Task, claim: Claim, deadline: float) -> WorkerProcess:
        """Wait until it is the query's turn."""
        if self._is_closed:
            raise _closed_error()
        waiter = self._turns.join(claim)
        self._dispatch()
        try:
            if not waiter.turn.done():
                self._check_room(claim)
            async with asyncio.timeout_at(deadline):
                return await waiter.turn
        except BaseException as error:
            if waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._hand_over(waiter.turn.result())
            if isinstance(error, TimeoutError):
                raise self._busy_error(self._why_it_waited(query, claim)) from error
            raise
        finally:
            self._turns.leave(waiter)

    def _check_room(self, claim: Claim) -> None:
        """Refuse a query that has just joined the queue if there are too many in it."""
        others = len(self._turns) - 1
        if others >= self._max_queued:
            raise self._busy_error(f"{others} queries are waiting already, the limit is {self._max_queued}")
        if claim.most_waiting is not None and (of_owner := self._turns.of_owner(claim.owner) - 1) >= claim.most_waiting:
            raise self._busy_error(
                f"{of_owner} of your queries are waiting already, the limit is {claim.most_waiting} (queued_per_user)"
            )

    def _why_it_waited(self, query: Task, claim: Claim) -> str:
        limit = f"within the time limit of {query.timeout_s:g} s"
        of_owner = sum(one.owner == claim.owner for one in self._busy.values())
        if claim.most_running is not None and of_owner >= claim.most_running:
            return f"{of_owner} of your queries were running, the limit is {claim.most_running}, and none ended {limit}"
        return f"no worker became free {limit}"

    def _busy_error(self, reason: str) -> UnavailableError:
        """Return an error that asks to come back when about half of the queue is done."""
        error = UnavailableError(f"The service is busy: {reason}.", remedy="Try again later.")
        wait_s = len(self._turns) * self._typical_s / (2 * self._size)
        error.retry_after_s = max(1, min(_LONGEST_RETRY_AFTER_S, round(wait_s)))
        return error

    def _hand_over(self, worker: WorkerProcess) -> None:
        """Take back a worker, for the next query."""
        self._busy.pop(worker, None)
        self._idle.append(worker)
        worker.channel.watch(lambda: self._lose_idle(worker))
        self._dispatch()

    def _dispatch(self) -> None:
        """Give free workers to queries that wait; to be called whenever a query joins, or one ends."""
        while self._idle:
            worker = self._idle[-1]
            if worker.channel.at_end():  # it died this very moment
                self._lose_idle(worker)
                continue
            waiter = self._turns.next(self._busy.values())
            if waiter is None:
                return
            self._idle.pop()
            worker.channel.unwatch()
            self._busy[worker] = waiter.claim
            waiter.turn.set_result(worker)

    def _release(self, worker: WorkerProcess, end: End) -> None:
        if end.outcome is not None:
            self._typical_s += (end.outcome.seconds - self._typical_s) * _AVERAGING
        worn_out = worker.queries >= self._queries_per_worker
        too_large = end.rss_bytes > self._config.memory_limit_bytes + self._config.cache_bytes + _RSS_MARGIN_BYTES
        if worker not in self._busy:
            return  # it was killed meanwhile
        if end.retire or worn_out or too_large or self._is_outdated(worker):
            self._replace(worker)
            self._dispatch()
        else:
            self._hand_over(worker)

    def _lose(self, worker: WorkerProcess, query: Task) -> CatalogServiceError:
        """Replace a worker that is gone; return the error for its query."""
        if self._is_closed:
            return _closed_error()
        self._crashes += 1
        self._replace(worker)
        self._dispatch()
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
        self._busy.pop(worker, None)
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
                    if self._processors is not None:
                        worker.keep_to(self._processors)
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
