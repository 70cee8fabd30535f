"""How many queries are parsed and planned at the same time, so that other requests are answered in between."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

__all__ = ["Attention"]

P = ParamSpec("P")
T = TypeVar("T")

_SHORT: Final = 4
"""Texts that take some milliseconds each: a request of another kind waits for these at most, however many come."""
_LONG: Final = 2
"""Texts that take seconds in threads, which hold up everything else turn by turn."""
_THREADS: Final = 12
"""For these, and for what is looked up on disk: if that hangs, look-ups wait for each other and nothing else does."""


class Attention:
    """Lets few queries be planned at the same time; short ones do not wait behind long ones, nor behind the disk."""

    def __init__(self) -> None:
        self._short, self._long = asyncio.Semaphore(_SHORT), asyncio.Semaphore(_LONG)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="planning")

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Return the context of some milliseconds of work on the event loop."""
        return self._short

    async def at_length(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function returns that computes for a while."""
        async with self._long:
            return await self.beside(function, *args, **kwargs)

    async def beside(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function returns that reads from disk; who is cancelled does not wait for it."""
        call: partial[Any] = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Take no more; what hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
