"""Frames between the service and its workers, over a stream socket.

A frame is one kind byte, a 4-byte big-endian length, and that many bytes:

``Q``  parent to worker: a query (JSON of `EngineQuery`)
``C``  parent to worker: cancel the running query (empty)
``R``  worker to parent: ready for a query (JSON: pid, versions)
``H``  worker to parent: head, before any data (JSON: overflow true/false, or null when not yet known)
``D``  worker to parent: final bytes of the result
``E``  worker to parent: the end (JSON: outcome, or an error as in `CatalogServiceError.to_json`)

After ``E`` the worker is free for the next query. End of file without ``E`` means that it crashed.
"""

import json
import struct
from dataclasses import asdict
from typing import Any, Final

from .query import EngineQuery, Outcome, ResultFormat
from .schema import Column, DataType

__all__ = [
    "CANCEL",
    "DATA",
    "END",
    "HEAD",
    "HEADER_SIZE",
    "MAX_FRAME_BYTES",
    "QUERY",
    "READY",
    "decode_header",
    "decode_outcome",
    "decode_query",
    "encode_frame",
    "encode_json_frame",
    "encode_outcome",
    "encode_query",
]

QUERY: Final = b"Q"
CANCEL: Final = b"C"
READY: Final = b"R"
HEAD: Final = b"H"
DATA: Final = b"D"
END: Final = b"E"

HEADER_SIZE: Final = 5
MAX_FRAME_BYTES: Final = 1 << 20
"""Data frames are at most this long, so that the parent never holds more of a result."""

_HEADER: Final = struct.Struct(">cI")


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


def encode_query(query: EngineQuery) -> bytes:
    """Return the payload of a ``Q`` frame."""
    body = asdict(query)
    body["format"] = query.format.value
    for column, described in zip(query.columns, body["columns"], strict=True):
        described["datatype"] = column.datatype.value
    return json.dumps(body).encode()


def decode_query(payload: bytes) -> EngineQuery:
    """Return the query of a ``Q`` frame's payload."""
    body: dict[str, Any] = json.loads(payload)
    columns = tuple(Column(**{**c, "datatype": DataType(c["datatype"])}) for c in body.pop("columns"))
    position = body.pop("position")
    return EngineQuery(
        **{**body, "format": ResultFormat(body["format"])},
        columns=columns,
        position=None if position is None else (position[0], position[1]),
    )


def encode_outcome(outcome: Outcome) -> dict[str, Any]:
    """Return the JSON body of an ``E`` frame for a query that ended well."""
    return {"outcome": asdict(outcome)}


def decode_outcome(body: dict[str, Any]) -> Outcome:
    """Return the outcome that `encode_outcome` described."""
    return Outcome(**body["outcome"])
