"""Short blocking calls, such as those to a database, made beside the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

__all__ = ["Beside"]

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 2


class Beside:
    """Runs short blocking calls beside the event loop, never behind long ones of others."""

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=name)

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function` returns."""
        loop = asyncio.get_running_loop()
        call: partial[Any] = partial(function, *args, **kwargs)
        return await loop.run_in_executor(self._threads, call)

    def close(self) -> None:
        """Wait for calls that run, and end."""
        self._threads.shutdown()
