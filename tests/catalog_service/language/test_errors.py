"""Messages: place, caret, what was expected, and what was probably meant."""

import re

import pytest

from catalog_service.exceptions import (
    CatalogServiceError,
    QueryError,
    QueryNameError,
    QueryRefusedError,
    QuerySyntaxError,
    QueryTypeError,
)
from catalog_service.language.errors import excerpt
from catalog_service.language.pipeline import parse, resolve
from catalog_service.models.query import Language, QueryText
from catalog_service.models.tree import Span
from tests.catalog_service.language.store import VIEW, Store


def test_a_whole_message(store: Store) -> None:
    with pytest.raises(QueryNameError) as caught:
        store.resolve("SELECT ra,\n       objctId\nFROM sky.Object")
    assert str(caught.value) == (
        "line 2, column 8: there is no column 'objctId' in Object. Did you mean 'objectId'?\n"
        "         objctId\n"
        "         ^^^^^^^"
    )
    assert (caught.value.line, caught.value.column) == (2, 8)


def test_excerpts_of_long_lines_are_cut_around_the_place() -> None:
    text = "SELECT " + "a, " * 200 + "bad, " + "c, " * 200
    start = text.index("bad")
    line, carets = excerpt(Span(start, start + 3, text)).split("\n")
    assert len(line) < 120
    assert line[carets.index("^") :].startswith("bad")
    assert carets.strip() == "^^^"


def test_tabs_and_control_characters_keep_the_caret_in_place() -> None:
    text = "SELECT\t\ta\tx FROM t"
    line, carets = excerpt(Span(10, 11, text)).split("\n")
    assert line[carets.index("^")] == "x"


def test_a_span_over_lines_is_marked_to_the_end_of_its_first_line() -> None:
    text = "SELECT ab\ncd FROM t"
    assert excerpt(Span(7, 12, text)).split("\n")[1].strip() == "^^"


