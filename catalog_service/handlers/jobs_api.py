"""``/api/v1/jobs``: asynchronous queries for our own clients; bodies in `catalog_service.models.wire`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..dependencies import Caller, ServicesDep
from ..models.wire import JobInfo, JobRequest
from .responses import file_response, unless_disconnected

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/jobs", tags=["API jobs"])


@router.post("", summary="Create a job and queue it", status_code=201)
async def create(body: JobRequest, services: ServicesDep, caller: Caller) -> JobInfo:
    """Queue a query."""
    job = await services.jobs.create(_parameters(body), caller, run=True)
    return services.job_documents.info(job, None)


@router.get("", summary="Your jobs")
async def jobs(services: ServicesDep, caller: Caller, last: int = 100) -> list[JobInfo]:
    """Return the caller's jobs, the newest first; none for anonymous callers."""
    found = await services.jobs.jobs(caller, (), after=None, last=max(0, last))
    return [services.job_documents.info(job, services.jobs.progress(job)) for job in found]


@router.get("/{job_id}", summary="A job")
async def one(job_id: str, request: Request, services: ServicesDep, caller: Caller, wait: float = 0.0) -> JobInfo:
    """Return a job; with ``wait``, when it changes, at the latest after so many seconds."""
    job = await unless_disconnected(request, services.jobs.changed(job_id, caller, wait))
    return services.job_documents.info(job, services.jobs.progress(job))


@router.post("/{job_id}/abort", summary="Stop a job")
async def abort(job_id: str, services: ServicesDep, caller: Caller) -> JobInfo:
    """Stop a job; one that has ended stays as it is."""
    await services.jobs.abort(job_id, caller)
    return services.job_documents.info(await services.jobs.job(job_id, caller), None)


@router.delete("/{job_id}", summary="Delete a job", status_code=204, response_model=None)
async def delete(job_id: str, services: ServicesDep, caller: Caller) -> Response:
    """Stop a job and remove it with its results."""
    await services.jobs.delete(job_id, caller)
    return Response(status_code=204)


@router.api_route("/{job_id}/results/{name}", methods=["GET", "HEAD"], summary="A result of a job", response_model=None)
async def result(job_id: str, name: str, services: ServicesDep, caller: Caller) -> Response:
    """Return the file of a result; Range, ETag and If-Range as in RFC 9110."""
    return file_response(await services.jobs.result(job_id, caller, name))


def _parameters(body: JobRequest) -> list[tuple[str, str]]:
    asked = {"QUERY": body.query, "LANG": body.lang, "RESPONSEFORMAT": body.format, "RUNID": body.runid}
    maxrec = [] if body.maxrec is None else [("MAXREC", str(body.maxrec))]
    return [*((name, value) for name, value in asked.items() if value is not None), *maxrec]
