"""The rows of one query on their way from an engine, through a writer, into frames. Runs in a worker."""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Final, Protocol

import pyarrow as pa

from .engines.base import BatchStream
from .models import frames
from .models.query import EngineQuery
from .models.schema import Column, DataType
from .writers.base import MeasuringWriter, ResultDescription, ResultWriter, Sample
from .writers.columns import conform, result_schema
from .writers.gzip import PIECE_BYTES, GzipStream
from .writers.select import create_writer
from .writers.sink import Sink

__all__ = ["Delivery", "FrameSender", "Sender", "SpoolError", "batch_rows"]

_MOST_BATCH_ROWS: Final = 65_536
_LEAST_BATCH_ROWS: Final = 2_048
"""DuckDB's own unit."""
_BATCH_BYTES: Final = 32 << 20
"""A batch is encoded in one piece, and several copies of it exist meanwhile."""
_SPOOL_IN_MEMORY_BYTES: Final = 1 << 20
_FLUSH_BYTES: Final = 1 << 18


class SpoolError(Exception):
    """The spool file of a result could not be written."""


def batch_rows(columns: tuple[Column, ...]) -> int:
    """Return how many rows to ask for at a time, so that wide rows come in smaller batches."""
    row_bytes = sum(64 if c.is_array or c.datatype in {DataType.TEXT, DataType.POLYGON} else 8 for c in columns)
    return max(_LEAST_BATCH_ROWS, min(_MOST_BATCH_ROWS, _BATCH_BYTES // max(1, row_bytes)))


class Sender(Protocol):
    """Where the final bytes of a result go."""

    @property
    def data_bytes(self) -> int:
        """Bytes of the result so far."""

    def head(self, *, overflow: bool | None) -> None:
        """Tell that the result begins, and whether it is cut if that is known."""

    def data(self, content: bytes) -> None:
        """Take the next bytes of the result."""

    def flush(self) -> None:
        """Hand on what waits."""


class FrameSender:
    """Writes frames to the parent; small ones wait for `flush`, so that a small result is one write.

    Parameters
    ----------
    write
        Writes all of the bytes it gets, such as `socket.socket.sendall`.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._pending: list[bytes | memoryview] = []
        self._pending_bytes = 0
        self.data_bytes = 0
        """Bytes of data frames since `reset`."""

    def reset(self) -> None:
        """Begin another query."""
        self.data_bytes = 0

    def head(self, *, overflow: bool | None) -> None:
        """Send the head of a result."""
        self._add(frames.encode_json_frame(frames.HEAD, {"overflow": overflow}))

    def data(self, content: bytes) -> None:
        """Send final bytes of a result, in frames of bounded size."""
        view = memoryview(content)
        for start in range(0, len(view), frames.MAX_FRAME_BYTES):
            piece = view[start : start + frames.MAX_FRAME_BYTES]
            self._add(frames.encode_header(frames.DATA, len(piece)))
            self._add(piece)
        self.data_bytes += len(view)

    def frame(self, kind: bytes, payload: bytes) -> None:
        """Send any other frame, and all that waits before it."""
        self._add(frames.encode_frame(kind, payload))
        self.flush()

    def flush(self) -> None:
        """Write what waits; blocks while the parent does not read."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if pending:
            self._write(b"".join(pending))

    def _add(self, content: bytes | memoryview) -> None:
        self._pending.append(content)
        self._pending_bytes += len(content)
        if self._pending_bytes >= _FLUSH_BYTES:
            self.flush()


class Delivery:
    """Delivers the result of one query.

    Parameters
    ----------
    query
        What was asked.
    sender
        Where the result goes.
    spool_directory
        For formats that cannot mark an overflow at their end: their result is written there first, so that the head,
        which precedes it, can tell. For formats that measure all rows before they write the first, the rows.
    """

    def __init__(self, query: EngineQuery, sender: Sender, spool_directory: str) -> None:
        self._query = query
        self._sender = sender
        self._spool_directory = spool_directory
        self._writer: ResultWriter | None = None
        self._head_sent = False
        self._waited_s = 0.0
        """How long the last piece took to send."""
        self._gzip = GzipStream() if query.gzip else None
        self.rows = 0
        """Rows delivered so far."""
        self.overflow = False
        """Whether rows beyond MAXREC were cut."""

    def run(self, stream: BatchStream) -> None:
        """Send head and data. The head leaves only after the first rows were encoded, so early errors need no body.

        Raises
        ------
        CatalogServiceError, QueryCancelledError
            As the engine or the writer raise them; see `fail`.
        SpoolError
            If the spool's disk is full or its limit is reached.
        """
        schema = result_schema(self._query.columns, stream.schema)
        batches = (conform(piece, schema) for batch in self._cut(stream) for piece in _pieces(batch))
        first, complete = _peek(batches, batch_rows(self._query.columns))
        sample = Sample(schema=schema, batches=first, complete=complete, overflow=self.overflow if complete else None)
        writer = create_writer(self._query.format, _describe(self._query), sample)
        if isinstance(writer, MeasuringWriter):
            self._measure(writer, schema, itertools.chain(first, batches))
            return
        self._writer = writer
        chunks = self._encode(self._writer, itertools.chain(first, batches))
        # nobody reads the head of a file before its end is written
        if self._writer.marks_overflow or self._query.target is not None:
            self._send(chunks, overflow=sample.overflow, is_small=complete)
        else:
            self._spool(chunks)

    def fail(self, message: str) -> bool:
        """End the document with an error if it has begun; return whether what was sent is a whole document."""
        if not self._head_sent or self._writer is None:
            return False
        ending = self._writer.failure(message)
        if ending is None:
            return False
        self._send([ending], overflow=None, is_small=True)
        return True

    def _cut(self, stream: BatchStream) -> Iterator[pa.RecordBatch]:
        """Yield at most MAXREC rows, and none after the most bytes of a file."""
        for batch in stream:
            if self._query.max_bytes is not None and self._sender.data_bytes >= self._query.max_bytes:
                self.overflow = True
                return
            room = self._query.max_rows - self.rows
            kept = batch if batch.num_rows <= room else batch.slice(0, room)
            self.rows += kept.num_rows
            if kept.num_rows:
                yield kept
            if kept is not batch:
                self.overflow = True
                return

    def _encode(self, writer: ResultWriter, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
        start = writer.header()
        for batch in batches:
            yield start + writer.rows(batch)
            start = b""
        yield start + writer.footer(overflow=self.overflow, rows=self.rows)

    def _send(self, chunks: Iterable[bytes], *, overflow: bool | None, is_small: bool) -> None:
        for chunk in chunks:
            if not self._head_sent:
                self._sender.head(overflow=overflow)
                self._head_sent = True
            for piece in [chunk] if self._gzip is None else self._gzipped(self._gzip, chunk):
                started = time.perf_counter()
                self._sender.data(piece)
                if not is_small:
                    self._sender.flush()
                self._waited_s = time.perf_counter() - started
        if self._gzip is not None:
            self._sender.data(self._gzip.end())

    def _gzipped(self, stream: GzipStream, chunk: bytes) -> Iterator[bytes]:
        view = memoryview(chunk)
        for start in range(0, len(view), PIECE_BYTES):
            yield stream.encode(view[start : start + PIECE_BYTES], self._waited_s)

    def _spool(self, chunks: Iterator[bytes]) -> None:
        with self._open_spool() as spool:
            for chunk in chunks:
                _write(spool, chunk)
            spool.seek(0)
            pieces = iter(lambda: spool.read(frames.MAX_FRAME_BYTES), b"")
            self._send(pieces, overflow=self.overflow, is_small=False)

    def _measure(self, writer: MeasuringWriter, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Keep all batches on disk until the writer has seen them, and send what it makes of them then."""
        with self._open_spool() as spool:
            sink = Sink()
            with pa.ipc.new_stream(sink, schema) as kept:
                for batch in batches:
                    writer.measure(batch)
                    kept.write_batch(batch)
                    _write(spool, sink.take())
            _write(spool, sink.take())

            def again() -> Iterator[pa.RecordBatch]:
                spool.seek(0)
                yield from pa.ipc.open_stream(spool)

            chunks = writer.document(again, overflow=self.overflow, rows=self.rows)
            self._send(chunks, overflow=self.overflow, is_small=False)

    def _open_spool(self) -> "tempfile.SpooledTemporaryFile[bytes]":
        return tempfile.SpooledTemporaryFile(_SPOOL_IN_MEMORY_BYTES, dir=self._spool_directory)


def _write(spool: IO[bytes], content: bytes) -> None:
    try:
        spool.write(content)
    except OSError as error:
        raise SpoolError(str(error)) from error


def _peek(batches: Iterator[pa.RecordBatch], full: int) -> tuple[tuple[pa.RecordBatch, ...], bool]:
    """Return (the first batches, `full` rows or `_BATCH_BYTES` or a little more, whether they are all)."""
    first, rows, size = list[pa.RecordBatch](), 0, 0
    for batch in batches:
        first.append(batch)
        rows += batch.num_rows
        size += _size_bytes(batch)
        if rows >= full or size >= _BATCH_BYTES:
            return tuple(first), False
    return tuple(first), True


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Split a batch of huge values."""
    if _size_bytes(batch) <= _BATCH_BYTES or batch.num_rows < 2:
        yield batch
        return
    middle = batch.num_rows // 2
    yield from _pieces(batch.slice(0, middle))
    yield from _pieces(batch.slice(middle))


def _size_bytes(batch: pa.RecordBatch) -> int:
    """Return the size of a batch, or that of what it is a slice of if that is small: quicker found."""
    size: int = batch.get_total_buffer_size()
    return size if size <= _BATCH_BYTES else batch.nbytes


def _describe(query: EngineQuery) -> ResultDescription:
    return ResultDescription(columns=query.columns, infos=query.infos, position=query.position)
