"""What an engine is, and what a worker process needs to know to be one."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

import pyarrow as pa

from catalog_service.models.query import EngineQuery

__all__ = [
    "BatchStream",
    "Engine",
    "OvertimeError",
    "Progress",
    "QueryCancelledError",
    "SqlNeededError",
    "WorkerConfig",
    "unnoticed",
]

_ADDRESS_SPACE_MARGIN = 2 << 30
"""Address space beyond DuckDB's memory limit: 2 threads need about 1 GB at rest, and a legal sort with a limit
of 400 MB was refused with 1.1 GB of margin but ran with 1.6 GB."""


class QueryCancelledError(Exception):
    """The query was cancelled by the one who asked for it; never shown to anybody."""


class OvertimeError(Exception):
    """The query takes longer than its pool has patience for, and should wait for another turn; never shown."""


class SqlNeededError(Exception):
    """The query came without SQL, and its excerpt cannot be read; never shown."""


class BatchStream(Protocol):
    """The rows of one running query. Iterating may raise any `CatalogServiceError`, or `QueryCancelledError`."""

    @property
    def schema(self) -> pa.Schema:
        """Columns as the engine delivers them."""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, batch by batch, as they become available."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *details: object) -> None: ...


Progress = Callable[[int, int], None]
"""Is told how many of how many batches of tiles are done."""


def unnoticed(_done: int, _total: int) -> None:
    """Take no notice of progress."""


class Engine(Protocol):
    """Runs one query at a time."""

    @property
    def is_broken(self) -> bool:
        """Whether an internal failure has left the engine unusable."""

    def stream(
        self, query: EngineQuery, *, timeout_s: float, batch_rows: int, progress: Progress = unnoticed
    ) -> BatchStream:
        """Start a query; leave the returned context to free what it holds.

        Parameters
        ----------
        query
            Its `sql` is one SELECT in the engine's dialect, its `timeout_s` the limit that messages name.
        timeout_s
            What is left of that limit; counts until the last row was taken.
        batch_rows
            Largest number of rows per batch.
        progress
            Called as batches of tiles are done.

        Raises
        ------
        CatalogServiceError
            If the query cannot start.
        SqlNeededError
            If it has no SQL and is to be sent again with it.
        QueryCancelledError
            If `cancel` was called meanwhile.
        """

    def cancel(self) -> None:
        """Interrupt the running query, if any. May be called from another thread, and repeatedly."""

    def close(self) -> None:
        """Free everything; the engine cannot be used afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """Resources and rights of one worker process."""

    allowed_directories: tuple[str, ...]
    """Absolute paths of the only directories whose files a query can read."""
    temp_directory: str
    """Directory for spills and spools; the pool makes one below it for each worker."""
    writable_directories: tuple[str, ...] = ()
    """Absolute paths of other directories in which it makes files: results of jobs, uploaded tables."""
    memory_limit_bytes: int = 1 << 30
    """DuckDB's memory limit."""
    max_temp_bytes: int = 10 << 30
    """Disk that spills, and the longest file that a spool, may take."""
    max_result_bytes: int = 0
    """The largest result that is written to a file."""
    threads: int = 2
    """DuckDB threads."""
    cache_bytes: int = 0
    """Decoded columns of released files that are kept for the next query, beyond the memory limit."""
    address_space_bytes: int | None = None
    """``RLIMIT_AS``; by default the memory limit and 2 GB."""
    nice: int = 0
    """Scheduling priority, 0 (normal) to 19 (lowest)."""

    @property
    def address_space_limit_bytes(self) -> int:
        """``RLIMIT_AS`` in force."""
        return self.address_space_bytes or self.memory_limit_bytes + self.cache_bytes + _ADDRESS_SPACE_MARGIN

    def to_json(self) -> dict[str, Any]:
        """Return a JSON body for `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(body: dict[str, Any]) -> "WorkerConfig":
        """Return the configuration that `to_json` described."""
        directories = {name: tuple(body[name]) for name in ("allowed_directories", "writable_directories")}
        return WorkerConfig(**{**body, **directories})
