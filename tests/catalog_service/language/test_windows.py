"""Window functions: the same text run by us over Parquet and by SQLite over the same rows."""

import math
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.exceptions import QueryError
from catalog_service.language.pipeline import parse
from catalog_service.models.query import QueryText
from tests.catalog_service.language.store import SMALL_ROWS, Store

COLUMNS = ("objectId", "mag", "n", "m", "name", "ra")


@pytest.fixture(scope="module")
def sqlite(store: Store) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("ATTACH ':memory:' AS sky")
    connection.execute(f"CREATE TABLE sky.Small ({', '.join(COLUMNS)})")
    values = [[_plain(value) for value in list(store.objects[name])[:SMALL_ROWS]] for name in COLUMNS]
    connection.executemany(f"INSERT INTO sky.Small VALUES ({', '.join('?' * len(COLUMNS))})", zip(*values, strict=True))
    yield connection
    connection.close()


def _plain(value: object) -> object:
    return value.item() if hasattr(value, "item") else value


def same(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float | int):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    return left == right


def agree(store: Store, sqlite: sqlite3.Connection, query: str) -> int:
    ours, theirs = store.run(query).rows, sqlite.execute(query).fetchall()
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert all(map(same, mine, other)), (query, mine, other)
    return len(ours)


FUNCTIONS = st.sampled_from(
    ["ROW_NUMBER()", "RANK()", "DENSE_RANK()", "NTILE(7)", "LAG(mag)", "LEAD(n, 3)", "FIRST_VALUE(name)",
     "LAST_VALUE(m)", "COUNT(*)", "COUNT(mag)", "SUM(n)", "SUM(ra)", "AVG(mag)", "MIN(name)", "MAX(m)"]
)  # fmt: skip
PARTITIONS = st.sampled_from(
    ["", "PARTITION BY n", "PARTITION BY m / 50", "PARTITION BY n, ABS(m / 50)", "PARTITION BY name"]
)
KEYS = st.sampled_from(["", "n {}, ", "mag {}, ", "-m {}, ", "n + m {}, mag {}, "])
DIRECTIONS = st.sampled_from(["NULLS LAST", "DESC NULLS LAST", "ASC NULLS FIRST", "DESC NULLS FIRST"])
BOUNDS = st.one_of(st.integers(-4, 4), st.sampled_from([-math.inf, math.inf]))


def bound(distance: float) -> str:
    if distance == 0:
        return "CURRENT ROW"
    return f"{'UNBOUNDED' if math.isinf(distance) else abs(distance)} {'PRECEDING' if distance < 0 else 'FOLLOWING'}"


@st.composite
def windows(draw: st.DrawFn) -> str:
    call, partition, keys = draw(FUNCTIONS), draw(PARTITIONS), draw(KEYS)
    order = f"ORDER BY {keys.replace('{}', draw(DIRECTIONS))}objectId"  # the order is total: any answer is the answer
    start, stop = sorted([draw(BOUNDS), draw(BOUNDS)])
    framed = draw(st.booleans()) and not (start == math.inf or stop == -math.inf)
    rows = f"ROWS BETWEEN {bound(start)} AND {bound(stop)}" if framed else ""
    return f"{call} OVER ({partition} {order} {rows})"


@settings(max_examples=150, deadline=None)
@given(window=windows())
def test_windows_are_those_of_sqlite(store: Store, sqlite: sqlite3.Connection, window: str) -> None:
    assert agree(store, sqlite, f"SELECT objectId, {window} AS w FROM sky.Small ORDER BY objectId") == SMALL_ROWS


DISTANCES = st.sampled_from([-math.inf, -40.0, -2.5, -1.0, -0.25, 0.0, 0.5, 3.0, 1e9, math.inf])


@st.composite
def ranges(draw: st.DrawFn) -> str:
    call = draw(st.sampled_from(["COUNT(*)", "SUM(n)", "MIN(m)", "MAX(mag)", "AVG(m)", "COUNT(mag)", "FIRST_VALUE(m)"]))
    key = draw(st.sampled_from(["n", "m", "mag", "n + m", "ra"]))
    if call == "FIRST_VALUE(m)":
        key = "m"  # among equal rows any may be the first
    start, stop = sorted([draw(DISTANCES), draw(DISTANCES)])
    whole = [f"{one:g}".replace("1e+09", "1000000000") for one in (abs(start), abs(stop))]
    begin, end = (bound(one).replace(str(abs(one)), text) for one, text in zip((start, stop), whole, strict=True))
    framed = not (start == math.inf or stop == -math.inf)
    rows = f"RANGE BETWEEN {begin} AND {end}" if framed else "RANGE CURRENT ROW"
    return f"{call} OVER ({draw(PARTITIONS)} ORDER BY {key} {draw(DIRECTIONS)} {rows})"


@settings(max_examples=100, deadline=None)
@given(window=ranges())
def test_ranges_of_values_are_those_of_sqlite(store: Store, sqlite: sqlite3.Connection, window: str) -> None:
    assert agree(store, sqlite, f"SELECT objectId, {window} AS w FROM sky.Small ORDER BY objectId") == SMALL_ROWS


