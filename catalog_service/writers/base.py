"""What a writer is: batches in, final bytes out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import pyarrow as pa

from catalog_service.models.schema import Column

__all__ = ["MeasuringWriter", "ResultDescription", "ResultWriter", "Sample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultDescription:
    """What is known of a result before its rows."""

    columns: tuple[Column, ...]
    """In order, with unique names."""
    infos: Mapping[str, str] = field(default_factory=dict)
    """Provenance by name, such as the query's text."""
    position: tuple[str, str] | None = None
    """Names of the columns that hold an ICRS position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The first rows of a result, which a writer may look at before it describes the columns."""

    schema: pa.Schema
    """Columns as the writer will get them (`columns.result_schema`)."""
    batches: tuple[pa.RecordBatch, ...] = ()
    complete: bool = True
    """Whether these are all rows."""
    overflow: bool | None = None
    """Whether the result was cut, None if not yet known."""


class ResultWriter(Protocol):
    """Encodes one result. Call `header` once, `rows` per batch, then `footer` or `failure` once."""

    marks_overflow: bool
    """Whether the format has a place for the overflow mark after the rows."""

    def header(self) -> bytes:
        """Return what precedes the rows."""

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return the bytes of a batch whose columns have the types of the sample's schema."""

    def footer(self, *, overflow: bool, rows: int) -> bytes:
        """Return what follows the last row of a result of `rows` rows, cut if `overflow`."""

    def failure(self, message: str) -> bytes | None:
        """Return what ends the document after an error, or None if the format cannot tell."""


@runtime_checkable
class MeasuringWriter(Protocol):
    """Encodes one result whose beginning tells what only its last row decides: all rows are seen twice or more."""

    def measure(self, batch: pa.RecordBatch) -> None:
        """Take note of a batch; called once for each, before `document`."""

    def document(
        self, batches: Callable[[], Iterable[pa.RecordBatch]], *, overflow: bool, rows: int
    ) -> Iterator[bytes]:
        """Yield the whole result.

        Parameters
        ----------
        batches
            Returns the batches that were measured, in the same order; called as often as they are needed.
        overflow
            Whether the result was cut.
        rows
            Number of rows.
        """
