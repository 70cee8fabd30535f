"""Queries split over two batches of files give what they give as a whole; what is not split says why."""

import math
import re
from dataclasses import replace
from typing import Any

import pytest

from catalog_service.language import locality
from catalog_service.language.functions import AGGREGATES, FUNCTIONS
from catalog_service.language.pipeline import emit_split, parse, resolve, split
from catalog_service.language.rewrite import walk
from catalog_service.models import tree
from catalog_service.models.query import PARTIAL_ROWS, Language, QueryText, ResolvedQuery, SplitQuery, TableScan
from catalog_service.models.spines import Cut, spines
from catalog_service.models.tree import TableRef
from tests.catalog_service.language.store import VIEW, Store
from tests.catalog_service.language.test_qserv_meaning import Texts


def resolved(text: str, language: Language = Language.ADQL) -> ResolvedQuery:
    return resolve(parse(QueryText(text, language)), VIEW)


def cut_of(query: ResolvedQuery, keys: tuple[str, ...] = (), few: tuple[str, ...] = ()) -> Cut:
    """Return a cut of the first table of tiles that a query leads to through FROM, as the planner would tell."""
    spine = next(one for one in spines(query.tree) if table_of(query, one.sources[-1]) in {"sky.Object", "sky.Small"})
    lead = spine.sources[-1]
    return Cut(spine, *(frozenset((lead, name) for name in names) for names in (keys, few)))


def table_of(query: ResolvedQuery, source: int) -> str:
    tables = (node for node in walk(query.tree) if isinstance(node, TableRef))
    return next(node.table.full_name for node in tables if node.source == source)


def in_batches(
    store: Store, query: ResolvedQuery, *, max_rows: int = 100_000, cut: Cut | None = None
) -> list[tuple[Any, ...]]:
    """Run a query as an engine does: over the two files of Object, one after the other."""
    parts = split(query, cut or cut_of(query))
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
        if isinstance(split(query, cut_of(query)), str):
            continue
        if "LIMIT" in text:  # ties may fall either way
            whole, parts = store.execute(query).column(0), [row[0] for row in in_batches(store, query)]
            assert len(whole) == len(parts), text
            assert all(a == b or (a is not None and b is not None) for a, b in zip(whole, parts, strict=True)), text
            continue
        split_ones += 1
        check(store, query, ordered=False)
    assert split_ones > 70


Q = "(SELECT objectId, n, mag, {0} FROM sky.Object {1}) AS q"
DENSEST = "ROW_NUMBER() OVER (PARTITION BY objectId ORDER BY mag) AS r"

ACCEPTED = (
    "SELECT q.objectId FROM (SELECT objectId, mag FROM sky.Object WHERE n > 1) AS q WHERE q.mag > 0",
    "WITH q AS (SELECT objectId, mag FROM sky.Object) SELECT objectId FROM q WHERE mag > 0",
    (
        "WITH q AS (SELECT objectId AS k, mag FROM sky.Object), p AS (SELECT k AS l, mag FROM q) "
        "SELECT l, MEDIAN(mag) AS m FROM p GROUP BY l"
    ),
    f"SELECT COUNT(*) AS c FROM {Q.format(DENSEST, '')} WHERE q.r = 1",
    f"SELECT q.objectId, ROW_NUMBER() OVER (PARTITION BY q.objectId ORDER BY q.r) AS s FROM {Q.format(DENSEST, '')}",
    "SELECT AVG(q.c) AS a FROM (SELECT objectId, n, COUNT(*) AS c FROM sky.Object GROUP BY objectId, n) AS q",
    "SELECT COUNT(*) AS c FROM (SELECT DISTINCT objectId, n FROM sky.Object) AS q",
    "SELECT objectId, MEDIAN(mag) AS a FROM sky.Object GROUP BY objectId HAVING COUNT(DISTINCT mag) > 0",
    "SELECT TOP 7 objectId, STDDEV(mag) AS a FROM sky.Object GROUP BY objectId ORDER BY objectId OFFSET 2",
    "SELECT DISTINCT objectId, COUNT(*) AS c FROM sky.Object GROUP BY objectId",
    "SELECT objectId FROM sky.Object WHERE n IN (SELECT visit FROM sky.Visit)",
    "SELECT objectId FROM sky.Object AS o WHERE NOT EXISTS (SELECT visit FROM sky.Visit AS v WHERE v.visit = o.n)",
    "SELECT objectId, (SELECT MAX(mjd) FROM sky.Visit AS v WHERE v.visit < o.n) AS a FROM sky.Object AS o",
    "SELECT objectId FROM sky.Object AS o WHERE EXISTS (SELECT TOP 1 visit FROM sky.Visit AS v WHERE v.visit = o.n)",
    "SELECT SUM((SELECT COUNT(*) FROM sky.Visit AS v WHERE v.visit = o.n)) AS a FROM sky.Object AS o GROUP BY n",
    "SELECT v.band, q.mag FROM (SELECT n, mag FROM sky.Object) AS q LEFT JOIN sky.Visit AS v ON v.visit = q.n",
    (
        "SELECT o.mag, q.c FROM sky.Object AS o JOIN (SELECT band, COUNT(*) AS c FROM sky.Visit GROUP BY band) AS q "
        "ON q.c = o.n"
    ),
    "SELECT COUNT(DISTINCT n) AS a, COUNT(*) AS b, COUNT(mag) AS c, SUM(m) AS d, AVG(mag) AS e FROM sky.Object",
    "SELECT COUNT(DISTINCT n) AS a, COUNT(*) AS b, SUM(m) AS c, MIN(mag) AS d FROM sky.Object WHERE n > 1000",
    "SELECT tiny, COUNT(DISTINCT name) AS a, COUNT(*) AS b, AVG(m) AS c FROM sky.Object GROUP BY tiny",
    (
        "SELECT name, SUM(DISTINCT n) AS a, AVG(DISTINCT n) AS b, MAX(n) AS c FROM sky.Object GROUP BY name "
        "HAVING COUNT(DISTINCT n) > 1"
    ),
    "SELECT n, COUNT(DISTINCT n) AS a, COUNT(n) AS b FROM sky.Object GROUP BY n",
)


