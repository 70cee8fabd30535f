"""Merging sorted entries: all of them, in order, with little in memory at a time."""

from collections.abc import Iterator

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from partitioning.layout.paths import HEALPIX_COLUMN
from partitioning.stages.id_merge import between, first_batches, keys, merged

KEYS = st.tuples(st.integers(-3, 3) | st.sampled_from([-(2**63), 2**53 + 1, 2**63 - 1]), st.integers(0, 4))
SOURCES = st.lists(st.lists(KEYS, max_size=30), max_size=6)
SCHEMA = pa.schema([("id", pa.int64()), (HEALPIX_COLUMN, pa.int64())])


def table(entries: list[tuple[int, int]]) -> pa.Table:
    columns = [pa.array([entry[at] for entry in entries], pa.int64()) for at in range(2)]
    return pa.table(columns, schema=SCHEMA)


def batches(entries: list[tuple[int, int]], size: int) -> list[pa.Table]:
    """Return sorted entries in tables of some size."""
    entries = sorted(entries)
    return [table(entries[start : start + size]) for start in range(0, len(entries), size)]


@given(SOURCES, st.integers(1, 7), st.integers(1, 40))
def test_entries_of_all_sources_come_in_order_and_few_are_held(
    sources: list[list[tuple[int, int]]], size: int, most_rows: int
) -> None:
    held, most = 0, 0

    def read(entries: list[tuple[int, int]]) -> Iterator[pa.Table]:
        nonlocal held, most
        for batch in batches(entries, size):
            held += len(batch)
            most = max(most, held)
            yield batch

    found = []
    for part in merged([read(entries) for entries in sources], 16 * most_rows):
        assert len(part)
        found += keys(part)
        held -= len(part)
    assert found == sorted(entry for entries in sources for entry in entries)
    assert most <= most_rows + size * len(sources)


@given(st.lists(KEYS, max_size=40), KEYS | st.none(), KEYS | st.none(), st.integers(1, 9))
def test_a_range_of_keys_is_cut_out(
    entries: list[tuple[int, int]], low: tuple[int, int] | None, high: tuple[int, int] | None, size: int
) -> None:
    wanted = [key for key in sorted(entries) if (low is None or key >= low) and (high is None or key < high)]
    tables = batches(entries, size)
    assert [key for part in between(tables, low, high) for key in keys(part)] == wanted
    if low is None or high is None or low < high:
        starts = [keys(part)[0] for part in tables]
        first = first_batches(starts, [low])[0] if low is not None else 0
        last = first_batches(starts, [high])[0] if high is not None else len(tables)
        found = between(tables[first : last + 1], low, high)
        assert [key for part in found for key in keys(part)] == wanted


def test_times_that_python_cannot_tell_have_keys() -> None:
    ids = pa.chunked_array([pa.array([1, 2**60 + 1]).cast(pa.timestamp("ns"))])
    assert keys(pa.table({"id": ids, HEALPIX_COLUMN: [5, 6]})) == [(1, 5), (2**60 + 1, 6)]
