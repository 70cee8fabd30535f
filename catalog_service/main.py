"""The application: routes, start and stop, security headers; and the server that runs it."""

import asyncio
import contextlib
import gc
import logging
import resource
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from partitioning.without_pandas import hide_pandas

from .config import Config, load_config
from .exceptions import CatalogServiceError, ConfigurationError, ParameterError
from .factory import Services, build_services
from .handlers import admin, api, cone, health, history, jobs_api, metrics, pages, tap, uploads_api, uws, vosi
from .handlers.access_log import AccessLog
from .handlers.connection import HttpProtocol
from .handlers.head import HeadAsGet
from .handlers.metrics import CountedResponses
from .handlers.prefix import WithoutPrefix, WithPrefix, path_prefix
from .handlers.responses import ClientGoneError, api_error, error_for, refusal
from .handlers.security import SecurityHeaders
from .language.pipeline import parse
from .logs import configure_logging
from .models.query import QueryText
from .version import VERSION

__all__ = ["create_app", "serve"]

_LOG = logging.getLogger(__name__)

_STATIC = Path(__file__).parent / "web" / "static"

_BACKLOG = 2048
_EXPIRY_S = 2.0
"""Seconds between looks for jobs to be removed."""
_START_FAILED = 3
_OPEN_FILES = 65_536
_GARBAGE = (2_000, 10, 20)
"""Objects, and rounds, between looks for young, older and old garbage."""
_SWITCH_S = 0.0005
"""So long a thread may hold up the event loop, and the loop a thread that looks up ids; Python's 5 ms add up."""

_BODY_BYTES_PER_QUERY_BYTE = 8
"""A body may be so many times as long as the longest query, since its encoding takes up to 6 bytes for one."""

_UPLOAD_PATHS = ("/tap/sync", "/tap/async", "/api/v1/query-uploads")
"""Where tables may come along."""


def create_app(config: Config, *, public_url: str) -> FastAPI:
    """Return the application for `config`, reached by clients at `public_url`.

    Raises
    ------
    ConfigurationError
        If the catalogs cannot be loaded.
    """
    services = build_services(config, public_url=public_url)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await asyncio.gather(services.lanes.start(), asyncio.to_thread(parse, QueryText("SELECT 1")))
        await services.history.start()
        await services.runner.start()
        chores = [asyncio.create_task(_poll_releases(services)), asyncio.create_task(_remove_expired(services))]
        try:
            yield
        finally:
            for chore in chores:
                chore.cancel()
            await services.close()

    app = FastAPIOffline(title=config.title, version=VERSION, lifespan=lifespan)
    app.state.services = services
    for module in (tap, cone, uws, vosi, api, jobs_api, uploads_api, history, admin, health, metrics, pages):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_middleware(CountedResponses, metrics=services.metrics.metrics)  # innermost: it asks for the route
    if config.access_log:
        app.add_middleware(AccessLog)
    prefix = path_prefix(public_url)
    app.add_middleware(WithPrefix, prefix=prefix)
    room = _BODY_BYTES_PER_QUERY_BYTE * config.max_query_bytes
    app.add_middleware(_BodyLimit, max_bytes=room, upload_bytes=config.upload_mb * 1_000_000)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(HeadAsGet)
    app.add_middleware(WithoutPrefix, prefix=prefix)
    app.exception_handler(CatalogServiceError)(_unhandled)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(ClientGoneError)(_gone)
    app.exception_handler(ClientDisconnect)(_gone)
    app.exception_handler(HTTPException)(_refused)
    return app


async def _poll_releases(services: Services) -> None:
    """Take up newly published releases without dropping queries."""
    while True:
        await asyncio.sleep(services.poll_s)
        try:
            await asyncio.to_thread(services.catalogs.refresh)
        except Exception:  # noqa: BLE001 - such as a full disk: the next look may succeed
            _LOG.exception("new releases cannot be taken up; trying again")


async def _remove_expired(services: Services) -> None:
    """Remove jobs whose destruction time has come."""
    while True:
        try:
            await services.jobs.destroy_expired()
        except Exception:  # noqa: BLE001 - such as a full disk: the next try may succeed
            _LOG.exception("expired jobs cannot be removed; trying again")
        await asyncio.sleep(_EXPIRY_S)


