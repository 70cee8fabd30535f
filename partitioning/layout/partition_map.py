"""The partition map: which file holds which order-29 indices, as sorted arrays in memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..exceptions import LayoutError
from ..sky.coverage import Coverage
from ..sky.healpix import Pixel, order_shift

__all__ = ["PartitionMap"]


@dataclass(frozen=True, eq=False)
class PartitionMap:
    """Tiles of one table, sorted by their first order-29 index; arrays of shape ``(N,)``.

    `starts` and `stops` bound the indices of the rows really stored (not the whole tile), so an
    empty corner of a tile prunes.
    """

    orders: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    """Smallest stored ``_healpix_29`` of each tile."""
    stops: NDArray[np.int64]
    """One past the largest stored ``_healpix_29`` of each tile."""
    rows: NDArray[np.int64]
    size_bytes: NDArray[np.int64]
    separations_deg: NDArray[np.float64]
    """Largest separation between a row's own position and the position it is placed by (0 if the same)."""

    def __post_init__(self) -> None:
        if len(self.starts) > 1 and not (self.starts[1:] >= self.stops[:-1]).all():
            msg = "the manifest's tiles overlap or are not sorted"
            raise LayoutError(msg)

    def __len__(self) -> int:
        return len(self.orders)

    def pixel(self, index: int) -> Pixel:
        """Return the HEALPix pixel of tile number `index`."""
        return Pixel(int(self.orders[index]), int(self.numbers[index]))

    def tile_ranges(self) -> Coverage:
        """Return the order-29 range of each whole tile, shape ``(N, 2)``."""
        shifts = np.array([order_shift(order) for order in range(30)], dtype=np.int64)[self.orders]
        return np.stack([self.numbers << shifts, (self.numbers + 1) << shifts], axis=1)

    def select(self, coverage: Coverage) -> NDArray[np.int64]:
        """Return the sorted numbers of the tiles that may hold rows inside `coverage`.

        Each range of the (sorted, disjoint) coverage meets a contiguous run of tiles.
        """
        first = np.searchsorted(self.stops, coverage[:, 0], side="right")
        last = np.searchsorted(self.starts, coverage[:, 1], side="left")
        return _union_of_runs(first, last)


def _union_of_runs(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sorted union of the integer runs ``[first[i], last[i])``; bounds do not decrease with i.

    >>> _union_of_runs(np.array([0, 1, 1, 5]), np.array([2, 2, 4, 5])).tolist()
    [0, 1, 2, 3]
    """
    if len(first) == 0:
        return np.empty(0, dtype=np.int64)
    start = np.maximum(first, np.concatenate([[0], np.maximum.accumulate(last)[:-1]]))
    lengths = np.maximum(last - start, 0)
    before = np.cumsum(lengths) - lengths
    found: NDArray[np.int64] = np.arange(lengths.sum(), dtype=np.int64) + np.repeat(start - before, lengths)
    return found
