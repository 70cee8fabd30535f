"""Exact tests on the sphere, vectorised: angular separation, unit vectors."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["EDGE_TOLERANCE_DEG", "separation_deg", "unit_vectors"]

EDGE_TOLERANCE_DEG: Final = 1e-11
"""Slack of every "on the boundary counts as inside" test, in degrees (3.6e-8 arcsec).

It absorbs rounding (RA 360.0 against RA 0.0 differ by 1e-14 deg in the haversine formula) and
lies far below the 1e-9 deg at which two correct implementations may disagree."""


def separation_deg(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> NDArray[np.float64]:
    """Return the angular separation in degrees (Vincenty's formula, stable at 0 and 180 deg).

    Parameters
    ----------
    ra1, dec1, ra2, dec2
        Degrees; scalars or arrays that broadcast together.

    Returns
    -------
    numpy.ndarray
        float64 of the broadcast shape, in [0, 180]; NaN where an argument is NaN.
    """
    lon = np.radians(np.subtract(ra2, ra1, dtype=np.float64))
    lat1, lat2 = np.radians(np.asarray(dec1, np.float64)), np.radians(np.asarray(dec2, np.float64))
    sin1, cos1, sin2, cos2 = np.sin(lat1), np.cos(lat1), np.sin(lat2), np.cos(lat2)
    across = np.hypot(cos2 * np.sin(lon), cos1 * sin2 - sin1 * cos2 * np.cos(lon))
    along = sin1 * sin2 + cos1 * cos2 * np.cos(lon)
    result: NDArray[np.float64] = np.degrees(np.arctan2(across, along))
    return result


def unit_vectors(ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.float64]:
    """Return unit vectors of shape ``(..., 3)`` for positions in degrees."""
    ra, dec = np.radians(np.asarray(ra_deg, np.float64)), np.radians(np.asarray(dec_deg, np.float64))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
