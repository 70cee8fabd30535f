import asyncio
import base64
import gzip
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from catalog_service.engines.base import QueryCancelledError
from catalog_service.engines.pool import WorkerPool
from catalog_service.engines.result import QueryResult
from catalog_service.engines.turns import Claim
from catalog_service.exceptions import (
    ConfigurationError,
    LimitError,
    QueryRefusedError,
    QueryTimeoutError,
    QueryValueError,
    ServerError,
    StorageError,
    UnavailableError,
)
from catalog_service.models.frames import End
from catalog_service.models.query import EngineQuery, ResultFormat
from catalog_service.models.schema import Column, DataType
from tests.catalog_service.engines.queries import (
    ENDLESS,
    FLOOD,
    descriptors,
    make_config,
    names_in,
    numbers,
    query,
    scan,
    until,
    write_shard,
)
from tests.catalog_service.writers.encoding import read_votable

F = ResultFormat
SPOOLED = {F.CSV, F.TSV, F.FITS}
"""Formats that are written to disk before the first byte leaves."""


async def fetch(pool: WorkerPool, asked: EngineQuery) -> tuple[bytes, QueryResult]:
    async with await pool.run(asked) as result:
        return b"".join([piece async for piece in result]), result


def columns_in(content: bytes, result_format: ResultFormat) -> dict[str, list[object]]:
    match result_format:
        case F.CSV:
            table = pa.csv.read_csv(io.BytesIO(content))
        case F.TSV:
            table = pa.csv.read_csv(io.BytesIO(content), parse_options=pa.csv.ParseOptions(delimiter="\t"))
        case F.JSON:
            document = json.loads(content)
            names = [column["name"] for column in document["metadata"]]
            return {name: [row[i] for row in document["data"]] for i, name in enumerate(names)}
        case F.FITS:
            rows = Table.read(io.BytesIO(content), format="fits", hdu=1)
            rows.convert_bytestring_to_unicode()
            return {name: rows[name].tolist() for name in rows.colnames}
        case F.PARQUET:
            table = pq.read_table(io.BytesIO(content))
        case F.ARROW:
            table = pa.ipc.open_stream(content).read_all()
        case _:
            array = read_votable(content).get_first_table().array
            return {name: array[name].tolist() for name in array.dtype.names}
    return {name: table.column(name).to_pylist() for name in table.schema.names}


def count(content: bytes, result_format: ResultFormat = F.ARROW) -> int:
    return len(columns_in(content, result_format)["i"])


@pytest.mark.parametrize("result_format", F)
@pytest.mark.parametrize("rows", [0, 1, 70_000])
def test_results(runner: asyncio.Runner, pool: WorkerPool, result_format: ResultFormat, rows: int) -> None:
    content, result = runner.run(fetch(pool, numbers(rows, format=result_format)))
    assert columns_in(content, result_format) == {
        "i": list(range(rows)),
        "x": [i / 2 for i in range(rows)],
        "s": [f"n{i}" for i in range(rows)],
    }
    assert result.outcome is not None
    assert (result.outcome.rows, result.outcome.overflow) == (rows, False)
    assert result.outcome.bytes_out == len(content)
    assert result.outcome.seconds > 0
    assert result.body_complete


@pytest.mark.parametrize("result_format", F)
@pytest.mark.parametrize(
    ("rows", "max_rows", "overflow"), [(10, 10, False), (11, 10, True), (70_000, 70_000, False), (70_001, 70_000, True)]
)
def test_overflow(
    runner: asyncio.Runner,
    pool: WorkerPool,
    result_format: ResultFormat,
    rows: int,
    max_rows: int,
    overflow: bool,
) -> None:
    content, result = runner.run(fetch(pool, numbers(rows, format=result_format, max_rows=max_rows)))
    if result_format not in {F.VOTABLE, F.VOTABLE_TABLEDATA} or rows < 100:  # astropy takes seconds
        assert count(content, result_format) == min(rows, max_rows)
    assert result.outcome is not None
    assert (result.outcome.rows, result.outcome.overflow) == (min(rows, max_rows), overflow)
    known_before = result_format in SPOOLED or rows < 65_536
    assert result.overflow is (overflow if known_before else None)
    if result_format in {F.VOTABLE, F.VOTABLE_TABLEDATA}:
        assert content.count(b'value="OVERFLOW"') == overflow


