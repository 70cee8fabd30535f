"""Scans leave a processor to short queries while these come, and take it back afterwards."""

import asyncio
import os
from pathlib import Path

import pytest

from catalog_service.engines.pool import WorkerPool
from catalog_service.engines.right_of_way import RightOfWay
from tests.catalog_service.engines.queries import make_config, until

OURS = os.sched_getaffinity(0)


def processors(pool: WorkerPool) -> list[set[int]]:
    """Return what each thread of the workers may use."""
    workers = [*pool._idle, *pool._busy]
    return [
        os.sched_getaffinity(int(one.name)) for worker in workers for one in Path(f"/proc/{worker.pid}/task").iterdir()
    ]


@pytest.mark.skipif(len(OURS) < 2, reason="one processor is all there is")
def test_scans_leave_one_processor_while_short_queries_come(tmp_path: Path) -> None:
    async def scenario() -> None:
        pool = WorkerPool(make_config(tmp_path), size=2)
        await pool.start()
        try:
            way = RightOfWay((pool,), quiet_s=0.2)
            assert all(used == OURS for used in processors(pool))
            for _ in range(6):  # longer than the quiet that is waited for
                way.claim()
                await asyncio.sleep(0.05)
                assert processors(pool)
                assert all(used == OURS - {min(OURS)} for used in processors(pool))
            await until(lambda: all(used == OURS for used in processors(pool)))
        finally:
            await pool.close()

    asyncio.run(scenario())


@pytest.mark.skipif(len(OURS) < 2, reason="one processor is all there is")
def test_a_worker_that_starts_meanwhile_does_the_same(tmp_path: Path) -> None:
    async def scenario() -> None:
        pool = WorkerPool(make_config(tmp_path), size=1)
        await pool.start()
        try:
            RightOfWay((pool,), quiet_s=60).claim()
            pool._replace(pool._idle[0])
            await until(lambda: len(pool._idle) == 1)
            assert all(used == OURS - {min(OURS)} for used in processors(pool))
        finally:
            await pool.close()

    asyncio.run(scenario())
