"""Hashes of id entries: the same for the same entries, whatever their order and chunks, and different otherwise."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioning.checks.hashing import entry_hashes, id_hashes

TEXTS = st.lists(st.text(max_size=12), max_size=30)


def total(ids: pa.ChunkedArray, index: list[int]) -> int:
    return int(entry_hashes(ids, np.array(index, dtype=np.int64)).sum(dtype=np.uint64))


@settings(deadline=None)
@given(TEXTS)
def test_equal_texts_alone_have_equal_hashes(texts: list[str]) -> None:
    hashes = id_hashes(pa.chunked_array([pa.array(texts, pa.string())])).tolist()
    assert len(hashes) == len(texts)
    assert len(set(zip(texts, hashes, strict=True))) == len(set(texts)) == len(set(hashes))


@settings(deadline=None)
@given(TEXTS, st.integers(0, 30))
def test_chunks_and_slices_do_not_matter(texts: list[str], cut: int) -> None:
    whole = pa.array(["before", *texts, "after"], pa.string()).slice(1, len(texts))
    parts = pa.chunked_array([whole.slice(0, cut), whole.slice(cut)])
    assert id_hashes(parts).tolist() == id_hashes(pa.chunked_array([pa.array(texts, pa.string())])).tolist()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**61)), min_size=1, max_size=30), st.randoms()
)
def test_sums_tell_altered_entries_but_not_their_order(entries: list[tuple[int, int]], random: Any) -> None:
    ids, index = (list(values) for values in zip(*entries, strict=True))
    before = total(pa.chunked_array([pa.array(ids, pa.int64())]), index)
    shuffled = random.sample(entries, len(entries))
    ids, index = (list(values) for values in zip(*shuffled, strict=True))
    assert total(pa.chunked_array([pa.array(ids, pa.int64())]), index) == before
    index[0] ^= 1
    assert total(pa.chunked_array([pa.array(ids, pa.int64())]), index) != before


def test_swapped_indices_are_told() -> None:
    ids = pa.chunked_array([pa.array([1, 2], pa.int64())])
    assert total(ids, [10, 20]) != total(ids, [20, 10])


def test_rows_without_an_id_are_no_entries() -> None:
    ids = pa.chunked_array([pa.array([None, 5, None], pa.int64())])
    assert total(ids, [1, 2, 3]) == total(pa.chunked_array([pa.array([5], pa.int64())]), [2])


def test_widths_of_integers_do_not_matter() -> None:
    narrow, wide = (
        id_hashes(pa.chunked_array([pa.array([-1, 7], kind)])).tolist() for kind in (pa.int16(), pa.int64())
    )
    assert narrow == wide


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 2**64 - 1, 2**63], pa.uint64()),
        ([0.5, -0.5, float("inf")], pa.float32()),
        ([True, False], pa.bool_()),
        ([Decimal("1.10"), Decimal("1.11")], pa.decimal128(9, 2)),
        ([datetime(2026, 1, 2), datetime(2026, 1, 3)], pa.timestamp("us")),  # noqa: DTZ001
        ([b"a", b"b"], pa.binary()),
    ],
)
def test_other_types(values: list[Any], kind: pa.DataType) -> None:
    assert len(set(id_hashes(pa.chunked_array([pa.array(values, kind)])).tolist())) == len(values)
