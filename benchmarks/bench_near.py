"""Near neighbours and cross-matches over HTTP, against the same question as a comparison of all pairs.

``python -m benchmarks.bench_near --json -``: all pairs within 5 arcsec in a field of 1 deg2 with a million objects; the
stars within 1 arcsec of each of 100,000 positions, among 10 million, also with the positions that have none; isolated
objects. Answers are counts, so that no delivery is measured. All pairs are compared on 20,000 rows only.
"""

import argparse
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.process_meter import ProcessMeter
from benchmarks.serving import build_catalog, emit, running_server, synthetic_sky

NEAR = "DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec)) < {arcsec}/3600.0"
PAIRS = "SELECT COUNT(*) AS n FROM bench.{table} AS a JOIN bench.{table} AS b ON {near} AND a.id < b.id"
MATCHES = "SELECT COUNT(*) AS n, COUNT(b.id) AS matched FROM bench.targets AS a {kind} JOIN bench.sky AS b ON {near}"
NEAREST = (
    "SELECT COUNT(*) AS n, AVG(d) AS mean FROM (SELECT a.id, MIN(DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec))) "
    "AS d FROM bench.targets AS a JOIN bench.sky AS b ON {near} GROUP BY a.id) AS nearest"
)
ISOLATED = (
    "SELECT COUNT(*) AS n FROM bench.dense AS a WHERE NOT EXISTS "
    "(SELECT 1 FROM bench.dense AS b WHERE {near} AND a.id <> b.id)"
)


def write_inputs(directory: Path, dense_rows: int, sky_rows: int) -> None:
    """Write the field, 20,000 rows of its density, the sky, and positions of which half lie near a star of it."""
    rng = np.random.default_rng(3)
    for name, rows in {"dense": dense_rows, "sample": 20_000}.items():
        side = (rows / 1e6) ** 0.5
        _write(directory / name, 150 + rng.uniform(0, side, rows), rng.uniform(0, side, rows))
    synthetic_sky(directory / "sky", sky_rows)
    stars = pq.read_table(directory / "sky" / "sky000.parquet", columns=["ra", "dec"]).slice(0, 50_000)
    ra, dec = (stars[name].to_numpy() for name in ("ra", "dec"))
    ra = np.concatenate([ra + rng.normal(0, 0.2 / 3600, len(ra)), rng.uniform(0, 360, len(ra))])
    dec = np.concatenate([dec + rng.normal(0, 0.2 / 3600, len(dec)), rng.uniform(-80, 80, len(dec))])
    _write(directory / "targets", ra, np.clip(dec, -90, 90))


def _write(directory: Path, ra: np.ndarray, dec: np.ndarray) -> None:
    directory.mkdir(parents=True)
    mag = np.random.default_rng(1).normal(22, 2, len(ra))
    pq.write_table(pa.table({"id": np.arange(len(ra)), "ra": ra, "dec": dec, "mag": mag}), directory / "rows.parquet")


def ask(url: str, query: str) -> str:
    """Return the answer to a query as CSV; its last line alone."""
    fields = {"LANG": "ADQL", "RESPONSEFORMAT": "csv", "QUERY": query}
    with urllib.request.urlopen(f"{url}/tap/sync", urllib.parse.urlencode(fields).encode(), timeout=900) as answer:
        return str(answer.read().decode().strip().splitlines()[-1])


def measure(url: str, pid: int, query: str) -> dict[str, object]:
    """Return the seconds of a query, the largest process meanwhile, and the answer."""
    with ProcessMeter(pid) as meter:
        started = time.perf_counter()
        answer = ask(url, query)
        seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 2), "largest_process_mb": round(meter.largest_bytes / 1e6), "answer": answer}


def run(directory: Path, dense_rows: int, sky_rows: int) -> dict[str, object]:
    """Build the tables, serve them, measure."""
    inputs = directory / "inputs"
    if not inputs.is_dir():
        write_inputs(inputs, dense_rows, sky_rows)
    for name in ("dense", "sample", "sky", "targets"):
        build_catalog(directory, name, inputs / name, ident="id")
    near, second = NEAR.format(arcsec=5), NEAR.format(arcsec=1)
    queries = {
        "near_neighbours_20k": PAIRS.format(table="sample", near=near),
        "near_neighbours_20k_all_pairs": PAIRS.format(table="sample", near=f"({near} OR a.id < 0)"),
        "near_neighbours": PAIRS.format(table="dense", near=near),
        "isolated": ISOLATED.format(near=near),
        "cross_match": MATCHES.format(kind="INNER", near=second),
        "cross_match_left": MATCHES.format(kind="LEFT", near=second),
        "nearest": NEAREST.format(near=second),
    }
    with running_server(directory, extra="sync_timeout_s = 900\n") as (url, pid):
        ask(url, "SELECT COUNT(*) AS n FROM bench.sky WHERE g_mag > 0")
        figures = {name: measure(url, pid, query) for name, query in queries.items()}
    return {"benchmark": "near", "dense_rows": dense_rows, "sky_rows": sky_rows, **figures}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dense-rows", type=int, default=1_000_000, help="objects in the field")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the synthetic sky")
    parser.add_argument("--directory", type=Path, help="keep data here for the next run")
    parser.add_argument("--json", default="-")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = (arguments.directory or Path(scratch)).resolve()
        emit(run(directory, arguments.dense_rows, arguments.rows), arguments.json)


if __name__ == "__main__":
    main()
