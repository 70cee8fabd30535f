"""What gzip as a content coding costs and gains: results in text formats over lines of several speeds.

A line is simulated by a receiver that takes no more than so many bytes a second from the worker's pool. The baseline is
the same result without gzip.

    python -m benchmarks.bench_gzip --rows 300000 --json -
"""

import argparse
import asyncio
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.bench_streaming import COLUMNS, select, write_rows
from benchmarks.serving import emit
from catalog_service.engines.base import WorkerConfig
from catalog_service.engines.pool import WorkerPool
from catalog_service.models.query import EngineQuery, ResultFormat

FORMATS = ("votable", "votable/td", "csv", "tsv", "json")
LINES_MB_PER_S = (None, 125.0, 12.5, 2.5)
"""Without limit, and lines of 1 Gbit/s, 100 Mbit/s and 20 Mbit/s."""


def main() -> None:
    """Run the benchmark and print its result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--json", default="-", help="file for the result, - for standard output")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "shards" / "rows.parquet"
        path.parent.mkdir()
        write_rows(path, arguments.rows)
        report = {"benchmark": "gzip over slow and fast lines", "rows": arguments.rows, "columns": len(COLUMNS)}
        emit(report | asyncio.run(compare(path, arguments.rows)), arguments.json)


async def compare(path: Path, rows: int) -> dict[str, Any]:
    """Return seconds and bytes by format, line and coding."""
    with tempfile.TemporaryDirectory() as scratch:
        pool = WorkerPool(WorkerConfig(allowed_directories=(f"{path.parent}/",), temp_directory=scratch), size=1)
        await pool.start()
        try:
            return {name: await lines(pool, path, name, rows) for name in FORMATS}
        finally:
            await pool.close()


async def lines(pool: WorkerPool, path: Path, name: str, rows: int) -> dict[str, Any]:
    """Return the figures of one format."""
    query = EngineQuery(
        query_id="bench", sql=select(path), columns=COLUMNS, format=ResultFormat(name), max_rows=rows, timeout_s=600
    )
    await receive(pool, query, None)
    return {
        "no limit" if speed is None else f"{speed} MB/s": {
            "plain": await receive(pool, query, speed),
            "gzip": await receive(pool, replace(query, gzip=True), speed),
        }
        for speed in LINES_MB_PER_S
    }


async def receive(pool: WorkerPool, query: EngineQuery, mb_per_s: float | None) -> dict[str, float]:
    """Return seconds and megabytes of one result that is read at a limited speed."""
    started, size = time.perf_counter(), 0
    async with await pool.run(query) as result:
        first = time.perf_counter()
        async for piece in result:
            size += len(piece)
            if mb_per_s is not None:
                ahead_s = size / (mb_per_s * 1e6) - (time.perf_counter() - first)
                await asyncio.sleep(max(0.0, ahead_s))
    return {"seconds": round(time.perf_counter() - started, 3), "mb": round(size / 1e6, 1)}


if __name__ == "__main__":
    main()
