import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from catalog_service.engines.base import QueryCancelledError, unnoticed
from catalog_service.engines.duckdb import DuckDBEngine
from catalog_service.exceptions import (
    CatalogServiceError,
    LimitError,
    QueryRefusedError,
    QueryTimeoutError,
    QueryValueError,
    ServerError,
    StorageError,
)
from catalog_service.models.query import PARTIAL_ROWS, EngineQuery
from tests.catalog_service.engines.queries import ENDLESS, FLOOD, make_config, query, scan, stubborn, write_shard


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def engine(directory: Path) -> Iterator[DuckDBEngine]:
    made = DuckDBEngine(make_config(directory, memory_limit_bytes=100_000_000, max_temp_bytes=50_000_000))
    yield made
    made.close()


def run(engine: DuckDBEngine, asked: EngineQuery, *, batch_rows: int = 65_536) -> int:
    """Return the number of rows."""
    with engine.stream(asked, timeout_s=asked.timeout_s, batch_rows=batch_rows) as stream:
        return sum(batch.num_rows for batch in stream)


def test_rows_arrive_in_bounded_batches(engine: DuckDBEngine) -> None:
    asked = query("SELECT i, i AS x, 'a' AS s FROM range(100000) t(i)")
    with engine.stream(asked, timeout_s=10, batch_rows=10_000) as stream:
        assert stream.schema.names == ["i", "x", "s"]
        sizes = [batch.num_rows for batch in stream]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 10_000


def test_an_order_survives(engine: DuckDBEngine) -> None:
    asked = query("SELECT i FROM range(200000) t(i) ORDER BY hash(i)")
    with engine.stream(asked, timeout_s=10, batch_rows=65_536) as stream:
        streamed = [value for batch in stream for value in batch.column(0).to_pylist()]
    assert sorted(streamed) == list(range(200_000))
    with engine.stream(
        query(f"SELECT i, hash(i) AS h FROM unnest({streamed[:5]}) t(i)"), timeout_s=10, batch_rows=10
    ) as stream:
        hashes = [h for batch in stream for h in batch.column(1).to_pylist()]
    assert hashes == sorted(hashes)


@pytest.mark.parametrize(
    ("sql", "expected", "message"),
    [
        ("SELECT 'a12'::INTEGER", QueryValueError, "The text 'a12' is not a 32-bit integer"),
        # the same after the first batch, where Arrow raises it
        (
            "SELECT CASE WHEN i = 150000 THEN 'a12' ELSE '1' END::INTEGER FROM range(200000) t(i)",
            QueryValueError,
            "The text 'a12' is not a 32-bit integer",
        ),
        ("SELECT 2000000000::INTEGER + 2000000000::INTEGER", QueryValueError, "An integer result does not fit"),
        ("SELECT '2024-13-01'::TIMESTAMP", QueryValueError, "The text '2024-13-01' is not a timestamp"),
        ("SELECT regexp_matches('a', '[')", QueryValueError, "cannot be converted or computed"),
        ("SELECT nosuch", ServerError, "our fault (query q-1)"),
        ("SELECT * FROM nosuch", ServerError, "our fault (query q-1)"),
        ("SELEC 1", ServerError, "our fault (query q-1)"),
    ],
)
def test_errors(engine: DuckDBEngine, sql: str, expected: type[CatalogServiceError], message: str) -> None:
    with pytest.raises(CatalogServiceError) as caught:
        run(engine, query(sql))
    assert type(caught.value) is expected
    assert message in str(caught.value)
    assert "LINE" not in str(caught.value)
    assert "SELECT" not in str(caught.value)
    assert caught.value.query_id == "q-1"
    assert run(engine, query("SELECT 1")) == 1


def test_storage_errors_hide_the_path(engine: DuckDBEngine, directory: Path) -> None:
    shards = directory / "shards"
    whole = write_shard(shards / "whole.parquet").read_bytes()
    damaged = {
        "missing": None,
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "headless": b"XXXX" + whole[4:-4] + b"XXXX",
        "zeroed": whole[:50_000] + bytes(len(whole) - 100_000) + whole[-50_000:],
    }
    for name, content in damaged.items():
        path = shards / f"{name}.parquet"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StorageError, match=r"could not be read or is damaged \(query q-1\)") as caught:
            run(engine, scan(path))
        assert str(directory) not in str(caught.value)
        assert caught.value.__cause__ is not None, "the log tells more"


