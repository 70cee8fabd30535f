"""Visits: when the telescope looked where, through which filter, and how deep."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sample_catalogs.survey.arrays import FloatArray, IntArray, Stream, random_stream
from sample_catalogs.survey.config import SurveyConfig
from sample_catalogs.survey.footprint import EDGE_TRACT, Tract
from sample_catalogs.survey.photometry import BANDS, PHYSICAL_FILTERS, VISIT_DEPTH_MAG
from sample_catalogs.survey.tables import to_table

__all__ = ["N_EDGE_VISITS", "SURVEY_MJD_RANGE", "Exposure", "draw_visits", "visit_rows"]

SURVEY_MJD_RANGE = (60600.0, 62426.0)
"""First and last night of the survey: five years."""

N_EDGE_VISITS = 8
"""Visits of the edge tract, two for each of its pointings, after the end of the survey proper."""

_BAND_SHARES = (0.07, 0.11, 0.22, 0.22, 0.20, 0.18)
_EXPOSURE_S = 30.0
_UNIX_EPOCH_MJD = 40587
_SECONDS_PER_DAY = 86400
_REFERENCE_SEEING_ARCSEC = 0.8


@dataclass(frozen=True, slots=True)
class Exposure:
    """One visit."""

    index: int
    """Position in the list of visits."""

    visit: int
    """Number of the visit: date, then a running number within the night."""

    band: str
    """One of `BANDS`."""

    ra: float
    """Right ascension of the optical axis, degrees."""

    dec: float
    """Declination of the optical axis, degrees."""

    rotation_deg: float
    """Position angle of the camera on the sky."""

    mjd: float
    """Middle of the exposure, MJD TAI."""

    azimuth_deg: float
    """Azimuth of the telescope."""

    altitude_deg: float
    """Altitude of the telescope."""

    airmass: float
    """Airmass of a plane-parallel atmosphere."""

    seeing_arcsec: float
    """Full width at half maximum of the point spread function."""

    @property
    def depth_mag(self) -> float:
        """Magnitude of a point source at 5 sigma: worse seeing is shallower."""
        return float(VISIT_DEPTH_MAG[self.band] - 2.5 * np.log10(self.seeing_arcsec / _REFERENCE_SEEING_ARCSEC))


@dataclass(frozen=True, slots=True, eq=False)
class _Schedule:
    """Where, when and in which band to observe; every array has shape ``(V,)``, in time order."""

    ra: FloatArray
    dec: FloatArray
    mjd: FloatArray
    band: list[str]


def _main_schedule(config: SurveyConfig, tracts: list[Tract]) -> _Schedule:
    """Draw the visits of the survey proper, each of a tract chosen at random."""
    rng, n = random_stream(config.seed, Stream.VISITS), config.n_visit
    chosen = rng.integers(0, len(tracts), n)
    ra, dec = np.empty(n), np.empty(n)
    for k, tract in enumerate(tracts):
        here = np.flatnonzero(chosen == k)
        ra[here], dec[here] = tract.shape.pointings(len(here), rng)
    mjd = np.sort(rng.uniform(*SURVEY_MJD_RANGE, n))
    return _Schedule(ra, dec, mjd, rng.choice(BANDS, n, p=_BAND_SHARES).tolist())


def _edge_schedule(config: SurveyConfig, tract: Tract) -> _Schedule:
    """Return the visits of the edge tract, one a minute on the night after the survey."""
    ra, dec = tract.shape.pointings(N_EDGE_VISITS, random_stream(config.seed, Stream.VISITS, EDGE_TRACT))
    mjd = SURVEY_MJD_RANGE[1] + 1 + np.arange(N_EDGE_VISITS) / 1440
    return _Schedule(ra, dec, mjd, np.resize(("g", "r", "i"), N_EDGE_VISITS).tolist())


def _visit_numbers(mjd: FloatArray) -> IntArray:
    """Return the numbers of visits in time order: year, month and day of the night, then a five-digit count."""
    night = np.floor(mjd).astype(np.int64)
    first_of_night = np.searchsorted(night, night)
    date = (night - _UNIX_EPOCH_MJD).astype("datetime64[D]")
    year, month = date.astype("datetime64[Y]"), date.astype("datetime64[M]")
    yyyy = year.astype(np.int64) + 1970
    mm = (month - year).astype(np.int64) + 1
    dd = (date - month).astype(np.int64) + 1
    return np.asarray(((yyyy * 100 + mm) * 100 + dd) * 100_000 + np.arange(len(mjd)) - first_of_night)


def draw_visits(config: SurveyConfig, tracts: list[Tract]) -> list[Exposure]:
    """Draw every visit of the survey, in time order.

    Parameters
    ----------
    config
        What to generate.
    tracts
        Every tract of the survey. The visits of the edge tract, if it is among them, come last.
    """
    schedules = [_main_schedule(config, [tract for tract in tracts if tract.number != EDGE_TRACT])]
    schedules += [_edge_schedule(config, tract) for tract in tracts if tract.number == EDGE_TRACT]
    return [
        exposure
        for number, schedule in enumerate(schedules)
        for exposure in _expose(
            schedule,
            first_index=number * config.n_visit,
            rng=random_stream(config.seed, Stream.CONDITIONS, number),
        )
    ]


def _expose(schedule: _Schedule, first_index: int, rng: np.random.Generator) -> list[Exposure]:
    """Draw the conditions of the visits of a schedule."""
    n = len(schedule.mjd)
    altitude = rng.uniform(35, 88, n)
    airmass = 1 / np.sin(np.radians(altitude))
    seeing = rng.lognormal(np.log(0.75), 0.15, n) * airmass**0.6
    azimuth, rotation = rng.uniform(0, 360, n), rng.uniform(0, 360, n)
    visit = _visit_numbers(schedule.mjd)
    return [
        Exposure(
            index=first_index + k,
            visit=int(visit[k]),
            band=schedule.band[k],
            ra=float(schedule.ra[k]),
            dec=float(schedule.dec[k]),
            rotation_deg=float(rotation[k]),
            mjd=float(schedule.mjd[k]),
            azimuth_deg=float(azimuth[k]),
            altitude_deg=float(altitude[k]),
            airmass=float(airmass[k]),
            seeing_arcsec=float(seeing[k]),
        )
        for k in range(n)
    ]


def _timestamps(mjd: FloatArray) -> pa.Array:
    """Convert MJD to timestamps, rounded to microseconds."""
    microseconds = np.round((mjd - _UNIX_EPOCH_MJD) * _SECONDS_PER_DAY * 1e6).astype(np.int64)
    return pa.array(microseconds, pa.timestamp("us"))


def visit_rows(exposures: list[Exposure], schema: pa.Schema) -> pa.Table:
    """Return the table Visit."""
    mjd = np.array([exposure.mjd for exposure in exposures])
    start = mjd - _EXPOSURE_S / 2 / _SECONDS_PER_DAY
    columns = {
        "visit": [exposure.visit for exposure in exposures],
        "physical_filter": [PHYSICAL_FILTERS[exposure.band] for exposure in exposures],
        "band": [exposure.band for exposure in exposures],
        "ra": [exposure.ra for exposure in exposures],
        "dec": [exposure.dec for exposure in exposures],
        "skyRotation": [exposure.rotation_deg for exposure in exposures],
        "azimuth": [exposure.azimuth_deg for exposure in exposures],
        "altitude": [exposure.altitude_deg for exposure in exposures],
        "zenithDistance": [90 - exposure.altitude_deg for exposure in exposures],
        "airmass": [exposure.airmass for exposure in exposures],
        "seeing": [exposure.seeing_arcsec for exposure in exposures],
        "expTime": np.full(len(exposures), _EXPOSURE_S),
        "expMidptMJD": mjd,
        "obsStartMJD": start,
        "expMidpt": _timestamps(mjd),
        "obsStart": _timestamps(start),
    }
    return to_table(columns, schema)
