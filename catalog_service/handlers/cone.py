"""``/cone/{schema}.{table}``: Simple Cone Search 1.03."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..dependencies import Caller, ServicesDep
from .coding import coded
from .cone_parameters import scs_request
from .parameters import read_parameters
from .responses import ResultResponse, unless_disconnected, xml

__all__ = ["router"]

router = APIRouter(tags=["cone search"])


@router.api_route("/cone/{table}", methods=["GET", "POST"], summary="Simple Cone Search of one table")
async def simple_cone_search(table: str, request: Request, services: ServicesDep, caller: Caller) -> Response:
    """Return rows within SR degrees of RA, DEC; SR=0 and MAXREC=0 give the columns only."""
    cone, options = scs_request(await read_parameters(request), table, services.cones.labels)
    options = coded(request, options)
    services.limits.check_radius(cone.radius_deg)
    return ResultResponse(await unless_disconnected(request, services.cones.run(cone, caller, options)))


@router.get("/cone/{table}/capabilities", summary="What the cone search of one table supports")
async def cone_capabilities(table: str, services: ServicesDep, caller: Caller) -> Response:
    """Return the VOSI capabilities document."""
    return xml(services.metadata.cone_capabilities(caller, table))
