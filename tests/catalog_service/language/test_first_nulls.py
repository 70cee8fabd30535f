"""The first rows of an outer join, NULLs first: DuckDB must not leave out partners before it joins them."""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog_service.language.pipeline import emit, parse, resolve
from catalog_service.language.rewrite import walk
from catalog_service.models.query import Language, QueryText, TableScan
from catalog_service.models.tree import TableRef

from .store import VIEW

ROWS, VISITS = 3000, 1500


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write sources in small row groups; some visits have none."""
    path = tmp_path_factory.mktemp("first")
    rng = np.random.default_rng(1)
    source = {"sourceId": np.arange(ROWS), "objectId": np.arange(ROWS), "visit": rng.integers(0, VISITS, ROWS)}
    pq.write_table(pa.table({**source, "flux": rng.uniform(size=ROWS)}), path / "Source.parquet", row_group_size=100)
    pq.write_table(pa.table({"visit": rng.permutation(VISITS)}), path / "Visit.parquet", row_group_size=100)
    return path


def ask(directory: Path, query: str, language: Language) -> list[tuple[object, ...]]:
    tree = resolve(parse(QueryText(query, language)), VIEW)
    tables = [node for node in walk(tree.tree) if isinstance(node, TableRef)]
    scans = {node.source: TableScan(node.table, (str(directory / f"{node.table.name}.parquet"),)) for node in tables}
    return duckdb.execute(emit(tree, scans, max_rows=1_000_000)).fetchall()


LEFT = "sky.Visit AS v LEFT JOIN sky.Source AS s ON s.visit = v.visit"
ITEMS = "s.sourceId AS a, v.visit AS b"
JOINS = {
    "left": f"SELECT {{0}} {ITEMS} FROM {LEFT}",
    "right": f"SELECT {{0}} {ITEMS} FROM sky.Source AS s RIGHT JOIN sky.Visit AS v ON s.visit = v.visit",
    "derived": f"SELECT {{0}} a, b FROM (SELECT {ITEMS} FROM {LEFT}) AS d",
    "distinct": f"SELECT DISTINCT {{0}} {ITEMS} FROM {LEFT}",
    "grouped": f"SELECT {{0}} a, b FROM (SELECT {ITEMS}, COUNT(*) AS n FROM {LEFT} GROUP BY s.sourceId, v.visit) AS d",
}


@pytest.mark.parametrize("name", JOINS)
@pytest.mark.parametrize("top", [3, 40, 700])
@pytest.mark.parametrize("order", ["a NULLS FIRST, b", "1 NULLS FIRST, 2", "a DESC NULLS FIRST, b", "a, b"])
def test_the_first_rows_are_those_of_all(directory: Path, name: str, top: int, order: str) -> None:
    text = JOINS[name] + f" ORDER BY {order}"
    some, everything = (ask(directory, text.format(cut), Language.ADQL) for cut in (f"TOP {top}", ""))
    assert len(everything) > ROWS
    assert some == everything[:top]


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT {ITEMS} FROM {LEFT} ORDER BY a, b",
        f"SELECT s.sourceId, v.visit FROM {LEFT} ORDER BY s.sourceId, v.visit",
        f"SELECT {ITEMS} FROM {LEFT} UNION ALL SELECT {ITEMS} FROM {LEFT} ORDER BY a, b",
        f"SELECT {ITEMS} FROM {LEFT} UNION ALL SELECT {ITEMS} FROM {LEFT} ORDER BY 1, 2",
    ],
)
def test_qserv_has_nulls_first(directory: Path, query: str) -> None:
    some, everything = (ask(directory, query + cut, Language.QSERV) for cut in (" LIMIT 40", ""))
    assert some == everything[:40]
    assert some[0][0] is None
