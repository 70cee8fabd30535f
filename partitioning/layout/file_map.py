"""The map of an adopted table: files of any names, whose coverages may overlap, as arrays in memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sky.coverage import Coverage

__all__ = ["FileMap"]


@dataclass(frozen=True, eq=False)
class FileMap:
    """Data files that somebody else wrote; arrays of shape ``(N,)`` unless said otherwise.

    It answers the planner's questions as `partition_map.PartitionMap` does, for files that need not be disjoint.
    """

    paths: tuple[str, ...]
    """Absolute paths."""
    rows: NDArray[np.int64]
    size_bytes: NDArray[np.int64]
    mtimes_ns: NDArray[np.int64]
    """Modification times when the table was adopted."""
    starts: NDArray[np.int64]
    """Smallest order-29 index of each file; 0 if none of its rows has a position."""
    stops: NDArray[np.int64]
    """One past the largest order-29 index of each file; 0 if none of its rows has a position."""
    separations_deg: NDArray[np.float64]
    """How far a row may lie from the file's coverage: more than 0 where nobody looked at the positions."""
    ranges: Coverage
    """Coverages of all files, one after the other, shape ``(M, 2)``."""
    offsets: NDArray[np.int64]
    """Where each file's ranges begin in `ranges`, and the end of the last: shape ``(N + 1,)``."""

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, coverage: Coverage) -> NDArray[np.int64]:
        """Return the sorted numbers of the files that may hold rows inside the (sorted, disjoint) `coverage`."""
        near = np.flatnonzero(_meets(self.starts, self.stops, coverage))
        counts = self.offsets[near + 1] - self.offsets[near]
        file = np.repeat(near, counts)
        firsts = np.repeat(self.offsets[near] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        ranges = self.ranges[firsts + np.arange(len(file))]
        return np.unique(file[_meets(ranges[:, 0], ranges[:, 1], coverage)])


def _meets(starts: NDArray[np.int64], stops: NDArray[np.int64], coverage: Coverage) -> NDArray[np.bool_]:
    """Return which of the ranges ``[start, stop)`` overlap `coverage`."""
    if len(coverage) == 0:
        return np.zeros(len(starts), dtype=np.bool_)
    first = np.searchsorted(coverage[:, 1], starts, side="right")
    begins = coverage[np.minimum(first, len(coverage) - 1), 0]
    overlap: NDArray[np.bool_] = (first < len(coverage)) & (begins < stops)
    return overlap
