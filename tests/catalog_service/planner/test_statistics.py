"""Statistics of columns leave out files, and never a row: against every row's value in Python."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.models.schema import Column, DataType
from catalog_service.models.statistics import ColumnKey, FileBounds
from catalog_service.models.stored import StoredTable
from catalog_service.models.tree import (
    And,
    Between,
    Binary,
    ColumnRef,
    Comparison,
    Expr,
    InList,
    IntegerLiteral,
    IsNull,
    Like,
    Not,
    Or,
    RealLiteral,
    StringLiteral,
    Unary,
)
from catalog_service.planner.statistics import kept_files
from tests.catalog_service.planner.worlds import make_table, make_world

FILES = 6

OPS = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}

KINDS = {
    "long": (DataType.LONG, np.int64),
    "real": (DataType.DOUBLE, np.float64),
    "float": (DataType.FLOAT, np.float64),
    "text": (DataType.TEXT, object),
}

INTEGERS = st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)]) | st.integers(-20, 20)
REALS = st.sampled_from([0.0, -0.0, 0.1, float(np.float32(0.1)), 1e300, math.inf, -math.inf]) | st.floats(-20, 20)
TEXTS = st.sampled_from(["", "a", "B", "b", "ab", "é", "z" * 5])


def values_of(name: str) -> st.SearchStrategy[Any]:
    floats = REALS.filter(lambda value: abs(value) < 1e38 or math.isinf(value)).map(lambda v: float(np.float32(v)))
    return {"long": INTEGERS, "real": REALS, "float": floats, "text": TEXTS}[name]


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, list[list[Any]]], Expr]:
    """Draw the values of each column in each file, None for NULL, and a condition."""
    columns = {
        name: [draw(st.lists(st.none() | values_of(name), min_size=1, max_size=4)) for _ in range(FILES)]
        for name in KINDS
    }
    return columns, draw(conditions(2))


def column(name: str) -> ColumnRef:
    return ColumnRef(0, Column(name=name, datatype=KINDS[name][0], stored_name=name))


def literal(value: Any) -> Expr:
    if isinstance(value, str):
        return StringLiteral(value)
    if value < 0 and value != -(2**63):
        return Unary("-", literal(-value))
    number: Expr = IntegerLiteral(value) if isinstance(value, int) else RealLiteral(value)
    return number


@st.composite
def conditions(draw: st.DrawFn, depth: int) -> Expr:
    if depth and draw(st.booleans()):
        operands = tuple(draw(conditions(depth - 1)) for _ in range(2))
        joined: list[Expr] = [And(operands), Or(operands), Not(operands[0])]
        return draw(st.sampled_from(joined))
    name = draw(st.sampled_from(sorted(KINDS)))
    numbers = TEXTS if name == "text" else INTEGERS | REALS
    first, second = draw(numbers), draw(numbers)
    match draw(st.sampled_from(["compare", "compare", "flipped", "between", "in", "null"])):
        case "compare":
            return Comparison(draw(st.sampled_from([*OPS, "<>"])), column(name), literal(first))
        case "flipped":
            return Comparison(draw(st.sampled_from(sorted(OPS))), literal(first), column(name))
        case "between":
            return Between(column(name), literal(first), literal(second))
        case "in":
            return InList(column(name), (literal(first), literal(second)))
        case _:
            return IsNull(column(name))


def value(expr: Expr, row: dict[str, Any]) -> Any:
    match expr:
        case ColumnRef(column=found):
            return row[found.name]
        case Unary(operand=operand):
            return -value(operand, row)
        case IntegerLiteral(value=number) | RealLiteral(value=number) | StringLiteral(value=number):
            return number
        case _:
            raise TypeError(expr)


def holds(expr: Expr, row: dict[str, Any]) -> bool | None:
    """Return the truth of a condition for a row, None for unknown; Python compares numbers exactly."""
    match expr:
        case And(operands=operands) | Or(operands=operands):
            truths = [holds(operand, row) for operand in operands]
            decisive = isinstance(expr, Or)
            return decisive if decisive in truths else None if None in truths else not decisive
        case Not(operand=operand):
            truth = holds(operand, row)
            return None if truth is None else not truth
        case IsNull(operand=operand):
            return value(operand, row) is None
        case Comparison(op=op, left=left, right=right):
            return compared(op, value(left, row), value(right, row))
        case Between(operand=operand, low=low, high=high):
            return holds(And((Comparison(">=", operand, low), Comparison("<=", operand, high))), row)
        case InList(operand=operand, items=items):
            return holds(Or(tuple(Comparison("=", operand, item) for item in items)), row)
        case _:
            raise TypeError(expr)


def compared(op: str, left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    return not OPS["="](left, right) if op == "<>" else bool(OPS[op](left, right))


def stored() -> StoredTable:
    rng = np.random.default_rng(0)
    ra = np.linspace(0, 350, 200)
    world = make_world(rng, make_table("Object", "objectId"), (ra, np.zeros(200)), finest=3, splitting=0.9)
    assert world.stored.partitions is not None
    kept = slice(0, FILES)
    parts = world.stored.partitions
    names = ("orders", "numbers", "starts", "stops", "rows", "size_bytes", "separations_deg")
    return replace(world.stored, partitions=replace(parts, **{name: getattr(parts, name)[kept] for name in names}))


STORED = stored()


def bounds(name: str, files: list[list[Any]]) -> FileBounds:
    known = [[v for v in values if v is not None] for values in files]
    filler = "" if name == "text" else 0
    return FileBounds(
        np.array([min(values, default=filler) for values in known], dtype=KINDS[name][1]),
        np.array([max(values, default=filler) for values in known], dtype=KINDS[name][1]),
        np.array([number != 3 for number in range(len(files))]),  # of one file nothing is known
        np.array([not values for values in known]),
    )


LEFT_OUT: list[int] = []


@settings(max_examples=250, deadline=None)
@given(cases())
def test_no_row_is_lost(case: tuple[dict[str, list[list[Any]]], Expr]) -> None:
    columns, condition = case
    statistics = {ColumnKey(STORED.directory, name): bounds(name, files) for name, files in columns.items()}
    mask = np.ones(FILES, dtype=bool)
    for source, names, kept, _ in kept_files(condition, {0: STORED}, statistics):
        assert (source, bool(names)) == (0, True)
        mask &= kept
    LEFT_OUT.append(int((~mask).sum()))
    for number in np.flatnonzero(~mask):
        # any row that could be made of the values of the file
        for name_values in zip(*(columns[name][number] * 4 for name in columns), strict=False):
            row = dict(zip(columns, name_values, strict=True))
            assert holds(condition, row) is not True, (row, number)


def test_files_were_left_out() -> None:
    assert sum(LEFT_OUT) > len(LEFT_OUT) / 4


@pytest.mark.parametrize(
    ("condition", "left_out"),
    [
        (Comparison(">", column("real"), RealLiteral(5.0)), {0}),
        (Comparison(">=", column("real"), IntegerLiteral(4)), set()),
        (Comparison("=", column("long"), RealLiteral(2.5)), {0, 1, 2}),
        (Comparison(">", column("long"), RealLiteral(float(2**53))), {0, 1}),
        (InList(column("text"), (StringLiteral("x"), StringLiteral("q"))), {0, 2}),
        (Between(column("real"), IntegerLiteral(5), IntegerLiteral(6)), {0, 2}),
        (Comparison("<>", column("real"), IntegerLiteral(5)), set()),
        (Comparison(">", Binary("*", column("real"), IntegerLiteral(2)), IntegerLiteral(12)), {0, 1}),
        (Not(Comparison("<=", Binary("*", column("real"), IntegerLiteral(2)), IntegerLiteral(12))), {0, 1}),
        (Not(Comparison("=", Binary("*", column("real"), IntegerLiteral(2)), IntegerLiteral(12))), set()),
        (Like(column("text"), StringLiteral("q%")), {0, 2}),
        (Like(column("text"), StringLiteral("yy_z")), {0, 1}),
        (Like(column("text"), StringLiteral("q%"), negated=True), set()),
        (Not(Like(column("text"), StringLiteral("q%"))), set()),
    ],
)
def test_what_is_left_out(condition: Expr, left_out: set[int]) -> None:
    files: dict[str, list[list[Any]]] = {
        "real": [[1.0, 4.0], [5.5], [7.0, None], [0.0], [None], [-math.inf, math.inf]],
        "long": [[1, 2], [3, 2**53], [2**53 + 1], [0], [None, None], [-5, 2**60]],
        "text": [["a", "p"], ["q", "r"], ["y", "z"], [""], [None], ["a", "z"]],
    }
    statistics = {ColumnKey(STORED.directory, name): bounds(name, values) for name, values in files.items()}
    masks = [one.mask for one in kept_files(condition, {0: STORED}, statistics)]
    out = set() if not masks else set(np.flatnonzero(~masks[0]).tolist())
    assert out == (left_out | {4} if masks else left_out)  # file 4 has no value at all
