"""What tests share besides fixtures: servers, stores built from tables, requirements."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.config import load_config
from partitioning.pipeline import build

__all__ = [
    "RunningServer",
    "SampleStore",
    "build_table",
    "directory_of_run",
    "examples",
    "free_port",
    "require",
    "start_server",
    "stop_server",
]


def require(condition: object, reason: str) -> None:
    """Skip the test unless `condition` holds; with REQUIRE_ALL=1 fail instead."""
    if not condition:
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(f"REQUIRE_ALL=1, but {reason}")
        pytest.skip(reason)


def examples(every_day: int, at_night: int) -> int:
    """Return how many examples a costly property is tried with: the larger number if CATALOG_SERVICE_TESTS=nightly."""
    return at_night if os.environ.get("CATALOG_SERVICE_TESTS") == "nightly" else every_day


def directory_of_run(factory: pytest.TempPathFactory) -> Path:
    """Return a directory that all processes of a test run share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@dataclass(frozen=True)
class SampleStore:
    """Published sample catalogs and the input files they were built from."""

    root: Path
    tycho2: Path
    """Parquet file of `tycho2.stars`."""
    survey: Path
    """Directory of the synthetic survey's input tables."""


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class RunningServer:
    """A server process of ours."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


def start_server(
    root: Path,
    directory: Path,
    *,
    access: str | None = "public",
    extra_config: str = "",
    environment: dict[str, str] | None = None,
) -> RunningServer:
    """Start `catalog-service serve` on the catalogs below `root`; wait until it is ready."""
    port = free_port()
    config = directory / "service.toml"
    rule = "" if access is None else f'access = "{access}"\n'
    config.write_text(f'catalog_root = "{root}"\nstate_dir = "{directory / "state"}"\n{rule}{extra_config}')
    log = directory / "service.log"
    command = [sys.executable, "-m", "catalog_service.cli", "serve", "--config", str(config), "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(environment or {})})
    server = RunningServer(f"http://127.0.0.1:{port}", process, log)
    for _ in range(600):
        if process.poll() is not None:
            pytest.fail(f"the server ended at once:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(f"{server.url}/readyz", timeout=5):
                return server
        except OSError:
            time.sleep(0.05)
    stop_server(server)
    pytest.fail(f"the server did not become ready:\n{log.read_text()}")


def stop_server(server: RunningServer) -> None:
    """Stop a server that `start_server` started."""
    server.process.terminate()
    try:
        server.process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
        raise


def build_table(root: Path, name: str, tables: list[pa.Table], *, schema: str = "test", options: str = "") -> None:
    """Publish `tables` (one input file each) as ``schema.name`` below `root`; `options` are lines of TOML."""
    inputs = root.parent / "inputs" / schema / name
    inputs.mkdir(parents=True, exist_ok=True)
    for number, table in enumerate(tables):
        pq.write_table(table, inputs / f"part{number}.parquet")
    config = inputs / "build.toml"
    config.write_text(
        f'[release]\nroot = "{root}"\nschema = "{schema}"\n[[table]]\nname = "{name}"\n'
        f'input = ["part*.parquet"]\n{options}\n'
    )
    build(load_config(config))
