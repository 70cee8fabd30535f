"""Columns of types that VOTable has no word for, through a server: what is not served is said to be so."""

from collections.abc import Iterator
from datetime import time

import numpy as np
import pyarrow as pa
import pytest

from catalog_service.client import CatalogClient
from catalog_service.exceptions import ParameterError, QueryNameError
from tests.harness import RunningServer, build_table, start_server, stop_server

ROWS = 400


def table() -> pa.Table:
    rng = np.random.default_rng(3)
    return pa.table(
        {
            "id": np.arange(ROWS),
            "ra": rng.uniform(0, 360, ROWS),
            "dec": rng.uniform(-80, 80, ROWS),
            "huge": pa.array(np.arange(ROWS, dtype=np.uint64) + np.uint64(1 << 63)),
            "clock": pa.array([time(1, 2, 3)] * ROWS, pa.time64("us")),
        }
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    base = tmp_path_factory.mktemp("types")
    build_table(base / "catalogs", "T", [table()], options='ra = "ra"\ndec = "dec"\nid = ["huge"]\ntarget_rows = 40')
    running = start_server(base / "catalogs", base)
    yield running
    stop_server(running)


@pytest.fixture(scope="module")
def client(server: RunningServer) -> CatalogClient:
    return CatalogClient(server.url)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT huge FROM test.T", "column 'huge' of T has type uint64, which is not served"),
        ("SELECT id FROM test.T AS t WHERE t.CLOCK > '01:00'", r"column 'clock' of t has type time64\[us\], which is"),
        ("SELECT id FROM test.T AS t WHERE EXISTS (SELECT 1 FROM test.T AS o WHERE t.huge = 1)", "column 'huge' of t"),
        ("SELECT id FROM test.T JOIN test.T AS o USING (huge)", "column 'huge' of "),
        ("SELECT hugo FROM test.T", "there is no column 'hugo' in T"),
    ],
)
def test_queries_that_name_what_is_not_served(client: CatalogClient, query: str, message: str) -> None:
    with pytest.raises(QueryNameError, match=message):
        client.query(query)


def test_cones_that_name_what_is_not_served(client: CatalogClient) -> None:
    with pytest.raises(ParameterError, match=r"column 'huge' of test\.T has type uint64, which is not served"):
        client.cone(10, 10, 5.0, table="test.T", columns=["huge"])


def test_the_other_columns_are_served(client: CatalogClient) -> None:
    assert client.query("SELECT * FROM test.T").to_arrow().column_names == ["id", "ra", "dec"]
