"""The true sky of a tract: objects with their kind, redshift, size and noiseless brightness."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sample_catalogs.survey.arrays import BoolArray, FloatArray, IntArray, Stream, random_stream
from sample_catalogs.survey.footprint import Tract
from sample_catalogs.survey.photometry import magnitude_to_njy
from sample_catalogs.survey.shapes import Positions
from sample_catalogs.survey.sphere import unit_vectors

__all__ = ["ID_TRACT_SHIFT", "Population", "draw_population"]

ID_TRACT_SHIFT = 40
"""Identifiers of a tract start at its number shifted by this many bits."""

_ID_STEP = 7  # Leaves gaps, so that an identifier beside an object's never exists.
_CHILD_FRACTION = 0.35
_PRIMARY_FRACTION = 0.85


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """The objects of one tract; every array has shape ``(N,)`` unless said otherwise."""

    tract: int
    """Number of the tract."""

    positions: Positions
    """Where they are."""

    xyz: FloatArray
    """Their unit vectors, shape ``(N, 3)``."""

    object_id: IntArray
    """Identifiers: ascending, unique in the survey."""

    parent_object_id: IntArray
    """Identifier of the blend that the object was taken out of, 0 for none. Blends are not in the table."""

    is_primary: BoolArray
    """Whether the object is the best measurement of what it measures."""

    is_galaxy: BoolArray
    """Whether it is a galaxy; otherwise it is a star."""

    redshift: FloatArray
    """Redshift, 0 for stars."""

    size_arcsec: FloatArray
    """Radius of the image before seeing, 0 for stars."""

    mag_i: FloatArray
    """Magnitude in the i band."""

    flux: Mapping[str, FloatArray]
    """Flux in each band, nJy."""

    def __len__(self) -> int:
        return len(self.object_id)


def draw_population(tract: Tract, seed: int) -> Population:
    """Draw the objects of a tract.

    Parameters
    ----------
    tract
        The tract.
    seed
        Seed of the survey.
    """
    rng = random_stream(seed, Stream.POPULATION, tract.number)
    positions = tract.shape.draw(tract.n_object, rng)
    n = len(positions.ra)
    object_id = (tract.number << ID_TRACT_SHIFT) + np.arange(n, dtype=np.int64) * _ID_STEP + 1
    is_galaxy = (rng.uniform(0, 1, n) < tract.galaxy_fraction) | (positions.cluster >= 0)
    redshift = _draw_redshift(positions, is_galaxy, rng)
    mag_i = _draw_magnitude(positions, is_galaxy, redshift, rng)
    colour = _draw_colour(positions, is_galaxy, redshift, mag_i, rng)
    size = np.where(is_galaxy, 0.2 + 0.8 * rng.gamma(2, 0.25, n) * 10 ** (-0.1 * (mag_i - 22)), 0.0)
    return Population(
        tract=tract.number,
        positions=positions,
        xyz=unit_vectors(positions.ra, positions.dec),
        object_id=object_id,
        parent_object_id=np.where(rng.uniform(0, 1, n) < _CHILD_FRACTION, object_id - 1, 0),
        is_primary=rng.uniform(0, 1, n) < _PRIMARY_FRACTION,
        is_galaxy=is_galaxy,
        redshift=redshift,
        size_arcsec=size,
        mag_i=mag_i,
        flux=_band_fluxes(mag_i, colour),
    )


def _draw_redshift(positions: Positions, is_galaxy: BoolArray, rng: np.random.Generator) -> FloatArray:
    """Draw redshifts: a broad distribution for field galaxies, one value a cluster."""
    n = len(positions.ra)
    in_cluster = positions.cluster >= 0
    cluster_redshift = rng.uniform(0.1, 0.9, positions.cluster.max(initial=0) + 1)
    member_redshift = cluster_redshift[np.maximum(positions.cluster, 0)] + rng.normal(0, 0.004, n)
    field_redshift = np.clip(rng.gamma(3.0, 0.30, n), 0.01, 3)
    return np.where(in_cluster, member_redshift, np.where(is_galaxy, field_redshift, 0.0))


def _draw_magnitude(
    positions: Positions, is_galaxy: BoolArray, redshift: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Draw i magnitudes: counts go as 10^(0.33 m) for galaxies, 10^(0.22 m) for stars; clusters are brighter."""
    n = len(redshift)
    galaxy = 26.6 + np.log10(rng.uniform(1e-4, 1, n)) / 0.33
    star = 26.0 + np.log10(rng.uniform(1e-5, 1, n)) / 0.22
    member = np.clip(17.5 + 5 * redshift + 2.5 * rng.gamma(2, 0.55, n), 15, 26)
    return np.where(positions.cluster >= 0, member, np.clip(np.where(is_galaxy, galaxy, star), 14, 26.8))


def _draw_colour(
    positions: Positions, is_galaxy: BoolArray, redshift: FloatArray, mag_i: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Draw the colour g - i: by redshift for galaxies, two humps for stars, a tight red sequence for clusters."""
    n = len(redshift)
    galaxy = 0.3 + 1.5 * np.exp(-(((redshift - 0.45) / 0.4) ** 2)) + rng.normal(0, 0.3, n)
    star = rng.choice([0.35, 2.1], n, p=[0.45, 0.55]) + rng.normal(0, 0.25, n)
    member = 0.9 + 1.9 * redshift - 0.02 * (mag_i - 20) + rng.normal(0, 0.04, n)
    return np.where(positions.cluster >= 0, member, np.where(is_galaxy, galaxy, star))


def _band_fluxes(mag_i: FloatArray, g_minus_i: FloatArray) -> dict[str, FloatArray]:
    """Derive the flux in each band, nJy, from the i magnitude and one colour."""
    relative_to_i = {
        "u": 1.6 + 0.5 * g_minus_i,
        "g": g_minus_i,
        "r": 0.45 * g_minus_i,
        "i": np.zeros_like(g_minus_i),
        "z": -0.18 * g_minus_i,
        "y": -0.26 * g_minus_i,
    }
    return {band: magnitude_to_njy(mag_i + difference) for band, difference in relative_to_i.items()}
