"""HEALPix indices: positions to order-29 NESTED pixels, pixels to index ranges.

All pixel arithmetic is hpgeom's; order-29 indices fit int64 (12 * 4**29 < 2**62).
"""

from typing import Final, NamedTuple

import hpgeom
import numpy as np
from numpy.typing import NDArray

__all__ = ["ORDER", "SKY_STOP", "Pixel", "index_centre", "order_shift", "pixel_range", "radec_to_index"]

ORDER: Final = 29
"""Order of the stored spatial index, the column ``_healpix_29``."""

SKY_STOP: Final = 12 << (2 * ORDER)
"""One past the largest order-29 index: the whole sky is ``[0, SKY_STOP)``."""

_SEAM_DEG: Final = 1e-12
"""At the last float below RA 360 and sin(Dec) = 2/3 or -2/3, hpgeom 1.6 (as healpy) returns a pixel 60 degrees off or
none of the sky; and it folds angles of many turns through radians. So RA is folded here; 4 nanoarcsec harm nobody."""


class Pixel(NamedTuple):
    """One cell of the NESTED HEALPix quadtree."""

    order: int
    """HEALPix order, 0 to 29 (``Norder`` in HATS)."""
    number: int
    """Pixel number at that order (``Npix`` in HATS)."""


def order_shift(order: int) -> int:
    """Return how many bits separate an index at `order` from one at order 29."""
    return 2 * (ORDER - order)


def pixel_range(pixel: Pixel) -> tuple[int, int]:
    """Return the half-open order-29 index range ``[start, stop)`` that `pixel` covers."""
    shift = order_shift(pixel.order)
    return pixel.number << shift, (pixel.number + 1) << shift


def index_centre(index: int) -> tuple[float, float]:
    """Return (RA, Dec) in degrees of the centre of an order-29 pixel; RA in [0, 360)."""
    ra, dec = hpgeom.pixel_to_angle(1 << ORDER, index)
    return float(ra), float(dec)


def radec_to_index(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the order-29 NESTED index of each position.

    Parameters
    ----------
    ra_deg, dec_deg
        ICRS positions in degrees, shape ``(N,)``. RA may lie outside [0, 360); it is folded.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(N,)``.

    Raises
    ------
    ValueError
        If a position is not finite or a declination lies outside [-90, 90]: HEALPix libraries
        return a valid-looking pixel for NaN, so callers must reject such rows first.
    """
    ra = np.asarray(ra_deg, dtype=np.float64)
    dec = np.asarray(dec_deg, dtype=np.float64)
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        msg = "positions must be finite; reject NaN and infinite positions before indexing"
        raise ValueError(msg)
    if ra.size == 0:
        return np.empty(0, dtype=np.int64)
    index: NDArray[np.int64] = hpgeom.angle_to_pixel(1 << ORDER, _folded(ra), dec)
    return index


def _folded(ra_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return right ascensions in [0, 360), those within `_SEAM_DEG` below 360 as 0."""
    last = 360.0 - _SEAM_DEG
    outside = ~((ra_deg >= 0) & (ra_deg < last))
    if not outside.any():
        return ra_deg
    folded = ra_deg % 360.0
    return np.where(folded < last, folded, 0.0)
