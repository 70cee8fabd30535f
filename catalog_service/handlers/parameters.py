"""The parameters of HTTP requests; their meaning is in `catalog_service.services.parameters`."""

from fastapi import Request
from starlette.exceptions import HTTPException

from ..exceptions import ParameterError
from ..services.parameters import Parameters
from .responses import http_error

__all__ = ["read_parameters"]


async def read_parameters(request: Request) -> Parameters:
    """Return the parameters of a GET, or of a POST with a url-encoded or multipart body.

    Raises
    ------
    RequestError
        If the body is too long or malformed.
    """
    items = list(request.query_params.multi_items())
    if request.method == "POST":
        try:
            form = await request.form()
        except HTTPException as error:
            raise http_error(error) from error
        except (UnicodeError, LookupError) as error:
            raise ParameterError("the form cannot be read in the charset that it names; send UTF-8") from error
        items += [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    return Parameters(items)
