"""Results written as files: the formats that the command line offers.

Arrow, Parquet and JSON are written from the Arrow stream, which proves by itself that it is complete. CSV, TSV, FITS
and VOTable are the service's own bytes: a VOTable tells at its end whether the result was cut, the others by a header.
"""

import base64
import datetime as dt
import html
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..exceptions import ServerError
from ..models.wire import OVERFLOW_HEADER
from .stream import ResultStream
from .transport import Answer

__all__ = ["FileFormat", "open_output", "write_answer"]

_COPY_BYTES: Final = 1 << 18
_TAIL_BYTES: Final = 1 << 14
"""The end of a VOTable, with its closing INFO elements, is shorter than this."""

_STATUS: Final = re.compile(rb'<INFO\b[^>]*\bname="QUERY_STATUS"[^>]*\bvalue="(OVERFLOW|ERROR)"[^>]*>([^<]*)')


class FileFormat(Enum):
    """Formats of result files."""

    ARROW = "arrow"
    CSV = "csv"
    FITS = "fits"
    JSON = "json"
    PARQUET = "parquet"
    TSV = "tsv"
    VOTABLE = "votable"

    @property
    def requested(self) -> str:
        """The format that the service is asked for."""
        return "arrow" if self in {FileFormat.ARROW, FileFormat.JSON, FileFormat.PARQUET} else self.value


@contextmanager
def open_output(path: Path | None) -> Iterator[BinaryIO]:
    """Open a file, or standard output if `path` is None, for one result.

    The file appears under its name only when all was written, so that a part is never taken for the whole.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_answer(answer: Answer, file_format: FileFormat, sink: BinaryIO) -> bool:
    """Copy a result of the format `file_format.requested` into `sink` as it arrives.

    Returns
    -------
    overflow
        Whether the result was cut at MAXREC.

    Raises
    ------
    TransferAbortedError
        If it ended before it was complete; what `sink` holds must then be thrown away.
    ServerError
        If the service failed while sending it.
    """
    if file_format in {FileFormat.CSV, FileFormat.FITS, FileFormat.TSV}:
        _copy(answer, sink)
        return answer.headers.get(OVERFLOW_HEADER) == "true"
    if file_format is FileFormat.VOTABLE:
        return _votable_overflow(answer, _copy(answer, sink))
    with ResultStream(answer) as stream:
        if file_format is FileFormat.JSON:
            _write_json(stream, sink)
        elif file_format is FileFormat.PARQUET:
            _write_parquet(stream, sink)
        else:
            _write_arrow(stream, sink)
        return bool(stream.overflow)


def _copy(answer: Answer, sink: BinaryIO) -> bytes:
    """Copy all bytes, and return the last ones."""
    tail = b""
    with answer:
        while block := answer.read(_COPY_BYTES):
            sink.write(block)
            tail = (tail + block)[-_TAIL_BYTES:]
        answer.finish()
    return tail


def _votable_overflow(answer: Answer, tail: bytes) -> bool:
    if not tail.rstrip().endswith(b"</VOTABLE>"):
        raise answer.aborted("the VOTable has no end")
    _, _, after_rows = tail.rpartition(b"</DATA>")
    status = _STATUS.search(after_rows)
    if status is not None and status[1] == b"ERROR":
        reason = html.unescape(status[2].decode(errors="replace")).strip()
        raise ServerError(f"The service failed while sending the result: {reason}")
    return status is not None


def _write_arrow(stream: ResultStream, sink: BinaryIO) -> None:
    with pa.ipc.new_stream(sink, stream.schema) as writer:
        rows = 0
        for batch in stream:
            writer.write_batch(batch)
            rows += batch.num_rows
        # The same closing mark as the service's, so that a reader can tell that the file is whole.
        end = {"rows": str(rows), "overflow": _flag(stream)}
        writer.write_batch(pa.RecordBatch.from_pylist([], schema=stream.schema), custom_metadata=end)


def _write_parquet(stream: ResultStream, sink: BinaryIO) -> None:
    with pq.ParquetWriter(sink, stream.schema, compression="zstd") as writer:
        for batch in stream:
            writer.write_batch(batch)
        writer.add_key_value_metadata({"overflow": _flag(stream)})


def _flag(stream: ResultStream) -> str:
    return "true" if stream.overflow else "false"


def _write_json(stream: ResultStream, sink: BinaryIO) -> None:
    """Write one array of objects, one line each. NaN and infinity, for which JSON has no words, become null."""
    separator = b"[\n"
    for batch in stream:
        for row in pa.RecordBatch.from_arrays([_json_ready(c) for c in batch.columns], batch.schema.names).to_pylist():
            sink.write(separator + json.dumps(row, default=_json_text, ensure_ascii=False).encode())
            separator = b",\n"
    sink.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def _json_ready(column: pa.Array) -> pa.Array:
    """Return floats as the doubles of their shortest text (float32 9.1 as 9.1, not 9.100000381), other types as is."""
    if not pa.types.is_floating(column.type):
        return column
    doubles = column if column.type == pa.float64() else pc.cast(pc.cast(column, pa.string()), pa.float64())
    return pc.if_else(pc.is_finite(doubles), doubles, pa.scalar(None, pa.float64()))


def _json_text(value: Any) -> str:
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
