"""Differences of long sequences of rows, a part at a time, against counting all rows at once."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitioning.checks.difference import RowsDifference
from partitioning.layout.paths import HEALPIX_COLUMN

Row = tuple[int, float | None]
SCHEMA = pa.schema([(HEALPIX_COLUMN, pa.int64()), ("flux", pa.float64())])
ROWS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, 0.0, 1.5])), max_size=40)


def table(rows: list[Row]) -> pa.Table:
    return pa.table([pa.array([row[n] for row in rows], SCHEMA.field(n).type) for n in (0, 1)], schema=SCHEMA)


def parts(rows: pa.Table, size: int) -> Iterator[pa.Table]:
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def difference(expected: pa.Table, stored: pa.Table, sizes: tuple[int, int]) -> tuple[Counter[str], Counter[str]]:
    missing, surplus = Counter[str](), Counter[str]()

    def tell(less: pa.Table, more: pa.Table) -> None:
        missing.update(map(repr, less.to_pylist()))
        surplus.update(map(repr, more.to_pylist()))

    compared = RowsDifference(parts(expected, sizes[0]), SCHEMA, tell)
    for part in parts(stored, sizes[1]):
        compared.add(part)
    compared.finish()
    assert compared.problem == ""
    return missing, surplus


@given(ROWS, ROWS, ROWS, st.integers(1, 9), st.integers(1, 9))
def test_rows_that_one_sequence_lacks_are_told_however_both_are_cut(
    shared: list[Row], left: list[Row], right: list[Row], first: int, second: int
) -> None:
    expected, stored = (sorted(rows, key=lambda row: (row[0], str(row[1]))) for rows in (shared + left, right + shared))
    wanted = [Counter(map(repr, table(rows).to_pylist())) for rows in (expected, stored)]
    missing, surplus = difference(table(expected), table(stored), (first, second))
    assert missing == wanted[0] - wanted[1]
    assert surplus == wanted[1] - wanted[0]


def test_equal_sequences_are_compared_a_part_at_a_time() -> None:
    rows = pa.table([pa.array(np.full(100_000, 7)), pa.array(np.arange(100_000.0))], schema=SCHEMA)
    taken: list[pa.Table] = []

    def watched() -> Iterator[pa.Table]:
        for part in parts(rows, 1000):
            taken.append(part)
            yield part

    compared = RowsDifference(watched(), SCHEMA, lambda *_: pytest.fail("they are equal"))
    for number, part in enumerate(parts(rows, 999)):
        compared.add(part)
        assert len(taken) <= number + 2  # no more is read than is needed
        assert compared._expected.num_rows <= 2000
    compared.finish()


def test_expected_rows_that_cannot_be_read_are_a_problem_not_a_difference() -> None:
    def broken() -> Iterator[pa.Table]:
        yield table([(1, 0.0)])
        msg = "the disk is gone"
        raise OSError(msg)

    compared = RowsDifference(broken(), SCHEMA, lambda *_: pytest.fail("nothing is known"))
    compared.add(table([(1, 0.0)]))
    compared.finish()
    assert "the disk is gone" in compared.problem
