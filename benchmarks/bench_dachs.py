"""The service beside DaCHS (PostgreSQL, q3c): the same table, the same requests, in turns.

``python -m benchmarks.bench_dachs --dachs-url http://127.0.0.1:18080 --json -``: 1 M rows of 31 columns. Each line of
the comparison is asked in rounds, one of DaCHS, one of ours, about the same random centres; ratios above 1 are in our
favour. Bodies are kept, and both must hold the same number of rows for each request. VOTables come as each service
sends them unasked: BINARY from DaCHS, whose cones have a column of distances besides, BINARY2 from ours. Clients are
threads with kept-alive connections on the same machine. It ends with status 1 if a goal is missed.

DaCHS stands already. To set it up on Debian 12:

1. Install ``gavodachs2-server``, ``postgresql-15-q3c`` and ``postgresql-15-pgsphere`` while PostgreSQL runs.
2. Configure (``/etc/gavo.rc``): in ``[web]`` the address, port and URL of this machine alone, in ``[async]``
   ``maxTAPRunning: 8``, in ``[ivoa]`` an authority.
3. ``python -m benchmarks.dachs_input $(dachs config inputsDir)/bench``; its user must be able to read that.
4. In that directory, as the user of DaCHS: ``dachs imp q; dachs imp //tap; dachs pub q; dachs limits q``.
5. ``dachs serve start`` (not ``serve debug``, which is slower).

Without a network, ``imp`` misses vocabularies: ``uat``, ``refframe``, ``timescale``, ``content_type``,
``product-type``, ``datalink/core``, ``voresource/date_role``, ``voresource/relationship_type``. Each may be a file of
the directory that ``dachs config cacheDir`` prints, named by its URI below ``http://www.ivoa.net/rdf/`` with ``=2F``
for each slash, with JSON of ``uri``, ``flavour`` and ``terms``; only ``uat`` needs a term, ``surveys``.
"""

import argparse
import base64
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import urllib3

from benchmarks.dachs_input import FIELD, objects
from benchmarks.serving import build_catalog, emit, percentiles_ms, running_server

Fields = dict[str, str]
_BYTES = {"long": 8, "double": 8, "int": 4, "float": 4, "short": 2, "char": 4 + 13}
"""In a row; the texts are the ids of 13 digits, as DaCHS's cone search writes integer ids."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the comparison: what is asked, how often, and by how much ours shall be faster."""

    name: str
    fields: Callable[[np.random.Generator], Fields]
    requests: int
    clients: int = 1
    goal: float | None = None
    """Wanted ratio: of p50 with one client, of requests a second with more."""

    @property
    def is_cone(self) -> bool:
        """Whether it goes to the cone search, not to TAP."""
        return self.name.startswith("SCS")


@dataclass(frozen=True, slots=True)
class Service:
    """One of the two services."""

    base: str
    cone: str

    def asking(self, line: Line, connections: int) -> Callable[[Fields], bytes]:
        """Return a function that sends one request of `line` and returns the body."""
        pool = urllib3.connection_from_url(self.base, maxsize=connections, block=True, timeout=300)
        path = self.cone if line.is_cone else "/tap/sync"

        def ask(fields: Fields) -> bytes:
            if line.is_cone:
                response = pool.request("GET", path, fields=fields)
            else:
                response = pool.request("POST", path, fields=fields, encode_multipart=False)
            assert response.status == 200, response.data[:500]
            return response.data

        return ask


def _centre(rng: np.random.Generator) -> tuple[float, float]:
    """Return a position at least one degree inside of the field, in degrees."""
    (west, east), (south, north) = FIELD["ra"], FIELD["dec"]
    return round(rng.uniform(west + 1, east - 1), 6), round(rng.uniform(south + 1, north - 1), 6)


