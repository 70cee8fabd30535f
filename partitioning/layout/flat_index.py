"""Look-ups in the flat arrays of an id index: where the rows with some ids lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .paths import FLAT_HEALPIX_FILE, FLAT_IDS_FILE

__all__ = ["FlatIndex"]

_NUMBERS: Final = np.dtype("<i8")

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FlatIndex:
    """The flat arrays of one id index; a look-up reads the few pages of them that it needs."""

    directory: Path
    """Of the id index."""
    rows: int
    """Entries."""

    def find(self, ids: Ints, most_rows: int) -> tuple[Ints, NDArray[np.bool_]] | None:
        """Return the order-29 indices of the rows with some ids, shape ``(R,)``, and whether each id has a row.

        Parameters
        ----------
        ids
            Shape ``(N,)``; fastest if sorted.
        most_rows
            More rows than these are not looked up: None is returned.

        Raises
        ------
        OSError
            If the index cannot be read, for instance because its release was pruned.
        """
        stored = self._array(FLAT_IDS_FILE)
        first, stop = (np.searchsorted(stored, ids, side=side).astype(np.int64) for side in ("left", "right"))
        counts = stop - first
        if counts.sum() > most_rows:
            return None
        at = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        return np.array(self._array(FLAT_HEALPIX_FILE)[at], dtype=np.int64), counts > 0

    def find_between(self, low: int, high: int, most_rows: int) -> Ints | None:
        """Return the order-29 indices of the rows with ``low <= id <= high``; None if there are more than `most_rows`.

        Raises
        ------
        OSError
            If the index cannot be read.
        """
        stored = self._array(FLAT_IDS_FILE)
        first, stop = int(np.searchsorted(stored, low)), int(np.searchsorted(stored, high, side="right"))
        if stop - first > most_rows:
            return None
        return np.array(self._array(FLAT_HEALPIX_FILE)[first : max(first, stop)], dtype=np.int64)

    def _array(self, name: str) -> Ints:
        if self.rows == 0:  # nothing can be mapped
            return np.empty(0, dtype=np.int64)
        return np.memmap(self.directory / name, dtype=_NUMBERS, mode="r", shape=(self.rows,))
