"""What a query, a consumer, a disk or the kernel can do to the worker pool, and what it costs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from catalog_service.engines.pool import WorkerPool
from catalog_service.engines.process import WorkerProcess
from catalog_service.engines.result import QueryResult
from catalog_service.engines.turns import Claim
from catalog_service.exceptions import LimitError, QueryTimeoutError, UnavailableError, WorkerCrashedError
from catalog_service.models.query import EngineQuery, ResultFormat
from tests.catalog_service.engines.queries import (
    ENDLESS,
    FLOOD,
    descriptors,
    make_config,
    names_in,
    numbers,
    query,
    scan,
    stubborn,
    until,
    write_shard,
)

Scenario = Callable[[WorkerPool], Awaitable[None]]


def with_pool(directory: Path, scenario: Scenario, *, size: int = 2, **config: object) -> None:
    """Run a scenario on a fresh pool; afterwards no process and no descriptor may be left."""
    before = descriptors()
    children = {child.pid for child in psutil.Process().children()}

    async def run() -> None:
        pool = WorkerPool(make_config(directory, **config), size=size)
        await pool.start()
        try:
            await scenario(pool)
        finally:
            await pool.close()

    with asyncio.Runner() as runner:
        runner.run(run())
    assert {child.pid for child in psutil.Process().children()} <= children
    assert names_in(directory / "temp") == []
    assert descriptors() <= before


async def rows_of(pool: WorkerPool, asked: EngineQuery) -> int:
    async with await pool.run(asked) as result:
        content = b"".join([piece async for piece in result])
    return int(pa.ipc.open_stream(content).read_all().num_rows)


def busy_pids(pool: WorkerPool) -> list[int]:
    return [worker.pid for worker in pool._busy]


def test_how_far_batches_are_is_told_before_the_first_rows(tmp_path: Path) -> None:
    async def scenario(pool: WorkerPool) -> None:
        told: list[QueryResult] = []
        asked = replace(query("SELECT 1 AS n"), batches=("SELECT 1 AS i, 1.0 AS x, 'a' AS s", ENDLESS))
        asking = asyncio.create_task(pool.run(asked, told=told.append))
        await until(lambda: bool(told) and told[0].progress == (1, 2))
        assert not asking.done()
        asking.cancel()
        await asyncio.wait({asking})

    with_pool(tmp_path, scenario)


def test_a_killed_worker_costs_its_query_and_no_other(tmp_path: Path) -> None:
    async def scenario(pool: WorkerPool) -> None:
        victim = await pool.run(query(FLOOD, query_id="q-victim"))
        await anext(victim)
        [pid] = busy_pids(pool)
        other = asyncio.create_task(rows_of(pool, numbers(3_000_000)))
        await until(lambda: len(busy_pids(pool)) == 2)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerCrashedError, match="q-victim") as caught:
            async for _ in victim:
                pass
        assert caught.value.query_id == "q-victim"
        assert not victim.body_complete
        assert await rows_of(pool, numbers(10)) == 10
        assert await other == 3_000_000
        await until(lambda: pool.stats().idle == 2)
        assert pool.stats().crashes == 1

    with_pool(tmp_path, scenario)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_crash_before_the_first_row(tmp_path: Path, signal_number: int) -> None:
    async def scenario(pool: WorkerPool) -> None:
        answer = asyncio.create_task(rows_of(pool, query(ENDLESS, query_id="q-poison")))
        await until(lambda: bool(busy_pids(pool)))
        await asyncio.sleep(0.2)
        os.kill(busy_pids(pool)[0], signal_number)
        with pytest.raises(WorkerCrashedError, match="q-poison"):
            await answer
        assert await rows_of(pool, numbers(10)) == 10
        assert pool.stats().crashes == 1

    with_pool(tmp_path, scenario)


def test_idle_workers_that_die_are_replaced(tmp_path: Path) -> None:
    async def scenario(pool: WorkerPool) -> None:
        first = {worker.pid for worker in pool._idle}
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)  # noqa: ASYNC251 - so that the loop cannot notice before the next query
        assert await rows_of(pool, numbers(10)) == 10
        await until(lambda: pool.stats().idle == 2)
        assert first.isdisjoint(worker.pid for worker in pool._idle)
        assert not any(psutil.pid_exists(pid) for pid in first), "reaped"

    with_pool(tmp_path, scenario)


def test_the_deadline_holds_against_a_stubborn_query(tmp_path: Path) -> None:
    """Neither DuckDB's time limit nor an interrupt stops it: it is killed 2 s later."""

    async def scenario(pool: WorkerPool) -> None:
        started = time.monotonic()
        with pytest.raises(QueryTimeoutError, match=r"time limit of 0\.5 s") as caught:
            await pool.run(query(stubborn(), timeout_s=0.5, query_id="q-stubborn"))
        assert 2 < time.monotonic() - started < 4
        assert caught.value.query_id == "q-stubborn"
        await until(lambda: pool.stats().idle == 2)

    with_pool(tmp_path, scenario)


