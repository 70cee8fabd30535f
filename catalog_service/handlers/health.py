"""``/livez`` and ``/readyz`` for supervisors and proxies."""

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from ..dependencies import ServicesDep

__all__ = ["router"]

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Whether the process answers")
async def livez() -> Response:
    """Return 200 as long as the event loop turns."""
    return PlainTextResponse("ok\n")


@router.get("/readyz", summary="Whether queries can be answered")
async def readyz(services: ServicesDep) -> Response:
    """Return 200 when a worker answers and catalogs are published, else 503."""
    ready = services.metadata.ready()
    return PlainTextResponse("ready\n" if ready else "not ready\n", 200 if ready else 503)
