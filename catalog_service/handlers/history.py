"""``/api/v1/queries``: what the caller has asked before."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from ..dependencies import Caller, ServicesDep
from ..models.record import QueryRecord
from ..models.wire import QueryInfo
from ..services.job_documents import instant

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/queries", tags=["API"])


@router.get("", summary="Your queries")
async def queries(
    services: ServicesDep,
    caller: Caller,
    last: int = 100,
    since: datetime | None = None,
    everybody: Annotated[bool, Query(alias="all", description="Queries of everybody, for operators.")] = False,  # noqa: FBT002
) -> list[QueryInfo]:
    """Return queries that have ended, the newest first; none for anonymous callers."""
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    found = await services.history.queries(caller, last=last, since=since, everybody=everybody)
    return [_info(record) for record in found]


def _info(record: QueryRecord) -> QueryInfo:
    return QueryInfo(
        query_id=record.query_id,
        query=record.text,
        owner=record.owner,
        started=instant(record.started),
        seconds=record.seconds,
        status=record.status,
        message=record.message,
        rows=record.rows,
        bytes_out=record.bytes_out,
        files=record.files,
        files_total=record.files_total,
        job_id=record.job_id,
        runid=record.runid,
    )