@pytest.mark.parametrize("text", ACCEPTED)
def test_acceptances(store: Store, text: str) -> None:
    """Object's ids are each in one file, so that what they tell apart is whole in one batch."""
    query = resolved(text)
    cut = cut_of(query, keys=("objectId",), few=("n", "tiny", "name"))
    whole, parts = store.execute(query).rows, in_batches(store, query, cut=cut)
    assert matched(parts, whole, ordered=False), (parts[:3], whole[:3])


REFUSED = (
    ("SELECT objectId FROM (SELECT TOP 5 objectId FROM sky.Object) AS q", "derived table is cut"),
    ("SELECT objectId FROM (SELECT objectId FROM sky.Object OFFSET 5) AS q", "derived table is cut"),
    ("SELECT n FROM (SELECT DISTINCT n FROM sky.Object) AS q", "DISTINCT of a derived table"),
    ("SELECT c FROM (SELECT n, COUNT(*) AS c FROM sky.Object GROUP BY n) AS q", "groups of a derived table"),
    ("SELECT c FROM (SELECT COUNT(*) AS c FROM sky.Object) AS q", "groups of a derived table"),
    ("SELECT c FROM (SELECT COUNT(*) AS c FROM sky.Object HAVING COUNT(*) > 1) AS q", "groups of a derived table"),
    ("SELECT r FROM (SELECT ROW_NUMBER() OVER (PARTITION BY n ORDER BY mag) AS r FROM sky.Object) AS q", "window"),
    ("SELECT ROW_NUMBER() OVER (ORDER BY ra) AS r FROM sky.Object", "window"),
    ("SELECT SUM(COUNT(*)) OVER (PARTITION BY n) AS r FROM sky.Object GROUP BY n", "window"),
    ("SELECT objectId + 1 AS k, MEDIAN(mag) AS r FROM sky.Object GROUP BY objectId + 1", "MEDIAN"),
    ("SELECT objectId FROM sky.Object WHERE n IN (SELECT TOP 3 visit FROM sky.Visit)", "picks"),
    ("SELECT objectId FROM sky.Object WHERE mag > (SELECT STDDEV(mjd) FROM sky.Visit)", "picks"),
    (("SELECT o.objectId FROM sky.Object AS o JOIN (SELECT visit, ROW_NUMBER() OVER (ORDER BY band) AS r FROM sky.Visit)"
     " AS q ON q.r = o.n"), "picks"),
    (("SELECT o.objectId FROM sky.Object AS o WHERE EXISTS (SELECT 1 FROM sky.Visit AS v WHERE v.visit = o.n AND "
     "v.visit IN (SELECT TOP 3 visit FROM sky.Visit))"), "picks"),
    ("SELECT n, (SELECT MAX(mjd) FROM sky.Visit) AS a, COUNT(*) FROM sky.Object GROUP BY n", "subquery"),
    ("SELECT n, COUNT(*) FROM sky.Object GROUP BY n HAVING COUNT(*) > (SELECT MAX(visit) FROM sky.Visit)", "subquery"),
    ("SELECT n, COUNT(*) FROM sky.Object GROUP BY n HAVING n IN (SELECT visit FROM sky.Visit)", "subquery"),
    ("SELECT n, COUNT(*) FROM sky.Object GROUP BY n HAVING EXISTS (SELECT visit FROM sky.Visit)", "subquery"),
    ("SELECT COUNT(DISTINCT mag) FROM sky.Object", "DISTINCT"),
    ("SELECT COUNT(DISTINCT n + 1) FROM sky.Object", "DISTINCT"),
    ("SELECT n, SUM(DISTINCT m) FROM sky.Object GROUP BY n", "DISTINCT"),
    ("SELECT COUNT(DISTINCT n), COUNT(DISTINCT tiny) FROM sky.Object", "DISTINCT of several"),
    ("SELECT MEDIAN(mag) FROM sky.Object", "MEDIAN"),
    ("SELECT STDDEV(mag) FROM sky.Object", "STDDEV"),
    ("SELECT IVO_STRING_AGG(name, ',') FROM sky.Object", "IVO_STRING_AGG"),
    ("SELECT RAND() AS r FROM sky.Object", "RAND"),
    ("SELECT objectId FROM sky.Object WHERE n IN (SELECT visit FROM sky.Visit WHERE RAND() < 0.5)", "RAND"),
    ("SELECT DISTINCT COUNT(*) FROM sky.Object GROUP BY n", "DISTINCT"),
    ("SELECT ra FROM sky.Object OFFSET 5", "OFFSET"),
    ("SELECT n, COUNT(*) FROM sky.Object GROUP BY n WITH ROLLUP", "ROLLUP"),
    ("SELECT objectId, COUNT(*) FROM sky.Object GROUP BY objectId WITH ROLLUP", "ROLLUP"),
    ("SELECT c FROM (SELECT objectId, COUNT(*) AS c FROM sky.Object GROUP BY objectId WITH ROLLUP) AS q", "ROLLUP"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_refusals(text: str, reason: str) -> None:
    query = resolved(text, Language.QSERV if "ROLLUP" in text else Language.ADQL)
    answer = split(query, cut_of(query, keys=("objectId",), few=("n", "tiny", "name")))
    assert isinstance(answer, str)
    assert reason in answer


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ra FROM sky.Object UNION SELECT ra FROM sky.Small",
        "SELECT ra FROM (SELECT ra FROM sky.Object UNION ALL SELECT ra FROM sky.Small) AS q",
        "WITH a AS (SELECT ra FROM sky.Object) SELECT a.ra FROM a JOIN a AS b ON a.ra = b.ra",
        "SELECT 1 AS a",
        "SELECT 1 AS a WHERE EXISTS (SELECT ra FROM sky.Object)",
    ],
)
def test_no_table_is_reached_in_one_way(text: str) -> None:
    assert spines(resolved(text).tree) == ()


