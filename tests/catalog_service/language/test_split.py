"""Queries split over two batches of files give what they give as a whole; what is not split says why."""

import math
from typing import Any

import pytest

from catalog_service.language.pipeline import emit_split, parse, resolve, split
from catalog_service.language.rewrite import walk
from catalog_service.models.query import PARTIAL_ROWS, Language, QueryText, ResolvedQuery, SplitQuery, TableScan
from catalog_service.models.tree import TableRef
from tests.catalog_service.language.store import VIEW, Store
from tests.catalog_service.language.test_qserv_meaning import Texts


def resolved(text: str, language: Language = Language.ADQL) -> ResolvedQuery:
    return resolve(parse(QueryText(text, language)), VIEW)


def in_batches(store: Store, query: ResolvedQuery, *, max_rows: int = 100_000) -> list[tuple[Any, ...]]:
    """Run a query as an engine does: over the two files of Object, one after the other."""
    parts = split(query)
    assert isinstance(parts, SplitQuery), parts
    tables = [node for node in walk(query.tree) if isinstance(node, TableRef)]
    scans = {ref.source: TableScan(ref.table, store.files[ref.table.full_name]) for ref in tables}
    first = next(ref.source for ref in tables if ref.table.name in {"Object", "Small"})
    files = (
        [*store.files["sky.Object"], store.files["sky.Small"][0]]
        if tables[0].table.name == "Object"
        else scans[first].files
    )
    batches = [scans | {first: TableScan(scans[first].table, (file,))} for file in files[:2]]
    texts, merge = emit_split(parts, batches, max_rows=max_rows)
    cursor = store.connection.cursor()
    if not merge:
        rows = [row for text in texts for row in cursor.sql(text).fetchall()]
        top = getattr(query.tree, "top", None)
        return rows[: max_rows + 1 if top is None else min(top, max_rows + 1)]
    for number, text in enumerate(texts):
        cursor.execute(
            f"INSERT INTO {PARTIAL_ROWS} {text}" if number else f"CREATE TEMP TABLE {PARTIAL_ROWS} AS {text}"
        )
    relation = cursor.sql(merge)
    assert relation.columns == [column.name for column in query.columns]
    return relation.fetchall()


