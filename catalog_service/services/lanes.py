"""Which pool of workers runs a query: short queries never wait behind scans."""

import asyncio
from dataclasses import dataclass

from ..engines.pool import WorkerPool

__all__ = ["Lanes"]


@dataclass(frozen=True, slots=True)
class Lanes:
    """The pools of worker processes."""

    interactive: WorkerPool
    """Runs synchronous queries."""
    batch: WorkerPool
    """Runs asynchronous jobs: few workers, of low priority."""

    async def start(self) -> None:
        """Start all workers and wait until they are ready."""
        await asyncio.gather(self.interactive.start(), self.batch.start())

    async def close(self) -> None:
        """Kill all workers."""
        await asyncio.gather(self.interactive.close(), self.batch.close())

    def allow(self, directories: tuple[str, ...]) -> None:
        """Let queries that start from now on read `directories` as well."""
        self.interactive.allow(directories)
        self.batch.allow(directories)

    def ready(self) -> bool:
        """Whether short queries can be served."""
        return self.interactive.ready()

    def pool(self, *, is_job: bool) -> WorkerPool:
        """Return the pool that runs a query."""
        return self.batch if is_job else self.interactive