@pytest.mark.parametrize("rows", [0, 1, 200_000])
def test_gzip(runner: asyncio.Runner, pool: WorkerPool, rows: int) -> None:
    for result_format in (F.VOTABLE, F.VOTABLE_TABLEDATA, F.CSV, F.TSV, F.JSON):
        plain, _ = runner.run(fetch(pool, numbers(rows, format=result_format)))
        coded, result = runner.run(fetch(pool, numbers(rows, format=result_format, gzip=True)))
        assert gzip.decompress(coded) == plain
        assert result.outcome is not None
        assert result.outcome.bytes_out == len(coded)


def test_max_rows_of_zero(runner: asyncio.Runner, pool: WorkerPool) -> None:
    content, result = runner.run(fetch(pool, numbers(1, max_rows=0)))
    assert count(content) == 0
    assert result.overflow is True


def test_what_the_engine_calls_a_column_does_not_matter(runner: asyncio.Runner, pool: WorkerPool) -> None:
    asked = query("SELECT sum(i), 1.5, NULL FROM range(4) t(i)", *numbers(0).columns)
    content, _ = runner.run(fetch(pool, asked))
    assert columns_in(content, F.ARROW) == {"i": [6], "x": [1.5], "s": [None]}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 'a'::INTEGER AS i, 1.0, 'a'", QueryValueError),
        ("SELECT 2::HUGEINT ** 70 AS i, 1.0, 'a'", QueryValueError),
        ("SELECT nosuch, 1.0, 'a'", ServerError),
        ("SELECT 1", ServerError),  # fewer columns than announced
        ("SELECT {'a': 1}, 1.0, 'a'", ServerError),
        ("SELECT 1, 1.0, 'a'; SELECT 2, 2.0, 'b'", QueryRefusedError),
        ("COPY (SELECT 1) TO '/tmp/x.csv'", QueryRefusedError),
    ],
)
def test_early_errors(runner: asyncio.Runner, pool: WorkerPool, sql: str, expected: type[Exception]) -> None:
    for result_format in F:
        with pytest.raises(expected) as caught:
            runner.run(pool.run(query(sql, result_format=result_format, query_id="q-77")))
        assert type(caught.value) is expected
        assert caught.value.query_id == "q-77"  # type: ignore[attr-defined]
    assert pool.stats().idle == 2


@pytest.mark.parametrize("result_format", F)
def test_late_errors(runner: asyncio.Runner, pool: WorkerPool, result_format: ResultFormat) -> None:
    """A row after the first batch fails: VOTable tells inside, a stream breaks off, CSV was not yet begun."""
    asked = query(
        "SELECT CASE WHEN i = 150000 THEN 100000000000000000000 ELSE i END AS i, 1.0 AS x, 'a' AS s"
        " FROM range(200000) t(i)",
        result_format=result_format,
    )

    async def scenario() -> tuple[bytes, bool]:
        result = await pool.run(asked)
        content = b""
        try:
            async for piece in result:
                content += piece
        except QueryValueError as error:
            assert "Column 'i': Integer value out of bounds" in str(error)  # noqa: PT017
        else:
            pytest.fail("nothing was raised")
        await result.close()
        return content, result.body_complete

    if result_format in SPOOLED:
        with pytest.raises(QueryValueError, match="Column 'i': Integer value out of bounds"):
            runner.run(pool.run(asked))
        return
    content, body_complete = runner.run(scenario())
    assert body_complete is (result_format in {F.VOTABLE, F.VOTABLE_TABLEDATA})
    if body_complete:
        assert b"value=\"ERROR\">Column 'i': Integer value out of bounds" in content
        assert content.endswith(b"</VOTABLE>\n")
    elif result_format is F.PARQUET:
        assert not content.endswith(b"PAR1")
    else:
        assert b"overflow" not in content[-2000:], "the end mark of a whole stream"


async def drain(result: QueryResult, content: bytearray) -> None:
    async for piece in result:
        content += piece


def test_a_late_error_ends_the_gzip_stream_of_a_votable(runner: asyncio.Runner, pool: WorkerPool) -> None:
    late = "SELECT CASE WHEN i = 150000 THEN 100000000000000000000 ELSE i END AS i, 1.0, 'a' FROM range(200000) t(i)"

    async def scenario(result_format: ResultFormat) -> bytes:
        content = bytearray()
        async with await pool.run(replace(query(late, result_format=result_format), gzip=True)) as result:
            with pytest.raises(QueryValueError):
                await drain(result, content)
        return bytes(content)

    document = gzip.decompress(runner.run(scenario(F.VOTABLE)))
    assert b'value="ERROR"' in document
    assert document.endswith(b"</VOTABLE>\n")
    with pytest.raises(EOFError):
        gzip.decompress(runner.run(scenario(F.JSON)))


