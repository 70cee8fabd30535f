"""What the serving benchmarks share: data sets, a server of ours, percentiles."""

import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["build_catalog", "machine", "percentiles_ms", "running_server", "synthetic_sky"]


def synthetic_sky(path: Path, rows: int, *, seed: int = 42, files: int = 10) -> None:
    """Write `rows` stars with 11 columns in `files` unsorted Parquet files: a disc over a uniform halo."""
    path.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    per_file = rows // files
    for number in range(files):
        ra = rng.uniform(0, 360, per_file)
        halo = np.degrees(np.arcsin(rng.uniform(-1, 1, per_file)))
        disc = np.clip(rng.laplace(0, 6, per_file), -90, 90)
        dec = np.where(rng.uniform(size=per_file) < 0.7, disc, halo)
        columns = {"id": np.arange(per_file) + number * per_file, "ra": ra, "dec": dec}
        columns |= {f"{band}_mag": rng.normal(22, 2, per_file).astype(np.float32) for band in "ugrizy"}
        columns |= {"pm_ra": rng.normal(0, 5, per_file), "pm_dec": rng.normal(0, 5, per_file)}
        pq.write_table(pa.table(columns), path / f"sky{number:03d}.parquet")


def build_catalog(
    directory: Path,
    name: str,
    inputs: Path,
    *,
    ident: str,
    position: tuple[str, str] = ("ra", "dec"),
    options: str = "",
) -> dict[str, float]:
    """Partition the Parquet files below `inputs` as ``bench.<name>`` unless that is done; return rows/s."""
    root = directory / "catalogs"
    if (root / "bench" / name / "collection.properties").is_file():
        return {}
    config = directory / f"{name}.toml"
    config.write_text(
        f'[release]\nroot = "{root}"\nschema = "bench"\n[[table]]\nname = "{name}"\n'
        f'input = ["{inputs}/*.parquet"]\nra = "{position[0]}"\ndec = "{position[1]}"\nid = ["{ident}"]\n{options}\n'
    )
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "partitioning.cli", "build", str(config)], check=True, stdout=sys.stderr)
    seconds = time.perf_counter() - started
    rows = sum(pq.read_metadata(path).num_rows for path in inputs.glob("*.parquet"))
    return {"build_s": round(seconds, 2), "build_rows_per_s": round(rows / seconds)}


@contextmanager
def running_server(directory: Path, *, extra: str = "") -> Iterator[tuple[str, int]]:
    """Run the service on the catalogs below `directory`; yield (address, pid)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = directory / "service.toml"
    config.write_text(f'catalog_root = "catalogs"\nstate_dir = "state"\naccess = "public"\n{extra}')
    command = [sys.executable, "-m", "catalog_service.cli", "serve", "--config", str(config), "--port", str(port)]
    with (directory / "service.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/readyz")
            yield f"http://127.0.0.1:{port}", server.pid
        finally:
            server.terminate()
            server.wait(timeout=20)


def _wait(url: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise TimeoutError(url)


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50 and p95 in milliseconds."""
    p50, p95 = np.percentile(np.asarray(seconds) * 1000, [50, 95])
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2)}


def machine() -> dict[str, object]:
    """Return what the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cores": os.cpu_count(), "memory_gib": round(memory), "python": platform.python_version()}


def emit(result: dict[str, object], path: str) -> None:
    """Write a result as JSON to `path`, ``-`` for standard output."""
    text = json.dumps({"machine": machine(), **result}, indent=1)
    if path == "-":
        sys.stdout.write(text + "\n")
    else:
        Path(path).write_text(text + "\n", encoding="utf-8")
