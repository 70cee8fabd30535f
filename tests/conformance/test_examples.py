"""The example queries: each runs and has rows, and the page that holds them is as DALI wants it."""

import re
import urllib.request
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import pyvo

from catalog_service.services.spots import Spot, spot_of
from catalog_service.storage.catalogs import Registry
from tests.conformance.oracle import Sky
from tests.harness import SampleStore

VOCABULARY = "http://www.ivoa.net/rdf/examples#"


def page(url: str) -> ET.Element:
    with urllib.request.urlopen(f"{url}/tap/examples", timeout=20) as response:
        assert response.headers["Content-Type"].startswith("application/xhtml+xml")
        return ET.fromstring(response.read())


def test_every_example_has_rows_at_once(server_url: str) -> None:
    examples = pyvo.dal.TAPService(f"{server_url}/tap").examples
    assert len(examples) == 8
    for example in examples:
        found = example.execute()
        assert len(found) > 0, example["QUERY"]
        assert found.query_status == "OK"


def test_light_curves_are_in_order_and_of_one_object(server_url: str) -> None:
    examples = pyvo.dal.TAPService(f"{server_url}/tap").examples
    (query,) = [example for example in examples if "midpointMjdTai" in example["QUERY"]]
    rows = query.execute().to_table()
    assert len(set(rows["diaObjectId"])) == 1
    assert (np.diff(rows["midpointMjdTai"]) >= 0).all()


def test_the_page_is_dali(server_url: str) -> None:
    root = page(server_url)
    assert [element.get("vocab") for element in root.iter() if "vocab" in element.attrib] == [VOCABULARY]
    examples = root.findall(".//*[@typeof='example']")
    identifiers = [example.get("id") for example in examples]
    assert len(examples) == len(set(identifiers)) == 8
    for example in examples:
        assert example.get("resource") == f"#{example.get('id')}"
        for term in ("name", "query"):
            (element,) = example.findall(f".//*[@property='{term}']")
            assert len(element) == 0
            assert element.text
        query = example.findtext(".//*[@property='query']") or ""
        named = {element.text for element in example.findall(".//*[@property='table']")}
        assert named == set(re.findall(r"(?:FROM|JOIN) (\w+\.\w+)", query))
    assert not [
        element for element in root.iter() if "property" in element.attrib and {"href", "src"} & set(element.attrib)
    ]


@pytest.mark.parametrize("table", ["tycho2.stars", "survey.Object", "survey.DiaObject", "survey.Source"])
def test_a_row_lies_where_a_spot_says(sample_store: SampleStore, table: str) -> None:
    stored = Registry(sample_store.root, {}).snapshot.stored[table]
    spot, position = spot_of(stored), stored.table.position
    assert spot is not None
    assert position is not None
    files = sorted(Path(stored.directory).glob("dataset/**/Npix=*.parquet"))
    separation = Sky(files, stored.table.primary_key[0], position.ra, position.dec).separation_deg(
        spot.ra_deg, spot.dec_deg
    )
    assert separation.min() <= spot.slack_deg < 1e-5
    assert 1 <= (separation <= spot.radius_deg(20)).sum() <= 2000


def test_radii_and_cells_of_thin_and_dense_fields() -> None:
    assert Spot(0, 0, 1e-9).radius_deg(20) == 10
    assert Spot(0, 0, 1e12).radius_deg(20) == pytest.approx(1 / 3600, rel=0.02)
    assert Spot(0, 0, 1e12, slack_deg=0.01).radius_deg(20) == 0.02
    assert Spot(0, 0, 100 / np.pi).radius_deg(100) == 1
    # 20,000 rows in 2 square degrees, 30 cells: 0.07 square degrees each; a cell of order 8 has 0.052
    assert Spot(0, 0, 10_000).cell_order(20_000, 30) == 8
