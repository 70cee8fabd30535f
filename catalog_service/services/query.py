"""THE path of every query: language, planner, emit, engine, delivery; with its limits and its audit line."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from ..engines.result import QueryResult
from ..exceptions import CatalogServiceError
from ..language.pipeline import result_position
from ..models.query import EngineQuery, Outcome, QueryText, ResolvedQuery, ScanPlan
from ..models.user import Identity
from ..planner.batches import BatchLimits
from ..version import VERSION
from ..writers.base import ResultDescription
from ..writers.negotiate import NegotiatedFormat, negotiate
from ..writers.select import empty_result
from .batching import texts_of
from .catalogs import Catalogs, Published
from .lanes import Lanes
from .limits import Limits
from .planning import planned, resolved_text

__all__ = ["Delivery", "QueryService", "ResultOptions"]

_AUDIT = structlog.get_logger("audit")

VOTABLE: Final = negotiate(None)
"""The default format: VOTable with BINARY2 serialization."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions:
    """How a caller wants the result."""

    format: NegotiatedFormat = VOTABLE
    maxrec: int | None = None
    runid: str | None = None


@dataclass(frozen=True, slots=True)
class _Audit:
    """What the audit line of one query says from its start."""

    query_id: str
    identity: Identity
    text: str
    runid: str | None
    started: float = field(default_factory=time.perf_counter)

    def record(self, status: str, *, scan: ScanPlan | None = None, **facts: object) -> None:
        """Write the one line that every query leaves."""
        planned = (
            {} if scan is None else {"files": scan.files, "files_total": scan.files_total, "bytes": scan.size_bytes}
        )
        seconds = round(time.perf_counter() - self.started, 6)
        names = {"query_id": self.query_id, "who": self.identity.name, "what": self.text, "runid": self.runid}
        _AUDIT.info("query", status=status, seconds=seconds, **names, **planned, **facts)

    def failed(self, error: BaseException) -> None:
        """Write the line of a query that ended before its first byte."""
        if isinstance(error, CatalogServiceError):
            error.query_id = self.query_id
            self.record(error.code, message=str(error))
        elif isinstance(error, asyncio.CancelledError):
            self.record("cancelled")
        else:
            self.record("failed", message=repr(error))


class _Columns:
    """The answer to MAXREC=0: columns without rows, made without running anything."""

    overflow = True
    outcome = Outcome(overflow=True)
    body_complete = True

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body

    async def close(self) -> None:
        """Do nothing: there is nothing to stop."""


class Delivery:
    """A result on its way: final bytes, streamed; close it when the receiver has gone."""

    def __init__(self, result: QueryResult | _Columns, audit: _Audit, scan: ScanPlan, options: ResultOptions) -> None:
        self._result = result
        self._audit = audit
        self._scan = scan
        self._recorded = False
        self.query_id = audit.query_id
        self.format = options.format
        self.overflow = result.overflow
        """Whether rows were cut; None if that is not known before the end."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the result; raises if it broke off in a format that cannot say so itself."""
        sent = 0
        try:
            async for chunk in self._result:
                sent += len(chunk)
                yield chunk
            outcome = self._result.outcome
            status = "ok" if outcome is not None and not outcome.overflow else "overflow"
            self._record(status, rows=0 if outcome is None else outcome.rows, bytes_out=sent)
        except CatalogServiceError as error:
            self._record(error.code, bytes_out=sent, message=str(error))
            if not self._result.body_complete:
                raise
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop the query if it still runs and free its worker."""
        await self._result.close()
        self._record("cancelled")

    def _record(self, status: str, **facts: object) -> None:
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
    """

    def __init__(self, catalogs: Catalogs, lanes: Lanes, limits: Limits, batch: BatchLimits) -> None:
        self._catalogs = catalogs
        self._lanes = lanes
        self._limits = limits
        self._batch = batch

    async def run(self, query: QueryText, identity: Identity, options: ResultOptions) -> Delivery:
        """Run a query text; return when its first bytes are there.

        Raises
        ------
        CatalogServiceError
            Any of its classes; the error carries the query's id.
        """
        # texts within the limit are recorded whole; one letter is one byte or more
        recorded = query.text[: self._limits.max_query_bytes]
        audit = _Audit(secrets.token_hex(8), identity, recorded, options.runid)
        published = self._catalogs.published
        try:
            resolved = await resolved_text(query, published, identity, self._limits)
            return await self._deliver(resolved, published, audit, options)
        except BaseException as error:
            audit.failed(error)
            raise

    async def run_resolved(
        self, resolved: ResolvedQuery, text: str, identity: Identity, options: ResultOptions
    ) -> Delivery:
        """Run a query that some other front end built; `text` describes it in the audit line."""
        audit = _Audit(secrets.token_hex(8), identity, text, options.runid)
        try:
            return await self._deliver(resolved, self._catalogs.published, audit, options)
        except BaseException as error:
            audit.failed(error)
            raise

    async def _deliver(
        self, resolved: ResolvedQuery, published: Published, audit: _Audit, options: ResultOptions
    ) -> Delivery:
        resolved, scan = await planned(resolved, published, audit.identity)
        infos, position = _provenance(audit, resolved, scan), result_position(resolved)
        max_rows = self._limits.rows(options.maxrec)
        if max_rows == 0:
            description = ResultDescription(columns=resolved.columns, infos=infos, position=position)
            return Delivery(
                _Columns(empty_result(options.format.format, description, overflow=True)), audit, scan, options
            )
        write = partial(texts_of, resolved, scan, published.lookup, self._batch, max_rows=max_rows)
        # the texts of many batches, and long ones, take a while to write
        is_long = resolved.is_long or scan.files > self._batch.files
        texts = await asyncio.to_thread(write) if is_long else write()
        engine_query = EngineQuery(
            query_id=audit.query_id,
            sql=texts.sql,
            batches=texts.batches,
            most_rows=texts.most_rows,
            columns=resolved.columns,
            format=options.format.format,
            max_rows=max_rows,
            timeout_s=self._limits.sync_timeout_s,
            spent_s=time.perf_counter() - audit.started,
            infos=infos,
            position=position,
            stamps=tuple(stamp for one in scan.scans.values() for stamp in one.stamps),
            expects_few=scan.is_lookup,
        )
        self._lanes.allow(published.foreign_directories)
        return Delivery(await self._lanes.pool(is_job=False).run(engine_query), audit, scan, options)


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
