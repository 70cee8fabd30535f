"""Measure how fast, and in how much memory, unsorted Parquet becomes a published HATS catalog.

::

    python benchmarks/bench_partition.py --rows 10000000 --json -
    python benchmarks/bench_partition.py --rows 10000000 --resume --json -          # killed at half of its units
    python benchmarks/bench_partition.py --curve 5,20,40 --json -                   # millions of rows, one by one
    python benchmarks/bench_partition.py --rows 1000000 --columns 991 --json -      # wide: MB of output a second
    python benchmarks/bench_partition.py --rows 5000000 --peer hats-import --peer-python PEER/bin/python

Writes a seeded catalog (`partition_input`) to a temporary directory and builds it, with a margin of 10 arcsec and an
id index, in a process of its own with workers. ``rows_per_s`` counts everything but `verify`: every row is read,
placed, spilled, sorted, written, indexed and counted in maps. ``verify_s`` is given beside it.

- ``peak_rss_mb``: all processes together, every 50 ms (`process_meter`).
- ``cpu_s``: user and system time of the director and its workers (``getrusage`` after the workers have ended), and of
  each stage. On a busy machine ``rows_per_s_idle``, rows per CPU second times workers, says more than ``rows_per_s``.
- ``spill_peak_mb``: most bytes in the spill directory (places, spill files, id runs), looked at four times a second;
  ``spill_ratio``: that by the bytes of the release with margin and index.
- ``copy_baseline_s``: the same input copied once with pyarrow on one thread (read, encode as the leaves are, write):
  the least that any partitioner must do.
- ``resume_extra``: what a build costs more that is killed (SIGKILL) when half of its units are done, and run again.
- ``peer``: hats-import on the same files (`peer_hats_import`), and how many times faster we are.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measured_build import Measured, build_killed_halfway, build_measured
from benchmarks.partition_input import KINDS, write_input
from benchmarks.process_meter import measured_command
from partitioning.config import BuildConfig, TableConfig, parse_size

PEER_PYTHON = "PEER_PYTHON"
"""Environment variable with the peer's Python, instead of ``--peer-python``."""


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = parse(arguments)
    counts = [round(float(number) * 1e6) for number in options.curve.split(",")] if options.curve else [options.rows]
    reports = []
    for rows in counts:
        with work_directory(options) as directory:
            reports.append(run(directory, rows, options))
    text = json.dumps(reports[0] if not options.curve else joined(reports), indent=1)
    if options.json == "-":
        sys.stdout.write(text + "\n")
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows to partition")
    parser.add_argument("--curve", metavar="M,M,...", help="millions of rows, one case after the other")
    parser.add_argument("--columns", type=int, choices=sorted(KINDS), default=26)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--memory", type=size, default="2GB", help="budget of the build")
    parser.add_argument("--target-rows", type=int, default=1_000_000, help="rows per tile")
    parser.add_argument("--resume", action="store_true", help="also kill a build halfway and run it again")
    parser.add_argument("--peer", choices=["hats-import"], help="run the peer on the same files")
    parser.add_argument("--peer-python", default=os.environ.get(PEER_PYTHON), help=f"by default ${PEER_PYTHON}")
    parser.add_argument("--seed", type=int, default=20260522)
    parser.add_argument("--dir", type=Path, help="directory for the temporary files")
    parser.add_argument("--keep", action="store_true", help="leave the files of the last case")
    parser.add_argument("--json", default="-", help="file for the result, - for standard output")
    options = parser.parse_args(arguments)
    if options.peer and not (options.peer_python and shutil.which(options.peer_python)):
        parser.error(f"--peer needs --peer-python or ${PEER_PYTHON}: see benchmarks/peer_hats_import.py")
    return options