def test_a_wide_result_comes_in_small_batches(runner: asyncio.Runner, pool: WorkerPool) -> None:
    columns = tuple(Column(name=f"c{i}", datatype=DataType.DOUBLE) for i in range(1000))
    names = ", ".join(f"i + {i} AS c{i}" for i in range(1000))
    asked = query(f"SELECT {names} FROM range(10000) t(i)", *columns)
    content, result = runner.run(fetch(pool, asked))
    with pa.ipc.open_stream(content) as reader:
        sizes = [batch.num_rows for batch in reader]
    assert sum(sizes) == 10_000
    assert max(sizes) < 5_000
    assert result.outcome is not None


def test_huge_values(runner: asyncio.Runner, pool: WorkerPool) -> None:
    rows, length = 60, 800_000
    asked = query(f"SELECT i, 1.0 AS x, repeat('abcdefgh', 100000) AS s FROM range({rows}) t(i)")
    content, _ = runner.run(fetch(pool, asked))
    columns = columns_in(content, F.ARROW)
    assert columns["i"] == list(range(rows))
    assert columns["s"] == ["abcdefgh" * 100_000] * rows
    content, _ = runner.run(fetch(pool, replace(asked, format=F.VOTABLE)))
    stream = content.partition(b'encoding="base64">')[2].partition(b"</STREAM>")[0]
    assert len(base64.b64decode(stream)) == rows * (1 + 8 + 8 + 4 + 2 * length), "mask, i, x, count, UTF-16"


def test_shards(runner: asyncio.Runner, pool: WorkerPool, place: Path) -> None:
    path = write_shard(place / "shards" / "rows.parquet")
    content, _ = runner.run(fetch(pool, scan(path)))
    assert pa.ipc.open_stream(content).read_all().to_pylist() == pq.read_table(path).to_pylist()


