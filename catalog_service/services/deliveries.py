"""Results on their way to who asked for them."""

import contextlib
import math
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..engines.base import QueryCancelledError
from ..engines.pool import WorkerPool
from ..engines.result import QueryResult
from ..exceptions import CatalogServiceError, WorkerCrashedError
from ..models.query import EngineQuery, Outcome, ResultPart, ScanPlan
from ..writers.negotiate import NegotiatedFormat, negotiate
from .audit import Audit, fault
from .quarantine import Quarantine
from .spools import ReadAhead, Spools
from .stalls import ReceiverWatch

__all__ = ["Columns", "Delivery", "ResultFile", "ResultOptions", "Watch"]

VOTABLE: Final = negotiate(None)
"""The default format: VOTable with BINARY2 serialization."""

_BUFFERED_BYTES: Final = 1 << 16
"""So much is sent at once whether or not the client reads: the web server's own buffer takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions:
    """How a caller wants the result."""

    format: NegotiatedFormat = VOTABLE
    maxrec: int | None = None
    runid: str | None = None
    gzip: bool = False
    """Whether the receiver takes gzip as a content coding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """Where the result of a job is written, and the job's own limits."""

    path: Path
    """File to be made; the beginning of the names of all, if there are several."""
    part_bytes: int
    """Size after which another file is begun, if the format is one in parts."""
    max_bytes: int
    timeout_s: float
    job_id: str


@dataclass(frozen=True, slots=True)
class Watch:
    """What is looked after while a worker runs a query."""

    pool: WorkerPool
    query: EngineQuery
    quarantine: Quarantine
    receiver: ReceiverWatch
    spools: Spools
    owner: str
    """Whose room in the spools it takes."""

    def crashed(self) -> None:
        """Remember that the worker ended."""
        self.quarantine.note(self.query)

    def ahead(self, pieces: AsyncIterator[bytes], *, is_deflated: bool) -> ReadAhead:
        """Return the pieces of a result, taken from the worker as soon as it has made them."""
        # what is deflated as far as the line is slow must see how slow it is
        return ReadAhead(pieces, self.spools, self.owner, lambda: is_deflated and not self.pool.is_awaited())

    def has_stalled(self, unsent: int) -> bool:
        """Whether the receiver takes nothing while others wait for the worker."""
        return self.receiver.has_stalled(unsent) and self.pool.is_awaited()


class Columns:
    """The answer to MAXREC=0: columns without rows, made without running anything."""

    overflow = True
    outcome = Outcome(overflow=True)
    progress = None
    parts = ()
    body_complete = True

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body

    async def close(self) -> None:
        """Do nothing: there is nothing to stop."""

    def stop(self, error: CatalogServiceError) -> None:
        """Do nothing, as `close`."""


async def _chained(first: bytes, rest: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


class Delivery:
    """A result on its way: final bytes, streamed; close it when the receiver has gone."""

    def __init__(
        self,
        result: QueryResult | Columns,
        audit: Audit,
        scan: ScanPlan,
        options: ResultOptions,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self._ahead: ReadAhead | None = None
        self._most_read = time.monotonic() + (math.inf if watch is None else watch.spools.reading_s)
        self._result = result
        self._audit = audit
        self._scan = scan
        self._recorded = False
        audit.delivered(self)
        self.query_id = audit.query_id
        self.format = options.format
        self.gzip = options.gzip and options.format.is_text and isinstance(result, QueryResult)
        """Whether the bytes are a gzip stream."""
        self.overflow = result.overflow
        """Whether rows were cut; None if that is not known before the end."""

    @property
    def outcome(self) -> Outcome | None:
        """How the query ended; None before the last chunk, or if it failed."""
        return self._result.outcome

    @property
    def parts(self) -> tuple[ResultPart, ...]:
        """Files of a result in parts that are on the disk."""
        return self._result.parts

    @property
    def progress(self) -> tuple[int, int] | None:
        """Batches of tiles that are done, and all of them; None for a query that is run as a whole."""
        return self._result.progress

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the result; raises if it broke off in a format that cannot say so itself."""
        sent = 0
        try:
            async with contextlib.aclosing(self._pieces()) as pieces:
                async for chunk in pieces:
                    sent += len(chunk)
                    yield chunk
            outcome = self._result.outcome
            assert outcome is not None
            # what a job's worker writes to a file is not seen here
            bytes_out = max(sent, outcome.bytes_out)
            self._record("overflow" if outcome.overflow else "ok", rows=outcome.rows, bytes_out=bytes_out)
        except CatalogServiceError as error:
            if self._watch is not None and isinstance(error, WorkerCrashedError):
                self._watch.crashed()
            self._record(error.code, bytes_out=sent, message=str(error))
            if not self._result.body_complete or (self._ahead is not None and self._ahead.is_cut):
                raise
        except QueryCancelledError:
            raise
        except Exception as error:
            self._record("failed", message=repr(error))
            raise fault(self._audit, error) from error
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop the query if it still runs and free its worker."""
        if self._ahead is not None:
            await self._ahead.close()
        await self._result.close()
        self._record("cancelled")

    def stop(self, error: CatalogServiceError) -> None:
        """End the result with `error`: where the worker is, or where the reader is if the worker is done."""
        if self._ahead is not None and self._result.outcome is not None:
            self._ahead.cut(error)
        else:
            self._result.stop(error)

    async def _pieces(self) -> AsyncGenerator[bytes]:
        """Yield the pieces of the result; but for a small one, they are taken from the worker whether or not read."""
        sent = 0
        async for piece in self._result:
            sent += len(piece)
            if self._watch is not None and sent > _BUFFERED_BYTES:
                self._ahead = self._watch.ahead(_chained(piece, self._result), is_deflated=self.gzip)
                break
            yield piece
        if self._ahead is not None:
            async for piece in self._ahead:
                yield piece

    def has_stalled(self, unsent: int) -> bool:
        """Whether its receiver holds a worker for nothing while others wait, or reads without an end.

        To be asked about every second.

        Parameters
        ----------
        unsent
            Bytes that the receiver has not taken yet.
        """
        if time.monotonic() > self._most_read:
            return True
        return self._watch is not None and self._result.outcome is None and self._watch.has_stalled(unsent)

    def note_stalled(self) -> None:
        """Note, before it is closed, that its receiver is given up."""
        self._record("stalled")

    def _record(self, status: str, **facts: Any) -> None:
        if not self._recorded:
            self._recorded = True
            self._audit.record(status, scan=self._scan, **facts)
