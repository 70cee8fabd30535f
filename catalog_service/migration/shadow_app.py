"""The proxy itself: an ASGI application that answers with the old service's answers, and offers copies of queries.

It is no part of the service: uvicorn alone runs it, without a framework. Whatever happens to a copy (no room, a new
service that is down, slow or wrong, a fault in the comparison) happens in `shadow_copies` or in another process, after
the user's answer has gone out.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from ..exceptions import CatalogServiceError, UnavailableError
from .shadow_queries import Query, changes_phase_to_run, parameters_of, query_in
from .shadow_upstream import Headers, Reply, Upstream

__all__ = ["Copy", "Kept", "ShadowApp", "Sink"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MOST_FORM: Final = 1 << 20
"""Longest form in bytes that is looked into; longer ones, and tables that are sent along, are passed on unread."""

_REMEMBERED: Final = 10_000
"""Jobs of the old service whose queries are known."""


@dataclass
class Kept:
    """What is kept of an old answer."""

    status: int
    content_type: str
    content_encoding: str
    began: float
    first_byte_s: float | None = None
    seconds: float = 0.0
    size: int = 0
    body: bytearray | None = field(default_factory=bytearray)
    """None if it is too large to be kept."""

    def add(self, part: bytes, most: int) -> None:
        """Keep a part of the body, unless it grows beyond `most` bytes."""
        if self.first_byte_s is None:
            self.first_byte_s = time.monotonic() - self.began
        self.size += len(part)
        if self.body is not None and self.size <= most:
            self.body += part
        else:
            self.body = None


@dataclass(frozen=True)
class Copy:
    """A query to ask the new service, or an old answer to compare with what it said."""

    kind: str
    """``sync``; ``run`` when a job starts; ``result`` when its result was fetched."""
    query: Query
    job: str | None = None
    old: Kept | None = None


class Sink(Protocol):
    """Where copies go."""

    def offer(self, copy: Copy) -> None:
        """Take a copy, or drop it; never wait, never raise."""


class ShadowApp:
    """Pass everything to the old service; offer copies of what queries it under `prefix`.

    Parameters
    ----------
    old
        The old service.
    prefix
        Path of its TAP service, such as ``/tap``.
    copies
        Where copies go.
    most_bytes
        Largest old answer that is kept to be compared.
    """

    def __init__(self, old: Upstream, prefix: str, copies: Sink, *, most_bytes: int) -> None:
        self._old, self._copies, self._most = old, copies, most_bytes
        self._prefix = "/" + prefix.strip("/")
        self._jobs: OrderedDict[str, Query] = OrderedDict()
        self._redirected: OrderedDict[str, Query] = OrderedDict()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})
            return
        body = _Body(receive, [(bytes(name), bytes(value)) for name, value in scope["headers"]])
        work = asyncio.create_task(self._answer(scope, body, send))
        watch = asyncio.create_task(body.gone())
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()
        if not work.done():
            work.cancel()  # the user left: so does the connection to the old service
        try:
            await work
        except (asyncio.CancelledError, _GoneError):
            return

    async def _answer(self, scope: Message, body: "_Body", send: Send) -> None:
        form = await body.form()
        parameters = parameters_of(scope["query_string"], form)
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        asked = _Asked(scope["method"], scope["path"].removeprefix(self._prefix), parameters)
        if not scope["path"].startswith(f"{self._prefix}/"):
            asked = _Asked("", "", [])
        began, has_started = time.monotonic(), False
        try:
            async with self._old.ask(scope["method"], target, body.headers, body.parts()) as reply:
                await send({"type": "http.response.start", "status": reply.status, "headers": list(reply.headers)})
                has_started = True
                kept = _kept(reply, began)
                await self._pass(reply, kept, send, is_kept=self._may_compare(asked))
            self._offer(asked, reply, kept)
        except CatalogServiceError as error:
            if has_started:
                raise  # the connection breaks off, as the old service's did
            await _refuse(send, error)

    async def _pass(self, reply: Reply, kept: Kept, send: Send, *, is_kept: bool) -> None:
        async for part in reply.chunks():
            if is_kept:
                kept.add(part, self._most)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        kept.seconds = time.monotonic() - kept.began
        await send({"type": "http.response.body", "body": b""})

    def _may_compare(self, asked: "_Asked") -> bool:
        return asked.query is not None or asked.result_of in self._jobs or asked.sync_of in self._redirected

    def _offer(self, asked: "_Asked", reply: Reply, kept: Kept) -> None:
        """Copy what this request was, now that it has been answered."""
        if asked.is_sync and asked.query is not None:
            place = _location(reply.headers, "/sync/") if 300 <= reply.status < 400 else None
            if place is None:
                self._copies.offer(Copy("sync", asked.query, old=kept))
            else:
                _remember(self._redirected, place, asked.query)
        elif asked.sync_of in self._redirected:
            self._copies.offer(Copy("sync", self._redirected.pop(asked.sync_of), old=kept))
        elif asked.result_of in self._jobs:
            self._copies.offer(Copy("result", self._jobs[asked.result_of], asked.result_of, kept))
        elif asked.method == "POST" and reply.status < 400:
            self._follow_job(asked, reply)

    def _follow_job(self, asked: "_Asked", reply: Reply) -> None:
        job = _location(reply.headers, "/async/") if asked.is_creation else asked.job
        if job is None:
            return
        if asked.query is not None:
            _remember(self._jobs, job, asked.query)
        if changes_phase_to_run(asked.parameters) and job in self._jobs:
            self._copies.offer(Copy("run", self._jobs[job], job))


@dataclass(frozen=True)
class _Asked:
    """A request, by its path below the TAP service."""

    method: str
    path: str
    parameters: list[tuple[str, str]]

    @property
    def query(self) -> Query | None:
        return query_in(self.parameters)

    @property
    def is_sync(self) -> bool:
        return self.path.rstrip("/") == "/sync"

    @property
    def is_creation(self) -> bool:
        return self.path.rstrip("/") == "/async"

    @property
    def job(self) -> str | None:
        steps = self.path.split("/")
        return steps[2] if len(steps) > 2 and steps[1] == "async" and steps[2] else None

    @property
    def result_of(self) -> str:
        """Job whose result is fetched, or nothing."""
        wanted = self.method == "GET" and self.path.endswith("/results/result")
        return (self.job or "") if wanted else ""

    @property
    def sync_of(self) -> str:
        """Where an earlier query was redirected to, if it may be this."""
        steps = self.path.split("/")
        return steps[2] if self.method == "GET" and len(steps) > 2 and steps[1] == "sync" else ""


class _GoneError(Exception):
    """The user left before the request was complete."""


class _Body:
    """The body of a request: read once, as it comes; a small form is read before it is passed on."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self.headers = headers
        self._receive = receive
        self._first = b""
        self._is_complete = asyncio.Event()
        self._is_gone = False

    async def form(self) -> bytes:
        """Return the body if it is a form that is not too long, else nothing."""
        told = {name: value for name, value in self.headers if name in {b"content-type", b"content-length"}}
        length = told.get(b"content-length", b"")
        kind = told.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/x-www-form-urlencoded" or not length.isdigit() or int(length) > _MOST_FORM:
            return b""
        self._first = b"".join([part async for part in self._rest()])
        return self._first

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the whole body."""
        if self._first:
            yield self._first
        if not self._is_complete.is_set():
            async for part in self._rest():
                yield part

    async def _rest(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._is_gone = True
                self._is_complete.set()
                raise _GoneError
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]
        self._is_complete.set()

    async def gone(self) -> None:
        """Return when the user has left."""
        await self._is_complete.wait()
        while not self._is_gone:
            self._is_gone = (await self._receive())["type"] == "http.disconnect"


def _kept(reply: Reply, began: float) -> Kept:
    named = {name.lower(): value.decode("latin1") for name, value in reply.headers}
    return Kept(reply.status, named.get(b"content-type", ""), named.get(b"content-encoding", ""), began)


def _location(headers: Headers, below: str) -> str | None:
    """Return the first step below such as ``/async/`` of where a redirection leads, whatever stands before it."""
    places = [value.decode("latin1") for name, value in headers if name.lower() == b"location"]
    path = urlsplit(places[0]).path if places else ""
    return path.rpartition(below)[2].partition("/")[0] or None if below in path else None


def _remember(known: OrderedDict[str, Query], name: str, query: Query) -> None:
    known[name] = query
    while len(known) > _REMEMBERED:
        known.popitem(last=False)


async def _refuse(send: Send, error: CatalogServiceError) -> None:
    status = 502 if isinstance(error, UnavailableError) else error.status
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{error}\n".encode()})
