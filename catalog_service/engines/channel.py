"""Frames over a socket for asyncio, read no faster than they are consumed."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from catalog_service.models import frames

__all__ = ["ChannelClosedError", "FrameChannel"]

_RECEIVE_BYTES: Final = 1 << 18
"""Larger pieces would hold up the event loop."""


class ChannelClosedError(Exception):
    """The other end is gone."""


class FrameChannel:
    """One end of a socket pair. At most one coroutine may read at a time.

    Nothing is lost if a reading coroutine is cancelled: bytes are taken from the socket only at the moment they are
    returned or kept here. Streams of asyncio would read ahead, and promise less.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)  # noqa: FBT003
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._partial = bytearray()
        self._waiters: set[asyncio.Future[None]] = set()
        self._data_left = 0

    async def next_frame(self) -> tuple[bytes, bytes]:
        """Return (kind, payload); of a data frame the payload is empty here and comes from `read_data`.

        Raises
        ------
        ChannelClosedError
            At the end of the stream.
        """
        kind, length = frames.decode_header(await self._exactly(frames.HEADER_SIZE, keep=True))
        if kind == frames.DATA:
            self._partial.clear()
            self._data_left = length
            return kind, b""
        content = await self._exactly(frames.HEADER_SIZE + length)
        return kind, content[frames.HEADER_SIZE :]

    @property
    def data_left(self) -> int:
        """Bytes of the current data frame that were not yet read."""
        return self._data_left

    async def read_data(self) -> bytes:
        """Return the next piece of the current data frame, as much as there is now.

        Raises
        ------
        ChannelClosedError
            At the end of the stream.
        """
        piece = await self._receive(min(self._data_left, _RECEIVE_BYTES))
        self._data_left -= len(piece)
        return piece

    async def send(self, content: bytes) -> None:
        """Write all of `content`.

        Raises
        ------
        ChannelClosedError
            If the other end is gone.
        """
        view = memoryview(content)
        while view:
            self._check_open()
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                await self._wait(self._loop.add_writer, self._loop.remove_writer)
            except OSError as error:
                raise ChannelClosedError from error

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back when there is something to read; of an idle worker, that is only the end of the stream."""
        self._loop.add_reader(self._socket, callback)

    def unwatch(self) -> None:
        """Undo `watch`."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)

    def at_end(self) -> bool:
        """Whether the other end is gone and nothing is left to read."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close this end; a coroutine that waits here gets `ChannelClosedError`."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
        for waiter in self._waiters:
            _wake(waiter)

    async def _exactly(self, size: int, *, keep: bool = False) -> bytes:
        while len(self._partial) < size:
            self._partial += await self._receive(size - len(self._partial))
        content = bytes(self._partial[:size])
        if not keep:
            self._partial.clear()
        return content

    async def _receive(self, size: int) -> bytes:
        while True:
            self._check_open()
            try:
                piece = self._socket.recv(size)
            except BlockingIOError:
                await self._wait(self._loop.add_reader, self._loop.remove_reader)
            except OSError as error:
                raise ChannelClosedError from error
            else:
                if not piece:
                    raise ChannelClosedError
                return piece

    def _check_open(self) -> None:
        if self._socket.fileno() < 0:
            raise ChannelClosedError

    async def _wait(self, add: Callable[..., object], remove: Callable[..., object]) -> None:
        """Wait until the socket can be read or written, or was closed here."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.add(waiter)
        add(self._socket, _wake, waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if self._socket.fileno() >= 0:
                remove(self._socket)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
