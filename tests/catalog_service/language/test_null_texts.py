"""Texts of which a row group has one value besides NULLs, without a dictionary: DuckDB's scans take all for NULL."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.models.query import Language, QueryText, TableScan
from tests.catalog_service.language.store import OBJECT, VIEW

TEXTS = [None, "R", "R", None, "R"] * 20
GIVEN, MISSING = 60, 40

CASES = {
    "name IS NULL": MISSING,
    "name IS NOT NULL": GIVEN,
    "NOT (name IS NOT NULL)": MISSING,
    "COALESCE(name, 'S') = 'S'": MISSING,
    "COALESCE(name, 'S') <> 'R'": MISSING,
    "COALESCE(name, 'S') LIKE 'S%'": MISSING,
    "COALESCE(UPPER(name), 'S') = 'S'": MISSING,
    "name || '' IS NULL": MISSING,
    "CAST(name AS VARCHAR) IS NULL": MISSING,
    "name = 'R'": GIVEN,
    "name <> 'R'": 0,
    "name = 'S' OR name IS NULL": MISSING,
    "CASE WHEN name IS NULL THEN 1 ELSE 0 END = 1": MISSING,
    "n IS NULL": 0,
}
QSERV = {"name <=> NULL": MISSING, "NOT (name <=> 'R')": MISSING, "IFNULL(name, 's') = 's'": MISSING}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.parquet"
    table = pa.table({"objectId": range(100), "name": TEXTS, "n": [1] * 100})
    pq.write_table(table, path, use_dictionary=False)
    return path


def count(path: Path, query: str, language: Language) -> int:
    resolved = resolve(parse(QueryText(query, language)), replace(VIEW, tables=(OBJECT,)))
    sql = emit(resolved, {source: TableScan(OBJECT, (str(path),)) for source in range(2)}, max_rows=1000)
    return len(duckdb.execute(sql).fetchall())


@pytest.mark.parametrize("condition", CASES)
@pytest.mark.parametrize("source", ["sky.Object", "(SELECT objectId, name, n FROM sky.Object) AS d"])
def test_null_is_found_where_it_is(path: Path, condition: str, source: str) -> None:
    query = f"SELECT objectId FROM {source} WHERE {condition}"
    assert count(path, query, Language.ADQL) == CASES[condition]


@pytest.mark.parametrize("condition", QSERV)
def test_null_is_found_where_it_is_in_qserv(path: Path, condition: str) -> None:
    assert count(path, f"SELECT objectId FROM sky.Object WHERE {condition}", Language.QSERV) == QSERV[condition]


def test_having_of_groups(path: Path) -> None:
    query = "SELECT name, COUNT(*) AS n FROM sky.Object GROUP BY name HAVING name IS NULL"
    assert count(path, query, Language.ADQL) == 1
