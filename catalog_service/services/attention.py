"""How many queries are parsed and planned at the same time, so that other requests are answered in between."""

import asyncio
from typing import Final

__all__ = ["Attention"]

_SHORT: Final = 4
"""Texts that take some milliseconds each: a request of another kind waits for these at most, however many come."""
_LONG: Final = 2
"""Texts that take seconds in threads, which hold up everything else turn by turn."""
_LONG_TEXT: Final = 4096


class Attention:
    """Lets few queries be planned at the same time; short ones do not wait behind long ones."""

    def __init__(self) -> None:
        self._short, self._long = asyncio.Semaphore(_SHORT), asyncio.Semaphore(_LONG)

    def to(self, text: str) -> asyncio.Semaphore:
        """Return the context in which a query with this text is parsed, or planned."""
        return self._long if len(text) > _LONG_TEXT else self._short
