"""``/``: the home page."""

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from ..dependencies import Caller, ServicesDep

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(services: ServicesDep, caller: Caller) -> Response:
    """Return the home page: catalogs, columns and a cone search form."""
    return HTMLResponse(await services.metadata.home_page(caller))
