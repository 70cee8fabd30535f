"""``/tap/async``: asynchronous queries (TAP 1.1 section 2, UWS 1.1)."""

import asyncio
import math
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from ..dependencies import Caller, ServicesDep
from ..exceptions import CatalogServiceError, NotFoundError, ParameterError
from ..models.job import Phase
from ..models.user import ANONYMOUS
from ..services.job_documents import instant
from ..services.parameters import Parameters, shown
from .parameters import read_parameters
from .responses import file_response, tap_error, unless_disconnected, xml
from .uploads import Uploads

__all__ = ["router"]

router = APIRouter(prefix="/tap/async", tags=["TAP jobs"])

_AFTER_DELETE: Final = "?LAST=100"
"""The list that follows a deletion must be cheap."""


@router.get("", summary="Your jobs")
async def jobs(request: Request, services: ServicesDep, caller: Caller) -> Response:
    """Return the caller's jobs, by PHASE, AFTER and LAST; none for anonymous callers."""
    parameters = await read_parameters(request)
    phases = [phase for name in parameters.all("PHASE") for phase in _phases(name)]
    listed = await services.jobs.jobs(caller, phases, after=_after(parameters), last=parameters.count("LAST"))
    # a filter by phases of which we have none, such as ARCHIVED, lets nothing through
    shown_jobs = () if parameters.all("PHASE") and not phases else listed
    return xml(await asyncio.to_thread(services.job_documents.jobs, shown_jobs))  # there may be a thousand


@router.post("", summary="Create a job")
async def create(request: Request, services: ServicesDep, caller: Caller, uploads: Uploads) -> Response:
    """Create a job from the parameters of a query; with PHASE=RUN it is queued at once."""
    parameters = await read_parameters(request)
    run = parameters.one("PHASE")
    if run not in {None, "RUN"}:
        raise ParameterError(f"PHASE={shown(run or '')} is not RUN; leave it out to start the job later")
    tables = await uploads.tables(request, parameters)
    job = await services.jobs.create(parameters.items, caller, uploads=tables, run=run is not None)
    return _see(services.job_documents.job_url(job))


@router.get("/{job_id}", summary="A job")
async def one(job_id: str, request: Request, services: ServicesDep, caller: Caller) -> Response:
    """Return a job; with WAIT=seconds, when it changes, or its PHASE is not the given one."""
    parameters = await read_parameters(request)
    wait_s, phase = _wait(parameters), parameters.one("PHASE")
    change = services.jobs.changed(job_id, caller, wait_s, phase)
    job = await (unless_disconnected(request, change) if wait_s else change)
    return xml(services.job_documents.job(job, services.jobs.progress(job), services.jobs.waits_for(job)))


@router.post("/{job_id}", summary="Delete a job, by ACTION=DELETE")
async def act(job_id: str, request: Request, services: ServicesDep, caller: Caller) -> Response:
    """Delete a job."""
    action = (await read_parameters(request)).required("ACTION")
    if action != "DELETE":
        raise ParameterError(f"ACTION={shown(action)} is not DELETE; parameters are posted to {job_id}/parameters")
    await services.jobs.delete(job_id, caller)
    return _see(services.job_documents.job_url() + _AFTER_DELETE)


@router.delete("/{job_id}", summary="Delete a job")
async def delete(job_id: str, services: ServicesDep, caller: Caller) -> Response:
    """Stop a job and remove it with its results."""
    await services.jobs.delete(job_id, caller)
    return _see(services.job_documents.job_url() + _AFTER_DELETE)


@router.post("/{job_id}/phase", summary="Run or abort a job")
async def change_phase(job_id: str, request: Request, services: ServicesDep, caller: Caller) -> Response:
    """Queue the job by PHASE=RUN, stop it by PHASE=ABORT."""
    wanted = (await read_parameters(request)).required("PHASE")
    if wanted not in {"RUN", "ABORT"}:
        raise ParameterError(f"PHASE={shown(wanted)} is not RUN or ABORT")
    await (services.jobs.run if wanted == "RUN" else services.jobs.abort)(job_id, caller)
    return _see(services.job_documents.job_url(await services.jobs.job(job_id, caller)))