def key(row: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(f"{value:.6g}" if isinstance(value, float) else str(value) for value in row)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return type(one) is type(other) and one == other


def matched(ours: list[tuple[Any, ...]], theirs: list[tuple[Any, ...]], *, ordered: bool) -> bool:
    if not ordered:
        ours, theirs = sorted(ours, key=key), sorted(theirs, key=key)
    return len(ours) == len(theirs) and all(all(map(same, a, b)) for a, b in zip(ours, theirs, strict=True))


def check(store: Store, query: ResolvedQuery, *, ordered: bool, max_rows: int = 100_000) -> int:
    whole, parts = store.execute(query, max_rows=max_rows).rows, in_batches(store, query, max_rows=max_rows)
    assert matched(parts, whole, ordered=ordered), (parts[:3], whole[:3])
    return len(whole)


@pytest.mark.parametrize(
    ("text", "ordered"),
    [
        ("SELECT objectId, mag FROM sky.Object WHERE n > 2", False),
        ("SELECT objectId, samples, seen, flag, name FROM sky.Object WHERE tiny = 7", False),
        ("SELECT TOP 9 objectId, mag FROM sky.Object WHERE mag > 0 ORDER BY mag DESC, objectId", True),
        ("SELECT TOP 9 name FROM sky.Object ORDER BY mag, objectId OFFSET 5", True),
        ("SELECT objectId, mag + 1 AS m FROM sky.Object WHERE tiny < 9 ORDER BY m, n, objectId", True),
        ("SELECT DISTINCT n, flag FROM sky.Object ORDER BY n, flag", True),
        ("SELECT DISTINCT name FROM sky.Object", False),
        ("SELECT COUNT(*), COUNT(mag), SUM(m), SUM(mag), AVG(m), AVG(mag), MIN(name), MAX(seen) FROM sky.Object", False),
        ("SELECT COUNT(*), SUM(m), AVG(mag) FROM sky.Object WHERE n > 1000", False),
        ("SELECT SUM(lon), AVG(lon), SUM(lat), AVG(lat), SUM(lon + lat), AVG(lon - lat) FROM sky.Object", False),
        ("SELECT n, SUM(lon), AVG(lat), AVG(lon) FROM sky.Object GROUP BY n ORDER BY n", True),
        ("SELECT AVG(objectId) - 1152921504606852975 AS a FROM sky.Object", False),
        ("SELECT SUM((objectId / 1000) * (MOD(tiny, 2) * 2 - 1) * 100) AS a FROM sky.Object", False),
        ("SELECT AVG(objectId) AS a, MAX(objectId) AS b FROM sky.Object", False),
        ("SELECT n, COUNT(*) AS c, MAX(mag) - MIN(mag) AS d FROM sky.Object GROUP BY n ORDER BY c DESC, n", True),
        ("SELECT n, AVG(mag) FROM sky.Object GROUP BY n HAVING COUNT(*) > 300 AND AVG(m) > -3 ORDER BY AVG(mag)", True),
        ("SELECT n, COUNT(*) AS c, AVG(m) FROM sky.Object GROUP BY n HAVING COUNT(*) > 300 ORDER BY AVG(m) + n", True),
        ("SELECT TOP 3 n, flag, SUM(m) / COUNT(m) FROM sky.Object GROUP BY n, flag ORDER BY n, flag OFFSET 2", True),
        ("SELECT FLOOR(mag) AS b, COUNT(*) AS c FROM sky.Object WHERE mag > 0 GROUP BY FLOOR(mag) ORDER BY b", True),
        ("SELECT name, mag, COUNT(*) AS c FROM sky.Object GROUP BY name ORDER BY name", True),
        ("SELECT o.objectId, v.band FROM sky.Object AS o LEFT JOIN sky.Visit AS v ON v.visit = o.n WHERE tiny < 30", False),
        ("SELECT v.band, COUNT(*) AS c FROM sky.Object AS o, sky.Visit AS v WHERE v.visit = o.n GROUP BY v.band", False),
        ("SELECT MOD(n, 3) AS k, SUM(m) FROM sky.Object GROUP BY MOD(n, 3)", False),
    ],
)  # fmt: skip
def test_parity(store: Store, text: str, ordered: bool) -> None:
    assert check(store, resolved(text), ordered=ordered) > 0
    if ordered:
        check(store, resolved(text), ordered=True, max_rows=2)


def test_a_cut_result_has_as_many_rows(store: Store) -> None:
    query = resolved("SELECT objectId FROM sky.Object")
    assert len(in_batches(store, query, max_rows=10)) == 11
    assert len(in_batches(store, resolved("SELECT TOP 2000 objectId FROM sky.Object"))) == 2000
    assert len(in_batches(store, resolved("SELECT TOP 5 objectId FROM sky.Object"))) == 5


@pytest.mark.parametrize("seed", range(3))
def test_random_queries(store: Store, seed: int) -> None:
    texts, split_ones = Texts(1000 + seed), 0
    for _ in range(150):
        text = texts.query().replace("sky.Small", "sky.Object")
        text = text.replace(", STD(size), VARIANCE(mag), STDDEV_SAMP(size), COUNT(DISTINCT name)", ", COUNT(*)")
        query = resolved(text, Language.QSERV)
        if isinstance(split(query), str):
            continue
        if "LIMIT" in text:  # ties may fall either way
            whole, parts = store.execute(query).column(0), [row[0] for row in in_batches(store, query)]
            assert len(whole) == len(parts), text
            assert all(a == b or (a is not None and b is not None) for a, b in zip(whole, parts, strict=True)), text
            continue
        split_ones += 1
        check(store, query, ordered=False)
    assert split_ones > 70


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT ra FROM sky.Object UNION SELECT ra FROM sky.Small", "single SELECT"),
        ("WITH a AS (SELECT ra FROM sky.Object) SELECT ra FROM a", "single SELECT"),
        ("SELECT 1 AS a", "single SELECT"),
        ("SELECT ra FROM (SELECT ra FROM sky.Object) AS a", "derived"),
        ("SELECT ra FROM sky.Visit AS v JOIN (SELECT ra FROM sky.Object) AS a ON v.visit = a.ra", "derived"),
        ("SELECT ra FROM sky.Object WHERE n IN (SELECT visit FROM sky.Visit)", "subquery"),
        ("SELECT ra FROM sky.Object AS o WHERE EXISTS (SELECT visit FROM sky.Visit AS v WHERE v.visit = o.n)", "subquery"),
        ("SELECT (SELECT MAX(mjd) FROM sky.Visit) AS a FROM sky.Object", "subquery"),
        ("SELECT COUNT(DISTINCT n) FROM sky.Object", "DISTINCT"),
        ("SELECT n, SUM(DISTINCT m) FROM sky.Object GROUP BY n", "DISTINCT"),
        ("SELECT MEDIAN(mag) FROM sky.Object", "MEDIAN"),
        ("SELECT STDDEV(mag) FROM sky.Object", "STDDEV"),
        ("SELECT IVO_STRING_AGG(name, ',') FROM sky.Object", "IVO_STRING_AGG"),
        ("SELECT ROW_NUMBER() OVER (ORDER BY ra) AS r FROM sky.Object", "window"),
        ("SELECT RAND() AS r FROM sky.Object", "RAND"),
        ("SELECT DISTINCT COUNT(*) FROM sky.Object GROUP BY n", "DISTINCT"),
        ("SELECT ra FROM sky.Object OFFSET 5", "OFFSET"),
    ],
)  # fmt: skip
def test_refusals(text: str, reason: str) -> None:
    answer = split(resolved(text))
    assert isinstance(answer, str)
    assert reason in answer
