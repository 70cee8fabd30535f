"""Statistics of columns: what the files of a table hold of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from partitioning.layout.statistics import FileBounds

__all__ = ["NO_STATISTICS", "ColumnKey", "FileBounds", "Statistics"]


class ColumnKey(NamedTuple):
    """A stored column of one release."""

    directory: Path
    """Of the release."""
    column: str
    """Name in the files."""


Statistics = Mapping[ColumnKey, FileBounds]
"""What was read of the columns that a query constrains."""

NO_STATISTICS: Final[Statistics] = {}
