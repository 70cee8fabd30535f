"""Felis YAML: what is read, from which spelling, and what is refused with the file's name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import sample_catalogs
from catalog_service.exceptions import ConfigurationError
from catalog_service.storage.felis import FelisColumn, FelisKey, parse_felis, read_felis

SAMPLES = Path(sample_catalogs.__file__).parent


def schema(*tables: dict[str, Any]) -> dict[str, Any]:
    return {"name": "sky", "tables": list(tables)}


def table(name: str, *columns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "columns": list(columns), **more}


def column(**body: Any) -> FelisColumn:
    return parse_felis(schema(table("t", {"name": "c", **body}))).tables["t"].columns["c"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, FelisColumn(name="c")),
        ({"description": "  On\n two   lines. "}, FelisColumn(name="c", description="On two lines.")),
        ({"ivoa:unit": "deg"}, FelisColumn(name="c", unit="deg")),
        ({"fits:tunit": "mag"}, FelisColumn(name="c", unit="mag")),
        ({"ivoa:unit": "deg", "fits:tunit": "mag"}, FelisColumn(name="c", unit="deg")),
        ({"ivoa:ucd": "meta.id"}, FelisColumn(name="c", ucd="meta.id")),
        ({"votable:utype": "a:b.c"}, FelisColumn(name="c", utype="a:b.c")),
        ({"length": 12}, FelisColumn(name="c", length=12)),
        ({"tap:principal": 1}, FelisColumn(name="c", principal=True)),
        ({"tap:principal": 0, "tap:std": True}, FelisColumn(name="c", std=True)),
        ({"tap:column_index": 0}, FelisColumn(name="c", index=0)),
        ({"datatype": "double", "votable:arraysize": "*", "mysql:datatype": "DOUBLE"}, FelisColumn(name="c")),
    ],
)
def test_columns(body: dict[str, Any], expected: FelisColumn) -> None:
    assert column(**body) == expected


def test_columns_keep_the_order_of_the_file() -> None:
    parsed = parse_felis(schema(table("t", {"name": "z"}, {"name": "a"}, {"name": "m"})))
    assert list(parsed.tables["t"].columns) == ["z", "a", "m"]


@pytest.mark.parametrize("key", ["#t.b", ["#t.b"]])
def test_primary_keys_in_one_or_many(key: object) -> None:
    parsed = parse_felis(schema(table("t", {"name": "a", "@id": "#t.a"}, {"name": "b", "@id": "#t.b"}, primaryKey=key)))
    assert parsed.tables["t"].primary_key == ("b",)


def test_ids_may_be_left_out_as_felis_generates_them() -> None:
    key = {"name": "k", "@type": "ForeignKey", "columns": ["#child.p"], "referencedColumns": ["#parent.id"]}
    other = {"name": "u", "@type": "Unique", "columns": ["#child.p"]}
    child = table("child", {"name": "p"}, constraints=[other, key], primaryKey="#child.p")
    parsed = parse_felis(schema(child, table("parent", {"name": "id"})))
    assert parsed.tables["child"].keys == (FelisKey("k", ("p",), "parent", ("id",)),)
    assert parsed.tables["child"].primary_key == ("p",)


def test_keys_of_several_columns_and_ids_of_any_form() -> None:
    key = {
        "name": "k",
        "@type": "ForeignKey",
        "description": "two columns",
        "columns": ["x1", "x2"],
        "referencedColumns": ["y1", "y2"],
    }
    child = table("child", {"name": "a", "@id": "x1"}, {"name": "b", "@id": "x2"}, constraints=[key])
    parsed = parse_felis(schema(child, table("parent", {"name": "c", "@id": "y1"}, {"name": "d", "@id": "y2"})))
    assert parsed.tables["child"].keys == (FelisKey("k", ("a", "b"), "parent", ("c", "d"), "two columns"),)


def test_a_table_needs_a_name_only() -> None:
    bare = parse_felis(schema({"name": "t"})).tables["t"]
    assert (bare.columns, bare.primary_key, bare.keys, bare.index, bare.description) == ({}, (), (), None, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tables: [", "while parsing"),
        ("- just\n- a list", "not a Felis schema"),
        ("42", "not a Felis schema"),
        ("", "not a Felis schema"),
        ("name: sky", "tables"),
        ("tables: []", "name"),
        ("name: sky\ntables: [{columns: []}]", "name"),
        ("name: sky\ntables: [{name: t, columns: [{datatype: long}]}]", "name"),
        ("name: sky\ntables: [{name: t, primaryKey: '#t.gone', columns: []}]", "#t.gone"),
        ("name: !!python/object/apply:os.getcwd []\ntables: []", "python"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "schema.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        read_felis(path)
    assert str(path) in str(refused.value)
    assert problem in str(refused.value)
    assert refused.value.remedy


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.yaml"):
        read_felis(tmp_path / "gone.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ConfigurationError, match=r"binary\.yaml"):
        read_felis(tmp_path / "binary.yaml")


@pytest.mark.parametrize("name", ["tycho2", "survey"])
def test_the_samples_read_in_full(name: str) -> None:
    path = SAMPLES / name / "schema.yaml"
    parsed, body = read_felis(path), yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(parsed.tables) == [table["name"] for table in body["tables"]]
    for entry in body["tables"]:
        read = parsed.tables[entry["name"]]
        assert list(read.columns) == [c["name"] for c in entry["columns"]]
        assert all(c.description for c in read.columns.values())
        assert len(read.keys) == len([c for c in entry.get("constraints", []) if c["@type"] == "ForeignKey"])
        for key in read.keys:
            assert set(key.target_columns) <= set(parsed.tables[key.target_table].columns)
