"""The rules of the Universal Worker Service (UWS 1.1): who may do what to a job, and when."""

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from ..exceptions import AccessError, CatalogServiceError, NotFoundError
from ..models.job import ACTIVE, Job, JobResult, Phase, Progress
from ..models.query import UploadSource
from ..models.user import ANONYMOUS, Identity
from .job_keeping import JobKeeping
from .job_runner import JobRunner

__all__ = ["JobService", "ResultPath"]

_KEPT: Final = frozenset("LANG QUERY REQUEST VERSION RESPONSEFORMAT FORMAT MAXREC RUNID UPLOAD".split())
"""Parameters of a job; others are ignored, as DALI demands."""
_CUMULATIVE: Final = frozenset({"UPLOAD"})
_RUNID_LENGTH: Final = 64

Items = Iterable[tuple[str, str]]
"""Names, ignoring case, and values of parameters."""


@dataclass(frozen=True, slots=True)
class ResultPath:
    """A result and where it lies."""

    result: JobResult
    path: Path


class JobService:
    """Asynchronous queries.

    Parameters
    ----------
    kept
        Jobs and their files.
    runner
        Executes jobs.
    """

    def __init__(self, kept: JobKeeping, runner: JobRunner) -> None:
        self._kept = kept
        self._store = kept.store
        self._results = kept.results
        self._beside = kept.beside
        self._runner = runner
        self._merging = asyncio.Lock()

    async def create(
        self, items: Items, identity: Identity, *, uploads: tuple[UploadSource, ...] = (), run: bool = False
    ) -> Job:
        """Create a job and, if wished, queue it at once.

        Parameters
        ----------
        items
            Parameters as posted. They are checked when the job runs (TAP 1.1 section 2.7).
        identity
            Its owner.
        uploads
            Tables that came with it; their files are moved to the job.
        run
            Whether to queue it.

        Raises
        ------
        LimitError, UnavailableError
            If there is no room for it.
        """
        await self._check_room(identity, uploads)
        await (self._check_queue(identity) if run else self._check_pending(identity))
        job_id, now = secrets.token_hex(16), self._kept.clock()
        parameters = _merged((), items)
        self._kept.limits.check_parameters(parameters, len(uploads))
        job = Job(
            job_id=job_id,
            owner=identity,
            phase=Phase.QUEUED if run else Phase.PENDING,
            created=now,
            queued=now if run else None,
            destruction=self._kept.limits.destruction(now),
            execution_s=self._kept.limits.execution_s,
            parameters=parameters,
            runid=_runid(parameters),
        )
        try:
            kept = await self._beside(self._keep, job_id, uploads)
            await self._beside(self._store.add, replace(job, uploads=kept))
        except BaseException:
            self._results.remove(job_id)
            raise
        self._runner.wake()
        return job

    async def job(self, job_id: str, identity: Identity) -> Job:
        """Return a job.

        Raises
        ------
        NotFoundError
            If there is none of this id, or it is somebody else's.
        """
        job = self._store.known(job_id) or await self._beside(self._store.get, job_id)
        if job is None or not _may_use(identity, job):
            raise NotFoundError(f"there is no job {job_id[:40]!r}, or it was removed.")
        return job

    async def changed(self, job_id: str, identity: Identity, wait_s: float, phase: str | None = None) -> Job:
        """Return a job, at the latest after `wait_s` seconds; sooner when it changes (UWS 1.1 section 2.2.1.1).

        Parameters
        ----------
        job_id, identity
            Which job, and who asks.
        wait_s
            -1 means long; clamped.
        phase
            Only wait if the job is in this phase.
        """
        with self._kept.changes.watch(job_id) as event:
            job = await self.job(job_id, identity)
            if wait_s == 0 or job.phase not in ACTIVE or (phase is not None and job.phase.value != phase):
                return job
            try:
                async with asyncio.timeout(self._kept.limits.wait(wait_s)):
                    await event.wait()
            except TimeoutError:
                pass
        return await self.job(job_id, identity)

    async def jobs(
        self, identity: Identity, phases: Iterable[Phase], *, after: datetime | None, last: int | None
    ) -> tuple[Job, ...]:
        """Return the caller's jobs, the newest first; none for anonymous callers, who keep the addresses of theirs."""
        if identity.name == ANONYMOUS.name:
            return ()
        return await self._beside(self._store.of_owner, identity.name, tuple(phases), after=after, last=last)

    async def set_parameters(
        self, job_id: str, identity: Identity, items: Items, uploads: tuple[UploadSource, ...] = ()
    ) -> None:
        """Replace parameters of a job that was not started.

        Raises
        ------
        AccessError
            If it was started.
        """
        await self._check_room(identity, uploads)
        async with self._merging:  # two requests at once add up
            job = await self.job(job_id, identity)
            if job.phase is not Phase.PENDING:
                raise _too_late(job, "its parameters cannot be changed")
            parameters = _merged(job.parameters, items)
            self._kept.limits.check_parameters(parameters, len(job.uploads + uploads))
            kept = job.uploads + await self._beside(self._keep, job_id, uploads)
            await self._change(job, [Phase.PENDING], parameters=parameters, uploads=kept, runid=_runid(parameters))

    async def run(self, job_id: str, identity: Identity) -> None:
        """Queue a job; nothing happens to one that is on its way already.

        Raises
        ------
        AccessError
            If it has ended.
        UnavailableError
            If too many jobs are queued.
        """
        job = await self.job(job_id, identity)
        if job.phase is Phase.PENDING:
            await self._check_queue(identity)
            queued = {"phase": Phase.QUEUED, "queued": self._kept.clock()}
            if await self._beside(self._store.change, job_id, [Phase.PENDING], **queued):
                self._kept.changes.tell(job_id)
                self._runner.wake()
        elif job.phase not in ACTIVE:
            raise _too_late(job, "it cannot be run again; create a new one")

    async def abort(self, job_id: str, identity: Identity) -> None:
        """Stop a job; what has ended stays as it is."""
        job = await self.job(job_id, identity)
        aborted = {"phase": Phase.ABORTED, "results": (), "ended": self._kept.clock()}
        if await self._beside(self._store.change, job_id, ACTIVE, **aborted):
            await self._runner.stop(job.job_id)
            await self._beside(self._results.remove_uploads, job_id)
            self._kept.changes.tell(job_id)

    async def delete(self, job_id: str, identity: Identity) -> None:
        """Stop a job and remove it with its results."""
        job = await self.job(job_id, identity)
        await self._destroy(job)

    async def set_destruction(self, job_id: str, identity: Identity, wanted: datetime) -> None:
        """Change when a job is removed; clamped to the published limit."""
        job = await self.job(job_id, identity)
        await self._change(job, Phase, destruction=self._kept.limits.destruction(job.created, wanted))

    async def set_execution(self, job_id: str, identity: Identity, wanted_s: float) -> None:
        """Change the time limit of a job that does not run yet; clamped to the published limit.

        Raises
        ------
        AccessError
            If it was executed already.
        """
        job = await self.job(job_id, identity)
        if job.phase not in {Phase.PENDING, Phase.QUEUED}:
            raise _too_late(job, "its time limit cannot be changed")
        await self._change(job, [Phase.PENDING, Phase.QUEUED], execution_s=self._kept.limits.execution(wanted_s))

    async def result(self, job_id: str, identity: Identity, name: str) -> ResultPath:
        """Return a result of a finished job.

        Raises
        ------
        NotFoundError
            If the job has no result of this name.
        """
        job = await self.job(job_id, identity)
        for result in job.results:
            if result.name == name:
                return ResultPath(result, self._results.path(job_id, result))
        # clients such as astroquery look here for the reason of a failure
        reason = "." if job.error is None else f": {CatalogServiceError.from_json(job.error)}"
        raise NotFoundError(f"job {job_id} has no result {name[:40]!r}; it is {job.phase.value}{reason}")

    def progress(self, job: Job) -> Progress | None:
        """Return how far an executing job is, None if that is not known."""
        return self._runner.progress(job.job_id)

    def waits_for(self, job: Job) -> str | None:
        """Return why a queued job is not begun, if it is not for its turn alone."""
        return self._runner.waits_for(job.owner.name) if job.phase is Phase.QUEUED else None

    async def destroy_expired(self) -> None:
        """Remove the jobs whose destruction time has come."""
        for job in await self._beside(self._store.expired, self._kept.clock()):
            await self._destroy(job)

    async def _destroy(self, job: Job) -> None:
        await self._beside(self._store.remove, job.job_id)
        await self._runner.stop(job.job_id)
        await asyncio.to_thread(self._results.remove, job.job_id)
        self._kept.changes.tell(job.job_id)

    async def _change(self, job: Job, phases: Iterable[Phase], **changes: object) -> None:
        if not await self._beside(self._store.change, job.job_id, phases, **changes):
            raise _too_late(job, "it has just changed")
        self._kept.changes.tell(job.job_id)

    async def _check_room(self, identity: Identity, uploads: tuple[UploadSource, ...]) -> None:
        await self._beside(self._kept.room.check_space, identity)
        await self._beside(self._kept.room.check_uploads, identity, uploads)

    async def _check_queue(self, identity: Identity) -> None:
        await self._beside(self._kept.room.check_queue, identity)

    async def _check_pending(self, identity: Identity) -> None:
        given_up = await self._beside(self._kept.room.check_pending, identity, self._kept.clock())
        if given_up is not None:
            await self._destroy(given_up)

    def _keep(self, job_id: str, uploads: tuple[UploadSource, ...]) -> tuple[UploadSource, ...]:
        """Move uploaded files to the job's directory."""
        kept = []
        for upload in uploads:
            path = self._results.uploads(job_id) / f"{secrets.token_hex(4)}-{upload.name}"
            upload.path.rename(path)
            kept.append(UploadSource(upload.name, path, upload.content_type))
        return tuple(kept)


def _may_use(identity: Identity, job: Job) -> bool:
    return identity.is_admin or job.owner.name in {identity.name, ANONYMOUS.name}


def _merged(old: Items, new: Items) -> tuple[tuple[str, str], ...]:
    """Return parameters with some replaced; a name given twice at once is kept twice, to be refused when it runs."""
    added = [(name.upper(), value) for name, value in new if name.upper() in _KEPT]
    replaced = {name for name, _ in added} - _CUMULATIVE
    return (*((name, value) for name, value in old if name not in replaced), *added)


def _runid(parameters: Items) -> str | None:
    given = [value for name, value in parameters if name == "RUNID"]
    return given[-1][:_RUNID_LENGTH] if given else None


def _too_late(job: Job, what: str) -> AccessError:
    return AccessError(f"job {job.job_id} is {job.phase.value}: {what}.")
