"""Runs queued jobs, as many at a time as there are workers for them, and takes up what a stop has interrupted."""

import asyncio
import hashlib
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ..exceptions import CatalogServiceError, QueryStoppedError, QueryTimeoutError, ServerError
from ..models.job import Job, JobResult, Phase, Progress
from ..storage.results import Done
from .job_keeping import JobKeeping
from .parameters import Parameters, query_text, result_options
from .query import Delivery, QueryService, ResultFile, ResultOptions

__all__ = ["JobRunner"]

_LOG: Final = logging.getLogger(__name__)

_MOST_ATTEMPTS: Final = 2
_PARTS_S: Final = 0.5
"""Seconds between looks for new parts of a result."""
_LIST_OF_URIS: Final = "text/uri-list"
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
    queries
        Runs queries.
    slots
        Jobs that run at the same time.
    """

    def __init__(self, kept: JobKeeping, queries: QueryService, *, slots: int) -> None:
        self._kept = kept
        self._store = kept.store
        self._results = kept.results
        self._beside = kept.beside
        self._queries = queries
        self._slots = slots
        self._running: dict[str, _Execution] = {}
        self._wake = asyncio.Event()
        self._dispatching: asyncio.Task[None] | None = None

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
                self._store.change(job.job_id, [Phase.EXECUTING], phase=Phase.QUEUED, started=None)
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
            self._store.change(job_id, [Phase.EXECUTING], phase=Phase.QUEUED, started=None, attempts=attempts)

    async def _dispatch(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while len(self._running) < self._slots and await self._begin_next():
                    pass
            except Exception:  # noqa: BLE001 - whatever it is costs this job alone
                _LOG.exception("the queue of jobs cannot be read; trying again")
                asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._wake.set)

    async def _begin_next(self) -> bool:
        """Begin the next job of the queue; return whether there may be more."""
        job = await self._beside(self._store.next_queued)
        if job is None:
            return False
        started, attempts = self._kept.clock(), job.attempts + 1
        changes = {"phase": Phase.EXECUTING, "started": started, "attempts": attempts}
        if await self._beside(self._store.change, job.job_id, [Phase.QUEUED], **changes):
            begun = replace(job, phase=Phase.EXECUTING, started=started, attempts=attempts)
            self._running[job.job_id] = _Execution(asyncio.create_task(self._execute(begun)))
            self._kept.changes.tell(job.job_id)
        return True

    async def _execute(self, job: Job) -> None:
        try:
            done = await self._make(job)
            await self._beside(self._complete, job, done)
        except asyncio.CancelledError:
            await self._beside(self._results.discard, job.job_id, job.attempts)
            raise
        except CatalogServiceError as error:
            await self._end(job, error)
        except Exception:  # noqa: BLE001 - whatever it is costs this job alone
            _LOG.exception("job %s failed for a reason that is our fault", job.job_id)
            await self._end(job, ServerError("The job failed for a reason that is our fault."))
        finally:
            del self._running[job.job_id]
            self._kept.changes.tell(job.job_id)
            self._wake.set()

    async def _make(self, job: Job) -> Done:
        """Run the job's query; return when its result is on the disk."""
        parameters = Parameters(job.parameters)
        query, options = replace(query_text(parameters), uploads=job.uploads), result_options(parameters)
        directory = await self._beside(self._results.begin, job.job_id, job.attempts)
        path = directory / ("part" if options.format.in_parts else f"result{options.format.suffix}")
        limits = self._kept.limits
        file = ResultFile(
            path=path,
            part_bytes=limits.part_bytes,
            max_bytes=limits.result_bytes,
            timeout_s=job.execution_s,
            job_id=job.job_id,
        )
        delivery = await self._queries.run(query, job.owner, options, file)
        self._running[job.job_id].delivery = delivery
        noting = asyncio.create_task(self._note_parts(job, delivery, options, directory.name))
        try:
            async for chunk in delivery.chunks():  # only what is known without a worker
                await self._beside(_append, path, chunk)
        finally:
            noting.cancel()
            await asyncio.wait({noting})
        done = await self._beside(self._done, job, delivery, options, path)
        await self._beside(self._results.commit, job.job_id, job.attempts, done)
        return done

    async def _note_parts(self, job: Job, delivery: Delivery, options: ResultOptions, directory: str) -> None:
        """Tell of the parts of a result while more are made."""
        noted = 0
        while options.format.in_parts:
            await asyncio.sleep(_PARTS_S)
            if len(delivery.parts) > noted:
                noted = len(delivery.parts)
                results = _part_results(delivery, options, directory)
                await self._beside(self._store.change, job.job_id, [Phase.EXECUTING], results=results)
                self._kept.changes.tell(job.job_id)

    def _done(self, job: Job, delivery: Delivery, options: ResultOptions, path: Path) -> Done:
        """Return what an execution has made; the parts of a result are listed in a file of their own."""
        outcome, parts = delivery.outcome, _part_results(delivery, options, path.parent.name)
        assert outcome is not None
        content_type = options.format.content_type
        if parts:
            path, content_type = path.with_suffix(".uris"), _LIST_OF_URIS
            addresses = [f"{self._kept.jobs_url}/{job.job_id}/results/{part.name}\r\n" for part in parts]
            path.write_text("".join(addresses), encoding="ascii", newline="")
        result = JobResult(
            name="result",
            file=f"{path.parent.name}/{path.name}",
            content_type=content_type,
            size_bytes=path.stat().st_size,
            sha256=outcome.sha256 or _digest(path),
            rows=outcome.rows,
        )
        return Done((result, *parts), outcome.overflow)

    def _complete(self, job: Job, done: Done) -> None:
        ended = self._kept.clock()
        self._store.change(
            job.job_id,
            [Phase.EXECUTING],
            phase=Phase.COMPLETED,
            results=done.results,
            overflow=done.overflow,
            ended=ended,
        )

    async def _end(self, job: Job, error: CatalogServiceError) -> None:
        try:
            await self._beside(self._results.discard, job.job_id, job.attempts)
            await self._beside(self._fail, job, error)
        except Exception:  # noqa: BLE001 - whatever it is costs this job alone
            _LOG.exception("the failure of job %s cannot be noted", job.job_id)

    def _fail(self, job: Job, error: CatalogServiceError) -> None:
        """Note how a job failed; one that ran too long or was stopped counts as aborted (UWS 1.1 section 2.1.5)."""
        phase = Phase.ABORTED if isinstance(error, QueryTimeoutError | QueryStoppedError) else Phase.ERROR
        self._store.change(
            job.job_id,
            [Phase.EXECUTING],
            phase=phase,
            error=error.to_json(),
            error_status=error.status,
            ended=self._kept.clock(),
        )


def _append(path: Path, chunk: bytes) -> None:
    with path.open("ab") as file:
        file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _part_results(delivery: Delivery, options: ResultOptions, directory: str) -> tuple[JobResult, ...]:
    return tuple(
        JobResult(
            name=Path(part.file).stem,
            file=f"{directory}/{part.file}",
            content_type=options.format.content_type,
            size_bytes=part.size_bytes,
            sha256=part.sha256,
            rows=part.rows,
        )
        for part in delivery.parts
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