@router.post("/{job_id}/destruction", summary="Change when a job is removed")
async def change_destruction(job_id: str, request: Request, services: ServicesDep, caller: Caller) -> Response:
    """Set DESTRUCTION, an ISO time in UTC; later ones than allowed are clamped."""
    wanted = _time("DESTRUCTION", (await read_parameters(request)).required("DESTRUCTION"))
    await services.jobs.set_destruction(job_id, caller, wanted)
    return _see(services.job_documents.job_url(await services.jobs.job(job_id, caller)))


@router.post("/{job_id}/executionduration", summary="Change the time limit of a job")
async def change_execution(job_id: str, request: Request, services: ServicesDep, caller: Caller) -> Response:
    """Set EXECUTIONDURATION in seconds; longer ones than allowed are clamped, 0 means the longest."""
    wanted_s = (await read_parameters(request)).number("EXECUTIONDURATION")
    await services.jobs.set_execution(job_id, caller, wanted_s)
    return _see(services.job_documents.job_url(await services.jobs.job(job_id, caller)))


@router.post("/{job_id}/parameters", summary="Change parameters of a job that was not started")
async def change_parameters(
    job_id: str, request: Request, services: ServicesDep, caller: Caller, uploads: Uploads
) -> Response:
    """Replace parameters by those posted; uploaded tables are added."""
    parameters = await read_parameters(request)
    tables = await uploads.tables(request, parameters)
    await services.jobs.set_parameters(job_id, caller, parameters.items, tables)
    return _see(services.job_documents.job_url(await services.jobs.job(job_id, caller)))


@router.api_route("/{job_id}/results/{name}", methods=["GET", "HEAD"], summary="A result of a job")
async def result(job_id: str, name: str, services: ServicesDep, caller: Caller) -> Response:
    """Return the file of a result; Range, ETag and If-Range as in RFC 9110."""
    return file_response(await services.jobs.result(job_id, caller, name))


@router.get("/{job_id}/error", summary="How a job failed")
async def error(job_id: str, services: ServicesDep, caller: Caller) -> Response:
    """Return the error of a failed job as a VOTable, with status 200 (TAP 1.1 section 3.4)."""
    job = await services.jobs.job(job_id, caller)
    if job.error is None:
        raise NotFoundError(f"job {job_id} has no error; it is {job.phase.value}.")
    response = tap_error(CatalogServiceError.from_json(job.error))
    response.status_code = 200
    return response


@router.get("/{job_id}/{child}", summary="A part of a job")
async def part(job_id: str, child: str, services: ServicesDep, caller: Caller) -> Response:
    """Return the phase, executionduration, destruction, quote or owner as text; parameters or results as XML."""
    job = await services.jobs.job(job_id, caller)
    documents = services.job_documents
    match child:
        case "phase":
            return PlainTextResponse(job.phase.value)
        case "executionduration":
            return PlainTextResponse(str(math.ceil(job.execution_s)))
        case "destruction":
            return PlainTextResponse(instant(job.destruction))
        case "quote":
            return PlainTextResponse("")
        case "owner":
            return PlainTextResponse("" if job.owner == ANONYMOUS else job.owner.name)
        case "parameters":
            return xml(documents.parameters(job))
        case "results":
            return xml(documents.results(job))
        case _:
            raise NotFoundError(f"a job has no {child[:40]!r}.")


def _see(url: str) -> Response:
    return RedirectResponse(url, 303)


def _phases(name: str) -> list[Phase]:
    """Return the phase of a name; none for a phase that our jobs never have.

    Raises
    ------
    ParameterError
        If UWS has no such phase.
    """
    if name in {"HELD", "SUSPENDED", "UNKNOWN", "ARCHIVED"}:
        return []
    try:
        return [Phase(name)]
    except ValueError:
        raise ParameterError(f"PHASE={shown(name)} is not a phase of UWS") from None


def _after(parameters: Parameters) -> datetime | None:
    text = parameters.one("AFTER")
    return None if not text else _time("AFTER", text)


def _wait(parameters: Parameters) -> float:
    """Return WAIT; without it, a request does not wait."""
    return parameters.number("WAIT") if parameters.one("WAIT") else 0.0


def _time(name: str, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ParameterError(f"{name}={shown(text)} is not an ISO time such as 2026-11-30T12:00:00Z") from None
