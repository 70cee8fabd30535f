"""``/metrics`` for monitoring, and the counting of responses."""

from fastapi import APIRouter
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..dependencies import Caller, ServicesDep
from ..services.metrics import CONTENT_TYPE, Metrics

__all__ = ["CountedResponses", "router"]

router = APIRouter(tags=["health"])


@router.get("/metrics", summary="Figures for monitoring")
async def metrics(services: ServicesDep, caller: Caller) -> Response:
    """Return figures in the text format of Prometheus."""
    return Response(await services.metrics.text(caller), media_type=CONTENT_TYPE)


class CountedResponses:
    """Counts responses by route; plain ASGI, so that streams and disconnects pass untouched."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count its response."""
        status = 500  # what is sent outside of here if nothing was sent inside

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            if scope["type"] == "http":
                # set by the router in passing; files and unknown addresses have none
                self._metrics.answered(getattr(scope.get("route"), "path", "other"), status)
