"""Statistics of columns, read from the manifests of releases when a query first asks for them."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import numpy as np

from partitioning.exceptions import LayoutError
from partitioning.layout.statistics import FileBounds, read_statistics

from ..models.statistics import ColumnKey, Statistics

__all__ = ["StatisticsCache"]

_LOG = logging.getLogger(__name__)

_MOST_BYTES: Final = 64_000_000
"""Of all statistics that are kept: one column of 20,000 files takes 0.4 MB."""


_NONE: Final = FileBounds(np.empty(0), np.empty(0), np.empty(0, dtype=np.bool_), np.empty(0, dtype=np.bool_))
"""Of a column that has no statistics."""


class StatisticsCache:
    """Bounds of columns by file, the ones used last kept; its methods may be called from several threads."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[ColumnKey, FileBounds] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, keys: Iterable[ColumnKey]) -> Statistics:
        """Return the bounds of the columns that have statistics; reads from disk.

        A manifest that cannot be read costs speed, not the query.
        """
        found: dict[ColumnKey, FileBounds] = {}
        for key in keys:
            bounds = self._known(key)
            if bounds is None:
                try:
                    bounds = _read(key)
                except LayoutError as error:
                    _LOG.warning("%s", error)
                    continue
            self._keep(key, bounds)
            if bounds is not _NONE:
                found[key] = bounds
        return found

    def has(self, keys: Iterable[ColumnKey]) -> bool:
        """Return whether `find` need not read anything."""
        return all(self._known(key) is not None for key in keys)

    def _known(self, key: ColumnKey) -> FileBounds | None:
        with self._lock:
            return self._kept.get(key)

    def _keep(self, key: ColumnKey, bounds: FileBounds) -> None:
        with self._lock:
            self._kept[key] = bounds
            self._kept.move_to_end(key)
            while sum(one.size_bytes for one in self._kept.values()) > self._most_bytes:
                self._kept.popitem(last=False)


def _read(key: ColumnKey) -> FileBounds:
    bounds = read_statistics(key.directory, key.column)
    return _NONE if bounds is None else bounds
