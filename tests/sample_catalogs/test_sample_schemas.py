from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from astropy import units
from astropy.io.votable.ucd import parse_ucd

from sample_catalogs.generate import SurveyConfig
from sample_catalogs.make_tycho2 import SCHEMA
from sample_catalogs.survey.tables import table_schemas

ROOT = Path(__file__).parents[2] / "sample_catalogs"
FELIS_TYPES = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us"),
}


def load(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = yaml.safe_load((ROOT / name / "schema.yaml").read_text(encoding="utf-8"))
    assert schema["name"] == name
    return schema


SCHEMAS = {name: load(name) for name in ("survey", "tycho2")}
TABLES = {f"{name}.{table['name']}": table for name, schema in SCHEMAS.items() for table in schema["tables"]}
EXPECTED = {f"survey.{name}": schema for name, schema in table_schemas(SurveyConfig()).items()} | {
    "tycho2.stars": SCHEMA
}


def test_every_table_is_described() -> None:
    assert set(TABLES) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_columns_and_types_are_those_of_the_files(name: str) -> None:
    described = [(column["name"], FELIS_TYPES[column["datatype"]]) for column in TABLES[name]["columns"]]
    assert described == [(field.name, field.type) for field in EXPECTED[name]]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_columns_are_complete(name: str) -> None:
    table = TABLES[name]
    assert table["description"]
    assert table["@id"] == f"#{table['name']}"
    for column in table["columns"]:
        assert column["@id"] == f"#{table['name']}.{column['name']}"
        assert column["description"].endswith(".")
        assert column["tap:principal"] in (0, 1)
        assert (column["datatype"] == "string") == ("length" in column)
        if "ivoa:ucd" in column:
            assert parse_ucd(column["ivoa:ucd"], check_controlled_vocabulary=True)
        if "ivoa:unit" in column:
            units.Unit(column["ivoa:unit"], format="vounit", parse_strict="raise")
    indexes = [column["tap:column_index"] for column in table["columns"]]
    assert indexes == sorted(set(indexes))
    assert any(column["tap:principal"] for column in table["columns"])


@pytest.mark.parametrize("name", sorted(set(TABLES) - {"survey.MatchesTruth"}))
def test_one_pair_of_columns_is_the_main_position(name: str) -> None:
    by_ucd: dict[str, list[str]] = {}
    for column in TABLES[name]["columns"]:
        by_ucd.setdefault(column.get("ivoa:ucd", ""), []).append(column["name"])
    prefix = "coord_" if name in ("survey.Object", "survey.Source", "survey.ForcedSource") else ""
    assert by_ucd["pos.eq.ra;meta.main"] == [f"{prefix}ra"]
    assert by_ucd["pos.eq.dec;meta.main"] == [f"{prefix}dec"]
    assert len(by_ucd["meta.id;meta.main"]) == 1


def test_keys_name_columns_that_exist() -> None:
    for name, schema in SCHEMAS.items():
        known = {column["@id"] for table in schema["tables"] for column in table["columns"]}
        for table in schema["tables"]:
            primary = table["primaryKey"]
            assert {primary} if isinstance(primary, str) else set(primary) <= known, name
            for constraint in table.get("constraints", []):
                assert set(constraint["columns"] + constraint["referencedColumns"]) <= known, constraint["name"]


def test_foreign_keys_of_the_survey() -> None:
    keys = {
        (constraint["columns"][0], constraint["referencedColumns"][0])
        for table in SCHEMAS["survey"]["tables"]
        for constraint in table.get("constraints", [])
    }
    assert keys == {
        ("#ForcedSource.objectId", "#Object.objectId"),
        ("#ForcedSource.visit", "#Visit.visit"),
        ("#Source.visit", "#Visit.visit"),
        ("#DiaSource.diaObjectId", "#DiaObject.diaObjectId"),
        ("#DiaSource.visit", "#Visit.visit"),
        ("#MatchesTruth.match_objectId", "#Object.objectId"),
        ("#MatchesTruth.id_truth_type", "#TruthSummary.id_truth_type"),
    }
