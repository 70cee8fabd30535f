"""Look-ups in the sorted Parquet parts of an id index whose ids are texts: where the rows with some ids lie."""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .paths import HEALPIX_COLUMN, METADATA

__all__ = ["TextIndex"]

_MOST_GROUPS: Final = 256
"""Row groups of the index that one look-up reads, each in some milliseconds."""

_REMEMBERED: Final = 32
"""Indexes whose row groups are kept in memory: some 100 bytes for 65,536 ids."""


@dataclass(frozen=True, slots=True)
class TextIndex:
    """An id index of texts; a look-up reads those row groups of its parts that may hold the ids."""

    directory: Path
    """Of the id index."""

    def find(
        self, ids: tuple[str, ...], most_rows: int, deadline: float = inf
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
        """Return the order-29 indices of the rows with some ids, shape ``(R,)``, and whether each id has a row.

        Parameters
        ----------
        ids
            Sorted, each once.
        most_rows
            More rows than these are not looked up: None is returned.
        deadline
            By `time.monotonic`; None is returned if it passes.

        Raises
        ------
        OSError
            If the index cannot be read, or does not tell its bounds.
        """
        groups = _row_groups(self.directory)
        wanted = groups.holding(ids)
        if len(wanted) > _MOST_GROUPS:
            return None
        places, there, rows = [np.empty(0, dtype=np.int64)], set[str](), 0
        for group, texts in wanted.items():
            if time.monotonic() > deadline:
                return None
            found = groups.read(self.directory, group, texts)
            rows += len(found)
            if rows > most_rows:
                return None
            places.append(found.column(1).to_numpy())
            there.update(found.column(0).unique().to_pylist())
        return np.concatenate(places), np.array([text in there for text in ids], dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class _RowGroups:
    """Row groups of all parts, in the order of their ids."""

    files: tuple[str, ...]
    numbers: tuple[int, ...]
    """Of the row group in its file."""
    lows: tuple[str, ...]
    highs: tuple[str, ...]
    column: str

    def holding(self, ids: tuple[str, ...]) -> Mapping[int, list[str]]:
        """Return the row groups whose bounds hold some of `ids`, and these; equal ids may stand in several."""
        found: dict[int, list[str]] = {}
        for text in ids:
            for group in range(bisect_left(self.highs, text), bisect_right(self.lows, text)):
                found.setdefault(group, []).append(text)
        return found

    def read(self, directory: Path, group: int, ids: list[str]) -> pa.Table:
        """Return the entries (id, order-29 index) of a row group that have one of `ids`."""
        with pq.ParquetFile(directory / "dataset" / self.files[group]) as part:
            columns = [self.column, HEALPIX_COLUMN]
            entries = part.read_row_group(self.numbers[group], columns=columns, use_threads=False).select(columns)
        kind = entries.schema.field(0).type
        return entries.filter(pc.is_in(entries.column(0), value_set=pa.array(ids, kind)))


@lru_cache(maxsize=_REMEMBERED)
def _row_groups(directory: Path) -> _RowGroups:
    """Read the bounds of all row groups of an index, which is never changed once it is published."""
    try:
        footers = pq.read_metadata(directory / METADATA)
    except pa.ArrowException as error:
        raise OSError(str(error)) from error
    files, numbers, lows, highs = list[str](), list[int](), list[str](), list[str]()
    file, number = "", 0
    for at in range(footers.num_row_groups):
        group = footers.row_group(at)
        column = group.column(0)
        number = number + 1 if file == column.file_path else 0
        file = column.file_path
        if group.num_rows == 0:
            continue
        bounds = column.statistics
        if bounds is None or not bounds.has_min_max or not isinstance(bounds.min, str):
            msg = f"row group {at} of {directory / METADATA} has no bounds"
            raise OSError(msg)
        numbers.append(number)
        files.append(file)
        lows.append(bounds.min)
        highs.append(bounds.max)
    if lows != sorted(lows) or highs != sorted(highs):
        msg = f"the row groups of {directory / METADATA} are not in the order of their ids"
        raise OSError(msg)
    return _RowGroups(tuple(files), tuple(numbers), tuple(lows), tuple(highs), footers.schema.names[0])
