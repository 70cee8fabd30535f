"""Look-ups by id and light curves over HTTP, against reading the flat index and the row group with pyarrow.

``python -m benchmarks.bench_ids --json -``: one object by its id, the epochs of one object, and the rows of 1,000 ids,
in ADQL over ``/tap/sync`` (CSV, one kept-alive connection), on a synthetic sky of ``--rows`` objects; as many epochs,
``--epochs`` for each object that has any. And a join of all objects with their epochs, grouped, as one statement and in
batches of tiles. Page cache warm, client and server share the machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import urllib3

from benchmarks.serving import emit, percentiles_ms, running_server, synthetic_sky
from partitioning.layout.flat_index import FlatIndex
from partitioning.layout.manifest import read_manifest, read_partition_map
from partitioning.layout.paths import HEALPIX_COLUMN, leaf_path

_CONFIG = """[release]
root = "{directory}/catalogs"
schema = "bench"
[[table]]
name = "sky"
input = ["{directory}/inputs/sky/*.parquet"]
ra = "ra"
dec = "dec"
id = ["id"]
[[table]]
name = "epochs"
input = ["{directory}/inputs/epochs/*.parquet"]
position_from = {{ parent = "sky", key = ["id", "id"] }}
id = ["epoch"]
"""


def write_epochs(path: Path, objects: int, epochs: int, rows: int) -> None:
    """Write `rows` epochs, `epochs` for each of some objects drawn from all, in ten files."""
    path.mkdir(parents=True)
    rng = np.random.default_rng(3)
    chosen = rng.choice(objects, rows // epochs, replace=False)
    for number, part in enumerate(np.array_split(chosen, 10)):
        ids = np.repeat(part, epochs)
        table = {"epoch": np.arange(len(ids)) + number * 10**9, "id": ids, "mjd": rng.uniform(6e4, 6.4e4, len(ids))}
        table["flux"] = rng.normal(100, 30, len(ids)).astype(np.float32)
        pq.write_table(pa.table(table), path / f"epochs{number}.parquet")


def build(directory: Path, rows: int, epochs: int) -> None:
    """Make inputs and catalogs below `directory`, unless they are there."""
    if not (directory / "inputs" / "sky").is_dir():
        synthetic_sky(directory / "inputs" / "sky", rows)
        write_epochs(directory / "inputs" / "epochs", rows, epochs, rows)
    config = directory / "release.toml"
    config.write_text(_CONFIG.format(directory=directory))
    if not (directory / "catalogs" / "bench" / "epochs" / "collection.properties").is_file():
        subprocess.run([sys.executable, "-m", "partitioning.cli", "build", str(config)], check=True, stdout=sys.stderr)


def asking(url: str) -> Callable[[str], int]:
    """Return a function that runs a query and returns its number of rows."""
    host, port = url.removeprefix("http://").split(":")
    pool = urllib3.HTTPConnectionPool(host, int(port), maxsize=1)

    def ask(query: str) -> int:
        fields = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv", "MAXREC": "10000000"}
        response = pool.request("POST", "/tap/sync", fields=fields, timeout=300)
        assert response.status == 200, response.data[:500]
        return response.data.count(b"\n") - 1

    return ask


class Floor:
    """Finds one object as a program of its own would: flat index, partition map, one row group, warm."""

    def __init__(self, table: Path) -> None:
        release = next(path.parent.parent for path in table.glob("*/manifest/manifest.json"))
        record = next(record for record in read_manifest(release).indexes if record.column == "id")
        self._release, self._map = release, read_partition_map(release)
        self._index = FlatIndex(release.with_name(record.directory), record.rows)
        self._files: dict[int, pq.ParquetFile] = {}

    def find(self, ident: int) -> int:
        """Return the number of rows with that id."""
        found = self._index.find(np.array([ident], dtype=np.int64), 100)
        assert found is not None
        place = int(found[0][0])
        tile = int(np.searchsorted(self._map.stops, place, side="right"))
        if tile not in self._files:
            self._files[tile] = pq.ParquetFile(self._release / leaf_path(self._map.pixel(tile)))
        file = self._files[tile]
        at = file.schema_arrow.get_field_index(HEALPIX_COLUMN)
        for group in range(file.metadata.num_row_groups):
            statistics = file.metadata.row_group(group).column(at).statistics
            if statistics.min <= place <= statistics.max:
                rows = file.read_row_group(group, columns=["id", "ra", "dec", "r_mag"], use_threads=False)
                return int((rows["id"].to_numpy() == ident).sum())
        return 0


def timed(work: Callable[[str], int], texts: list[str], expected: int | None) -> list[float]:
    """Return the seconds that each query took; check its number of rows."""
    seconds = []
    for text in texts:
        started = time.perf_counter()
        found = work(text)
        seconds.append(time.perf_counter() - started)
        assert expected is None or found == expected, (text[:200], found)
    return seconds


GROUPED = (
    "SELECT FLOOR(s.r_mag) AS m, COUNT(*) AS n, AVG(e.flux) AS f FROM bench.sky AS s "
    "JOIN bench.epochs AS e ON e.id = s.id GROUP BY FLOOR(s.r_mag)"
)


def run(directory: Path, rows: int, epochs: int, queries: int) -> dict[str, object]:
    """Build what is missing, serve it, measure."""
    build(directory, rows, epochs)
    rng = np.random.default_rng(11)
    ids = rng.integers(0, rows, queries).tolist()
    sources = pq.read_table(directory / "inputs" / "epochs" / "epochs0.parquet", columns=["id"])["id"].to_numpy()
    curves = rng.choice(np.unique(sources), queries).tolist()
    floor, figures = Floor(directory / "catalogs" / "bench" / "sky"), dict[str, object]()
    with running_server(directory) as (url, _):
        ask = asking(url)
        one = [f"SELECT id, ra, dec, r_mag FROM bench.sky WHERE id = {ident}" for ident in ids]
        light = [f"SELECT mjd, flux FROM bench.epochs WHERE id = {ident} ORDER BY mjd" for ident in curves]
        many = [
            f"SELECT id, ra, dec, r_mag FROM bench.sky WHERE id IN ({', '.join(map(str, chosen))})"
            for chosen in (rng.choice(rows, 1000, replace=False).tolist() for _ in range(5))
        ]
        _warm = timed(ask, one[:30], 1), timed(ask, light[:30], epochs), timed(ask, many[:1], 1000)
        bare = []
        for ident in [*ids[:30], *ids]:
            started = time.perf_counter()
            assert floor.find(ident) == 1
            bare.append(time.perf_counter() - started)
        figures["flat_index_and_pyarrow"] = percentiles_ms(bare[30:])
        figures["one_id"] = percentiles_ms(timed(ask, one, 1))
        figures["light_curve"] = percentiles_ms(timed(ask, light, epochs))
        figures["thousand_ids"] = percentiles_ms(timed(ask, many, 1000))
    for name, extra in (("whole", ""), ("batches", "batch_files = 24\n"), ("whole_again", "")):
        with running_server(directory, extra=f"workers = 1\n{extra}") as (url, _):
            ask = asking(url)
            seconds = timed(ask, [GROUPED] * 3, None)
            figures[f"join_{name}_s"] = round(min(seconds), 2)
    return {"benchmark": "ids", "rows": rows, "epochs": epochs, "queries": queries, "figures": figures}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=10_000_000, help="objects, and epochs in all")
    parser.add_argument("--epochs", type=int, default=20, help="of each object that has any")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--directory", type=Path, help="keep data here for the next run")
    parser.add_argument("--json", default="-")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = (arguments.directory or Path(scratch)).resolve()
        emit(run(directory, arguments.rows, arguments.epochs, arguments.queries), arguments.json)


if __name__ == "__main__":
    main()
