"""Texts to trees of names, and the relaxations that they use."""

import pytest
from lark import Lark

from catalog_service.exceptions import QueryError
from catalog_service.language.pipeline import parse
from catalog_service.models.query import Language, QueryText
from catalog_service.models.schema import DataType
from catalog_service.models.tree import (
    Aggregate,
    And,
    Between,
    Binary,
    BoxShape,
    Case,
    Cast,
    Circle,
    Comparison,
    Contains,
    Distance,
    Expr,
    FunctionCall,
    Identifier,
    InList,
    InQuery,
    IntegerLiteral,
    IsNull,
    Join,
    JoinKind,
    Like,
    Name,
    Not,
    NullLiteral,
    Or,
    Point,
    PolygonShape,
    Query,
    RealLiteral,
    Select,
    SetOperation,
    ShowColumns,
    StringLiteral,
    SubqueryRef,
    TableName,
    Unary,
    With,
)
from tests.catalog_service.language.test_golden import pairs


def tree(text: str) -> Query:
    found = parse(QueryText(text)).tree
    assert not isinstance(found, ShowColumns)
    return found


def select(text: str) -> Select:
    found = tree(text)
    assert isinstance(found, Select)
    return found


def where(condition: str) -> Expr:
    found = select(f"SELECT a FROM t WHERE {condition}").where
    assert found is not None
    return found


def value(text: str) -> Expr:
    return select(f"SELECT {text} FROM t").items[0].expr


def name(*parts: str) -> Name:
    return Name(tuple(Identifier(part) for part in parts))


def integer(number: int) -> IntegerLiteral:
    return IntegerLiteral(number)


A, B, C = name("a"), name("b"), name("c")


def equal(left: Expr, right: Expr) -> Comparison:
    return Comparison("=", left, right)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", Binary("+", integer(1), Binary("*", integer(2), integer(3)))),
        ("(1 + 2) * 3", Binary("*", Binary("+", integer(1), integer(2)), integer(3))),
        ("1 - 2 - 3", Binary("-", Binary("-", integer(1), integer(2)), integer(3))),
        ("8 / 4 / 2", Binary("/", Binary("/", integer(8), integer(4)), integer(2))),
        ("2 * -a", Binary("*", integer(2), Unary("-", A))),
        ("-a + b", Binary("+", Unary("-", A), B)),
        ("a || b || 'x'", Binary("||", Binary("||", A, B), StringLiteral("x"))),
        ("1.5e3", RealLiteral(1500.0)),
        (".5", RealLiteral(0.5)),
        ("'it''s'", StringLiteral("it's")),
        ("NULL", NullLiteral()),
        ('"Odd ""name"""', Name((Identifier('Odd "name"', delimited=True),))),
        ("s.t.c", name("s", "t", "c")),
        ("LoG10 ( a )", FunctionCall("log10", (A,))),
        ("COUNT(*)", Aggregate("count", ())),
        ("count(DISTINCT a)", Aggregate("count", (A,), distinct=True)),
        ("SUM(ALL a)", Aggregate("sum", (A,))),
        ("CAST(a AS DOUBLE PRECISION)", Cast(A, DataType.DOUBLE)),
        ("CAST(a AS varchar ( 5 ))", Cast(A, DataType.TEXT, 5)),
        ("CASE a WHEN 1 THEN b ELSE c END", Case(A, ((integer(1), B),), C)),
        ("CASE WHEN a = b THEN c END", Case(None, ((equal(A, B), C),), None)),
        ("POINT('ICRS', a, b)", Point(A, B)),
        ("CIRCLE(a, b, c)", Circle(Point(A, B), C)),
        ("CIRCLE('', POINT(a, b), c)", Circle(Point(A, B), C)),
        ("BOX(a, b, 1, 2)", BoxShape(Point(A, B), integer(1), integer(2))),
        ("POLYGON(a, a, b, b, c, c)", PolygonShape((Point(A, A), Point(B, B), Point(C, C)))),
        ("POLYGON(POINT(a, a), POINT(b, b), POINT(c, c))", PolygonShape((Point(A, A), Point(B, B), Point(C, C)))),
        ("DISTANCE(a, a, b, b)", Distance(Point(A, A), Point(B, B))),
        ("DISTANCE(POINT(a, a), POINT(b, b))", Distance(Point(A, A), Point(B, B))),
    ],
)
def test_values(text: str, expected: Expr) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = b OR b = c AND a = c", Or((equal(A, B), And((equal(B, C), equal(A, C)))))),
        ("(a = b OR b = c) AND a = c", And((Or((equal(A, B), equal(B, C))), equal(A, C)))),
        ("a = b AND (b = c AND a = c)", And((equal(A, B), equal(B, C), equal(A, C)))),
        ("NOT a = b AND b = c", And((Not(equal(A, B)), equal(B, C)))),
        ("a != b", Comparison("<>", A, B)),
        ("a BETWEEN b AND c AND a = b", And((Between(A, B, C), equal(A, B)))),
        ("a NOT BETWEEN 1 AND 2", Between(A, integer(1), integer(2), negated=True)),
        ("a IN (1, -2, b)", InList(A, (integer(1), Unary("-", integer(2)), B))),
        ("a IN (1, -2, +3)", InList(A, (integer(1), integer(-2), integer(3)))),
        ("a NOT IN ('x', 'it''s')", InList(A, (StringLiteral("x"), StringLiteral("it's")), negated=True)),
        ("a LIKE 'x%'", Like(A, StringLiteral("x%"))),
        ("a NOT ILIKE 'x%'", Like(A, StringLiteral("x%"), negated=True, ignore_case=True)),
        ("a IS NOT NULL", IsNull(A, negated=True)),
        ("1 = CONTAINS(POINT(a, b), CIRCLE(1, 2, 3))", None),
    ],
)
def test_conditions(text: str, expected: Expr | None) -> None:
    circle = Circle(Point(integer(1), integer(2)), integer(3))
    assert where(text) == (expected or equal(integer(1), Contains(Point(A, B), circle)))


