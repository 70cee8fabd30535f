"""The parameters of HTTP requests; their meaning is in `catalog_service.services.parameters`."""

from collections.abc import Mapping

from fastapi import Request
from starlette.exceptions import HTTPException

from ..exceptions import ParameterError
from ..services.cone import ConeSearch
from ..services.parameters import Parameters, shown
from .responses import http_error

__all__ = ["cone_search", "read_parameters"]


async def read_parameters(request: Request) -> Parameters:
    """Return the parameters of a GET, or of a POST with a url-encoded or multipart body.

    Raises
    ------
    RequestError
        If the body is too long or malformed, or holds a file.
    """
    items = list(request.query_params.multi_items())
    if request.method == "POST":
        try:
            form = await request.form()
        except HTTPException as error:
            raise http_error(error) from error
        if any(not isinstance(value, str) for _, value in form.multi_items()):
            raise ParameterError("table uploads are not supported by this service")
        items += [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    return Parameters(items)


def cone_search(parameters: Parameters, table: str) -> ConeSearch:
    """Return the cone of a Simple Cone Search request (SCS 1.03 section 2.1); RA is wrapped."""
    columns = parameters.one("COLUMNS")
    verbosity = parameters.one("VERB")
    if verbosity not in {None, "", "1", "2", "3"}:
        raise ParameterError(f"VERB={shown(verbosity or '')} is not 1, 2 or 3")
    radius = parameters.number("SR")
    return ConeSearch(
        table=table,
        ra_deg=parameters.number("RA"),
        dec_deg=parameters.number("DEC"),
        radius_deg=radius,
        columns=tuple(columns.split(",")) if columns else _BY_VERBOSITY[verbosity or "2"],
    )


_BY_VERBOSITY: Mapping[str, tuple[str, ...] | None] = {"1": (), "2": None, "3": ("*",)}
