"""Look-ups in the flat arrays of an id index: where the rows with some ids lie."""

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .paths import FLAT_HEALPIX_FILE, FLAT_IDS_FILE

__all__ = ["FlatIndex"]

_NUMBERS: Final = np.dtype("<i8")

_PAGE: Final = 512
"""Numbers that are read at a time, 4 kB."""

_FEW: Final = 20
"""So many numbers are sooner searched one by one than all at once."""

_MOST_ENDS: Final = 4096
"""Ends of pages of one file that are remembered: those with which searches begin are among them."""

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

    def find(self, ids: Ints, most_rows: int, deadline: float = inf) -> tuple[Ints, NDArray[np.bool_]] | None:
        """Return the order-29 indices of the rows with some ids, shape ``(R,)``, and whether each id has a row.

        Parameters
        ----------
        ids
            Shape ``(N,)``; sorted, each once.
        most_rows
            More rows than these are not looked up: None is returned.
        deadline
            By `time.monotonic`; None is returned if it passes: storage may take milliseconds for each page.

        Raises
        ------
        OSError
            If the index cannot be read, or is not of the size that the manifest tells.
        """
        with self._open() as (stored, places):
            spans = stored.spans(ids, deadline)
            if spans is None:
                return None
            firsts, stops = spans
            counts = stops - firsts
            total = int(counts.sum())
            if total > most_rows:
                return None
            before = np.cumsum(counts) - counts
            found = places.take(np.arange(total) + np.repeat(firsts - before, counts), deadline)
        return None if found is None else (found, counts > 0)

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
                status = os.fstat(descriptor)
                if status.st_size != self.rows * _NUMBERS.itemsize:
                    msg = f"{self.directory / name} has not {self.rows} entries"
                    raise OSError(msg)
                ends = _known_ends(status.st_dev, status.st_ino, status.st_mtime_ns)
                arrays.append(_Numbers(descriptor, self.rows, ends))
            yield arrays[0], arrays[1]


@lru_cache(maxsize=64)
def _known_ends(_device: int, _inode: int, _mtime_ns: int) -> dict[int, int]:
    """Return what is remembered of one file, which never changes: last numbers of pages that searches have met."""
    return {}


class _Numbers:
    """An open file of sorted 64-bit numbers.

    Parameters
    ----------
    descriptor
        Of the file.
    count
        Of its numbers.
    ends
        Last numbers of pages that are known; others are added.
    """

    def __init__(self, descriptor: int, count: int, ends: dict[int, int]) -> None:
        self._descriptor, self._count, self._ends = descriptor, count, ends
        self._pages = -(-count // _PAGE)

    def position(self, number: int, *, right: bool) -> int:
        """Return where a number is, or would be inserted: before its equals, or after them."""
        page = self._page_of(number, right=right)
        if page == self._pages:
            return self._count
        return page * _PAGE + int(np.searchsorted(self._page(page), number, side="right" if right else "left"))

    def spans(self, numbers: Ints, deadline: float) -> tuple[Ints, Ints] | None:
        """Return where the equals of each of some sorted numbers begin and stop; None if that takes too long."""
        pages = self._pages_of(numbers, deadline)
        if pages is None:
            return None
        firsts = np.full(len(numbers), self._count, dtype=np.int64)
        stops = firsts.copy()
        for page, group in _groups(pages):
            if time.monotonic() > deadline:
                return None
            if page == self._pages:
                continue
            content, wanted = self._page(page), numbers[group]
            firsts[group] = page * _PAGE + np.searchsorted(content, wanted, side="left")
            stops[group] = page * _PAGE + np.searchsorted(content, wanted, side="right")
            last = group.stop - 1
            if numbers[last] == content[-1]:  # its equals may go on in the next page
                stops[last] = self.position(int(numbers[last]), right=True)
        return firsts, stops

    def take(self, positions: Ints, deadline: float) -> Ints | None:
        """Return the numbers at some ascending positions; None if that takes too long."""
        found = np.empty(len(positions), dtype=np.int64)
        for page, group in _groups(positions // _PAGE):
            if time.monotonic() > deadline:
                return None
            found[group] = self._page(page)[positions[group] - page * _PAGE]
        return found

    def numbers(self, first: int, stop: int) -> Ints:
        """Return the numbers ``[first, stop)``."""
        size = (stop - first) * _NUMBERS.itemsize
        content = os.pread(self._descriptor, size, first * _NUMBERS.itemsize)
        if len(content) != size:
            msg = "the id index has become shorter"
            raise OSError(msg)
        return np.frombuffer(content, _NUMBERS).astype(np.int64)

    def _page_of(self, number: int, *, right: bool) -> int:
        low, high = 0, self._pages
        while low < high:  # the first page that ends beyond the number
            middle = (low + high) // 2
            last = self._end(middle)
            low, high = (middle + 1, high) if last < number or (right and last == number) else (low, middle)
        return low

    def _pages_of(self, numbers: Ints, deadline: float) -> Ints | None:
        """Return the first page that does not end before each number: a bisection for all of them at once."""
        if len(numbers) <= _FEW:
            return np.array([self._page_of(number, right=False) for number in numbers.tolist()], dtype=np.int64)
        low = np.zeros(len(numbers), dtype=np.int64)
        high = np.full(len(numbers), self._pages, dtype=np.int64)
        while (searching := low < high).any():
            if time.monotonic() > deadline:
                return None
            middle = (low + high) // 2
            pages, which = np.unique(middle[searching], return_inverse=True)
            ends = np.array([self._end(page) for page in pages.tolist()], dtype=np.int64)[which]
            beyond = ends < numbers[searching]
            low[searching] = np.where(beyond, middle[searching] + 1, low[searching])
            high[searching] = np.where(beyond, high[searching], middle[searching])
        return low

    def _end(self, page: int) -> int:
        known = self._ends.get(page)
        if known is not None:
            return known
        stop = min((page + 1) * _PAGE, self._count)
        end = int(self.numbers(stop - 1, stop)[0])
        if len(self._ends) < _MOST_ENDS:
            self._ends[page] = end
        return end

    def _page(self, page: int) -> Ints:
        return self.numbers(page * _PAGE, min((page + 1) * _PAGE, self._count))


def _groups(pages: Ints) -> Iterator[tuple[int, slice]]:
    """Yield each page of an ascending array, and where it stands there."""
    edges = [0, *(np.flatnonzero(np.diff(pages)) + 1).tolist(), len(pages)]
    for first, stop in itertools.pairwise(edges):
        if stop > first:
            yield int(pages[first]), slice(first, stop)