def test_a_subquery_in_any_number_of_parentheses_is_one() -> None:
    plain = where("a IN (SELECT b FROM t)")
    assert isinstance(plain, InQuery)
    assert where("a IN ((SELECT b FROM t))") == plain
    assert where("a IN (((SELECT b FROM t)))") == plain
    union = where("a IN ((SELECT b FROM t) UNION (SELECT c FROM t))")
    assert isinstance(union, InQuery)
    assert isinstance(union.query, SetOperation)
    assert value("((SELECT 1 FROM t))") == value("(SELECT 1 FROM t)")


def test_joins_and_commas() -> None:
    found = select("SELECT a FROM t1, t2 AS x JOIN s.t3 ON x.a = t3.a LEFT OUTER JOIN t4 USING (a, b)").source
    inner = Join(
        JoinKind.INNER,
        TableName((Identifier("t2"),), Identifier("x")),
        TableName((Identifier("s"), Identifier("t3"))),
        equal(name("x", "a"), name("t3", "a")),
    )
    left = Join(JoinKind.LEFT, inner, TableName((Identifier("t4"),)), using=(Identifier("a"), Identifier("b")))
    assert found == Join(JoinKind.CROSS, TableName((Identifier("t1"),)), left)


def test_derived_tables_and_parenthesised_joins() -> None:
    found = select("SELECT a FROM (t1 NATURAL JOIN (SELECT b FROM t2) AS q)").source
    assert isinstance(found, Join)
    assert found.natural
    assert isinstance(found.right, SubqueryRef)
    assert found.right.alias == Identifier("q")


def test_intersect_binds_tighter_and_operators_go_left_to_right() -> None:
    found = tree(
        "SELECT a FROM t UNION SELECT b FROM t INTERSECT SELECT c FROM t EXCEPT ALL SELECT d FROM t ORDER BY a"
    )
    assert isinstance(found, SetOperation)
    assert (found.op, found.all) == ("EXCEPT", True)
    assert len(found.order_by) == 1
    assert isinstance(found.left, SetOperation)
    assert found.left.op == "UNION"
    assert isinstance(found.left.right, SetOperation)
    assert found.left.right.op == "INTERSECT"


def test_clauses_of_one_select() -> None:
    found = select("SELECT DISTINCT TOP 5 a x, b AS y FROM t GROUP BY a, b HAVING a > 1 ORDER BY x DESC, 2 OFFSET 3;")
    assert (found.distinct, found.top, found.offset) == (True, 5, 3)
    assert [item.alias for item in found.items] == [Identifier("x"), Identifier("y")]
    assert found.group_by == (A, B)
    assert found.having == Comparison(">", A, integer(1))
    assert [item.descending for item in found.order_by] == [True, False]


