"""The tables Source, ForcedSource, DiaSource and DiaObject: measurements on single visits."""

import numpy as np
import pyarrow as pa

from sample_catalogs.survey.arrays import FloatArray, IntArray, Stream, random_stream
from sample_catalogs.survey.observation import Observation
from sample_catalogs.survey.population import ID_TRACT_SHIFT, Population
from sample_catalogs.survey.sphere import scatter
from sample_catalogs.survey.tables import to_table
from sample_catalogs.survey.variability import Variability
from sample_catalogs.survey.visits import SURVEY_MJD_RANGE

__all__ = ["DIA_BANDS", "DiaTally", "SourceTables"]

DIA_BANDS = ("g", "r", "i")
"""Bands in which DiaObject has mean fluxes."""

_DETECTION_SIGMA = 5.0
_POSITION_SCATTER_DEG = 0.08 / 3600
_NAN_SHAPE_FRACTION = 5e-3
_SOURCE_VISIT_SHIFT = 38
_SOURCE_TRACT_SHIFT = 24
_DIA_OBJECT_OFFSET = 1 << 38
_DIA_SOURCE_OFFSET = 1 << 39
_DIA_SOURCES_PER_VISIT = 1_000_000


class DiaTally:
    """Running sums over the difference-image detections of each object of a tract.

    Parameters
    ----------
    n_object
        Number of objects of the tract.
    """

    def __init__(self, n_object: int) -> None:
        self._n_sources = np.zeros(n_object, dtype=np.int64)
        self._flux_sum = {band: np.zeros(n_object) for band in DIA_BANDS}
        self._n_fluxes = {band: np.zeros(n_object) for band in DIA_BANDS}

    def add(self, band: str, index: IntArray, flux: FloatArray) -> None:
        """Count the detections of one visit; an object occurs at most once in `index`."""
        self._n_sources[index] += 1
        if band in DIA_BANDS:
            self._flux_sum[band][index] += flux
            self._n_fluxes[band][index] += 1

    def rows(self, population: Population, dia_object_id: IntArray, schema: pa.Schema) -> pa.Table:
        """Return the table DiaObject: one row for each object that was detected at least once."""
        detected = np.flatnonzero(self._n_sources)
        columns = {
            "diaObjectId": dia_object_id[detected],
            "ra": population.positions.ra[detected],
            "dec": population.positions.dec[detected],
            "nDiaSources": self._n_sources[detected],
            "radecMjdTai": np.full(len(detected), SURVEY_MJD_RANGE[1]),
        }
        for band in DIA_BANDS:
            count = self._n_fluxes[band][detected]
            mean = self._flux_sum[band][detected] / np.where(count > 0, count, np.nan)
            columns |= {f"{band}_psfFluxMean": mean, f"{band}_psfFluxNdata": count}
        return to_table(columns, schema)


