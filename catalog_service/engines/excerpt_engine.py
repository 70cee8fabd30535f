"""An engine that reads few rows itself, and leaves all else to another one."""

import time
from collections.abc import Iterator
from typing import Self

import pyarrow as pa

from catalog_service.models.query import EngineQuery

from .base import BatchStream, Engine, Progress, QueryCancelledError, SqlNeededError, unnoticed
from .errors import storage_error, timeout_error
from .excerpt_files import DamagedPageError
from .excerpts import ExcerptReader

__all__ = ["ExcerptEngine"]


class ExcerptEngine:
    """Answers queries that are excerpts, as far as `ExcerptReader` can.

    Parameters
    ----------
    engine
        Runs the SQL of all others.
    kept_bytes
        As `ExcerptReader` has them.
    """

    def __init__(self, engine: Engine, kept_bytes: int) -> None:
        self._engine = engine
        self._reader = ExcerptReader(kept_bytes)
        self._cancelled = False

    @property
    def is_broken(self) -> bool:
        """Whether the other engine is."""
        return self._engine.is_broken

    def stream(
        self, query: EngineQuery, *, timeout_s: float, batch_rows: int, progress: Progress = unnoticed
    ) -> BatchStream:
        """Start a query, as `Engine.stream` describes.

        Raises
        ------
        StorageError
            If a page of a file is damaged.
        SqlNeededError
            If its excerpt cannot be read and it has no SQL.
        """
        self._cancelled = False
        deadline = time.monotonic() + timeout_s
        try:
            found = None if query.excerpt is None else self._reader.read(query.excerpt)
        except DamagedPageError as error:
            raise storage_error(query) from error
        if found is not None:
            return _Rows(self, query, found, deadline, batch_rows)
        if query.excerpt is not None and not query.sql:
            raise SqlNeededError
        left_s = deadline - time.monotonic()
        return self._engine.stream(query, timeout_s=left_s, batch_rows=batch_rows, progress=progress)

    def check(self, query: EngineQuery, deadline: float) -> None:
        """Raise if the query was cancelled, or its time is up."""
        if self._cancelled:
            raise QueryCancelledError
        if time.monotonic() > deadline:
            raise timeout_error(query)

    def cancel(self) -> None:
        """Interrupt the running query."""
        self._cancelled = True
        self._engine.cancel()

    def close(self) -> None:
        """Free everything."""
        self._engine.close()


class _Rows:
    """Rows that were read."""

    def __init__(
        self,
        engine: ExcerptEngine,
        query: EngineQuery,
        rows: tuple[pa.Schema, list[pa.RecordBatch]],
        deadline: float,
        batch_rows: int,
    ) -> None:
        self._engine = engine
        self._query = query
        self._deadline = deadline
        self.schema, self._batches = rows
        """Columns as they are stored."""
        self._batch_rows = batch_rows

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            for start in range(0, batch.num_rows, self._batch_rows):
                self._engine.check(self._query, self._deadline)
                yield batch.slice(start, self._batch_rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._batches.clear()
