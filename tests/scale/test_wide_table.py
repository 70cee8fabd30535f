"""A table of 991 columns: one row must not cost hundreds of megabytes, four columns not the whole tile."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from catalog_service.client import CatalogClient
from partitioning.config import load_config
from partitioning.layout.manifest import read_partition_map
from partitioning.pipeline import build
from partitioning.sky.coverage import cover
from partitioning.sky.regions import Cone
from sample_catalogs.generate import SurveyConfig, generate_survey
from tests.harness import RunningServer, start_server, stop_server

ROWS, PADDING = 120_000, 909

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    base = tmp_path_factory.mktemp("wide")
    generate_survey(
        base / "survey", SurveyConfig(n_object=ROWS, n_visit=1, padding_columns=PADDING, with_sources=False)
    )
    config = base / "build.toml"
    config.write_text(
        '[release]\nroot = "catalogs"\nschema = "wide"\n[[table]]\nname = "Object"\n'
        'input = ["survey/Object/*.parquet"]\nra = "coord_ra"\ndec = "coord_dec"\nid = ["objectId"]\n'
    )
    build(load_config(config))
    server = start_server(base / "catalogs", base, extra_config="workers = 1\n")
    yield server
    stop_server(server)


@pytest.fixture(scope="module")
def catalog(wide: RunningServer) -> Path:
    return wide.log.parent / "catalogs" / "wide" / "Object" / "Object_r1"


def bytes_read(server: RunningServer) -> int:
    """Return the bytes that the workers of all lanes have asked of the file system, page cache or not."""
    workers = psutil.Process(server.process.pid).children()
    return sum(worker.io_counters().read_chars for worker in workers)


def cost(server: RunningServer, query: str) -> tuple[int, int]:
    """Return (rows, bytes read) of a query."""
    before = bytes_read(server)
    rows = len(CatalogClient(server.url).query(query))
    return rows, bytes_read(server) - before


def test_one_row_by_position(wide: RunningServer, catalog: Path) -> None:
    leaves = sorted(catalog.glob("dataset/**/*.parquet"), key=lambda path: path.stat().st_size)
    leaf = leaves[-1]
    assert len(leaves) > 1  # neither all tiles may be read ...
    assert pq.read_metadata(leaf).num_row_groups > 2  # ... nor all of one
    assert leaf.stat().st_size > 80e6
    table = pq.read_table(leaf, columns=["coord_ra", "coord_dec"])
    assert len(pq.read_schema(leaf)) == 993  # the index, 991 columns, the number of the input file
    for row in (0, table.num_rows // 2, table.num_rows - 1):
        ra, dec = table["coord_ra"][row].as_py(), table["coord_dec"][row].as_py()
        near = f"DISTANCE(POINT(coord_ra, coord_dec), POINT({ra!r}, {dec!r})) < 1e-7"
        rows, read = cost(wide, f"SELECT * FROM wide.Object WHERE {near}")
        assert rows >= 1
        assert read <= 40e6


def test_four_columns_in_a_cone(wide: RunningServer, catalog: Path) -> None:
    partitions = read_partition_map(catalog)
    tiles = partitions.select(cover(Cone(62.0, -37.0, 0.1)))
    query = """SELECT objectId, coord_ra, coord_dec, i_psfMag FROM wide.Object
        WHERE CONTAINS(POINT(coord_ra, coord_dec), CIRCLE(62.0, -37.0, 0.1)) = 1"""
    rows, read = cost(wide, query)
    assert rows > 1000
    assert read <= 0.02 * partitions.size_bytes[tiles].sum()
