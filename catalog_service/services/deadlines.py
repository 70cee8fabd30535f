"""The time limit of what is done for a query before a worker has it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from ..exceptions import QueryTimeoutError

__all__ = ["in_time"]


@contextlib.asynccontextmanager
async def in_time(limit_s: float, spent_s: float = 0.0) -> AsyncIterator[None]:
    """End what is done inside at a time limit, such as a look-up on a disk that hangs.

    Parameters
    ----------
    limit_s
        The limit in seconds.
    spent_s
        How much of it has been used already.

    Raises
    ------
    QueryTimeoutError
        At the limit.
    """
    try:
        async with asyncio.timeout(max(0.0, limit_s - spent_s)):
            yield
    except TimeoutError as error:
        raise QueryTimeoutError(
            f"The query hit its time limit of {limit_s:g} s before it began.", remedy="Try again later."
        ) from error