@pytest.mark.parametrize(
    "query",
    [
        # set functions of groups inside windows, windows beside groups
        "SELECT n, COUNT(*) AS k, SUM(COUNT(*)) OVER (ORDER BY n NULLS LAST) AS total FROM sky.Small GROUP BY n ORDER BY n NULLS LAST",
        "SELECT n, RANK() OVER (ORDER BY COUNT(*) DESC, n NULLS LAST) AS place FROM sky.Small GROUP BY n HAVING COUNT(*) > 10 ORDER BY n NULLS LAST",
        # WHERE comes before windows, what stands outside of a derived table after them
        "SELECT objectId, COUNT(*) OVER () AS k FROM sky.Small WHERE n > 2 ORDER BY objectId",
        "SELECT objectId, k FROM (SELECT objectId, n, COUNT(*) OVER () AS k FROM sky.Small) AS t WHERE n > 2 ORDER BY objectId",
        "SELECT n, objectId FROM (SELECT n, objectId, ROW_NUMBER() OVER (PARTITION BY n ORDER BY ra) AS p FROM sky.Small) AS t WHERE p <= 2 AND n = 3 ORDER BY objectId",
        # in expressions, as sort keys, in several windows, and in operands of set operations
        "SELECT objectId, ra - AVG(ra) OVER (PARTITION BY n) AS off, MAX(ra) OVER () AS highest FROM sky.Small ORDER BY objectId",
        "SELECT objectId FROM sky.Small ORDER BY ROW_NUMBER() OVER (PARTITION BY n ORDER BY objectId DESC), objectId",
        "SELECT DISTINCT COUNT(*) OVER (PARTITION BY n) AS k FROM sky.Small ORDER BY k",
        "SELECT COUNT(*) OVER () AS k FROM sky.Small UNION SELECT ROW_NUMBER() OVER (ORDER BY objectId) FROM sky.Small ORDER BY 1",
        "SELECT CASE WHEN LAG(n) OVER (ORDER BY objectId) < n THEN 1 ELSE 0 END AS up FROM sky.Small ORDER BY objectId",
        "SELECT SUM(n) OVER (ORDER BY objectId ROWS 2 PRECEDING) AS s FROM sky.Small ORDER BY objectId",
    ],
)  # fmt: skip
def test_windows_in_queries(store: Store, sqlite: sqlite3.Connection, query: str) -> None:
    assert agree(store, sqlite, query) > 1
    assert "window function" in store.resolve(query).relaxations


def test_statistics_over_windows(store: Store) -> None:
    rows = store.run(
        "SELECT n, MEDIAN(mag) OVER (PARTITION BY n), COUNT(DISTINCT m) OVER (PARTITION BY n), STDDEV(mag) OVER (PARTITION BY n),"
        " ivo_string_agg(DISTINCT name, ',') OVER (PARTITION BY n) FROM sky.Small"
    ).rows
    groups = store.run(
        "SELECT n, MEDIAN(mag), COUNT(DISTINCT m), STDDEV(mag), ivo_string_agg(DISTINCT name, ',') FROM sky.Small GROUP BY n"
    ).rows
    assert {row[0]: row[1:3] + row[4:] for row in rows} == {row[0]: row[1:3] + row[4:] for row in groups}
    assert {row[0]: row[3] for row in rows} == pytest.approx({row[0]: row[3] for row in groups})
    assert len(rows) == SMALL_ROWS


def test_a_window_of_infinite_values_is_never_nan(store: Store) -> None:
    rows = store.run(
        "SELECT SUM(CASE WHEN n > 0 THEN lon ELSE -lon END) OVER (), STDDEV(lon) OVER () FROM sky.Object"
    ).rows
    assert set(rows) == {(None, None)} or not any(math.isnan(v) for row in rows for v in row if v is not None)


def test_columns_keep_their_types_and_units(store: Store) -> None:
    columns = store.resolve(
        "SELECT LAG(mag) OVER (ORDER BY ra), AVG(ra) OVER (), RANK() OVER (ORDER BY ra), FIRST_VALUE(name) OVER (ORDER BY ra) FROM sky.Object"
    ).columns
    described = [(one.name, one.datatype.value, one.unit, one.ucd) for one in columns]
    assert described == [
        ("lag", "float", "mag", "phot.mag;em.opt.R"),
        ("avg", "double", "deg", None),
        ("rank", "long", None, None),
        ("first_value", "char", None, None),
    ]


def test_words_of_windows_are_names_elsewhere(store: Store) -> None:
    query = "SELECT n AS over, m AS partition, ra AS unbounded, dec preceding, mag row, lon following, lat AS rank FROM sky.Object WHERE n IN (1)"
    answer = store.run(query)
    assert answer.names == ["over", "partition", "unbounded", "preceding", "row", "following", "rank"]
    assert answer.resolved.relaxations == ()
    again = store.run(
        "SELECT SUM(row) OVER (PARTITION BY over ORDER BY partition) AS s FROM (SELECT n AS over, m AS partition, mag AS row FROM sky.Object) AS rank"
    )
    assert len(again.rows) == len(store.objects["n"])


