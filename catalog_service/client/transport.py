"""HTTP: one small class around urllib3's connection pool, and answers that fail loudly when they are cut short.

What is repeated, and what is not: a connection that could not be made has had no effect and is tried again; an
answer 503 with ``Retry-After`` means that the service took no work and is tried again after that time, within a
bound. A request that reached the service and then failed is never sent twice.
"""

import email.utils
import json
import platform
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as HttpTimeoutError

from ..exceptions import (
    AccessError,
    AuthenticationError,
    CatalogServiceError,
    NotFoundError,
    ParameterError,
    UnavailableError,
)
from ..models.wire import QUERY_ID_HEADER
from ..version import VERSION
from .errors import ConnectionFailedError, TransferAbortedError, UnexpectedAnswerError

__all__ = ["Answer", "Transport"]

_CONNECT_TIMEOUT_S: Final = 10.0
"""Machines that are up accept at once; a firewall that drops packets should not cost minutes."""

_CONNECT_RETRIES: Final = 2
_MAX_REDIRECTS: Final = 3

_MIN_RETRY_WAIT_S: Final = 0.2
"""``Retry-After: 0`` must not become a busy loop."""

_MAX_RETRY_WAIT_S: Final = 30.0
"""Longest total wait of one request for a busy service; after that the user decides."""

_MAX_ERROR_BYTES: Final = 1 << 20
"""Error bodies are short; whatever else answers with an error status may not be."""

_CODES_BY_STATUS: Final = {
    error.status: error.code for error in (AuthenticationError, AccessError, NotFoundError, UnavailableError)
}
"""For errors that carry no code, because a proxy in between sent them."""


