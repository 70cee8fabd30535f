"""Looking ids up in the indexes on disk."""

import logging
import time
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from partitioning.layout.flat_index import FlatIndex
from partitioning.layout.text_index import TextIndex
from partitioning.sky.coverage import Coverage, around, union

from ..models.ids import MOST_IDS, FoundIds, IdBound

__all__ = ["find_ids"]

_LOG = logging.getLogger(__name__)

_MOST_ROWS: Final = 100_000
"""Rows of all bounds of a query that are looked up: where there are more, reading more tiles is hardly slower."""

_MOST_SECONDS: Final = 2.0
"""After so long nothing more is looked up: the storage is slow just now."""

_IDS_PER_SECOND: Final = 10_000
"""Long lists may take longer, since what they spare is longer still."""


def find_ids(bounds: Iterable[IdBound]) -> FoundIds:
    """Return where the rows of each bound lie, of those that can be found; reads from disk.

    An index that cannot be read costs speed, not the query; so does a query that asks for very much.
    """
    found, rows, ids, deadline = dict[IdBound, Coverage](), _MOST_ROWS, MOST_IDS, time.monotonic() + _MOST_SECONDS
    for bound in bounds:
        ids -= len(bound.ids)
        deadline += len(bound.ids) / _IDS_PER_SECOND
        if ids < 0 or time.monotonic() > deadline:
            break
        try:
            coverage = _find(bound, rows, deadline)
        except OSError as error:
            _LOG.warning("id index %s cannot be read: %s", bound.index.entries.directory, error)
            continue
        if coverage is not None:
            found[bound] = coverage
            rows -= len(coverage)
    return found


def _find(bound: IdBound, most_rows: int, deadline: float) -> Coverage | None:
    if not bound.ids:
        return _find_between(bound, most_rows)
    match bound.index.entries:
        case FlatIndex() as flat:
            found = flat.find(np.array(bound.ids, dtype=np.int64), most_rows, deadline)
        case TextIndex() as texts:
            found = texts.find(tuple(map(str, bound.ids)), most_rows, deadline)
    if found is None:
        return None
    rows, is_there = found
    if bound.index.is_own:
        return _cells(rows)
    # an id without a parent may be that of rows which are placed by themselves, anywhere
    return around(rows) if is_there.all() else None


def _find_between(bound: IdBound, most_rows: int) -> Coverage | None:
    flat = bound.index.entries
    if not bound.index.is_own or not isinstance(flat, FlatIndex):
        return None
    rows = flat.find_between(bound.low, bound.high, most_rows)
    return None if rows is None else _cells(rows)


def _cells(rows: NDArray[np.int64]) -> Coverage:
    """Return the cells of some order-29 indices."""
    cells = np.unique(rows)
    return union(np.stack([cells, cells + 1], axis=1))
