"""Reading back the part of a leaf that lies in some region of the sky."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.paths import HEALPIX_COLUMN
from ..sky.coverage import Coverage
from .order import unsliced

__all__ = ["in_coverage", "rows_within"]


def rows_within(path: Path, coverage: Coverage, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of a leaf inside `coverage`, in order; only row groups that meet it are read.

    Parameters
    ----------
    columns
        Columns to return; the index is among them. None means all.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as leaf:
        at = leaf.schema_arrow.names.index(HEALPIX_COLUMN)
        for number in range(leaf.metadata.num_row_groups):
            bounds = leaf.metadata.row_group(number).column(at).statistics
            if bounds is not None and bounds.has_min_max and not _meets(coverage, bounds.min, bounds.max):
                continue
            group = leaf.read_row_group(number, columns=columns)
            inside = in_coverage(group.column(HEALPIX_COLUMN).to_numpy(), coverage)
            if inside.any():
                yield group if inside.all() else unsliced(group).filter(pa.array(inside))


def in_coverage(index: NDArray[np.int64], coverage: Coverage) -> NDArray[np.bool_]:
    """Return whether each order-29 index lies in a coverage, shape ``(N,)``."""
    at = np.searchsorted(coverage[:, 0], index, side="right") - 1
    found: NDArray[np.bool_] = (at >= 0) & (index < coverage[np.maximum(at, 0), 1]) if len(coverage) else at >= 0
    return found


def _meets(coverage: Coverage, low: int, high: int) -> bool:
    """Return whether a coverage has a part of the closed range ``[low, high]``."""
    at = int(np.searchsorted(coverage[:, 1], low, side="right"))
    return at < len(coverage) and int(coverage[at, 0]) <= high
