"""What a recording says of a source, its tables, answers and fingerprints; the files that hold it are `format`'s."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .rows import Expected

__all__ = [
    "KINDS",
    "Answer",
    "Column",
    "Failure",
    "Fingerprint",
    "Header",
    "Source",
    "Table",
    "answer_digest",
    "expected_rows",
]

KINDS: Final = (
    "int64", "uint64", "decimal", "float32", "float64", "text", "bytes", "boolean", "timestamp", "other",
)  # fmt: skip
"""What the values of a column are, whatever the source calls its type."""


@dataclass(frozen=True)
class Source:
    """Where the answers come from."""

    kind: str
    """``mysql`` or ``tap``."""
    address: str
    """Without user or password."""
    server: str
    """What it says of its version."""


@dataclass(frozen=True)
class Header:
    """``recording.json``."""

    source: Source
    started: str
    """UTC, ISO 8601."""
    recorder: str
    """Version of the program that wrote it."""


@dataclass(frozen=True)
class Failure:
    """Why there is no answer."""

    kind: str
    """Of an answer: ``refused``, ``timeout``, ``lost`` or ``too large``."""
    message: str
    """What the source said."""


@dataclass(frozen=True)
class Column:
    """A column of a table, of an answer or of fingerprints; what only tables know is None elsewhere."""

    name: str
    type: str
    """As the source calls it; empty for a column that the recorder made."""
    kind: str
    """One of `KINDS`."""
    nullable: bool | None = None
    unit: str | None = None
    ucd: str | None = None


@dataclass(frozen=True)
class Table:
    """``tables/SCHEMA.TABLE.json``."""

    schema: str
    table: str
    columns: tuple[Column, ...]
    rows: int | None = None
    seconds: float | None = None
    """Of counting the rows."""
    key: tuple[str, ...] | None = None
    ra: str | None = None
    dec: str | None = None
    chunk: str | None = None
    """Column that tells the chunk."""
    error: Failure | None = None

    @property
    def name(self) -> str:
        """``SCHEMA.TABLE``."""
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True)
class Answer:
    """``answers/ID.json``; the rows are in ``ID.csv.gz`` unless there is an error."""

    id: str
    query: str
    lang: str
    """``QSERV`` or ``ADQL``."""
    use_case: str
    started: str
    """UTC, ISO 8601."""
    seconds: float
    seconds_to_first_row: float | None = None
    rows: int = 0
    bytes: int = 0
    """Of the uncompressed rows."""
    columns: tuple[Column, ...] = ()
    overflow: bool = False
    """Whether the source said that it cut the answer."""
    sha256: str | None = None
    """Of the uncompressed rows."""
    error: Failure | None = None


@dataclass(frozen=True)
class Fingerprint:
    """``fingerprints/SCHEMA.TABLE.json``; one row a cell is in the ``.csv.gz`` of the same name."""

    schema: str
    table: str
    cells: Mapping[str, Any]
    """``kind``: ``box`` (``width_deg``, ``ra``, ``dec``), ``id`` or ``remainder`` (``column``, ``divisor``), ``chunk``
    (``column``), or ``table``: one cell."""
    prime: int
    columns: tuple[str, ...]
    """Columns with null count, minimum, maximum and average."""
    keys: tuple[str, ...]
    """Integer columns with a sum of values modulo `prime`."""
    queries: tuple[str, ...]
    fields: tuple[Column, ...]
    """``cell``, ``rows``, ``KEY:sum`` of each key; ``COLUMN:nulls``, ``:min``, ``:max``, ``:avg`` of each column."""
    seconds: float = 0.0
    rows: int | None = None
    """Rows of the table in all cells."""
    sha256: str | None = None
    """Of the uncompressed rows of the ``.csv.gz``."""
    cell_count: int | None = None
    """Rows of the ``.csv.gz``: one a cell."""
    error: Failure | None = None

    @property
    def name(self) -> str:
        """``SCHEMA.TABLE``."""
        return f"{self.schema}.{self.table}"


def answer_digest(lang: str, query: str) -> str:
    """Return the second half of an answer's id: 8 hexadecimal digits that belong to the query alone."""
    return hashlib.sha256((lang + query).encode()).hexdigest()[:8]


def expected_rows(record: Answer | Fingerprint) -> Expected:
    """Return what a record says of its rows; a record without a digest was made by hand, or before there was one."""
    if isinstance(record, Answer):
        is_known = record.sha256 is not None
        return Expected(record.rows, record.sha256, record.bytes if is_known else None)
    return Expected(record.cell_count, record.sha256)