def test_cancelling_a_stubborn_query_kills_its_worker(tmp_path: Path) -> None:
    async def scenario(pool: WorkerPool) -> None:
        asking = asyncio.create_task(pool.run(query(stubborn())))
        await until(lambda: bool(busy_pids(pool)))
        [pid] = busy_pids(pool)
        await asyncio.sleep(0.3)
        started = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert time.monotonic() - started < 0.1, "the caller does not wait for the kill"
        await until(lambda: not psutil.pid_exists(pid), timeout_s=4)
        assert time.monotonic() - started > 1.5
        await until(lambda: pool.stats().idle == 2)
        assert await rows_of(pool, numbers(5)) == 5

    with_pool(tmp_path, scenario)


@pytest.mark.parametrize("sql", [ENDLESS, FLOOD])
def test_cancelling_a_running_query_is_quick_and_keeps_its_worker(tmp_path: Path, sql: str) -> None:
    async def scenario(pool: WorkerPool) -> None:
        pids = {worker.pid for worker in pool._idle}
        asking = asyncio.create_task(pool.run(query(sql)))
        await asyncio.sleep(0.5)
        started = time.monotonic()
        if asking.done():
            await (await asking).close()
        else:
            asking.cancel()
        await until(lambda: pool.stats().idle == 2)
        assert time.monotonic() - started < 1
        assert {worker.pid for worker in pool._idle} == pids

    with_pool(tmp_path, scenario)


def test_a_consumer_that_stops_reading_holds_no_memory(tmp_path: Path) -> None:
    async def scenario(pool: WorkerPool) -> None:
        result = await pool.run(query(FLOOD, result_format=ResultFormat.VOTABLE))
        await anext(result)
        [pid] = busy_pids(pool)
        before = psutil.Process().memory_info().rss
        worker_before = psutil.Process(pid).memory_info().rss
        await asyncio.sleep(1.5)
        assert psutil.Process().memory_info().rss - before < 8_000_000
        assert psutil.Process(pid).memory_info().rss - worker_before < 100_000_000
        used = psutil.Process(pid).cpu_times().user
        await asyncio.sleep(0.5)
        assert psutil.Process(pid).cpu_times().user - used < 0.1, "the worker waits"
        assert await rows_of(pool, numbers(10)) == 10
        started = time.monotonic()
        await result.close()
        assert time.monotonic() - started < 1
        assert pool.stats().idle == 2

    with_pool(tmp_path, scenario)


