"""The oracle: brute force in numpy over the input files, sharing no code with what it checks."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

EXCUSED_DEG = 1e-9
"""Rows this close to a boundary may be answered either way."""

_ROUGH_DEG = 1e-4


class Sky:
    """Positions and ids of one input table."""

    def __init__(self, files: list[Path], ident: str, ra: str, dec: str) -> None:
        table = pq.ParquetDataset(files).read(columns=[ident, ra, dec])
        ids = table.column(ident).to_numpy()
        self.ra, self.dec = (table.column(name).to_numpy().astype(np.float64) for name in (ra, dec))
        usable = np.isfinite(self.ra) & np.isfinite(self.dec)
        self.ids, self.ra, self.dec = ids[usable], self.ra[usable], self.dec[usable]
        self._vectors = _vectors(self.ra, self.dec)

    def separation_deg(self, ra: float, dec: float) -> NDArray[np.float64]:
        """Return the separation of every row from a position, accurate at 0 and at 180 degrees."""
        centre = _vectors(np.array([ra]), np.array([dec]))[0]
        return _separation_deg(self._vectors, centre)

    def _separation_near_deg(self, ra: float, dec: float, radius: float) -> NDArray[np.float64]:
        """Return separations that are accurate where they are about `radius`, and rough elsewhere.

        That takes a tenth of the time. A scalar product gives an angle to better than 2e-6 degrees, the worst being
        near 0 and 180.
        """
        centre = _vectors(np.array([ra]), np.array([dec]))[0]
        separation: NDArray[np.float64] = np.degrees(np.arccos(np.clip(self._vectors @ centre, -1, 1)))
        close = np.flatnonzero(np.abs(separation - radius) < _ROUGH_DEG)
        separation[close] = _separation_deg(self._vectors[close], centre)
        return separation

    def check_cone(self, ra: float, dec: float, radius: float, found: NDArray[np.int64]) -> int:
        """Assert that `found` are the ids within `radius`; return how many there are."""
        separation = self._separation_near_deg(ra, dec, radius)
        must = self.ids[separation < radius - EXCUSED_DEG]
        may = self.ids[separation <= radius + EXCUSED_DEG]
        where = f"cone {ra!r} {dec!r} {radius!r}"
        assert len(np.unique(found)) == len(found), f"{where}: rows doubled"
        missing, surplus = np.setdiff1d(must, found), np.setdiff1d(found, may)
        assert missing.size == 0, f"{where}: {missing.size} rows missing, e.g. {missing[:3]}"
        assert surplus.size == 0, f"{where}: {surplus.size} rows too many, e.g. {surplus[:3]}"
        return len(found)


def _separation_deg(vectors: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    near = np.linalg.norm(vectors - centre, axis=1)
    far = np.linalg.norm(vectors + centre, axis=1)
    return np.degrees(2 * np.arctan2(near, far))


def _vectors(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
