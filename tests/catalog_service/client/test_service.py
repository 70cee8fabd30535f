"""The client against the real service."""

import time
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord

from catalog_service.client import (
    CatalogClient,
    NotFoundError,
    OverflowWarning,
    ParameterError,
    QueryNameError,
    QueryRefusedError,
    QuerySyntaxError,
)
from tests.harness import RunningServer, SampleStore

PLEIADES = (56.75, 24.12)


@pytest.fixture(scope="module")
def client(server_url: str) -> CatalogClient:
    return CatalogClient(server_url, timeout_s=60)


@pytest.fixture(scope="module")
def stars(sample_store: SampleStore) -> dict[str, Any]:
    """Columns of the input file of tycho2.stars."""
    table = pq.read_table(sample_store.tycho2)
    return {name: table[name].to_numpy() for name in ("tyc_row", "ra", "dec")}


def ids_within(stars: dict[str, Any], ra: float, dec: float, radius_deg: float) -> set[int]:
    """Return the stars within a radius by brute force (haversine formula)."""
    ra_rad, dec_rad = np.radians(stars["ra"] - ra), np.radians(stars["dec"])
    dec_0 = np.radians(dec)
    hav = np.sin((dec_rad - dec_0) / 2) ** 2 + np.cos(dec_rad) * np.cos(dec_0) * np.sin(ra_rad / 2) ** 2
    return set(stars["tyc_row"][2 * np.arcsin(np.sqrt(hav)) <= np.radians(radius_deg)].tolist())


def ids_of(result: Any) -> list[int]:
    return sorted(result.to_arrow()["tyc_row"].to_pylist())


def test_a_cone_finds_what_brute_force_finds(client: CatalogClient, stars: dict[str, Any]) -> None:
    expected = sorted(ids_within(stars, *PLEIADES, 1.0))
    assert len(expected) > 50
    position = SkyCoord(*PLEIADES, unit="deg")
    assert ids_of(client.cone(*PLEIADES, 1, table="tycho2.stars")) == expected
    assert ids_of(client.cone(*PLEIADES, "60arcmin", table="tycho2.stars")) == expected
    ra, dec = PLEIADES * u.deg
    assert ids_of(client.cone(ra, dec, 3600 * u.arcsec, table="tycho2.stars")) == expected
    assert ids_of(client.cone(position, 1, table="tycho2.stars")) == expected


def test_radius_zero_finds_the_star_at_this_position(client: CatalogClient, stars: dict[str, Any]) -> None:
    star = 12345
    found = client.cone(stars["ra"][star], stars["dec"][star], 0, table="tycho2.stars")
    assert ids_of(found) == [stars["tyc_row"][star]]
    assert len(client.cone(stars["ra"][star], stars["dec"][star] + 1e-6, 0, table="tycho2.stars")) == 0


def test_columns_can_be_chosen(client: CatalogClient) -> None:
    found = client.cone(*PLEIADES, 0.5, table="tycho2.stars", columns=["vt_mag", "tyc_row"])
    assert found.columns == ("vt_mag", "tyc_row")
    every = client.cone(*PLEIADES, 0.5, table="tycho2.stars", columns="*")
    assert every.columns == tuple(column.name for column in client.columns("tycho2.stars"))


def test_an_empty_cone_keeps_its_columns_and_units(client: CatalogClient) -> None:
    found = client.cone(*PLEIADES, "0.001arcsec", table="tycho2.stars").to_table()
    assert len(found) == 0
    assert found["ra"].unit == u.deg


def test_units_and_descriptions_arrive(client: CatalogClient) -> None:
    table = client.cone(*PLEIADES, 0.5, table="tycho2.stars").to_table()
    assert table["vt_mag"].unit == u.mag
    assert table["ra"].meta["ucd"] == "pos.eq.ra;meta.main"
    assert table["tyc_row"].description.startswith("Number of the star")
    assert table["tyc_row"].dtype == np.int64
    assert table.meta["OVERFLOW"] is False
    assert table.meta["SERVICE_VERSION"].startswith("catalog-service")


def test_null_arrives_as_null(client: CatalogClient) -> None:
    adql = "SELECT objectId, refBand, u_psfMag FROM survey.Object WHERE u_psfMag IS NULL"
    result = client.query(adql, maxrec=1_000_000)
    assert len(result) > 0
    assert result.to_table()["u_psfMag"].mask.all()
    assert result.to_pandas()["u_psfMag"].isna().all()
    assert result.to_polars()["u_psfMag"].null_count() == len(result)
    assert result.to_polars()["objectId"].to_list() == result.to_table()["objectId"].tolist()