def test_the_time_limit_holds(engine: DuckDBEngine) -> None:
    started = time.monotonic()
    with pytest.raises(QueryTimeoutError, match=r"time limit of 0\.3 s"):
        run(engine, query(ENDLESS, timeout_s=0.3))
    assert time.monotonic() - started < 1.5


def test_a_slow_reader_uses_up_the_time_limit(engine: DuckDBEngine) -> None:
    def read_slowly() -> None:
        with engine.stream(query(FLOOD), timeout_s=0.3, batch_rows=2048) as stream:
            for _ in stream:
                time.sleep(0.05)

    with pytest.raises(QueryTimeoutError):
        read_slowly()


def test_cancel_from_another_thread(engine: DuckDBEngine) -> None:
    timer = threading.Timer(0.2, engine.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(QueryCancelledError):
        run(engine, query(ENDLESS))
    assert time.monotonic() - started < 1.5
    timer.join()
    assert run(engine, query("SELECT 1")) == 1


def test_cancel_between_batches(engine: DuckDBEngine) -> None:
    with engine.stream(query(FLOOD), timeout_s=30, batch_rows=2048) as stream:
        batches = iter(stream)
        next(batches)
        engine.cancel()
        with pytest.raises(QueryCancelledError):
            for _ in batches:
                pass


def test_cancel_without_a_query_does_nothing(engine: DuckDBEngine) -> None:
    engine.cancel()
    assert run(engine, query("SELECT 1")) == 1


def test_leaving_a_stream_stops_the_query(engine: DuckDBEngine) -> None:
    started = time.monotonic()
    with engine.stream(query(FLOOD), timeout_s=30, batch_rows=2048) as stream:
        next(iter(stream))
    assert time.monotonic() - started < 1
    assert run(engine, query("SELECT 1")) == 1


def test_memory_and_disk_limits(engine: DuckDBEngine) -> None:
    with pytest.raises(LimitError, match="memory limit of 100 MB"):
        run(engine, query("SELECT array_agg(i || 'abcdefghijkl') FROM range(20000000) t(i)"))
    with pytest.raises(LimitError, match="temporary disk space of 50 MB"):
        run(engine, query("SELECT hash(i) || '-' || hash(i + 1) AS s, count(*) FROM range(5000000) t(i) GROUP BY s"))
    assert run(engine, query("SELECT 1")) == 1


def test_neither_limit_nor_interrupt_stops_everything(engine: DuckDBEngine) -> None:
    """What the pool's kill ladder is for, and what its tests rely on."""
    threading.Timer(0.2, engine.cancel).start()
    started = time.monotonic()
    with contextlib.suppress(QueryCancelledError, QueryTimeoutError):
        run(engine, query(stubborn(20_000), timeout_s=0.2))
    assert time.monotonic() - started > 0.4


# --- batches --------------------------------------------------------------------------------------


def batched(*parts: str, sql: str = "", most_rows: int | None = None) -> EngineQuery:
    return replace(query(sql), batches=parts, most_rows=most_rows)


def values(engine: DuckDBEngine, asked: EngineQuery, told: list[tuple[int, int]] | None = None) -> list[int]:
    progress = unnoticed if told is None else lambda done, total: told.append((done, total))
    with engine.stream(asked, timeout_s=10, batch_rows=1000, progress=progress) as stream:
        return [value for batch in stream for value in batch.column(0).to_pylist()]


def test_rows_of_batches_follow_one_another(engine: DuckDBEngine) -> None:
    parts = [f"SELECT i + {start} AS i FROM range(3000) t(i)" for start in (0, 3000, 6000)]
    told: list[tuple[int, int]] = []
    assert values(engine, batched(*parts), told) == list(range(9000))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    told.clear()
    assert values(engine, batched(*parts, most_rows=3500), told) == list(range(3500))
    assert told == [(0, 3), (1, 3)]


def test_rows_of_batches_are_merged(engine: DuckDBEngine) -> None:
    parts = [f"SELECT {start} AS i" for start in (5, 3, 4)]
    told: list[tuple[int, int]] = []
    merge = batched(*parts, sql=f"SELECT sum(i)::BIGINT AS i FROM {PARTIAL_ROWS}")
    for _ in range(2):  # each query has a table of its own
        told.clear()
        assert values(engine, merge, told) == [12]
        assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_batches_are_single_selects_too(engine: DuckDBEngine) -> None:
    for asked in (
        batched("SELECT 1", "DROP TABLE x"),
        batched("SELECT 1", "SELECT 1; SELECT 2", sql=f"FROM {PARTIAL_ROWS}"),
        batched("CREATE TABLE y AS SELECT 1", sql=f"SELECT * FROM {PARTIAL_ROWS}"),
    ):
        with pytest.raises(QueryRefusedError):
            values(engine, asked)
    assert values(engine, query("SELECT 1 AS i")) == [1]


def test_time_limit_and_errors_hold_over_batches(engine: DuckDBEngine) -> None:
    for sql in ("", f"SELECT * FROM {PARTIAL_ROWS}"):
        with pytest.raises(QueryTimeoutError):
            run(engine, replace(batched(ENDLESS, "SELECT 1 AS i", sql=sql), timeout_s=0.5))
        with pytest.raises(QueryValueError):
            values(engine, batched("SELECT 1 AS i", "SELECT CAST('a' AS INTEGER) AS i", sql=sql))
    assert values(engine, query("SELECT 1 AS i")) == [1]


@pytest.mark.parametrize("sql", ["", f"SELECT * FROM {PARTIAL_ROWS}"])
def test_batches_can_be_cancelled(engine: DuckDBEngine, sql: str) -> None:
    timer = threading.Timer(0.3, engine.cancel)
    timer.start()
    with pytest.raises(QueryCancelledError):
        values(engine, batched(ENDLESS, "SELECT 1 AS i", sql=sql))
    timer.join()
    assert values(engine, query("SELECT 1 AS i")) == [1]


def rows_of(engine: DuckDBEngine, asked: EngineQuery) -> list[dict[str, object]]:
    with engine.stream(asked, timeout_s=10, batch_rows=10_000) as stream:
        return [row for batch in stream for row in batch.to_pylist()]


@pytest.mark.parametrize("rows", [0, 1, 2048, 2049, 30_000])
def test_few_rows_at_once_are_those_of_a_stream(engine: DuckDBEngine, rows: int) -> None:
    """In their order, whether they are as few as was expected or not."""
    asked = query(f"SELECT i, i / 2 AS x, 'a' AS s FROM range({rows}) t(i) ORDER BY hash(i)")
    few = rows_of(engine, replace(asked, expects_few=True))
    assert few == rows_of(engine, asked)
    assert len(few) == rows


def test_few_rows_are_refused_timed_and_cancelled_like_a_stream(engine: DuckDBEngine) -> None:
    for sql in ("SELECT 1) AS t; DROP TABLE x; SELECT * FROM (SELECT 1", "DROP TABLE x"):
        with pytest.raises((QueryRefusedError, ServerError)):
            run(engine, query(sql, expects_few=True))
    with pytest.raises(QueryTimeoutError):
        run(engine, query(ENDLESS, timeout_s=0.2, expects_few=True))
    threading.Timer(0.3, engine.cancel).start()
    with pytest.raises(QueryCancelledError):
        run(engine, query(ENDLESS, expects_few=True))
    assert run(engine, query("SELECT 1 AS i, 1.0 AS x, 'a' AS s", expects_few=True)) == 1


def test_kept_footers_are_those_of_the_files_that_are_there(engine: DuckDBEngine, directory: Path) -> None:
    """They are kept for queries that ask for it; a file that was replaced is read anew."""
    path = directory / "shards" / "kept.parquet"
    write_shard(path, rows=1000)
    kept = scan(path, keeps_footers=True)
    cached = query("SELECT memory_usage_bytes AS i FROM duckdb_memory() WHERE tag = 'OBJECT_CACHE'")
    assert run(engine, replace(kept, keeps_footers=False)) == 1000
    without = values(engine, cached)[0]
    assert run(engine, kept) == run(engine, replace(kept, expects_few=True)) == 1000
    assert values(engine, cached)[0] > without + 500
    write_shard(path, rows=2000)
    os.utime(path, (2e9, 2e9))
    assert run(engine, kept) == 2000
