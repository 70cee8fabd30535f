"""``/cone/{schema}.{table}``: Simple Cone Search 1.03."""

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..dependencies import Caller, ServicesDep
from ..exceptions import CatalogServiceError
from ..services.parameters import result_options
from .coding import coded
from .parameters import cone_search, read_parameters
from .responses import ResultResponse, scs_error, unless_disconnected

__all__ = ["router"]

router = APIRouter(tags=["cone search"])


@router.api_route("/cone/{table}", methods=["GET", "POST"], summary="Simple Cone Search of one table")
async def simple_cone_search(table: str, request: Request, services: ServicesDep, caller: Caller) -> Response:
    """Return rows within SR degrees of RA, DEC; SR=0 and MAXREC=0 give the columns only."""
    try:
        parameters = await read_parameters(request)
        cone, options = cone_search(parameters, table), coded(request, result_options(parameters))
        services.limits.check_radius(cone.radius_deg)
        if cone.radius_deg == 0:
            options = replace(options, maxrec=0)
        delivery = await unless_disconnected(request, services.cones.run(cone, caller, options))
        return ResultResponse(delivery, media_type="text/xml" if options.format.suffix == ".vot" else None)
    except CatalogServiceError as error:
        return scs_error(error)
