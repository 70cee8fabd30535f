"""Makes the result of one job: its query is run, and its files are on the disk when that is done."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ..exceptions import CatalogServiceError
from ..models.job import Job, JobResult, Phase
from ..models.query import Outcome
from ..storage.results import Done
from .beside import in_thread
from .deliveries import Delivery, ResultFile, ResultOptions
from .job_keeping import JobKeeping
from .parameters import Parameters, query_text, result_options
from .query import QueryService

__all__ = ["JobMaker"]

_PARTS_S: Final = 0.5
"""Seconds between looks for new parts of a result."""
_SPACE_S: Final = 0.5
"""Seconds between looks for the space that results take."""
_LIST_OF_URIS: Final = "text/uri-list"


class JobMaker:
    """Runs the queries of jobs.

    Parameters
    ----------
    kept
        Jobs and their files.
    queries
        Runs queries.
    """

    def __init__(self, kept: JobKeeping, queries: QueryService) -> None:
        self._kept = kept
        self._queries = queries

    async def make(self, job: Job, under_way: Callable[[Delivery], None]) -> Done:
        """Run a job's query; return when its result is on the disk.

        Parameters
        ----------
        job
            Which began to execute.
        under_way
            Is told of its query, when that delivers.

        Raises
        ------
        CatalogServiceError
            If parameters or query are wrong, or the query fails.
        """
        parameters = Parameters(job.parameters)
        query, options = replace(query_text(parameters), uploads=job.uploads), result_options(parameters)
        directory = await in_thread(self._kept.results.begin, job.job_id, job.attempts)
        path = directory / ("part" if options.format.in_parts else f"result{options.format.suffix}")
        limits = self._kept.limits
        file = ResultFile(
            path=path,
            part_bytes=limits.part_bytes,
            max_bytes=limits.result_bytes,
            timeout_s=job.execution_s,
            job_id=job.job_id,
        )
        await self._check_space(job)
        delivery = await self._queries.run(query, job.owner, options, file)
        under_way(delivery)
        async with _besides(self._note_parts(job, delivery, options, directory.name), self._watch_space(job, delivery)):
            async for chunk in delivery.chunks():  # only what is known without a worker
                await in_thread(_append, _first(path, options), chunk)
        await self._check_space(job)
        done = await in_thread(self._done, job, delivery, options, path)
        await in_thread(self._kept.results.commit, job.job_id, job.attempts, done)
        return done

    async def _check_space(self, job: Job) -> None:
        await self._kept.beside(self._kept.room.check_space, job.owner)

    async def _watch_space(self, job: Job, delivery: Delivery) -> None:
        """End a result that grows beyond what its owner, or the disk, has room for."""
        while True:
            await asyncio.sleep(_SPACE_S)
            try:
                await self._check_space(job)
            except CatalogServiceError as error:
                error.query_id = delivery.query_id
                delivery.stop(error)
                return

    async def _note_parts(self, job: Job, delivery: Delivery, options: ResultOptions, directory: str) -> None:
        """Tell of the parts of a result while more are made."""
        noted = 0
        while options.format.in_parts:
            await asyncio.sleep(_PARTS_S)
            if len(delivery.parts) > noted:
                noted = len(delivery.parts)
                results = _part_results(delivery, options, directory)
                await self._kept.beside(self._kept.store.change, job.job_id, [Phase.EXECUTING], results=results)
                self._kept.changes.tell(job.job_id)

    def _done(self, job: Job, delivery: Delivery, options: ResultOptions, path: Path) -> Done:
        """Return what an execution has made; the parts of a result are listed in a file of their own."""
        outcome, parts = delivery.outcome, _part_results(delivery, options, path.parent.name)
        assert outcome is not None
        if options.format.in_parts and not parts:
            parts = (_whole(_first(path, options), options.format.content_type, outcome),)
        content_type = options.format.content_type
        if parts:
            path, content_type = path.with_suffix(".uris"), _LIST_OF_URIS
            addresses = [f"{self._kept.jobs_url}/{job.job_id}/results/{part.name}\r\n" for part in parts]
            path.write_text("".join(addresses), encoding="ascii", newline="")
        result = replace(_whole(path, content_type, outcome), name="result")
        return Done((result, *parts), outcome.overflow)


@asynccontextmanager
async def _besides(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have some work done meanwhile."""
    tasks = {asyncio.create_task(work) for work in works}
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _first(path: Path, options: ResultOptions) -> Path:
    """Return the file of what is known without a worker: the result, or its only part."""
    return path.with_name(f"{path.name}-00000{options.format.suffix}") if options.format.in_parts else path


def _whole(path: Path, content_type: str, outcome: Outcome) -> JobResult:
    return JobResult(
        name=path.stem,
        file=f"{path.parent.name}/{path.name}",
        content_type=content_type,
        size_bytes=path.stat().st_size,
        sha256=outcome.sha256 or _digest(path),
        rows=outcome.rows,
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
