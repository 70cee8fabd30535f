"""Merging sorted entries of an id index, (id, ``_healpix_29``), from many sources within bounded memory."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .id_runs import sorted_entries

__all__ = ["Key", "between", "first_batches", "key_column", "keys", "merged"]

Key = tuple[Any, int]
"""An id, as `keys` gives it, and an index: entries are sorted by both."""


def keys(entries: pa.Table) -> list[Key]:
    """Return the keys of entries: times as integers, since not every Python has a type for them, -0.0 as 0.0."""
    return list(zip(_comparable(entries.column(0)).to_pylist(), entries.column(1).to_pylist(), strict=True))


def key_column(ids: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return the ids of some keys as they are stored."""
    return pa.array(ids, _comparable(pa.array([], kind)).type).cast(kind)


def between(tables: Iterable[pa.Table], low: Key | None, high: Key | None) -> Iterator[pa.Table]:
    """Yield the entries with ``low <= key < high`` of tables that are sorted as a whole; None is no bound.

    No table after the first with greater keys is asked for.
    """
    for table in takewhile(lambda table: high is None or _first(table) < high, tables):
        start = 0 if low is None or _first(table) >= low else _position(table, low)
        stop = len(table) if high is None or _last(table) < high else _position(table, high)
        if stop > start:
            yield table.slice(start, stop - start)


def merged(sources: Iterable[Iterator[pa.Table]], most_bytes: int) -> Iterator[pa.Table]:
    """Merge sources of sorted tables without empty ones; what is yielded is sorted as a whole.

    All sources are read to about the same depth. What is not above the last entry of any source that may go on is
    complete, and sorted at once.

    Parameters
    ----------
    most_bytes
        Bytes of entries in memory at a time; one table of each source is there at least.
    """
    live = [_Source(tables) for tables in sources]
    while live:
        for source in live:
            source.fill(max(1, most_bytes // len(live)))
        entries = _complete_entries(live)
        if entries is not None:
            yield entries
        live = [source for source in live if source.waiting or not source.is_read]


def _complete_entries(sources: Sequence["_Source"]) -> pa.Table | None:
    """Return the waiting entries that none to come is below, sorted; their unsorted tables are freed."""
    bound = min((source.last for source in sources if not source.is_read), default=None)
    ready = [table for source in sources for table in source.taken(bound)]
    return sorted_entries(pa.concat_tables(ready)) if ready else None


@dataclass
class _Source:
    tables: Iterator[pa.Table]
    waiting: list[pa.Table] = field(default_factory=list)
    is_read: bool = False
    """Whether there is nothing to come."""

    @property
    def last(self) -> Key:
        """The key of the last entry that waits."""
        return _last(self.waiting[-1])

    def fill(self, size: int) -> None:
        """Read on until at least so many bytes wait."""
        held = sum(table.nbytes for table in self.waiting)
        while held < size and not self.is_read:
            table = next(self.tables, None)
            if table is None:
                self.is_read = True
            else:
                self.waiting.append(table)
                held += table.nbytes

    def taken(self, bound: Key | None) -> Iterator[pa.Table]:
        """Yield the entries below `bound`, which wait no more, and whole tables that end with it."""
        waiting, self.waiting = self.waiting, []
        for table in waiting:
            stop = len(table) if bound is None or _last(table) <= bound else _position(table, bound)
            if stop:
                yield table.slice(0, stop)
            if stop < len(table):
                self.waiting.append(table.slice(stop))


def first_batches(starts: Sequence[Key], bounds: Sequence[Key]) -> list[int]:
    """Return the last batch of a run that can hold keys below each bound, and the first with keys from it on: the same.

    Parameters
    ----------
    starts
        First key of every batch.
    """
    return [max(0, bisect_left(starts, bound) - 1) for bound in bounds]


def _first(entries: pa.Table) -> Key:
    return keys(entries.slice(0, 1))[0]


def _last(entries: pa.Table) -> Key:
    return keys(entries.slice(len(entries) - 1))[0]


def _comparable(ids: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    kind = ids.type
    if pa.types.is_temporal(kind):
        return ids.cast(pa.int64() if kind.bit_width == pa.int64().bit_width else pa.int32())
    return pc.add(ids, pa.scalar(0, kind)) if pa.types.is_floating(kind) else ids  # one zero, not two


def _position(table: pa.Table, key: Key) -> int:
    """Return how many of sorted entries are below a key."""
    ids = _comparable(table.column(0))
    wanted = pa.scalar(key[0], ids.type)
    first = pc.sum(pc.less(ids, wanted)).as_py() or 0
    same = pc.sum(pc.equal(ids, wanted)).as_py() or 0
    healpix = table.column(1).slice(first, same).to_numpy()
    return int(first + np.searchsorted(healpix, key[1]))
