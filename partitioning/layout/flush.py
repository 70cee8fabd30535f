"""Flushing a file to disk while it is written, so that there is little to wait for when it is finished."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

__all__ = ["EarlyFlush"]


class EarlyFlush:
    """Flushes what was written of a growing file, in a thread; use as a context manager around the writing.

    A failed write is told to descriptors that are open then, once each, and to none that is opened later: leaving the
    context raises what this one was told.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        self._thread = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None

    def begin(self) -> None:
        """Begin to flush what the kernel has of the file, unless that is going on.

        Raises
        ------
        OSError
            If an earlier flush failed.
        """
        if self._running is None or self._running.done():
            self._raise()
            self._running = self._thread.submit(os.fsync, self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()
        os.close(self._descriptor)
        if error == (None, None, None):
            self._raise()

    def _raise(self) -> None:
        if self._running is not None:
            self._running.result()
