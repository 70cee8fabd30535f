"""The order of stored rows, against numpy's stable sort; tables of one size."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from partitioning.stages.order import regrouped, stable_order

RNG = np.random.default_rng(8)
FAR = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max], np.int64)
SORTED_RUNS = np.concatenate([np.sort(part) for part in np.array_split(RNG.integers(0, 1 << 60, 4000), 7)])


@pytest.mark.parametrize(
    "values",
    [
        np.empty(0, np.int64),
        np.array([7]),
        RNG.integers(-5, 5, 3000),
        RNG.integers(0, 3 << 60, 3000),
        SORTED_RUNS,
        RNG.choice(np.concatenate([FAR, RNG.integers(FAR[0], FAR[1], 50)]), 3000),
        np.concatenate([FAR, RNG.integers(0, 1 << 60, 2900).repeat(RNG.choice([1, 2], 2900, p=[0.97, 0.03]))]),
        RNG.integers(1 << 40, (1 << 40) + (1 << 31), 3000),
        (1 << 62) - RNG.integers(0, 2, 3000) * (1 << 62) + RNG.integers(0, 40, 3000),  # alike but for the lowest bits
    ],
    ids=["none", "one", "small", "large", "runs", "whole range", "few tied", "32 bits", "lowest bits"],
)
def test_equal_values_keep_their_order(values: NDArray[np.int64]) -> None:
    assert stable_order(values).tolist() == np.argsort(values, kind="stable").tolist()


@given(st.lists(st.integers(0, 20), max_size=12), st.integers(1, 9))
def test_tables_are_cut_anew_to_one_size(lengths: list[int], rows: int) -> None:
    whole = pa.table({"n": pa.array(range(sum(lengths)), pa.int64())})
    starts = [sum(lengths[:at]) for at in range(len(lengths))]
    found = list(regrouped((whole.slice(*part) for part in zip(starts, lengths, strict=True)), rows))
    assert pa.concat_tables([whole[:0], *found]).equals(whole)
    assert {len(part) for part in found[:-1]} <= {rows}
    assert all(part.column(0).num_chunks == 1 for part in found)
