"""``/api/v1/admin``: what operators see and do; it does not exist for others."""

from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import Response

from ..dependencies import Caller, ServicesDep
from ..models.wire import RunningQueryInfo
from ..services.job_documents import instant
from ..services.metrics import lane_of
from ..services.running import RunningQuery

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/admin", tags=["API"], include_in_schema=False)


@router.get("/queries", summary="Queries that run or wait")
async def running(services: ServicesDep, caller: Caller) -> list[RunningQueryInfo]:
    """Return the queries of everybody, the oldest first."""
    return [_info(query) for query in services.operators.running(caller)]


@router.delete("/queries/{query_id}", summary="Stop a query", response_model=None)
async def stop(query_id: str, services: ServicesDep, caller: Caller) -> Response:
    """Stop a query; it ends within seconds, by an error that says so."""
    services.operators.stop(query_id, caller)
    return Response(status_code=202)


def _info(query: RunningQuery) -> RunningQueryInfo:
    return RunningQueryInfo(
        query_id=query.query_id,
        query=query.text,
        owner=query.owner,
        started=instant(query.started),
        seconds=round((datetime.now(UTC) - query.started).total_seconds(), 3),
        lane=lane_of(query.job_id),
        job_id=query.job_id,
        progress=query.progress(),
    )
