"""Random points and small steps on the sphere; degrees, ICRS unless said otherwise."""

import numpy as np

from sample_catalogs.survey.arrays import FloatArray

__all__ = [
    "galactic_to_icrs",
    "offset",
    "scatter",
    "tangent_plane",
    "uniform_in_box",
    "uniform_in_discs",
    "unit_vectors",
]

# Eq. 1.5.11 of "The Hipparcos and Tycho Catalogues" (ESA SP-1200, vol. 1): columns are the galactic axes in ICRS.
_ICRS_FROM_GALACTIC = np.array(
    [
        [-0.0548755604, +0.4941094279, -0.8676661490],
        [-0.8734370902, -0.4448296300, -0.1980763734],
        [-0.4838350155, +0.7469822445, +0.4559837762],
    ]
)


def unit_vectors(ra: FloatArray, dec: FloatArray) -> FloatArray:
    """Return the unit vectors of positions, shape ``(N, 3)``; a NaN coordinate gives NaN components."""
    ra_rad, dec_rad = np.radians(ra), np.radians(dec)
    cos_dec = np.cos(dec_rad)
    z = np.where(np.isnan(ra_rad), np.nan, np.sin(dec_rad))
    return np.stack([cos_dec * np.cos(ra_rad), cos_dec * np.sin(ra_rad), z], axis=-1)


def offset(ra: FloatArray, dec: FloatArray, dx: FloatArray, dy: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Move positions by small steps.

    Parameters
    ----------
    ra, dec
        Positions, degrees.
    dx, dy
        Steps to the east and to the north, degrees on the sky. Flat geometry: meant for steps of up to a few degrees.

    Returns
    -------
    tuple of numpy.ndarray
        Right ascension in [0, 360) and declination in [-90, 90]; a step over a pole stops there.
    """
    new_dec = np.clip(dec + dy, -90.0, 90.0)
    new_ra = (ra + dx / np.maximum(np.cos(np.radians(new_dec)), 1e-6)) % 360.0
    return np.where(new_ra >= 360.0, 0.0, new_ra), new_dec


def scatter(
    ra: FloatArray, dec: FloatArray, sigma_deg: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Move positions by normally distributed steps of the given width on each axis."""
    return offset(ra, dec, rng.normal(0, sigma_deg, len(ra)), rng.normal(0, sigma_deg, len(ra)))


def uniform_in_box(
    n: int, ra_range: tuple[float, float], dec_range: tuple[float, float], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw `n` points of equal density on the sky between two meridians and two parallels."""
    low, high = np.sin(np.radians(dec_range))
    return rng.uniform(*ra_range, n), np.degrees(np.arcsin(rng.uniform(low, high, n)))


def uniform_in_discs(
    ra: FloatArray, dec: FloatArray, radius_deg: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw one point of equal density within a small circle about each of the given positions."""
    angle = rng.uniform(0, 2 * np.pi, len(ra))
    distance = radius_deg * np.sqrt(rng.uniform(0, 1, len(ra)))
    return offset(ra, dec, distance * np.cos(angle), distance * np.sin(angle))


def galactic_to_icrs(lon: FloatArray, lat: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Convert galactic longitude and latitude to right ascension in [0, 360) and declination."""
    x, y, z = (unit_vectors(lon, lat) @ _ICRS_FROM_GALACTIC.T).T
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def tangent_plane(xyz: FloatArray, ra: float, dec: float) -> tuple[FloatArray, FloatArray]:
    """Project directions on the plane that touches the sphere at a position (gnomonic projection).

    Parameters
    ----------
    xyz
        Unit vectors within 90 degrees of the position, shape ``(N, 3)``.
    ra, dec
        The position, degrees.

    Returns
    -------
    tuple of numpy.ndarray
        Distances to the east and to the north of the position, degrees.
    """
    sin_ra, cos_ra = np.sin(np.radians(ra)), np.cos(np.radians(ra))
    sin_dec, cos_dec = np.sin(np.radians(dec)), np.cos(np.radians(dec))
    axes = np.array(
        [
            [-sin_ra, cos_ra, 0.0],
            [-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec],
            [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec],
        ]
    )
    east, north, depth = axes @ xyz.T
    return np.degrees(east / depth), np.degrees(north / depth)
