"""Which pool of workers runs a query: short queries never wait behind scans."""

import asyncio
from dataclasses import dataclass
from typing import Final

from ..engines.pool import WorkerPool
from ..engines.right_of_way import RightOfWay
from ..models.query import ResolvedQuery, ScanPlan
from ..models.tree import ColumnRef, Select, TableRef
from .pairs import most_pairs
from .tap_schema import TAP_SCHEMA

__all__ = ["Lanes", "ScanLimits", "is_metadata"]

_HEAD_ROWS: Final = 100_000
_MOST_PAIRS: Final = 100_000_000
"""Combinations of rows that are tried in about a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanLimits:
    """What a query may read before it counts as a large one."""

    files: int
    size_bytes: int

    def is_large(self, scan: ScanPlan, resolved: ResolvedQuery) -> bool:
        """Whether a query by this plan may take long: what looks up a few rows reads little of its large files."""
        if scan.expects_few or _is_head(resolved):
            return False
        return self._reads_much(scan) or _tries_many(scan, resolved)

    def _reads_much(self, scan: ScanPlan) -> bool:
        return scan.files > self.files or scan.size_bytes > self.size_bytes


@dataclass(frozen=True, slots=True)
class Lanes:
    """The pools of worker processes.

    Short queries have workers of their own, whose processes come first: a scan takes the processors only as far as
    they leave them free. Workers that ran both kinds could not give way, since a process may lower its priority but
    not raise it again; and to stop a scan for a short query would waste what it has read. What this costs is the
    memory of workers that are idle.

    A plan tells how much is read, not how much is computed. The product of small tables that nothing links can be
    huge, and counts as well. What else turns out long is found while it runs: if the first rows of a short query take
    too long while others wait for its worker, it is stopped and begun again as a scan.
    """

    interactive: WorkerPool
    """Runs short synchronous queries."""
    scan: WorkerPool
    """Runs large synchronous queries: few workers, of lower priority."""
    batch: WorkerPool
    """Runs asynchronous jobs: few workers, of the lowest priority."""
    metadata: WorkerPool
    """Runs queries that read TAP_SCHEMA alone, with which clients begin: one small worker."""
    right_of_way: RightOfWay
    """Is told of short queries, which the other lanes make way for."""
    limits: ScanLimits

    async def start(self) -> None:
        """Start all workers and wait until they are ready."""
        await asyncio.gather(*(pool.start() for pool in self._pools))

    async def close(self) -> None:
        """Kill all workers."""
        await asyncio.gather(*(pool.close() for pool in self._pools))

    def allow(self, directories: tuple[str, ...]) -> None:
        """Let queries that start from now on read `directories` as well."""
        for pool in self._pools:
            pool.allow(directories)

    def ready(self) -> bool:
        """Whether short queries can be served."""
        return self.interactive.ready()

    def pool(self, scan: ScanPlan | None = None, resolved: ResolvedQuery | None = None, *, is_job: bool) -> WorkerPool:
        """Return the pool that runs a query; without one, of what reads no table, such as an uploaded file."""
        if is_job:
            return self.batch
        if scan is not None and resolved is not None and self.limits.is_large(scan, resolved):
            return self.scan
        self.right_of_way.claim()
        if scan is not None and is_metadata(scan) and (self.metadata.has_idle() or not self.interactive.has_idle()):
            return self.metadata
        return self.interactive

    @property
    def _pools(self) -> tuple[WorkerPool, ...]:
        return self.interactive, self.scan, self.batch, self.metadata


def _is_head(resolved: ResolvedQuery) -> bool:
    """Whether a query takes the first rows of one table as they come, which is short work however large the table."""
    match resolved.tree:
        case (
            Select(
                source=TableRef(), where=None, group_by=(), having=None, order_by=(), distinct=False, top=int(top)
            ) as select
        ):
            rows = top + (select.offset or 0)
            return rows <= _HEAD_ROWS and all(isinstance(item.expr, ColumnRef) for item in select.items)
        case _:
            return False


def _tries_many(scan: ScanPlan, resolved: ResolvedQuery) -> bool:
    """Whether a query has to try very many combinations of rows."""
    if len(scan.scans) < 2:  # most queries
        return False
    return most_pairs(resolved.tree, {source: one.rows for source, one in scan.scans.items()}) > _MOST_PAIRS


def is_metadata(scan: ScanPlan) -> bool:
    """Whether a query reads nothing but TAP_SCHEMA."""
    schemas = {one.table.schema_name for one in scan.scans.values()}
    return schemas == {TAP_SCHEMA.name}
