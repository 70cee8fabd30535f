"""Headers of every response that protect its readers, and tell of credentials."""

from typing import Final
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..models.user import Identity
from .responses import challenge

__all__ = ["SecurityHeaders"]

_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)


class SecurityHeaders:
    """Adds security headers to every response; plain ASGI, so that streams and disconnects pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        # the bundled API documentation pages need inline scripts
        strict = not scope.get("path", "").startswith(("/docs", "/redoc"))
        is_vo = scope.get("path", "").startswith(("/tap", "/cone"))
        state = scope.setdefault("state", {})
        has_credentials = any(name == b"authorization" for name, _ in scope.get("headers", ()))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-cache"  # revalidated: a new version must not meet an old script
                if is_vo:
                    _tell_of_credentials(headers, state.get("identity"), has_credentials=has_credentials)
                if strict:
                    headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _tell_of_credentials(headers: MutableHeaders, identity: Identity | None, *, has_credentials: bool) -> None:
    """Tell that one could log in, or as whom one has (the IVOA's note on authentication of clients, 2021)."""
    if not has_credentials:
        challenge(headers)
    elif identity is not None:
        headers["X-VO-Authenticated"] = quote(identity.name, safe="@+")
