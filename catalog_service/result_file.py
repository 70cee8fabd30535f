"""A result that is written to a file instead of being sent. Runs in a worker."""

import hashlib
import os
from pathlib import Path
from typing import Final

from .delivery import FrameSender

__all__ = ["FileSender", "ResultFileError"]

_BUFFER_BYTES: Final = 1 << 20


class ResultFileError(Exception):
    """The result's file could not be written."""


class FileSender:
    """Writes a result to a new file; the parent is told of its beginning only.

    Parameters
    ----------
    frames
        Tells the parent.
    path
        File to be made; its directory exists.
    """

    def __init__(self, frames: FrameSender, path: Path) -> None:
        self._frames = frames
        self._digest = hashlib.sha256()
        self.data_bytes = 0
        """Bytes of the result so far."""
        try:
            self._file = path.open("xb", buffering=_BUFFER_BYTES)
        except OSError as error:
            raise ResultFileError(str(error)) from error

    def head(self, *, overflow: bool | None) -> None:
        """Tell the parent that the query is under way."""
        self._frames.head(overflow=overflow)
        self._frames.flush()

    def data(self, content: bytes) -> None:
        """Write the next bytes of the result.

        Raises
        ------
        ResultFileError
            If the disk is full or the file reached the process's limit.
        """
        try:
            self._file.write(content)
        except OSError as error:
            raise ResultFileError(str(error)) from error
        self._digest.update(content)
        self.data_bytes += len(content)

    def flush(self) -> None:
        """Do nothing: nobody waits for a part of the file."""

    def finish(self) -> str:
        """Bring the file to the disk; return its SHA-256, hexadecimal.

        Raises
        ------
        ResultFileError
            If the disk is full.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise ResultFileError(str(error)) from error
        return self._digest.hexdigest()
