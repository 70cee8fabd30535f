"""THE path of every query: language, planner, emit, engine, delivery; with its limits."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import structlog

from ..engines.base import OvertimeError, SqlNeededError
from ..engines.result import QueryResult
from ..engines.turns import Claim
from ..exceptions import ParameterError, UnavailableError, WorkerCrashedError
from ..language.pipeline import emit, result_position
from ..models.query import EngineQuery, QueryText, ResolvedQuery, ScanPlan, UploadSource
from ..models.user import Identity
from ..planner.batches import BatchLimits
from ..version import VERSION
from ..writers.base import ResultDescription
from ..writers.negotiate import IN_PARTS
from ..writers.select import empty_result
from .admission import Admission, payer_of
from .attention import Attention
from .audit import Audit, beginning
from .batching import texts_of
from .budgets import ScanBudget
from .catalogs import Catalogs, Published
from .deadlines import in_time
from .deliveries import Columns, Delivery, ResultFile, ResultOptions, Watch
from .lanes import Lanes, is_metadata
from .limits import Limits
from .planning import planned, resolved_text
from .quarantine import Quarantine
from .recording import Recorder
from .running import RunningQueries
from .spools import Spools
from .stalls import ReceiverWatch
from .uploads import UploadService

__all__ = ["Guards", "QueryService"]


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
        recorded = (told or query.told or query.text)[: self._limits.max_query_bytes]
        audit = self._audit(identity, recorded, options, file)
        with beginning(audit):
            published = await self._published(query.uploads, audit, file)
            async with in_time(self._timeout_s(file), time.perf_counter() - audit.started):
                resolved = await resolved_text(query, published, identity, self._limits, self._attention)
            return await self._deliver(resolved, published, audit, options, file)

    def _audit(self, identity: Identity, text: str, options: ResultOptions, file: ResultFile | None = None) -> Audit:
        job_id = None if file is None else file.job_id
        query_id = secrets.token_hex(8)
        structlog.contextvars.bind_contextvars(query_id=query_id)  # of every line that this task logs from now on
        return Audit(query_id, identity, text, options.runid, self._recorder, self._running, job_id)

    async def _published(
        self, uploads: tuple[UploadSource, ...], audit: Audit, file: ResultFile | None = None
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
        with beginning(audit):
            published = await self._published(uploads, audit)
            return await self._deliver(build(published), published, audit, options)

    async def _deliver(
        self,
        resolved: ResolvedQuery,
        published: Published,
        audit: Audit,
        options: ResultOptions,
        file: ResultFile | None = None,
    ) -> Delivery:
        releases = published.releases(resolved)
        async with in_time(self._timeout_s(file), time.perf_counter() - audit.started):
            resolved, scan = await planned(resolved, published, audit.identity, self._attention)
        infos, position = {**_provenance(audit, resolved, scan), **releases}, result_position(resolved)
        if options.format.in_parts and file is None:
            raise ParameterError(f"RESPONSEFORMAT={IN_PARTS} is for asynchronous jobs.", remedy="Use parquet here.")
        max_rows = self._limits.rows(options.maxrec)
        if max_rows == 0:
            description = ResultDescription(columns=resolved.columns, infos=infos, position=position)
            return Delivery(
                Columns(empty_result(options.format.format, description, overflow=True)), audit, scan, options
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
            excerpt=texts.excerpt,
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
        watch = Watch(pool, engine_query, self._guards.quarantine, receiver, self._guards.spools, claim.owner)
        with self._charged(audit, scan, is_job=file is not None):
            watch, result = await self._begin(
                watch, claim, audit, partial(emit, resolved, scan.scans, max_rows=max_rows)
            )
        return Delivery(result, audit, scan, options, watch)

    def _claim(self, audit: Audit, file: ResultFile | None) -> Claim:
        """Return what decides when it is a query's turn; how many jobs a user has is limited elsewhere."""
        if file is not None:
            return Claim(owner=audit.identity.name)
        return self._guards.admission.claim(audit.identity)

    @contextlib.contextmanager
    def _charged(self, audit: Audit, scan: ScanPlan, *, is_job: bool) -> Iterator[None]:
        """Count what a query reads against its caller's budget, unless it is not let in for another reason."""
        budget, payer = self._guards.budget, payer_of(audit.identity)
        size_bytes = 0 if is_metadata(scan) else scan.size_bytes  # clients must be able to begin
        (budget.note if is_job else budget.take)(payer, size_bytes)
        try:
            yield
        except UnavailableError:
            budget.note(payer, -size_bytes)
            raise

    async def _begin(
        self, watch: Watch, claim: Claim, audit: Audit, sql: Callable[[], str]
    ) -> tuple[Watch, QueryResult]:
        """Run a query until its first rows.

        A short one that turns out to be long is begun again as a scan, an excerpt that cannot be read with its SQL.
        """
        self._guards.quarantine.check(watch.query)
        began = time.perf_counter()
        try:
            patience_s = self._guards.short_s if watch.pool is self._lanes.interactive else None
            return watch, await watch.pool.run(watch.query, claim, patience_s=patience_s, told=audit.begun)
        except OvertimeError:
            again = replace(watch, pool=self._lanes.scan)
        except SqlNeededError:
            again = replace(watch, query=replace(watch.query, sql=sql(), excerpt=None))
        except WorkerCrashedError:
            watch.crashed()
            raise
        spent_s = watch.query.spent_s + time.perf_counter() - began
        # it was let in once, so that the limit of waiting queries is not for it
        claim = replace(claim, most_waiting=None)
        return await self._begin(replace(again, query=replace(again.query, spent_s=spent_s)), claim, audit, sql)


def _provenance(audit: Audit, resolved: ResolvedQuery, scan: ScanPlan) -> Mapping[str, str]:
    infos = {
        "QUERY": audit.text,
        "QUERY_ID": audit.query_id,
        "SERVICE_VERSION": f"catalog-service {VERSION}",
        "TILES_READ": f"{scan.files} of {scan.files_total}",
    }
    if resolved.relaxations:
        infos["RELAXATIONS"] = ", ".join(resolved.relaxations)
    return infos
