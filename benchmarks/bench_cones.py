"""Cone searches over HTTP, against reading the same row groups with pyarrow.

``python -m benchmarks.bench_cones --json -``: cones of 60 arcsec and 0.1 deg, 7 columns, VOTable (BINARY2), on the full
Tycho-2 catalog (where its Debian package is installed) and on a synthetic sky of ``--rows``; one client and eight.
Centres are drawn from the rows, so that dense places are asked more often. Page cache warm, client and server share the
machine.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import urllib3

from benchmarks.serving import build_catalog, emit, percentiles_ms, running_server, synthetic_sky
from partitioning.layout.manifest import read_partition_map
from partitioning.layout.paths import HEALPIX_COLUMN, leaf_path
from partitioning.sky.coverage import cover
from partitioning.sky.regions import Cone
from sample_catalogs.exceptions import SampleCatalogError
from sample_catalogs.make_tycho2 import make_tycho2

RADII = {"60arcsec": 60 / 3600, "0.1deg": 0.1}


class Baseline:
    """Reads the row groups that a cone meets with pyarrow, footers cached, and filters in numpy."""

    def __init__(self, catalog: Path, columns: list[str]) -> None:
        self._catalog = catalog
        self._columns = columns
        self._map = read_partition_map(catalog)
        self._files: dict[int, tuple[pq.ParquetFile, np.ndarray]] = {}

    def _file(self, tile: int) -> tuple[pq.ParquetFile, np.ndarray]:
        if tile not in self._files:
            file = pq.ParquetFile(self._catalog / leaf_path(self._map.pixel(tile)))
            at = file.schema_arrow.get_field_index(HEALPIX_COLUMN)
            groups = [file.metadata.row_group(g).column(at).statistics for g in range(file.metadata.num_row_groups)]
            self._files[tile] = (file, np.array([[g.min, g.max] for g in groups]))
        return self._files[tile]

    def cone(self, ra: float, dec: float, radius: float) -> int:
        """Return how many rows lie in the cone."""
        coverage, rows = cover(Cone(ra, dec, radius)), 0
        low, high = coverage[0, 0], coverage[-1, 1]
        for tile in self._map.select(coverage):
            file, bounds = self._file(int(tile))
            groups = np.flatnonzero((bounds[:, 1] >= low) & (bounds[:, 0] < high)).tolist()
            if groups:
                table = file.read_row_groups(groups, columns=self._columns, use_threads=False)
                inside = Cone(ra, dec, radius).contains(table["ra"].to_numpy(), table["dec"].to_numpy())
                rows += table.filter(inside).num_rows
        return rows


def timed(work: Callable[[float, float, float], object], cones: np.ndarray, radius: float) -> list[float]:
    """Return the seconds that each cone took."""
    seconds = []
    for ra, dec in cones:
        started = time.perf_counter()
        work(float(ra), float(dec), radius)
        seconds.append(time.perf_counter() - started)
    return seconds


def over_http(url: str, table: str, columns: list[str]) -> Callable[[float, float, float], object]:
    """Return a function that asks the service through one kept-alive connection."""
    pool = urllib3.HTTPConnectionPool(url.removeprefix("http://").split(":")[0], int(url.rsplit(":", 1)[1]), maxsize=1)

    def ask(ra: float, dec: float, radius: float) -> bytes:
        fields = {"RA": repr(ra), "DEC": repr(dec), "SR": repr(radius), "COLUMNS": ",".join(columns)}
        response = pool.request("GET", f"/cone/{table}", fields=fields | {"RESPONSEFORMAT": "votable"})
        assert response.status == 200, response.data[:500]
        return response.data

    return ask


def eight_clients(url: str, table: str, columns: list[str], cones: np.ndarray, radius: float) -> dict[str, float]:
    """Return latencies and the rate with eight clients at once."""
    shares, seconds = np.array_split(cones, 8), [[] for _ in range(8)]  # type: list[np.ndarray], list[list[float]]

    def run(number: int) -> None:
        seconds[number] = timed(over_http(url, table, columns), shares[number], radius)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(cones) / (time.perf_counter() - started)
    return {**percentiles_ms([s for share in seconds for s in share]), "queries_per_s": round(rate, 1)}


def measure(url: str, directory: Path, name: str, columns: list[str], inputs: Path, queries: int) -> dict[str, object]:
    """Return the figures of one catalog."""
    sample = pq.read_table(next(iter(sorted(inputs.glob("*.parquet")))), columns=["ra", "dec"])
    chosen = np.random.default_rng(7).integers(0, sample.num_rows, queries)
    cones = np.stack([sample["ra"].to_numpy()[chosen], sample["dec"].to_numpy()[chosen]], axis=1)
    baseline = Baseline(next((directory / "catalogs" / "bench" / name).glob(f"{name}_r*")), columns)
    ask = over_http(url, f"bench.{name}", columns)
    figures: dict[str, object] = {}
    for label, radius in RADII.items():
        _warm = timed(ask, cones[:20], radius), timed(baseline.cone, cones, radius)
        floor, one = timed(baseline.cone, cones, radius), timed(ask, cones, radius)
        figures[label] = {
            "rows_mean": round(
                float(np.mean([baseline.cone(float(ra), float(dec), radius) for ra, dec in cones[:50]])), 1
            ),
            "pyarrow": percentiles_ms(floor),
            "one_client": {**percentiles_ms(one), "queries_per_s": round(len(one) / sum(one), 1)},
            "ratio_p50": round(float(np.median(one) / np.median(floor)), 2),
            "eight_clients": eight_clients(url, f"bench.{name}", columns, cones, radius),
        }
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the synthetic sky")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--directory", type=Path, help="keep data here for the next run")
    parser.add_argument("--json", default="-")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = (arguments.directory or Path(scratch)).resolve()
        emit(run(directory, arguments.rows, arguments.queries), arguments.json)


def run(directory: Path, rows: int, queries: int) -> dict[str, object]:
    """Build what is missing below `directory`, serve it, measure."""
    sky = directory / "inputs" / "sky"
    if not sky.is_dir():
        synthetic_sky(sky, rows)
    catalogs = {"sky": (sky, ["id", "ra", "dec", "g_mag", "r_mag", "i_mag", "pm_ra"])}
    built = {"sky": build_catalog(directory, "sky", sky, ident="id")}
    stars = directory / "inputs" / "tycho2"
    try:
        if not stars.is_dir():
            stars.mkdir(parents=True)
            make_tycho2(stars / "tycho2.parquet")
        built["tycho2"] = build_catalog(directory, "tycho2", stars, ident="tyc_row")
        catalogs["tycho2"] = (stars, ["tyc_row", "ra", "dec", "vt_mag"])
    except SampleCatalogError as error:
        stars.rmdir()
        built["tycho2"] = {"skipped": str(error)}  # type: ignore[dict-item]
    with running_server(directory) as (url, _):
        figures = {n: measure(url, directory, n, columns, inputs, queries) for n, (inputs, columns) in catalogs.items()}
    return {"benchmark": "cones", "rows": rows, "queries": queries, "build": built, "figures": figures}


if __name__ == "__main__":
    main()
