"""A real server on storage where each open and look-up costs 2 ms and each read 5 ms, or where reads hang."""

import csv
import io
import statistics
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioning.layout.manifest import read_partition_map
from partitioning.layout.paths import HEALPIX_COLUMN, leaf_path
from partitioning.sky.coverage import cover
from partitioning.sky.regions import Cone
from tests.faults.storage_shim.shim import FileOperations, StorageShim, build_shim
from tests.harness import RunningServer, build_table, start_server, stop_server

RADIUS_DEG = 1 / 60
COLUMNS = ("objectId", "ra", "dec", "flux0", "flux1", "flux2", "flux3")
CENTRES = ((10.5, 0.5), (11.5, 0.5), (10.5, -0.5), (11.5, -0.5), (10.9, 0.9), (11.2, -0.2), (10.1, -0.8))
QUERY_LIMIT_S = 2.0


@dataclass
class ColdService:
    """A server, its storage, and what it should answer."""

    server: RunningServer
    shim: StorageShim
    catalog: Path
    rows: pa.Table

    @property
    def workers(self) -> list[int]:
        return [process.pid for process in psutil.Process(self.server.process.pid).children()]

    def cone(self, centre: tuple[float, float]) -> list[int]:
        """Return the ids in a cone, over HTTP."""
        asked = {"RA": centre[0], "DEC": centre[1], "SR": RADIUS_DEG, "COLUMNS": ",".join(COLUMNS)}
        text = self.get("/cone/test.Object", RESPONSEFORMAT="csv", **asked).decode()
        return sorted(int(row["objectId"]) for row in csv.DictReader(io.StringIO(text)))

    def expected(self, centre: tuple[float, float]) -> list[int]:
        inside = Cone(*centre, RADIUS_DEG).contains(self.rows["ra"].to_numpy(), self.rows["dec"].to_numpy())
        ids: list[int] = np.sort(self.rows["objectId"].to_numpy()[inside]).tolist()
        return ids

    def get(self, path: str, **parameters: object) -> bytes:
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(f"{self.server.url}{path}{query}", timeout=30) as response:
            body: bytes = response.read()
        return body

    def query(self, query: str) -> bytes:
        return self.get("/tap/sync", LANG="ADQL", QUERY=query, RESPONSEFORMAT="csv")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    """Publish a dense field of 200,000 rows and 16 columns; return the catalog root and the rows."""
    root, rng, count = tmp_path_factory.mktemp("cold") / "catalogs", np.random.default_rng(1), 200_000
    columns: dict[str, Any] = {"objectId": rng.permutation(count) + (1 << 50)}
    columns |= {"ra": rng.uniform(10, 12, count), "dec": rng.uniform(-1, 1, count)}
    rows = pa.table(columns | {f"flux{n}": rng.lognormal(5, 2, count) for n in range(13)})
    options = 'ra = "ra"\ndec = "dec"\nid = ["objectId"]\ntarget_rows = 50_000\nrow_group_rows = 8192'
    build_table(root, "Object", [rows], options=options)
    return root, rows


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


def start(store: tuple[Path, pa.Table], library: Path, directory: Path, *, workers: int) -> ColdService:
    root, rows = store
    shim = StorageShim(library, root, directory / "counters", open_ms=2, read_ms=5)
    config = f"workers = {workers}\npoll_s = 3600\nsync_timeout_s = {QUERY_LIMIT_S}\n"
    server = start_server(root, directory, extra_config=config, environment=shim.environment)
    return ColdService(server, shim, root / "test" / "Object" / "Object_r1", rows)


@pytest.fixture(scope="module")
def cold(
    store: tuple[Path, pa.Table], library: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ColdService]:
    service = start(store, library, tmp_path_factory.mktemp("server"), workers=1)
    yield service
    stop_server(service.server)


@pytest.fixture
def two_workers(store: tuple[Path, pa.Table], library: Path, tmp_path: Path) -> Iterator[ColdService]:
    service = start(store, library, tmp_path, workers=2)
    yield service
    service.shim.hang(on=False)
    stop_server(service.server)


