"""Pass one HTTP request on to the old service and its answer back, byte for byte, without holding either."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import h11

from ..exceptions import ParameterError, UnavailableError

__all__ = ["Headers", "Reply", "Upstream"]

Headers = Sequence[tuple[bytes, bytes]]

_HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade expect".split()
)
"""Headers of one connection, not of the message (RFC 9110 section 7.6.1); ``Expect`` was answered already."""
_NEEDED: Final = frozenset({b"host", b"content-length"})
"""Not dropped even if ``Connection`` names them."""

_HEAD_END: Final = re.compile(rb"\n\r?\n")
_HEADER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*")
_LENGTH: Final = re.compile(rb"\s*(?:content-length|transfer-encoding)\b", re.IGNORECASE)
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
        ParameterError
            If the request breaks the rules of HTTP/1.1, such as by two ``Host``.
        UnavailableError
            If the old service cannot be reached, or breaks off.
        """
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEADERS)
        head = _request_head(connection, method, target, self._sent(headers))
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        except OSError as error:  # a time-out is one, too
            raise UnavailableError("The old service cannot be reached.") from error
        sending = asyncio.create_task(_send(connection, writer, head, body))
        try:
            yield await _first(_reply(connection, reader), sending)
        finally:
            sending.cancel()  # what the old service has answered already it need not be told
            await asyncio.gather(sending, return_exceptions=True)
            writer.close()

    def _sent(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        kept = _end_to_end(headers)
        if self._sent_host is not None:
            kept = [(b"host", self._sent_host.encode()), *((name, value) for name, value in kept if name != b"host")]
        elif all(name.lower() != b"host" for name, _ in kept):
            kept = [(b"host", f"{self._host}:{self._port}".encode()), *kept]  # HTTP/1.0 does without
        if any(name.lower() == b"transfer-encoding" for name, _ in headers):
            kept.append((b"transfer-encoding", b"chunked"))
        return [*kept, (b"connection", b"close")]


def _end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return headers of the message: neither the known ones of a connection, nor those that ``Connection`` names."""
    named = {
        one.strip().lower() for name, value in headers if name.lower() == b"connection" for one in value.split(b",")
    }
    dropped = _HOP_BY_HOP | (named - _NEEDED)
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def _request_head(connection: h11.Connection, method: str, target: bytes, headers: Headers) -> bytes:
    """Return the first line and the headers; the target may hold bytes that h11 does not send."""
    try:
        written = connection.send(h11.Request(method=method, target=b"/", headers=list(headers))) or b""
    except h11.LocalProtocolError as error:
        raise ParameterError(f"The request cannot be passed on: {error}.") from error
    return method.encode() + b" " + target + b" HTTP/1.1\r\n" + written.partition(b"\r\n")[2]


async def _send(
    connection: h11.Connection, writer: asyncio.StreamWriter, head: bytes, body: AsyncIterator[bytes]
) -> None:
    try:
        writer.write(head)
        async for part in body:
            writer.write(connection.send(h11.Data(data=part)) or b"")
            await writer.drain()
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
    except OSError:
        return  # it may have answered before it closed, such as that the body is too large
    except h11.LocalProtocolError as error:
        raise ParameterError(f"The request cannot be passed on: {error}.") from error


async def _first(reply: Coroutine[Any, Any, Reply], sending: "asyncio.Task[None]") -> Reply:
    """Return the reply, which may come before everything is sent; unless sending fails before it."""
    replying = asyncio.create_task(reply)
    try:
        await asyncio.wait({replying, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not replying.done():
            await sending
        return await replying
    finally:
        replying.cancel()


async def _reply(connection: h11.Connection, reader: asyncio.StreamReader) -> Reply:
    rest = b""
    while True:
        head, rest = await _head(reader, rest)
        connection.receive_data(_readable(head))
        event = await _next_event(connection, reader)
        if isinstance(event, h11.Response):
            if rest:
                connection.receive_data(rest)
            return Reply(event.status_code, _end_to_end(event.headers.raw_items()), connection, reader)


async def _head(reader: asyncio.StreamReader, begun: bytes) -> tuple[bytes, bytes]:
    """Return first line and headers, and what came after them."""
    while (end := _HEAD_END.search(begun)) is None:
        try:
            part = await reader.read(_READ)
        except OSError as error:
            raise UnavailableError("The old service broke off.") from error
        if not part or len(begun) > _MOST_HEADERS:
            raise UnavailableError("The old service broke off.")
        begun += part
    return begun[: end.end()], begun[end.end() :]


def _readable(head: bytes) -> bytes:
    """Return a head without headers that break the rules, for which browsers and curl do not refuse an answer.

    A length that breaks them stays, and with it the answer is refused: its end could not be told.
    """
    lines, is_kept = head.splitlines(), True
    kept = lines[:1]
    for line in lines[1:]:
        if not line.startswith((b" ", b"\t")):  # else it goes on with the header before
            is_kept = not line or _HEADER.fullmatch(line) is not None or _LENGTH.match(line) is not None
        if is_kept:
            kept.append(line)
    return b"\r\n".join(kept) + b"\r\n"


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    try:
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ))
    except (OSError, h11.RemoteProtocolError) as error:
        raise UnavailableError("The old service broke off.") from error
    if isinstance(event, h11.ConnectionClosed):
        raise UnavailableError("The old service broke off.")
    return event
