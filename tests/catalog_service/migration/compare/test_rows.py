"""Rows find their partners: against all pairs tried, and the classes of what does not."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_service.migration.compare import Comparer, DifferenceKind, Rule, Rules, Verdict, compare_results
from catalog_service.migration.compare.shape import shape_of
from tests.catalog_service.migration.compare.brute_force import most_equal_rows
from tests.harness import examples

TOLERANCE = 0.1
NUMBERS = st.sampled_from(
    [None, float("nan"), float("inf"), -float("inf"), 0.0, -0.0, *(1.05**k for k in range(9)), -1.0]
)
"""Neighbours are within the tolerance, every second one and the next but one are not."""
ROWS = st.lists(st.tuples(st.integers(0, 1), NUMBERS, NUMBERS), max_size=9)


def table(rows: list[tuple[Any, ...]], types: tuple[pa.DataType, ...]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(types)
    return pa.table(
        {f"x{k}": pa.array(values, type_) for k, (values, type_) in enumerate(zip(columns, types, strict=True))}
    )


@pytest.fixture(scope="module")
def comparer() -> Iterator[Comparer]:
    with Comparer() as made:
        yield made


@settings(max_examples=examples(60, 2000), deadline=None)
@given(st.integers(0, 3), ROWS, ROWS, st.randoms(use_true_random=False))
def test_as_many_rows_are_paired_as_by_trying_all(
    comparer: Comparer, changes: int, rows: list[Any], others: list[Any], rng: Any
) -> None:
    """The right is the left, shuffled, with numbers shifted by less than the tolerance and some rows replaced."""
    right = [(a, *(None if x is None else x * rng.choice((1.0, 1.0, 1.05)) for x in xs)) for a, *xs in rows]
    rng.shuffle(right)
    right = right[: max(0, len(right) - changes)] + others[:changes]
    types = (pa.int64(), pa.float64(), pa.float64())
    found = comparer.compare(table(rows, types), table(right, types), Rules(double_tolerance=TOLERANCE))
    paired = most_equal_rows(rows, right, TOLERANCE)
    left_over = found.count(DifferenceKind.ONLY_LEFT), found.count(DifferenceKind.ONLY_RIGHT)
    in_cells = len(rows) - paired - left_over[0]
    assert in_cells == len(right) - paired - left_over[1] >= 0
    assert found.is_equal == (paired == len(rows) == len(right))
    cells = found.count(DifferenceKind.CELLS) + found.count(DifferenceKind.NULL_NAN)
    assert in_cells <= cells <= 3 * in_cells


def test_sorting_alone_does_not_find_all_partners() -> None:
    """In the order of the first number the second numbers are crossed."""
    left = pa.table({"a": [1.0, 1.01], "b": [5.0, 3.0]})
    right = pa.table({"a": [1.02, 1.0], "b": [5.0, 3.0]})
    assert compare_results(left, right, Rules(double_tolerance=0.05)).verdict is Verdict.WITHIN
    assert compare_results(left, right, Rules(double_tolerance=0.005)).verdict is Verdict.DIFFERENT


def test_taking_the_same_first_would_leave_others_alone() -> None:
    left, right = pa.table({"a": [1.0, 1.05]}), pa.table({"a": [1.05, 1.1025]})
    assert compare_results(left, right, Rules(double_tolerance=0.049)).verdict is Verdict.WITHIN


def test_blocks_of_several_rounds_are_not_mixed_up() -> None:
    nan = float("nan")
    left = pa.table({"a": [0, 0], "x": pa.array([None, nan]), "y": pa.array([nan, None])})
    right = pa.table({"a": [0, 0], "x": pa.array([None, None], pa.float64()), "y": [nan, nan]})
    found = compare_results(left, right)
    assert found.count(DifferenceKind.ONLY_LEFT) <= 1
    assert found.count(DifferenceKind.NULL_NAN) + 2 * found.count(DifferenceKind.ONLY_LEFT) == 2


def survey(rows: int, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "objectId": np.arange(rows) + 2**60,
        "ra": rng.uniform(0, 360, rows),
        "mag": rng.normal(22, 2, rows).astype(np.float32),
        "band": np.array(["g", "r", "i"])[rng.integers(0, 3, rows)],
    }


@pytest.mark.parametrize("names", [("objectId", "ra", "mag", "band"), ("ra", "mag"), ("ra",), ("mag",)])
@pytest.mark.parametrize("fault", ["none", "altered", "missing", "duplicated"])
def test_one_row_of_many(names: tuple[str, ...], fault: str) -> None:
    columns = {name: values for name, values in survey(60_000).items() if name in names}
    chosen = np.random.default_rng(2).permutation(60_000)
    if fault == "missing":
        chosen = chosen[1:]
    if fault == "duplicated":
        chosen = np.r_[chosen, chosen[:1]]
    right = {name: values[chosen] for name, values in columns.items()}
    if fault == "altered":
        right[names[-1] if names[-1] != "band" else "mag"][77] += 1
    found = compare_results(pa.table(columns), pa.table(right))
    kinds = {one.kind: one.count for one in found.differences}
    expected = {
        "none": {},
        "altered": {DifferenceKind.CELLS: 1},
        "missing": {DifferenceKind.ROW_COUNT: 1, DifferenceKind.ONLY_LEFT: 1},
        "duplicated": {DifferenceKind.ROW_COUNT: 1, DifferenceKind.ONLY_RIGHT: 1},
    }[fault]
    assert kinds == expected
    if fault == "altered" and "objectId" in names:
        (example,) = found.differences[0].examples
        assert example["row"] == {"objectId": chosen[77] + 2**60}
        assert example["right"] == pytest.approx(example["left"] + 1)


def test_duplicates_are_counted() -> None:
    one, other = pa.table({"a": [1, 1, 2]}), pa.table({"a": [1, 2, 2]})
    found = compare_results(one, other)
    assert found.count(DifferenceKind.ONLY_LEFT) + found.count(DifferenceKind.CELLS) == 1
    assert found.verdict is Verdict.DIFFERENT


def test_null_is_not_nan_unless_it_is_said() -> None:
    one, other = pa.table({"id": [1, 2], "x": [None, 1.5]}), pa.table({"id": [1, 2], "x": [float("nan"), 1.5]})
    found = compare_results(one, other)
    assert [(d.kind, d.column, d.count) for d in found.differences] == [(DifferenceKind.NULL_NAN, "x", 1)]
    assert found.differences[0].examples[0]["row"] == {"id": 1}
    assert compare_results(one, other, Rules(nan_is_null=True)).verdict is Verdict.WITHIN


@pytest.mark.parametrize(
    ("query", "verdict"),
    [
        ("SELECT o.id, s.id FROM o JOIN s ORDER BY s.id", Verdict.DIFFERENT),
        ("SELECT o.id, s.id FROM o JOIN s ORDER BY o.id", Verdict.WITHIN),
        ("SELECT * FROM o JOIN s ORDER BY s.id", Verdict.NOT_COMPARED),
        ("SELECT o.id, s.id FROM o JOIN s ORDER BY id", Verdict.NOT_COMPARED),
        ("(SELECT o.id x, s.id y FROM o JOIN s ORDER BY s.id)", Verdict.DIFFERENT),
    ],
)
def test_an_order_by_one_of_two_columns_of_a_name(query: str, verdict: Verdict) -> None:
    names = ["x", "y"] if " x," in query else ["id", "id"]
    left = pa.table([pa.array([1, 1, 1]), pa.array([1, 2, 3])], names=names)
    right = pa.table([pa.array([1, 1, 1]), pa.array([3, 1, 2])], names=names)
    rules = Rules().of(shape_of(query))
    assert compare_results(left, right, rules).verdict is verdict
    assert compare_results(left, left, rules).verdict is Verdict.EQUAL


@pytest.mark.parametrize(
    ("query", "right", "verdict"),
    [
        ("SELECT COUNT(*) FROM t", 7, Verdict.WITHIN),
        ("SELECT COUNT(*) FROM t", 8, Verdict.DIFFERENT),
        ("SELECT COUNT(*) AS n FROM t", 7, Verdict.DIFFERENT),
        ("SELECT a FROM t", 7, Verdict.DIFFERENT),
        ("SELECT t.*, COUNT(*) FROM t", 7, Verdict.DIFFERENT),
    ],
)
def test_expressions_without_an_alias_have_any_name(query: str, right: int, verdict: Verdict) -> None:
    """DaCHS makes names up; a column that has a name must keep it."""
    rules = Rules().of(shape_of(query, "ADQL"))
    assert compare_results(pa.table({"nddeaegmg": [7]}), pa.table({"count": [right]}), rules).verdict is verdict


def test_no_rows_and_no_columns() -> None:
    empty = pa.table({"a": pa.array([], pa.int64())})
    assert compare_results(empty, empty).verdict is Verdict.EQUAL
    assert compare_results(empty, pa.table({"a": [1]})).count(DifferenceKind.ONLY_RIGHT) == 1
    assert compare_results(pa.table({}), pa.table({})).verdict is Verdict.EQUAL


def test_answers_larger_than_the_memory() -> None:
    columns = survey(100_000)
    columns["text"] = np.array(
        [f"{number:0256d}" for number in range(100_000)]
    )  # 25 MB a side, as much again in a join
    right = pa.table(columns).take(np.random.default_rng(3).permutation(100_000))
    reader = pa.RecordBatchReader.from_batches(right.schema, right.to_batches(max_chunksize=10_000))
    found = compare_results(pa.table(columns), reader, memory="64MB")
    assert found.verdict is Verdict.WITHIN
    assert set(found.rules) == {Rule.ORDER}
