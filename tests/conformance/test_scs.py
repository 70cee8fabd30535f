"""Simple Cone Search 1.03 and what goes beyond it: labels, distances, order, formats, errors; through real clients."""

import io
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import pyvo
from astropy.io.votable import parse_single_table
from astropy.table import Table

from catalog_service.client import CatalogClient
from tests.conformance.oracle import Sky
from tests.harness import SampleStore

PLEIADES = {"RA": "56.75", "DEC": "24.12", "SR": "1"}
MAIN = ["meta.id;meta.main", "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"]
MAIN_UCD1 = ["ID_MAIN", "POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN"]
CENTRES = [(0.0, 90.0), (17.0, 89.9999999), (200.0, -90.0), (0.0, 0.0), (360.0, 0.0), (-1e-9, 1e-9), (62.0, -37.0)]
TABLES = ["tycho2.stars", "survey.Object", "survey.ForcedSource", "survey.DiaSource", "survey.Visit"]


@pytest.fixture(scope="module")
def objects(sample_store: SampleStore) -> Sky:
    return Sky(sorted((sample_store.survey / "Object").glob("*.parquet")), "objectId", "coord_ra", "coord_dec")


@pytest.fixture(scope="module")
def stars(sample_store: SampleStore) -> Sky:
    return Sky([sample_store.tycho2], "tyc_row", "ra", "dec")


def ask(url: str, table: str = "tycho2.stars", **parameters: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(f"{url}/cone/{table}?{urllib.parse.urlencode(parameters)}", timeout=30) as response:
        return response.headers["Content-Type"], response.read()


def votable(url: str, table: str = "tycho2.stars", **parameters: str) -> Any:
    return parse_single_table(io.BytesIO(ask(url, table, **parameters)[1]))


def by_id(found: pa.Table, ident: str, sky: Sky) -> np.ndarray:
    """Return the numbers of the oracle's rows, in the order of the result."""
    order = np.argsort(sky.ids)
    return order[np.searchsorted(sky.ids, found.column(ident).to_numpy(), sorter=order)]


# --- distance and order ---


@pytest.mark.parametrize(("ra", "dec"), CENTRES)
def test_distances_are_those_of_the_oracle(server_url: str, objects: Sky, ra: float, dec: float) -> None:
    client = CatalogClient(server_url)
    found = client.cone(ra, dec, 180.0, table="survey.Object", columns="objectId", distance=True, maxrec=1_000_000)
    rows = found.to_arrow()
    assert rows.column_names == ["_r", "objectId"]
    assert rows.num_rows == len(objects.ids)
    expected = objects.separation_deg(ra, dec)[by_id(rows, "objectId", objects)]
    assert np.abs(rows.column("_r").to_numpy() - expected).max() < 1e-9


@pytest.mark.parametrize("offset", [0.0, 1e-12, 1e-10, 1e-8, 1e-6])
def test_tiny_distances(server_url: str, objects: Sky, offset: float) -> None:
    client = CatalogClient(server_url)
    for row in range(0, len(objects.ids), len(objects.ids) // 7):
        ra, dec = float(objects.ra[row]), min(90.0, float(objects.dec[row]) + offset)
        found = client.cone(ra, dec, 1e-5, table="survey.Object", distance=True, order="distance").to_arrow()
        nearest = found.column("_r")[0].as_py()
        assert nearest == pytest.approx(abs(dec - objects.dec[row]), abs=1e-14)


@pytest.mark.parametrize(("ra", "dec"), CENTRES)
def test_a_cut_result_has_the_nearest(server_url: str, stars: Sky, ra: float, dec: float) -> None:
    client = CatalogClient(server_url)
    with pytest.warns(UserWarning, match="cut|overflow|more rows"):
        result = client.cone(ra, dec, 10, table="tycho2.stars", columns="tyc_row", order="distance", maxrec=20)
    rows = by_id(result.to_arrow(), "tyc_row", stars)
    separation = stars.separation_deg(ra, dec)
    np.testing.assert_allclose(separation[rows], np.sort(separation)[:20], atol=1e-9)


def test_order_needs_no_distance_column(server_url: str) -> None:
    _, body = ask(server_url, **PLEIADES, ORDER="distance", RESPONSEFORMAT="csv", DISTANCE="false", MAXREC="3")
    assert pa.csv.read_csv(io.BytesIO(body)).column("tyc_row").to_pylist() == [1826628, 1826627, 1826626]


# --- labels ---


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("verbosity", ["1", "2", "3"])
def test_every_result_has_each_main_ucd_once(server_url: str, table: str, verbosity: str) -> None:
    for more, words in (({}, MAIN), ({"UCD1": "true"}, MAIN_UCD1)):
        fields = votable(server_url, table, RA="62", DEC="-37", SR="0.05", VERB=verbosity, MAXREC="3", **more).fields
        assert [sum(field.ucd == word for field in fields) for word in words] == [1, 1, 1]
        assert not any((field.ucd or "").endswith("meta.main") for field in fields if field.ucd not in words)


def test_strict_labels(server_url: str) -> None:
    new, old = (votable(server_url, **PLEIADES, UCD1=value, DISTANCE="1", ORDER="distance") for value in ("0", "1"))
    identifier = next(field for field in old.fields if field.ucd == "ID_MAIN")
    assert (identifier.datatype, identifier.arraysize) == ("char", "*")
    assert [int(text) for text in old.array["tyc_row"]] == new.array["tyc_row"].tolist()
    assert (old.array["ra"] == new.array["ra"]).all()
    assert b"<TABLEDATA>" in ask(server_url, **PLEIADES, UCD1="true")[1]


def test_named_columns_come_after_what_the_protocol_needs(server_url: str) -> None:
    _, body = ask(server_url, **PLEIADES, COLUMNS="vt_mag", RESPONSEFORMAT="csv", DISTANCE="TRUE")
    assert pa.csv.read_csv(io.BytesIO(body)).column_names == ["_r", "tyc_row", "ra", "dec", "vt_mag"]


# --- protocol ---


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ({}, "text/xml"),
        ({"RESPONSEFORMAT": "votable"}, "text/xml"),
        ({"RESPONSEFORMAT": "votable/td"}, "text/xml"),
        ({"RESPONSEFORMAT": "text/xml"}, "text/xml"),
        ({"responseformat": "application/x-votable+xml"}, "application/x-votable+xml"),
        ({"RESPONSEFORMAT": "csv"}, "text/csv;header=present"),
        ({"UCD1": "true"}, "text/xml"),
    ],
)
def test_media_types(server_url: str, asked: dict[str, str], answered: str) -> None:
    assert ask(server_url, **PLEIADES, **asked)[0] == answered


