"""Conditions on expressions of a column bound the column, and never leave out a value for which they hold."""

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.models.schema import Column, DataType
from catalog_service.models.tree import (
    Between,
    Binary,
    Cast,
    ColumnRef,
    Comparison,
    Expr,
    FunctionCall,
    IntegerLiteral,
    IsNull,
    Like,
    RealLiteral,
    StringLiteral,
    Unary,
)
from catalog_service.models.walk import conjuncts
from catalog_service.planner.monotone import implied

REAL = ColumnRef(0, Column(name="x", datatype=DataType.FLOAT))
LONG = ColumnRef(0, Column(name="n", datatype=DataType.LONG))
TEXT = ColumnRef(0, Column(name="t", datatype=DataType.TEXT))

FUNCTIONS: dict[str, Any] = {
    "log10": lambda x: math.log10(x) if x > 0 else None,
    "log": lambda x: math.log(x) if x > 0 else None,
    "sqrt": lambda x: math.sqrt(x) if x >= 0 else None,
    "scisql_nanojanskytoabmag": lambda x: 31.4 - 2.5 * math.log10(x) if x > 0 else None,
}
OPS: dict[str, Any] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
}
numbers = st.sampled_from([0.0, 1.0, -2.5, 31.4, 1e6, 1e-7, 3.0]) | st.floats(-1e3, 1e3)


@st.composite
def expressions(draw: st.DrawFn) -> Expr:
    expr: Expr = draw(st.sampled_from([REAL, LONG]))
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from([*FUNCTIONS, "+", "-", "*", "/", "minus", "cast"]))
        if kind in FUNCTIONS:
            expr = FunctionCall(kind, (expr,))
        elif kind == "minus":
            expr = Unary("-", expr)
        elif kind == "cast":
            expr = Cast(expr, DataType.DOUBLE)
        else:
            literal = RealLiteral(draw(numbers))
            expr = Binary(kind, *((expr, literal) if kind == "/" or draw(st.booleans()) else (literal, expr)))
    return expr


def value(expr: Expr, x: float) -> float | None:
    """Return the value of an expression, each step rounded to 32 bits; None for NULL."""
    match expr:
        case ColumnRef():
            result: float | None = x
        case RealLiteral(value=number) | IntegerLiteral(value=number):
            return number
        case Cast(operand=inner):
            result = value(inner, x)
        case Unary(operand=inner):
            found = value(inner, x)
            result = None if found is None else -found
        case FunctionCall(name=name, args=(inner,)):
            found = value(inner, x)
            result = None if found is None or not math.isfinite(found) else FUNCTIONS[name](found)
        case Binary(op=op, left=left, right=right):
            one, other = value(left, x), value(right, x)
            if one is None or other is None or (op == "/" and other == 0):
                return None
            result = {"+": one + other, "-": one - other, "*": one * other, "/": other and one / other}[op]
        case _:
            raise TypeError(expr)
    return None if result is None else float(np.float32(result))


def holds(condition: Expr, x: Any) -> bool:
    match condition:
        case Comparison(op=op, left=ColumnRef(), right=RealLiteral() | StringLiteral() as limit):
            return bool(OPS[op](x, limit.value))
        case IsNull(negated=True):
            return x is not None
        case _:
            raise TypeError(condition)


BOUNDED: list[bool] = []


@settings(max_examples=400, deadline=None)
@given(
    expr=expressions(),
    op=st.sampled_from(list(OPS)),
    limit=numbers,
    values=st.lists(st.floats(-1e6, 1e6, width=32) | st.floats(0, 50, width=32), max_size=20),
    mirrored=st.booleans(),
    negated=st.booleans(),
)
@np.errstate(over="ignore")
def test_no_value_is_left_out(
    expr: Expr, op: str, limit: float, values: list[float], *, mirrored: bool, negated: bool
) -> None:
    sides = (RealLiteral(limit), expr) if mirrored else (expr, RealLiteral(limit))
    inner = implied(Comparison(op, *sides), negated=negated)
    BOUNDED.append(inner is not None)
    for x in values:
        found = value(expr, x)
        pair = (limit, found) if mirrored else (found, limit)
        if found is not None and OPS[op](*pair) is not negated:
            assert all(holds(part, x) for part in conjuncts(inner)), (x, inner)


