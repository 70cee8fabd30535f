"""The kernel's limits on a worker: whatever ran in it could not change the shards, start a program, or call home."""

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from catalog_service.engines.confinement import confine
from catalog_service.engines.pool import WorkerPool
from catalog_service.exceptions import CatalogServiceError
from tests.catalog_service.engines.queries import make_config, numbers

PROBES = """
    import errno, os, socket, subprocess, sys
    from catalog_service.engines.confinement import confine

    inside, outside, port = sys.argv[1:]
    version = confine((inside, inside + "/missing"))

    def probe(name, call):
        try:
            call()
            print(name, "done")
        except OSError as error:
            print(name, errno.errorcode[error.errno])

    shard = outside + "/shard.parquet"
    print("version", version)
    probe("read outside", lambda: open(shard).read())
    probe("write inside", lambda: open(inside + "/new", "w").write("x"))
    probe("remove inside", lambda: os.remove(inside + "/new"))
    probe("write outside", lambda: open(shard, "r+"))
    probe("make outside", lambda: open(outside + "/new", "w"))
    probe("truncate outside", lambda: os.truncate(shard, 0))
    probe("remove outside", lambda: os.remove(shard))
    probe("rename outside", lambda: os.rename(shard, inside + "/shard.parquet"))
    probe("link outside", lambda: os.symlink(shard, outside + "/link"))
    probe("start a program", lambda: subprocess.run([sys.executable, "-V"], check=True))
    probe("connect", lambda: socket.create_connection(("127.0.0.1", int(port))))
"""


@pytest.fixture
def landlock() -> int:
    """Return the version of the kernel's Landlock."""
    run = [sys.executable, "-c", "from catalog_service.engines.confinement import confine; print(confine(()))"]
    version = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    if not version:
        pytest.skip("this kernel has no Landlock")
    return version


def test_what_a_confined_process_cannot_do(tmp_path: Path, landlock: int) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for directory in (inside, outside):
        directory.mkdir()
    (outside / "shard.parquet").write_text("rows")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = [str(inside), str(outside), str(listener.getsockname()[1])]
        program = [sys.executable, "-c", textwrap.dedent(PROBES), *arguments]
        run = subprocess.run(program, capture_output=True, text=True, check=True)
    found = dict(line.rsplit(" ", 1) for line in run.stdout.splitlines())
    assert found.pop("version") == str(landlock)
    allowed = {name for name, outcome in found.items() if outcome == "done"}
    assert allowed == {"read outside", "write inside", "remove inside"} | set(_unknown_to(landlock))
    assert {found[name] for name in found.keys() - allowed} <= {"EACCES", "EXDEV"}
    assert (outside / "shard.parquet").read_text() == "rows"
    assert os.listdir(outside) == ["shard.parquet"]  # noqa: PTH208 - names


def _unknown_to(version: int) -> list[str]:
    """Return what an older kernel cannot forbid."""
    return ["truncate outside"] * (version < 3) + ["connect"] * (version < 4)


@pytest.mark.usefixtures("landlock")
def test_a_worker_writes_results_where_results_belong_and_nowhere_else(tmp_path: Path) -> None:
    results, shards = tmp_path / "results", tmp_path / "shards"
    results.mkdir()
    config = make_config(tmp_path, writable_directories=(str(results),))

    async def scenario() -> None:
        pool = WorkerPool(config, size=1)
        await pool.start()
        try:
            for directory in (results, shards):
                asked = numbers(10, target=str(directory / "result"), max_bytes=1_000_000)
                async with await pool.run(asked) as result:
                    async for _ in result:
                        pass
        finally:
            await pool.close()

    with pytest.raises(CatalogServiceError):
        asyncio.run(scenario())
    assert [path.name for path in results.iterdir()] == ["result"]
    assert list(shards.iterdir()) == []


def test_a_kernel_that_refuses_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def syscall(self, number: int, attributes: object, *_: object) -> int:
            return 1 if number == 444 and attributes is None else -1

    monkeypatch.setattr("catalog_service.engines.confinement._libc", Refusing())
    with pytest.raises(OSError, match="Landlock"):
        confine(())
