"""Rows per second and the parent's memory when results stream out of a worker, format by format.

The baseline drains the same batches from DuckDB in one process, without encoding or sending them.

    python -m benchmarks.bench_streaming --rows 1000000 --repeat 3 --json -
"""

import argparse
import asyncio
import multiprocessing
import resource
import statistics
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.serving import emit
from catalog_service.engines.base import WorkerConfig
from catalog_service.engines.pool import WorkerPool
from catalog_service.models.query import EngineQuery, ResultFormat
from catalog_service.models.schema import Column, DataType

COLUMNS = (
    Column(name="objectId", datatype=DataType.LONG),
    Column(name="ra", datatype=DataType.DOUBLE, unit="deg"),
    Column(name="dec", datatype=DataType.DOUBLE, unit="deg"),
    *(Column(name=f"{band}_psfFlux", datatype=DataType.FLOAT, unit="nJy") for band in "ugrizy"),
    Column(name="extendedness", datatype=DataType.SHORT),
)


def main() -> None:
    """Run the benchmark and print its result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", default="-", help="file for the result, - for standard output")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "shards" / "rows.parquet"
        path.parent.mkdir()
        write_rows(path, arguments.rows)
        report: dict[str, Any] = {
            "benchmark": "streaming from a worker",
            "rows": arguments.rows,
            "columns": len(COLUMNS),
            "repeat": arguments.repeat,
        }
        report["drain"] = best([baseline(path) for _ in range(arguments.repeat)], arguments.rows)
        report |= asyncio.run(stream_all(path, arguments.rows, arguments.repeat))
    emit(report, arguments.json)


def write_rows(path: Path, rows: int) -> None:
    """Write `rows` random rows; a tenth of the fluxes is NULL."""
    rng = np.random.default_rng(20261122)
    arrays = [
        pa.array(rng.integers(0, 2**55, rows)),
        pa.array(rng.uniform(0, 360, rows)),
        pa.array(np.degrees(np.arcsin(rng.uniform(-1, 1, rows)))),
        *(pa.array(rng.lognormal(6, 2, rows).astype(np.float32), mask=rng.random(rows) < 0.1) for _ in "ugrizy"),
        pa.array(rng.integers(0, 2, rows).astype(np.int16)),
    ]
    table = pa.table(arrays, names=[column.name for column in COLUMNS])
    pq.write_table(table, path, row_group_size=131_072, compression="zstd", compression_level=1)


def baseline(path: Path) -> float:
    """Return the seconds that DuckDB takes to hand over all batches, in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(drain, select(path)).result()


def drain(sql: str) -> float:
    """Return the seconds to read all batches of a query."""
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "1GB"})
    connection.sql(f"SELECT * FROM ({sql}) LIMIT 1").to_arrow_reader(1).read_all()
    started = time.perf_counter()
    for _ in connection.sql(sql).to_arrow_reader(65_536):
        pass
    return time.perf_counter() - started


async def stream_all(path: Path, rows: int, repeat: int) -> dict[str, Any]:
    """Return the figures of each format through the pool."""
    with tempfile.TemporaryDirectory() as scratch:
        config = WorkerConfig(allowed_directories=(f"{path.parent}/",), temp_directory=scratch)
        pool = WorkerPool(config, size=1)
        await pool.start()
        try:
            return {fmt.value: await stream(pool, select(path), fmt, rows, repeat) for fmt in ResultFormat}
        finally:
            await pool.close()


async def stream(pool: WorkerPool, sql: str, result_format: ResultFormat, rows: int, repeat: int) -> dict[str, Any]:
    """Return the figures of one format."""
    query = EngineQuery(query_id="bench", sql=sql, columns=COLUMNS, format=result_format, max_rows=rows, timeout_s=600)
    seconds, size = [], 0
    with PeakMemory() as memory:
        for _ in range(repeat):
            started = time.perf_counter()
            async with await pool.run(query) as result:
                size = sum([len(piece) async for piece in result])
            seconds.append(time.perf_counter() - started)
            assert result.outcome is not None
            assert result.outcome.rows == rows
    return best(seconds, rows) | {"bytes": size, "parent_rss_growth_mb": round(memory.growth_bytes / 1e6, 1)}


def best(seconds: list[float], rows: int) -> dict[str, float]:
    """Return median and best of repeated runs."""
    return {
        "median_s": round(statistics.median(seconds), 4),
        "best_s": round(min(seconds), 4),
        "rows_per_s": round(rows / statistics.median(seconds)),
    }


def select(path: Path) -> str:
    """Return the query: all rows."""
    names = ", ".join(f'"{column.name}"' for column in COLUMNS)
    return f"SELECT {names} FROM read_parquet(['{path}'], hive_partitioning=false)"


class PeakMemory:
    """Growth of this process's resident memory inside the context, sampled every 5 ms."""

    def __enter__(self) -> Self:
        self._before = self._peak = _rss_bytes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def growth_bytes(self) -> int:
        """Largest growth seen."""
        return self._peak - self._before

    def _sample(self) -> None:
        while not self._stop.wait(0.005):
            self._peak = max(self._peak, _rss_bytes())


def _rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