def test_common_tables() -> None:
    found = tree("WITH x AS (SELECT a FROM t), y AS (SELECT b FROM x) SELECT a FROM y")
    assert isinstance(found, With)
    assert [table.name.text for table in found.tables] == ["x", "y"]


def test_limit_sets_top() -> None:
    assert select("SELECT a FROM t LIMIT 3").top == 3
    both = tree("SELECT a FROM t UNION SELECT b FROM t LIMIT 3 OFFSET 2")
    assert isinstance(both, SetOperation)
    assert (both.top, both.offset) == (3, 2)


@pytest.mark.parametrize(
    ("text", "relaxations"),
    [
        ("SELECT a FROM t", ()),
        ("SELECT CASE WHEN a = 1 THEN 2 END FROM t", ("CASE expression",)),
        ("SELECT a FROM t LIMIT 3", ("LIMIT",)),
        ("SELECT a FROM t CROSS JOIN s", ("CROSS JOIN",)),
        ("SELECT a FROM t, s", ()),
        ("SELECT a FROM t JOIN s", ("JOIN without ON",)),
        ("SELECT a FROM t JOIN s USING (a)", ()),
        ("SELECT a FROM t NATURAL JOIN s", ()),
        ("SELECT a FROM t WHERE b = TRUE", ("TRUE or FALSE",)),
        ("SELECT (SELECT MAX(a) FROM t) FROM t", ("subquery used as a value",)),
        ("SELECT a = b FROM t", ("condition used as a value",)),
        ("SELECT a FROM t WHERE b AND c = 1", ("BOOLEAN value used as a condition",)),
        ("SELECT a FROM t WHERE b", ("BOOLEAN value used as a condition",)),
        ("SELECT a FROM t ORDER BY a NULLS FIRST", ("NULLS FIRST or LAST",)),
        ("SELECT 1", ("SELECT without FROM",)),
        ("SELECT limit, nulls FROM t", ()),
        ("SELECT TOP 1 a FROM t WHERE EXISTS (SELECT * FROM s) AND a IN (SELECT b FROM s)", ()),
    ],
)
def test_relaxations(text: str, relaxations: tuple[str, ...]) -> None:
    assert parse(QueryText(text)).relaxations == relaxations


REFUSED = [
    "SELECT",
    "SELECT a FROM",
    "SELECT a, FROM t",
    "SELECT FROM t",
    "SELECT a b c FROM t",
    "SELECT * AS x FROM t",
    "SELECT a FROM t WHERE",
    "SELECT a FROM t WHERE a = ",
    "SELECT a FROM t WHERE a = b = c",
    "SELECT a FROM t WHERE 1",
    "SELECT a FROM t WHERE a + b",
    "SELECT a FROM t WHERE CONTAINS(POINT(a, b), CIRCLE(a, b, 1))",
    "SELECT a FROM t WHERE NOT CONTAINS(POINT(a, b), CIRCLE(a, b, 1))",
    "SELECT a FROM t WHERE a NOT = 1",
    "SELECT a FROM t WHERE a IN ()",
    "SELECT a FROM t WHERE a IS NULL NULL",
    "SELECT a FROM t LEFT JOIN s",
    "SELECT a FROM (SELECT a FROM t)",
    "SELECT a FROM t ORDER",
    "SELECT a FROM t GROUP a",
    "SELECT a FROM t LIMIT 1 LIMIT 2",
    "SELECT a FROM t OFFSET 1 OFFSET 2",
    "SELECT TOP 3 a FROM t LIMIT 2",
    "SELECT TOP a FROM t",
    "SELECT TOP 1.5 a FROM t",
    "SELECT a FROM t OFFSET -1",
    "SELECT a FROM t ORDER BY a UNION SELECT b FROM t",
    "SELECT a FROM t UNION (WITH x AS (SELECT 1 FROM t) SELECT 1 FROM x)",
    "SELECT a FROM (WITH x AS (SELECT a FROM t) SELECT a FROM x) AS q",
    "WITH x (SELECT a FROM t) SELECT a FROM x",
    "SELECT SUM(*) FROM t",
    "SELECT SUM(a, b) FROM t",
    "SELECT COUNT() FROM t",
    "SELECT LOG10() FROM t",
    "SELECT LOG10(a, b) FROM t",
    "SELECT ROUND(a, b, c) FROM t",
    "SELECT POINT(a) FROM t",
    "SELECT CIRCLE('ICRS', a, b) FROM t WHERE a = 1 AND CIRCLE('ICRS', 1, 2) = a",
    "SELECT POLYGON(1, 2, 3, 4) FROM t",
    "SELECT POLYGON(POINT(1, 2), 3, 4, 5, 6) FROM t",
    "SELECT DISTANCE(1, 2, 3) FROM t",
    "SELECT REGION(a) FROM t",
    "SELECT CAST(a AS FLOAT) FROM t",
    "SELECT CAST(a AS BOX) FROM t",
    "SELECT CAST(a AS NULL) FROM t",
    "SELECT CAST(a) FROM t",
    "SELECT IN_UNIT(a, b) FROM t",
    "SELECT CASE END FROM t",
    "SELECT size FROM t",
    "SELECT a FROM t WHERE position = 1",
    "SELECT a AS date FROM t",
    "SELECT a FROM t WHERE a LIKE 'x' ESCAPE '!'",
    "SELECT SUM(a) OVER w FROM t",
    "SELECT a INTO s FROM t",
    "SELECT t.* AS x FROM t",
    "SELECT a FROM t FOR UPDATE",
    "SELECT 1e999 FROM t",
    "SELECT 99999999999999999999 FROM t",
    "DUFF QUERY",
    "",
    "-- nothing",
]