def test_tables_and_columns_are_listed(client: CatalogClient) -> None:
    listed = {table.name: table for table in client.tables()}
    assert {"tycho2.stars", "survey.Object", "survey.Visit"} <= set(listed)
    assert (listed["tycho2.stars"].ra, listed["tycho2.stars"].dec) == ("ra", "dec")
    assert listed["tycho2.stars"].rows == 199_217
    columns = {column.name: column for column in client.columns("tycho2.stars")}
    assert columns["vt_mag"].unit == "mag"
    assert columns["ra"].principal


def test_a_cut_result_is_marked(client: CatalogClient) -> None:
    with pytest.warns(OverflowWarning, match="MAXREC = 7"):
        result = client.query("SELECT ra FROM tycho2.stars", maxrec=7)
    assert (len(result), result.overflow) == (7, True)
    with pytest.warns(OverflowWarning, match="MAXREC = 0"):
        empty = client.cone(*PLEIADES, 1, table="tycho2.stars", maxrec=0)
    assert (len(empty), empty.overflow) == (0, True)
    assert empty.to_table()["ra"].unit == u.deg


def test_a_result_of_exactly_maxrec_rows_is_whole(client: CatalogClient) -> None:
    result = client.query("SELECT TOP 7 ra FROM tycho2.stars", maxrec=7)
    assert (len(result), result.overflow) == (7, False)


def test_a_large_result_streams(client: CatalogClient, stars: dict[str, Any]) -> None:
    with client.stream("SELECT tyc_row FROM tycho2.stars", maxrec=1_000_000) as stream:
        ids = [batch["tyc_row"].to_numpy() for batch in stream]
    assert len(ids) > 1
    assert np.array_equal(np.sort(np.concatenate(ids)), np.sort(stars["tyc_row"]))


def test_errors_keep_their_class_and_their_place(client: CatalogClient) -> None:
    with pytest.raises(QueryNameError, match="vt_mag") as caught:
        client.query("SELECT ra,\n  vtmag FROM tycho2.stars")
    assert (caught.value.line, caught.value.column) == (2, 3)
    assert caught.value.query_id
    assert "\n    vtmag FROM tycho2.stars\n    ^" in str(caught.value)
    with pytest.raises(QuerySyntaxError):
        client.query("SELECT ra FRM tycho2.stars")
    with pytest.raises((QueryRefusedError, QuerySyntaxError)):
        client.query("COPY tycho2.stars TO 'x'")


def test_wrong_parameters_are_named(client: CatalogClient) -> None:
    with pytest.raises(NotFoundError, match=r"tycho2\.stars"):
        client.cone(*PLEIADES, 1, table="tycho2.star")
    with pytest.raises(NotFoundError):
        client.columns("tycho2.nothing")
    with pytest.raises(ParameterError, match="vt_mag"):
        client.cone(*PLEIADES, 1, table="tycho2.stars", columns="vtmag")
    with pytest.raises(ParameterError, match="91"):
        client.cone(1, 91, 1, table="tycho2.stars")
    with pytest.raises(ParameterError, match="181"):
        client.cone(1, 1, 181, table="tycho2.stars")
    with pytest.raises(ParameterError, match="maxrec"):
        client.query("SELECT ra FROM tycho2.stars", maxrec=-1)


def test_hanging_up_stops_the_query(client: CatalogClient, server: RunningServer) -> None:
    query = "SELECT a.ra * b.dec AS x FROM tycho2.stars AS a, tycho2.stars AS b"  # values that do not compress
    with client.stream(query, maxrec=10_000_000) as stream:
        next(iter(stream))
        query_id = stream.query_id
    end = time.monotonic() + 20
    while not ended_as(server.log, str(query_id), "cancelled"):
        assert time.monotonic() < end
        time.sleep(0.05)


def ended_as(log: Path, query_id: str, status: str) -> bool:
    return any(query_id in line and f'"{status}"' in line for line in log.read_text().splitlines())


def test_pyvo_uses_the_same_service(client: CatalogClient) -> None:
    rows = client.tap().search("SELECT TOP 3 ra FROM tycho2.stars ORDER BY ra").to_table()
    assert (
        rows["ra"].tolist() == client.query("SELECT TOP 3 ra FROM tycho2.stars ORDER BY ra").to_table()["ra"].tolist()
    )