CASES: list[tuple[str, type[CatalogServiceError], str]] = [
    # syntax
    ("SELECT ra FRM sky.Object", QuerySyntaxError, "FRM was read as a name. Did you mean FROM?"),
    (
        "SELECT ra FROM sky.Object WHERE ra dec",
        QuerySyntaxError,
        "unexpected dec: expected a comparison, an operator, ",
    ),
    ("SELECT ra dec mag FROM sky.Object", QuerySyntaxError, "unexpected mag: expected ',', FROM, "),
    ("SELECT ra FROM sky.Object WEHRE ra > 1", QuerySyntaxError, "WEHRE was read as a name. Did you mean WHERE?"),
    ("SELECT left FROM sky.Object", QuerySyntaxError, '"left"'),
    ("SELECT ra FROM sky.Object WHERE", QuerySyntaxError, "ends too early: expected a value"),
    ("SELECT ra FROM sky.Object WHERE ra <", QuerySyntaxError, "expected a value."),
    ("SELECT TOP -1 ra FROM sky.Object", QuerySyntaxError, "TOP takes an unsigned integer"),
    (
        "SELECT size FROM sky.Object",
        QuerySyntaxError,
        'SIZE is a reserved word; as a name, write it in double quotes: "size"',
    ),
    (
        "SELECT distance FROM sky.Object",
        QuerySyntaxError,
        'DISTANCE is a reserved word; as a name, write it in double quotes: "distance"',
    ),
    ("SELECT ra AS date FROM sky.Object", QuerySyntaxError, '"date"'),
    ("SELECT CAST(ra AS FLOAT) FROM sky.Object", QuerySyntaxError, "Write REAL or DOUBLE PRECISION"),
    (
        "SELECT ra FROM sky.Object WHERE CONTAINS(POINT(ra, dec), CIRCLE(1, 2, 3))",
        QuerySyntaxError,
        "Compare it: CONTAINS(...) = 1.",
    ),
    ("SELECT CIRCLE(1, 2) FROM sky.Object", QuerySyntaxError, "Write CIRCLE(ra, dec, radius) or CIRCLE(POINT"),
    ("SELECT LOG10(ra, dec) FROM sky.Object", QuerySyntaxError, "LOG10 takes 1 argument, not 2"),
    ("SELECT ROUND() FROM sky.Object", QuerySyntaxError, "ROUND takes 1 or 2 arguments, not 0"),
    ("SELECT COALESCE() FROM sky.Object", QuerySyntaxError, "COALESCE takes at least 1 argument, not 0"),
    ("SELECT ra FROM (SELECT ra FROM sky.Object)", QuerySyntaxError, "expected"),
    ("SELECT ra FROM sky.Object LEFT JOIN sky.Source", QuerySyntaxError, "a LEFT JOIN needs ON or USING"),
    (
        "SELECT TOP 3 DISTINCT n FROM sky.Object",
        QuerySyntaxError,
        "SELECT is followed by DISTINCT, if any, then by TOP n, if any.",
    ),
    # names
    ('SELECT n FROM sky.Object WHERE name = "M 31"', QueryNameError, "Texts are written in single quotes."),
    ("SELECT lgo10(ra) FROM sky.Object", QueryNameError, "there is no function lgo10. Did you mean 'LOG10'"),
    ("SELECT ra FROM sky.Objekt", QueryNameError, "there is no table 'sky.Objekt'. Did you mean 'sky.Object'?"),
    ("SELECT ra FROM Objekt", QueryNameError, "Did you mean 'sky.Object'?"),
    ("SELECT id FROM hidden.Secret", QueryNameError, "there is no table 'hidden.Secret'."),
    ("SELECT o.rra FROM sky.Object AS o", QueryNameError, "no column 'rra' in o. Did you mean 'ra'?"),
    ("SELECT p.ra FROM sky.Object AS o", QueryNameError, "there is no table 'p' in FROM. FROM has o."),
    ("SELECT Object.ra FROM sky.Object AS o", QueryNameError, "'Object' is called o in this query. Write o instead."),
    (
        'SELECT "RA" FROM sky.Object',
        QueryNameError,
        'there is no column "RA" in Object; names in double quotes are case-sensitive. Write "ra".',
    ),
    (
        "SELECT flux FROM sky.Object JOIN sky.Source USING (objectId)",
        QueryNameError,
        "'flux' is ambiguous. Write Object.flux or Source.flux.",
    ),
    ("SELECT visit FROM Visit", QueryNameError, "'Visit' is ambiguous. Write sky.Visit or other.Visit."),
    ("SELECT ra FROM a.b.c.d", QueryNameError, "too many parts"),
    (
        "SELECT ra AS x FROM sky.Object WHERE x > 1",
        QueryNameError,
        "'x' is an alias of the select list, which WHERE cannot use. Repeat its expression.",
    ),
    ("SELECT ra FROM sky.Object ORDER BY 2", QueryNameError, "ORDER BY 2 is no position in a select list of 1"),
    (
        "SELECT a.n, b.n FROM sky.Object a, sky.Object b ORDER BY n",
        QueryNameError,
        "several result columns are called 'n'",
    ),
    (
        "SELECT n FROM sky.Object, sky.Object",
        QueryNameError,
        "two items of FROM are called 'Object'. Give them different aliases.",
    ),
    (
        "SELECT q.n FROM (SELECT a.n, b.n FROM sky.Object a, sky.Object b) AS q",
        QueryNameError,
        "several columns of q are called n",
    ),
    (
        "WITH x AS (SELECT n FROM sky.Object), X AS (SELECT n FROM sky.Object) SELECT n FROM x",
        QueryNameError,
        "WITH defines 'X' twice",
    ),
    (
        "SELECT n FROM sky.Object UNION SELECT n FROM sky.Object ORDER BY ra",
        QueryNameError,
        "names and positions of result columns",
    ),
    ("SELECT ra FROM sky.Object JOIN sky.Source USING (ra)", QueryNameError, "there is no column 'ra' in Source"),
    (
        "SELECT mjd FROM sky.Object NATURAL LEFT JOIN (SELECT mjd FROM sky.Visit) AS v",
        QueryNameError,
        "no column in common",
    ),
    ("SELECT *", QueryNameError, "* needs a FROM"),
    ("SELECT x.* FROM sky.Object", QueryNameError, "there is no table 'x' in FROM"),
    # types
    ("SELECT ra + name FROM sky.Object", QueryTypeError, "+ needs numbers, not a text."),
    ("SELECT -name FROM sky.Object", QueryTypeError, "- needs numbers, not a text."),
    (
        "SELECT name || n FROM sky.Object",
        QueryTypeError,
        "|| needs texts, not a number. CAST(value AS VARCHAR) makes a text.",
    ),
    (
        "SELECT n FROM sky.Object WHERE n = '5'",
        QueryTypeError,
        "= cannot compare a number with a text. Write numbers without quotes.",
    ),
    ("SELECT n FROM sky.Object WHERE name IN (1, 2)", QueryTypeError, "IN cannot compare a text with a number"),
    (
        "SELECT n FROM sky.Object WHERE name BETWEEN 1 AND 2",
        QueryTypeError,
        "BETWEEN cannot compare a text with a number",
    ),
    ("SELECT n FROM sky.Object WHERE seen > 5", QueryTypeError, "cannot compare a timestamp with a number"),
    ("SELECT n FROM sky.Object WHERE seen > 'yesterday'", QueryTypeError, "'yesterday' is no timestamp. Write it like"),
    ("SELECT n FROM sky.Object WHERE n", QueryTypeError, "a condition is needed here, not a number."),
    ("SELECT n FROM sky.Object WHERE n LIKE '1%'", QueryTypeError, "LIKE needs texts, not a number."),
    ("SELECT LOG10(name) FROM sky.Object", QueryTypeError, "LOG10 needs numbers, not a text."),
    ("SELECT LOWER(n) FROM sky.Object", QueryTypeError, "LOWER needs texts, not a number."),
    ("SELECT ROUND(ra, 1.5) FROM sky.Object", QueryTypeError, "ROUND needs an integer here"),
    ("SELECT COALESCE(n, name) FROM sky.Object", QueryTypeError, "no common type"),
    ("SELECT CASE WHEN n > 1 THEN name ELSE n END FROM sky.Object", QueryTypeError, "no common type"),
    ("SELECT SUM(name) FROM sky.Object", QueryTypeError, "SUM needs numbers, not a text."),
    (
        "SELECT MAX(SUM(n)) FROM sky.Object",
        QueryTypeError,
        "SUM cannot stand inside MAX. Compute one of them in a subquery.",
    ),
    (
        "SELECT n FROM sky.Object WHERE SUM(n) > 3",
        QueryTypeError,
        "SUM cannot stand in WHERE: it is computed from groups of rows. Use HAVING.",
    ),
    ("SELECT n FROM sky.Object GROUP BY SUM(n)", QueryTypeError, "SUM cannot stand in GROUP BY"),
    (
        "SELECT 1 AS a FROM sky.Object GROUP BY 'x'",
        QueryTypeError,
        "GROUP BY takes columns and expressions, not constants.",
    ),
    ("SELECT a.n FROM sky.Object a JOIN sky.Source b ON MAX(a.n) = 1", QueryTypeError, "MAX cannot stand in ON"),
    (
        "SELECT n, m FROM sky.Object ORDER BY 1 + 1",
        QueryTypeError,
        "ORDER BY takes columns, expressions and positions.",
    ),
    ("SELECT n FROM sky.Object ORDER BY -1", QueryTypeError, "ORDER BY takes columns, expressions and positions."),
    ("SELECT n FROM sky.Object ORDER BY 'x'", QueryTypeError, "ORDER BY takes columns, expressions and positions."),
    (
        "SELECT DISTINCT n FROM sky.Object ORDER BY ra",
        QueryTypeError,
        "with SELECT DISTINCT, ORDER BY takes result columns only.",
    ),
    (
        "SELECT n FROM sky.Object WHERE n IN (SELECT n, ra FROM sky.Object)",
        QueryTypeError,
        "must have one column; it has 2",
    ),
    (
        "SELECT n FROM sky.Object WHERE n IN (SELECT name FROM sky.Object)",
        QueryTypeError,
        "IN cannot compare a number with a text",
    ),
    (
        "SELECT n FROM sky.Object UNION SELECT n, ra FROM sky.Object",
        QueryTypeError,
        "UNION needs as many columns on both sides: 1 and 2.",
    ),
    (
        "SELECT n FROM sky.Object UNION SELECT name FROM sky.Object",
        QueryTypeError,
        "UNION cannot combine n (a number) with name (a text).",
    ),
    ("SELECT CAST(seen AS INTEGER) FROM sky.Object", QueryTypeError, "CAST cannot convert a timestamp to a number."),
    ("SELECT samples + 1 FROM sky.Object", QueryTypeError, "+ needs numbers, not an array."),
    ("SELECT n FROM sky.Object WHERE samples = 1", QueryTypeError, "= cannot compare an array."),
    ("SELECT 9223372036854775807 + 1 FROM sky.Object", QueryTypeError, "does not fit into a 64-bit integer"),
    (
        "SELECT n FROM sky.Object WHERE POINT(ra, dec) = POINT(1, 2)",
        QueryTypeError,
        "cannot compare a point. Use CONTAINS, INTERSECTS or DISTANCE.",
    ),
    ("SELECT POINT(1, 91) FROM sky.Object", QueryTypeError, "the declination 91.0 is outside [-90, 90] degrees."),
    ("SELECT POINT(name, dec) FROM sky.Object", QueryTypeError, "POINT needs numbers in degrees, not a text."),
    ("SELECT CIRCLE(1, 2, -1) FROM sky.Object", QueryTypeError, "the radius -1.0 is outside [0, 180] degrees."),
    ("SELECT CIRCLE(1, 2, 180.5) FROM sky.Object", QueryTypeError, "the radius 180.5 is outside"),
    ("SELECT POLYGON(0, 0, 10, 0, 5, 0) FROM sky.Object", QueryTypeError, "lie on one great circle"),
    ("SELECT POLYGON(0, 0, 10, 10, 10, 0, 0, 10) FROM sky.Object", QueryTypeError, "crosses itself"),
    ("SELECT POLYGON(0, 0, 120, 0, 240, 0) FROM sky.Object", QueryTypeError, "does not fit into a hemisphere"),
    ("SELECT BOX(1, 2, 200, 1) FROM sky.Object", QueryTypeError, "the box's extent 200.0 is outside"),
    (
        "SELECT DISTANCE(ra, POINT(1, 2)) FROM sky.Object",
        QueryTypeError,
        "DISTANCE needs a geometry such as POINT(ra, dec), not a number.",
    ),
    (
        "SELECT DISTANCE(CIRCLE(1, 2, 3), POINT(1, 2)) FROM sky.Object",
        QueryTypeError,
        "DISTANCE needs a point here, not a circle.",
    ),
    (
        "SELECT n FROM sky.Object WHERE 1 = CONTAINS(CIRCLE(1, 2, 3), POINT(ra, dec))",
        QueryTypeError,
        "Swap the arguments.",
    ),
    ("SELECT IN_UNIT(n, 'deg') FROM sky.Object", QueryTypeError, "has no unit"),
    ("SELECT IN_UNIT(ra, 'kg') FROM sky.Object", QueryTypeError, "cannot convert 'deg' to 'kg'"),
    ("SELECT CAST('1 2 3' AS POINT) FROM sky.Object", QueryTypeError, "'1 2 3' is no point"),
    ("SELECT REGION('Circle 1 2') FROM sky.Object", QueryTypeError, "the numbers after Circle do not describe one"),
    # refused
    (
        "SELECT POINT('GALACTIC', 1, 2) FROM sky.Object",
        QueryRefusedError,
        "the coordinate system 'GALACTIC' is not supported. Positions are ICRS",
    ),
    ("SELECT REGION('Circle FK4 1 2 3') FROM sky.Object", QueryRefusedError, "'FK4' is not supported"),
    ("SELECT REGION('Union (Circle 1 2 3)') FROM sky.Object", QueryRefusedError, "REGION cannot describe 'Union'"),
    (
        "SELECT n FROM sky.Object WHERE 1=INTERSECTS(POINT(ra, dec), POINT(1, 2))",
        QueryRefusedError,
        "INTERSECTS of two points is not supported",
    ),
    ("SELECT BOX(ra, dec, 1, -1) FROM sky.Object", QueryTypeError, "the box's extent -1.0 is outside"),
    ("SELECT CAST(name AS POINT) FROM sky.Object", QueryRefusedError, "CAST AS POINT takes a text in quotes here"),
    (
        "SELECT n FROM sky.Object a LEFT JOIN sky.Source b ON a.n IN (SELECT 1 FROM sky.Visit)",
        QueryRefusedError,
        "subquery in ON of an outer join",
    ),
]


