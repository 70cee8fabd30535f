"""Look-ups in the flat arrays of an id index: where the rows with some ids lie."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .paths import FLAT_HEALPIX_FILE, FLAT_IDS_FILE

__all__ = ["FlatIndex"]

_NUMBERS: Final = np.dtype("<i8")

_PAGE: Final = 512
"""Numbers that are read at a time, 4 kB."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FlatIndex:
    """The flat arrays of one id index; a look-up reads the few pages of them that it needs.

    Pages are read, not mapped: a page of a map that a failing disk or a pruned release cannot deliver ends the process.
    """

    directory: Path
    """Of the id index."""
    rows: int
    """Entries."""

    def find(self, ids: Ints, most_rows: int) -> tuple[Ints, NDArray[np.bool_]] | None:
        """Return the order-29 indices of the rows with some ids, shape ``(R,)``, and whether each id has a row.

        Parameters
        ----------
        ids
            Shape ``(N,)``; sorted.
        most_rows
            More rows than these are not looked up: None is returned.

        Raises
        ------
        OSError
            If the index cannot be read, or is not of the size that the manifest tells.
        """
        with self._open() as (stored, places):
            spans, total = [], 0
            for number in ids.tolist():
                first = stored.position(number, right=False)
                stop = stored.position(number, right=True)
                spans.append((first, stop))
                total += stop - first
                if total > most_rows:
                    return None
            found = [places.numbers(first, stop) for first, stop in spans if stop > first]
            is_there = np.array([stop > first for first, stop in spans], dtype=np.bool_)
        return np.concatenate([np.empty(0, dtype=np.int64), *found]), is_there

    def find_between(self, low: int, high: int, most_rows: int) -> Ints | None:
        """Return the order-29 indices of the rows with ``low <= id <= high``; None if there are more than `most_rows`.

        Raises
        ------
        OSError
            If the index cannot be read, or is not of the size that the manifest tells.
        """
        with self._open() as (stored, places):
            first, stop = stored.position(low, right=False), stored.position(high, right=True)
            return None if stop - first > most_rows else places.numbers(first, max(first, stop))

    @contextmanager
    def _open(self) -> Iterator[tuple["_Numbers", "_Numbers"]]:
        with ExitStack() as stack:
            arrays = []
            for name in (FLAT_IDS_FILE, FLAT_HEALPIX_FILE):
                descriptor = os.open(self.directory / name, os.O_RDONLY)
                stack.callback(os.close, descriptor)
                if os.fstat(descriptor).st_size != self.rows * _NUMBERS.itemsize:
                    msg = f"{self.directory / name} has not {self.rows} entries"
                    raise OSError(msg)
                arrays.append(_Numbers(descriptor, self.rows))
            yield arrays[0], arrays[1]


class _Numbers:
    """An open file of sorted 64-bit numbers; pages that a search has met are kept."""

    def __init__(self, descriptor: int, count: int) -> None:
        self._descriptor, self._count = descriptor, count
        self._pages: dict[int, Ints] = {}

    def position(self, number: int, *, right: bool) -> int:
        """Return where a number is, or would be inserted: before its equals, or after them."""
        low, high = 0, -(-self._count // _PAGE)
        while low < high:  # the first page that ends beyond the number
            middle = (low + high) // 2
            last = int(self._page(middle)[-1])
            low, high = (middle + 1, high) if last < number or (right and last == number) else (low, middle)
        if low * _PAGE >= self._count:
            return self._count
        return low * _PAGE + int(np.searchsorted(self._page(low), number, side="right" if right else "left"))

    def numbers(self, first: int, stop: int) -> Ints:
        """Return the numbers ``[first, stop)``."""
        size = (stop - first) * _NUMBERS.itemsize
        content = os.pread(self._descriptor, size, first * _NUMBERS.itemsize)
        if len(content) != size:
            msg = "the id index has become shorter"
            raise OSError(msg)
        return np.frombuffer(content, _NUMBERS).astype(np.int64)

    def _page(self, page: int) -> Ints:
        if page not in self._pages:
            self._pages[page] = self.numbers(page * _PAGE, min((page + 1) * _PAGE, self._count))
        return self._pages[page]
