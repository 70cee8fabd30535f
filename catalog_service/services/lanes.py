"""Which pool of workers runs a query: short queries never wait behind scans."""

import asyncio
from dataclasses import dataclass
from typing import Final

from ..engines.pool import WorkerPool
from ..models.query import ResolvedQuery, ScanPlan
from ..models.tree import ColumnRef, Select, TableRef
from .tap_schema import TAP_SCHEMA

__all__ = ["Lanes", "ScanLimits", "is_metadata"]

_HEAD_ROWS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanLimits:
    """What a query may read before it counts as a large one."""

    files: int
    size_bytes: int

    def is_large(self, scan: ScanPlan, resolved: ResolvedQuery) -> bool:
        """Whether a query by this plan may take long."""
        return not _is_head(resolved) and self._reads_much(scan)

    def _reads_much(self, scan: ScanPlan) -> bool:
        return scan.files > self.files or scan.size_bytes > self.size_bytes


@dataclass(frozen=True, slots=True)
class Lanes:
    """The pools of worker processes.

    Large synchronous queries hold all interactive workers but one at most. This is the simplest rule under which a
    short query never waits behind them, whenever it comes: what is left is one worker that only short queries hold,
    and the larger part of the machine still scans. A lane of its own for scans would leave workers idle whenever
    there are none, or only such; to stop a scan for a short query would waste what it has read.

    A plan tells how much is read, not how much is computed: small tables can have a huge product. If the first rows of
    a query that is not large take too long while others wait for its worker, it is stopped and begun again as a large
    one, so that it cannot hold the last worker either.

    Where there is one interactive worker only, large queries run in the batch lane, between the jobs.
    """

    interactive: WorkerPool
    """Runs synchronous queries; the last worker is reserved for those that are not large."""
    batch: WorkerPool
    """Runs asynchronous jobs: few workers, of low priority."""
    metadata: WorkerPool
    """Runs queries that read TAP_SCHEMA alone, with which clients begin: one small worker."""
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

    def is_large(self, scan: ScanPlan, resolved: ResolvedQuery) -> bool:
        """Whether a query by this plan leaves a worker to others."""
        return self.limits.is_large(scan, resolved)

    @property
    def pool_of_large(self) -> WorkerPool:
        """The pool of large synchronous queries."""
        return self.batch if self.interactive.size == 1 else self.interactive

    def pool(self, scan: ScanPlan | None = None, resolved: ResolvedQuery | None = None, *, is_job: bool) -> WorkerPool:
        """Return the pool that runs a query; without one, of what reads no table, such as an uploaded file."""
        if is_job:
            return self.batch
        if scan is None or resolved is None:
            return self.interactive
        if is_metadata(scan) and (self.metadata.has_idle() or not self.interactive.has_idle()):
            return self.metadata
        return self.pool_of_large if self.is_large(scan, resolved) else self.interactive

    @property
    def _pools(self) -> tuple[WorkerPool, ...]:
        return self.interactive, self.batch, self.metadata


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


def is_metadata(scan: ScanPlan) -> bool:
    """Whether a query reads nothing but TAP_SCHEMA."""
    schemas = {one.table.schema_name for one in scan.scans.values()}
    return schemas == {TAP_SCHEMA.name}