def test_every_aggregate_and_node_that_is_known_is_named_here() -> None:
    """Whatever is new is refused until somebody says how it is merged."""
    assert {getattr(tree, name) for name in KNOWN.split()} == locality.KNOWN_NODES
    refused = {node for node in vars(tree).values() if isinstance(node, type) and issubclass(node, tree.Node)}
    refused -= locality.KNOWN_NODES
    assert {node.__name__ for node in refused} == set(UNKNOWN.split())
    merged = {name for name in AGGREGATES if not isinstance(_split_aggregate(name), str)}
    assert merged == {"count", "sum", "min", "max", "avg", "any_value"}


KNOWN = """IntegerLiteral RealLiteral StringLiteral BooleanLiteral NullLiteral ColumnRef Unary Binary FunctionCall Cast Case
InUnit And Or Not Comparison Between InList Like IsNull Point Circle PolygonShape RegionColumn Contains Intersects Distance
Coordinate Area ScalarQuery InQuery Exists Aggregate WindowCall Select SelectItem OrderItem SetOperation With CommonTable
Identifier TableRef SubqueryRef CommonTableRef Join"""
UNKNOWN = "Node Shape Name Star BoxShape RegionLiteral Centroid TableName ShowColumns"


def _split_aggregate(name: str) -> SplitQuery | str:
    query = resolved("SELECT n, MIN(mag) AS a FROM sky.Object GROUP BY n")
    assert isinstance(query.tree, tree.Select)
    call = query.tree.items[1].expr
    assert isinstance(call, tree.Aggregate)
    items = (query.tree.items[0], replace(query.tree.items[1], expr=replace(call, name=name)))
    query = replace(query, tree=replace(query.tree, items=items))
    return split(query, cut_of(query))


def test_a_node_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    query = resolved("SELECT objectId FROM sky.Object WHERE name LIKE 'S%'")
    assert not isinstance(split(query, cut_of(query)), str)
    monkeypatch.setattr(locality, "KNOWN_NODES", locality.KNOWN_NODES - {tree.Like})
    assert "Like" in str(split(query, cut_of(query)))


def test_functions_that_differ_each_time_are_known(store: Store) -> None:
    """DuckDB tells which of its functions are not steady; what we write with one of those is not split."""
    rows = store.connection.sql("SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'")
    unsteady = re.compile(rf"\b({'|'.join(re.escape(name) for (name,) in rows.fetchall() if name.isidentifier())})\(")
    found = {
        function.name
        for function in FUNCTIONS.values()
        if any(unsteady.search(template) for template in function.templates.values())
    }
    assert found == set(locality._NEVER_ALIKE)
