"""Statistics of columns, read from the manifests of releases when a query first asks for them."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from partitioning.layout.manifest import ROW_GROUPS_FILE
from partitioning.layout.paths import MANIFEST_DIR

from ..models.statistics import ColumnKey, FileBounds, Statistics

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
                except (OSError, pa.ArrowException, KeyError) as error:
                    _LOG.warning("statistics of %s in %s cannot be read: %s", key.column, key.directory, error)
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
    path = key.directory / MANIFEST_DIR / ROW_GROUPS_FILE
    names = [f"{key.column}.{what}" for what in ("min", "max", "nulls")]
    if not set(names) <= set(pq.read_schema(path).names):
        return _NONE
    table = pq.read_table(path, columns=["file", "rows", *names])
    low, high, nulls = (table.column(name) for name in names)
    if not _is_ordered(low.type):
        return _NONE
    empty_groups = pc.equal(nulls, table.column("rows"))
    known_groups = pc.or_(pc.fill_null(empty_groups, fill_value=False), pc.and_(pc.is_valid(low), pc.is_valid(high)))
    groups = pa.table(
        {
            "file": table.column("file"),
            "low": low,
            "high": high,
            "known": known_groups,
            "empty": pc.fill_null(empty_groups, fill_value=False),
        }
    )
    files = groups.group_by("file").aggregate([("low", "min"), ("high", "max"), ("known", "min"), ("empty", "min")])
    files = files.sort_by("file")
    numbers = files.column("file").to_numpy()
    if not np.array_equal(numbers, np.arange(len(numbers))):
        return _NONE  # a file without row groups: nothing is known of it
    return FileBounds(
        _values(files.column("low_min")),
        _values(files.column("high_max")),
        files.column("known_min").to_numpy().astype(bool),
        files.column("empty_min").to_numpy().astype(bool),
    )


def _is_ordered(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_string, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return numbers as int64 or float64, texts as objects; instead of NULL 0 or an empty text."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0).to_numpy(), np.int64)
    if pa.types.is_floating(kind):
        return np.asarray(pc.fill_null(pc.cast(column, pa.float64()), 0.0).to_numpy(), np.float64)
    return np.array(pc.fill_null(column, "").to_pylist(), dtype=object)
