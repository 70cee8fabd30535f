"""``/api/v1``: queries with uploaded tables, and cones around many targets."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from ..dependencies import Caller, ServicesDep
from ..exceptions import ParameterError
from ..models.query import QueryText
from ..models.wire import ConesRequest
from ..services.cones import TARGETS, Cones, Match
from ..services.deliveries import ResultOptions
from ..services.parameters import language
from ..writers.negotiate import negotiate
from .parameters import read_parameters
from .responses import ResultResponse, unless_disconnected
from .uploads import Uploads

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["API"])

_FILE: Final = {"type": "string", "format": "binary"}
_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["query"],
                    "properties": {name: {"type": "string"} for name in ("query", "lang", "maxrec", "format")},
                    "additionalProperties": _FILE,
                }
            }
        }
    }
}
_TABLE: Final[dict[str, Any]] = {"requestBody": {"content": {"application/octet-stream": {"schema": _FILE}}}}


@router.post("/query-uploads", summary="Run a query on tables that come with it", openapi_extra=_FORM)
async def query_uploads(request: Request, services: ServicesDep, caller: Caller, uploads: Uploads) -> Response:
    """Run a query; each file of the form is the table TAP_UPLOAD.<name of its field>."""
    parameters = await read_parameters(request)
    tables = await uploads.files(request)
    text = QueryText(parameters.required("QUERY"), language(parameters.one("LANG") or "ADQL"), tables)
    options = ResultOptions(format=negotiate(parameters.one("FORMAT") or "arrow"), maxrec=parameters.count("MAXREC"))
    return ResultResponse(await unless_disconnected(request, services.sessions.run(text, caller, options)))


@router.post("/cones", summary="Cones around many targets", openapi_extra=_TABLE)
async def cones(
    asked: Annotated[ConesRequest, Depends()],
    request: Request,
    services: ServicesDep,
    caller: Caller,
    uploads: Uploads,
) -> Response:
    """Return the rows of a table around each row of the body: VOTable, CSV, Parquet, Arrow or JSON."""
    search, options = _cones(asked), ResultOptions(format=negotiate(asked.format), maxrec=asked.maxrec)
    targets = await uploads.body(request, TARGETS)
    work = services.many_cones.run(search, targets, caller, options)
    return ResultResponse(await unless_disconnected(request, work))


def _cones(asked: ConesRequest) -> Cones:
    if asked.match not in {match.value for match in Match}:
        raise ParameterError(f"match={asked.match[:60]!r} is not all or nearest")
    return Cones(
        table=asked.table,
        radius_deg=asked.radius_deg,
        radius_column=asked.radius_column,
        ra_column=asked.ra,
        dec_column=asked.dec,
        id_column=asked.id,
        columns=tuple(asked.columns.split(",")) if asked.columns else None,
        match=Match(asked.match),
    )
