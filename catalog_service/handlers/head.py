"""HEAD: what GET would tell, without the body."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["HeadAsGet"]

_QUERIES: Final = ("/tap/sync", "/api/v1/cone")
"""Nobody's query is run to tell how long its answer would be."""
_FILES: Final = ("/static/", "/results/")
"""Answer HEAD themselves, without reading the file."""


class HeadAsGet:
    """Has descriptions and jobs answer HEAD as they answer GET; the web server leaves out the body. Plain ASGI.

    TOPCAT asks ``/tap/capabilities`` so, to learn whether one can log in.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope["method"] == "HEAD" and _is_description(scope["path"]):
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def _is_description(path: str) -> bool:
    if path.startswith("/cone/"):
        return path.endswith("/capabilities")
    return not path.startswith(_QUERIES) and not any(part in path for part in _FILES)
