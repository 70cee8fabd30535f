"""Rows per second and the server's memory when a large result streams over HTTP, format by format.

``python -m benchmarks.bench_http_streaming --rows 1000000 --json -``: all rows and 10 columns of a synthetic catalog
through ``/tap/sync`` of a real server, read and thrown away by the client. The baseline reads the same columns of the
same files with pyarrow in one process. Memory is the largest resident set of the service process, and of its workers,
sampled every 20 ms, against its value before.
"""

import argparse
import statistics
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Self

import psutil
import pyarrow.dataset as ds

from benchmarks.serving import build_catalog, emit, running_server, synthetic_sky

COLUMNS = ["id", "ra", "dec", "u_mag", "g_mag", "r_mag", "i_mag", "z_mag", "y_mag", "pm_ra"]
FORMATS = ["arrow", "parquet", "votable", "fits", "csv", "tsv", "json", "votable/td"]


class PeakMemory:
    """Largest resident memory of a service and of its workers inside the context."""

    def __init__(self, pid: int) -> None:
        self._service = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.before = self.service = self._service.memory_info().rss
        self.workers = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.02):
            self.service = max(self.service, self._service.memory_info().rss)
            self.workers = max(self.workers, sum(p.memory_info().rss for p in self._service.children()))


def read_all(url: str, form: str, rows: int) -> tuple[float, int]:
    """Return the seconds and bytes of one result."""
    query = f"SELECT {', '.join(COLUMNS)} FROM bench.sky"
    fields = {"LANG": "ADQL", "QUERY": query, "MAXREC": str(rows), "RESPONSEFORMAT": form}
    started, size = time.perf_counter(), 0
    with urllib.request.urlopen(f"{url}/tap/sync", urllib.parse.urlencode(fields).encode(), timeout=300) as response:
        while piece := response.read(1 << 20):
            size += len(piece)
    return time.perf_counter() - started, size


def drain(catalog: Path) -> float:
    """Return the seconds that pyarrow takes to read the same columns."""
    started = time.perf_counter()
    for _ in ds.dataset(catalog / "dataset", format="parquet").to_batches(columns=COLUMNS):
        pass
    return time.perf_counter() - started


def measure(url: str, pid: int, form: str, rows: int, repeat: int) -> dict[str, float]:
    """Return the figures of one format."""
    read_all(url, form, min(rows, 100_000))
    with PeakMemory(pid) as memory:
        runs = [read_all(url, form, rows) for _ in range(repeat)]
    seconds = statistics.median(run[0] for run in runs)
    return {
        "median_s": round(seconds, 3),
        "rows_per_s": round(rows / seconds),
        "mbytes": round(runs[0][1] / 1e6, 1),
        "service_rss_growth_mb": round((memory.service - memory.before) / 1e6, 1),
        "workers_rss_mb": round(memory.workers / 1e6),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Stream a large result over HTTP in every format.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", default="-")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        synthetic_sky(directory / "sky", arguments.rows)
        build_catalog(directory, "sky", directory / "sky", ident="id")
        catalog = directory / "catalogs" / "bench" / "sky" / "sky_r1"
        floor = statistics.median(drain(catalog) for _ in range(arguments.repeat))
        with running_server(directory) as (url, pid):
            figures = {form: measure(url, pid, form, arguments.rows, arguments.repeat) for form in FORMATS}
    baseline = {"median_s": round(floor, 3), "rows_per_s": round(arguments.rows / floor)}
    emit(
        {
            "benchmark": "streaming over HTTP",
            "rows": arguments.rows,
            "columns": len(COLUMNS),
            "pyarrow_reads": baseline,
            **figures,
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