def test_radius_zero_gives_columns_only(server_url: str) -> None:
    for verbosity, count in (("1", 3), ("2", 4), ("3", 4)):
        found = votable(server_url, RA="56.75", DEC="24.12", SR="0", VERB=verbosity)
        assert (len(found.array), len(found.fields)) == (0, count)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"DEC": "24.12", "SR": "1"}, "RA is missing"),
        ({**PLEIADES, "DEC": "91"}, "outside [-90, 90]"),
        ({**PLEIADES, "SR": "-1"}, "outside [0, 180]"),
        ({**PLEIADES, "SR": "nan"}, "not a finite number"),
        ({**PLEIADES, "VERB": "4"}, "not 1, 2 or 3"),
        ({**PLEIADES, "ORDER": "vt_mag"}, "give ORDER=distance"),
        ({**PLEIADES, "DISTANCE": "maybe"}, "not true or false"),
        ({**PLEIADES, "UCD1": "2"}, "not true or false"),
        ({**PLEIADES, "COLUMNS": "nothing"}, "no column"),
        ({**PLEIADES, "MAXREC": "-1"}, "MAXREC"),
    ],
)
def test_errors_are_documents_with_status_200(server_url: str, parameters: dict[str, str], message: str) -> None:
    content_type, body = ask(server_url, **parameters)
    assert content_type.partition(";")[0] == "text/xml"
    text = body.decode()
    assert text.count('<INFO ID="Error" name="Error" value="') == 1
    assert "<TABLE" not in text
    assert message in text
    with pytest.raises(pyvo.DALQueryError, match=message.partition("[")[0].strip()):
        pyvo.dal.SCSQuery(f"{server_url}/cone/tycho2.stars?", **parameters).execute()


def test_pyvo_sees_ids_positions_and_distances(server_url: str, stars: Sky) -> None:
    service = pyvo.dal.SCSService(f"{server_url}/cone/tycho2.stars?")
    options = {"DISTANCE": "true", "ORDER": "distance", "UCD1": "true"}  # pyvo's records know no other UCDs
    found = service.search(pos=(56.75, 24.12), radius=1.0, verbosity=1, **options)
    assert len(found) == 65
    assert [found[0].id, found[0].pos.ra.deg] == ["1826628", pytest.approx(56.81902695)]
    separation = stars.separation_deg(56.75, 24.12)
    np.testing.assert_allclose(found["_r"], np.sort(separation)[:65], atol=1e-9)


@pytest.mark.parametrize("table", TABLES)
def test_the_test_query_of_the_capabilities_has_rows(server_url: str, table: str) -> None:
    with urllib.request.urlopen(f"{server_url}/cone/{table}/capabilities", timeout=20) as response:
        root = ET.fromstring(response.read())
    (capability,) = root.findall("capability[@standardID='ivo://ivoa.net/std/ConeSearch']")
    assert capability.findtext("interface/accessURL") == f"{server_url}/cone/{table}?"
    assert [capability.findtext(name) for name in ("maxSR", "maxRecords", "verbosity")] == ["180.0", "10000000", "true"]
    ra, dec, radius = (capability.findtext(f"testQuery/{name}") or "" for name in ("ra", "dec", "sr"))
    assert len(votable(server_url, table, RA=ra, DEC=dec, SR=radius).array) > 0


def test_tables_without_positions_have_no_cone_search(server_url: str) -> None:
    for table, status in (("survey.MatchesTruth", 400), ("survey.nothing", 404)):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{server_url}/cone/{table}/capabilities", timeout=20)
        assert refused.value.code == status


@pytest.mark.slow
def test_stilts_matches_a_list_of_positions(stilts: str, server_url: str, stars: Sky, tmp_path: Path) -> None:
    rows = np.linspace(0, len(stars.ids) - 1, 12).astype(int)
    targets = tmp_path / "targets.vot"
    Table({"want": stars.ids[rows], "a": stars.ra[rows], "d": stars.dec[rows]}).write(targets, format="votable")
    command = [
        stilts, "coneskymatch", f"in={targets}", "ra=a", "dec=d", "sr=0.0003", "servicetype=cone", "find=best",
        f"serviceurl={server_url}/cone/tycho2.stars?", "ofmt=csv", "parallel=4", "verb=1",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    found = pa.csv.read_csv(io.BytesIO(done.stdout.encode()))
    assert found.column("want").to_pylist() == found.column("tyc_row").to_pylist() == stars.ids[rows].tolist()
