"""What runs in a worker process: one query at a time, from SQL to the final bytes of its result.

Started by the pool as ``python -m catalog_service.worker FD``, where FD is one end of a socket pair; imported by nobody
else. The main thread runs queries and writes frames, a second one reads them, so that a cancellation is heard at any
time. `catalog_service.models.frames` describes the frames.
"""

import ctypes
import json
import os
import queue
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from partitioning.without_pandas import hide_pandas

from .delivery import Delivery, FrameSender, SpoolError, batch_rows
from .engines.base import BatchStream, Engine, QueryCancelledError, SqlNeededError, WorkerConfig
from .engines.confinement import confine
from .engines.duckdb import DuckDBEngine
from .engines.errors import memory_error, spill_error
from .engines.excerpt_engine import ExcerptEngine
from .engines.uploads.read import read_upload, too_large
from .exceptions import CatalogServiceError, ConfigurationError, ServerError, UnavailableError
from .models import frames
from .models.frames import End, Task
from .models.query import EngineQuery, Outcome, ResultFormat
from .models.schema import Column, DataType
from .models.upload import UploadQuery
from .result_file import FileSender, ResultFileError
from .result_parts import write_parts

__all__ = ["Worker", "main"]

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_OPEN_FILES: Final = 4096
_INTERRUPT_AGAIN_S: Final = 0.05
_LOGGED_SQL_CHARACTERS: Final = 10_000
_SELF_TEST_ROWS: Final = 100
_SELF_TEST_SORTED: Final = 100_000
"""Rows that take memory to sort; once is enough, since other formats differ in what follows."""
_SELF_TEST: Final = "SELECT i, i / 3 AS x, 'text ' || i AS s FROM range({}) t(i) ORDER BY hash(i) LIMIT 50000"
_SELF_TEST_COLUMNS: Final = (
    Column(name="i", datatype=DataType.LONG),
    Column(name="x", datatype=DataType.DOUBLE),
    Column(name="s", datatype=DataType.TEXT),
)


