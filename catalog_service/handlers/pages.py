"""``/``: the home page."""

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from ..dependencies import Caller, ServicesDep

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(services: ServicesDep, caller: Caller) -> Response:
    """Return the home page: catalogs, columns and a cone search form."""
    return HTMLResponse(services.metadata.home_page(caller))