def _scs(radius: float) -> Callable[[np.random.Generator], Fields]:
    def fields(rng: np.random.Generator) -> Fields:
        ra, dec = _centre(rng)
        return {"RA": str(ra), "DEC": str(dec), "SR": str(radius)}

    return fields


def _tap(query: str, form: str = "") -> Callable[[np.random.Generator], Fields]:
    def fields(rng: np.random.Generator) -> Fields:
        ra, dec = _centre(rng)
        text = query.format(ra=ra, dec=dec, id=10**12 + rng.integers(0, 10**6))
        basic = {"REQUEST": "doQuery", "LANG": "ADQL", "QUERY": text, "MAXREC": "200000"}
        return basic | ({"RESPONSEFORMAT": form} if form else {})

    return fields


_SMALL = _tap(
    "SELECT objectId, coord_ra, coord_dec, r_psfFlux FROM bench.object "
    "WHERE 1 = CONTAINS(POINT('ICRS', coord_ra, coord_dec), CIRCLE('ICRS', {ra}, {dec}, 0.0166667))"
)
_ONE = _tap("SELECT * FROM bench.object WHERE objectId = {id}")
_GROUPS = _tap("SELECT tract, COUNT(*) AS n FROM bench.object GROUP BY tract")
_BULK = "SELECT TOP 100000 * FROM bench.object"
_VOTABLE = "application/x-votable+xml;serialization="
LINES = (
    Line("SCS 60 arcsec, all columns", _scs(0.0166667), 200, goal=4),
    Line("SCS 60 arcsec, all columns", _scs(0.0166667), 400, clients=8, goal=4),
    Line("SCS 0.5 deg, all columns", _scs(0.5), 16, goal=10),
    Line("TAP cone 60 arcsec, 4 columns", _SMALL, 120, goal=5),
    Line("TAP cone 60 arcsec, 4 columns", _SMALL, 240, clients=8, goal=10),
    Line("TAP one id, all columns", _ONE, 120, goal=5),
    Line("TAP one id, all columns", _ONE, 240, clients=8, goal=10),
    Line("TAP GROUP BY tract", _GROUPS, 16),
    Line("TAP TOP 100000, CSV", _tap(_BULK, "text/csv"), 3),
    Line("TAP TOP 100000, TABLEDATA", _tap(_BULK, f"{_VOTABLE}TABLEDATA"), 3),
    Line("TAP TOP 100000, BINARY2", _tap(_BULK, f"{_VOTABLE}BINARY2"), 3, goal=20),
)


def count_rows(body: bytes) -> int:
    """Return the number of rows of a VOTable without arrays, or of a CSV file (with a header or without)."""
    if not body.startswith(b"<"):
        return len(re.findall(rb"^\d", body, re.MULTILINE))
    if (stream := re.search(rb"<STREAM[^>]*>([^<]*)</STREAM>", body)) is None:
        return len(re.findall(rb"<TR[ >]", body))
    kinds = [kind.decode() for kind in re.findall(rb'<FIELD[^>]*?\bdatatype="(\w+)"', body)]
    nulls = (len(kinds) + 7) // 8 if b"<BINARY2" in body else 0
    rows, rest = divmod(len(base64.b64decode(stream[1])), nulls + sum(_BYTES[kind] for kind in kinds))
    assert rest == 0, body[:2000]
    return rows


