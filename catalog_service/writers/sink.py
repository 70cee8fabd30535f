"""A file for pyarrow's writers whose content is taken away piece by piece."""

import io
from typing import Any

__all__ = ["Sink"]


class Sink(io.RawIOBase):
    """Write-only file that keeps only what was not yet taken."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the number of bytes written so far."""
        return self._position

    def write(self, data: Any, /) -> int:
        """Keep a copy of `data`."""
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def take(self) -> bytes:
        """Return and forget what was written since the last call."""
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content
