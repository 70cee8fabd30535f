"""Every example of the README runs, and its five first cones find the same stars: those of brute force."""

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog_service.client import CatalogClient
from tests.conformance.oracle import Sky
from tests.harness import SampleStore, require, start_server, stop_server
from tests.house.blocks import Block, Place, ascii_column, csv_column, section
from tests.house.repository import ROOT

PAGE = "README.md"


@pytest.fixture(scope="module")
def place(server_url: str, sample_store: SampleStore) -> Place:
    return Place(server_url, sample_store)


@pytest.fixture(scope="module")
def pleiades(sample_store: SampleStore) -> set[int]:
    sky = Sky([sample_store.tycho2], "tyc_row", "ra", "dec")
    return set(sky.ids[sky.separation_deg(56.75, 24.12) <= 1].tolist())


def block(heading: str, number: int = 0) -> Block:
    return section(PAGE, heading)[number]


def test_the_number_of_stars_that_it_tells(pleiades: set[int]) -> None:
    told = re.search(r"find the same (\d+) stars", (ROOT / PAGE).read_text())
    assert told is not None
    assert int(told[1]) == len(pleiades)


def test_curl(place: Place, pleiades: set[int], tmp_path: Path) -> None:
    require(shutil.which("curl"), "curl is not installed (apt-get install curl)")
    printed = place.shell(block("curl").code, tmp_path)
    assert {int(row) for row in csv_column(printed, "tyc_row")} == pleiades


def test_pyvo(place: Place, pleiades: set[int]) -> None:
    stars = place.python(block("pyvo").code)["stars"]
    assert set(stars["tyc_row"].tolist()) == pleiades
    assert stars["vt_mag"][0] == min(stars["vt_mag"])


def test_client(place: Place, pleiades: set[int]) -> None:
    stars = place.python(block("The Python client").code)["stars"]
    assert set(stars["tyc_row"].tolist()) == pleiades
    assert stars["ra"].unit.to_string() == "deg"


def test_stilts(place: Place, pleiades: set[int], tmp_path: Path, stilts: str) -> None:
    printed = place.shell(block("STILTS").code, tmp_path)
    assert {int(row) for row in ascii_column(printed, "tyc_row")} == pleiades


def test_duckdb_on_the_files(place: Place, pleiades: set[int]) -> None:
    stars = place.python(block("DuckDB, on the files themselves").code)["stars"]
    assert {row[0] for row in stars.fetchall()} == pleiades


def test_adql_with_joins(place: Place) -> None:
    curves = place.python(block("ADQL, and joins").code)["curves"]
    assert curves.colnames == ["objectId", "band", "expMidptMJD", "psfFlux", "psfFluxErr"]
    assert len(curves) > 20
    assert str(curves["psfFlux"].unit) == "nJy"


def test_the_terminal(place: Place, pleiades: set[int], tmp_path: Path) -> None:
    tables, columns, cone, query = block("From the terminal").code.strip().splitlines()
    assert "tycho2.stars" in csv_column(place.shell(tables, tmp_path), "name")
    assert csv_column(place.shell(columns, tmp_path), "name") == ["tyc_row", "ra", "dec", "vt_mag"]
    assert {int(row) for row in csv_column(place.shell(cone, tmp_path), "tyc_row")} == pleiades
    place.shell(query, tmp_path)
    magnitudes = pq.read_table(tmp_path / "brightest.parquet")["vt_mag"].to_pylist()
    assert magnitudes == sorted(magnitudes)
    assert len(magnitudes) == 5


def test_ones_own_catalog(place: Place, tmp_path: Path) -> None:
    config, commands = section(PAGE, "Your own catalog")
    (tmp_path / "data").mkdir()
    rows = {"object_id": [7, 8, 9], "ra": [10.0, 10.1, 200.0], "dec": [-5.0, -5.0, 80.0], "mag": [17.5, None, 19.0]}
    pq.write_table(pa.table(rows), tmp_path / "data" / "part1.parquet")
    (tmp_path / "mine.toml").write_text(config.code)
    printed = place.shell(commands.code, tmp_path)
    assert "mine.objects: published objects_r1: 3 rows" in printed
    assert "placed by ra, dec" in printed
    server = start_server(tmp_path / "catalogs", tmp_path)
    try:
        found = CatalogClient(server.url).cone(10, -5, "30arcmin", table="mine.objects").to_arrow()
        assert sorted(found["object_id"].to_pylist()) == [7, 8]
    finally:
        stop_server(server)


def test_its_links_lead_somewhere() -> None:
    text = (ROOT / PAGE).read_text()
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).exists()] == []
