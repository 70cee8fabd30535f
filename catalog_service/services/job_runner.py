"""Runs queued jobs, as many at a time as there are workers for them, and takes up what a stop has interrupted."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, ParamSpec

import structlog

from ..exceptions import CatalogServiceError, QueryStoppedError, QueryTimeoutError, ServerError
from ..models.job import Job, Phase, Progress
from ..storage.results import Done
from .beside import in_thread
from .budgets import ScanBudget
from .deliveries import Delivery
from .job_keeping import JobKeeping
from .job_making import JobMaker

__all__ = ["JobRunner"]

P = ParamSpec("P")

_LOG: Final = logging.getLogger(__name__)

_MOST_ATTEMPTS: Final = 2
_PATIENCE_S: Final = 5.0
"""How long a stop waits until the end of a job is noted."""
_LOOK_AGAIN_S: Final = 30.0
"""After a failure of the store; otherwise the queue is looked at when something changes."""


@dataclass(slots=True)
class _Execution:
    """A job that runs now."""

    task: "asyncio.Task[None]"
    delivery: Delivery | None = None


class JobRunner:
    """Takes jobs from the queue and executes them.

    Parameters
    ----------
    kept
        Jobs and their files.
    maker
        Makes their results.
    budget
        What owners may have read; jobs of those who have read too much wait.
    slots
        Jobs that run at the same time.
    """

    def __init__(self, kept: JobKeeping, maker: JobMaker, *, budget: ScanBudget, slots: int) -> None:
        self._budget = budget
        self._kept = kept
        self._store = kept.store
        self._results = kept.results
        self._beside = kept.beside
        self._maker = maker
        self._slots = slots
        self._running: dict[str, _Execution] = {}
        self._wake = asyncio.Event()
        self._dispatching: asyncio.Task[None] | None = None
        self._relief: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Take up the jobs of the run before, and begin."""
        await self._beside(self._recover)
        self._wake.set()
        self._dispatching = asyncio.create_task(self._dispatch())

    async def close(self) -> None:
        """Stop; jobs that run are queued again for the next start."""
        if self._dispatching is not None:
            self._dispatching.cancel()
            await asyncio.gather(self._dispatching, return_exceptions=True)
        for job_id in list(self._running):
            await self.stop(job_id)
            await self._beside(self._requeue, job_id)

    def wake(self) -> None:
        """Look at the queue."""
        self._wake.set()

    async def stop(self, job_id: str) -> None:
        """Stop the execution of a job, if it runs, and wait until nothing of it does."""
        execution = self._running.get(job_id)
        if execution is not None:
            execution.task.cancel()
            await asyncio.wait({execution.task})

    def progress(self, job_id: str) -> Progress | None:
        """Return how far an executing job is, None if that is not known."""
        execution = self._running.get(job_id)
        known = None if execution is None or execution.delivery is None else execution.delivery.progress
        return None if known is None else Progress(*known)

    def waits_for(self, owner: str) -> str | None:
        """Return why the jobs of an owner are not begun, None if they only wait for their turn."""
        wait_s = self._budget.relief_s(owner)
        return f"the budget of its owner (scan_budget_mb), for {wait_s:.0f} s" if wait_s else None

    def _recover(self) -> None:
        """Settle jobs that executed when the service ended: finished, queued once more, or failed."""
        self._results.sweep(self._store.ids())
        for job in self._store.in_phase(Phase.EXECUTING):
            done = self._results.done(job.job_id, job.attempts)
            if done is not None:
                self._complete(job, done)
                continue
            self._results.discard(job.job_id, job.attempts)
            if job.attempts < _MOST_ATTEMPTS:
                self._store.change(job.job_id, [Phase.EXECUTING], phase=Phase.QUEUED, started=None, results=())
            else:
                error = ServerError(
                    f"The service stopped {job.attempts} times while this job ran; it is not tried again.",
                    remedy="Create it anew, or ask the operator.",
                )
                self._fail(job, error)

    def _requeue(self, job_id: str) -> None:
        job = self._store.get(job_id)
        if job is not None and job.phase is Phase.EXECUTING:
            self._results.discard(job_id, job.attempts)
            attempts = job.attempts - 1  # it did nothing wrong
            again = {"phase": Phase.QUEUED, "started": None, "results": (), "attempts": attempts}
            self._store.change(job_id, [Phase.EXECUTING], **again)

    async def _dispatch(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while len(self._running) < self._slots and await self._begin_next():
                    pass
            except Exception:  # noqa: BLE001 - such as a full disk: the next look may succeed
                _LOG.exception("no job can be taken from the queue; trying again")
                self._wake.clear()
                asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._wake.set)

    async def _begin_next(self) -> bool:
        """Begin the next job of the queue; return whether there may be more."""
        job = await self._beside(self._store.next_queued, excluded=await self._over_budget())
        if job is None:
            return False
        # known as running before it is claimed, so that whoever stops it meanwhile finds it
        claimed = asyncio.Event()
        task = asyncio.create_task(self._execute(job, claimed))
        self._running[job.job_id] = _Execution(task)
        task.add_done_callback(lambda _: self._ended(job.job_id))
        waiting = asyncio.create_task(claimed.wait())
        try:
            await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if task.done() and not task.cancelled() and (failure := task.exception()) is not None:
            raise failure
        return True

    async def _over_budget(self) -> tuple[str, ...]:
        """Return the owners whose jobs wait for their budget; the queue is looked at again when one has to no more."""
        if self._relief is not None:
            self._relief.cancel()
        owners = await self._beside(self._store.queued_owners) if self._budget.most_bytes else ()
        waits = {owner: wait_s for owner in owners if (wait_s := self._budget.relief_s(owner))}
        if waits:
            self._relief = asyncio.get_running_loop().call_later(min(waits.values()), self._wake.set)
        return tuple(waits)

    def _ended(self, job_id: str) -> None:
        del self._running[job_id]
        self._kept.changes.tell(job_id)
        self._wake.set()

    async def _execute(self, job: Job, claimed: asyncio.Event) -> None:
        attempts = job.attempts + 1
        structlog.contextvars.bind_contextvars(job=job.job_id)
        begun = {"phase": Phase.EXECUTING, "started": self._kept.clock(), "attempts": attempts, "results": ()}
        if not await self._beside(self._store.change, job.job_id, [Phase.QUEUED], **begun):
            return
        claimed.set()
        self._kept.changes.tell(job.job_id)
        noting: asyncio.Task[None] | None = None
        try:
            known = await self._beside(self._store.get, job.job_id)
            job = known or job  # its time limit may have changed meanwhile
            done = await self._maker.make(job, partial(self._under_way, job.job_id))
            noting = asyncio.create_task(self._settled(self._complete, job, done))
            await asyncio.shield(noting)
        except asyncio.CancelledError:
            if noting is None:
                await in_thread(self._results.discard, job.job_id, attempts)
            else:  # all is made: what stops the job now comes too late, unless it came before
                await asyncio.wait({noting}, timeout=_PATIENCE_S)
            raise
        except CatalogServiceError as error:
            await self._end(job, error)
        except Exception:  # noqa: BLE001 - whatever it is costs this job alone
            _LOG.exception("a job failed for a reason that is our fault")
            await self._end(job, ServerError("The job failed for a reason that is our fault."))

    def _under_way(self, job_id: str, delivery: Delivery) -> None:
        self._running[job_id].delivery = delivery

    async def _end(self, job: Job, error: CatalogServiceError) -> None:
        await asyncio.to_thread(self._results.discard, job.job_id, job.attempts)
        await self._settled(self._fail, job, error)

    async def _settled(self, note: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Note how a job ended, however long it takes: until then it counts as running."""
        while True:
            try:
                return await self._beside(note, *args, **kwargs)
            except Exception:  # noqa: BLE001 - such as a full disk
                _LOG.exception("the end of a job cannot be noted; trying again")
                await asyncio.sleep(_LOOK_AGAIN_S)

    def _complete(self, job: Job, done: Done) -> None:
        ended = {"results": done.results, "overflow": done.overflow, "ended": self._kept.clock()}
        if not self._store.change(job.job_id, [Phase.EXECUTING], phase=Phase.COMPLETED, **ended):
            self._results.discard(job.job_id, job.attempts)  # it was aborted or removed
        self._results.remove_uploads(job.job_id)

    def _fail(self, job: Job, error: CatalogServiceError) -> None:
        """Note how a job failed; one that ran too long or was stopped counts as aborted (UWS 1.1 section 2.1.5)."""
        phase = Phase.ABORTED if isinstance(error, QueryTimeoutError | QueryStoppedError) else Phase.ERROR
        self._store.change(
            job.job_id,
            [Phase.EXECUTING],
            phase=phase,
            results=(),
            error=error.to_json(),
            error_status=error.status,
            ended=self._kept.clock(),
        )
        self._results.remove_uploads(job.job_id)
