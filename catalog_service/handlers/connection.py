"""The server's end of a connection: how much the other end has not taken yet, and how to cut it off."""

from asyncio import TimerHandle, Transport
from typing import Any, ClassVar, Final

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HttpProtocol", "abort", "unsent_bytes"]

_EXTENSION: Final = "catalog_service.connection"


class HttpProtocol(HttpToolsProtocol):
    """Hands the connection on with every request, and closes it if the client does not go on sending one.

    The server has no such limits of its own: half a header would hold a connection for ever. The head of a request has
    to be there after `stall_s` altogether, so that a letter now and then does not help; of a body something has to
    come within it.
    """

    stall_s: ClassVar[float]
    """How long the client may take."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due_s: float | None = None
        self._timer: TimerHandle | None = None

    @classmethod
    def with_stall(cls, stall_s: float) -> type["HttpProtocol"]:
        """Return the protocol with a limit."""
        return type(cls.__name__, (cls,), {"stall_s": stall_s})

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """End it."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        extensions: dict[str, Any] = {_EXTENSION: self.transport}
        self.scope["extensions"] = extensions
        self._expect()

    def on_headers_complete(self) -> None:
        """Take the head of a request."""
        super().on_headers_complete()
        self._expect()

    def on_body(self, body: bytes) -> None:
        """Take a piece of its body."""
        super().on_body(body)
        self._expect()

    def on_message_complete(self) -> None:
        """Take its end."""
        super().on_message_complete()
        self._due_s = None

    def _expect(self) -> None:
        self._due_s = self.loop.time() + self.stall_s
        if self._timer is None:  # one timer serves many requests
            self._timer = self.loop.call_at(self._due_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due_s is None:
            return
        if self.flow.read_paused:  # it is we who do not go on
            self._expect()
        elif self.loop.time() < self._due_s:
            self._timer = self.loop.call_at(self._due_s, self._look)
        elif not self.transport.is_closing():
            self.transport.close()


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
