"""Whole queries run by DuckDB, against the same done in Python over the arrays."""

from collections import Counter, defaultdict
from typing import Any

import duckdb
import pytest

from catalog_service.language.pipeline import result_position
from catalog_service.models.schema import DataType
from tests.catalog_service.language.store import SMALL_ROWS, N, Store

Record = dict[str, Any]


def records(columns: dict[str, Any], count: int | None = None) -> list[Record]:
    names = list(columns)
    rows = zip(*(columns[name] for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows][:count]


@pytest.fixture(scope="module")
def objects(store: Store) -> list[Record]:
    return records({**store.objects, "objectId": store.objects["objectId"].tolist()})


@pytest.fixture(scope="module")
def sources(store: Store) -> list[Record]:
    return records(store.sources)


@pytest.fixture(scope="module")
def visits(store: Store) -> list[Record]:
    return records(store.visits)


def sort_key(row: tuple[Any, ...]) -> list[tuple[bool, Any]]:
    return [(value is None, 0 if value is None else value) for value in row]


def by_sorting(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=sort_key)


# --- grouping -------------------------------------------------------------------------------------


def test_group_by(store: Store, objects: list[Record]) -> None:
    groups: defaultdict[Any, list[Record]] = defaultdict(list)
    for row in objects:
        groups[row["n"]].append(row)
    answer = store.run(
        "SELECT n, COUNT(*) AS c, COUNT(mag), SUM(m), AVG(m), MIN(mag), MAX(name), COUNT(DISTINCT m), SUM(DISTINCT m), AVG(flux) "
        "FROM sky.Object GROUP BY n HAVING COUNT(*) > 100 ORDER BY n"
    )
    expected = []
    for n, rows in groups.items():
        if len(rows) <= 100:
            continue
        ms = [row["m"] for row in rows if row["m"] is not None]
        mags = [row["mag"] for row in rows if row["mag"] is not None]
        names = [row["name"] for row in rows if row["name"] is not None]
        fluxes = [row["flux"] for row in rows if row["flux"] is not None]
        expected.append(
            (
                n,
                len(rows),
                len(mags),
                sum(ms),
                sum(ms) / len(ms),
                min(mags),
                max(names),
                len(set(ms)),
                sum(set(ms)),
                pytest.approx(sum(fluxes) / len(fluxes), rel=1e-9),
            )
        )
    assert answer.rows == sorted(expected, key=lambda row: (row[0] is None, row[0] or 0))
    types = [one.datatype for one in answer.resolved.columns]
    long, double = DataType.LONG, DataType.DOUBLE
    assert types == [DataType.SHORT, long, long, long, double, DataType.FLOAT, DataType.TEXT, long, long, double]
    assert answer.resolved.relaxations == ()


def test_aggregates_of_nothing(store: Store) -> None:
    query = "SELECT COUNT(*), COUNT(n), SUM(n), AVG(n), MIN(n), MAX(name) FROM sky.Object WHERE n > 1000"
    assert store.run(query).rows == [(0, 0, None, None, None, None)]
    assert store.run(f"{query} GROUP BY m").rows == []


def test_group_by_expressions_positions_and_aliases(store: Store, objects: list[Record]) -> None:
    expected = Counter(None if row["n"] is None else abs(row["n"]) % 3 for row in objects)
    for query, relaxation in {
        "SELECT MOD(ABS(n), 3), COUNT(*) FROM sky.Object GROUP BY MOD(ABS(n), 3)": (),
        "SELECT MOD(ABS(n), 3) AS k, COUNT(*) FROM sky.Object GROUP BY k": ("alias in GROUP BY",),
        "SELECT MOD(ABS(n), 3), COUNT(*) FROM sky.Object GROUP BY 1": ("position in GROUP BY",),
        "SELECT k, COUNT(*) FROM (SELECT MOD(ABS(n), 3) AS k FROM sky.Object) AS q GROUP BY k": (),
    }.items():
        answer = store.run(query)
        assert dict(answer.rows) == expected
        assert answer.resolved.relaxations == relaxation


def test_group_keys_inside_other_expressions(store: Store) -> None:
    """What is grouped by is written alike everywhere, else DuckDB would not know it again."""
    for key in (
        "flux - ra",
        "flux / m",
        "mag * flux",
        "DISTANCE(ra, dec, 0, 0)",
        "POWER(flux, 2)",
        "LOG10(flux + mag * 2)",
        "ABS(n)",
    ):
        answer = store.run(
            f"SELECT ({key}) * 2 + 1, {key}, COUNT(*) FROM sky.Object GROUP BY {key} HAVING {key} > 1 ORDER BY ({key}) / 3 DESC"
        )
        assert answer.rows
        for double, single, _ in answer.rows:
            assert double == pytest.approx(single * 2 + 1)
    contained = "CONTAINS(POINT(ra, dec), CIRCLE(0, 0, 90))"
    answer = store.run(f"SELECT {contained}, COUNT(*) FROM sky.Object GROUP BY {contained} HAVING {contained} = 1")
    assert len(answer.rows) == 1


def test_having_knows_aliases_and_needs_no_group_by(store: Store) -> None:
    answer = store.run("SELECT n, COUNT(*) AS c FROM sky.Object GROUP BY n HAVING c > 100 AND MAX(m) > 0")
    assert answer.resolved.relaxations == ("alias in HAVING",)
    assert store.run("SELECT COUNT(*) FROM sky.Object HAVING COUNT(*) > 1").rows == [(N,)]
    assert store.run("SELECT COUNT(*) FROM sky.Object HAVING COUNT(*) > 1000000").rows == []


def test_columns_outside_group_by_take_the_smallest_value(store: Store, objects: list[Record]) -> None:
    answer = store.run("SELECT name, ra, n + 1 AS k, COUNT(*) FROM sky.Object GROUP BY name ORDER BY dec")
    assert answer.resolved.relaxations == ("column outside GROUP BY",)
    for name, ra, k, count in answer.rows:
        rows = [row for row in objects if row["name"] == name]
        assert (ra, k, count) == (
            min(row["ra"] for row in rows),
            min(row["n"] for row in rows if row["n"] is not None) + 1,
            len(rows),
        )
    assert store.run("SELECT * FROM sky.Object GROUP BY name").names == [
        c.name for c in store.run("SELECT * FROM sky.Object").resolved.columns
    ]
    assert store.run("SELECT MAX(n), m FROM sky.Object").rows == [(7, -100)]


# --- order and cuts -------------------------------------------------------------------------------


def test_nulls_come_last_in_both_directions(store: Store, objects: list[Record]) -> None:
    values = sorted(row["mag"] for row in objects if row["mag"] is not None)
    nulls = [None] * (N - len(values))
    assert store.run("SELECT mag FROM sky.Object ORDER BY mag").column() == values + nulls
    assert store.run("SELECT mag FROM sky.Object ORDER BY mag DESC").column() == values[::-1] + nulls
    assert store.run("SELECT mag FROM sky.Object ORDER BY mag NULLS FIRST").column() == nulls + values
    assert store.run("SELECT mag FROM sky.Object ORDER BY mag DESC NULLS FIRST").column() == nulls + values[::-1]


@pytest.mark.parametrize(
    "order",
    ["a", "A", "1", "-n", "x.n * -1", "b DESC", "b DESC, a"],
)
def test_order_by_names_aliases_positions_and_expressions(store: Store, objects: list[Record], order: str) -> None:
    answer = store.run(f"SELECT -x.n AS a, x.n AS b FROM sky.Object AS x ORDER BY {order}")
    expected = sorted(-row["n"] for row in objects if row["n"] is not None)
    assert [value for value in answer.column() if value is not None] == expected


def test_an_alias_hides_a_column_in_order_by(store: Store, objects: list[Record]) -> None:
    answer = store.run("SELECT TOP 1 -ra AS ra FROM sky.Object ORDER BY ra")
    assert answer.rows == [(-max(row["ra"] for row in objects),)]
    by_column = store.run("SELECT TOP 1 -ra AS ra FROM sky.Object ORDER BY Object.ra")
    assert by_column.rows == [(0.0,)]


def test_top_offset_and_limit(store: Store) -> None:
    ids = sorted(store.objects["objectId"].tolist())
    order = "SELECT {} objectId FROM sky.Object ORDER BY objectId {}"
    assert store.run(order.format("TOP 5", "")).column() == ids[:5]
    assert store.run(order.format("TOP 5", "OFFSET 3")).column() == ids[3:8]
    assert store.run(order.format("", "OFFSET 3995")).column() == ids[3995:]
    assert store.run(order.format("", "LIMIT 5 OFFSET 3")).column() == ids[3:8]
    assert store.run(order.format("", "OFFSET 3 LIMIT 5")).column() == ids[3:8]
    assert store.run(order.format("TOP 0", "")).column() == []
    assert store.run(order.format("TOP 99999999999999999999", "")).column() == ids


@pytest.mark.parametrize(
    ("query", "limit"),
    [
        ("SELECT objectId FROM sky.Object", 11),
        ("SELECT TOP 5 objectId FROM sky.Object", 5),
        ("SELECT TOP 10 objectId FROM sky.Object", 10),
        ("SELECT TOP 11 objectId FROM sky.Object", 11),
        ("SELECT TOP 500 objectId FROM sky.Object OFFSET 3", 11),
        ("SELECT objectId FROM sky.Object UNION ALL SELECT objectId FROM sky.Object", 11),
        ("WITH x AS (SELECT objectId FROM sky.Object) SELECT TOP 50 objectId FROM x", 11),
        ("SELECT objectId FROM (SELECT TOP 50 objectId FROM sky.Object) AS q", 11),
    ],
)
def test_one_row_more_than_the_limit_is_asked_for(store: Store, query: str, limit: int) -> None:
    """So that exactly MAXREC rows are no overflow, and one more is; the query's own TOP counts first."""
    assert len(store.run(query, max_rows=10).rows) == limit


def test_top_in_a_subquery_is_not_the_limit_of_the_result(store: Store) -> None:
    assert store.run("SELECT COUNT(*) FROM (SELECT objectId FROM sky.Object) AS q", max_rows=3).rows == [(N,)]


def test_distinct(store: Store, objects: list[Record]) -> None:
    answer = store.run("SELECT DISTINCT n, flag FROM sky.Object ORDER BY 1, 2")
    assert answer.rows == by_sorting(list({(row["n"], row["flag"]) for row in objects}))
    assert store.run("SELECT DISTINCT TOP 2 n FROM sky.Object ORDER BY n DESC").column() == [7, 6]


# --- joins ----------------------------------------------------------------------------------------


def joined(objects: list[Record], sources: list[Record]) -> list[tuple[Record, Record]]:
    by_id = {row["objectId"]: row for row in objects}
    return [(by_id[s["objectId"]], s) for s in sources if s["objectId"] in by_id]


def test_inner_joins(store: Store, objects: list[Record], sources: list[Record], visits: list[Record]) -> None:
    band = {row["visit"]: row["band"] for row in visits}
    pairs = [(o["ra"], s["flux"], band[s["visit"]]) for o, s in joined(objects, sources) if s["visit"] in band]
    for query in (
        "SELECT o.ra, s.flux, v.band FROM sky.Object o JOIN sky.Source s ON o.objectId = s.objectId JOIN sky.Visit v ON v.visit = s.visit",
        "SELECT o.ra, s.flux, v.band FROM sky.Object o JOIN sky.Source s USING (objectId) INNER JOIN sky.Visit v USING (visit)",
        "SELECT o.ra, s.flux, v.band FROM sky.Object o, sky.Source s, sky.Visit v WHERE o.objectId = s.objectId AND v.visit = s.visit",
        "SELECT o.ra, s.flux, band FROM sky.Object o JOIN (sky.Source s NATURAL JOIN sky.Visit) ON o.objectId = s.objectId",
        "SELECT o.ra, s.flux, v.band FROM sky.Object o JOIN sky.Source s CROSS JOIN sky.Visit v WHERE o.objectId = s.objectId AND v.visit = s.visit",
    ):
        assert by_sorting(store.run(query).rows) == by_sorting(pairs)


def test_outer_joins(store: Store, sources: list[Record], visits: list[Record]) -> None:
    band = {row["visit"]: row["band"] for row in visits}
    seen = {row["visit"] for row in sources}
    left = [(s["visit"], s["sourceId"], band.get(s["visit"])) for s in sources]
    lonely = [(v["visit"], None, v["band"]) for v in visits if v["visit"] not in seen]
    matched = [row for row in left if row[0] in band]
    for kind, expected in (("LEFT", left), ("RIGHT", matched + lonely), ("FULL OUTER", left + lonely)):
        using = store.run(f"SELECT visit, sourceId, band FROM sky.Source {kind} JOIN sky.Visit USING (visit)")
        assert by_sorting(using.rows) == by_sorting(expected)
        natural = store.run(f"SELECT visit, sourceId, band FROM sky.Source NATURAL {kind} JOIN sky.Visit")
        assert by_sorting(natural.rows) == by_sorting(expected)


def test_a_condition_in_on_keeps_unmatched_rows_and_in_where_does_not(store: Store, sources: list[Record]) -> None:
    on = store.run(
        "SELECT COUNT(*), COUNT(band) FROM sky.Source s LEFT JOIN sky.Visit v ON v.visit = s.visit AND band = 'g'"
    )
    where = store.run("SELECT COUNT(*) FROM sky.Source s LEFT JOIN sky.Visit v ON v.visit = s.visit WHERE band = 'g'")
    count = sum(1 for row in sources if row["visit"] in {1, 7})
    assert on.rows == [(len(sources), count)]
    assert where.rows == [(count,)]


def test_merged_columns_come_first_and_once(store: Store) -> None:
    natural = store.run("SELECT TOP 1 * FROM sky.Source NATURAL JOIN sky.Visit").names
    assert natural == ["visit", "sourceId", "objectId", "flux", "band", "mjd"]
    using = store.run("SELECT TOP 1 * FROM sky.Source s JOIN sky.Source t USING (sourceId, visit)").names
    assert using == ["sourceId", "visit", "objectId", "flux", "objectId_2", "flux_2"]
    assert (
        store.run("SELECT TOP 1 t.*, s.visit FROM sky.Source s JOIN sky.Source t USING (visit)").names[-1] == "visit_2"
    )


def test_loose_joins_are_named(store: Store) -> None:
    assert store.run("SELECT COUNT(*) FROM sky.Visit JOIN sky.Source").resolved.relaxations == ("JOIN without ON",)
    assert store.run("SELECT COUNT(*) FROM sky.Visit a, other.Visit b WHERE a.visit = b.visit").rows == [(10,)]


def test_tables_of_one_name_are_told_apart_by_their_schemas(store: Store) -> None:
    query = "SELECT COUNT(sky.Visit.band) FROM sky.Visit, other.Visit WHERE sky.Visit.visit = other.visit.visit"
    assert store.run(query).rows == [(9,)]


# --- subqueries -----------------------------------------------------------------------------------


def test_subqueries_in_conditions(store: Store, objects: list[Record], sources: list[Record]) -> None:
    detected = {row["objectId"] for row in sources if row["flux"] > 20 and row["objectId"] is not None}
    for condition in (
        "objectId IN (SELECT objectId FROM sky.Source WHERE flux > 20)",
        "EXISTS (SELECT * FROM sky.Source s WHERE s.objectId = o.objectId AND s.flux > 20)",
        "objectId IN (SELECT objectId FROM sky.Source s WHERE s.flux > 20 AND s.objectId = o.objectId)",
        "0 < (SELECT COUNT(*) FROM sky.Source s WHERE s.objectId = o.objectId AND s.flux > 20)",
    ):
        assert set(store.run(f"SELECT objectId FROM sky.Object o WHERE {condition}").column()) == detected
    missing = store.run("SELECT COUNT(*) FROM sky.Object WHERE objectId NOT IN (SELECT objectId FROM sky.Source)")
    assert missing.rows == [(0,)]  # the list holds NULL
    some = "SELECT objectId FROM sky.Source WHERE objectId IS NOT NULL"
    with_sources = {row["objectId"] for row in sources} - {None}
    assert store.run(f"SELECT COUNT(*) FROM sky.Object WHERE objectId NOT IN ({some})").rows == [
        (N - len(with_sources),)
    ]


def test_scalar_subqueries(store: Store, objects: list[Record]) -> None:
    top = max(row["m"] for row in objects if row["m"] is not None)
    answer = store.run("SELECT DISTINCT m, (SELECT MAX(m) FROM sky.Object) - m AS k FROM sky.Object WHERE m > 50")
    assert all(k == top - m for m, k in answer.rows)
    assert answer.resolved.relaxations == ("subquery used as a value",)
    assert store.run("SELECT (SELECT n FROM sky.Object WHERE n > 99)").rows == [(None,)]


def test_derived_and_common_tables(store: Store, objects: list[Record]) -> None:
    expected = sum(1 for row in objects if row["n"] is not None and row["n"] + 1 > 3 and row["flag"])
    for query in (
        "SELECT COUNT(*) FROM (SELECT n + 1 AS k, flag FROM sky.Object) AS q WHERE k > 3 AND q.flag = 1",
        "WITH q AS (SELECT n + 1 AS k, flag FROM sky.Object) SELECT COUNT(*) FROM q WHERE q.k > 3 AND flag = 1",
        "WITH a AS (SELECT n, flag FROM sky.Object), b AS (SELECT n + 1 AS k, flag FROM a) SELECT COUNT(*) FROM b x WHERE x.k > 3 AND flag = 1",
    ):
        assert store.run(query).rows == [(expected,)]
    twice = store.run(
        "WITH q AS (SELECT TOP 7 objectId FROM sky.Object ORDER BY objectId) SELECT COUNT(*) FROM q a, q b"
    )
    assert twice.rows == [(49,)]


def test_a_common_table_hides_a_stored_one(store: Store) -> None:
    assert store.run("WITH Object AS (SELECT 1 AS n FROM sky.Visit) SELECT COUNT(*) FROM Object").rows == [(10,)]


def test_columns_of_derived_tables_keep_their_meaning(store: Store) -> None:
    query = "SELECT q.objectId, x FROM (SELECT o.*, ra * 2 AS x FROM sky.Object o) AS q WHERE DISTANCE(q.ra, q.dec, 0, 0) < 1"
    answer = store.run(query)
    assert answer.rows
    assert answer.resolved.columns[0].ucd == "meta.id;meta.main"


# --- set operations -------------------------------------------------------------------------------


def test_set_operations(store: Store, objects: list[Record]) -> None:
    small = [row["n"] for row in objects[:SMALL_ROWS]]
    flagged = [row["n"] for row in objects if row["flag"] and row["n"] is not None and row["n"] > 3]
    a, b = "SELECT n FROM sky.Small", "SELECT n FROM sky.Object WHERE flag = 1 AND n > 3"
    difference, common = Counter(small) - Counter(flagged), Counter(small) & Counter(flagged)
    cases: dict[str, list[Any]] = {
        "UNION": list(set(small) | set(flagged)),
        "UNION ALL": small + flagged,
        "EXCEPT": list(set(small) - set(flagged)),
        "INTERSECT": list(set(small) & set(flagged)),
        "EXCEPT ALL": list(difference.elements()),
        "INTERSECT ALL": list(common.elements()),
    }
    for operation, expected in cases.items():
        found = store.run(f"{a} {operation} {b} ORDER BY n").rows
        assert found == by_sorting([(value,) for value in expected])


def test_types_of_set_operations(store: Store) -> None:
    answer = store.run(
        "SELECT n AS x, ra FROM sky.Small UNION ALL SELECT mag, n FROM sky.Small UNION ALL SELECT NULL, NULL FROM sky.Visit"
    )
    assert [(c.name, c.datatype, c.unit) for c in answer.resolved.columns] == [
        ("x", DataType.DOUBLE, None),
        ("ra", DataType.DOUBLE, "deg"),
    ]
    assert len(answer.rows) == 2 * SMALL_ROWS + 10
    wide = store.run("SELECT n FROM sky.Small UNION SELECT objectId FROM sky.Small")
    assert wide.resolved.columns[0].datatype is DataType.LONG
    assert 2**60 + 1 in wide.column()


def test_precedence_and_parentheses_of_set_operations(store: Store) -> None:
    one, two, three = (f"SELECT {value} AS x FROM sky.Visit" for value in (1, 2, 3))
    assert store.run(f"{one} UNION {two} INTERSECT {three}").rows == [(1,)]
    assert store.run(f"({one} UNION {two}) INTERSECT {two}").rows == [(2,)]
    assert store.run(f"{one} UNION {two} EXCEPT {one}").rows == [(2,)]
    assert sorted(
        store.run(
            "(SELECT TOP 1 visit FROM sky.Visit ORDER BY visit) UNION (SELECT TOP 1 visit FROM sky.Visit ORDER BY visit DESC)"
        ).column()
    ) == [0, 9]
    assert store.run(
        "SELECT visit FROM sky.Visit UNION SELECT visit FROM sky.Visit ORDER BY visit DESC OFFSET 2 LIMIT 3"
    ).column() == [7, 6, 5]


# --- names and types of results -------------------------------------------------------------------


def test_result_columns_follow_plain_columns(store: Store) -> None:
    answer = store.run(
        "SELECT OBJECTID, ra AS alpha, mag, MIN(ra) AS a, AVG(mag), -dec, ra + dec, ra * 2, 3600 * (ra), COUNT(*), COALESCE(ra, dec), name || 'x', ABS(dec), DISTANCE(ra, dec, 1, 2) "
        "FROM sky.Object GROUP BY objectId, ra, dec, mag, name"
    )
    found = [(c.name, c.datatype.value, c.unit, c.ucd) for c in answer.resolved.columns]
    assert found == [
        ("objectId", "long", None, "meta.id;meta.main"),
        ("alpha", "double", "deg", "pos.eq.ra;meta.main"),
        ("mag", "float", "mag", "phot.mag;em.opt.R"),
        ("a", "double", "deg", "pos.eq.ra;meta.main"),
        ("avg", "double", "mag", None),
        ("col6", "double", "deg", None),
        ("col7", "double", "deg", None),
        ("col8", "double", None, None),
        ("col9", "double", None, None),
        ("count", "long", None, "meta.number"),
        ("coalesce", "double", "deg", None),
        ("col12", "char", None, None),
        ("abs", "double", "deg", None),
        ("distance", "double", "deg", "pos.angDistance"),
    ]


def test_result_names_are_unique_ignoring_case(store: Store) -> None:
    answer = store.run('SELECT n, N, n AS "N_2", COUNT(*), COUNT(m) FROM sky.Object GROUP BY n')
    assert answer.names == ["n", "n_3", "N_2", "count", "count_2"]


def test_names_ignore_case_unless_delimited(store: Store) -> None:
    assert store.run("SELECT TOP 1 OBJECTID, o.RA FROM SKY.object AS O").names == ["objectId", "ra"]
    assert store.run('SELECT TOP 1 "objectId", "size" FROM "sky"."Object"').names == ["objectId", "size"]


def test_stored_names_may_differ(store: Store, objects: list[Record]) -> None:
    assert max(value for value in store.run("SELECT flux FROM sky.Object").column() if value is not None) == 1e300


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("SELECT ra, dec FROM sky.Object", ("ra", "dec")),
        ("SELECT dec AS d, n, ra AS r FROM sky.Object", ("r", "d")),
        ("SELECT ra FROM sky.Object", None),
        ("SELECT ra + 0 AS ra, dec FROM sky.Object", None),
        ("SELECT lon AS ra, lat AS dec FROM sky.Object", None),
        ("SELECT a.ra, b.dec FROM sky.Object a, sky.Object b", None),
        ("SELECT a.ra, b.ra, b.dec FROM sky.Object a, sky.Object b", ("ra_2", "dec")),
        ("SELECT visit FROM sky.Visit", None),
        ("WITH x AS (SELECT n FROM sky.Object) SELECT n FROM x", None),
        ("SELECT ra, dec FROM sky.Object UNION SELECT ra, dec FROM sky.Object", ("ra", "dec")),
    ],
)
def test_result_position(store: Store, query: str, position: tuple[str, str] | None) -> None:
    assert result_position(store.resolve(query)) == position