def needed_bytes(service: ColdService, centre: tuple[float, float]) -> tuple[int, int]:
    """Return the tiles that a cone meets, and the bytes of the asked columns in the row groups that it meets."""
    coverage, total = cover(Cone(*centre, RADIUS_DEG)), 0
    partitions = read_partition_map(service.catalog)
    tiles = partitions.select(coverage)
    for tile in tiles:
        metadata = pq.read_metadata(service.catalog / leaf_path(partitions.pixel(tile)))
        for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
            chunks = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
            index = chunks[HEALPIX_COLUMN].statistics
            if ((coverage[:, 0] <= index.max) & (coverage[:, 1] > index.min)).any():
                total += sum(chunks[name].total_compressed_size for name in (*COLUMNS, HEALPIX_COLUMN))
    return len(tiles), total


@pytest.mark.parametrize("centre", CENTRES)
def test_a_cone_touches_little_of_the_storage(cold: ColdService, centre: tuple[float, float]) -> None:
    tiles, needed = needed_bytes(cold, centre)
    parent, before = [cold.server.process.pid], cold.shim.total(cold.workers)
    parent_before = cold.shim.total(parent)
    assert cold.cone(centre) == cold.expected(centre)
    used = cold.shim.total(cold.workers) - before
    assert tiles <= 2
    assert used.directory_opens == used.directory_reads == used.mmaps == 0, "no directory is listed"
    assert used.opens <= 4 * tiles, "DuckDB opens a file to bind, and to scan"
    assert used.stats <= 8 * tiles
    assert used.reads <= 8 * tiles
    assert needed * 0.5 < used.bytes_read <= 1.2 * needed + 80_000 * tiles, (
        "wanted columns of wanted row groups, footers"
    )
    assert cold.shim.total(parent) - parent_before == FileOperations(), "the service itself touches nothing"


def test_no_more_is_read_the_second_time(cold: ColdService) -> None:
    def cost() -> FileOperations:
        before = cold.shim.total(cold.workers)
        cold.cone(CENTRES[0])
        return cold.shim.total(cold.workers) - before

    first, second = cost(), cost()
    assert second.opens <= first.opens
    assert second.reads <= first.reads
    assert second.bytes_read <= first.bytes_read
    assert second.stats <= first.stats


def test_a_cone_stays_below_150_ms(cold: ColdService) -> None:
    times = []
    for centre in CENTRES:
        begun = time.perf_counter()
        cold.cone(centre)
        times.append(time.perf_counter() - begun)
    assert statistics.median(times) < 0.150


def test_metadata_needs_no_storage(cold: ColdService) -> None:
    before = cold.shim.total()
    assert b"objectId" in cold.get("/tap/tables")
    assert b"test.Object" in cold.query("SELECT table_name FROM TAP_SCHEMA.tables")
    assert cold.get("/cone/test.Object", RA=1, DEC=2, SR=0)
    assert cold.shim.total() - before == FileOperations()


def test_a_cone_beside_the_catalog_reads_nothing(cold: ColdService) -> None:
    before = cold.shim.total()
    assert cold.cone((200.0, 40.0)) == []
    assert cold.shim.total() - before == FileOperations()


def test_hanging_storage_costs_a_worker_not_the_service(two_workers: ColdService) -> None:
    service = two_workers
    victims = set(service.workers)
    service.shim.hang(on=True)
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(service.query, "SELECT COUNT(ra) AS n FROM test.Object WHERE dec > 0.5")
        wait_for(lambda: service.shim.total(victims).reads > 0)
        begun = time.perf_counter()
        assert service.get("/livez")
        assert service.get("/readyz")
        assert service.get("/tap/capabilities")
        assert b"test.Object" in service.query("SELECT table_name FROM TAP_SCHEMA.tables"), "the other worker is free"
        assert time.perf_counter() - begun < QUERY_LIMIT_S
        with pytest.raises(urllib.error.HTTPError) as failure:
            stuck.result(timeout=QUERY_LIMIT_S + 8)
    assert failure.value.code == 408
    assert b"time limit of 2 s" in failure.value.read()
    wait_for(lambda: len(service.workers) == len(victims) and set(service.workers) != victims)
    service.shim.hang(on=False)
    assert service.cone(CENTRES[1]) == service.expected(CENTRES[1])
    assert service.cone(CENTRES[0]) == service.expected(CENTRES[0])
    assert len(set(service.workers) & victims) == len(victims) - 1, "the others were not replaced"


def wait_for(condition: object) -> None:
    """Wait until a condition holds, at most 20 s."""
    assert callable(condition)
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
