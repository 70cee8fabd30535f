"""The server's end of a connection: how much the other end has not taken yet, and how to cut it off."""

from asyncio import Transport
from typing import Any, Final

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HttpProtocol", "abort", "unsent_bytes"]

_EXTENSION: Final = "catalog_service.connection"


class HttpProtocol(HttpToolsProtocol):
    """Hands the connection on with every request, which the standard interface does not."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        extensions: dict[str, Any] = {_EXTENSION: self.transport}
        self.scope["extensions"] = extensions


def _transport(scope: Scope) -> Transport | None:
    found: Transport | None = scope.get("extensions", {}).get(_EXTENSION)
    return found


def unsent_bytes(scope: Scope) -> int:
    """Return how many bytes wait for the other end to take them; 0 if the server does not tell."""
    transport = _transport(scope)
    return 0 if transport is None else transport.get_write_buffer_size()


def abort(scope: Scope) -> None:
    """Close a connection at once; what was not taken is lost, and the other end gets an error."""
    transport = _transport(scope)
    if transport is not None:
        transport.abort()
