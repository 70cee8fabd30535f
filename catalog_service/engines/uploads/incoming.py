"""What readers of uploaded tables give, and the limits that all of them keep."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from catalog_service.exceptions import LimitError, UploadError
from catalog_service.models.upload import UploadCaps

__all__ = ["BATCH_ROWS", "FACTS", "SIZE", "Incoming", "Tally", "facts_of"]

BATCH_ROWS: Final = 65_536
"""Rows that are held as Python objects at a time."""

FACTS: Final = ("unit", "ucd", "utype", "xtype", "description")
"""What the metadata of an Arrow field may tell of a column."""

SIZE: Final = "size"
"""Metadata of a field: how many elements each of its lists has."""

_LONGEST_FACT: Final = 4_000
"""Characters kept of each."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """The rows of a table as they are read."""

    schema: pa.Schema
    """Names and types; the metadata of a field holds what else is known of the column."""
    batches: Iterator[pa.RecordBatch]


@dataclass(slots=True)
class Tally:
    """Counts what was read of one upload and stops at the caps.

    Parameters
    ----------
    name
        How errors name the table.
    caps
        Limits of one table.
    """

    name: str
    caps: UploadCaps
    rows: int = 0
    inflated_bytes: int = field(default=0)

    def add_rows(self, count: int) -> None:
        """Count rows.

        Raises
        ------
        LimitError
            If there are more than the caps allow.
        """
        self.rows += count
        if self.rows > self.caps.rows:
            raise LimitError(
                f"The uploaded table {self.name!r} has more rows than the limit of {self.caps.rows} (upload_rows).",
                remedy="Upload fewer rows at a time.",
            )

    def add_bytes(self, count: int) -> None:
        """Count unpacked bytes.

        Raises
        ------
        LimitError
            If there are more than the caps allow.
        """
        self.inflated_bytes += count
        if self.inflated_bytes > self.caps.inflated_bytes:
            size = f"{self.caps.inflated_bytes / 1e6:g} MB"
            raise LimitError(
                f"The uploaded table {self.name!r} is unpacked larger than the limit of {size} (upload_inflated_mb).",
                remedy="Upload fewer rows or columns at a time.",
            )

    def check_columns(self, count: int) -> None:
        """Refuse a table of too many columns, or of none.

        Raises
        ------
        LimitError
            If there are more than the caps allow.
        UploadError
            If there is none.
        """
        if count > self.caps.columns:
            raise LimitError(
                f"The uploaded table {self.name!r} has {count} columns; the limit is {self.caps.columns} "
                "(upload_columns).",
                remedy="Upload the columns that the query needs.",
            )
        if count == 0:
            raise self.error("it has no columns.")

    def error(self, problem: str, remedy: str | None = None) -> UploadError:
        """Return the error that something is wrong with the table."""
        return UploadError(f"The uploaded table {self.name!r} cannot be read: {problem}", remedy=remedy)


def facts_of(known: dict[str, str | None]) -> dict[str, str]:
    """Return metadata of a field: the facts that are known."""
    return {fact: text.strip()[:_LONGEST_FACT] for fact in FACTS if (text := known.get(fact)) and text.strip()}
