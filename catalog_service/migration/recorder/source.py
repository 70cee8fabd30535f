"""What the recorder asks of a source, whatever its protocol."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from .records import Column, Source, Table
from .rows import Field

__all__ = ["CatalogSource", "Dropped", "Result"]


class Dropped(BaseException):
    """Somebody wants the running query to end now; it leaves nothing in the recording."""


@dataclass
class Result:
    """The answer of a running query."""

    columns: tuple[Column, ...]
    batches: Iterator[Sequence[Sequence[Field]]]
    """The rows as they come."""
    overflow: bool = False
    """Whether the source cut the answer; known after the last row."""


class CatalogSource(Protocol):
    """A source; one query at a time."""

    @property
    def lang(self) -> str:
        """Language of queries: ``QSERV`` or ``ADQL``."""

    def describe(self) -> Source:
        """Return what is known of the source."""

    def tables(self) -> Iterator[Table]:
        """Yield the tables with their columns; rows are not counted."""

    def ask(
        self, query: str, *, timeout_s: float, max_rows: int | None = None, lang: str | None = None
    ) -> AbstractContextManager[Result]:
        """Run a query; left early, it is stopped at the source too.

        Raises
        ------
        RefusedError
            If the source refuses it.
        QueryTimeout
            If it takes longer than `timeout_s`.
        LostError
            If the connection breaks.
        UnreachableError
            If there is none.
        """

    def close(self) -> None:
        """Close the connection."""
