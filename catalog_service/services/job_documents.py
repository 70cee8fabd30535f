"""Documents of jobs: UWS 1.1's XML, and JSON for our own clients."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from ..exceptions import CatalogServiceError
from ..models.job import Job, Progress
from ..models.user import ANONYMOUS
from ..models.wire import JobFile, JobInfo
from .templates import TEMPLATES

__all__ = ["JobDocuments", "instant"]


def instant(time: datetime) -> str:
    """Return a time as UWS writes it: in UTC, with ``Z``."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


TEMPLATES.filters["instant"] = instant

_TEMPLATE: Final = "job.xml"


class JobDocuments:
    """Writes documents of jobs.

    Parameters
    ----------
    public_url
        Address under which clients reach the service, without a trailing slash.
    """

    def __init__(self, public_url: str) -> None:
        self._jobs_url = f"{public_url}/tap/async"
        self.api_url = f"{public_url}/api/v1/jobs"

    def job_url(self, job: Job | None = None, child: str = "") -> str:
        """Return the address of the list of jobs, of a job, or of a child of it."""
        if job is None:
            return self._jobs_url
        return f"{self._jobs_url}/{job.job_id}{child and f'/{child}'}"

    def job(self, job: Job, progress: Progress | None, waits_for: str | None = None) -> str:
        """Return the job document; `waits_for` tells why a queued job is not begun, if it is not for its turn alone."""
        facts = tuple(_facts(job, progress, waits_for))
        return self._render("job", job=job, message=_message(job), facts=facts)

    def jobs(self, jobs: Iterable[Job]) -> str:
        """Return the list of jobs."""
        return self._render("jobs", jobs=jobs)

    def parameters(self, job: Job) -> str:
        """Return the parameters of a job."""
        return self._render("parameters", job=job)

    def results(self, job: Job) -> str:
        """Return the list of a job's results."""
        return self._render("results", job=job)

    def info(self, job: Job, progress: Progress | None) -> JobInfo:
        """Return what our own clients learn of a job."""
        values = dict(job.parameters)
        return JobInfo(
            job_id=job.job_id,
            phase=job.phase.value,
            query=values.get("QUERY"),
            lang=values.get("LANG"),
            runid=job.runid,
            created=instant(job.created),
            started=None if job.started is None else instant(job.started),
            ended=None if job.ended is None else instant(job.ended),
            destruction=instant(job.destruction),
            execution_s=job.execution_s,
            progress=None if progress is None else (progress.done, progress.total),
            overflow=job.overflow,
            error=job.error,
            results=tuple(
                JobFile(
                    name=one.name,
                    url=f"{self.api_url}/{job.job_id}/results/{one.name}",
                    content_type=one.content_type,
                    size_bytes=one.size_bytes,
                    sha256=one.sha256,
                    rows=one.rows,
                )
                for one in job.results
            ),
        )

    def _render(self, element: str, **values: object) -> str:
        return TEMPLATES.get_template(_TEMPLATE).render(
            element=element, url=self._jobs_url, anonymous=ANONYMOUS.name, **values
        )


def _message(job: Job) -> str | None:
    return None if job.error is None else str(CatalogServiceError.from_json(job.error))


def _facts(job: Job, progress: Progress | None, waits_for: str | None) -> Iterable[tuple[str, object]]:
    """Yield what the service tells beyond UWS."""
    if waits_for is not None:
        yield "waits_for", waits_for
    if progress is not None:
        yield "batches_done", progress.done
        yield "batches_total", progress.total
    if job.results:
        yield "rows", job.rows
        yield "overflow", "true" if job.overflow else "false"
    for result in job.results:
        yield f"sha256 of {result.name}", result.sha256
