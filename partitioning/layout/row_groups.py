"""Which row groups of a release's files may hold rows of a part of the sky, by its manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import LayoutError
from .manifest import ROW_GROUPS_FILE
from .paths import MANIFEST_DIR

__all__ = ["RowGroups", "count_row_groups"]


class RowGroups(NamedTuple):
    """Numbers of row groups."""

    chosen: int
    """In the files, where their indices meet the ranges."""
    total: int
    """In all files of the release."""
    rows: int
    """Rows of those chosen."""


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
        None if there is no list of row groups.

    Raises
    ------
    LayoutError
        If it is damaged.
    """
    path = catalog / MANIFEST_DIR / ROW_GROUPS_FILE
    if not path.is_file():
        return None
    try:
        bounds = [name for name in ("healpix_min", "healpix_max") if name in pq.read_schema(path).names]
        groups = pq.read_table(path, columns=["file", "rows", *bounds], memory_map=False)
    except (OSError, pa.ArrowException) as error:
        msg = f"{path}: no readable list of row groups ({error})"
        raise LayoutError(msg) from error
    chosen = np.isin(groups["file"].to_numpy(), files)
    if len(ranges) and len(bounds) == 2 and not any(groups[name].null_count for name in bounds):
        low, high = (groups[name].to_numpy() for name in bounds)
        chosen &= np.any([(high >= start) & (low < stop) for start, stop in ranges], axis=0)
    return RowGroups(int(chosen.sum()), len(chosen), int(groups["rows"].to_numpy()[chosen].sum()))
