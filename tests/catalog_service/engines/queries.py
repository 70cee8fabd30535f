"""Queries and shards for the engines' tests."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog_service.engines.base import WorkerConfig
from catalog_service.models.query import EngineQuery, ResultFormat
from catalog_service.models.schema import Column, DataType

I = Column(name="i", datatype=DataType.LONG)  # noqa: E741 - as in i, x, s
X = Column(name="x", datatype=DataType.DOUBLE)
S = Column(name="s", datatype=DataType.TEXT)

ENDLESS = "SELECT i, 1.0 AS x, 'a' AS s FROM range(10000000000) t(i) WHERE hash(i) % 100000000000 = 7"
"""Computes for minutes and yields nothing; obeys an interrupt."""
FLOOD = "SELECT i, i / 7 AS x, 'row ' || i AS s FROM range(10000000000) t(i)"
"""Yields rows for hours."""


def stubborn(length: int = 90_000) -> str:
    """Return a text that compares two strings for about 20 s (quadratic in `length`) and obeys only a signal."""
    return f"SELECT levenshtein(repeat('a', {length}), repeat('b', {length})) AS i, 1.0 AS x, 'a' AS s"


def descriptors() -> int:
    """Return how many file descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait for a condition of another process."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def query(
    sql: str,
    *columns: Column,
    result_format: ResultFormat = ResultFormat.ARROW,
    max_rows: int = 10_000_000,
    timeout_s: float = 30.0,
    query_id: str = "q-1",
    expects_few: bool = False,
) -> EngineQuery:
    return EngineQuery(
        query_id=query_id,
        sql=sql,
        columns=columns or (I, X, S),
        format=result_format,
        max_rows=max_rows,
        timeout_s=timeout_s,
        expects_few=expects_few,
    )


def numbers(rows: int, **options: object) -> EngineQuery:
    """Return a query for `rows` rows of (i, i / 2, "n<i>")."""
    asked = query(f"SELECT i, i / 2.0 AS x, 'n' || i AS s FROM range({rows}) t(i) LIMIT {rows}")
    return replace(asked, **options)  # type: ignore[arg-type]


def make_config(directory: Path, **options: object) -> WorkerConfig:
    """Return a configuration whose shards lie in ``shards`` below `directory`."""
    shards = directory / "shards"
    shards.mkdir(exist_ok=True)
    config = WorkerConfig(
        allowed_directories=(f"{shards}/",), temp_directory=str(directory / "temp"), memory_limit_bytes=400_000_000
    )
    return replace(config, **options)  # type: ignore[arg-type]


def write_shard(path: Path, rows: int = 50_000) -> Path:
    """Write a shard of random (i, x, s)."""
    rng = np.random.default_rng(1)
    table = pa.table(
        {"i": np.arange(rows), "x": rng.random(rows), "s": [f"{v:.17f}" for v in rng.random(rows)]},
    )
    pq.write_table(table, path, row_group_size=8192)
    return path


def scan(path: Path, **options: object) -> EngineQuery:
    """Return a query for all rows of one shard."""
    asked = query(f"SELECT i, x, s FROM read_parquet(['{path}'], hive_partitioning=false)")
    return replace(asked, **options)  # type: ignore[arg-type]
