"""A directory that one process at a time may use, however the one before it ended."""

import fcntl
import os
from pathlib import Path
from typing import Final

from ..exceptions import ConfigurationError

__all__ = ["Holding"]

_LOCK_NAME: Final = "lock"


class Holding:
    """Holds a directory until it is closed, or the process ends.

    Parameters
    ----------
    directory
        Created if missing.

    Raises
    ------
    ConfigurationError
        If another process holds it.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = (directory / _LOCK_NAME).open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            msg = f"the directory {directory} is in use by another service (process {holder})."
            raise ConfigurationError(msg, remedy="Give each service a state_dir of its own.") from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def close(self) -> None:
        """Let go of the directory."""
        self._lock.close()
