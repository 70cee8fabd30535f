"""Files of overlapping coverages: the choice equals a test of every range."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioning.layout.file_map import FileMap
from partitioning.sky.coverage import EMPTY, Coverage, simplified, union


def ranges(draw: st.DrawFn, most: int) -> Coverage:
    pairs = draw(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=most))
    return union(np.array([(start, start + length) for start, length in pairs], dtype=np.int64).reshape(-1, 2))


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Coverage], Coverage]:
    return [ranges(draw, 4) for _ in range(draw(st.integers(0, 6)))], ranges(draw, 5)


def file_map(files: list[Coverage]) -> FileMap:
    count = len(files)
    zeros = np.zeros(count, dtype=np.int64)
    return FileMap(
        paths=tuple(f"/f{number}" for number in range(count)),
        rows=zeros,
        size_bytes=zeros,
        mtimes_ns=zeros,
        starts=np.array([one[0, 0] if len(one) else 0 for one in files], dtype=np.int64),
        stops=np.array([one[-1, 1] if len(one) else 0 for one in files], dtype=np.int64),
        separations_deg=np.zeros(count),
        ranges=np.concatenate([EMPTY, *files]),
        offsets=np.cumsum([0, *map(len, files)]).astype(np.int64),
    )


@given(cases())
@settings(max_examples=300, deadline=None)
def test_selected_are_the_files_that_meet_the_coverage(case: tuple[list[Coverage], Coverage]) -> None:
    files, coverage = case
    held = [{cell for low, high in one.tolist() for cell in range(low, high)} for one in [*files, coverage]]
    expected = [number for number, cells in enumerate(held[:-1]) if cells & held[-1]]
    assert file_map(files).select(coverage).tolist() == expected


@given(cases(), st.integers(1, 6))
def test_simplified_ranges_hold_all_and_join_the_smallest_gaps(
    case: tuple[list[Coverage], Coverage], most: int
) -> None:
    _, coverage = case
    fewer = simplified(coverage, most)
    assert len(fewer) == min(most, len(coverage))
    for low, high in coverage.tolist():
        assert ((fewer[:, 0] <= low) & (high <= fewer[:, 1])).any()
    kept = (fewer[1:, 0] - fewer[:-1, 1]).tolist()
    gaps = sorted((coverage[1:, 0] - coverage[:-1, 1]).tolist(), reverse=True)
    assert sorted(kept, reverse=True) == gaps[: len(kept)]