@pytest.mark.parametrize(("text", "kind", "words"), CASES)
def test_message(store: Store, text: str, kind: type[CatalogServiceError], words: str) -> None:
    with pytest.raises(kind) as caught:
        store.resolve(text)
    error = caught.value
    assert words in str(error)
    message, line, carets = str(error).split("\n")
    assert message.startswith(f"line {error.line}, column {error.column}: ")
    assert error.column is not None
    assert carets.index("^") - 2 < len(line)


def test_the_caret_stands_under_the_culprit(store: Store) -> None:
    for text, kind, _ in CASES:
        with pytest.raises(kind) as caught:
            store.resolve(text)
        assert caught.value.line == 1
        assert 1 <= (caught.value.column or 0) <= len(text) + 1


def test_no_message_speaks_of_the_engine_or_of_files(store: Store) -> None:
    for text, kind, _ in CASES:
        with pytest.raises(kind) as caught:
            store.resolve(text)
        assert not any(word in str(caught.value).lower() for word in ("duckdb", "parquet", "lark", "traceback", "t0."))


TAUGHT = {
    "SELECT ra dec mag FROM sky.Object": "Is a comma missing?",
    "SELECT ra, dec, FROM sky.Object": "Remove the comma before it.",
    "SELECT ra FROM sky.Object LIMIT 10, 5": "Write LIMIT 5 OFFSET 10",
    "SELECT ra FROM sky.Object WHERE mag == 3": "Write = once.",
    "SELECT ra FROM sky.Object WHERE ra BETWEEN 1 TO 3": "Write BETWEEN a AND b.",
    "SELECT ra FROM sky.Object WHERE ra > 1 && dec < 3": "joined with AND",
    "SELECT TOP(5) ra FROM sky.Object": "Write TOP 5, without brackets.",
    "SELECT ra FROM sky.Object FETCH FIRST 5 ROWS ONLY": "Write TOP n after SELECT.",
    "SELECT NVL(mag, 0) FROM sky.Object": "Write COALESCE(a, b).",
    "SELECT IF(mag > 3, 1, 0) FROM sky.Object": "Write CASE WHEN",
    "SELECT LN(mag) FROM sky.Object": "LOG is the natural logarithm.",
    "SELECT CONCAT(name, 'a') FROM sky.Object": "Texts are joined with ||.",
    "SELECT SUBSTRING(name, 1, 2) FROM sky.Object": "LANG=QSERV",
    "SELECT mag ** 2 FROM sky.Object": "Write POWER(a, b).",
    "SELECT CAST(mag AS INT) FROM sky.Object": "Write INTEGER.",
    "SELECT CONVERT(INT, mag) FROM sky.Object": "Write CAST(value AS type).",
    "SELECT ra FROM sky.Object WHERE name ~ 'star'": "Use LIKE",
    "SELECT ra FROM sky.Object WHERE name REGEXP 'star'": "LANG=QSERV",
    "SELECT ra FROM sky.Object WHERE name CONTAINS 'star'": "Write LIKE '%text%'.",
    "SELECT ra FROM sky.Object WHERE q3c_radial_query(ra, dec, 1, 2, 3)": "Write DISTANCE(POINT(ra, dec), POINT(1, 2))",
    "SELECT ra FROM sky.Object WHERE qserv_areaspec_circle(1, 2, 3)": "LANG=QSERV",
    "SELECT COUNT(DISTINCT n, m) FROM sky.Object": "A set function takes one value",
    "SELECT ra FROM sky.Object WHERE n IN ()": "The list is empty.",
    "SELECT ra FROM (SELECT ra FROM sky.Object)": "A subquery in FROM needs a name",
    "SELECT ra FROM sky.Object WHERE flag IS TRUE": "Compare it: flag = 1.",
    "SELECT ra FROM sky.Object WHERE NOT mag": "Compare it with a number, or write IS NOT NULL.",
    "SELECT ra WHERE mag < 3": "FROM, after the select list, names the table.",
    "SELEC ra FROM sky.Object": "Did you mean SELECT?",
    "SELECT ra FORM sky.Object": "Did you mean FROM?",
    "SELECT ra FROM sky.Object WERE mag < 3": "Did you mean WHERE?",
    "SELECT ra FROM sky.Object WHERE mag < 3,5": "Numbers have a decimal point, no comma.",
    "SELECT DISTINCT ON (n) n, m FROM sky.Object": "ROW_NUMBER() OVER (PARTITION BY ...)",
    "SELECT n FROM sky.Object WHERE seen > 60000": "Write the time in quotes",
    "SELECT NOW() FROM sky.Object": "Write the time itself, in quotes",
    "SELECT CURRENT_TIMESTAMP FROM sky.Object": "Write the time itself, in quotes",
    "SELECT ra FROM sky.Object TABLESAMPLE BERNOULLI(1)": "sample_hash(id) < 0.01",
    "WITH RECURSIVE a AS (SELECT 1 AS n FROM sky.Object) SELECT n FROM a": "WITH is not recursive in ADQL.",
    "SHOW TABLES": "TAP_SCHEMA.tables",
}
"""Habits of other languages, and slips, with what the error advises."""


