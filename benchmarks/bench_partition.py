"""Measure how fast, and in how much memory, unsorted Parquet becomes a published HATS catalog.

::

    python benchmarks/bench_partition.py --rows 10000000 --json -

Writes a seeded catalog of 26 columns (an id, a position, 14 fluxes and errors with NaN, integers, a band name, flags)
to a temporary directory, as unsorted files of a million rows, and builds it in a process of its own. Reports rows per
second over the whole build (every row is read, placed, spilled, sorted, written and read back), the peak resident
memory and the CPU time of that process (on a busy machine the latter says more), and the wall time of each stage. As
a baseline, the same run copies the input once with pyarrow (read, encode as the leaves are, write): the least that
any partitioner must do.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from partitioning.cli import ALLOCATOR
from partitioning.config import BuildConfig, TableConfig
from partitioning.pipeline import build

FILE_ROWS = 1_000_000
BANDS = np.array(["u", "g", "r", "i", "z", "y"])


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows to partition")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--memory-mb", type=int, default=1536, help="memory budget of the build")
    parser.add_argument("--target-rows", type=int, default=1_000_000, help="rows per tile")
    parser.add_argument("--seed", type=int, default=20260522)
    parser.add_argument("--dir", type=Path, help="directory for the temporary files")
    parser.add_argument("--json", default="-", help="file for the result, - for standard output")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        report = run(Path(directory), options)
    text = json.dumps(report, indent=1)
    if options.json == "-":
        sys.stdout.write(text + "\n")
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


def run(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Generate, copy and build; return the figures."""
    input_bytes = write_input(directory / "input", options.rows, options.seed)
    os.sync()
    copy_s = copy_baseline(directory)
    os.sync()  # what the disk still has to write is not the build's
    config = BuildConfig(
        root=directory / "catalogs",
        schema="bench",
        input_dir=directory / "input",
        tables=(
            TableConfig(
                name="Object",
                input=("*.parquet",),
                ra="ra",
                dec="dec",
                id=("objectId",),
                target_rows=options.target_rows,
            ),
        ),
        memory=options.memory_mb << 20,
        workers=options.workers,
    )
    built = in_own_process(config)
    return {
        "benchmark": "partition",
        "rows": options.rows,
        "columns": 26,
        "workers": options.workers,
        "memory_budget_mb": options.memory_mb,
        "rows_per_s": round(options.rows / built["seconds"]),
        "peak_rss_mb": built["peak_rss_mb"],
        "cpu_s": built["cpu_s"],
        "seconds": round(built["seconds"], 2),
        "stages_s": built["stages_s"],
        "tiles": built["tiles"],
        "input_mb": round(input_bytes / 1e6, 1),
        "output_mb": built["output_mb"],
        "copy_baseline_s": round(copy_s, 2),
        "ratio_to_copy": round(built["seconds"] / copy_s, 2),
    }


def in_own_process(config: BuildConfig) -> dict[str, Any]:
    """Build in a fresh process, as the command line does, so that its peak memory is the build's alone."""
    os.environ.setdefault(*ALLOCATOR)
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_build_and_report, args=(config, send))
    process.start()
    send.close()
    result: dict[str, Any] = receive.recv()
    process.join()
    return result


def _build_and_report(config: BuildConfig, send: Any) -> None:
    start = time.perf_counter()
    (table,) = build(config, report=lambda line: print(line, file=sys.stderr))
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    send.send(
        {
            "seconds": seconds,
            "cpu_s": round(used.ru_utime + used.ru_stime, 2),
            "peak_rss_mb": round(used.ru_maxrss / 1024),
            "stages_s": {stage: round(value, 2) for stage, value in table.seconds.items()},
            "tiles": len(list(table.directory.glob("dataset/Norder=*/Dir=*/*.parquet"))),
            "output_mb": round(table.manifest.bytes / 1e6, 1),
        }
    )


def write_input(directory: Path, rows: int, seed: int) -> int:
    """Write the input files and return their size in bytes."""
    directory.mkdir()
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        rng = np.random.default_rng([seed, number])
        count = min(FILE_ROWS, rows - start)
        pq.write_table(make_rows(rng, start, count), directory / f"part_{number:04d}.parquet", compression="zstd")
    return sum(path.stat().st_size for path in directory.iterdir())


def make_rows(rng: np.random.Generator, start: int, count: int) -> pa.Table:
    """Return unsorted rows on a patch of 20 x 20 degrees, a tenth of them in dense clumps."""
    clumped = rng.random(count) < 0.1
    centre = rng.integers(0, 20, count)
    ra = np.where(clumped, 50 + centre + rng.normal(0, 0.02, count), rng.uniform(50, 70, count))
    dec = np.where(clumped, -40 + centre + rng.normal(0, 0.02, count), rng.uniform(-40, -20, count))
    columns: dict[str, Any] = {
        "objectId": rng.permutation(np.arange(start, start + count)) * 7 + (1 << 55),
        "ra": ra,
        "dec": dec,
        "tract": rng.integers(2000, 5000, count),
        "band": pa.array(BANDS[rng.integers(0, 6, count)]),
        "nobs": rng.integers(0, 200, count).astype(np.int32),
        "mjd": rng.uniform(60_000, 62_000, count),
        "detect_isPrimary": rng.random(count) < 0.85,
        "flag": rng.random(count) < 0.02,
        "ebv": rng.gamma(2.0, 0.02, count).astype(np.float32),
        "z": rng.gamma(3.0, 0.3, count),
        "extendedness": rng.integers(0, 2, count).astype(np.float32),
    }
    for number in range(7):
        measured = rng.random(count) > 0.05
        columns[f"flux{number}"] = np.where(measured, rng.lognormal(5, 2, count), np.nan).astype(np.float32)
        columns[f"fluxErr{number}"] = np.where(measured, rng.lognormal(1, 0.5, count), np.nan).astype(np.float32)
    return pa.table(columns)


def copy_baseline(directory: Path) -> float:
    """Return the seconds that reading and re-encoding the input takes, without placing a row."""
    start = time.perf_counter()
    for path in sorted((directory / "input").iterdir()):
        table = pq.read_table(path)
        floats = [c.name for c in table.schema if pa.types.is_floating(c.type)]
        pq.write_table(
            table,
            directory / "copy.parquet",
            compression="zstd",
            compression_level=1,
            row_group_size=32_768,
            use_dictionary=["band"],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