def test_declared_types_are_what_the_engine_delivers(store: Store) -> None:
    physical = {
        "BOOLEAN": DataType.BOOLEAN,
        "UTINYINT": DataType.BYTE,
        "SMALLINT": DataType.SHORT,
        "INTEGER": DataType.INT,
        "BIGINT": DataType.LONG,
        "FLOAT": DataType.FLOAT,
        "DOUBLE": DataType.DOUBLE,
        "VARCHAR": DataType.TEXT,
        "TIMESTAMP": DataType.TIMESTAMP,
        "DOUBLE[2]": DataType.POINT,
        "DOUBLE[3]": DataType.CIRCLE,
        "DOUBLE[]": DataType.POLYGON,
    }
    query = (
        "SELECT objectId, ra, mag, n, m, tiny, flag, name, seen, n + m, n / 2, n * 1.5, tiny - 5, -n, MOD(m, 7), ABS(n), ABS(mag), SQRT(n), ROUND(mag, 1), "
        "1, 3000000000, 1.5, 'x', TRUE, n > 1, CONTAINS(POINT(ra, dec), CIRCLE(1, 2, 3)), DISTANCE(ra, dec, 1, 2), POINT(ra, dec), CIRCLE(ra, dec, 1), POLYGON(0, 0, 1, 0, 0, 1), "
        "CASE WHEN n > 1 THEN 1 ELSE 2.5 END, COALESCE(n, m), COALESCE(mag, m), CAST(n AS REAL), CAST(ra AS SMALLINT), CAST(n AS VARCHAR(3)), CAST(name || '2026-01-01' AS TIMESTAMP), "
        "AREA(CIRCLE(ra, dec, 1)), COORD1(POINT(ra, dec)), IN_UNIT(ra, 'rad'), RAND(), PI() FROM sky.Small WHERE 1 = 0"
    )
    answer = store.run(query)
    types = [str(one) for one in store.connection.sql(answer.sql).types]
    found = [(c.name, physical[one]) for c, one in zip(answer.resolved.columns, types, strict=True)]
    assert found == [(c.name, c.datatype) for c in answer.resolved.columns]