class Worker:
    """Serves the queries that arrive on a socket until it is closed."""

    def __init__(self, connection: socket.socket, engine: Engine, config: WorkerConfig) -> None:
        self._connection = connection
        self._engine = engine
        self._config = config
        self._sender = FrameSender(connection.sendall)
        self._queries: queue.SimpleQueue[tuple[Task, float]] = queue.SimpleQueue()
        self._stopped_by: CatalogServiceError | None = None
        """Why the query is to be cancelled, if somebody reads on."""
        self._idle = threading.Event()
        self._idle.set()

    def run(self) -> None:
        """Serve queries. Never returns: the process ends with its socket."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._sender.frame(frames.READY, json.dumps({"pid": os.getpid()}).encode())
        while True:
            task, remaining_s = self._queries.get()
            end = self._read(task) if isinstance(task, UploadQuery) else self._serve(task, remaining_s)
            self._idle.set()
            self._sender.frame(frames.END, frames.encode_end(end))
            del end  # an error holds the frames that it went through, and their data
            if isinstance(task, UploadQuery):
                pa.default_memory_pool().release_unused()

    def _serve(self, query: EngineQuery, remaining_s: float) -> End:
        started = time.monotonic()
        self._sender.reset()
        delivery = Delivery(query, self._sender, self._config.temp_directory)
        try:
            rows = batch_rows(query.columns)
            with self._engine.stream(query, timeout_s=remaining_s, batch_rows=rows, progress=self._progress) as stream:
                outcome = self._send(stream, delivery) if query.target is None else self._write(query, stream)
        except QueryCancelledError:
            stopped = self._stopped_by
            if stopped is None:
                return End(cancelled=True, rss_bytes=_rss_bytes())
            return End(error=stopped, body_complete=delivery.fail(str(stopped)), rss_bytes=_rss_bytes())
        except SqlNeededError:
            return End(needs_sql=True, rss_bytes=_rss_bytes())
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever happened costs this query, not the worker
            described = self._describe(error, query)
            return End(
                error=described,
                body_complete=delivery.fail(str(described)),
                rss_bytes=_rss_bytes(),
                retire=self._engine.is_broken,
            )
        return End(outcome=replace(outcome, seconds=time.monotonic() - started), rss_bytes=_rss_bytes())

    def _send(self, stream: BatchStream, delivery: Delivery) -> Outcome:
        delivery.run(stream)
        return Outcome(rows=delivery.rows, overflow=delivery.overflow, bytes_out=self._sender.data_bytes)

    def _write(self, query: EngineQuery, stream: BatchStream) -> Outcome:
        """Write the result to its file, or files."""
        if query.part_bytes is not None:
            written = write_parts(query, stream, self._sender, self._config.temp_directory)
            return Outcome(rows=written.rows, overflow=written.overflow, bytes_out=written.size_bytes)
        file = FileSender(self._sender, Path(str(query.target)))
        delivery = Delivery(query, file, self._config.temp_directory)
        delivery.run(stream)
        sha256 = file.finish()
        return Outcome(rows=delivery.rows, overflow=delivery.overflow, bytes_out=file.data_bytes, sha256=sha256)

    def _read(self, query: UploadQuery) -> End:
        """Read an uploaded table. It is not interrupted: one that takes too long costs the worker."""
        self._sender.reset()
        started = time.monotonic()
        try:
            table = read_upload(query)
        except Exception as error:  # noqa: BLE001 - as in `_serve`
            no_room = isinstance(error, MemoryError)
            cause: Exception = too_large(query) if no_room else error
            if isinstance(error, OSError):
                cause = spill_error(self._config)
            # address space that was torn into pieces is not had back
            return End(error=self._describe(cause, query), rss_bytes=_rss_bytes(), retire=no_room)
        self._sender.head(overflow=None)
        self._sender.data(table.to_json())
        return End(outcome=Outcome(rows=table.rows, seconds=time.monotonic() - started), rss_bytes=_rss_bytes())

    def _progress(self, done: int, total: int) -> None:
        self._sender.frame(frames.PROGRESS, json.dumps({"done": done, "total": total}).encode())

    def _describe(self, error: Exception, query: Task) -> CatalogServiceError:
        """Return what the user learns of an error; the log learns everything."""
        match error:
            case CatalogServiceError():
                described = error
            case MemoryError():
                described = memory_error(self._config)
            case SpoolError():
                described = spill_error(self._config)
            case ResultFileError():
                described = UnavailableError(
                    "There is no space for the result.", remedy="Ask for fewer rows or columns, or try again later."
                )
            case _:
                described = ServerError(f"The query failed for a reason that is our fault (query {query.query_id}).")
        described.query_id = query.query_id
        if isinstance(described, ServerError):
            detail = "".join(traceback.format_exception(error))
            _log("query_failed", query_id=query.query_id, code=described.code, detail=detail, sql=_told(query))
        return described

    def _listen(self) -> None:
        """Read frames. The end of the socket ends the process at once, whatever the main thread does.

        So does a frame that cannot be read, from a service of another version: a worker that does not listen any more
        would leave its query waiting for ever.
        """
        try:
            while True:
                kind, payload = _read_frame(self._connection)
                if kind == frames.QUERY:
                    self._stopped_by = None
                    self._idle.clear()
                    self._queries.put(frames.decode_query(payload))
                elif kind == frames.UPLOAD:
                    self._idle.clear()
                    self._queries.put((frames.decode_upload(payload), 0.0))
                elif kind == frames.CANCEL:
                    self._cancel(payload)
        except Exception:  # noqa: BLE001 - whatever it is, nobody listens from here on
            _log("worker_cannot_listen", detail=traceback.format_exc())
            os._exit(1)

    def _cancel(self, reason: bytes) -> None:
        """Interrupt until the query has ended: an interrupt just before DuckDB begins is lost.

        With a reason, which is an error, the result ends with that; otherwise nobody reads it any more.
        """
        self._stopped_by = CatalogServiceError.from_json(json.loads(reason)) if reason else None
        while not self._idle.is_set():
            self._engine.cancel()
            self._idle.wait(_INTERRUPT_AGAIN_S)


def _told(query: Task) -> str:
    """Return the beginning of what a query asks, for the log."""
    if isinstance(query, UploadQuery):
        return ""
    return (query.sql or next(iter(query.batches), str(query.excerpt)))[:_LOGGED_SQL_CHARACTERS]


def main() -> None:
    """Run a worker on the socket whose file descriptor is the first argument."""
    hide_pandas()
    connection = socket.socket(fileno=int(sys.argv[1]))
    _die_with_parent()
    _, payload = _read_frame(connection)
    config = WorkerConfig.from_json(json.loads(payload))
    try:
        _limit_resources(config)
        confine((config.temp_directory, *config.writable_directories))
        engine = ExcerptEngine(DuckDBEngine(config), config.cache_bytes)
        _self_test(engine, config)
    except Exception as error:  # noqa: BLE001 - the parent reports why its workers do not start
        end = End(error=ConfigurationError(f"a worker cannot start: {error}"))
        connection.sendall(frames.encode_frame(frames.END, frames.encode_end(end)))
        return
    try:
        Worker(connection, engine, config).run()
    except ConnectionError:
        os._exit(0)  # the parent is gone


def _die_with_parent() -> None:
    """Have the kernel kill this process with its parent. A parent that died before is seen as the socket's end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limit_resources(config: WorkerConfig) -> None:
    _lower_limit(resource.RLIMIT_AS, config.address_space_limit_bytes)
    _lower_limit(resource.RLIMIT_FSIZE, max(config.max_temp_bytes, config.max_result_bytes))
    _lower_limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower_limit(resource.RLIMIT_CORE, 0)
    os.nice(config.nice)
    pa.set_cpu_count(config.threads)


def _lower_limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (bounded, bounded))


def _self_test(engine: Engine, config: WorkerConfig) -> None:
    """Sort a little, in every format: an address space too tight, or a slow import, shows here and not to a user."""
    sender = FrameSender(len)
    for result_format in ResultFormat:
        query = EngineQuery(
            query_id="self-test",
            sql=_SELF_TEST.format(_SELF_TEST_SORTED if result_format is ResultFormat.VOTABLE else _SELF_TEST_ROWS),
            columns=_SELF_TEST_COLUMNS,
            format=result_format,
            max_rows=_SELF_TEST_ROWS,
            timeout_s=30,
        )
        with engine.stream(query, timeout_s=query.timeout_s, batch_rows=_SELF_TEST_ROWS) as stream:
            Delivery(query, sender, config.temp_directory).run(stream)


def _read_frame(connection: socket.socket) -> tuple[bytes, bytes]:
    kind, length = frames.decode_header(_read_exactly(connection, frames.HEADER_SIZE))
    return kind, _read_exactly(connection, length)


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        try:
            piece = connection.recv(size - len(content))
        except ConnectionError:
            piece = b""
        if not piece:
            os._exit(0)
        content += piece
    return bytes(content)


def _rss_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - once per query
        return int(statm.read().split()[1]) * resource.getpagesize()


def _log(event: str, **details: Any) -> None:
    """Write one line to the standard error, which is the service's own."""
    sys.stderr.write(json.dumps({"event": event, "pid": os.getpid(), **details}) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
