"""TAP_SCHEMA and /tables say the same, of the samples and of TAP_SCHEMA itself; seen through pyvo, as users see it."""

from typing import Any

import pytest
import pyvo
import requests
from pyvo.io.vosi.tapregext import TableAccess


@pytest.fixture(scope="module")
def service(server_url: str) -> pyvo.dal.TAPService:
    return pyvo.dal.TAPService(f"{server_url}/tap")


def rows(service: pyvo.dal.TAPService, query: str) -> list[dict[str, Any]]:
    found = service.run_sync(query, maxrec=100_000)
    return [{name: row[name] for name in found.fieldnames} for row in found]


def test_columns_agree(service: pyvo.dal.TAPService) -> None:
    by_query = {
        (row["schema_name"], row["table_name"], row["column_name"]): (
            row["datatype"], row["unit"] or None, row["ucd"] or None, row["description"] or None,
            bool(row["indexed"]), bool(row["principal"]),
        )
        for row in rows(service, """
            SELECT t.schema_name, c.* FROM TAP_SCHEMA.tables AS t
            JOIN TAP_SCHEMA.columns AS c ON c.table_name = t.table_name""")
    }  # fmt: skip
    by_document = {
        (name.partition(".")[0], name, column.name): (
            column.datatype.content, column.unit, column.ucd, column.description,
            "indexed" in column.flags, "principal" in column.flags,
        )
        for name, table in service.tables.items()
        for column in table.columns
    }  # fmt: skip
    assert by_query == by_document
    assert len(by_query) == 216


def test_keys_agree(service: pyvo.dal.TAPService) -> None:
    by_query = {
        (row["from_table"], row["target_table"], row["from_column"], row["target_column"])
        for row in rows(service, """
            SELECT k.from_table, k.target_table, c.from_column, c.target_column
            FROM TAP_SCHEMA.keys AS k JOIN TAP_SCHEMA.key_columns AS c USING (key_id)""")
    }  # fmt: skip
    by_document = {
        (name, key.targettable, pair.fromcolumn, pair.targetcolumn)
        for name, table in service.tables.items()
        for key in table.foreignkeys
        for pair in key.fkcolumns
    }
    assert by_query == by_document
    own = {(source, target) for source, target, *_ in by_query if source.startswith("TAP_SCHEMA")}
    assert own == {
        ("TAP_SCHEMA.tables", "TAP_SCHEMA.schemas"),
        ("TAP_SCHEMA.columns", "TAP_SCHEMA.tables"),
        ("TAP_SCHEMA.keys", "TAP_SCHEMA.tables"),
        ("TAP_SCHEMA.key_columns", "TAP_SCHEMA.keys"),
    }


def test_what_can_be_looked_up_is_indexed(service: pyvo.dal.TAPService) -> None:
    query = "SELECT table_name, column_name FROM TAP_SCHEMA.columns WHERE indexed = 1 AND table_name LIKE 'survey.%'"
    indexed = {(row["table_name"], row["column_name"]) for row in rows(service, query)}
    assert {("survey.Object", name) for name in ("objectId", "coord_ra", "coord_dec")} <= indexed
    # found by the index of the parent that placed the rows
    assert ("survey.DiaSource", "diaObjectId") in indexed
    assert ("survey.Object", "i_psfMag") not in indexed


def test_pyvo_black_box(service: pyvo.dal.TAPService) -> None:
    """What a script of a user's does first: look around, ask, hit a limit, make a mistake."""
    assert {"tycho2.stars", "survey.Object", "TAP_SCHEMA.columns"} <= set(service.tables.keys())
    assert [service.maxrec, service.hardlimit] == [100_000, 10_000_000]
    (access,) = [capability for capability in service.capabilities if isinstance(capability, TableAccess)]
    adql = access.get_adql()
    assert adql.get_feature("ivo://ivoa.net/std/TAPRegExt#features-adqlgeo", "CIRCLE") is not None
    assert {version.content for version in adql.versions} == {"2.0", "2.1"}
    assert "ivo://ivoa.net/std/DALI#examples" in {capability.standardid for capability in service.capabilities}
    stars = service.run_sync("SELECT TOP 3 tyc_row, vt_mag FROM tycho2.stars ORDER BY vt_mag")
    assert [len(stars), stars.fieldnames] == [3, ("tyc_row", "vt_mag")]
    assert stars.fielddescs[1].unit == "mag"
    cut = service.search("SELECT ra FROM tycho2.stars", maxrec=5)
    assert [len(cut), cut.query_status] == [5, "OVERFLOW"]
    with pytest.raises(pyvo.DALQueryError, match="Did you mean"):
        service.search("SELECT TOP 1 vt_mug FROM tycho2.stars")


def test_head_tells_what_get_would_but_for_queries(server_url: str) -> None:
    paths = (
        "/tap/capabilities",
        "/tap/availability",
        "/tap/tables?detail=min",
        "/tap/tables/tycho2.stars",
        "/tap/examples",
        "/tap/async",
        "/cone/tycho2.stars/capabilities",
        "/api/v1/catalogs/tycho2.stars",
        "/",
        "/livez",
        "/tap/tables/tycho2.nothing",
    )
    for path in paths:
        told, got = requests.head(f"{server_url}{path}", timeout=30), requests.get(f"{server_url}{path}", timeout=30)
        assert (told.status_code, told.content) == (got.status_code, b""), path
        for name in ("content-type", "content-length"):
            assert told.headers[name] == got.headers[name], path
    query = {"LANG": "ADQL", "QUERY": "SELECT ra FROM tycho2.stars"}
    refused = requests.head(f"{server_url}/tap/sync", params=query, timeout=30)
    assert (refused.status_code, "GET" in refused.headers["Allow"]) == (405, True)
