"""Uploaded positions against a catalog: through pyvo, STILTS, this client, and as cones around many targets.

``python -m benchmarks.bench_upload --json -``: 100,000 positions over the whole sky against 10 million rows, each
within 1 arcsec of a row, with as many rows expected. Then the same as a left join, positions in one field, a radius for
each target, and 100,000 and 1,000,000 targets of the cone service.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pyvo
from astropy.table import Table

from benchmarks.process_meter import ProcessMeter
from benchmarks.serving import build_catalog, emit, running_server, synthetic_sky
from catalog_service.client import CatalogClient

UPLOADED = 100_000
MOST = 1_000_000
NEAR = "DISTANCE(POINT(t.ra, t.dec), POINT(o.ra, o.dec)) < 1 / 3600."
JOIN = f"SELECT t.id, o.id AS matched FROM TAP_UPLOAD.t AS t {{kind}} JOIN bench.sky AS o ON {NEAR}"
CONES = (
    "SELECT t.id, o.id AS matched FROM TAP_UPLOAD.t AS t JOIN bench.sky AS o"
    " ON 1 = CONTAINS(POINT(o.ra, o.dec), CIRCLE(t.ra, t.dec, t.radius))"
)


def targets(files: list[Path], count: int, seed: int, field: tuple[float, float] | None = None) -> pa.Table:
    """Return positions beside rows of the catalog, of all of it or 10 degrees of it, each with a radius in degrees."""
    rng = np.random.default_rng(seed)
    rows = pa.concat_tables([pq.read_table(path, columns=["ra", "dec"]) for path in files])
    ra, dec = (rows.column(name).to_numpy() for name in ("ra", "dec"))
    if field is not None:
        inside = (np.abs(ra - field[0]) < 5) & (np.abs(dec - field[1]) < 5)
        ra, dec = ra[inside], dec[inside]
    chosen = rng.choice(len(ra), count, replace=count > len(ra))
    shift = 0.5 / 3600
    moved = {"ra": ra[chosen], "dec": np.clip(dec[chosen] + rng.uniform(-shift, shift, count), -90, 90)}
    return pa.table({"id": np.arange(count), **moved, "radius": rng.uniform(0.6, 3, count) / 3600})


def measured(pid: int, ask: Callable[[], int]) -> dict[str, float]:
    """Return rows, seconds, and the memory of the service and its workers."""
    started = time.perf_counter()
    with ProcessMeter(pid) as meter:
        rows = ask()
    seconds = time.perf_counter() - started
    return {"rows": rows, "seconds": round(seconds, 2), "peak_mib": round(meter.peak_bytes / 2**20)}


def by_pyvo(url: str, table: pa.Table, query: str) -> int:
    """Run a query through pyvo, which uploads TABLEDATA."""
    upload = Table({name: table.column(name).to_numpy() for name in table.column_names})
    return len(pyvo.dal.TAPService(f"{url}/tap").run_sync(query, uploads={"t": upload}, maxrec=10 * MOST))


def by_stilts(url: str, directory: Path, table: pa.Table, query: str) -> int:
    """Run a query through STILTS, which uploads what it reads here from CSV."""
    source, result = directory / "targets.csv", directory / "result.csv"
    pa.csv.write_csv(table, source)
    upload = ("nupload=1", f"upload1={source}", "ufmt1=csv", "upname1=t")
    ask = (f"tapurl={url}/tap", "sync=true", f"adql={query}", f"maxrec={10 * MOST}", f"out={result}", "ofmt=csv")
    subprocess.run(["stilts", "tapquery", *ask, *upload], check=True)
    return len(result.read_text().splitlines()) - 1


def run(directory: Path, rows: int) -> dict[str, object]:
    """Build the catalog, serve it, measure."""
    inputs = directory / "inputs"
    if not inputs.is_dir():
        synthetic_sky(inputs, rows)
    build_catalog(directory, "sky", inputs, ident="id")
    files = sorted(inputs.glob("*.parquet"))
    sky, field = targets(files, UPLOADED, 1), targets(files, UPLOADED, 2, field=(120.0, 0.0))
    many = targets(files, MOST, 3)
    inner, left = JOIN.format(kind="INNER"), JOIN.format(kind="LEFT")
    maxrec = 10 * MOST
    asks: dict[str, Callable[[str], int]] = {
        "pyvo": lambda url: by_pyvo(url, sky, inner),
        "stilts": lambda url: by_stilts(url, directory, sky, inner),
        "client": lambda url: len(CatalogClient(url).query(inner, uploads={"t": sky}, maxrec=maxrec)),
        "left_join": lambda url: len(CatalogClient(url).query(left, uploads={"t": sky}, maxrec=maxrec)),
        "one_field": lambda url: len(CatalogClient(url).query(inner, uploads={"t": field}, maxrec=maxrec)),
        "radius_of_each": lambda url: len(CatalogClient(url).query(CONES, uploads={"t": sky}, maxrec=maxrec)),
        "nearest": lambda url: len(
            CatalogClient(url).cones(sky, "1arcsec", table="bench.sky", match="nearest", maxrec=maxrec)
        ),
        "nearest_of_1M": lambda url: len(
            CatalogClient(url).cones(many, "1arcsec", table="bench.sky", match="nearest", maxrec=maxrec)
        ),
    }
    figures = {}
    with running_server(directory, extra="sync_timeout_s = 600\n") as (url, pid):
        for name, ask in asks.items():
            figures[name] = measured(pid, lambda ask=ask: ask(url))  # type: ignore[misc]
    return {"benchmark": "upload", "rows": rows, "uploaded": UPLOADED, "figures": figures}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the catalog")
    parser.add_argument("--directory", type=Path, help="keep data here for the next run")
    parser.add_argument("--json", default="-")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        emit(run((arguments.directory or Path(scratch)).resolve(), arguments.rows), arguments.json)


if __name__ == "__main__":
    main()
