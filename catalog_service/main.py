"""The application: routes, start and stop, security headers; and the server that runs it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .config import Config, load_config
from .exceptions import CatalogServiceError, ParameterError
from .factory import Services, build_services
from .handlers import api, cone, health, pages, tap, vosi
from .handlers.responses import ClientGoneError, api_error
from .language.pipeline import parse
from .models.query import QueryText
from .version import VERSION

__all__ = ["create_app", "serve"]

_STATIC = Path(__file__).parent / "web" / "static"

_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)


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
        await asyncio.gather(services.pool.start(), asyncio.to_thread(parse, QueryText("SELECT 1")))
        polling = asyncio.create_task(_poll_releases(services))
        try:
            yield
        finally:
            polling.cancel()
            await services.close()

    app = FastAPIOffline(title=config.title, version=VERSION, lifespan=lifespan)
    app.state.services = services
    for module in (tap, vosi, cone, api, health, pages):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_middleware(_SecurityHeaders)
    app.exception_handler(CatalogServiceError)(_unhandled)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(ClientGoneError)(_gone)
    return app


async def _poll_releases(services: Services) -> None:
    """Take up newly published releases without dropping queries."""
    while True:
        await asyncio.sleep(services.poll_s)
        await asyncio.to_thread(services.catalogs.refresh)


class _SecurityHeaders:
    """Adds security headers to every response; plain ASGI, so that streams and disconnects pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # the bundled API documentation pages need inline scripts
        strict = not scope.get("path", "").startswith(("/docs", "/redoc"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-cache"  # revalidated: a new version must not meet an old script
                if strict:
                    headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def _unhandled(_request: Request, error: Exception) -> Response:
    assert isinstance(error, CatalogServiceError)
    return api_error(error)


async def _invalid(_request: Request, error: Exception) -> Response:
    """Answer a malformed request of the JSON API in the same form as every other error."""
    assert isinstance(error, RequestValidationError)
    problems = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return api_error(ParameterError(f"invalid request: {problems}"))


async def _gone(_request: Request, _error: Exception) -> Response:
    """Answer nobody: the client closed the connection, and its query was stopped and audited."""
    return Response(status_code=499)


def _configure_logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=True,
    )


def serve(config_path: Path | None, host: str, port: int) -> None:
    """Run the service until it is told to stop.

    Raises
    ------
    ConfigurationError
        If the configuration or the catalogs are unusable.
    """
    config = load_config(config_path)
    _configure_logging()
    url = config.public_url or f"http://{host}:{port}"
    app = create_app(config, public_url=url)
    structlog.get_logger("service").info("starting", url=url, catalog_root=str(config.catalog_root))
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