def test_a_consumer_that_never_comes_back_loses_its_worker_at_the_deadline(tmp_path: Path) -> None:
    async def scenario(pool: WorkerPool) -> None:
        result = await pool.run(query(FLOOD, timeout_s=0.5))
        await until(lambda: pool.stats().idle == 1, timeout_s=10)
        await until(lambda: pool.stats().idle == 2, timeout_s=10)
        with pytest.raises(QueryTimeoutError):
            async for _ in result:
                pass

    with_pool(tmp_path, scenario)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT len(range(200000000)) AS i, 1.0 AS x, 'a' AS s",
        "SELECT length(repeat('x', 2000000000)) AS i, 1.0 AS x, 'a' AS s",
        "SELECT len(array_agg(i || 'abcdefghij')) AS i, 1.0 AS x, 'a' AS s FROM range(30000000) t(i)",
        "SELECT i, 1.0 AS x, repeat('x', 900000000) AS s FROM range(3) t(i)",
    ],
)
def test_memory_bombs(tmp_path: Path, sql: str) -> None:
    """A clean error, and the same process serves the next query."""

    async def scenario(pool: WorkerPool) -> None:
        [pid] = [worker.pid for worker in pool._idle]
        with pytest.raises(LimitError, match="memory limit of 400 MB") as caught:
            await rows_of(pool, query(sql, timeout_s=60))
        assert caught.value.remedy
        assert await rows_of(pool, numbers(100_000)) == 100_000
        assert [worker.pid for worker in pool._idle] == [pid]
        assert psutil.Process(pid).memory_info().rss < 1_200_000_000

    with_pool(tmp_path, scenario, size=1)


def test_a_disk_full_of_spills(tmp_path: Path) -> None:
    async def scenario(pool: WorkerPool) -> None:
        spill = query(
            "SELECT i, x, s FROM (SELECT i, 1.0 AS x, hash(i) || '-' || hash(i + 1) AS s FROM range(9000000) t(i))"
            " ORDER BY s"
        )
        with pytest.raises(LimitError, match="temporary disk space of 20 MB"):
            await rows_of(pool, spill)
        assert await rows_of(pool, numbers(1000)) == 1000

    with_pool(tmp_path, scenario, size=1, memory_limit_bytes=150_000_000, max_temp_bytes=20_000_000)


def test_a_hanging_file_costs_a_worker_not_the_service(tmp_path: Path) -> None:
    """A FIFO that nobody writes to stands for a network disk that does not answer."""

    async def scenario(pool: WorkerPool) -> None:
        fifo = tmp_path / "shards" / "hangs.parquet"
        os.mkfifo(fifo)
        whole = write_shard(tmp_path / "shards" / "whole.parquet", rows=1000)
        started = time.monotonic()
        hanging = asyncio.create_task(pool.run(scan(fifo, timeout_s=1.0)))
        await asyncio.sleep(0.1)
        for _ in range(20):
            assert await rows_of(pool, scan(whole)) == 1000
        assert not hanging.done()
        with pytest.raises(QueryTimeoutError):
            await hanging
        assert time.monotonic() - started < 5
        await until(lambda: pool.stats().idle == 2)

    with_pool(tmp_path, scenario)