@dataclass(slots=True)
class Tally:
    """What one service did for one line."""

    seconds: list[float]
    wall: float = 0.0
    sent: int = 0
    rows: int = 0

    def figures(self) -> dict[str, float]:
        """Return latencies in milliseconds, requests and rows a second, and the mean size of a body in bytes."""
        asked = len(self.seconds)
        rates = {"requests_per_s": round(asked / self.wall, 2), "rows_per_s": round(self.rows / self.wall)}
        return percentiles_ms(self.seconds) | rates | {"mean_bytes": self.sent // asked}


def run_round(ask: Callable[[Fields], bytes], asked: list[Fields], clients: int, tally: Tally) -> list[int]:
    """Send the requests, `clients` at a time; return how many rows each one returned."""

    def timed(fields: Fields) -> tuple[float, bytes]:
        started = time.perf_counter()
        body = ask(fields)
        return time.perf_counter() - started, body

    with ThreadPoolExecutor(clients) as threads:
        started = time.perf_counter()
        done = list(threads.map(timed, asked))
        tally.wall += time.perf_counter() - started
    counts = [count_rows(body) for _, body in done]
    tally.seconds += [seconds for seconds, _ in done]
    tally.sent += sum(len(body) for _, body in done)
    tally.rows += sum(counts)
    return counts


def compare(line: Line, ours: Service, dachs: Service, rounds: int) -> dict[str, object]:
    """Return the figures of one line, and ratios."""
    rng = np.random.default_rng(5)
    asks = {name: service.asking(line, line.clients) for name, service in (("dachs", dachs), ("ours", ours))}
    tallies = {name: Tally([]) for name in asks}
    for ask in asks.values():
        run_round(ask, [line.fields(rng) for _ in range(min(2 * line.clients, line.requests))], line.clients, Tally([]))
    for share in np.array_split(np.arange(line.requests), min(rounds, line.requests)):
        asked = [line.fields(rng) for _ in share]
        counts = {name: run_round(ask, asked, line.clients, tallies[name]) for name, ask in asks.items()}
        assert counts["dachs"] == counts["ours"], (asked, counts)
    figures = {name: tally.figures() for name, tally in tallies.items()}
    p50 = figures["dachs"]["p50_ms"] / figures["ours"]["p50_ms"]
    rate = figures["ours"]["requests_per_s"] / figures["dachs"]["requests_per_s"]
    ratios = {"p50": round(p50, 2), "requests_per_s": round(rate, 2)}
    rows = tallies["ours"].rows / line.requests
    conditions = {"line": line.name, "clients": line.clients, "requests": line.requests, "mean_rows": round(rows, 1)}
    sys.stderr.write(f"{line.name}, {line.clients} clients: {ratios}\n")
    judged = {} if line.goal is None else {"goal": line.goal, "met": (p50 if line.clients == 1 else rate) >= line.goal}
    return conditions | figures | {"ratios": ratios} | judged | {"load_average": round(os.getloadavg()[0], 1)}


def prepare(directory: Path) -> None:
    """Partition the table as ``bench.object``, unless that is done."""
    inputs = directory / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    if not (inputs / "objects.parquet").is_file():
        pq.write_table(objects(), inputs / "objects.parquet")
    build_catalog(directory, "object", inputs, ident="objectId", position=("coord_ra", "coord_dec"))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Measure the service and a running DaCHS in turns.")
    parser.add_argument("--dachs-url", required=True, help="base URL of the DaCHS, e.g. http://127.0.0.1:18080")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each line")
    parser.add_argument("--only", default="", help="lines whose name contains this")
    parser.add_argument("--directory", type=Path, help="keep our table here for the next run")
    parser.add_argument("--cache-mb", type=int, help="worker_cache_mb of our service; 0: nothing read is kept")
    parser.add_argument("--json", default="-")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = (arguments.directory or Path(scratch)).resolve()
        prepare(directory)
        dachs = Service(arguments.dachs_url, "/bench/q/cone/scs.xml")
        kept = "" if arguments.cache_mb is None else f"worker_cache_mb = {arguments.cache_mb}\n"
        with running_server(directory, extra=kept) as (url, _):
            ours = Service(url, "/cone/bench.object")
            chosen = [line for line in LINES if arguments.only in line.name]
            lines = [compare(line, ours, dachs, arguments.rounds) for line in chosen]
    emit({"benchmark": "beside DaCHS", "cache_mb": arguments.cache_mb, "lines": lines}, arguments.json)
    sys.exit(any(line.get("met") is False for line in lines))


if __name__ == "__main__":
    main()
