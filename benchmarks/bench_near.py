"""Neighbours and cross-matches over HTTP, and the same by comparing every pair.

``python -m benchmarks.bench_near --json -``: a field of one million objects per square degree; all pairs within 5
arcsec of the objects of one square degree, their nearest neighbours, and a list of 100,000 positions against the whole
field, as an inner and as a left join. The baseline is the first query on a small circle, as DuckDB runs it without
cells: it compares all pairs, and its time grows with the square of the rows. Memory is that of the service and its
workers together.
"""

import argparse
import csv
import io
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.process_meter import ProcessMeter
from benchmarks.serving import build_catalog, emit, running_server

DENSITY = 1_000_000
"""Objects per square degree."""

CENTRE = (150.0, 2.0)
SQUARE_DEGREE = 0.5642
"""Radius of a circle of one square degree, in degrees."""

SMALL = 0.04
"""Radius of the circle in which all pairs are compared, in degrees."""

MATCHES = 100_000
RADIUS = "5 / 3600."
NEAR = "DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec))"

PAIRS = (
    "SELECT COUNT(*) AS n FROM bench.field a JOIN bench.field b ON {condition} AND a.id < b.id"
    f" WHERE CONTAINS(POINT(a.ra, a.dec), CIRCLE({CENTRE[0]}, {CENTRE[1]}, {{circle}})) = 1"
)
NEAREST = (
    "SELECT COUNT(*) AS n FROM (SELECT a.id, ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY "
    f"{NEAR}) AS place FROM bench.field a JOIN bench.field b ON {NEAR} < {RADIUS} AND a.id <> b.id"
    f" WHERE CONTAINS(POINT(a.ra, a.dec), CIRCLE({CENTRE[0]}, {CENTRE[1]}, {{circle}})) = 1) q WHERE place = 1"
)
MATCH = f"SELECT COUNT(b.id) AS n FROM bench.list a {{kind}} JOIN bench.field b ON {NEAR} < 1 / 3600."


def write_field(directory: Path, rows: int) -> None:
    """Write a dense square field around the centre, and a list of positions beside objects in it."""
    rng = np.random.default_rng(3)
    half = np.sqrt(rows / DENSITY) / 2
    ra, dec = (centre + rng.uniform(-half, half, rows) for centre in CENTRE)
    chosen = rng.choice(rows, MATCHES)
    near = [values[chosen] + rng.normal(0, 0.5 / 3600, MATCHES) for values in (ra, dec)]
    for name, columns in (("field", (ra, dec)), ("list", near)):
        (directory / name).mkdir(parents=True)
        mag = rng.normal(22, 2, len(columns[0])).astype(np.float32)
        table = pa.table({"id": np.arange(len(columns[0])), "ra": columns[0], "dec": columns[1], "mag": mag})
        pq.write_table(table, directory / name / "rows.parquet")


def ask(url: str, query: str, pid: int) -> dict[str, float]:
    """Run a query that counts; return the count, its time and the memory it took."""
    fields = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv"}
    started = time.perf_counter()
    with (
        ProcessMeter(pid) as meter,
        urllib.request.urlopen(f"{url}/tap/sync", urllib.parse.urlencode(fields).encode(), timeout=600) as response,
    ):
        text = response.read().decode()
    seconds = time.perf_counter() - started
    count = int(next(csv.DictReader(io.StringIO(text)))["n"])
    return {"count": count, "seconds": round(seconds, 2), "peak_mib": round(meter.peak_bytes / 2**20)}


def run(directory: Path, rows: int) -> dict[str, object]:
    """Build the two catalogs, serve them, measure."""
    inputs = directory / "inputs"
    if not inputs.is_dir():
        write_field(inputs, rows)
    for name in ("field", "list"):
        build_catalog(directory, name, inputs / name, ident="id")
    by_cells, by_pairs = f"{NEAR} < {RADIUS}", f"({NEAR} < {RADIUS} OR a.id < -1)"
    queries = {
        "pairs_of_1_deg2": PAIRS.format(condition=by_cells, circle=SQUARE_DEGREE),
        "nearest_of_1_deg2": NEAREST.format(circle=SQUARE_DEGREE),
        "match": MATCH.format(kind="INNER"),
        "left_match": MATCH.format(kind="LEFT"),
        "small_by_cells": PAIRS.format(condition=by_cells, circle=SMALL),
        "small_by_pairs": PAIRS.format(condition=by_pairs, circle=SMALL).replace(
            " WHERE ",
            f" WHERE CONTAINS(POINT(b.ra, b.dec), CIRCLE({CENTRE[0]}, {CENTRE[1]}, {SMALL} + {RADIUS})) = 1 AND ",
        ),
    }
    figures = {}
    for name, query in queries.items():  # each on a service of its own, so that memory is that of one query
        with running_server(directory, extra="sync_timeout_s = 600\n") as (url, pid):
            figures[name] = ask(url, query, pid)
    small = figures["small_by_cells"], figures["small_by_pairs"]
    assert small[0]["count"] == small[1]["count"]
    ratio = round(small[1]["seconds"] / small[0]["seconds"], 1)
    return {"benchmark": "near", "rows": rows, "matches": MATCHES, "figures": figures, "ratio_small": ratio}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=4_000_000, help="objects of the field")
    parser.add_argument("--directory", type=Path, help="keep data here for the next run")
    parser.add_argument("--json", default="-")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        emit(run((arguments.directory or Path(scratch)).resolve(), arguments.rows), arguments.json)


if __name__ == "__main__":
    main()
