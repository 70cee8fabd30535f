"""Short blocking calls, such as those to a database, made beside the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

__all__ = ["Beside", "in_thread", "to_its_end"]

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 2


async def to_its_end(call: "asyncio.Future[T]") -> T:
    """Return what a call in a thread returns; whoever is cancelled meanwhile is so when the call has ended.

    A thread cannot be stopped: what it does to files and rows must not come after what is done next about them.
    """
    try:
        return await asyncio.shield(call)
    finally:
        if not call.done():
            await asyncio.wait({call})
            if not call.cancelled():
                call.exception()  # nobody else looks at it


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function returns that may take long; as `to_its_end`."""
    return await to_its_end(asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs)))


class Beside:
    """Runs short blocking calls beside the event loop, never behind long ones of others."""

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=name)

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function` returns."""
        loop = asyncio.get_running_loop()
        call: partial[Any] = partial(function, *args, **kwargs)
        return await to_its_end(loop.run_in_executor(self._threads, call))

    def close(self) -> None:
        """Wait for calls that run, and end."""
        self._threads.shutdown()