def test_storage_errors(runner: asyncio.Runner, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> StorageError:
        pool = WorkerPool(make_config(tmp_path), size=1)
        await pool.start()
        with pytest.raises(StorageError) as caught:
            await pool.run(scan(tmp_path / "shards" / "lost.parquet", query_id="q-lost"))
        await pool.close()
        return caught.value

    assert str(tmp_path) not in str(runner.run(scenario()))
    line = json.loads(capfd.readouterr().err.strip().splitlines()[-1])
    assert (line["event"], line["query_id"], line["code"]) == ("query_failed", "q-lost", "storage")
    assert "lost.parquet" in line["detail"]


def test_the_time_limit(runner: asyncio.Runner, pool: WorkerPool) -> None:
    started = time.monotonic()
    with pytest.raises(QueryTimeoutError, match=r"time limit of 0\.4 s") as caught:
        runner.run(pool.run(query(ENDLESS, timeout_s=0.4)))
    assert caught.value.query_id == "q-1"
    assert time.monotonic() - started < 1.5
    assert pool.stats().crashes == 0


def test_waiting_is_first_come_first_served(runner: asyncio.Runner, pool: WorkerPool) -> None:
    async def scenario() -> list[str]:
        order: list[str] = []

        async def ask(name: str) -> None:
            await fetch(pool, numbers(10, query_id=name))
            order.append(name)

        blockers = [await pool.run(query(FLOOD)) for _ in range(2)]
        waiting = []
        for name in "abc":
            waiting.append(asyncio.create_task(ask(name)))
            await asyncio.sleep(0)
        assert pool.stats().queued == 3
        with pytest.raises(UnavailableError, match="3 queries are waiting") as caught:
            await pool.run(numbers(1))
        assert 1 <= caught.value.retry_after_s <= 60
        await blockers[0].close()
        await asyncio.gather(*waiting)
        await blockers[1].close()
        return order

    assert runner.run(scenario()) == ["a", "b", "c"]
    stats = pool.stats()
    assert (stats.idle, stats.busy, stats.queued) == (2, 0, 0)


def test_waiting_counts_against_the_time_limit(runner: asyncio.Runner, pool: WorkerPool) -> None:
    async def scenario() -> None:
        blockers = [await pool.run(query(FLOOD)) for _ in range(2)]
        started = time.monotonic()
        with pytest.raises(UnavailableError, match=r"no worker became free within the time limit of 0\.3 s"):
            await pool.run(numbers(1, timeout_s=0.3))
        assert 0.25 < time.monotonic() - started < 1
        assert pool.stats().queued == 0
        for blocker in blockers:
            await blocker.close()

    runner.run(scenario())


def test_giving_up_while_waiting(runner: asyncio.Runner, pool: WorkerPool) -> None:
    async def scenario() -> None:
        blockers = [await pool.run(query(FLOOD)) for _ in range(2)]
        waiting = asyncio.create_task(pool.run(numbers(1)))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert pool.stats().queued == 0
        for blocker in blockers:
            await blocker.close()

    runner.run(scenario())
    assert pool.stats().idle == 2


def test_giving_up_before_the_first_row(runner: asyncio.Runner, pool: WorkerPool) -> None:
    async def scenario() -> None:
        asking = asyncio.create_task(pool.run(query(ENDLESS)))
        await asyncio.sleep(0.3)
        assert pool.stats().busy == 1
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        started = time.monotonic()
        await until(lambda: pool.stats().idle == 2)
        assert time.monotonic() - started < 1

    runner.run(scenario())
    assert pool.stats().crashes == 0


def test_closing_a_result_frees_its_worker(runner: asyncio.Runner, pool: WorkerPool) -> None:
    async def scenario() -> None:
        result = await pool.run(query(FLOOD, result_format=F.VOTABLE))
        await anext(result)
        started = time.monotonic()
        await result.close()
        assert time.monotonic() - started < 1
        assert pool.stats().idle == 2
        await result.close()
        with pytest.raises(QueryCancelledError):
            await anext(result)

    runner.run(scenario())
    assert pool.stats().crashes == 0


def test_closing_while_another_task_reads(runner: asyncio.Runner, pool: WorkerPool) -> None:
    async def scenario() -> None:
        result = await pool.run(query(FLOOD))

        async def read() -> None:
            async for _ in result:
                pass

        reading = asyncio.create_task(read())
        await asyncio.sleep(0.1)
        await result.close()
        with pytest.raises(QueryCancelledError):
            await reading

    runner.run(scenario())
    stats = pool.stats()
    assert (stats.idle, stats.crashes) == (2, 0)


def test_a_cancelled_reader_loses_nothing(runner: asyncio.Runner, pool: WorkerPool) -> None:
    """Cancelling a read does not tear the stream of frames: the rest is still readable."""

    async def scenario() -> bytes:
        expected, _ = await fetch(pool, numbers(300_000))
        result = await pool.run(numbers(300_000))
        content = b""
        while True:
            try:
                async with asyncio.timeout(0):
                    content += await anext(result)
            except TimeoutError:
                await asyncio.sleep(0.001)
            except StopAsyncIteration:
                break
        assert content == expected
        return content

    assert count(runner.run(scenario())) == 300_000


def test_many_at_once(runner: asyncio.Runner, place: Path) -> None:
    async def scenario() -> None:
        pool = WorkerPool(make_config(place), size=2, max_queued=100)
        await pool.start()
        asked = [numbers(i * 997 % 3000, query_id=str(i)) for i in range(100)]
        answers = await asyncio.gather(*(fetch(pool, one) for one in asked))
        assert [count(content) for content, _ in answers] == [i * 997 % 3000 for i in range(100)]
        assert pool.stats().queries == 100
        await pool.close()

    runner.run(scenario())


def test_workers_are_replaced_after_enough_queries(runner: asyncio.Runner, place: Path) -> None:
    async def scenario() -> None:
        pool = WorkerPool(make_config(place), size=1, queries_per_worker=2)
        await pool.start()
        for _ in range(5):
            content, _ = await fetch(pool, numbers(3))
            assert count(content) == 3
        stats = pool.stats()
        assert (stats.restarts, stats.crashes) == (2, 0)
        await pool.close()

    runner.run(scenario())


def test_a_bloated_or_broken_worker_is_replaced(runner: asyncio.Runner, place: Path) -> None:
    async def scenario() -> None:
        pool = WorkerPool(make_config(place), size=1)
        await pool.start()
        for end in (End(rss_bytes=1 << 40), End(retire=True)):
            worker = await pool._acquire(numbers(1), Claim(), asyncio.get_running_loop().time() + 10)
            pool._release(worker, end)
            await fetch(pool, numbers(1))
            assert not psutil.pid_exists(worker.pid)
        await fetch(pool, numbers(1))
        assert pool.stats().restarts == 2
        await pool.close()

    runner.run(scenario())


def test_more_directories_can_be_allowed(runner: asyncio.Runner, place: Path) -> None:
    """Also while a worker is busy that may not read them."""
    (place / "elsewhere").mkdir()
    shard = write_shard(place / "elsewhere/a.parquet", rows=10)

    async def scenario() -> None:
        pool = WorkerPool(make_config(place), size=2)
        await pool.start()
        with pytest.raises(ServerError):
            await fetch(pool, scan(shard))
        slow = asyncio.create_task(fetch(pool, numbers(1_000_000)))
        await until(lambda: pool.stats().busy == 1)
        pool.allow((str(place / "elsewhere"),))
        for _ in range(4):
            content, _ = await fetch(pool, scan(shard))
            assert count(content) == 10
        await slow
        found = await asyncio.gather(*(fetch(pool, scan(shard)) for _ in range(4)))
        assert [count(content) for content, _ in found] == [10] * 4
        restarts = pool.stats().restarts
        pool.allow((str(place / "elsewhere"),))
        assert restarts == pool.stats().restarts == 2
        await pool.close()

    runner.run(scenario())


def test_ready(runner: asyncio.Runner, place: Path) -> None:
    async def scenario() -> None:
        pool = WorkerPool(make_config(place), size=1)
        assert not pool.ready()
        await pool.start()
        assert pool.ready()
        await pool.close()
        assert not pool.ready()
        with pytest.raises(UnavailableError, match="shutting down"):
            await pool.run(numbers(1))

    runner.run(scenario())


def test_close_ends_everything(runner: asyncio.Runner, tmp_path: Path) -> None:
    before = descriptors()

    async def scenario() -> None:
        pool = WorkerPool(make_config(tmp_path), size=2, max_queued=5)
        await pool.start()
        pids = [worker.pid for worker in pool._idle]
        running = [await pool.run(query(FLOOD)) for _ in range(2)]
        waiting = asyncio.create_task(pool.run(numbers(1)))
        await asyncio.sleep(0.05)
        await pool.close()
        with pytest.raises(UnavailableError):
            await waiting
        with pytest.raises(UnavailableError):
            async for _ in running[0]:
                pass
        await running[1].close()
        assert not any(psutil.pid_exists(pid) for pid in pids)

    runner.run(scenario())
    assert names_in(tmp_path / "temp") == []
    assert descriptors() == before


def test_a_worker_that_cannot_start(runner: asyncio.Runner, tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    config = make_config(tmp_path, address_space_bytes=600_000_000)

    async def scenario() -> None:
        pool = WorkerPool(config, size=2)
        with pytest.raises(ConfigurationError, match="worker"):
            await pool.start()
        assert not pool.ready()

    runner.run(scenario())
    assert {child.pid for child in psutil.Process().children()} == before


def test_workers_get_no_secrets(runner: asyncio.Runner, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_SERVICE_TOKEN", "s3cret")

    async def scenario() -> None:
        pool = WorkerPool(make_config(place, nice=5), size=1)
        await pool.start()
        worker = psutil.Process(pool._idle[0].pid)
        environment = worker.environ()
        assert "CATALOG_SERVICE_TOKEN" not in environment
        assert set(environment) <= {"PATH", "LANG", "TZ", "MIMALLOC_ARENA_RESERVE"} | {
            n for n in environment if n.startswith(("LD_", "LC_"))
        }
        assert worker.nice() == 5
        assert os.getsid(worker.pid) == worker.pid, "a signal to the terminal's group does not reach it"
        limits = _proc_file(worker.pid, "limits")
        assert "Max core file size        0 " in limits
        assert f"Max address space         {400_000_000 + 2**31} " in limits
        maps = _proc_file(worker.pid, "maps")
        assert "pandas" not in maps
        assert "pyarrow" in maps
        await pool.close()

    runner.run(scenario())


def _proc_file(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def test_the_parent_needs_no_duckdb() -> None:
    code = "import sys, catalog_service.engines.pool; sys.exit('duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_limits_of_the_spool(runner: asyncio.Runner, place: Path) -> None:
    async def scenario() -> None:
        pool = WorkerPool(make_config(place, max_temp_bytes=5_000_000), size=1)
        await pool.start()
        asked = numbers(1_000_000, format=F.CSV)
        with pytest.raises(LimitError, match="temporary disk space of 5 MB"):
            await pool.run(asked)
        content, _ = await fetch(pool, replace(asked, format=F.ARROW))
        assert count(content) == 1_000_000
        await pool.close()

    runner.run(scenario())
