"""Bands, depths and the relation between flux and magnitude."""

import math

import numpy as np

from sample_catalogs.survey.arrays import FloatArray

__all__ = [
    "BANDS",
    "COADD_DEPTH_MAG",
    "MAG_PER_RELATIVE_ERROR",
    "NJY_ZERO_POINT_MAG",
    "PHYSICAL_FILTERS",
    "VISIT_DEPTH_MAG",
    "magnitude_error",
    "magnitude_to_njy",
    "njy_to_magnitude",
]

BANDS = ("u", "g", "r", "i", "z", "y")
"""The six bands, from blue to red."""

PHYSICAL_FILTERS = {"u": "u_24", "g": "g_6", "r": "r_57", "i": "i_39", "z": "z_20", "y": "y_10"}
"""Name of the piece of glass for each band."""

COADD_DEPTH_MAG = {"u": 25.6, "g": 27.0, "r": 27.1, "i": 26.5, "z": 25.8, "y": 24.9}
"""Magnitude of a point source at 5 sigma on the coadd."""

VISIT_DEPTH_MAG = {"u": 23.5, "g": 24.5, "r": 24.1, "i": 23.7, "z": 23.1, "y": 22.2}
"""Magnitude of a point source at 5 sigma on a single visit with 0.8 arcsec seeing."""

NJY_ZERO_POINT_MAG = 31.4
"""AB magnitude of 1 nJy (Oke & Gunn 1983, ApJ 266, 713)."""

MAG_PER_RELATIVE_ERROR = 2.5 / math.log(10)
"""Magnitudes per unit of relative flux error, to first order."""


def njy_to_magnitude(flux: FloatArray) -> FloatArray:
    """Convert fluxes in nJy to AB magnitudes; zero gives +inf, a negative flux or NaN gives NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return NJY_ZERO_POINT_MAG - 2.5 * np.log10(flux)


def magnitude_to_njy(magnitude: FloatArray | float) -> FloatArray:
    """Convert AB magnitudes to fluxes in nJy."""
    return np.asarray(10 ** ((NJY_ZERO_POINT_MAG - np.asarray(magnitude)) / 2.5))


def magnitude_error(flux: FloatArray, flux_error: FloatArray) -> FloatArray:
    """Return the error of the magnitude of a flux; inf for zero flux, NaN for a negative one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flux < 0, np.nan, MAG_PER_RELATIVE_ERROR * flux_error / flux)
