"""Statistics of columns: what the files of a table hold of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_STATISTICS", "ColumnKey", "FileBounds", "Statistics"]


class ColumnKey(NamedTuple):
    """A stored column of one release."""

    directory: Path
    """Of the release."""
    column: str
    """Name in the files."""


@dataclass(frozen=True, slots=True, eq=False)
class FileBounds:
    """Smallest and largest value of a column in each file of a release; arrays of shape ``(files,)``."""

    low: NDArray[Any]
    """Of the column's own type; of no meaning where `known` is false or `empty` is true."""
    high: NDArray[Any]
    known: NDArray[np.bool_]
    """Whether the bounds are those of all values."""
    empty: NDArray[np.bool_]
    """Whether all values are NULL."""

    @property
    def size_bytes(self) -> int:
        """Memory that this takes, texts not counted."""
        return sum(part.nbytes for part in (self.low, self.high, self.known, self.empty))


Statistics = Mapping[ColumnKey, FileBounds]
"""What was read of the columns that a query constrains."""

NO_STATISTICS: Final[Statistics] = {}
