"""``/api/v1``: the JSON API of our own clients; bodies in `catalog_service.models.wire`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from ..dependencies import Caller, ServicesDep
from ..exceptions import CatalogServiceError
from ..models.query import QueryText
from ..models.wire import CatalogList, ConeRequest, DirectPlan, Explanation, QueryRequest, TableDetail
from ..services.cone import ConeSearch
from ..services.parameters import language
from ..services.query import ResultOptions
from ..writers.negotiate import negotiate
from .coding import coded
from .cone_parameters import nearest_first
from .responses import ResultResponse, api_error, unless_disconnected

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["API"])


@router.get("/catalogs", summary="Schemas and tables")
def catalogs(services: ServicesDep, caller: Caller) -> CatalogList:
    """Return everything that the caller may read."""
    return services.metadata.catalogs(caller)


@router.get("/catalogs/{table}", summary="One table with its columns", response_model=TableDetail)
def table(table: str, services: ServicesDep, caller: Caller) -> TableDetail | Response:
    """Return one table, named ``schema.table``."""
    try:
        return services.metadata.table(caller, table)
    except CatalogServiceError as error:
        return api_error(error)


@router.post("/query", summary="Run a query and stream its result")
async def query(body: QueryRequest, request: Request, services: ServicesDep, caller: Caller) -> Response:
    """Run a query; errors come as JSON."""
    try:
        options = coded(request, ResultOptions(format=negotiate(body.format), maxrec=body.maxrec))
        text = QueryText(body.query, language(body.lang))
        return ResultResponse(await unless_disconnected(request, services.sessions.run(text, caller, options)))
    except CatalogServiceError as error:
        return api_error(error)


@router.post("/explain", summary="What a query would read, and why", response_model=Explanation)
async def explain(body: QueryRequest, services: ServicesDep, caller: Caller) -> Explanation | Response:
    """Plan a query without running it."""
    try:
        return await services.explain.explain(QueryText(body.query, language(body.lang)), caller, body.maxrec)
    except CatalogServiceError as error:
        return api_error(error)


@router.post("/plan", summary="Files and SQL to run a query oneself", response_model=DirectPlan)
async def direct_plan(body: QueryRequest, services: ServicesDep, caller: Caller) -> DirectPlan | Response:
    """Return the shards of a query and the SQL for them; where the operator allows direct access."""
    try:
        return await services.explain.direct(QueryText(body.query, language(body.lang)), caller)
    except CatalogServiceError as error:
        return api_error(error)


@router.get("/cone", summary="Cone search of one table")
async def cone(
    asked: Annotated[ConeRequest, Depends()], request: Request, services: ServicesDep, caller: Caller
) -> Response:
    """Return rows within a radius of a position; radius 0 means the exact position."""
    try:
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
    except CatalogServiceError as error:
        return api_error(error)