def size(text: str) -> int:
    """Return the bytes that an option means."""
    found = parse_size(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 2GB")
    return found


@contextmanager
def work_directory(options: argparse.Namespace) -> Iterator[Path]:
    """Offer an empty directory; it is removed at the end unless it is to be kept."""
    directory = Path(tempfile.mkdtemp(prefix="bench-partition-", dir=options.dir))
    try:
        yield directory
    finally:
        if options.keep:
            print(f"kept {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory)


def run(directory: Path, rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """Generate, copy, build, and run the peer; return the figures."""
    kind = KINDS[options.columns]
    input_bytes = write_input(directory / "input", kind, rows, options.seed)
    os.sync()
    copied = copy_baseline(directory)
    (directory / "copy.parquet").unlink()
    os.sync()  # what the disk still has to write is not the build's
    load = os.getloadavg()[0]
    built = build_measured(config_of(directory, options))
    report = {
        "benchmark": "partition",
        "rows": rows,
        "columns": options.columns,
        "workers": options.workers,
        "cores": os.cpu_count(),
        "memory_budget_mb": round(options.memory / 1e6),
        "input_mb": round(input_bytes / 1e6, 1),
        **figures(built, rows, options.workers),
        "copy_baseline_s": round(copied.seconds, 2),
        "copy_baseline_cpu_s": round(copied.cpu_s, 2),
        "ratio_to_copy": round(built.build_s / copied.seconds, 2),
        "ratio_to_copy_cpu": round(built.build_cpu_s / copied.cpu_s, 2),
        "load_before_after": [round(load, 1), round(os.getloadavg()[0], 1)],
    }
    if options.resume:
        report |= resume(directory, built, options)
    if options.peer:
        report |= peer(directory, built, rows, options)
    return report


def config_of(directory: Path, options: argparse.Namespace) -> BuildConfig:
    """Return the configuration of the build."""
    table = TableConfig(
        name="Object",
        input=("*.parquet",),
        ra="ra",
        dec="dec",
        id=("objectId",),
        target_rows=options.target_rows,
        margin_arcsec=10.0,
    )
    return BuildConfig(
        root=directory / "catalogs",
        schema="bench",
        input_dir=directory / "input",
        tables=(table,),
        memory=options.memory,
        workers=options.workers,
    )


def figures(built: Measured, rows: int, workers: int) -> dict[str, Any]:
    """Return what there is to tell about one build."""
    return {
        "rows_per_s": round(rows / built.build_s),
        "rows_per_s_idle": round(rows / built.build_cpu_s * workers),
        "rows_per_cpu_s": round(rows / built.build_cpu_s),
        "output_mb_per_s": round(built.release_bytes / 1e6 / built.build_s, 1),
        "output_mb_per_s_idle": round(built.release_bytes / 1e6 / built.build_cpu_s * workers, 1),
        "peak_rss_mb": round(built.peak_bytes / 1e6),
        "peak_rss_one_process_mb": round(built.largest_bytes / 1e6),
        "seconds": round(built.seconds, 2),
        "verify_s": round(built.stages_s.get("verify", 0.0), 2),
        "cpu_s": round(built.cpu_s, 2),
        "verify_cpu_s": round(built.stages_cpu_s.get("verify", 0.0), 2),
        "stages_s": {stage: round(value, 2) for stage, value in built.stages_s.items()},
        "stages_cpu_us_per_row": {name: round(value / rows * 1e6, 3) for name, value in built.stages_cpu_s.items()},
        "tiles": built.tiles,
        "main_mb": round(built.main_bytes / 1e6, 1),
        "output_mb": round(built.release_bytes / 1e6, 1),
        "spill_peak_mb": round(built.spill_bytes / 1e6, 1),
        "spill_files": built.spill_files,
        "spill_ratio": round(built.spill_bytes / built.release_bytes, 3),
    }


def resume(directory: Path, whole: Measured, options: argparse.Namespace) -> dict[str, Any]:
    """Build once more, killed halfway and run again; return what that costs beside the uninterrupted build."""
    shutil.rmtree(directory / "catalogs")
    config = config_of(directory, options)
    killed_s, killed_cpu_s = build_killed_halfway(config, whole.units)
    rest = build_measured(config)
    return {
        "resume_killed_at_s": round(killed_s, 2),
        "resume_extra": round((killed_s + rest.seconds) / whole.seconds - 1, 3),
        "resume_extra_cpu": round((killed_cpu_s + rest.cpu_s) / whole.cpu_s - 1, 3),
    }


def peer(directory: Path, built: Measured, rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run the peer on the same files; return its figures beside ours."""
    output = directory / "peer"
    output.mkdir()
    command = [options.peer_python, str(Path(__file__).with_name("peer_hats_import.py"))]
    command += ["--input", str(directory / "input"), "--output", str(output)]
    command += ["--workers", str(options.workers), "--target-rows", str(options.target_rows)]
    text, meter = measured_command(command, {"all": output})
    told = json.loads(text.splitlines()[-1])
    seconds = sum(told["steps_s"].values())
    return {
        "peer": {
            "name": options.peer,
            **told,
            "seconds": round(seconds, 2),
            "rows_per_s": round(rows / seconds),
            "steps_rows_per_s": {name: round(rows / value) for name, value in told["steps_s"].items()},
            "rows_per_cpu_s": round(rows / meter.cpu_s),
            "cpu_s": round(meter.cpu_s, 2),
            "peak_rss_mb": round(meter.peak_bytes / 1e6),
            "peak_disk_mb": round(meter.peak_directory_bytes["all"] / 1e6, 1),
        },
        "ratio_to_peer": round(seconds / built.build_s, 2),
        "ratio_to_peer_cpu": round(meter.cpu_s / built.build_cpu_s, 2),
    }


def joined(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Return several cases as one report; ``spread`` is how much more the dearest row costs than the cheapest."""
    rates = [report["rows_per_s"] for report in reports]
    cpu_rates = [report["rows_per_cpu_s"] for report in reports]
    return {
        "benchmark": "partition curve",
        "rows": [report["rows"] for report in reports],
        "rows_per_s": rates,
        "rows_per_s_idle": [report["rows_per_s_idle"] for report in reports],
        "peak_rss_mb": [report["peak_rss_mb"] for report in reports],
        "spill_ratio": [report["spill_ratio"] for report in reports],
        "spread": round(max(rates) / min(rates) - 1, 3),
        "spread_cpu": round(max(cpu_rates) / min(cpu_rates) - 1, 3),
        "cases": reports,
    }


@dataclass(frozen=True)
class Copied:
    """What the baseline took."""

    seconds: float
    cpu_s: float


def copy_baseline(directory: Path) -> Copied:
    """Read and re-encode the input on one thread, without placing a row."""
    start, cpu = time.perf_counter(), time.process_time()
    for path in sorted((directory / "input").iterdir()):
        table = pq.read_table(path, use_threads=False)
        floats = [c.name for c in table.schema if pa.types.is_floating(c.type)]
        pq.write_table(
            table,
            directory / "copy.parquet",
            compression="zstd",
            compression_level=-1,
            row_group_size=32_768,
            use_dictionary=[c.name for c in table.schema if pa.types.is_string(c.type)],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        )
    return Copied(time.perf_counter() - start, time.process_time() - cpu)


if __name__ == "__main__":
    main()
