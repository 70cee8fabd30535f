"""DuckDB, locked down; the only module of the service that imports it.

Written for DuckDB 2.0, whose traps shape it: `execute()` followed by an Arrow method holds the whole result in memory,
only `sql().to_arrow_reader()` streams; time limits belong to one cursor and are not inherited; a time limit and an
interrupt raise the same class.
"""

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

import duckdb
import pyarrow as pa

from catalog_service.exceptions import CatalogServiceError, QueryRefusedError
from catalog_service.models.query import PARTIAL_ROWS, EngineQuery

from .base import Progress, QueryCancelledError, WorkerConfig, unnoticed
from .errors import is_fatal, translate_error
from .stamps import check_stamps

__all__ = ["DuckDBEngine", "DuckDBStream"]

_SETTABLE: Final = ("max_execution_time", "parquet_metadata_cache")
"""What stays settable after the lock, per cursor and by us alone: SET never comes from users."""


_FEW_ROWS: Final = 2048
"""So many rows are fetched at once: one unit of DuckDB's."""

_FAILURES: Final = (duckdb.Error, pa.ArrowException, OSError, MemoryError)
"""What DuckDB and Arrow raise."""


class DuckDBStream:
    """The rows of one running query: of one statement, or of several, one after another."""

    def __init__(
        self,
        engine: "DuckDBEngine",
        cursor: duckdb.DuckDBPyConnection,
        readers: Iterator[pa.RecordBatchReader],
        query: EngineQuery,
    ) -> None:
        self._engine = engine
        self._cursor = cursor
        self._reader = next(readers)
        self._later = readers
        self._query = query

    @property
    def schema(self) -> pa.Schema:
        """Columns as DuckDB delivers them."""
        schema: pa.Schema = self._reader.schema
        return schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        left = self._query.most_rows
        while left is None or left > 0:
            batch = self._next()
            if batch is None:
                return
            kept = batch if left is None else batch.slice(0, left)
            left = None if left is None else left - kept.num_rows
            yield kept

    def _next(self) -> pa.RecordBatch | None:
        """Return the next batch of rows, None after the last."""
        while True:
            try:
                self._engine.check_cancelled()
                return self._reader.read_next_batch()
            except StopIteration:
                pass
            except _FAILURES as error:
                raise self._engine.translate(error, self._query) from error
            try:
                self._reader = next(self._later)
            except StopIteration:
                return None
            except _FAILURES as error:
                raise self._engine.translate(error, self._query) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._engine.finish(self._cursor)


