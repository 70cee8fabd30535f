"""What is told of each query: one line of the log, a record of its end, and that it runs meanwhile."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from ..engines.result import QueryResult
from ..exceptions import CatalogServiceError, ServerError
from ..models.query import ScanPlan
from ..models.record import QueryRecord
from ..models.user import Identity
from .recording import Recorder
from .running import RunningQueries, RunningQuery, stopped_error

__all__ = ["Audit", "Stoppable", "beginning", "fault"]

_AUDIT = structlog.get_logger("audit")
_LOG = structlog.get_logger("service")


class Stoppable(Protocol):
    """A result on its way."""

    @property
    def progress(self) -> tuple[int, int] | None:
        """Batches of tiles that are done, and all of them."""

    def stop(self, error: CatalogServiceError) -> None:
        """End it with `error`."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What the audit line of one query says from its start."""

    query_id: str
    identity: Identity
    text: str
    runid: str | None
    recorder: Recorder
    running: RunningQueries
    job_id: str | None = None
    started: float = field(default_factory=time.perf_counter)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def begin(self) -> RunningQuery:
        """Tell that the query runs, until `record`."""
        return self.running.begin(self.query_id, self.identity, self.text, self.started_at, self.job_id)

    def begun(self, result: QueryResult) -> None:
        """Tell that a worker has begun, so that operators see how far it is before its first rows."""
        running = self.running.get(self.query_id)
        if running is not None:
            running.progress = lambda: result.progress

    def delivered(self, delivery: Stoppable) -> None:
        """Tell that rows are on their way: from now on, what is stopped is their delivery."""
        running = self.running.get(self.query_id)
        if running is not None:
            running.stop = lambda: delivery.stop(stopped_error(running))
            running.progress = lambda: delivery.progress

    def record(self, status: str, *, scan: ScanPlan | None = None, **facts: Any) -> None:
        """Write the one line that every query leaves, and tell who wants to know of its end."""
        self.running.end(self.query_id)
        planned = (
            {} if scan is None else {"files": scan.files, "files_total": scan.files_total, "bytes": scan.size_bytes}
        )
        seconds = round(time.perf_counter() - self.started, 6)
        names = {"query_id": self.query_id, "who": self.identity.name, "what": self.text, "runid": self.runid}
        if self.job_id is not None:
            names["job"] = self.job_id
        _AUDIT.info("query", status=status, seconds=seconds, **names, **planned, **facts)
        self._tell(status, seconds, ScanPlan({}) if scan is None else scan, **facts)

    def _tell(self, status: str, seconds: float, scan: ScanPlan, **facts: Any) -> None:
        record = QueryRecord(
            query_id=self.query_id,
            owner=self.identity.name,
            text=self.text,
            runid=self.runid,
            job_id=self.job_id,
            started=self.started_at,
            seconds=seconds,
            status=status,
            files=scan.files,
            files_total=scan.files_total,
            bytes_planned=scan.size_bytes,
            **facts,
        )
        self.recorder.record(record)

    def failed(self, error: BaseException) -> None:
        """Write the line of a query that ended before its first byte."""
        if isinstance(error, CatalogServiceError):
            error.query_id = self.query_id
            self.record(error.code, message=str(error))
        elif isinstance(error, asyncio.CancelledError):
            self.record("cancelled")
        else:
            self.record("failed", message=repr(error))


@contextlib.contextmanager
def beginning(audit: Audit) -> Iterator[None]:
    """See a query to its first byte, and note how it ended if it does not come so far."""
    task, running = asyncio.current_task(), audit.begin()
    try:
        yield
    except BaseException as error:
        # another cancellation, of a client that went away, counts more
        if (
            task is not None
            and running.is_stopped
            and isinstance(error, asyncio.CancelledError)
            and not task.uncancel()
        ):
            stopped = stopped_error(running)
            audit.failed(stopped)
            raise stopped from None
        audit.failed(error)
        if isinstance(error, Exception) and not isinstance(error, CatalogServiceError):
            raise fault(audit, error) from error
        raise


def fault(audit: Audit, error: Exception) -> ServerError:
    """Log an exception that nobody foresaw; return what its user learns of it."""
    _LOG.error("query_failed", query_id=audit.query_id, exc_info=error)
    told = ServerError(f"The query failed for a reason that is our fault (query {audit.query_id}).")
    told.query_id = audit.query_id
    return told