@pytest.mark.parametrize("text", REFUSED)
def test_refused_with_a_place(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(QueryText(text))
    error = caught.value
    assert error.line is not None
    assert error.column is not None
    assert str(error).startswith(f"line {error.line}, column {error.column}: ")
    assert "Unexpected" not in str(error)  # a sign of the parser's own words


ACCEPTED = [
    'SELECT "size", "date" AS "Date" FROM t',
    "SELECT type, version, filter, long, flag FROM t",
    "SELECT a.*, b.c FROM s.a AS a, s.b b",
    "SELECT s.a.* FROM s.a",
    "SELECT (a + b) c FROM t",
    "SELECT+1-+2*-3 FROM t",
    "SELECT a FROM t WHERE (a) = (1) AND ((a = 1))",
    "SELECT a FROM t WHERE NOT (NOT (a = 1))",
    "SELECT a FROM ((t JOIN s USING (a)) LEFT JOIN u ON u.a = t.a)",
    "SELECT a FROM ((SELECT a FROM t) UNION (SELECT b FROM t)) AS q",
    "(SELECT a FROM t)",
    "(SELECT a FROM t) ORDER BY a",
    "((SELECT a FROM t) UNION (SELECT a FROM s))",
    "SELECT a FROM t WHERE a IN (SELECT TOP 3 a FROM t ORDER BY a)",
    "SELECT COUNT(*) AS n FROM t GROUP BY a+1, LOWER(b) HAVING COUNT(*) > 1 AND MAX(a) < 3 ORDER BY COUNT(*) DESC",
    "SELECT a FROM t WHERE 1=CONTAINS(POINT(NULL, a, b), CIRCLE(NULL, POINT(1, 2), 3))",
    "SELECT COORDSYS(POINT(a, b)), COORD1(POINT(a, b)), AREA(CIRCLE(a, b, 1)), CENTROID(BOX(1, 2, 3, 4)) FROM t",
    "SELECT POLYGON('icrs', POINT(1, 2), POINT(3, 4), POINT(5, 2)) FROM t",
    "SELECT a FROM t -- the end",
    "select a from t where a between -1 and +1 and not b is null",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted_by_the_strict_reading(text: str) -> None:
    assert parse(QueryText(text)).relaxations == ()


def test_spans_point_at_the_text() -> None:
    text = "SELECT a,\n  LOG10(b + 1) FROM t"
    call = select(text).items[1].expr
    assert isinstance(call, FunctionCall)
    assert text[call.span.start : call.span.stop] == "LOG10(b + 1"
    assert (call.span.line, call.span.column) == (2, 3)


def test_queries_do_not_need_larks_slower_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes errors alone."""

    def refuse(*_args: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Lark, "parse", refuse)
    for language, texts in ((Language.ADQL, pairs()), (Language.QSERV, pairs(Language.QSERV))):
        for text, _ in texts:
            parse(QueryText(text, language))
