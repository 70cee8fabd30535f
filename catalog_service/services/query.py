"""THE path of every query: language, planner, emit, engine, delivery; with its limits and its audit line."""

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from ..engines.base import OvertimeError, QueryCancelledError
from ..engines.pool import WorkerPool
from ..engines.result import QueryResult
from ..engines.turns import Claim
from ..exceptions import (
    CatalogServiceError,
    ParameterError,
    QueryTimeoutError,
    ServerError,
    UnavailableError,
    WorkerCrashedError,
)
from ..language.pipeline import result_position
from ..models.query import EngineQuery, Outcome, QueryText, ResolvedQuery, ResultPart, ScanPlan, UploadSource
from ..models.record import QueryRecord
from ..models.user import Identity
from ..planner.batches import BatchLimits
from ..version import VERSION
from ..writers.base import ResultDescription
from ..writers.negotiate import IN_PARTS, NegotiatedFormat, negotiate
from ..writers.select import empty_result
from .admission import Admission, payer_of
from .attention import Attention
from .batching import texts_of
from .budgets import ScanBudget
from .catalogs import Catalogs, Published
from .lanes import Lanes, is_metadata
from .limits import Limits
from .planning import planned, resolved_text
from .quarantine import Quarantine
from .recording import Recorder
from .running import RunningQueries, RunningQuery, stopped_error
from .spools import ReadAhead, Spools
from .stalls import ReceiverWatch
from .uploads import UploadService

__all__ = ["Delivery", "Guards", "QueryService", "ResultFile", "ResultOptions"]

_AUDIT = structlog.get_logger("audit")
_LOG = structlog.get_logger("service")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """What keeps one caller's queries from costing the others."""

    admission: Admission
    quarantine: Quarantine
    budget: ScanBudget
    spools: Spools
    short_s: float
    """How long the first rows of a query that is not large may take while others wait."""
    reader_stall_s: float
    """How long a receiver may take nothing of its result while others wait."""


@dataclass(frozen=True, slots=True)
class _Audit:
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

    def delivered(self, delivery: "Delivery") -> None:
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


@dataclass(frozen=True, slots=True)
class _Watch:
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


class _Columns:
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
        result: QueryResult | _Columns,
        audit: _Audit,
        scan: ScanPlan,
        options: ResultOptions,
        watch: _Watch | None = None,
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
            raise _fault(self._audit, error) from error
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


