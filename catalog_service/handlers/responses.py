"""Responses: streamed results that notice a client's going away, and errors in the form each protocol wants."""

import asyncio
import base64
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import structlog
from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from ..exceptions import (
    AuthenticationError,
    CatalogServiceError,
    NotFoundError,
    RequestError,
    RequestTooLargeError,
    UnavailableError,
)
from ..models.wire import OVERFLOW_HEADER, QUERY_ID_HEADER
from ..services.deliveries import Delivery
from ..services.jobs import ResultPath
from ..writers.votable import error_document, scs_error_document
from .connection import abort, unsent_bytes

__all__ = [
    "ClientGoneError",
    "ResultResponse",
    "api_error",
    "challenge",
    "error_for",
    "file_response",
    "http_error",
    "refusal",
    "scs_error",
    "tap_error",
    "unless_disconnected",
    "xml",
]

T = TypeVar("T")

_REALM: Final = "catalog service"

_LOOK_S: Final = 1.0
"""Seconds between looks whether a client still takes what it is sent."""
_CAPABILITIES: Final = "/capabilities"
"""A document of VOSI, of cone searches as well: its errors have a status of HTTP."""
VOTABLE_TYPE: Final = "application/x-votable+xml"


class ClientGoneError(Exception):
    """The client closed the connection before its answer began."""


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; cancel it as soon as the client goes away."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        for future in (task, gone):
            if not future.done():
                future.cancel()
                await asyncio.wait({future})


async def _disconnected(receive: Receive) -> None:
    """Return when the client is gone, or goes on sending a body that nobody asked for beyond the limit."""
    with suppress(HTTPException):
        while (await receive())["type"] != "http.disconnect":
            pass


class ResultResponse(Response):
    """Streams a `Delivery`.

    A result that breaks off in a format that cannot say so ends with an aborted connection, never with a clean end.
    """

    def __init__(self, delivery: Delivery, *, media_type: str | None = None) -> None:
        super().__init__(None)
        self._delivery = delivery
        # exactly as the client named it: no charset is added
        self.headers["content-type"] = media_type or delivery.format.content_type
        del self.headers["content-length"]
        self.headers[QUERY_ID_HEADER] = delivery.query_id
        name = f"result-{delivery.query_id}{delivery.format.suffix}"
        self.headers["Content-Disposition"] = f'inline; filename="{name}"'
        if delivery.format.is_text:
            self.headers["Vary"] = "Accept-Encoding"
        if delivery.gzip:
            self.headers["Content-Encoding"] = "gzip"
        if delivery.overflow is not None:
            self.headers[OVERFLOW_HEADER] = "true" if delivery.overflow else "false"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the result; stop the query when the client goes away."""
        structlog.contextvars.bind_contextvars(query_id=self._delivery.query_id)
        sending, gone = asyncio.ensure_future(self._send(send)), asyncio.ensure_future(_disconnected(receive))
        try:
            while not (await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED, timeout=_LOOK_S))[0]:
                if self._delivery.has_stalled(unsent_bytes(scope)):
                    self._delivery.note_stalled()
                    abort(scope)
            if sending.done():
                sending.result()
        finally:
            for future in (sending, gone):
                if not future.done():
                    future.cancel()
                    await asyncio.wait({future})
            await self._delivery.close()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(cast("Any", self._delivery.chunks())) as chunks:
            async for chunk in cast("AsyncIterator[bytes]", chunks):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _LargeFileResponse(FileResponse):
    """Reads in pieces that keep up with a fast network."""

    chunk_size = 1 << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file; one that was removed at this very moment is not found."""
        if await asyncio.to_thread(Path(self.path).is_file):
            await super().__call__(scope, receive, send)
        else:
            await error_for(Request(scope), NotFoundError("the result was removed."))(scope, receive, send)


def file_response(found: ResultPath) -> Response:
    """Return a result's file; ranges, ETag and If-Range as in RFC 9110, and its digest as in RFC 9530."""
    result, path = found.result, found.path
    digest = base64.b64encode(bytes.fromhex(result.sha256)).decode()
    headers = {"ETag": f'"{result.sha256}"', "Repr-Digest": f"sha-256=:{digest}:"}
    response = _LargeFileResponse(path, headers=headers, filename=path.name, content_disposition_type="inline")
    response.headers["content-type"] = result.content_type  # without a charset of the framework's
    return response


def xml(document: str) -> Response:
    """Return an XML document as a response."""
    return Response(document, media_type="text/xml")


def _error_headers(error: CatalogServiceError) -> dict[str, str]:
    headers = {} if error.query_id is None else {QUERY_ID_HEADER: error.query_id}
    return headers | ({"Retry-After": str(error.retry_after_s)} if isinstance(error, UnavailableError) else {})


def tap_error(error: CatalogServiceError) -> Response:
    """Return a TAP error: HTTP status and a VOTable with QUERY_STATUS=ERROR (DALI 1.1 section 4.2)."""
    document = error_document(str(error), error.query_id)
    return _with_challenge(error, Response(document, error.status, _error_headers(error), VOTABLE_TYPE))


def scs_error(error: CatalogServiceError) -> Response:
    """Return a cone-search error: HTTP 200 and an INFO named Error (SCS 1.03 section 2.3).

    Only wrong credentials and our own failures have a status of theirs, which clients act on.
    """
    status = error.status if error.status >= 500 or isinstance(error, AuthenticationError) else 200
    document = scs_error_document(str(error), error.query_id)
    return _with_challenge(error, Response(document, status, _error_headers(error), "text/xml"))


def error_for(request: Request, error: CatalogServiceError) -> Response:
    """Return an error in the form that the clients of its address read."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    if path.startswith("/cone") and not path.endswith(_CAPABILITIES):
        return scs_error(error)
    return tap_error(error) if path.startswith(("/tap", "/cone")) else api_error(error)


def challenge(headers: MutableHeaders) -> None:
    """Tell what credentials are taken; beside an answer to an anonymous caller, that there may be more to see."""
    if "www-authenticate" not in headers:
        for scheme in ("Bearer", "Basic"):
            headers.append("WWW-Authenticate", f'{scheme} realm="{_REALM}"')


def api_error(error: CatalogServiceError) -> Response:
    """Return an error of the JSON API."""
    return _with_challenge(error, JSONResponse({"error": error.to_json()}, error.status, _error_headers(error)))


def _with_challenge(error: CatalogServiceError, response: Response) -> Response:
    if isinstance(error, AuthenticationError):
        challenge(response.headers)
    return response


def http_error(error: HTTPException) -> CatalogServiceError:
    """Return the error of ours that stands for one of the web framework."""
    kinds: dict[int, type[CatalogServiceError]] = {404: NotFoundError, 413: RequestTooLargeError}
    return kinds.get(error.status_code, RequestError)(error.detail)


def refusal(request: Request, error: HTTPException) -> Response:
    """Return the answer to what no route takes (404, 405), in the form that the clients of its address read."""
    described = http_error(error)
    response = error_for(request, described)
    response.status_code = error.status_code
    response.headers.update(error.headers or {})
    return response
