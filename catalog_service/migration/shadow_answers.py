"""Ask the new service a copied query, as a synchronous query or as a job."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin

import urllib3

__all__ = ["Answered", "NewService"]

_JOB_WAIT_S: Final = 20
"""How long the new service is asked to wait for a change of a job's phase, where it can."""

_POLL_S: Final = 0.5
_RETRIES: Final = urllib3.Retry(total=None, connect=0, read=0, redirect=5, status=0, other=0)
"""Redirections are followed; nothing is asked twice."""
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


class NewService:
    """The new service's TAP.

    Parameters
    ----------
    url
        Its address, such as ``http://127.0.0.1:8000/tap``.
    token
        Access token of the shadow itself: those of users are never passed on.
    timeout_s
        Longest time of a query.
    most_bytes
        Largest answer that is kept.
    """

    def __init__(self, url: str, token: str | None, *, timeout_s: float, most_bytes: int) -> None:
        self._url = url.rstrip("/")
        self._timeout, self._most = timeout_s, most_bytes
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(headers=headers, retries=_RETRIES, maxsize=8)

    def ask(self, parameters: Sequence[tuple[str, str]]) -> Answered:
        """Return the answer to a synchronous query; an error of any kind is an answer too."""
        return self._timed(lambda: self._post(f"{self._url}/sync", parameters))

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
        except (urllib3.exceptions.HTTPError, OSError) as error:
            why = "timeout" if _is_late(getattr(error, "reason", error)) else "unreachable or broken off"
            return Answered(None, seconds=time.monotonic() - began, why=why)

    def _read(self, response: urllib3.BaseHTTPResponse, began: float) -> Answered:
        body: bytearray | None = bytearray()
        size, first = 0, None
        for part in response.stream(1 << 16, decode_content=False):
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

    def _post(self, url: str, parameters: Sequence[tuple[str, str]], **options: Any) -> urllib3.BaseHTTPResponse:
        return self._pool.request(
            "POST",
            url,
            fields=list(parameters),
            encode_multipart=False,
            preload_content=False,
            timeout=self._timeout,
            **options,
        )

    def _result(self, parameters: Sequence[tuple[str, str]]) -> urllib3.BaseHTTPResponse | Answered:
        made = self._post(f"{self._url}/async", [*parameters, ("PHASE", "RUN")], redirect=False)
        made.drain_conn()
        place = made.headers.get("location")
        if made.status != 303 or place is None:
            return Answered(made.status, why="no job was made")
        job = urljoin(f"{self._url}/async", place)
        phase, deadline = "QUEUED", time.monotonic() + self._timeout
        while phase not in _ENDED and time.monotonic() < deadline:
            # the job itself waits for changes (UWS 1.1, WAIT), its phase alone does not
            self._get(f"{job}?WAIT={_JOB_WAIT_S}").drain_conn()
            phase = self._get(f"{job}/phase").data.decode("utf-8", "replace").strip()
            time.sleep(0 if phase in _ENDED else _POLL_S)
        if phase != "COMPLETED":
            return Answered(None, why=f"job {phase if phase in _ENDED else 'timeout'}")
        return self._get(f"{job}/results/result")

    def _get(self, url: str) -> urllib3.BaseHTTPResponse:
        return self._pool.request("GET", url, preload_content=False, timeout=self._timeout)


def _is_late(error: object) -> bool:
    """Tell whether a time limit passed; a refused connection is of that class as well."""
    late, refused = urllib3.exceptions.TimeoutError, urllib3.exceptions.NewConnectionError
    return isinstance(error, late) and not isinstance(error, refused)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