class QueryService:
    """Runs queries for callers.

    Parameters
    ----------
    catalogs
        What is published.
    lanes
        Run generated SQL in worker processes.
    limits
        Published limits.
    batch
        How much one step of a large query reads.
    uploads
        Reads tables that come with a query.
    attention
        Of which all queries together get so much.
    guards
        Keep one caller's queries from costing the others.
    recorder
        Is told of every query that has ended.
    running
        Is told of every query.
    """

    def __init__(  # noqa: PLR0913 - what a query goes through, each injected
        self,
        catalogs: Catalogs,
        lanes: Lanes,
        limits: Limits,
        batch: BatchLimits,
        uploads: UploadService,
        *,
        attention: Attention,
        guards: Guards,
        recorder: Recorder,
        running: RunningQueries,
    ) -> None:
        self._guards = guards
        self._running = running
        self._recorder = recorder
        self._uploads = uploads
        self._catalogs = catalogs
        self._lanes = lanes
        self._limits = limits
        self._batch = batch
        self._attention = attention

    async def run(
        self,
        query: QueryText,
        identity: Identity,
        options: ResultOptions,
        file: ResultFile | None = None,
        *,
        told: str | None = None,
    ) -> Delivery:
        """Run a query text; return when its first bytes are there.

        Parameters
        ----------
        query, identity, options
            What is asked, by whom, and how the result is wanted.
        file
            Of a job: its worker writes the result there. What the delivery yields all the same belongs there, too.
        told
            What was asked, where the query was made of it.

        Raises
        ------
        CatalogServiceError
            Any of its classes; the error carries the query's id.
        """
        # texts within the limit are recorded whole; one letter is one byte or more
        recorded = (told or query.text)[: self._limits.max_query_bytes]
        audit = self._audit(identity, recorded, options, file)
        with _beginning(audit):
            published = await self._published(query.uploads, audit, file)
            async with _in_time(audit, self._timeout_s(file)):
                resolved = await resolved_text(query, published, identity, self._limits, self._attention)
            return await self._deliver(resolved, published, audit, options, file)

    def _audit(self, identity: Identity, text: str, options: ResultOptions, file: ResultFile | None = None) -> _Audit:
        job_id = None if file is None else file.job_id
        query_id = secrets.token_hex(8)
        structlog.contextvars.bind_contextvars(query_id=query_id)  # of every line that this task logs from now on
        return _Audit(query_id, identity, text, options.runid, self._recorder, self._running, job_id)

    async def _published(
        self, uploads: tuple[UploadSource, ...], audit: _Audit, file: ResultFile | None = None
    ) -> Published:
        """Return what is published, and the tables that came with the query."""
        published = self._catalogs.published
        if not uploads:
            return published
        tables = await self._uploads.read(
            uploads,
            audit.query_id,
            timeout_s=self._timeout_s(file),
            started=audit.started,
            is_job=file is not None,
            claim=self._claim(audit, file),
        )
        return published.with_uploads(tables)

    def _timeout_s(self, file: ResultFile | None) -> float:
        return self._limits.sync_timeout_s if file is None else file.timeout_s

    async def run_built(
        self,
        uploads: tuple[UploadSource, ...],
        build: Callable[[Published], ResolvedQuery],
        text: str,
        identity: Identity,
        options: ResultOptions,
    ) -> Delivery:
        """Run a query that some other front end builds of what is published and of tables that came with it.

        Parameters
        ----------
        uploads
            The tables; `build` finds them among the uploads of what it is given, in this order.
        build
            Returns the query.
        text
            Describes it in the audit line.
        identity, options
            As for `run`.

        Raises
        ------
        CatalogServiceError
            Any of its classes; the error carries the query's id.
        """
        audit = self._audit(identity, text, options)
        with _beginning(audit):
            published = await self._published(uploads, audit)
            return await self._deliver(build(published), published, audit, options)

    async def _deliver(
        self,
        resolved: ResolvedQuery,
        published: Published,
        audit: _Audit,
        options: ResultOptions,
        file: ResultFile | None = None,
    ) -> Delivery:
        releases = published.releases(resolved)
        async with _in_time(audit, self._timeout_s(file)):
            resolved, scan = await planned(resolved, published, audit.identity, self._attention)
        infos, position = {**_provenance(audit, resolved, scan), **releases}, result_position(resolved)
        if options.format.in_parts and file is None:
            raise ParameterError(f"RESPONSEFORMAT={IN_PARTS} is for asynchronous jobs.", remedy="Use parquet here.")
        max_rows = self._limits.rows(options.maxrec)
        if max_rows == 0:
            description = ResultDescription(columns=resolved.columns, infos=infos, position=position)
            return Delivery(
                _Columns(empty_result(options.format.format, description, overflow=True)), audit, scan, options
            )
        write = partial(texts_of, resolved, scan, published.lookup, self._batch, max_rows=max_rows)
        # the texts of many batches, and long ones, take a while to write
        is_long = resolved.is_long or self._batch.are_exceeded_by(scan)
        texts = await asyncio.to_thread(write) if is_long else write()
        engine_query = EngineQuery(
            query_id=audit.query_id,
            sql=texts.sql,
            batches=texts.batches,
            most_rows=texts.most_rows,
            columns=resolved.columns,
            format=options.format.format,
            gzip=options.gzip and options.format.is_text,
            max_rows=max_rows,
            timeout_s=self._timeout_s(file),
            spent_s=time.perf_counter() - audit.started,
            infos=infos,
            position=position,
            stamps=tuple(stamp for one in scan.scans.values() for stamp in one.stamps),
            expects_few=scan.expects_few,
            keeps_footers=scan.reads_few_tiles,
            target=None if file is None else str(file.path),
            max_bytes=None if file is None else file.max_bytes,
            part_bytes=None if file is None or not options.format.in_parts else file.part_bytes,
            part_suffix=options.format.suffix,
        )
        self._lanes.allow(published.foreign_directories)
        pool = self._lanes.pool(scan, resolved, is_job=file is not None)
        receiver = ReceiverWatch(self._guards.reader_stall_s)
        claim = self._claim(audit, file)
        watch = _Watch(pool, engine_query, self._guards.quarantine, receiver, self._guards.spools, claim.owner)
        with self._charged(audit, scan, is_job=file is not None):
            watch, result = await self._begin(watch, claim)
        return Delivery(result, audit, scan, options, watch)

    def _claim(self, audit: _Audit, file: ResultFile | None) -> Claim:
        """Return what decides when it is a query's turn; how many jobs a user has is limited elsewhere."""
        if file is not None:
            return Claim(owner=audit.identity.name)
        return self._guards.admission.claim(audit.identity)

    @contextlib.contextmanager
    def _charged(self, audit: _Audit, scan: ScanPlan, *, is_job: bool) -> Iterator[None]:
        """Count what a query reads against its caller's budget, unless it is not let in for another reason."""
        budget, payer = self._guards.budget, payer_of(audit.identity)
        size_bytes = 0 if is_metadata(scan) else scan.size_bytes  # clients must be able to begin
        (budget.note if is_job else budget.take)(payer, size_bytes)
        try:
            yield
        except UnavailableError:
            budget.note(payer, -size_bytes)
            raise

    async def _begin(self, watch: _Watch, claim: Claim) -> tuple[_Watch, QueryResult]:
        """Run a query until its first rows; a short one that turns out to be long is begun again as a scan."""
        self._guards.quarantine.check(watch.query)
        began = time.perf_counter()
        try:
            patience_s = self._guards.short_s if watch.pool is self._lanes.interactive else None
            return watch, await watch.pool.run(watch.query, claim, patience_s=patience_s)
        except OvertimeError:
            spent_s = watch.query.spent_s + time.perf_counter() - began
            again = replace(watch, pool=self._lanes.scan, query=replace(watch.query, spent_s=spent_s))
            # it was let in once, so that the limit of waiting queries is not for it
            return await self._begin(again, replace(claim, most_waiting=None))
        except WorkerCrashedError:
            watch.crashed()
            raise


