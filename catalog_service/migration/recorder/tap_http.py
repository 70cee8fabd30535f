"""Requests to a TAP service: their time limits, redirects, and what their errors mean."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from .errors import BusyError, LostError, QueryTimeout, RefusedError, UnreachableError, UsageError
from .votable import error_in

__all__ = ["PIECE", "Deadline", "SameHost", "pieces", "translated"]

PIECE: Final = 1 << 16
"""Bytes that are read at a time."""
_PASSING: Final = frozenset({425, 429, 502, 503, 504})
"""Status of troubles that may pass."""


class SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects; the token goes along to the same host only."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - the signature is the library's
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request to follow a redirect with."""
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get("Authorization")
        if found is not None and token is not None and _host(found.full_url) == _host(req.full_url):
            found.add_unredirected_header("Authorization", token)
        return found


class Deadline:
    """When a query is given up."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._at = time.monotonic() + limit_s

    def left(self) -> float:
        """Return the seconds until then; never 0, which sockets take for no limit."""
        return max(0.001, self._at - time.monotonic())

    def check(self) -> None:
        """Raise `QueryTimeout` if it is over."""
        if time.monotonic() >= self._at:
            raise QueryTimeout(f"stopped after the time limit of {self._limit_s:g} s")

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn errors of a connection into ours."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            self.check()
            raise LostError(f"the answer broke off: {_reason(error)}") from error


def pieces(response: Any, deadline: Deadline) -> Iterator[bytes]:
    """Yield what a response holds, until the deadline.

    Raises
    ------
    LostError
        If it breaks off.
    QueryTimeout
        If it takes too long.
    """
    with deadline.told():
        while piece := response.read1(PIECE):
            deadline.check()
            yield piece
        if response.length:  # what the server announced and did not send
            raise LostError(f"the answer broke off, {response.length} bytes before its end")


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn errors of asking into ours; what is told in an error's body is the message."""
    try:
        yield
    except urllib.error.HTTPError as error:
        message = _body(error)
        text = f"{message} (HTTP {error.code})"
        if error.code == 401:
            raise UsageError(f"{address} wants a valid token: {text}") from error
        if error.code == 408:
            raise QueryTimeout(text) from error
        if error.code in _PASSING:
            raise BusyError(text) from error
        raise RefusedError(text) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise QueryTimeout("stopped after the time limit: no answer began") from error
        raise UnreachableError(f"{address} cannot be reached: {_reason(error.reason)}") from error
    except TimeoutError as error:
        raise QueryTimeout("stopped after the time limit: no answer began") from error
    except (OSError, http.client.HTTPException) as error:
        raise LostError(f"{address} broke off: {_reason(error)}") from error


def _body(error: urllib.error.HTTPError) -> str:
    try:
        return error_in(error.read(PIECE))
    except (OSError, http.client.HTTPException):
        return str(error.reason)


def _reason(error: object) -> str:
    return str(error) or type(error).__name__


def _host(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc
