"""Serving below a path, as behind a reverse proxy at ``https://host/catalogs``, whether or not it cuts the path off."""

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["WithPrefix", "WithoutPrefix", "path_prefix"]


def path_prefix(public_url: str) -> str:
    """Return the path of an address, empty or with a slash before it.

    >>> path_prefix("https://host/vo/catalogs/"), path_prefix("https://host:8000")
    ('/vo/catalogs', '')
    """
    return urlsplit(public_url).path.rstrip("/")


class WithoutPrefix:
    """Outermost: cuts the prefix off the path, so that everything within sees the paths of the routes."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        path = scope.get("path", "")
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            scope = {**scope, "path": path[len(self._prefix) :] or "/"}
        await self._app(scope, receive, send)


class WithPrefix:
    """Innermost: tells the framework of the prefix, for the addresses that it writes; `path` begins with it (ASGI)."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if "path" in scope:
            scope = {**scope, "root_path": self._prefix, "path": f"{self._prefix}{scope['path']}"}
        await self._app(scope, receive, send)
