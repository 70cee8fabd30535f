"""Estimates of distinct values, against the hashes of all values."""

import decimal
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from partitioning.stages.sketch import Sketches, estimate, merged, sketch_arrays, sketches_of

WHOLE = 256


def distinct_hashes(array: pa.Array) -> set[int]:
    """Hash the values one by one, each in a sketch of its own."""
    found = set[int]()
    for value in set(array.drop_null().to_pylist()):
        one = Sketches(pa.schema([("x", array.type)]))
        one.add(pa.table({"x": pa.array([value], array.type)}))
        found |= set(one.smallest()[0].tolist())
    return found


def sketch_of(array: pa.Array, step: int) -> np.ndarray:
    sketches = Sketches(pa.schema([("x", array.type)]))
    table = pa.table({"x": array})
    for start in range(0, len(array), step):
        sketches.add(table.slice(start, step))
    return sketches.smallest()[0]


RNG = np.random.default_rng(5)
HOLES = RNG.random(3000) < 0.3
ARRAYS = {
    "many integers": pa.array(RNG.integers(-(1 << 62), 1 << 62, 3000)),
    "few integers": pa.array(RNG.integers(-3, 3, 3000).astype("i2")),
    "floats with NULL": pa.array(RNG.normal(size=3000).astype("f4"), mask=HOLES),
    "few floats with NULL": pa.array(RNG.integers(0, 9, 3000) / 4, mask=HOLES),
    "NULL with NaN below": pa.array(np.where(HOLES, np.nan, 1.5), mask=HOLES),
    "only NULL": pa.nulls(3000, pa.int32()),
    "flags": pa.array(RNG.random(3000) < 0.5, mask=HOLES),
    "one flag": pa.array(np.ones(3000, dtype=bool)),
    "texts": pa.array([f"id {n % 700}" for n in range(3000)]),
    "dates": pa.array([date(2026, 1, 1 + n % 20) for n in range(3000)]),
    "decimals": pa.array([decimal.Decimal(n % 30) for n in range(3000)], pa.decimal128(9, 2)),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("step", [7, 1000, 3000])
def test_the_smallest_hashes_are_kept(name: str, step: int) -> None:
    array = ARRAYS[name].slice(5)
    assert sketch_of(array, step).tolist() == sorted(distinct_hashes(array))[:WHOLE]


def test_both_zeros_are_one_value() -> None:
    assert len(sketch_of(pa.array([0.0, -0.0]), 2)) == 1


def test_parts_merge_into_the_whole() -> None:
    array = ARRAYS["many integers"]
    parts = [sketch_of(array.slice(start, 900), 300) for start in range(0, 3000, 900)]
    assert merged(parts).tolist() == sketch_of(array, 3000).tolist()


def test_the_estimate_is_close() -> None:
    assert estimate(sketch_of(pa.array(np.arange(100_000) * 7), 10_000)) == pytest.approx(100_000, rel=0.25)


def test_sketches_come_back_from_a_record() -> None:
    sketches = Sketches(
        pa.schema([("x", pa.int64()), ("list", pa.list_(pa.int8())), ("y", pa.int8()), ("z", pa.int8())])
    )
    sketches.add(pa.table({"x": range(900), "list": [[]] * 900, "y": [None] * 900, "z": [1] * 900}, sketches.schema))
    found = sketches_of(sketch_arrays(sketches.smallest()))
    assert {number: len(hashes) for number, hashes in found.items()} == {0: WHOLE, 2: 0, 3: 1}
    assert all(found[number].tolist() == hashes.tolist() for number, hashes in sketches.smallest().items())
    assert sketches_of(sketch_arrays({})) == {}
