"""Temporary directories that do not outlive their process for long, even after SIGKILL."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

__all__ = ["ScratchDirectory"]

_PREFIX: Final = "pool-"
_LOCK_NAME: Final = "lock"


class ScratchDirectory:
    """A fresh directory below `base`, held by a lock; those whose holder died are removed first.

    Parameters
    ----------
    base
        Directory on a local disk, created if missing; several pools and services may share it.
    """

    def __init__(self, base: Path) -> None:
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _exclusively(base):  # a directory just made is not yet locked
            _sweep(base)
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
            self._lock = _try_lock(self.path)

    def close(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()


@contextmanager
def _exclusively(base: Path) -> Iterator[None]:
    descriptor = os.open(base, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sweep(base: Path) -> None:
    for path in base.glob(f"{_PREFIX}*"):
        lock = _try_lock(path) if (path / _LOCK_NAME).exists() else None
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            lock.close()


def _try_lock(directory: Path) -> IO[str] | None:
    """Return the held lock file of a directory, or None if another process holds it."""
    lock = (directory / _LOCK_NAME).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock
