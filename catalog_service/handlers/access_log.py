"""One line of the log for each request."""

import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..models.wire import QUERY_ID_HEADER

__all__ = ["AccessLog"]

_ACCESS = structlog.get_logger("access")


class AccessLog:
    """Writes the lines; plain ASGI, so that streams and disconnects pass untouched.

    They hold the template of the address only: its query has texts and positions, which the audit line of a query
    tells where it should, and whoever knows the address of an anonymous job may use that.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and write its line when the answer has ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, sent, query_id = time.perf_counter(), 500, 0, None

        async def send_noting(message: Message) -> None:
            nonlocal status, sent, query_id
            if message["type"] == "http.response.start":
                status, query_id = message["status"], MutableHeaders(scope=message).get(QUERY_ID_HEADER)
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            known = {} if query_id is None else {"query_id": query_id}
            _ACCESS.info(
                "request",
                method=scope["method"],
                route=getattr(scope.get("route"), "path", "other"),
                status=status,
                seconds=round(time.perf_counter() - started, 6),
                bytes_out=sent,
                address=(scope.get("client") or ("",))[0],
                **known,
            )