def test_a_process_that_cannot_be_killed_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hangs in the kernel outlives SIGKILL for a while: here the signal is late by 6 s."""
    late: list[asyncio.TimerHandle] = []
    real_kill = WorkerProcess.kill

    def kill(self: WorkerProcess) -> None:
        late.append(asyncio.get_running_loop().call_later(6, real_kill, self))

    async def scenario(pool: WorkerPool) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(WorkerProcess, "kill", kill)
            started = time.monotonic()
            with pytest.raises(QueryTimeoutError):
                await pool.run(query(stubborn(), timeout_s=0.3))
            assert time.monotonic() - started < 5.5
            assert pool.stats().unreaped == 1
            await until(lambda: pool.stats().idle == 1)
            assert await rows_of(pool, numbers(10)) == 10
        await until(lambda: pool.stats().unreaped == 0)

    with_pool(tmp_path, scenario, size=1)
    assert late


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import asyncio, json
        from pathlib import Path
        from catalog_service.engines.pool import WorkerPool
        from tests.catalog_service.engines.queries import FLOOD, make_config, query, stubborn

        async def main():
            pool = WorkerPool(make_config(Path({str(tmp_path)!r})), size=3)
            await pool.start()
            print(json.dumps([worker.pid for worker in pool._idle]), flush=True)
            results = [await pool.run(query(FLOOD))]
            asyncio.create_task(pool.run(query(stubborn())))
            await asyncio.sleep(0.5)
            print("busy", flush=True)
            await asyncio.sleep(60)

        asyncio.run(main())
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = json.loads(parent.stdout.readline())
        assert parent.stdout.readline() == "busy\n"
        parent.kill()
    deadline = time.monotonic() + 5
    while alive := [pid for pid in pids if psutil.pid_exists(pid)]:
        assert time.monotonic() < deadline, f"workers {alive} survived their parent"
        time.sleep(0.02)
    assert len(names_in(tmp_path / "temp")) == 1, "left behind by SIGKILL"

    async def scenario(pool: WorkerPool) -> None:
        assert len(names_in(tmp_path / "temp")) == 1, "swept, and one of our own"
        assert await rows_of(pool, numbers(1)) == 1

    with_pool(tmp_path, scenario, size=1)


def test_ctrl_c_in_the_terminal_does_not_reach_workers(tmp_path: Path) -> None:
    async def scenario(pool: WorkerPool) -> None:
        [pid] = [worker.pid for worker in pool._idle]
        os.kill(pid, signal.SIGINT)
        assert await rows_of(pool, numbers(10)) == 10
        assert [worker.pid for worker in pool._idle] == [pid]

    with_pool(tmp_path, scenario, size=1)


def test_murder_under_load(tmp_path: Path) -> None:
    """Workers die at random while clients keep asking: every answer is right or a crash error, and nothing leaks."""

    async def scenario(pool: WorkerPool) -> None:
        outcomes: list[int | str] = []
        stop = asyncio.Event()

        async def client(number: int) -> None:
            while not stop.is_set():
                rows = 1000 * (number + 1)
                try:
                    got = await rows_of(pool, numbers(rows))
                except WorkerCrashedError:
                    outcomes.append("crashed")
                except UnavailableError:
                    outcomes.append("busy")
                else:
                    assert got == rows
                    outcomes.append(got)

        clients = [asyncio.create_task(client(number)) for number in range(4)]
        for _ in range(8):
            await asyncio.sleep(0.4)
            if victims := busy_pids(pool) or [worker.pid for worker in pool._idle]:
                os.kill(victims[0], signal.SIGKILL)
        stop.set()
        await asyncio.gather(*clients)
        assert sum(isinstance(outcome, int) for outcome in outcomes) > 10
        assert outcomes.count("crashed") <= 8
        assert "busy" not in outcomes
        await until(lambda: pool.stats().idle == 2 and pool.stats().unreaped == 0)

    with_pool(tmp_path, scenario)


def test_callers_at_their_caps_get_all_back_after_kills_and_cancellations(tmp_path: Path) -> None:
    """Whatever ends a query, its caller may run another one: nothing is counted that does not run."""

    async def scenario(pool: WorkerPool) -> None:
        claims = [Claim(owner=owner, most_running=1, most_waiting=50) for owner in "ab"]

        async def ask(number: int) -> None:
            async with await pool.run(numbers(1000) if number % 3 else query(FLOOD), claims[number % 2]) as result:
                await anext(result)
                await asyncio.sleep(0.05)

        asked = [asyncio.create_task(ask(number)) for number in range(24)]
        for task in asked[::4]:
            await asyncio.sleep(0.2)
            assert len(busy_pids(pool)) <= 2
            for pid in busy_pids(pool)[:1]:
                os.kill(pid, signal.SIGKILL)
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await until(lambda: pool.stats().idle == 3)
        assert pool.stats().queued == pool.stats().busy == 0
        for claim in claims:
            async with asyncio.timeout(20), await pool.run(numbers(10), claim) as result:
                assert b"".join([piece async for piece in result])

    with_pool(tmp_path, scenario, size=3)


def test_a_query_that_a_worker_cannot_read_costs_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(pool: WorkerPool) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("catalog_service.models.frames.encode_query", lambda *_, **__: b"{}")
            with pytest.raises(WorkerCrashedError):
                async with asyncio.timeout(20):
                    await rows_of(pool, numbers(10))
        assert await rows_of(pool, numbers(10)) == 10

    with_pool(tmp_path, scenario, size=1)
