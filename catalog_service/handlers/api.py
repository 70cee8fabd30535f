"""``/api/v1``: the JSON API of our own clients; bodies in `catalog_service.models.wire`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from ..dependencies import Caller, ServicesDep
from ..models.query import QueryText
from ..models.wire import CatalogList, ConeRequest, DirectPlan, Explanation, QueryRequest, TableDetail
from ..services.cone import ConeSearch
from ..services.deliveries import ResultOptions
from ..services.parameters import language
from ..writers.negotiate import negotiate
from .coding import coded
from .cone_parameters import nearest_first
from .responses import ResultResponse, unless_disconnected
from .uploads import Uploads

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["API"])


@router.get("/catalogs", summary="Schemas and tables")
async def catalogs(services: ServicesDep, caller: Caller) -> CatalogList:
    """Return everything that the caller may read."""
    return services.metadata.catalogs(caller)


@router.get("/catalogs/{table}", summary="One table with its columns", response_model=TableDetail)
async def table(table: str, services: ServicesDep, caller: Caller) -> Response:
    """Return one table, named ``schema.table``."""
    return Response(await services.metadata.table_json(caller, table), media_type="application/json")


@router.post("/query", summary="Run a query and stream its result")
async def query(
    body: QueryRequest, request: Request, services: ServicesDep, caller: Caller, uploads: Uploads
) -> Response:
    """Run a query; errors come as JSON."""
    options = coded(request, ResultOptions(format=negotiate(body.format), maxrec=body.maxrec))
    text = await uploads.with_results(QueryText(body.query, language(body.lang)))
    return ResultResponse(await unless_disconnected(request, services.sessions.run(text, caller, options)))


@router.post("/explain", summary="What a query would read, and why")
async def explain(body: QueryRequest, services: ServicesDep, caller: Caller) -> Explanation:
    """Plan a query without running it."""
    return await services.explain.explain(QueryText(body.query, language(body.lang)), caller, body.maxrec)


@router.post("/plan", summary="Files and SQL to run a query oneself")
async def direct_plan(body: QueryRequest, services: ServicesDep, caller: Caller) -> DirectPlan:
    """Return the shards of a query and the SQL for them; where the operator allows direct access."""
    return await services.explain.direct(QueryText(body.query, language(body.lang)), caller)


@router.get("/cone", summary="Cone search of one table")
async def cone(
    asked: Annotated[ConeRequest, Depends()], request: Request, services: ServicesDep, caller: Caller
) -> Response:
    """Return rows within a radius of a position; radius 0 means the exact position."""
    columns = tuple(asked.columns.split(",")) if asked.columns else None
    search = ConeSearch(
        table=asked.table,
        ra_deg=asked.ra,
        dec_deg=asked.dec,
        radius_deg=asked.radius_deg,
        columns=columns,
        with_distance=asked.distance,
        nearest_first=nearest_first(asked.order),
    )
    options = coded(request, ResultOptions(format=negotiate(asked.format), maxrec=asked.maxrec))
    return ResultResponse(await unless_disconnected(request, services.cones.run(search, caller, options)))