@contextlib.asynccontextmanager
async def _in_time(audit: _Audit, timeout_s: float) -> AsyncIterator[None]:
    """End what is done for a query before it runs at its time limit, such as a look-up on a disk that hangs."""
    try:
        async with asyncio.timeout(max(0.0, timeout_s - (time.perf_counter() - audit.started))):
            yield
    except TimeoutError as error:
        raise QueryTimeoutError(
            f"The query hit its time limit of {timeout_s:g} s before it began.", remedy="Try again later."
        ) from error


@contextlib.contextmanager
def _beginning(audit: _Audit) -> Iterator[None]:
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
            raise _fault(audit, error) from error
        raise


def _fault(audit: _Audit, error: Exception) -> ServerError:
    """Log an exception that nobody foresaw; return what its user learns of it."""
    _LOG.error("query_failed", query_id=audit.query_id, exc_info=error)
    fault = ServerError(f"The query failed for a reason that is our fault (query {audit.query_id}).")
    fault.query_id = audit.query_id
    return fault


def _provenance(audit: _Audit, resolved: ResolvedQuery, scan: ScanPlan) -> Mapping[str, str]:
    infos = {
        "QUERY": audit.text,
        "QUERY_ID": audit.query_id,
        "SERVICE_VERSION": f"catalog-service {VERSION}",
        "TILES_READ": f"{scan.files} of {scan.files_total}",
    }
    if resolved.relaxations:
        infos["RELAXATIONS"] = ", ".join(resolved.relaxations)
    return infos
