"""Frames between the service and its workers, over a stream socket.

A frame is one kind byte, a 4-byte big-endian length, and that many bytes:

``S``  parent to worker, once: set up (JSON of the worker's configuration)
``Q``  parent to worker: a query (JSON of `EngineQuery` and the seconds left of its time limit)
``U``  parent to worker: an uploaded table to read (JSON of `UploadQuery`); its data frames are an `UploadedTable`
``C``  parent to worker: cancel the running query (empty, or JSON of the error with which its result ends)
``R``  worker to parent, once: ready for a query (JSON: pid)
``H``  worker to parent: head, before any data (JSON: overflow true/false, or null when not yet known)
``D``  worker to parent: final bytes of the result
``P``  worker to parent: progress of a query that is run in batches (JSON: done, total)
``F``  worker to parent: a part of a result is on the disk (JSON of `ResultPart`)
``E``  worker to parent: the end (JSON of `End`)

After ``E`` the worker is free for the next query. End of file without ``E`` means that it crashed.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from catalog_service.exceptions import CatalogServiceError

from .excerpt import ConeTest, Excerpt, IdTest
from .query import EngineQuery, FileStamp, Outcome, ResultFormat
from .schema import Column, DataType
from .upload import UploadQuery

__all__ = [
    "CANCEL",
    "DATA",
    "END",
    "HEAD",
    "HEADER_SIZE",
    "MAX_FRAME_BYTES",
    "PART",
    "PROGRESS",
    "QUERY",
    "READY",
    "SETUP",
    "UPLOAD",
    "End",
    "Task",
    "decode_end",
    "decode_header",
    "decode_query",
    "decode_upload",
    "encode_end",
    "encode_frame",
    "encode_header",
    "encode_json_frame",
    "encode_query",
    "encode_task",
]

SETUP: Final = b"S"
QUERY: Final = b"Q"
UPLOAD: Final = b"U"
CANCEL: Final = b"C"
READY: Final = b"R"
HEAD: Final = b"H"
DATA: Final = b"D"
PROGRESS: Final = b"P"
PART: Final = b"F"
END: Final = b"E"

HEADER_SIZE: Final = 5
MAX_FRAME_BYTES: Final = 1 << 20
"""Data frames are at most this long, so that the parent never holds more of a result."""

_HEADER: Final = struct.Struct(">cI")

Task = EngineQuery | UploadQuery
"""What a worker is given to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a query ended in the worker: exactly one of `outcome`, `error`, `cancelled` and `needs_sql` is set."""

    outcome: Outcome | None = None
    error: CatalogServiceError | None = None
    cancelled: bool = False
    needs_sql: bool = False
    """Whether it is to be sent again with SQL, since its excerpt cannot be read."""
    body_complete: bool = False
    """Whether the bytes sent are a whole document all the same (a VOTable that ends with INFO ERROR)."""
    rss_bytes: int = 0
    """Resident memory of the worker now."""
    retire: bool = False
    """Whether the worker should not be given another query."""


def encode_header(kind: bytes, length: int) -> bytes:
    """Return the header of a frame with a payload of `length` bytes."""
    return _HEADER.pack(kind, length)


def encode_frame(kind: bytes, payload: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    return _HEADER.pack(kind, len(payload)) + payload


def encode_json_frame(kind: bytes, body: object) -> bytes:
    """Return a frame whose payload is `body` as JSON."""
    return encode_frame(kind, json.dumps(body).encode())


def decode_header(header: bytes) -> tuple[bytes, int]:
    """Return (kind, payload length) of a frame header of `HEADER_SIZE` bytes."""
    kind, length = _HEADER.unpack(header)
    return kind, length


def encode_query(query: EngineQuery, *, remaining_s: float) -> bytes:
    """Return the payload of a ``Q`` frame; `remaining_s` is what is left of the query's time limit."""
    # orjson writes dataclasses and enumerations itself, in a twentieth of the time of `asdict`; named tuples it refuses
    body = {name: getattr(query, name) for name in EngineQuery.__slots__}
    columns = orjson.dumps(body.pop("columns")).decode()  # a text of their own, by which the worker knows them again
    return orjson.dumps({"query": body, "columns": columns, "remaining_s": remaining_s}, default=_plain)


def _plain(value: object) -> object:
    """Return what orjson does not write itself as something that it does."""
    if isinstance(value, FileStamp):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def encode_task(task: Task, *, remaining_s: float) -> bytes:
    """Return the frame that gives a worker something to do."""
    if isinstance(task, UploadQuery):
        return encode_json_frame(UPLOAD, task.to_json())
    return encode_frame(QUERY, encode_query(task, remaining_s=remaining_s))


def decode_upload(payload: bytes) -> UploadQuery:
    """Return the request of a ``U`` frame's payload."""
    return UploadQuery.from_json(json.loads(payload))


def decode_query(payload: bytes) -> tuple[EngineQuery, float]:
    """Return (query, seconds left of its time limit) of a ``Q`` frame's payload."""
    frame: dict[str, Any] = orjson.loads(payload)
    body: dict[str, Any] = frame["query"]
    position, stamps, batches = body.pop("position"), body.pop("stamps"), body.pop("batches")
    excerpt = body.pop("excerpt")
    query = EngineQuery(
        **{**body, "format": ResultFormat(body["format"])},
        columns=_columns(frame["columns"]),
        batches=tuple(batches),
        excerpt=None if excerpt is None else _excerpt(excerpt),
        position=None if position is None else (position[0], position[1]),
        stamps=tuple(FileStamp(*stamp) for stamp in stamps),
    )
    return query, float(frame["remaining_s"])


@lru_cache(maxsize=16)
def _columns(text: str) -> tuple[Column, ...]:
    """Return columns by their JSON: queries about the same table, one after another, have the same."""
    return tuple(Column(**{**c, "datatype": DataType(c["datatype"])}) for c in orjson.loads(text))


def _excerpt(body: dict[str, Any]) -> Excerpt:
    return Excerpt(
        files=tuple(body["files"]),
        columns=tuple(body["columns"]),
        index=body["index"],
        ranges=tuple((start, stop) for start, stop in body["ranges"]),
        rows=body["rows"],
        cones=tuple(ConeTest(**cone) for cone in body["cones"]),
        ids=tuple(IdTest(test["column"], tuple(test["ids"])) for test in body["ids"]),
    )


def encode_end(end: End) -> bytes:
    """Return the payload of an ``E`` frame."""
    body = {
        "outcome": None if end.outcome is None else asdict(end.outcome),
        "error": None if end.error is None else end.error.to_json(),
        "cancelled": end.cancelled,
        "needs_sql": end.needs_sql,
        "body_complete": end.body_complete,
        "rss_bytes": end.rss_bytes,
        "retire": end.retire,
    }
    return json.dumps(body).encode()


def decode_end(payload: bytes) -> End:
    """Return the end that `encode_end` described."""
    body: dict[str, Any] = json.loads(payload)
    outcome, error = body.pop("outcome"), body.pop("error")
    return End(
        outcome=None if outcome is None else Outcome(**outcome),
        error=None if error is None else CatalogServiceError.from_json(error),
        **body,
    )
