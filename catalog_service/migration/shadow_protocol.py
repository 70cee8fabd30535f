"""HTTP as users speak it to the proxy: request targets are taken as they come, long ones and those in UTF-8 too."""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["MOST_TARGET", "ShadowProtocol"]

MOST_TARGET: Final = 1 << 20
"""Longest request target, and longest headers together, in bytes: queries of GET requests stand in the target."""

_BEYOND_ASCII: Final = re.compile(rb"[\x80-\xff]")
_ORIGIN: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")


class ShadowProtocol(HttpToolsProtocol):
    """The protocol of uvicorn, without what it asks of a target: at most 65,535 bytes, and those of ASCII."""

    _size = 0
    _is_in_line = True

    def data_received(self, data: bytes) -> None:
        """Take bytes; in the first line of a request those beyond ASCII, which the parser refuses, are escaped."""
        if self._is_in_line:
            line, end, rest = data.partition(b"\n")
            self._is_in_line = not end
            data = _BEYOND_ASCII.sub(lambda found: b"%%%02X" % found[0][0], line) + end + rest
        super().data_received(data)

    def on_message_complete(self) -> None:
        """Expect another request."""
        self._is_in_line = True
        super().on_message_complete()

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._size = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the application; its scope holds the target as it was sent."""
        target, self.url = _ORIGIN.sub(b"", self.url, count=1) if b"://" in self.url[:16] else self.url, b"/"
        super().on_headers_complete()
        # the application begins later than this, in a task
        path, _, query = target.partition(b"?")
        path = path or b"/"
        self.scope["raw_path"], self.scope["query_string"] = path, query
        self.scope["path"] = unquote_to_bytes(path).decode("utf-8", "replace")

    def _count(self, *parts: bytes) -> None:
        self._size += sum(map(len, parts))
        if self._size > 2 * MOST_TARGET or len(self.url) > MOST_TARGET:
            raise ValueError("too long")  # of which the parser makes status 400