class DuckDBEngine:
    """One in-memory DuckDB instance that can read the allowed directories, write spills, and nothing else.

    Parameters
    ----------
    config
        Resources and rights.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._running: duckdb.DuckDBPyConnection | None = None
        self._cancelled = False
        self._connection = _connect(config)
        self.is_broken = False
        """Whether an internal failure has left the instance unusable."""

    def stream(
        self, query: EngineQuery, *, timeout_s: float, batch_rows: int, progress: Progress = unnoticed
    ) -> DuckDBStream:
        """Start a query, as `Engine.stream` describes.

        Raises
        ------
        QueryRefusedError
            If the text is anything but exactly one SELECT.
        StorageError
            If an adopted file has changed since it was adopted.
        """
        check_stamps(query)
        cursor = self._connection.cursor()
        with self._lock:
            self._running, self._cancelled = cursor, False
        run = _Run(cursor, query, time.monotonic() + timeout_s, batch_rows, progress)
        try:
            return DuckDBStream(self, cursor, run.readers(), query)
        except CatalogServiceError:
            self.finish(cursor)
            raise
        except _FAILURES as error:
            translated = self.translate(error, query)
            self.finish(cursor)
            raise translated from error

    def cancel(self) -> None:
        """Interrupt the running query, if any. Repeat it: an interrupt before DuckDB begins is lost."""
        with self._lock:
            if self._running is not None:
                self._cancelled = True
                self._running.interrupt()

    def check_cancelled(self) -> None:
        """Raise `QueryCancelledError` if `cancel` was called for the running query."""
        if self._cancelled:
            raise QueryCancelledError

    def translate(self, error: Exception, query: EngineQuery) -> Exception:
        """Return what to raise for an exception of DuckDB or Arrow."""
        self.is_broken = self.is_broken or is_fatal(error)
        if self._cancelled:
            return QueryCancelledError()
        return translate_error(error, query, self._config)

    def finish(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """End a query and close its cursor; what it has not delivered is dropped."""
        with self._lock:
            self._running = None
        with suppress(duckdb.Error):
            cursor.interrupt()
            cursor.close()

    def close(self) -> None:
        """Close the instance."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class _Run:
    """The statements of one query."""

    cursor: duckdb.DuckDBPyConnection
    query: EngineQuery
    deadline: float
    batch_rows: int
    progress: Progress

    def readers(self) -> Iterator[pa.RecordBatchReader]:
        """Yield the rows of each statement whose rows are the result; run before it what it needs."""
        batches, total = self.query.batches, len(self.query.batches)
        few = self._few() if self.query.expects_few and not batches else None
        if few is not None:
            yield few
            return
        if batches and not self.query.sql:
            for done, sql in enumerate(batches):
                self.progress(done, total)
                yield self._reader(sql)
            self.progress(total, total)
            return
        for done, sql in enumerate(batches):
            self.progress(done, total)
            _single_select(sql)
            self._set_up()
            into = f"INSERT INTO {PARTIAL_ROWS}" if done else f"CREATE TEMP TABLE {PARTIAL_ROWS} AS"
            self.cursor.execute(f"{into} {sql}")
        if batches:
            self.progress(total, total)
        yield self._reader(self.query.sql)

    def _reader(self, sql: str) -> pa.RecordBatchReader:
        statement = _single_select(sql)
        self._set_up()
        return self.cursor.sql(statement).to_arrow_reader(self.batch_rows)

    def _few(self) -> pa.RecordBatchReader | None:
        """Return all rows if they are few, else None: a stream prepares its statement twice, which takes a ms."""
        statement = _single_select(f"SELECT * FROM ({self.query.sql}\n) LIMIT {_FEW_ROWS + 1}")  # noqa: S608  # our own
        self._set_up()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the rows are copied once more
            rows: pa.Table = self.cursor.execute(statement).to_arrow_table()
        return rows.to_reader(self.batch_rows) if rows.num_rows <= _FEW_ROWS else None

    def _set_up(self) -> None:
        """Have the next statement end with the query's time, and use the footers that are kept, if it may."""
        left_ms = round((self.deadline - time.monotonic()) * 1000)
        footers = "SET SESSION parquet_metadata_cache = true;" if self.query.keeps_footers else ""
        self.cursor.execute(f"{footers} SET SESSION max_execution_time = {max(1, left_ms)}")


def _connect(config: WorkerConfig) -> duckdb.DuckDBPyConnection:
    """Open and lock an instance. The order matters: each step would be refused after the next."""
    connection = duckdb.connect(
        config={
            "threads": config.threads,
            "memory_limit": f"{config.memory_limit_bytes}B",
            "temp_directory": config.temp_directory,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    # given to connect(), this limit is shown but not obeyed
    connection.execute(f"SET max_temp_directory_size = '{config.max_temp_bytes}B'")
    connection.execute(f"SET allowed_directories = {_literals(config.allowed_directories)}")
    connection.execute("SET enable_external_access = false")
    connection.execute(f"SET allowed_configs = {_literals(_SETTABLE)}")
    connection.execute("SET lock_configuration = true")
    return connection


def _literals(texts: tuple[str, ...]) -> str:
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"


def _single_select(sql: str) -> duckdb.Statement:
    """Return the one SELECT that the text consists of: a net below the generator, which emits nothing else."""
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryRefusedError("Only a single SELECT can be run.")
    return statements[0]
