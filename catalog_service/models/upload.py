"""Uploaded tables: what a worker is asked to read, and what it found."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from .schema import Column, DataType

__all__ = ["ROW_NUMBER", "UPLOAD_SCHEMA", "UploadCaps", "UploadQuery", "UploadedTable"]

UPLOAD_SCHEMA: Final = "TAP_UPLOAD"
"""Schema of uploaded tables (TAP 1.1 section 2.7.7)."""

ROW_NUMBER: Final = Column(name="_uploaded_row", datatype=DataType.LONG, stored_name="_row")
"""Number of an uploaded row, from 0; in the file, but not among the columns of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadCaps:
    """How large one uploaded table may be."""

    inflated_bytes: int = 500_000_000
    """Of its content, unpacked."""
    rows: int = 1_000_000
    columns: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadQuery:
    """A table to read, given to a worker as a query is."""

    query_id: str
    name: str
    source: str
    """Path of the bytes as received."""
    target: str
    """Path of the Parquet file to write."""
    content_type: str | None
    caps: UploadCaps
    timeout_s: float
    """Time limit of the query that the table belongs to, in seconds, from the arrival of the request."""
    spent_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return a JSON body for `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(body: dict[str, Any]) -> "UploadQuery":
        """Return the request that `to_json` described."""
        return UploadQuery(**{**body, "caps": UploadCaps(**body["caps"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedTable:
    """A table that a worker read and wrote as Parquet."""

    name: str
    path: str
    """Of the Parquet file."""
    columns: tuple[Column, ...]
    rows: int
    size_bytes: int

    def to_json(self) -> bytes:
        """Return a JSON text for `from_json`."""
        body = asdict(self)
        for column, described in zip(self.columns, body["columns"], strict=True):
            described["datatype"] = column.datatype.value
        return json.dumps(body).encode()

    @staticmethod
    def from_json(text: bytes) -> "UploadedTable":
        """Return the table that `to_json` described."""
        body = json.loads(text)
        columns = tuple(Column(**{**c, "datatype": DataType(c["datatype"])}) for c in body.pop("columns"))
        return UploadedTable(**body, columns=columns)