def test_booleans_count_as_numbers_where_people_do_so(store: Store, objects: list[Record]) -> None:
    true = sum(1 for row in objects if row["flag"])
    known = sum(1 for row in objects if row["flag"] is not None)
    answer = store.run("SELECT SUM(flag), AVG(flag), COUNT(flag), MAX(flag) FROM sky.Object")
    assert answer.rows == [(true, true / known, known, True)]
    assert answer.resolved.relaxations == ("BOOLEAN used as a number",)
    case = store.run("SELECT flag, CASE flag WHEN 1 THEN 'yes' WHEN 0 THEN 'no' ELSE 'unknown' END FROM sky.Small")
    assert set(case.rows) == {(True, "yes"), (False, "no"), (None, "unknown")}


def test_timestamps_are_compared_with_texts(store: Store, objects: list[Record]) -> None:
    seen = [row["seen"].isoformat() for row in objects]
    for text in ("2026-01-20", "2026-01-20T00:00:00", "2026-01-20 00:00:00Z"):
        assert len(store.run(f"SELECT n FROM sky.Object WHERE seen < '{text}'").rows) == sum(
            s < "2026-01-20" for s in seen
        )
    between = store.run("SELECT COUNT(*) FROM sky.Object WHERE seen BETWEEN '2026-01-10' AND '2026-01-20'")
    assert between.rows == [(sum("2026-01-10" <= s <= "2026-01-20T00:00:00" for s in seen),)]
    first = min(seen)
    assert store.run(f"SELECT COUNT(*) FROM sky.Object WHERE seen IN ('{first}')").rows == [(seen.count(first),)]


