"""Which row groups of a release's files may hold rows of a part of the sky, by its manifest."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import LayoutError
from .manifest import ROW_GROUPS_FILE
from .paths import MANIFEST_DIR

__all__ = ["BATCH_ROWS", "RowGroups", "count_row_groups", "opened_list"]

BATCH_ROWS: Final = 65_536
"""Row groups that are read at once; a release has up to 4 million."""

_LONGEST_FOOTER: Final = 48 << 20
"""Longer footers of ``row_groups.parquet`` take seconds, and ten times their size in memory, to be read."""

_BOUNDS: Final = ("healpix_min", "healpix_max")


class RowGroups(NamedTuple):
    """Numbers of row groups."""

    chosen: int
    """In the files, where their indices meet the ranges."""
    total: int
    """In all files of the release."""
    rows: int
    """Rows of those chosen."""


@contextmanager
def opened_list(path: Path) -> Iterator[pq.ParquetFile | None]:
    """Open ``row_groups.parquet`` to be read by batches; None if its footer is too long for that.

    Raises
    ------
    OSError, pyarrow.ArrowException
        If it is missing or damaged.
    """
    if _footer_bytes(path) > _LONGEST_FOOTER:
        yield None
        return
    with pq.ParquetFile(path, memory_map=False) as source:
        yield source


def _footer_bytes(path: Path) -> int:
    """Return the length of a Parquet footer, which stands before the closing magic number."""
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        length, magic = file.read(4), file.read(4)
    if magic != b"PAR1":
        msg = "it has no Parquet footer"
        raise OSError(msg)
    return int.from_bytes(length, "little")


def count_row_groups(
    catalog: Path, files: NDArray[np.int64], ranges: Sequence[tuple[int, int]] = ()
) -> RowGroups | None:
    """Count the row groups of some files that may hold indices of some ranges.

    Parameters
    ----------
    catalog
        Directory of the main catalog.
    files
        Numbers of files in the manifest's order, shape ``(N,)``.
    ranges
        Half-open ranges of the order-29 index by which rows are sorted; none: all of the files' row groups count.

    Returns
    -------
    RowGroups or None
        None if there is no list of row groups, or one too long to be read for this.

    Raises
    ------
    LayoutError
        If it is damaged.
    """
    path = catalog / MANIFEST_DIR / ROW_GROUPS_FILE
    if not path.is_file():
        return None
    chosen = total = rows = 0
    try:
        with opened_list(path) as source:
            if source is None:
                return None
            bounds = [name for name in _BOUNDS if name in source.schema_arrow.names]
            for batch in source.iter_batches(BATCH_ROWS, columns=["file", "rows", *bounds], use_threads=False):
                meets = np.isin(batch["file"].to_numpy(), files) & _meeting(batch, ranges)
                chosen += int(meets.sum())
                total += len(meets)
                rows += int(batch["rows"].to_numpy()[meets].sum())
    except (OSError, pa.ArrowException) as error:
        msg = f"{path}: no readable list of row groups ({error})"
        raise LayoutError(msg) from error
    return RowGroups(chosen, total, rows)


def _meeting(batch: pa.RecordBatch, ranges: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return which row groups may hold indices of the ranges: all, if nothing is known or asked."""
    names = batch.schema.names
    if not ranges or not all(name in names and batch[name].null_count == 0 for name in _BOUNDS):
        return np.ones(batch.num_rows, dtype=np.bool_)
    low, high = (batch[name].to_numpy() for name in _BOUNDS)
    return np.asarray(np.any([(high >= start) & (low < stop) for start, stop in ranges], axis=0), dtype=np.bool_)
