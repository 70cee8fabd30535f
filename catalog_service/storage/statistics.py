"""Statistics of columns, read from the manifests on demand and kept within a bound."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from partitioning.exceptions import LayoutError
from partitioning.layout.statistics import FileStatistics, read_statistics

from ..models.statistics import FoundStatistics, StatisticsKey

__all__ = ["StatisticsStore"]

_LOG = logging.getLogger(__name__)

_MOST_BYTES: Final = 64_000_000
"""Of all tables; one column of a table of 20,000 files takes 0.4 MB."""

_ENTRY_BYTES: Final = 1_000
"""Of an entry without arrays, about."""

_MOST_SECONDS: Final = 2.0
"""After so long no other column of a query is read: the storage is slow just now."""


class StatisticsStore:
    """Keeps the statistics of the columns that were asked for last; may be shared by threads.

    Parameters
    ----------
    most_bytes
        Memory that they may take.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[StatisticsKey, FileStatistics | None] = OrderedDict()
        self._lock = threading.Lock()
        self.size_bytes = 0
        """Memory that they take, about."""

    def find(self, wanted: Iterable[StatisticsKey]) -> FoundStatistics:
        """Return the statistics of the columns that have any; reads from disk what is not kept.

        A manifest that cannot be read costs speed, not the query.
        """
        found, deadline = dict[StatisticsKey, FileStatistics](), time.monotonic() + _MOST_SECONDS
        for key in wanted:
            if not self._has(key):
                if time.monotonic() > deadline:
                    continue
                try:
                    self._keep(key, read_statistics(key.directory, key.column, key.files))
                except LayoutError as error:
                    _LOG.warning("%s", error)
                    continue
            statistics = self._get(key)
            if statistics is not None:
                found[key] = statistics
        return found

    def _has(self, key: StatisticsKey) -> bool:
        with self._lock:
            return key in self._kept

    def _get(self, key: StatisticsKey) -> FileStatistics | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: StatisticsKey, statistics: FileStatistics | None) -> None:
        """Keep one entry, the last of all, and drop the oldest until there is room."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = statistics
                self.size_bytes += _size(statistics)
            while self.size_bytes > self._most_bytes and len(self._kept) > 1:
                self.size_bytes -= _size(self._kept.popitem(last=False)[1])


def _size(statistics: FileStatistics | None) -> int:
    return _ENTRY_BYTES + (0 if statistics is None else statistics.size_bytes)
