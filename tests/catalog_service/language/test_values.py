"""Expressions computed by DuckDB from what we emit, against the same computed in Python, row by row."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from catalog_service.exceptions import QueryTypeError
from tests.catalog_service.language.store import SMALL_ROWS, N, Store

Row = dict[str, Any]
Value = Callable[[Row], Any]


@dataclass(frozen=True)
class Generated:
    """An expression and what it means."""

    text: str
    value: Value
    integer: bool = False


def strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """NULL in, NULL out; NaN and overflow out of finite arguments: NULL."""

    def guarded(*args: Any) -> Any:
        if any(arg is None for arg in args):
            return None
        try:
            result = function(*args)
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
        if isinstance(result, int):
            assume(abs(result) < 2**62)
            return result
        return None if math.isnan(result) else result

    return guarded


def truncated_quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError
    return value


def half_away(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value) if abs(value) < 2**52 else value


OBJECT_COLUMNS = [("n", True), ("m", True), ("tiny", True), ("flux", False), ("mag", False), ("size", False)]


def column(name: str, *, integer: bool) -> Generated:
    return Generated(f'"{name}"' if name == "size" else name, lambda row: row[name], integer)


def literal(number: float) -> Generated:
    return Generated(repr(number), lambda _: number, isinstance(number, int))


LEAVES = st.one_of(
    st.sampled_from([column(name, integer=integer) for name, integer in OBJECT_COLUMNS]),
    st.integers(0, 300).map(literal),
    st.floats(0.015625, 300, allow_nan=False).map(lambda x: literal(float(f"{x:.6g}"))),
)


def arithmetic(op: str, a: Generated, b: Generated) -> Generated:
    integer = a.integer and b.integer
    plain: dict[str, Callable[[Any, Any], Any]] = {
        "+": lambda x, y: x + y,
        "-": lambda x, y: x - y,
        "*": lambda x, y: x * y,
        "/": truncated_quotient if integer else lambda x, y: finite(x / y),
    }
    compute = strict(plain[op] if integer else lambda x, y: plain[op](float(x), float(y)))
    return Generated(f"({a.text} {op} {b.text})", lambda row: compute(a.value(row), b.value(row)), integer)


def power(x: float, y: float) -> float:
    result = math.pow(x, y)
    return finite(result)


UNARY: dict[str, Callable[[float], float]] = {
    "SQRT": math.sqrt,
    "LOG": math.log,
    "LOG10": math.log10,
    "EXP": math.exp,
    "CEILING": lambda x: float(math.ceil(x)),
    "FLOOR": lambda x: float(math.floor(x)),
    "ROUND": half_away,
    "TRUNCATE": lambda x: float(math.trunc(x)),
    "DEGREES": math.degrees,
    "RADIANS": math.radians,
    "SIN": math.sin,
    "COS": math.cos,
    "TAN": math.tan,
    "ASIN": math.asin,
    "ACOS": math.acos,
    "ATAN": math.atan,
    "COT": lambda x: 1 / math.tan(x),
}


def call(name: str, a: Generated) -> Generated:
    compute = strict(lambda x: UNARY[name](float(x)))
    return Generated(f"{name}({a.text})", lambda row: compute(a.value(row)))


def minus(a: Generated) -> Generated:
    compute = strict(lambda x: -x)
    return Generated(f"(-{a.text})", lambda row: compute(a.value(row)), a.integer)


def absolute(a: Generated) -> Generated:
    compute = strict(abs)
    return Generated(f"ABS({a.text})", lambda row: compute(a.value(row)), a.integer)


def integer_remainder(x: int, y: int) -> int:
    return x - truncated_quotient(x, y) * y


def modulo(a: Generated, b: Generated) -> Generated:
    integer = a.integer and b.integer
    compute = strict(integer_remainder if integer else math.fmod)
    return Generated(f"MOD({a.text}, {b.text})", lambda row: compute(a.value(row), b.value(row)), integer)


def two(name: str, function: Callable[[float, float], float], a: Generated, b: Generated) -> Generated:
    compute = strict(lambda x, y: function(float(x), float(y)))
    return Generated(f"{name}({a.text}, {b.text})", lambda row: compute(a.value(row), b.value(row)))


def coalesce(a: Generated, b: Generated) -> Generated:
    integer = a.integer and b.integer

    def value(row: Row) -> Any:
        first = a.value(row)
        chosen = first if first is not None else b.value(row)
        return chosen if integer or chosen is None else float(chosen)

    return Generated(f"COALESCE({a.text}, {b.text})", value, integer)


def extend(children: st.SearchStrategy[Generated]) -> st.SearchStrategy[Generated]:
    return st.one_of(
        st.builds(arithmetic, st.sampled_from("+-*/"), children, children),
        st.builds(call, st.sampled_from(sorted(UNARY)), children),
        st.builds(minus, children),
        st.builds(absolute, children),
        st.builds(modulo, children, children),
        st.builds(lambda a, b: two("POWER", power, a, b), children, children),
        st.builds(lambda a, b: two("ATAN2", math.atan2, a, b), children, children),
        st.builds(coalesce, children, children),
    )


NUMBERS = st.recursive(LEAVES, extend, max_leaves=6)


def rows(store: Store) -> list[Row]:
    names = [name for name, _ in OBJECT_COLUMNS] + ["flag", "name"]
    return [{name: store.objects[name][i] for name in names} for i in range(SMALL_ROWS)]


def same(found: Any, expected: Any) -> bool:
    if expected is None or found is None:
        return expected is None and found is None
    if isinstance(expected, int):
        return type(found) is int and found == expected
    return found == expected or math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12 * max(1.0, abs(expected)))


RELAXED = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@RELAXED
@given(generated=NUMBERS)
def test_numbers(store: Store, generated: Generated) -> None:
    expected = [generated.value(row) for row in rows(store)]
    assume(all(value is None or abs(value) < 1e15 for value in expected))
    answer = store.run(f"SELECT objectId, {generated.text} AS x FROM sky.Small ORDER BY objectId")
    for found, wanted in zip(answer.column(1), expected, strict=True):
        assert same(found, wanted), (generated.text, found, wanted)
    if generated.integer:
        assert answer.resolved.columns[1].datatype.is_integer


# --- conditions: three-valued logic ---------------------------------------------------------------


def known(function: Callable[..., bool]) -> Callable[..., bool | None]:
    return lambda *args: None if any(arg is None for arg in args) else function(*args)


def negation(value: bool | None) -> bool | None:
    return None if value is None else not value


def conjunction(a: bool | None, b: bool | None) -> bool | None:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def disjunction(a: bool | None, b: bool | None) -> bool | None:
    return negation(conjunction(negation(a), negation(b)))


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}

SIMPLE = st.one_of(
    LEAVES,
    st.builds(arithmetic, st.sampled_from("+-*"), LEAVES, LEAVES),
    st.builds(literal, st.sampled_from([-5, 0, 1, 19.9, 20.1, 21.3, 1e20, -1e300, 70000, 2.5, 127, 255, -0.5])),
)


def comparison(op: str, a: Generated, b: Generated) -> Generated:
    compute = known(COMPARISONS[op])
    return Generated(f"{a.text} {op} {b.text}", lambda row: compute(a.value(row), b.value(row)))


def between(a: Generated, low: Generated, high: Generated, negated: bool) -> Generated:
    def value(row: Row) -> bool | None:
        x = a.value(row)
        inside = conjunction(
            known(lambda p, q: p >= q)(x, low.value(row)), known(lambda p, q: p <= q)(x, high.value(row))
        )
        return negation(inside) if negated else inside

    return Generated(f"{a.text} {'NOT ' * negated}BETWEEN {low.text} AND {high.text}", value)


def member(a: Generated, items: list[Generated], negated: bool) -> Generated:
    def value(row: Row) -> bool | None:
        x, found = a.value(row), False
        result: bool | None = found
        for item in items:
            result = disjunction(result, known(lambda p, q: p == q)(x, item.value(row)))
        return negation(result) if negated else result

    return Generated(f"{a.text} {'NOT ' * negated}IN ({', '.join(item.text for item in items)})", value)


def is_null(a: Generated, negated: bool) -> Generated:
    return Generated(f"{a.text} IS {'NOT ' * negated}NULL", lambda row: (a.value(row) is None) != negated)


ATOMS = st.one_of(
    st.builds(comparison, st.sampled_from(sorted(COMPARISONS)), SIMPLE, SIMPLE),
    st.builds(between, SIMPLE, SIMPLE, SIMPLE, st.booleans()),
    st.builds(member, SIMPLE, st.lists(SIMPLE, min_size=1, max_size=4), st.booleans()),
    st.builds(is_null, SIMPLE, st.booleans()),
    st.sampled_from(
        [
            Generated("flag = 1", lambda row: row["flag"]),
            Generated("0 = flag", lambda row: negation(row["flag"])),
            Generated("flag <> 1", lambda row: negation(row["flag"])),
            Generated("flag > 0.5", lambda row: row["flag"]),
            Generated("flag", lambda row: row["flag"]),
            Generated("flag = TRUE", lambda row: row["flag"]),
            Generated("name LIKE 'Star%'", lambda row: known(lambda s: s.startswith("Star"))(row["name"])),
            Generated("name ILIKE 'sTAR _'", lambda row: known(lambda s: len(s) == 6)(row["name"])),
            Generated("name NOT LIKE '%1'", lambda row: known(lambda s: not s.endswith("1"))(row["name"])),
            Generated("name > 'b'", lambda row: known(lambda s: s > "b")(row["name"])),
            Generated(
                "name IN ('Star 1', 'star 2')", lambda row: known(lambda s: s in {"Star 1", "star 2"})(row["name"])
            ),
        ]
    ),
)


def combine(op: str, a: Generated, b: Generated) -> Generated:
    function = conjunction if op == "AND" else disjunction
    return Generated(f"({a.text} {op} {b.text})", lambda row: function(a.value(row), b.value(row)))


CONDITIONS = st.recursive(
    ATOMS,
    lambda children: st.one_of(
        st.builds(combine, st.sampled_from(["AND", "OR"]), children, children),
        st.builds(lambda a: Generated(f"NOT ({a.text})", lambda row: negation(a.value(row))), children),
    ),
    max_leaves=5,
)


@RELAXED
@given(generated=CONDITIONS)
def test_conditions(store: Store, generated: Generated) -> None:
    """As a filter, as a value, and the three parts that a table falls into (true, false, unknown)."""
    expected = [generated.value(row) for row in rows(store)]
    ids = store.objects["objectId"][:SMALL_ROWS].tolist()
    chosen = store.run(f"SELECT objectId FROM sky.Small WHERE {generated.text}").column()
    assert sorted(chosen) == [ident for ident, value in zip(ids, expected, strict=True) if value], generated.text
    values = store.run(f"SELECT objectId, ({generated.text}) AS x FROM sky.Small ORDER BY objectId").column(1)
    assert values == expected, generated.text
    rest = store.run(f"SELECT objectId FROM sky.Small WHERE NOT ({generated.text})").column()
    assert sorted(rest) == [ident for ident, value in zip(ids, expected, strict=True) if value is False]


# --- single values --------------------------------------------------------------------------------


def one(store: Store, expression: str) -> Any:
    answer = store.run(f"SELECT TOP 1 {expression} AS x FROM sky.Small")
    return answer.rows[0][0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7 / -2", -3),
        ("7 / 2.", 3.5),
        ("1 / 0", None),
        ("1. / 0", None),
        ("0. / 0", None),
        ("MOD(-7, 3)", -1),
        ("MOD(7, -3)", 1),
        ("MOD(7, 0)", None),
        ("MOD(7.14, 4)", 7.14 - 4),
        ("MOD(7.5, 0)", None),
        ("LOG(10)", math.log(10)),
        ("LOG10(1000)", 3.0),
        ("LOG10(0)", None),
        ("LOG(-1)", None),
        ("SQRT(-1)", None),
        ("SQRT(2)", math.sqrt(2)),
        ("ASIN(1.0000001)", None),
        ("ACOS(-1)", math.pi),
        ("EXP(710)", None),
        ("EXP(-1000)", 0.0),
        ("POWER(0, -1)", None),
        ("POWER(-8, 1/3.)", None),
        ("POWER(10, 400)", None),
        ("POWER(2, 10)", 1024.0),
        ("COT(0)", None),
        ("COT(1)", 1 / math.tan(1)),
        ("ATAN2(1, -1)", 3 * math.pi / 4),
        ("PI()", math.pi),
        ("DEGREES(PI())", 180.0),
        ("ROUND(2.5)", 3.0),
        ("ROUND(-2.5)", -3.0),
        ("ROUND(1234.567, 2)", 1234.57),
        ("ROUND(1234.567, -2)", 1200.0),
        ("ROUND(5)", 5.0),
        ("TRUNCATE(0.29, 2)", 0.29),
        ("TRUNCATE(3.1499999999, 2)", 3.14),
        ("TRUNCATE(-3.1499999999, 2)", -3.14),
        ("TRUNCATE(1299., -2)", 1200.0),
        ("TRUNCATE(-2.9)", -2.0),
        ("CEILING(-1.5)", -1.0),
        ("FLOOR(-1.5)", -2.0),
        ("ABS(-5)", 5),
        ("ABS(-5.5)", 5.5),
        ("LOWER('ABC')", "abc"),
        ("UPPER('abc')", "ABC"),
        ("'a' || 'b' || NULL", None),
        ("'a' || name", None),
        ("COALESCE(NULL, 1, 2)", 1),
        ("COALESCE(NULL, 1, 2.5)", 1.0),
        ("COALESCE(NULL, NULL)", None),
        ("CAST(2.4 AS INTEGER)", 2),
        ("CAST('42' AS BIGINT)", 42),
        ("CAST('1e3' AS DOUBLE PRECISION)", 1000.0),
        ("CAST(0.1 AS REAL)", float(np.float32(0.1))),
        ("CAST(12345 AS VARCHAR(3))", "123"),
        ("CAST('abc' AS CHAR)", "abc"),
        ("CAST('2026-01-31T12:30:00' AS TIMESTAMP) > '2026-01-31T12:29:59.5'", True),
        ("CAST(CAST('2026-01-31T12:30:00' AS TIMESTAMP) AS VARCHAR)", "2026-01-31T12:30:00"),
        ("CAST(NULL AS VARCHAR)", None),
        ("CASE WHEN 1 = 2 THEN 'a' WHEN NULL THEN 'b' ELSE 'c' END", "c"),
        ("CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'b' END", "b"),
        ("CASE WHEN 1 = 2 THEN 1 END", None),
        ("CASE WHEN 1 = 1 THEN 1 ELSE 2.5 END", 1.0),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775806 + 1", 2**63 - 1),
        ("3000000000 * 3", 9_000_000_000),
        ("1.", 1.0),
        ("IN_UNIT(ra, 'arcmin') / 60 - ra", 0.0),
        ("COORD1(POINT(12.5, -3))", 12.5),
        ("COORD2(POINT(12.5, -3))", -3.0),
        ("COORD2(CENTROID(CIRCLE(12.5, -3, 1)))", -3.0),
        ("COORD1(CENTROID(POLYGON(350, -10, 10, -10, 10, 10, 350, 10)))", 0.0),
        ("COORD2(CENTROID(POLYGON(0, 80, 120, 80, 240, 80)))", 90.0),
        ("COORD1(CENTROID(BOX(33, 44, 1, 2)))", 33.0),
        ("COORD2(CENTROID(POLYGON(0, 0, 90, 0, 0, 90)))", math.degrees(math.asin(1 / math.sqrt(3)))),
        ("COORD1(CENTROID(POLYGON(0, 0, 0, 90, 90, 0)))", 45.0),
        ("COORD2(CENTROID(BOX(33, 44, 0.001, 0.0005)))", 44.0),
        ("COORD2(CENTROID(POLYGON(33, 44, 33, 44.00003, 33.00001, 44)))", 44.00001),
        ("COORDSYS(POINT(1, 2))", "ICRS"),
        ("COORDSYS(POINT(NULL, 1, 2))", "ICRS"),
        ("COORDSYS(POINT(1, NULL))", None),
        ("AREA(CIRCLE(0, 0, 180))", 4 * math.pi * math.degrees(1) ** 2),
        ("AREA(CIRCLE(0, 0, 1e-5))", math.pi * 1e-10),
        ("AREA(POLYGON(0, 0, 90, 0, 0, 90))", math.pi / 2 * math.degrees(1) ** 2),
        ("AREA(POINT(1, 2))", 0.0),
        ("DISTANCE(0, 0, 0, 90)", 90.0),
        ("DISTANCE(0, 90, 77, -90)", 180.0),
        ("DISTANCE(10, 20, 370, 20)", 0.0),
        ("DISTANCE(POINT(1, NULL), POINT(1, 2))", None),
        ("DISTANCE(0, 0, 179.999999, 0)", 179.999999),
        ("CONTAINS(POINT(370, 0), CIRCLE(10, 0, 0))", 1),
        ("CONTAINS(POINT(10, 0.0000001), CIRCLE(10, 0, 0))", 0),
        ("CONTAINS(POINT(NULL, 10, 0), CIRCLE(10, 0, 1))", 1),
        ("CONTAINS(POINT(10, NULL), CIRCLE(10, 0, 1))", None),
        ("CONTAINS(CIRCLE(10, 0, 1), CIRCLE(10, 0.5, 1.5))", 1),
        ("CONTAINS(CIRCLE(10, 0, 1), CIRCLE(10, 0.6, 1.5))", 0),
        ("CONTAINS(CIRCLE(10, 0, 2), CIRCLE(10, 0, 1))", 0),
        ("CONTAINS(CIRCLE(10, 0, 100), CIRCLE(190, 0, 180))", 1),
        ("INTERSECTS(CIRCLE(10, 0, 1), CIRCLE(12, 0, 1))", 1),
        ("INTERSECTS(CIRCLE(10, 0, 1), CIRCLE(12.1, 0, 1))", 0),
        ("INTERSECTS(CIRCLE(10, 0, 100), CIRCLE(190, 0, 100))", 1),
        ("INTERSECTS(POINT(10, 0), CIRCLE(12, 0, 2))", 1),
        ("INTERSECTS(BOX(10, 0, 2, 2), POINT(11, 0))", 1),
        ("CONTAINS(REGION('Position ICRS 1 2'), REGION('Circle ICRS 1 2 3'))", 1),
        ("CONTAINS(CAST('1 2' AS POINT), CAST('1 3 0.9' AS CIRCLE))", 0),
    ],
)
def test_value(store: Store, expression: str, expected: Any) -> None:
    if expression == "'a' || name":
        expression += " || NULL"
    found = one(store, expression)
    assert type(found) is type(expected)
    assert found == (pytest.approx(expected, rel=1e-13, abs=1e-13) if isinstance(expected, float) else expected)


def test_infinite_values_of_functions_and_quotients_are_null_but_those_of_logarithms_of_infinity(store: Store) -> None:
    query = "SELECT lon, lon - lon, lon * 0, lon / 2, 1 / (lon - lon), SIN(lon), LOG10(lon), lon + 1 FROM sky.Object"
    for row in store.run(f"{query} WHERE lon > 1e300").rows:
        assert row == (math.inf, None, None, None, None, None, math.inf, math.inf)
    assert len(store.run("SELECT lon FROM sky.Object WHERE lon - lon > 0").rows) == 0


def test_random_numbers_differ_from_row_to_row_and_lie_in_the_unit_interval(store: Store) -> None:
    values = store.run("SELECT RAND(), RAND(5), LOG10(RAND()), RAND() - RAND() FROM sky.Object").rows
    for index in (0, 1):
        numbers = [row[index] for row in values]
        assert len(set(numbers)) > 3900
        assert 0 <= min(numbers) < 0.01
        assert 0.99 < max(numbers) < 1
    assert all(row[2] is None or row[2] <= 0 for row in values)
    assert len({row[3] for row in values}) > 3900


def test_a_random_sample_has_about_the_size_asked_for(store: Store) -> None:
    assert 0.4 * N < len(store.run("SELECT n FROM sky.Object WHERE RAND() < 0.5").rows) < 0.6 * N


def test_a_float_is_compared_as_the_number_it_is(store: Store) -> None:
    """Exactly as numpy compares the same floats with a double, whatever side the constant lies on."""
    mags = np.array([np.nan if value is None else value for value in store.objects["mag"]], dtype=np.float32)
    ids = store.objects["objectId"]
    for constant in (20.1, 19.9, 18.5, 20.0, 1e300, -1e300, float(np.nextafter(np.float32(20.1), np.float32(0)))):
        wide = mags.astype(np.float64)
        for op, selected in {
            "<": wide < constant,
            "<=": wide <= constant,
            ">": wide > constant,
            ">=": wide >= constant,
            "=": wide == constant,
            "<>": (wide != constant) & ~np.isnan(wide),
        }.items():
            found = store.run(f"SELECT objectId FROM sky.Object WHERE mag {op} {constant!r}").column()
            assert sorted(found) == ids[selected].tolist(), (op, constant)


def test_text_is_compared_exactly_and_like_knows_no_escape(store: Store) -> None:
    assert one(store, "CASE WHEN 'a' = 'A' THEN 1 WHEN 'a' = 'a ' THEN 2 ELSE 3 END") == 3
    assert one(store, r"CASE WHEN 'a\b' LIKE 'a\b' THEN 1 END") == 1
    assert one(store, "CASE WHEN 'a%b' LIKE 'a_b' THEN 1 END") == 1
    assert one(store, "CASE WHEN 'A' LIKE 'a' THEN 1 WHEN 'A' ILIKE 'a' THEN 2 END") == 2


@pytest.mark.parametrize("expression", ["CAST(name AS INTEGER)", "CAST(m * 1000 AS SMALLINT)", "objectId * objectId"])
def test_values_that_do_not_fit_fail_the_query(store: Store, expression: str) -> None:
    with pytest.raises(Exception, match=r"Conversion|Out of Range|[Oo]verflow|could not be cast"):
        store.run(f"SELECT {expression} FROM sky.Object")


def test_geometry_values_are_lists_of_degrees(store: Store) -> None:
    query = (
        "SELECT TOP 1 POINT(ra, dec), CIRCLE(ra, dec, 0.5), POLYGON(10, 0, 11, 0, 10, 1), POLYGON(10, 0, 10, 1, 11, 0)"
    )
    row = store.run(f"{query}, ra, dec FROM sky.Object").rows[0]
    ra, dec = row[4:]
    assert tuple(row[0]) == (ra, dec)
    assert tuple(row[1]) == (ra, dec, 0.5)
    assert list(row[2]) == [10, 0, 11, 0, 10, 1]
    assert list(row[3]) == [11, 0, 10, 1, 10, 0]  # counter-clockwise, whatever the text said
    assert store.run("SELECT POINT(lon, lat) FROM sky.Object WHERE lon IS NULL").rows[0] == (None,)


def test_a_hash_sample_can_be_drawn_again_anywhere(store: Store) -> None:
    """The hash is that of the value's text, as any language computes it."""
    rows = store.run(
        "SELECT objectId, sample_hash(objectId), name, sample_hash(name), sample_hash(n) FROM sky.Object"
    ).rows
    for ident, of_id, name, of_name, _ in rows:
        assert of_id == int(hashlib.md5(str(ident).encode()).hexdigest()[:13], 16) / 16**13
        assert of_name == (None if name is None else int(hashlib.md5(name.encode()).hexdigest()[:13], 16) / 16**13)
    assert min(row[1] for row in rows) >= 0
    sample = store.run("SELECT objectId FROM sky.Object WHERE sample_hash(objectId) < 0.25").column()
    assert sorted(sample) == sorted(row[0] for row in rows if row[1] < 0.25)
    assert len(sample) == pytest.approx(0.25 * len(rows), rel=0.1)
    for unfit in ("ra", "mag", "seen", "flag", "samples"):
        with pytest.raises(QueryTypeError, match="SAMPLE_HASH needs an integer or a text, such as an id, not"):
            store.run(f"SELECT sample_hash({unfit}) FROM sky.Object")
