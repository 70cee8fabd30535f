"""``/``: the home page; ``/registry-record``: how a registry may describe the service."""

import asyncio

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from ..dependencies import Caller, ServicesDep
from .responses import xml

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(services: ServicesDep, caller: Caller) -> Response:
    """Return the home page: catalogs, columns and a cone search form."""
    return HTMLResponse(await services.metadata.home_page(caller))


@router.get("/registry-record")
async def registry_record(services: ServicesDep) -> Response:
    """Return the record of the TAP service for a registry (VOResource 1.1)."""
    return xml(await asyncio.to_thread(services.registry.record))


@router.get("/registry-record/{table}")
async def registry_record_of_cone(table: str, services: ServicesDep) -> Response:
    """Return the record of one table's cone search for a registry."""
    return xml(await asyncio.to_thread(services.registry.record, table))