def test_many_were_bounded() -> None:
    assert sum(BOUNDED) > len(BOUNDED) / 3


SCALED = Binary("+", Binary("*", RealLiteral(-2.0), REAL), RealLiteral(0.0))


@pytest.mark.parametrize(
    ("condition", "low", "high"),
    [
        (Comparison("<", FunctionCall("scisql_nanojanskytoabmag", (REAL,)), RealLiteral(23.9)), 1000, None),
        (Between(FunctionCall("log10", (REAL,)), IntegerLiteral(1), IntegerLiteral(2)), 10, 100),
        (Comparison("=", Binary("/", REAL, IntegerLiteral(4)), IntegerLiteral(2)), 8, 8),
        (Comparison(">", RealLiteral(20.0), SCALED), -10, None),
        (Comparison("<", Unary("-", LONG), IntegerLiteral(5)), -5, None),
    ],
)
def test_bounds_are_tight(condition: Expr, low: float | None, high: float | None) -> None:
    limits = {}
    for one in conjuncts(implied(condition)):
        assert isinstance(one, Comparison)
        assert isinstance(one.right, RealLiteral)
        limits[one.op] = one.right.value
    assert limits.get(">=") == (None if low is None else pytest.approx(low, rel=1e-3))
    assert limits.get("<=") == (None if high is None else pytest.approx(high, rel=1e-3))


@pytest.mark.parametrize(
    "condition",
    [
        Comparison("<", REAL, RealLiteral(1.0)),  # the column itself
        Comparison("<>", Unary("-", REAL), RealLiteral(1.0)),
        Comparison("<", Binary("/", LONG, IntegerLiteral(2)), IntegerLiteral(5)),  # cuts off digits
        Comparison("<", Binary("*", REAL, RealLiteral(0.0)), RealLiteral(1.0)),
        Comparison("<", Binary("*", REAL, REAL), RealLiteral(1.0)),
        Comparison("<", FunctionCall("sin", (REAL,)), RealLiteral(1.0)),
        Comparison("<", Cast(REAL, DataType.INT), RealLiteral(1.0)),
        Between(Unary("-", REAL), RealLiteral(1.0), RealLiteral(2.0), negated=True),
        Like(TEXT, StringLiteral("%a")),
        Like(TEXT, StringLiteral("a%"), ignore_case=True),
        Like(Cast(LONG, DataType.TEXT), StringLiteral("1%")),
    ],
)
def test_what_says_nothing(condition: Expr) -> None:
    assert implied(condition) is None


letters = st.text("ab1-%_!\u00e9\ud7ff\U0010ffff", max_size=6)


@settings(max_examples=300, deadline=None)
@given(
    pattern=letters,
    texts=st.lists(letters, max_size=20),
    ignore_case=st.booleans(),
    escape=st.sampled_from([None, "!"]),
)
def test_texts_that_match_are_in_range(
    pattern: str, texts: list[str], *, ignore_case: bool, escape: str | None
) -> None:
    inner = implied(Like(TEXT, StringLiteral(pattern), ignore_case=ignore_case, escape=escape))
    matches = re.compile(_regex(pattern, escape), re.DOTALL | (re.IGNORECASE if ignore_case else 0))
    for text in [*texts, pattern, pattern.replace("%", "b"), pattern.upper(), pattern.replace("!", "")]:
        if matches.fullmatch(text):
            assert all(holds(part, text) for part in conjuncts(inner)), (text, inner)


def _regex(pattern: str, escape: str | None) -> str:
    parts, signs = "", iter(pattern)
    for sign in signs:
        if sign == escape:
            parts += re.escape(next(signs, ""))
        else:
            parts += {"%": ".*", "_": "."}.get(sign, re.escape(sign))
    return parts
