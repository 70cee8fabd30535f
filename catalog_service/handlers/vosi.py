"""VOSI 1.1 and DALI: ``/tap/capabilities``, ``/tap/availability``, ``/tap/tables``, ``/tap/examples``."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..dependencies import Caller, ServicesDep
from ..exceptions import ParameterError
from .parameters import read_parameters
from .responses import xml

__all__ = ["router"]

router = APIRouter(prefix="/tap", tags=["VOSI"])


@router.get("/capabilities", summary="What the TAP service supports")
async def capabilities(services: ServicesDep, _caller: Caller) -> Response:
    """Return the VOSI capabilities document; programs that log in learn here whether their credentials are good."""
    return xml(services.metadata.capabilities())


@router.get("/availability", summary="Whether the TAP service is up")
async def availability(services: ServicesDep) -> Response:
    """Return the VOSI availability document."""
    return xml(services.metadata.availability())


@router.get("/examples", summary="Queries to begin with")
async def examples(services: ServicesDep, caller: Caller) -> Response:
    """Return example queries on the tables that the caller may see (DALI 1.1 section 2.3)."""
    return Response(await services.metadata.examples_page(caller), media_type="application/xhtml+xml")


@router.get("/tables", summary="Schemas, tables and columns")
async def tables(request: Request, services: ServicesDep, caller: Caller) -> Response:
    """Return the VOSI tableset; ``detail=min`` leaves out columns."""
    detail = (await read_parameters(request)).one("DETAIL") or "max"
    if detail not in {"min", "max"}:
        raise ParameterError(f"detail={detail!r} is not min or max")
    return xml(await services.metadata.vosi_tables(caller, detail=detail))


@router.get("/tables/{table}", summary="One table with its columns")
async def one_table(table: str, services: ServicesDep, caller: Caller) -> Response:
    """Return the VOSI description of one table."""
    return xml(await services.metadata.vosi_table(caller, table))
