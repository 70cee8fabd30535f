"""The shim itself: it sees what Python, pyarrow and DuckDB do to files, adds its delays, and hangs reads."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.storage_shim.shim import FileOperations, StorageShim, build_shim


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a Parquet file of ten row groups of incompressible numbers, and a text file."""
    directory = tmp_path_factory.mktemp("watched")
    rng = np.random.default_rng(1)
    table = pa.table({"i": np.arange(100_000), "x": rng.random(100_000), "y": rng.random(100_000)})
    pq.write_table(table, directory / "t.parquet", row_group_size=10_000, compression="none", use_dictionary=False)
    (directory / "t.txt").write_bytes(b"x" * 1000)
    return directory


def run(shim: StorageShim, code: str, *arguments: object) -> tuple[FileOperations, str]:
    """Run Python code in a watched process; return its operations and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **shim.environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return shim.total(), done.stdout


def shim_for(library: Path, prefix: Path, tmp_path: Path, **delays: float) -> StorageShim:
    return StorageShim(library, prefix, tmp_path / "counters", **delays)


def test_every_kind_of_operation_is_counted(library: Path, data: Path, tmp_path: Path) -> None:
    code = """
import os, sys, mmap
d = sys.argv[1]
fd = os.open(d + "/t.txt", os.O_RDONLY)
assert len(os.read(fd, 100)) == 100
assert len(os.pread(fd, 200, 0)) == 200
assert os.preadv(fd, [bytearray(50), bytearray(50)], 0) == 100
os.fstat(fd)
os.close(fd)
os.stat(d + "/t.txt"); os.lstat(d + "/t.txt"); os.access(d + "/t.txt", os.R_OK)
assert len(os.listdir(d)) == 2
elsewhere = os.open("/proc/self/status", os.O_RDONLY); os.read(elsewhere, 10); os.close(elsewhere)
fd = os.open(d + "/t.txt", os.O_RDONLY); mmap.mmap(fd, 0, prot=mmap.PROT_READ).close(); os.close(fd)
"""
    with shim_for(library, data, tmp_path) as shim:
        seen, _ = run(shim, code, data)
    assert (seen.opens, seen.reads, seen.bytes_read, seen.stats, seen.mmaps) == (2, 3, 400, 3, 1)
    assert seen.fstats >= 1
    assert seen.directory_opens == 1
    assert seen.directory_reads >= 2


def test_duckdb_reads_are_counted_to_the_byte(library: Path, data: Path, tmp_path: Path) -> None:
    code = """
import duckdb, sys, pathlib
before = int(pathlib.Path("/proc/self/io").read_text().split()[1])
sql = "SELECT sum(x) FROM read_parquet([?]) WHERE i BETWEEN 25000 AND 25010"
duckdb.connect(config={"threads": 1}).execute(sql, [sys.argv[1]]).fetchall()
print(int(pathlib.Path("/proc/self/io").read_text().split()[1]) - before)
"""
    path = data / "t.parquet"
    with shim_for(library, data, tmp_path) as shim:
        seen, kernel = run(shim, code, path)
    row_group = pq.read_metadata(path).row_group(2)
    needed = row_group.column(0).total_compressed_size + row_group.column(1).total_compressed_size
    assert seen.opens >= 1
    assert needed <= seen.bytes_read <= needed + 30_000
    assert seen.directory_opens == seen.directory_reads == seen.mmaps == 0
    assert seen.bytes_read <= int(kernel) <= seen.bytes_read + 20_000, (
        "the kernel counts other files, too: /proc, cgroups"
    )


def test_duckdb_globs_are_seen(library: Path, data: Path, tmp_path: Path) -> None:
    code = "import duckdb, sys; duckdb.execute('SELECT count(*) FROM read_parquet(?)', [sys.argv[1]]).fetchall()"
    with shim_for(library, data, tmp_path) as shim:
        seen, _ = run(shim, code, data / "*.parquet")
    assert seen.directory_opens >= 1


def test_pyarrow_reads_are_counted(library: Path, data: Path, tmp_path: Path) -> None:
    code = "import pyarrow.parquet as pq, sys; pq.ParquetFile(sys.argv[1]).read(columns=['x'])"
    path = data / "t.parquet"
    with shim_for(library, data, tmp_path) as shim:
        seen, _ = run(shim, code, path)
    needed = sum(pq.read_metadata(path).row_group(n).column(1).total_compressed_size for n in range(10))
    assert seen.opens == 1
    assert needed <= seen.bytes_read <= needed + 100_000


def test_delays_are_added(library: Path, data: Path, tmp_path: Path) -> None:
    code = """
import os, sys, time
start = time.perf_counter()
fd = os.open(sys.argv[1], os.O_RDONLY)
for _ in range(4): os.pread(fd, 10, 0)
print(time.perf_counter() - start)
"""
    with shim_for(library, data, tmp_path, open_ms=40, read_ms=20) as shim:
        _, seconds = run(shim, code, data / "t.txt")
    assert 0.12 <= float(seconds) < 0.6


def test_reads_hang_and_go_on(library: Path, data: Path, tmp_path: Path) -> None:
    code = "import os, sys; fd = os.open(sys.argv[1], os.O_RDONLY); print(os.read(fd, 3).decode())"
    with shim_for(library, data, tmp_path) as shim:
        shim.hang(on=True)
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(data / "t.txt")],
            env={**os.environ, **shim.environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            deadline = time.monotonic() + 30
            while shim.total().reads == 0 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
            assert process.poll() is None
            assert shim.total([process.pid]) == FileOperations(opens=1, reads=1, fstats=shim.total().fstats)
            shim.hang(on=False)
            assert process.communicate(timeout=10)[0] == "xxx\n"
        finally:
            process.kill()
            process.wait()
