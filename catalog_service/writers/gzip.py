"""gzip as a content coding (RFC 1952) whose pieces are deflated or merely stored, as their receiver has use for it.

Deflating costs a core for each 30 to 70 MB/s and saves a quarter (BINARY2) to two thirds (TABLEDATA): a gain on a slow
line, a loss on a fast one. Most clients ask for gzip without knowing which line they are on. So the first megabyte is
deflated, and then only as much as takes no longer than sending has waited so far.
"""

import time
import zlib
from collections.abc import Iterator
from struct import pack
from typing import Final

__all__ = ["PIECE_BYTES", "GzipStream"]

PIECE_BYTES: Final = 1 << 18
"""Deflated or stored as one; large enough to find repetitions."""
_LEVEL: Final = 1
_FIRST_BYTES: Final = 1 << 20
"""Deflated in any case: sockets have buffers, so that the first megabytes of a result tell nothing about its line."""
_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"
_LAST_BLOCK: Final = b"\x03\0"
"""A last block that holds nothing (RFC 1951 section 3.2.3)."""
_LARGEST_STORED: Final = 2**16 - 1


class GzipStream:
    """One gzip member, made of pieces; every piece ends on a byte border and refers to no other one."""

    def __init__(self) -> None:
        self._header = _HEADER
        self._checksum = 0
        self._size = 0
        self._seconds_per_byte = 0.0
        """What deflating took last."""
        self._spare_s = 0.0
        """Time that sending has waited, less what was spent on deflating."""

    def encode(self, content: bytes | memoryview, waited_s: float) -> bytes:
        """Return the next bytes of the stream.

        Parameters
        ----------
        content
            At most `PIECE_BYTES`.
        waited_s
            How long the piece before took to send.
        """
        self._spare_s += waited_s
        is_first = self._size < _FIRST_BYTES
        is_paid_for = self._spare_s > self._seconds_per_byte * len(content)
        self._checksum = zlib.crc32(content, self._checksum)
        self._size += len(content)
        return self._start() + (
            self._deflated(content) if is_first or is_paid_for else b"".join(_stored(memoryview(content)))
        )

    def end(self) -> bytes:
        """Return the end of the stream: checksum and size, by which a reader knows that it is whole."""
        return self._start() + _LAST_BLOCK + pack("<II", self._checksum, self._size % 2**32)

    def _start(self) -> bytes:
        start, self._header = self._header, b""
        return start

    def _deflated(self, content: bytes | memoryview) -> bytes:
        started = time.perf_counter()
        deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        deflated = deflate.compress(content) + deflate.flush(zlib.Z_SYNC_FLUSH)
        spent_s = time.perf_counter() - started
        self._seconds_per_byte = spent_s / max(1, len(content))
        self._spare_s = max(0.0, self._spare_s - spent_s)
        return deflated


def _stored(content: memoryview) -> Iterator[bytes]:
    """Yield blocks without compression (RFC 1951 section 3.2.4)."""
    for start in range(0, len(content), _LARGEST_STORED):
        block = content[start : start + _LARGEST_STORED]
        yield pack("<BHH", 0, len(block), len(block) ^ 0xFFFF)
        yield bytes(block)
