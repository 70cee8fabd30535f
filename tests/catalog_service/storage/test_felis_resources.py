"""Columns that a Felis schema takes from files beside it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog_service.exceptions import ConfigurationError
from catalog_service.storage.felis import FelisColumn, FelisKey, FelisTable, read_felis

BASE = {
    "name": "base",
    "tables": [
        {
            "name": "Thing",
            "columns": [
                {"name": "id", "@id": "#Thing.id", "ivoa:ucd": "meta.id"},
                {"name": "ra", "@id": "#Thing.ra", "ivoa:unit": "deg", "description": "there", "tap:principal": 0},
            ],
        }
    ],
}


def read(directory: Path, tables: list[dict[str, Any]], uri: str = "base.yaml", base: object = BASE) -> FelisTable:
    (directory / "base.yaml").write_text(yaml.safe_dump(base))
    path = directory / "schema.yaml"
    path.write_text(yaml.safe_dump({"name": "sky", "resources": {"base": {"uri": uri}}, "tables": tables}))
    return next(iter(read_felis(path).tables.values()))


def refers(**columns: object) -> dict[str, Any]:
    return {"name": "t", "columnRefs": {"base": {"Thing": columns}}}


def test_columns_come_after_those_of_the_table(tmp_path: Path) -> None:
    found = read(tmp_path, [{**refers(id=None, ra=None), "columns": [{"name": "own"}]}])
    assert list(found.columns) == ["own", "id", "ra"]
    assert found.columns["ra"] == FelisColumn(name="ra", unit="deg", description="there")


def test_names_and_attributes_may_be_others_here(tmp_path: Path) -> None:
    override = {"description": "here", "tap:principal": 1, "tap:column_index": 7}
    found = read(tmp_path, [refers(alpha={"ref_name": "ra", "overrides": override})])
    expected = FelisColumn(name="alpha", unit="deg", description="here", principal=True, index=7)
    assert found.columns == {"alpha": expected}


def test_keys_name_referred_columns_by_their_place_here(tmp_path: Path) -> None:
    key = {"name": "k", "@type": "ForeignKey", "columns": ["#t.parent"], "referencedColumns": ["#u.id"]}
    child = {**refers(parent={"ref_name": "id"}), "primaryKey": "#t.parent", "constraints": [key]}
    found = read(tmp_path, [child, {**refers(id=None), "name": "u"}])
    assert found.primary_key == ("parent",)
    assert found.keys == (FelisKey("k", ("parent",), "u", ("id",)),)


def test_resources_may_have_resources(tmp_path: Path) -> None:
    (tmp_path / "deep.yaml").write_text(yaml.safe_dump(BASE))
    middle = {
        "name": "m",
        "resources": {"base": {"uri": "deep.yaml"}},
        "tables": [{**refers(id=None), "name": "Thing"}],
    }
    assert list(read(tmp_path, [refers(id=None)], base=middle).columns) == ["id"]


@pytest.mark.parametrize(
    ("tables", "uri", "problem"),
    [
        ([refers(gone=None)], "base.yaml", "gone"),
        ([{"name": "t", "columnRefs": {"base": {"Other": {"id": None}}}}], "base.yaml", "Other"),
        ([{"name": "t", "columnRefs": {"other": {"Thing": {"id": None}}}}], "base.yaml", "other"),
        ([refers(id=None)], "missing.yaml", "missing.yaml"),
        ([refers(id=None)], "schema.yaml", "another file beside"),
        ([refers(id=None)], "../base.yaml", "another file beside"),
        ([refers(id=None)], "/etc/hostname", "another file beside"),
    ],
)
def test_what_cannot_be_found_is_refused(tmp_path: Path, tables: list[dict[str, Any]], uri: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        read(tmp_path, tables, uri)
