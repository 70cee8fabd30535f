"""What is known of each file of a table to be adopted: its footer and, unless tiles are trusted, its positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..exceptions import InputError
from ..sky.coverage import Coverage
from ..sky.healpix import pixel_range
from .columns import ForeignColumn
from .footers import Footer, read_footer
from .foreign import ForeignFile
from .positions import FileContent, PositionColumns, read_content

__all__ = ["TRUSTED_PAD_DEG", "Survey", "SurveyedFile"]

TRUSTED_PAD_DEG: Final = 1.0 / 3600
"""How far beyond its tile a row is looked for when nobody looked at positions: they may have been cut to fewer digits
after the row was placed."""


@dataclass(frozen=True)
class SurveyedFile:
    """What is known of one file."""

    file: ForeignFile
    footer: Footer
    content: FileContent | None
    """None if nobody looked at the rows."""
    index_is_right: bool
    """Whether the rows are sorted by a stored order-29 index that can be relied on."""
    group_ranges: tuple[tuple[int, int], ...]
    """Half-open range of order-29 indices of each row group; (0, 0) if none of its rows has a position."""
    ranges: Coverage

    @property
    def pad_deg(self) -> float:
        """How far rows may lie from `ranges`."""
        return TRUSTED_PAD_DEG if self.content is None else 0.0

    @property
    def leaves_tile(self) -> bool:
        """Whether rows lie outside the tile that the path of the file names."""
        if self.file.tile is None or len(self.ranges) == 0:
            return False
        start, stop = pixel_range(self.file.tile)
        return bool(self.ranges[0, 0] < start or self.ranges[-1, 1] > stop)


@dataclass(frozen=True)
class Survey:
    """How files are looked at."""

    columns: tuple[ForeignColumn, ...]
    positions: PositionColumns
    trust_tiles: bool = False
    """Whether HATS leaves are believed to hold rows of their tiles only, so that no row is read."""
    scanned: Sequence[ForeignColumn] = ()
    """Columns to search for NaN."""

    def look(self, file: ForeignFile) -> SurveyedFile:
        """Return what is known of one file.

        Raises
        ------
        InputError
            If it cannot be read; the message names it.
        """
        try:
            with pq.ParquetFile(file.path, pre_buffer=False, buffer_size=1 << 18) as parquet:
                footer = read_footer(parquet.metadata, self.columns)
                if self.trust_tiles:
                    return self._trusted(file, footer)
                content = read_content(parquet, self.positions, self.scanned)
        except (OSError, pa.ArrowException, ValueError) as error:
            msg = f"{file.path}: cannot be read: {error}; repair the file or leave it out"
            raise InputError(msg) from error
        index_is_right = self.positions.index is not None and content.index_is_right
        return SurveyedFile(file, footer, content, index_is_right, tuple(content.group_ranges), content.ranges)

    def _trusted(self, file: ForeignFile, footer: Footer) -> SurveyedFile:
        """Believe the path, and the index column where the footer does not contradict either."""
        assert file.tile is not None
        tile = pixel_range(file.tile)
        groups = _indexed_groups(footer, self.positions.index, tile)
        return SurveyedFile(
            file, footer, None, groups is not None, groups or (tile,) * len(footer.group_rows), np.array([tile])
        )


def _indexed_groups(footer: Footer, index: str | None, tile: tuple[int, int]) -> tuple[tuple[int, int], ...] | None:
    """Return the ranges of the row groups by their statistics, None unless they ascend within the tile."""
    bounds = None if index is None else footer.bounds(index, pa.int64())
    if bounds is None or len(bounds[0]) == 0 or pc.sum(footer.statistics.column(f"{index}.nulls")).as_py() != 0:
        return None
    low, high = (bound.to_numpy() for bound in bounds)
    if low[0] < tile[0] or high[-1] >= tile[1] or (low[1:] < high[:-1]).any():
        return None
    return tuple(zip(low.tolist(), (high + 1).tolist(), strict=True))
