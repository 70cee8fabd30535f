"""Starting processes that do not run the caller's script."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

__all__ = ["without_main_module"]

_STARTING: Final = threading.Lock()
"""Held while processes are started: what they take over is set for the whole process meanwhile."""


@contextmanager
def without_main_module() -> Iterator[None]:
    """Start processes meanwhile that do not run the caller's script anew: nothing of it is needed there.

    It would take time, and a script that calls `build` unguarded would start builds without end.
    """
    with _STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
