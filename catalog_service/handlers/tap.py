"""``/tap/sync``: synchronous queries (TAP 1.1 section 2)."""

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..dependencies import Caller, ServicesDep
from ..services.parameters import query_text, result_options
from .coding import coded
from .parameters import read_parameters
from .responses import ResultResponse, unless_disconnected
from .uploads import Uploads

__all__ = ["router"]

router = APIRouter(prefix="/tap", tags=["TAP"])


@router.api_route("/sync", methods=["GET", "POST"], summary="Run an ADQL query and stream its result")
async def sync_query(request: Request, services: ServicesDep, caller: Caller, uploads: Uploads) -> Response:
    """Run QUERY in LANG, with the tables of UPLOAD; RESPONSEFORMAT, MAXREC and RUNID as in DALI."""
    parameters = await read_parameters(request)
    query, options = query_text(parameters), coded(request, result_options(parameters))
    query = await uploads.with_results(replace(query, uploads=await uploads.tables(request, parameters)))
    work = services.sessions.run(query, caller, options)
    return ResultResponse(await unless_disconnected(request, work))
