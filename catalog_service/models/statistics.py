"""Statistics that a query's conditions ask for, and what was found of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from partitioning.layout.statistics import FileStatistics

__all__ = ["FoundStatistics", "StatisticsKey"]


@dataclass(frozen=True, slots=True)
class StatisticsKey:
    """One column of one release."""

    directory: Path
    """Of the release's main catalog."""
    column: str
    """Name of the column in the data files."""
    files: int
    """Number of files of the release."""


FoundStatistics = Mapping[StatisticsKey, FileStatistics]
"""Statistics of columns by file; a column that is not in it bounds nothing."""
