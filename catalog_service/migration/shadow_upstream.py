"""Pass one HTTP request on to the old service and its answer back, byte for byte, without holding either."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import h11

from ..exceptions import ParameterError, UnavailableError

__all__ = ["Headers", "Reply", "Upstream"]

Headers = Sequence[tuple[bytes, bytes]]

_HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade expect".split()
)
"""Headers of one connection, not of the message (RFC 9110 section 7.6.1); ``Expect`` was answered already."""

_READ: Final = 1 << 16
_MOST_HEADERS: Final = 1 << 17
_CONNECT_S: Final = 10.0


@dataclass
class Reply:
    """An answer that is coming in."""

    status: int
    headers: Headers
    _connection: h11.Connection
    _reader: asyncio.StreamReader

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises
        ------
        UnavailableError
            If it breaks off.
        """
        while True:
            event = await _next_event(self._connection, self._reader)
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return


class Upstream:
    """The old service.

    Parameters
    ----------
    url
        Its address; the path of a request is kept as it is.
    host
        What to send as ``Host``; None: what the caller sent.

    Raises
    ------
    ParameterError
        If `url` is no address of an HTTP service, or has a path.
    """

    def __init__(self, url: str, host: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or parts.hostname is None or parts.path not in {"", "/"}:
            raise ParameterError(
                f"{url!r} is no address of a service.",
                remedy="Write https://HOST or http://HOST:PORT, without a path: requests keep theirs.",
            )
        self._host, self._sent_host = parts.hostname, host
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)

    @asynccontextmanager
    async def ask(
        self, method: str, target: bytes, headers: Headers, body: AsyncIterator[bytes]
    ) -> AsyncIterator[Reply]:
        """Send a request and hand out the answer; leaving closes the connection, so that the old service stops too.

        Raises
        ------
        UnavailableError
            If the old service cannot be reached, or breaks off.
        """
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEADERS)
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        except OSError as error:  # a time-out is one, too
            raise UnavailableError("The old service cannot be reached.") from error
        try:
            request = h11.Request(method=method, target=target, headers=self._sent(headers))
            await _send(connection, writer, request, body)
            yield await _reply(connection, reader)
        finally:
            writer.close()

    def _sent(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        kept = _end_to_end(headers)
        if self._sent_host is not None:
            kept = [(b"host", self._sent_host.encode()), *((name, value) for name, value in kept if name != b"host")]
        if any(name.lower() == b"transfer-encoding" for name, _ in headers):
            kept.append((b"transfer-encoding", b"chunked"))
        return [*kept, (b"connection", b"close")]


async def _send(
    connection: h11.Connection, writer: asyncio.StreamWriter, request: h11.Request, body: AsyncIterator[bytes]
) -> None:
    try:
        writer.write(connection.send(request) or b"")
        async for part in body:
            writer.write(connection.send(h11.Data(data=part)) or b"")
            await writer.drain()
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
    except OSError:
        return  # it may have answered before it closed, such as that the body is too large
    except h11.LocalProtocolError as error:
        raise ParameterError(f"The request cannot be passed on: {error}.") from error


async def _reply(connection: h11.Connection, reader: asyncio.StreamReader) -> Reply:
    while True:
        event = await _next_event(connection, reader)
        if isinstance(event, h11.Response):
            return Reply(event.status_code, _end_to_end(event.headers.raw_items()), connection, reader)


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers that are not those of one connection, by their names or because ``Connection`` names them.

    >>> _end_to_end([(b"Connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"Accept", b"*/*")])
    [(b'Accept', b'*/*')]
    """
    known = list(headers)
    named = {one.strip() for name, value in known if name.lower() == b"connection" for one in value.lower().split(b",")}
    return [(name, value) for name, value in known if name.lower() not in _HOP_BY_HOP | named]


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    try:
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ))
    except (OSError, h11.RemoteProtocolError) as error:
        raise UnavailableError("The old service broke off.") from error
    if isinstance(event, h11.ConnectionClosed):
        raise UnavailableError("The old service broke off.")
    return event