class _BodyLimit:
    """Stops reading a request's body when it is longer than any request of ours; plain ASGI."""

    def __init__(self, app: ASGIApp, max_bytes: int, upload_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._upload_bytes = upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        room = self._max_bytes
        limit = f"limit of {self._max_bytes} bytes"
        if _brings_tables(scope):
            room = max(room, self._upload_bytes)
            limit = f"limit of {room / 1e6:g} MB for uploads (upload_mb)"

        async def receive_within_limit() -> Message:
            nonlocal room
            message = await receive()
            room -= len(message.get("body", b""))
            if room < 0:
                raise HTTPException(413, f"the request's body is longer than the {limit}")
            return message

        await self._app(scope, receive_within_limit, send)


def _brings_tables(scope: Scope) -> bool:
    """Whether a request may hold uploaded tables: a form of several parts, or the targets of cones."""
    path: str = scope.get("path", "")
    if path == "/api/v1/cones":
        return True
    kind: bytes = dict(scope.get("headers", ())).get(b"content-type", b"")
    return path.startswith(_UPLOAD_PATHS) and kind.lower().startswith(b"multipart/form-data")


async def _unhandled(request: Request, error: Exception) -> Response:
    assert isinstance(error, CatalogServiceError)
    return error_for(request, error)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(request, error)


async def _invalid(_request: Request, error: Exception) -> Response:
    """Answer a malformed request of the JSON API in the same form as every other error."""
    assert isinstance(error, RequestValidationError)
    problems = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return api_error(ParameterError(f"invalid request: {problems}"))


async def _gone(_request: Request, _error: Exception) -> Response:
    """Answer nobody: the client closed the connection; a query of it was stopped and audited."""
    return Response(status_code=499)


class _Server(uvicorn.Server):
    """Answers requests that wait for a change of a job when it stops, which would hold up the stop for seconds."""

    def __init__(self, options: uvicorn.Config, services: Services) -> None:
        super().__init__(options)
        self._services = services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._services.kept.changes.close()
        await super().shutdown(sockets)


def serve(config_path: Path | None, host: str, port: int) -> None:
    """Run the service until it is told to stop.

    Raises
    ------
    ConfigurationError
        If the configuration or the catalogs are unusable.
    """
    hide_pandas()
    config = load_config(config_path)
    sys.setswitchinterval(_SWITCH_S)
    _allow_connections()
    configure_logging(config.log_format)
    with _listen(host, port) as listener:
        _cut_stalled(listener, config.connection_stall_s)
        url = config.public_url or f"http://{host}:{listener.getsockname()[1]}"
        app = create_app(config, public_url=url)
        _settle()
        structlog.get_logger("service").info("starting", url=url, catalog_root=str(config.catalog_root))
        options = uvicorn.Config(
            app,
            http=HttpProtocol.with_stall(config.request_stall_s),
            log_level="warning",
            access_log=False,
            reset_contextvars=True,  # the id of a query must not stay with its connection
            log_config=None,  # its lines take the form of all others
            timeout_graceful_shutdown=10,
            proxy_headers=bool(config.trusted_proxies),  # else anybody could say to be at another address
            forwarded_allow_ips=list(config.trusted_proxies),
        )
        server = _Server(options, app.state.services)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    if not server.started:
        sys.exit(_START_FAILED)  # the log tells why


def _settle() -> None:
    """Have what was loaded never be looked through for garbage again, and what comes seldom: that holds up queries.

    Most garbage is young. With Python's own thresholds, 500 requests at once were held up three times by 50 ms. The
    second look finds nothing: Python waits with the next one until there is a quarter more than it found at the last.
    """
    gc.collect()
    gc.freeze()
    gc.collect()
    gc.set_threshold(*_GARBAGE)


def _allow_connections() -> None:
    """Take as many files as the system lets this process have: connections are files, and often it begins at 1,024."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(_OPEN_FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _cut_stalled(listener: socket.socket, after_s: float) -> None:
    """Have the kernel cut connections whose client takes nothing for so long of what is sent (tcp(7)).

    Accepted connections inherit this. What the web server has handed to the kernel, it cannot take back itself.
    """
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(after_s * 1000))


def _listen(host: str, port: int) -> socket.socket:
    """Take the address before anything is started, so that a busy one costs nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        msg = f"cannot listen at {host}, port {port}: {error.strerror}."
        raise ConfigurationError(msg, remedy="Choose another address with --host or --port.") from error
