"""Estimates of distinct values, against the hashes of all values."""

import decimal
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioning.stages.sketch import (
    Hashes,
    Sketches,
    SketchesOfParts,
    estimate,
    merged,
    occurring,
    sketch_arrays,
    sketches_of,
    without,
)

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


def known(sketch: Hashes) -> tuple[int, set[int]]:
    """Return the limit of a sketch, and the hashes that it knows below it."""
    limit = int(sketch[-1]) if len(sketch) == WHOLE else 1 << 64
    return limit, {each for each in sketch.tolist() if each < limit}


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 100, 300, 1500]), st.floats(0, 1), st.floats(0, 1))
def test_what_is_taken_out_counts_no_more(seed: int, size: int, share: float, kept: float) -> None:
    """A sketch knows exactly the hashes below its limit, after values are taken out of it and it is merged."""
    rng = np.random.default_rng(seed)
    whole = rng.integers(0, 1 << 40, size)
    gone, more = whole[rng.random(size) < share], rng.integers(0, 1 << 40, int(kept * 900))
    first, second = (sketch_of(pa.array(values, pa.int64()), 5000) for values in (whole, more))
    found = without(first, occurring(first, pa.array(gone, pa.int64())))
    left = np.setdiff1d(whole, gone)
    for sketch, values in ((found, left), (merged([found, second]), np.union1d(left, more))):
        limit, below = known(sketch)
        assert below == {each for each in distinct_hashes(pa.array(values)) if each < limit}
        assert (np.diff(sketch.astype(object)) >= 0).all()
        told = estimate(sketch)
        if limit == 1 << 64:
            assert told == len(values)
        elif told is None:
            assert len(below) < WHOLE / 2
        else:
            assert told == pytest.approx(len(below) / limit * 2**64, abs=1)


@pytest.mark.parametrize("name", ARRAYS)
def test_hashes_are_found_among_values(name: str) -> None:
    array = ARRAYS[name]
    sketch = sketch_of(array, 3000)
    some = array.slice(100, 400)
    limit, below = known(sketch)
    found = set(occurring(sketch, some).tolist())
    assert found - {limit} == below & distinct_hashes(some)


def test_many_parts_merge_some_at_a_time() -> None:
    array, parts = ARRAYS["many integers"], SketchesOfParts()
    for start in range(0, 3000, 30):
        parts.add({0: sketch_of(array.slice(start, 30), 30), start + 1: sketch_of(array.slice(start, 5), 5)})
    found = parts.merged()
    assert found[0].tolist() == sketch_of(array, 3000).tolist()
    assert len(found) == 101


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
