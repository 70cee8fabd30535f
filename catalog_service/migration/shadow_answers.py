"""Ask the new service a copied query, as a synchronous query or as a job."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import urllib3

__all__ = ["Answered", "NewService"]

_JOB_WAIT_S: Final = 20
"""How long the new service is asked to wait for a change of a job's phase, where it can."""

_POLL_S: Final = 0.5
_REDIRECTIONS: Final = 5
_REDIRECTING: Final = frozenset({301, 302, 303, 307, 308})
_SHORT: Final = 1 << 12
"""Bytes read of an answer of which only the beginning matters."""
_ENDED: Final = frozenset({"COMPLETED", "ERROR", "ABORTED"})


@dataclass(frozen=True)
class Answered:
    """What a service answered."""

    status: int | None
    """Of HTTP; None if nothing came."""
    content_type: str = ""
    content_encoding: str = ""
    seconds: float | None = None
    first_byte_s: float | None = None
    size: int = 0
    body: bytes | None = b""
    """None if it is too large to be compared."""
    why: str | None = None
    """What went wrong, in words of our own: what services say may repeat a user's query."""

    def described(self) -> dict[str, Any]:
        """Return what the log tells of it."""
        times = {"seconds": _rounded(self.seconds), "first_byte_s": _rounded(self.first_byte_s)}
        return {"status": self.status, **times, "bytes": self.size} | ({"why": self.why} if self.why else {})


class _ElsewhereError(Exception):
    """The new service sends on to another host, which gets neither a query nor a token, or in circles."""


class NewService:
    """The new service's TAP.

    Parameters
    ----------
    url
        Its address, such as ``http://127.0.0.1:8000/tap``.
    token
        Access token of the shadow itself: those of users are never passed on.
    timeout_s
        Longest time of a query, and then of its answer.
    most_bytes
        Largest answer that is kept.
    """

    def __init__(self, url: str, token: str | None, *, timeout_s: float, most_bytes: int) -> None:
        self._url = url.rstrip("/")
        self._timeout, self._most = timeout_s, most_bytes
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(headers=headers, retries=False, maxsize=8)

    def ask(self, parameters: Sequence[tuple[str, str]]) -> Answered:
        """Return the answer to a synchronous query; an error of any kind is an answer too."""
        return self._timed(lambda: self._open("POST", f"{self._url}/sync", parameters))

    def run(self, parameters: Sequence[tuple[str, str]]) -> Answered:
        """Return the result of a job."""
        return self._timed(lambda: self._result(parameters))

    def _timed(self, request: Any) -> Answered:
        began = time.monotonic()
        try:
            response = request()
            if isinstance(response, Answered):
                return response
            return self._read(response, began)
        except _ElsewhereError:
            return Answered(None, seconds=time.monotonic() - began, why="redirected elsewhere")
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # an address may be none
            why = "timeout" if _is_late(getattr(error, "reason", error)) else "unreachable or broken off"
            return Answered(None, seconds=time.monotonic() - began, why=why)

    def _read(self, response: urllib3.BaseHTTPResponse, began: float) -> Answered:
        body: bytearray | None = bytearray()
        size, first, deadline = 0, None, time.monotonic() + self._timeout
        while part := response.read1(1 << 16, decode_content=False):
            if time.monotonic() > deadline:
                response.close()
                raise urllib3.exceptions.TimeoutError
            first = time.monotonic() - began if first is None else first
            size += len(part)
            if body is not None and size <= self._most:
                body += part
            else:
                body = None
        headers = response.headers
        return Answered(
            response.status,
            headers.get("content-type", ""),
            headers.get("content-encoding", ""),
            time.monotonic() - began,
            first,
            size,
            None if body is None else bytes(body),
        )

    def _open(
        self, method: str, url: str, parameters: Sequence[tuple[str, str]] = (), *, is_followed: bool = True
    ) -> urllib3.BaseHTTPResponse:
        """Return an answer of which nothing was read; redirections are followed on the same host alone."""
        for _ in range(1 + _REDIRECTIONS):
            if _origin(url) != _origin(self._url):
                raise _ElsewhereError
            form: dict[str, Any] = {"fields": list(parameters), "encode_multipart": False} if method == "POST" else {}
            response = self._pool.request(
                method, url, preload_content=False, redirect=False, timeout=self._timeout, **form
            )
            place = response.headers.get("location")
            if not is_followed or place is None or response.status not in _REDIRECTING:
                return response
            response.close()
            url = urljoin(url, place)
            method = method if response.status in {307, 308} else "GET"
        raise _ElsewhereError

    def _begin(self, url: str) -> str:
        """Return the beginning of a short answer."""
        response = self._open("GET", url)
        try:
            return response.read(_SHORT, decode_content=False).decode("utf-8", "replace").strip()
        finally:
            response.close()

    def _result(self, parameters: Sequence[tuple[str, str]]) -> urllib3.BaseHTTPResponse | Answered:
        made = self._open("POST", f"{self._url}/async", [*parameters, ("PHASE", "RUN")], is_followed=False)
        made.close()
        place = made.headers.get("location")
        if made.status != 303 or place is None:
            return Answered(made.status, why="no job was made")
        job = urljoin(f"{self._url}/async", place)
        phase, deadline = "QUEUED", time.monotonic() + self._timeout
        while phase not in _ENDED and time.monotonic() < deadline:
            # the job itself waits for changes (UWS 1.1, WAIT), its phase alone does not
            self._begin(f"{job}?WAIT={_JOB_WAIT_S}")
            phase = self._begin(f"{job}/phase")
            time.sleep(0 if phase in _ENDED else _POLL_S)
        if phase != "COMPLETED":
            return Answered(None, why=f"job {phase if phase in _ENDED else 'timeout'}")
        return self._open("GET", f"{job}/results/result")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _is_late(error: object) -> bool:
    """Tell whether a time limit passed; a refused connection is of that class as well."""
    late, refused = urllib3.exceptions.TimeoutError, urllib3.exceptions.NewConnectionError
    return isinstance(error, late) and not isinstance(error, refused)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