@pytest.mark.parametrize("text", TAUGHT)
def test_an_error_says_what_to_write_instead(store: Store, text: str) -> None:
    with pytest.raises(QueryError) as caught:
        store.run(text)
    message = str(caught.value)
    assert TAUGHT[text] in message
    assert message.startswith("line 1, column ")
    assert message.splitlines()[-1].strip().strip("^") == ""


def test_a_comparison_with_null_is_told(store: Store) -> None:
    answer = store.run("SELECT ra FROM sky.Object WHERE mag = NULL")
    assert answer.rows == []
    assert any("IS NULL asks for it" in one for one in answer.resolved.relaxations)


QSERV_TAUGHT = {
    "SELECT TOP 5 ra FROM sky.Small": "Write LIMIT n at the end.",
    "SELECT ra FROM sky.Small WHERE CONTAINS(POINT(ra, dec), CIRCLE(1, 2, 3)) = 1": "qserv_areaspec_circle(lon, lat, radius)",
    "SELECT ra FROM sky.Small WHERE DISTANCE(ra, dec, 1, 2) < 1": "Write scisql_angSep",
    "SELECT name || 'a' FROM sky.Small": "CONCAT(a, b) joins texts",
    "SELECT ra FROM sky.Small WHERE name ILIKE 'a'": "LIKE ignores case here.",
    "SELECT ra::int FROM sky.Small": "Write CAST(value AS type).",
    "SELECT DATE_ADD(seen, INTERVAL 1 DAYS) FROM sky.Small": "Units are MICROSECOND, SECOND",
    "SELECT YEAR(mag) FROM sky.Small": "Write it like '2026-01-31 12:00:00'.",
    "SELECT ra FROM sky.Small WHERE name REGEXP '(?i)a'": "Patterns are those of RE2.",
    "SELECT RAND(3)": "Write RAND().",
}


@pytest.mark.parametrize("text", QSERV_TAUGHT)
def test_an_error_of_qservs_sql_says_what_to_write_instead(text: str) -> None:
    with pytest.raises(QueryError, match=re.escape(QSERV_TAUGHT[text])):
        resolve(parse(QueryText(text, Language.QSERV)), VIEW)
