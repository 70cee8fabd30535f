"""Counting equal integers: the arithmetic of histograms and maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Counts", "sorted_counts", "summed"]

Counts = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Distinct keys, and how many rows each has; shape ``(N,)``."""


def sorted_counts(values: NDArray[Any]) -> Counts:
    """Return the distinct values of a sorted array, and how often each is there.

    >>> sorted_counts(np.array([3, 3, 7]))
    (array([3, 7]), array([2, 1]))
    """
    changes = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    first = np.flatnonzero(changes)
    return values[first].astype(np.int64, copy=False), np.diff(first, append=len(values))


def summed(keys: Sequence[NDArray[np.int64]], rows: Sequence[NDArray[np.int64]]) -> Counts:
    """Return the distinct keys, sorted, and the sum of the rows of each."""
    none = np.empty(0, np.int64)
    all_keys, all_rows = np.concatenate([none, *keys]), np.concatenate([none, *rows])
    order = np.argsort(all_keys, kind="stable")
    distinct, members = sorted_counts(all_keys[order])
    first = np.cumsum(members) - members
    return distinct, np.add.reduceat(all_rows[order], first) if len(first) else none