class Answer:
    """The body of a successful answer: a readable binary file that arrives over the network.

    Parameters
    ----------
    response
        The answer, headers read, body not.
    url
        Where it came from, for error messages.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str) -> None:
        self._response = response
        self.url = url
        self.headers: Mapping[str, str] = response.headers
        self.status = response.status
        self.query_id: str | None = response.headers.get(QUERY_ID_HEADER)
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, fewer only at the end of the body; all that remain if negative.

        Raises
        ------
        TransferAbortedError
            If the connection ends before the body does, or stays silent for too long.
        """
        try:
            return self._response.read(None if size < 0 else size)
        except BaseException as error:
            # Also for KeyboardInterrupt: closing the connection tells the service to stop working.
            self.close()
            if isinstance(error, HTTPError | OSError):
                raise self.aborted(str(error)) from error
            raise

    def finish(self) -> None:
        """Read the end of a body of which no data are left, so that its connection can serve the next request."""
        if self.read(1):
            raise self.aborted("data follow the end of the result")
        self._response.release_conn()
        self.closed = True

    def close(self) -> None:
        """Close the connection, unless the body was read to its end."""
        if not self.closed:
            self.closed = True
            self._response.close()

    def aborted(self, reason: str) -> TransferAbortedError:
        """Close, and return the error that says that this answer is incomplete."""
        self.close()
        query = "" if self.query_id is None else f" of query {self.query_id}"
        error = TransferAbortedError(
            f"The result{query} from {self.url} is incomplete: {reason}.",
            remedy="The service failed while sending it, or the connection broke. Try again; if it fails again, "
            "ask the service's operators and give the query id.",
        )
        error.query_id = self.query_id
        return error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Transport:
    """Sends requests to one service and turns its error answers into exceptions.

    Parameters
    ----------
    url
        Address of the service: scheme, host, port, and the path under which it is mounted, if any.
    token
        Sent as bearer token if given.
    timeout_s
        Longest silence of the service that is waited for, seconds.

    Raises
    ------
    ParameterError
        If the URL is not an http or https address.
    """

    def __init__(self, url: str, *, token: str | None, timeout_s: float) -> None:
        self.url = _checked_url(url)
        self._timeout_s = timeout_s
        self._pool = urllib3.PoolManager(
            headers=_common_headers(token),
            timeout=urllib3.Timeout(connect=min(_CONNECT_TIMEOUT_S, timeout_s), read=timeout_s),
            retries=urllib3.Retry(
                total=None,
                connect=_CONNECT_RETRIES,
                read=0,
                status=0,
                other=0,
                redirect=_MAX_REDIRECTS,
                backoff_factor=0.1,
            ),
        )

    def get(
        self, path: str, params: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return the answer to a GET request; raises as `post` does."""
        query = f"?{urlencode(params)}" if params else ""
        return self._send("GET", f"{self.url}{path}{query}", body=None, headers=headers)

    def delete(self, path: str) -> None:
        """Send a DELETE request; raises as `post` does."""
        self._send("DELETE", f"{self.url}{path}", body=None).finish()

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Return the answer to a POST request with a JSON body.

        Raises
        ------
        ConnectionFailedError
            If the service cannot be reached or does not begin to answer in time.
        CatalogServiceError
            The error that the service answered with, in its own class.
        """
        return self._send("POST", f"{self.url}{path}", body=json.dumps(body).encode())

    def post_bytes(self, path: str, body: bytes, content_type: str) -> Answer:
        """Return the answer to a POST request with a body of some type; raises as `post` does."""
        return self._send("POST", f"{self.url}{path}", body=body, headers={"Content-Type": content_type})

    def post_form(self, path: str, fields: Mapping[str, str], files: Mapping[str, bytes]) -> Answer:
        """Return the answer to a POST request with a form of fields and files; raises as `post` does."""
        parts: list[tuple[str, str | tuple[str, bytes]]] = [*fields.items()]
        parts += [(name, (name, content)) for name, content in files.items()]
        body, content_type = urllib3.encode_multipart_formdata(parts)
        return self.post_bytes(path, body, content_type)

    def json(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON that a GET request, or a POST request with a JSON body, is answered with.

        Raises
        ------
        UnexpectedAnswerError
            If the answer is not JSON.
        """
        with self.get(path) if body is None else self.post(path, body) as answer:
            content = answer.read()
            try:
                return json.loads(content)
            except ValueError as error:
                raise unexpected_answer(answer, "JSON") from error

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def _send(self, method: str, url: str, *, body: bytes | None, headers: Mapping[str, str] | None = None) -> Answer:
        waited_s = 0.0
        while True:
            response = self._open(method, url, body=body, headers=headers or {})
            if response.status < 300:
                return Answer(response, url.partition("?")[0])
            error = _service_error(response, url)
            wait_s = _retry_after_s(response)
            if wait_s is None or waited_s + wait_s > _MAX_RETRY_WAIT_S:
                raise error
            time.sleep(wait_s)
            waited_s += wait_s

    def _open(
        self, method: str, url: str, *, body: bytes | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        content_type = {} if body is None else {"Content-Type": "application/json"}
        sent = {**self._pool.headers, **content_type, **headers}
        try:
            return self._pool.request(method, url, body=body, headers=sent, preload_content=False)
        except (HTTPError, OSError) as error:
            raise self._connection_error(error) from error

    def _connection_error(self, error: Exception) -> ConnectionFailedError:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, SSLError):
            remedy = "The server's certificate is not accepted here, or the address is not an https one."
        elif isinstance(reason, HttpTimeoutError) and not isinstance(reason, NewConnectionError):
            remedy = f"It was silent for more than the timeout ({self._timeout_s:g} s): narrow the query, or pass a "
            remedy += "larger timeout_s."
        else:
            remedy = "Is the service running, and is this its address? `catalog-service serve` starts one."
        return ConnectionFailedError(f"No answer from the catalog service at {self.url}: {reason}.", remedy=remedy)


def unexpected_answer(answer: Answer, expected: str) -> UnexpectedAnswerError:
    """Close an answer, and return the error that says that it is not what the service would send."""
    answer.close()
    found = answer.headers.get("Content-Type", "an unnamed type")
    return UnexpectedAnswerError(
        f"{answer.url} answered with {found} where {expected} is expected.",
        remedy="Is this the address of a catalog service, without /tap or /api at its end?",
    )


def _checked_url(url: str) -> str:
    try:
        parsed = urllib3.util.parse_url(url)
    except HTTPError as error:
        raise ParameterError(f"{url!r} is not an address: {error}.", remedy=_URL_HELP) from error
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query or parsed.fragment:
        raise ParameterError(f"{url!r} is not the address of a service.", remedy=_URL_HELP)
    return url.rstrip("/")


_URL_HELP: Final = "Write it as http://HOST:PORT, or https://HOST/PATH."


def _common_headers(token: str | None) -> dict[str, str]:
    headers = {
        **urllib3.util.make_headers(accept_encoding=True),
        "User-Agent": f"catalog-service-client/{VERSION} Python/{platform.python_version()}",
    }
    return headers if token is None else {**headers, "Authorization": f"Bearer {token}"}


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> float | None:
    """Return how long to wait before repeating the request, seconds; None if it must not be repeated (RFC 9110)."""
    header = response.headers.get("Retry-After", "").strip()
    if response.status != UnavailableError.status or not header:
        return None
    if header.isdigit():
        return max(float(header), _MIN_RETRY_WAIT_S)
    try:
        until = email.utils.parsedate_to_datetime(header).timestamp()
    except ValueError:
        return None
    return max(until - time.time(), _MIN_RETRY_WAIT_S)


def _service_error(response: urllib3.BaseHTTPResponse, url: str) -> CatalogServiceError:
    """Read an error answer to its end, and return the exception that it describes."""
    try:
        body = response.read(_MAX_ERROR_BYTES)
    except (HTTPError, OSError):
        body = b""
    finally:
        response.close()
    error = CatalogServiceError.from_json(_error_body(body, response, url), status=response.status)
    error.query_id = error.query_id or response.headers.get(QUERY_ID_HEADER)
    return error


def _error_body(body: bytes, response: urllib3.BaseHTTPResponse, url: str) -> dict[str, Any]:
    try:
        described = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        described = None
    if isinstance(described, dict):
        return described
    return {
        "code": _CODES_BY_STATUS.get(response.status),
        "message": f"{url.partition('?')[0]} answered HTTP {response.status} {response.reason or ''}".rstrip()
        + " without the service's error description.",
        "remedy": "Is this the address of a catalog service? A proxy in between may also have sent it.",
    }
