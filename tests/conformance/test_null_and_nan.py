"""A column with NaN and NULL in the input follows SQL's NULL semantics, however the table is cut."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from catalog_service.client import CatalogClient
from tests.harness import build_table, start_server, stop_server

N = 20_000


def magnitudes() -> tuple[np.ndarray, np.ndarray]:
    """Return magnitudes with NaN and infinities, and which of them are NULL in the input."""
    rng = np.random.default_rng(11)
    mag = rng.normal(25, 2, N)
    mag[rng.uniform(size=N) < 0.3] = np.nan
    mag[:3], mag[3:5] = np.inf, -np.inf
    return mag, rng.uniform(size=N) < 0.05


@pytest.fixture(scope="module")
def mags() -> np.ma.MaskedArray:
    mag, null = magnitudes()
    return np.ma.masked_array(mag, mask=null | np.isnan(mag))


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CatalogClient]:
    """Serve one table cut in two ways: one row group, and many tiles of small row groups."""
    base = tmp_path_factory.mktemp("nan")
    rng = np.random.default_rng(5)
    mag, null = magnitudes()
    columns = {
        "id": np.arange(N),
        "ra": rng.uniform(0, 360, N),
        "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, N))),
        "mag": pa.array(mag, mask=null),
        "mag32": pa.array(mag.astype(np.float32), mask=null),
    }
    table = pa.table(columns)
    position = 'ra = "ra"\ndec = "dec"\nid = ["id"]'
    build_table(base / "catalogs", "whole", [table], options=f"{position}\ntarget_rows = 10_000_000")
    pieces = [table.slice(0, N // 3), table.slice(N // 3)]
    build_table(base / "catalogs", "pieces", pieces, options=f"{position}\ntarget_rows = 500\nrow_group_rows = 64")
    server = start_server(base / "catalogs", base)
    yield CatalogClient(server.url)
    stop_server(server)


TABLES = ["test.whole", "test.pieces"]
COLUMNS = ["mag", "mag32"]


def ids(client: CatalogClient, table: str, condition: str) -> set[int]:
    result = client.query(f"SELECT id FROM {table} WHERE {condition}", maxrec=1_000_000)
    return set(result.to_arrow().column("id").to_pylist())


def expected(selected: np.ma.MaskedArray) -> set[int]:
    return set(np.flatnonzero(np.ma.filled(selected, fill_value=False)).tolist())


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("column", COLUMNS)
def test_comparisons(clients: CatalogClient, mags: np.ma.MaskedArray, table: str, column: str) -> None:
    cases = {
        f"{column} > 25": mags > 25,
        f"{column} < 25": mags < 25,
        f"NOT {column} > 25": ~(mags > 25),
        f"NOT ({column} > 25 OR {column} < 20)": ~((mags > 25) | (mags < 20)),
        f"{column} BETWEEN 24 AND 26": (mags >= 24) & (mags <= 26),
        f"{column} NOT BETWEEN 24 AND 26": ~((mags >= 24) & (mags <= 26)),
        f"{column} > 1000": mags > 1000,
        f"{column} <> 25": mags != 25,
        f"{column} + 1 > 26.5": mags + 1 > 26.5,
    }
    for condition, selected in cases.items():
        assert ids(clients, table, condition) == expected(selected), condition


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("column", COLUMNS)
def test_is_null(clients: CatalogClient, mags: np.ma.MaskedArray, table: str, column: str) -> None:
    assert ids(clients, table, f"{column} IS NULL") == set(np.flatnonzero(mags.mask).tolist())
    assert ids(clients, table, f"{column} IS NOT NULL") == set(np.flatnonzero(~mags.mask).tolist())


@pytest.mark.parametrize("table", TABLES)
def test_aggregates(clients: CatalogClient, mags: np.ma.MaskedArray, table: str) -> None:
    finite = mags[np.isfinite(mags.filled(0))]
    query = f"SELECT MAX(mag) AS a, MIN(mag) AS b, AVG(mag) AS c, COUNT(mag) AS d, COUNT(*) AS e FROM {table}"
    row = clients.query(f"{query} WHERE mag > -1000 AND mag < 1000").to_arrow().to_pylist()[0]
    assert row["a"] == finite.max()
    assert row["b"] == finite.min()
    assert row["c"] == pytest.approx(finite.mean(), rel=1e-12)
    assert row["d"] == row["e"] == finite.count()
    every = clients.query(query).to_arrow().to_pylist()[0]
    assert every["a"] == np.inf
    assert (every["d"], every["e"]) == (mags.count(), N)


@pytest.mark.parametrize("table", TABLES)
def test_order_by_puts_nulls_together_and_numbers_in_order(
    clients: CatalogClient, mags: np.ma.MaskedArray, table: str
) -> None:
    values = clients.query(f"SELECT mag FROM {table} ORDER BY mag", maxrec=N).to_arrow().column("mag")
    numbers = [value for value in values.to_pylist() if value is not None]
    assert numbers == sorted(mags.compressed().tolist())
    assert values.null_count == mags.mask.sum()
    top = clients.query(f"SELECT TOP 5 mag FROM {table} WHERE mag < 1000 ORDER BY mag DESC").to_arrow()
    finite = np.sort(mags.compressed()[np.isfinite(mags.compressed())])
    assert top.column("mag").to_pylist() == finite[::-1][:5].tolist()


@pytest.mark.parametrize("table", TABLES)
def test_functions_outside_their_domain_give_null(clients: CatalogClient, mags: np.ma.MaskedArray, table: str) -> None:
    shifted = mags - 25
    positive = np.ma.masked_array(shifted, mask=shifted.mask | (shifted.filled(-1) <= 0))
    assert ids(clients, table, "LOG10(mag - 25) > 0") == expected(positive > 1)
    assert ids(clients, table, "SQRT(mag - 25) IS NULL") == set(
        np.flatnonzero(mags.mask | (shifted.filled(-1) < 0)).tolist()
    )
    assert ids(clients, table, "1 / (mag - mag) > 0") == set()