@pytest.mark.parametrize(
    ("query", "message", "column"),
    [
        ("SELECT n FROM sky.Object WHERE ROW_NUMBER() OVER (ORDER BY n) > 1", "ROW_NUMBER(...) OVER cannot stand in WHERE", 32),
        ("SELECT n FROM sky.Object GROUP BY n HAVING SUM(n) OVER () > 1", "SUM(...) OVER cannot stand in HAVING", 44),
        ("SELECT n FROM sky.Object GROUP BY RANK() OVER (ORDER BY n)", "RANK(...) OVER cannot stand in GROUP BY", 35),
        ("SELECT RANK() OVER (ORDER BY n) AS r FROM sky.Object GROUP BY r", "RANK(...) OVER cannot stand in GROUP BY", 8),
        ("SELECT o.n FROM sky.Object o JOIN sky.Visit v ON COUNT(*) OVER () = v.visit", "COUNT(...) OVER cannot stand in ON", 50),
        ("SELECT SUM(SUM(n) OVER ()) FROM sky.Object", "SUM(...) OVER cannot stand inside SUM", 12),
        ("SELECT RANK() OVER (ORDER BY SUM(n) OVER ()) FROM sky.Object", "SUM(...) OVER cannot stand inside RANK", 30),
        ("SELECT RANK() OVER () FROM sky.Object", "RANK needs an order of rows. Write RANK(...) OVER (ORDER BY ...).", 8),
        ("SELECT RANK() FROM sky.Object", "RANK is a function of windows", 8),
        ("SELECT ABS(n) OVER () FROM sky.Object", "ABS is no function that takes OVER. Set functions do, and ROW_NUMBER", 8),
        ("SELECT any_value(n) OVER () FROM sky.Object", "any_value is no function that takes OVER", 8),
        ("SELECT RANK(DISTINCT n) OVER (ORDER BY n) FROM sky.Object", "RANK takes no DISTINCT", 8),
        ("SELECT LAG(n, m) OVER (ORDER BY n) FROM sky.Object", "LAG needs a constant positive integer here", 15),
        ("SELECT NTILE(0) OVER (ORDER BY n) FROM sky.Object", "NTILE needs a constant positive integer here", 14),
        ("SELECT LAG() OVER (ORDER BY n) FROM sky.Object", "LAG takes 1 or 2 arguments, not 0", 8),
        ("SELECT SUM(n, m) OVER () FROM sky.Object", "SUM takes 1 argument, not 2", 8),
        ("SELECT SUM(*) OVER () FROM sky.Object", "only COUNT takes *", 12),
        ("SELECT SUM(name) OVER () FROM sky.Object", "SUM needs numbers, not a text", 12),
        ("SELECT SUM(n) OVER (ORDER BY 1) FROM sky.Object", "take columns and expressions, no constants", 30),
        ("SELECT SUM(n) OVER (PARTITION BY POINT(ra, dec)) FROM sky.Object", "a window cannot use a point", 34),
        ("SELECT SUM(n) OVER (ORDER BY n ROWS BETWEEN 1 FOLLOWING AND CURRENT ROW) FROM sky.Object", "ends before it begins", 32),
        ("SELECT SUM(n) OVER (ORDER BY n ROWS UNBOUNDED FOLLOWING) FROM sky.Object", "a window cannot begin there", 32),
        ("SELECT SUM(n) OVER (ORDER BY n, m RANGE 1 PRECEDING) FROM sky.Object", "sorted by one number. ROWS counts rows", 8),
        ("SELECT SUM(n) OVER (ORDER BY name RANGE 1 PRECEDING) FROM sky.Object", "needs numbers, not a text", 30),
        ("SELECT SUM(n) OVER (ORDER BY n ROWS .5 PRECEDING) FROM sky.Object", "ROWS counts rows", 37),
        ("SELECT SUM(n) OVER (ORDER BY n GROUPS 1 PRECEDING) FROM sky.Object", "Windows have frames of ROWS and RANGE", 32),
        ("SELECT SUM(n) OVER (ORDER BY n ROWS 1 PRECEDING EXCLUDE TIES) FROM sky.Object", "Frames leave no rows out", 49),
        ("SELECT SUM(n) OVER w FROM sky.Object WINDOW w AS (ORDER BY n)", "Windows have no names: write OVER (ORDER BY ...)", 20),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(store: Store, query: str, message: str, column: int) -> None:
    with pytest.raises(QueryError) as error:
        store.run(query)
    assert message in str(error.value)
    assert f"column {column}:" in str(error.value)


def test_windows_are_no_strict_adql() -> None:
    assert parse(QueryText("SELECT COUNT(*) OVER () FROM t")).relaxations == ("window function",)
