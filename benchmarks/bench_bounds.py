"""Build awkward inputs with little memory, and measure what the build takes: memory, open files, spill.

::

    python -m benchmarks.bench_bounds --memory-mb 400 --scale 1 --cases all

Each case is built twice in processes of their own: within the budget, and with plenty. The releases must be the same,
byte for byte. Reported are the peak of the resident memory of all processes together (shared pages counted once, by
proportional set size), of their open files, and the largest spill.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.kill_builds import CREATED
from partitioning.cli import ALLOCATOR
from partitioning.config import BuildConfig, TableConfig
from partitioning.pipeline import build

__all__ = ["CASES", "config", "measure", "watched"]

_POLL_S: Final = 0.02


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory-mb", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the inputs; 1: about 200 MB in memory")
    parser.add_argument("--cases", nargs="+", choices=["all", *CASES], default=["all"])
    parser.add_argument("--dir", type=Path, help="directory for the temporary files")
    options = parser.parse_args(arguments)
    report = {}
    for case in CASES if "all" in options.cases else options.cases:
        with tempfile.TemporaryDirectory(dir=options.dir) as directory:
            report[case] = measure(Path(directory), case, options.scale, options.memory_mb << 20, options.workers)
        print(case, json.dumps(report[case]), file=sys.stderr)
    sys.stdout.write(json.dumps({"benchmark": "bounds", "memory_mb": options.memory_mb, **report}, indent=1) + "\n")


def measure(base: Path, case: str, scale: float, memory: int, workers: int) -> dict[str, Any]:
    """Build one case with little memory and with plenty; return the figures."""
    CASES[case](base / "input", scale)
    found = watched(config(base, base / "scarce", memory, workers), _build)
    plenty = watched(config(base, base / "plenty", 4 << 30, 1), _build)
    return {
        **found,
        "peak_with_plenty_mb": plenty["peak_mb"],
        "same_bytes": digest(base / "scarce") == digest(base / "plenty"),
        "input_mb": round(sum(path.stat().st_size for path in (base / "input").iterdir()) / 1e6, 1),
    }


def digest(root: Path) -> str:
    """Return a checksum of all files below a directory, and their names."""
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(root)).encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def config(base: Path, root: Path, memory: int, workers: int) -> BuildConfig:
    """Return the configuration of a build of one table."""
    table = TableConfig(
        name="Object",
        input=("input/*.parquet",),
        ra="ra",
        dec="dec",
        id=("id",),
        target_rows=100_000,
        margin_arcsec=5.0,
    )
    return BuildConfig(root=root, schema="bounds", input_dir=base, tables=(table,), memory=memory, workers=workers)


def watched(wanted: BuildConfig, run: Callable[[BuildConfig], None]) -> dict[str, Any]:
    """Run a function of a module on a configuration in a process of its own; return the figures."""
    os.environ.setdefault(*ALLOCATOR)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=run, args=(wanted,))
    peak = {"memory": 0, "files": 0, "processes": 0, "spill": 0}
    start = time.perf_counter()
    process.start()
    assert process.pid is not None
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, wanted.root, peak, stop))
    watcher.start()
    process.join()
    stop.set()
    watcher.join()
    if process.exitcode != 0:
        msg = f"the build ended with code {process.exitcode}"
        raise RuntimeError(msg)
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "peak_mb": round(peak["memory"] / (1 << 20)),
        "processes": peak["processes"],
        "open_files": peak["files"],
        "spill_mb": round(peak["spill"] / 1e6, 1),
    }


def _build(wanted: BuildConfig) -> None:
    build(wanted, created=CREATED)


def _watch(pid: int, root: Path, peak: dict[str, int], stop: threading.Event) -> None:
    """Note the peaks of a process and its descendants until told to stop."""
    while not stop.wait(_POLL_S):
        try:
            director = psutil.Process(pid)
            family = [director, *director.children(recursive=True)]
        except psutil.Error:
            continue
        _raise(peak, "memory", sum(_tell(lambda one=one: one.memory_full_info().pss) for one in family))  # type: ignore[misc]
        _raise(peak, "files", max(_tell(lambda one=one: one.num_fds()) for one in family))  # type: ignore[misc]
        _raise(peak, "processes", len(family))
        _raise(peak, "spill", _bytes_below(root / "bounds/Object/.staging/spill"))


def _raise(peak: dict[str, int], name: str, value: int) -> None:
    peak[name] = max(peak[name], value)


def _tell(ask: Callable[[], int]) -> int:
    try:
        return ask()
    except (psutil.Error, OSError):
        return 0


def _bytes_below(directory: Path) -> int:
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            total += _tell(lambda path=Path(folder, name): path.stat().st_size)  # type: ignore[misc]
    return total


def _write(directory: Path, tables: Iterator[pa.Table], **options: Any) -> None:
    directory.mkdir()
    for number, table in enumerate(tables):
        pq.write_table(table, directory / f"part{number:04d}.parquet", **options)


def _rows(rng: np.random.Generator, count: int, first: int, **columns: Any) -> pa.Table:
    ids = first + rng.permutation(count)
    ra, dec = rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return pa.table({"id": ids, "ra": ra, "dec": dec, **columns})


def _at(table: pa.Table, **position: Any) -> pa.Table:
    for name, values in position.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


def one_position(directory: Path, scale: float) -> None:
    """Put all rows at one position: one tile, larger than memory, sorted by id alone."""
    count = int(1_000_000 * scale)

    def tables() -> Iterator[pa.Table]:
        for number in range(4):
            rng = np.random.default_rng([1, number])
            table = _rows(rng, count, number * count, flux=rng.normal(0, 1, count), mag=rng.normal(0, 1, count))
            yield _at(table, ra=np.full(count, 45.0), dec=np.full(count, -10.0))

    _write(directory, tables())


def dense_core(directory: Path, scale: float) -> None:
    """Crowd nine rows of ten within an arcsecond or so: a globular cluster and worse."""
    count = int(1_000_000 * scale)

    def tables() -> Iterator[pa.Table]:
        for number in range(4):
            rng = np.random.default_rng([2, number])
            table = _rows(rng, count, number * count, flux=rng.normal(0, 1, count), mag=rng.normal(0, 1, count))
            core = rng.random(count) < 0.9
            ra = np.where(core, 201.7 + rng.normal(0, 5e-4, count), table["ra"].to_numpy())
            yield _at(table, ra=ra, dec=np.where(core, -47.5 + rng.normal(0, 5e-4, count), table["dec"].to_numpy()))

    _write(directory, tables())


def wide(directory: Path, scale: float) -> None:
    """Make a table of 320 columns."""
    count = int(20_000 * scale)

    def tables() -> Iterator[pa.Table]:
        for number in range(4):
            rng = np.random.default_rng([3, number])
            yield _rows(rng, count, number * count, **{f"c{n}": rng.normal(0, 1, count) for n in range(317)})

    _write(directory, tables(), use_dictionary=False, compression="none")


def long_texts(directory: Path, scale: float) -> None:
    """Make rows of some bytes at first, of ten thousand later: the mean of a sample says nothing."""
    count = int(20_000 * scale)

    def tables() -> Iterator[pa.Table]:
        for number in range(2):
            rng = np.random.default_rng([4, number])
            texts = np.where(np.arange(count) < count // 2, "", "lorem ipsum " * 900)
            yield _rows(rng, count, number * count, text=pa.array(texts))

    _write(directory, tables(), row_group_size=1 << 20, use_dictionary=False)


def one_row_group(directory: Path, scale: float) -> None:
    """Put all rows in one row group of one file."""
    count = int(2_000_000 * scale)
    rng = np.random.default_rng(5)
    _write(
        directory,
        iter([_rows(rng, count, 0, **{f"c{n}": rng.normal(0, 1, count) for n in range(9)})]),
        row_group_size=count,
        use_dictionary=False,
    )


def many_files(directory: Path, scale: float) -> None:
    """Write five hundred files of a hundred rows."""
    files = int(500 * scale)
    _write(directory, (_rows(np.random.default_rng([6, number]), 100, number * 100) for number in range(files)))


def one_id(directory: Path, scale: float) -> None:
    """Give nine million rows two ids: an index of a visit, or of a field."""
    count = int(3_000_000 * scale)

    def tables() -> Iterator[pa.Table]:
        for number in range(3):
            table = _rows(np.random.default_rng([7, number]), count, 0)
            yield _at(table, id=np.where(np.arange(count) < count // 9, 1, 2))

    _write(directory, tables())


CASES: Final[Mapping[str, Callable[[Path, float], None]]] = {
    case.__name__: case for case in (one_position, dense_core, wide, long_texts, one_row_group, many_files, one_id)
}


if __name__ == "__main__":
    main()