def test_long_lists(store: Store) -> None:
    ids = store.objects["objectId"].tolist()
    wanted = ", ".join(map(str, [*ids[:1000], *range(40_000)]))
    assert len(store.run(f"SELECT objectId FROM sky.Object WHERE objectId IN ({wanted})").rows) == 1000
    names = ", ".join(f"'Star {i}'" for i in range(10_000))
    assert store.run(f"SELECT COUNT(*) FROM sky.Object WHERE name IN ({names})").rows[0][0] > 1000


def test_a_scan_reads_only_the_columns_that_are_used(store: Store) -> None:
    sql = store.run("SELECT TOP 1 o.mag FROM sky.Object o WHERE o.n = 1 ORDER BY o.m").sql
    scan = sql[sql.index("(SELECT") : sql.index("FROM read_parquet")]
    assert scan == '(SELECT "m" AS "m", "mag" AS "mag", "n" AS "n" '
    assert '"stored_flux" AS "flux"' in store.run("SELECT flux FROM sky.Object").sql
    assert "SELECT true FROM read_parquet" in store.run("SELECT COUNT(*) FROM sky.Object").sql


def test_filters_reach_the_files(store: Store) -> None:
    """Comparisons with constants are pushed into the scan, whatever the types: row groups are pruned by them."""
    sql = store.run(
        "SELECT n FROM sky.Object WHERE mag < 18.1 AND flag = 1 AND objectId > 5.5 AND 3 <= m AND flux BETWEEN 1 AND 2 AND name = 'x'"
    ).sql
    (_, plan), *_ = store.connection.sql(f"EXPLAIN {sql}").fetchall()
    assert "Filter ─" not in plan
    for column in ("mag", "flag", "objectId", "stored_flux", "name"):
        assert column in plan[plan.index("Filters:") :]


def test_every_statement_is_a_single_select(store: Store) -> None:
    sql = store.run(
        "WITH a AS (SELECT n FROM sky.Object) SELECT n FROM a UNION SELECT m FROM sky.Object ORDER BY n LIMIT 3"
    ).sql
    assert [one.type for one in duckdb.extract_statements(sql)] == [duckdb.StatementType.SELECT]
    ((serialized,),) = store.connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    assert '"error":false' in serialized