class SourceTables:
    """Maker of the rows that visits contribute for one tract.

    Parameters
    ----------
    population
        The objects of the tract.
    variability
        How they vary.
    schemas
        Schema of each table.
    seed
        Seed of the survey.
    """

    def __init__(
        self, population: Population, variability: Variability, schemas: dict[str, pa.Schema], seed: int
    ) -> None:
        self._population = population
        self._is_variable = variability.is_variable
        self._schemas = schemas
        self._seed = seed
        self._tally = DiaTally(len(population))
        base = (population.tract << ID_TRACT_SHIFT) + _DIA_OBJECT_OFFSET
        self._dia_object_id = base + np.arange(len(population), dtype=np.int64)

    def measure(self, observation: Observation) -> dict[str, pa.Table]:
        """Return the rows of ForcedSource, Source and DiaSource that one observation gives."""
        exposure = observation.exposure
        rng = random_stream(self._seed, Stream.MEASUREMENT, self._population.tract, exposure.index)
        return {
            "ForcedSource": self._forced_rows(observation),
            "Source": self._source_rows(observation, rng),
            "DiaSource": self._dia_rows(observation, rng),
        }

    def dia_objects(self) -> pa.Table:
        """Return the table DiaObject of everything measured so far."""
        return self._tally.rows(self._population, self._dia_object_id, self._schemas["DiaObject"])

    def _forced_rows(self, observation: Observation) -> pa.Table:
        population, index = self._population, observation.index
        columns = {
            "objectId": population.object_id[index],
            "parentObjectId": population.parent_object_id[index],
            "coord_ra": population.positions.ra[index],
            "coord_dec": population.positions.dec[index],
            "visit": np.full(len(index), observation.exposure.visit),
            "detector": observation.detector,
            "band": pa.repeat(observation.exposure.band, len(index)),
            "psfFlux": np.where(observation.is_bad, np.nan, observation.flux),
            "psfFluxErr": np.where(observation.is_bad, np.nan, observation.error),
            "psfFlux_flag": observation.is_bad,
            "psfDiffFlux": observation.difference,
            "psfDiffFluxErr": observation.error,
            "detect_isPrimary": population.is_primary[index],
            "tract": np.full(len(index), population.tract),
            "patch": population.positions.patch[index],
        }
        return to_table(columns, self._schemas["ForcedSource"])

    def _source_rows(self, observation: Observation, rng: np.random.Generator) -> pa.Table:
        """Detect what stands out on the visit by itself; identifiers are coded by visit, like the real ones."""
        population, exposure = self._population, observation.exposure
        found = np.flatnonzero(observation.flux > _DETECTION_SIGMA * observation.error)
        index, n = observation.index[found], len(found)
        ra, dec = scatter(population.positions.ra[index], population.positions.dec[index], _POSITION_SCATTER_DEG, rng)
        flux, error = observation.flux[found], observation.error[found]
        has_shape = rng.uniform(0, 1, n) > _NAN_SHAPE_FRACTION
        first_id = (exposure.index << _SOURCE_VISIT_SHIFT) + (population.tract << _SOURCE_TRACT_SHIFT)
        columns = {
            "sourceId": first_id + np.arange(n, dtype=np.int64),
            "visit": np.full(n, exposure.visit),
            "detector": observation.detector[found],
            "band": pa.repeat(exposure.band, n),
            "ra": ra,
            "dec": dec,
            "coord_ra": ra,
            "coord_dec": dec,
            "x": observation.x[found],
            "y": observation.y[found],
            "psfFlux": flux,
            "psfFluxErr": error,
            "ap12Flux": flux * 1.02,
            "ap12FluxErr": error * 1.3,
            "extendedness": np.where(has_shape, population.is_galaxy[index], np.nan),
            "ixx": np.where(has_shape, rng.uniform(1, 6, n), np.nan),
            "iyy": np.where(has_shape, rng.uniform(1, 6, n), np.nan),
            "ixy": np.where(has_shape, rng.normal(0, 0.3, n), np.nan),
            "psfFlux_flag": observation.is_bad[found],
            "pixelFlags_saturated": rng.uniform(0, 1, n) < 0.003,
            "calib_photometry_used": rng.uniform(0, 1, n) < 0.01,
        }
        return to_table(columns, self._schemas["Source"])

    def _dia_rows(self, observation: Observation, rng: np.random.Generator) -> pa.Table:
        """Detect variable objects that differ from their mean, and add them to the tally."""
        population, exposure = self._population, observation.exposure
        significance = np.abs(observation.difference) / observation.error
        found = np.flatnonzero(self._is_variable[observation.index] & (significance > _DETECTION_SIGMA))
        index, n = observation.index[found], len(found)
        self._tally.add(exposure.band, index, observation.difference[found])
        ra, dec = scatter(population.positions.ra[index], population.positions.dec[index], _POSITION_SCATTER_DEG, rng)
        first_id = (population.tract << ID_TRACT_SHIFT) + _DIA_SOURCE_OFFSET + exposure.index * _DIA_SOURCES_PER_VISIT
        columns = {
            "diaSourceId": first_id + np.arange(n, dtype=np.int64),
            "diaObjectId": self._dia_object_id[index],
            "ssObjectId": np.zeros(n),
            "visit": np.full(n, exposure.visit),
            "detector": observation.detector[found],
            "band": pa.repeat(exposure.band, n),
            "midpointMjdTai": np.full(n, exposure.mjd),
            "ra": ra,
            "dec": dec,
            "psfFlux": observation.difference[found],
            "psfFluxErr": observation.error[found],
            "scienceFlux": observation.flux[found],
            "scienceFluxErr": observation.error[found],
            "snr": significance[found],
            "reliability": rng.beta(5, 2, n),
            "isDipole": rng.uniform(0, 1, n) < 0.02,
            "extendedness": population.is_galaxy[index].astype(np.float64),
        }
        return to_table(columns, self._schemas["DiaSource"])
