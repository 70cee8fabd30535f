"""Having files written to disk while other work goes on, so that there is little to wait for when they are flushed."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

__all__ = ["begin_writing"]

_WRITE: Final = 2
"""``SYNC_FILE_RANGE_WRITE`` of sync_file_range(2): begin to write what is dirty, and don't wait."""


def begin_writing(path: Path) -> None:
    """Ask the kernel to begin writing a file to disk; it tells nothing, errors least of all: `fsync` later does.

    Not every system has it: there, the kernel begins when it likes.
    """
    begin: Any = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if begin is None:
        return
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            begin(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), ctypes.c_uint(_WRITE))
        finally:
            os.close(descriptor)
