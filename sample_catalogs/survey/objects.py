"""The table Object: what the pipeline measures on the coadds."""

from typing import Any

import numpy as np
import pyarrow as pa

from sample_catalogs.survey.arrays import BoolArray, FloatArray, Stream, random_stream
from sample_catalogs.survey.photometry import (
    BANDS,
    COADD_DEPTH_MAG,
    magnitude_error,
    magnitude_to_njy,
    njy_to_magnitude,
)
from sample_catalogs.survey.population import Population
from sample_catalogs.survey.tables import padding_fields, to_table

__all__ = ["object_rows"]

_COVERAGE = {"u": 0.86, "g": 0.97, "r": 0.99, "i": 0.995, "z": 0.97, "y": 0.93}
"""Fraction of the objects that were observed in each band; the others have NaN there."""

_NULL_REF_BAND_FRACTION = 2e-3
_NAN_EXTENDEDNESS_FRACTION = 4e-3
_FLAGGED_FRACTION = 4e-3
_ZERO_FLUX_FRACTION = 1e-3  # A model fit that collapsed: flux exactly 0, so that the magnitude is +inf.


def object_rows(population: Population, schema: pa.Schema, *, padding_columns: int, seed: int) -> pa.Table:
    """Measure the objects of a tract.

    Parameters
    ----------
    population
        The true sky.
    schema
        Columns of Object, padding included.
    padding_columns
        Number of padding columns.
    seed
        Seed of the survey.
    """
    rng = random_stream(seed, Stream.PHOTOMETRY, population.tract)
    extendedness = _measure_extendedness(population, rng)
    columns = _identity_columns(population) | _measured_columns(population, rng)
    columns |= {"refExtendedness": extendedness, "refBand": _draw_ref_band(len(population), rng)}
    covered: dict[str, BoolArray] = {}
    for band in BANDS:
        covered[band] = rng.uniform(0, 1, len(population)) < _COVERAGE[band]
        columns |= _band_columns(population, band, covered[band], rng)
        columns[f"{band}_extendedness"] = np.where(covered[band], extendedness, np.nan)
    columns |= _padding(padding_columns, covered, random_stream(seed, Stream.PADDING, population.tract))
    return to_table(columns, schema)


def _identity_columns(population: Population) -> dict[str, Any]:
    return {
        "objectId": population.object_id,
        "parentObjectId": population.parent_object_id,
        "tract": np.full(len(population), population.tract),
        "patch": population.positions.patch,
        "coord_ra": population.positions.ra,
        "coord_dec": population.positions.dec,
        "detect_isPrimary": population.is_primary,
    }


def _measured_columns(population: Population, rng: np.random.Generator) -> dict[str, Any]:
    """Return the columns that belong to no band."""
    n, size = len(population), population.size_arcsec
    position_error = 1e-6 + 0.02 / 3600 * 10 ** (0.2 * (population.mag_i - 24))
    return {
        "coord_raErr": position_error,
        "coord_decErr": position_error * rng.uniform(0.9, 1.1, n),
        "ebv": 0.02 + 0.02 * rng.gamma(2, 0.5, n),
        "deblend_nChild": np.where(rng.uniform(0, 1, n) < 0.1, rng.integers(2, 9, n), 0),
        "shape_xx": 0.3 + size**2,
        "shape_yy": 0.3 + size**2 * rng.uniform(0.6, 1.4, n),
        "shape_xy": 0.1 * size * rng.normal(0, 1, n),
    }


def _measure_extendedness(population: Population, rng: np.random.Generator) -> FloatArray:
    """Tell galaxies (1) from stars (0): by chance for faint objects, NaN where the measurement failed."""
    n = len(population)
    is_guess = rng.uniform(0, 1, n) < 1 / (1 + np.exp(25 - population.mag_i))
    extendedness = np.where(is_guess, rng.integers(0, 2, n), population.is_galaxy).astype(np.float64)
    extendedness[rng.uniform(0, 1, n) < _NAN_EXTENDEDNESS_FRACTION] = np.nan
    return extendedness


def _draw_ref_band(n: int, rng: np.random.Generator) -> pa.Array:
    """Draw the band in which each object was found; a few are NULL."""
    bands = rng.choice(["i", "r", "z", "g", "y", "u"], n, p=[0.8, 0.12, 0.04, 0.03, 0.008, 0.002])
    return pa.array(bands, mask=rng.uniform(0, 1, n) < _NULL_REF_BAND_FRACTION)


def _band_columns(
    population: Population, band: str, covered: BoolArray, rng: np.random.Generator
) -> dict[str, FloatArray | BoolArray]:
    """Return the fluxes, magnitudes and flags of one band; NaN where the band does not cover the object."""
    n = len(population)
    sky_noise = magnitude_to_njy(COADD_DEPTH_MAG[band]) / 5
    true_flux = population.flux[band]
    noise = rng.standard_normal(n) * sky_noise
    error = np.hypot(sky_noise, 0.003 * true_flux)
    psf_flux = true_flux * np.exp(-0.35 * population.size_arcsec) + noise
    collapsed = rng.uniform(0, 1, n) < _ZERO_FLUX_FRACTION
    model_flux = np.where(collapsed, 0.0, true_flux + 1.2 * noise)
    flagged = ~covered | (rng.uniform(0, 1, n) < _FLAGGED_FRACTION)
    measured = _flux_columns(f"{band}_psf", psf_flux, error) | _flux_columns(f"{band}_cModel", model_flux, 1.2 * error)
    columns: dict[str, FloatArray | BoolArray] = {
        name: np.where(covered, values, np.nan) for name, values in measured.items()
    }
    return columns | {f"{band}_psfFlux_flag": flagged, f"{band}_cModel_flag": flagged | collapsed}


def _flux_columns(prefix: str, flux: FloatArray, error: FloatArray) -> dict[str, FloatArray]:
    return {
        f"{prefix}Flux": flux,
        f"{prefix}FluxErr": error,
        f"{prefix}Mag": njy_to_magnitude(flux),
        f"{prefix}MagErr": magnitude_error(flux, error),
    }


def _padding(count: int, covered: dict[str, BoolArray], rng: np.random.Generator) -> dict[str, Any]:
    """Return padding columns; the floats are NaN where their band does not cover the object."""
    columns: dict[str, Any] = {}
    for field in padding_fields(count):
        observed = covered[field.name[0]]
        if field.type == pa.bool_():
            columns[field.name] = rng.random(len(observed), dtype=np.float32) < 0.02
        else:
            values = rng.standard_normal(len(observed), dtype=np.float32)
            values[~observed] = np.nan
            columns[field.name] = values
    return columns
