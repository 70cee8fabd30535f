"""Places on the sky where a table has rows, known without reading any."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from partitioning.sky.healpix import ORDER, SKY_STOP, index_centre

from ..models.stored import StoredTable

__all__ = ["Spot", "spot_of"]

_SKY_DEG2: Final = 4 * math.pi * math.degrees(1) ** 2
_SMALLEST_DEG: Final = 1 / 3600
_LARGEST_DEG: Final = 10.0


@dataclass(frozen=True, slots=True)
class Spot:
    """A position with a row nearby, and how many there are around it."""

    ra_deg: float
    dec_deg: float
    rows_per_deg2: float
    slack_deg: float = 0.0
    """How far the row may be from the position."""

    def radius_deg(self, rows: int) -> float:
        """Return a radius within which about `rows` rows are expected, and one is sure: 1 arcsec to 10 degrees."""
        expected = math.sqrt(rows / self.rows_per_deg2 / math.pi)
        return float(f"{min(max(expected, 2 * self.slack_deg, _SMALLEST_DEG), _LARGEST_DEG):.2g}")

    def cell_order(self, rows: int, cells: int) -> int:
        """Return the HEALPix order at which a circle of so many rows has about so many cells."""
        cell_deg2 = math.pi * self.radius_deg(rows) ** 2 / cells
        return min(max(round(math.log(_SKY_DEG2 / 12 / cell_deg2, 4)), 0), ORDER)


def spot_of(stored: StoredTable) -> Spot | None:
    """Return where the first row of the fullest tile lies, None if the table has no rows or no positions.

    Its order-29 index is in the partition map, and tells the position within 0.4 milliarcsec.
    """
    files = stored.partitions
    if files is None or len(files) == 0 or not files.rows.any():
        return None
    fullest = int(np.argmax(files.rows))
    start, stop = int(files.starts[fullest]), int(files.stops[fullest])
    ra, dec = index_centre(start)
    area_deg2 = max(stop - start, 1) / SKY_STOP * _SKY_DEG2
    separation = float(files.separations_deg[fullest])
    return Spot(round(ra, 6), round(dec, 6), int(files.rows[fullest]) / area_deg2, separation + _ROUNDED_DEG)


_ROUNDED_DEG: Final = 2e-6
"""Positions are given to 1e-6 degrees."""
