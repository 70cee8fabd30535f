"""The tables TruthSummary and MatchesTruth: what is really there, and which object found it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sample_catalogs.survey.arrays import BoolArray, FloatArray, IntArray
from sample_catalogs.survey.photometry import BANDS, magnitude_to_njy, njy_to_magnitude
from sample_catalogs.survey.population import Population
from sample_catalogs.survey.sphere import scatter
from sample_catalogs.survey.tables import to_table

__all__ = ["GALAXY", "STAR", "Truth", "draw_truth", "match_rows", "truth_rows"]

GALAXY, STAR = 1, 2
"""Values of ``truth_type``."""

_SPURIOUS_FRACTION = 0.01
_MISSED_FRACTION = 0.15
_POSITION_SCATTER_DEG = 0.03 / 3600
_MISSED_MAG_RANGE = (26.5, 29.0)
_MISSED_OFFSET_DEG = 0.02
_IDS_PER_TRACT = 10_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Truth of one tract: first what was found, in the order of the objects, then the fainter rest."""

    identifier: pa.Array
    """Text key: a number, an underscore, the type; shape ``(N,)``."""

    found: BoolArray
    """Whether an object is real, shape ``(number of objects,)``; the first rows of the truth are the real ones."""

    ra: FloatArray
    """Right ascension, degrees, shape ``(N,)``."""

    dec: FloatArray
    """Declination, degrees, shape ``(N,)``."""

    redshift: FloatArray
    """Redshift, shape ``(N,)``."""

    type: IntArray
    """`GALAXY` or `STAR`, shape ``(N,)``."""

    flux: dict[str, FloatArray]
    """Flux in each band, nJy, shape ``(N,)``."""


def draw_truth(population: Population, rng: np.random.Generator) -> Truth:
    """Draw the truth of a tract: its objects without the spurious ones, and what the survey missed."""
    found = rng.uniform(0, 1, len(population)) > _SPURIOUS_FRACTION
    positions, n_missed = population.positions, int(_MISSED_FRACTION * len(population))
    found_ra, found_dec = scatter(positions.ra[found], positions.dec[found], _POSITION_SCATTER_DEG, rng)
    host = rng.integers(0, max(1, len(population)), n_missed)
    missed_ra, missed_dec = scatter(positions.ra[host], positions.dec[host], _MISSED_OFFSET_DEG, rng)
    found_type = np.where(population.is_galaxy[found], GALAXY, STAR)
    type_ = np.concatenate([found_type, np.full(n_missed, GALAXY)])
    return Truth(
        identifier=_identifiers(population.tract, type_),
        found=found,
        ra=np.concatenate([found_ra, missed_ra]),
        dec=np.concatenate([found_dec, missed_dec]),
        redshift=np.concatenate([population.redshift[found], rng.gamma(3, 0.3, n_missed)]),
        type=type_,
        flux={
            band: np.concatenate(
                [population.flux[band][found], magnitude_to_njy(rng.uniform(*_MISSED_MAG_RANGE, n_missed))]
            )
            for band in BANDS
        },
    )


def _identifiers(tract: int, type_: IntArray) -> pa.Array:
    number = pa.array(tract * _IDS_PER_TRACT + np.arange(len(type_)))
    return pc.binary_join_element_wise(number.cast(pa.string()), pa.array(type_).cast(pa.string()), "_")


def truth_rows(truth: Truth, schema: pa.Schema) -> pa.Table:
    """Return the table TruthSummary."""
    columns = {
        "id_truth_type": truth.identifier,
        "ra": truth.ra,
        "dec": truth.dec,
        "redshift": truth.redshift,
        "is_pointsource": truth.type == STAR,
        "truth_type": truth.type,
        "mag_r": njy_to_magnitude(truth.flux["r"]),
    }
    return to_table(columns | {f"flux_{band}": flux for band, flux in truth.flux.items()}, schema)


def match_rows(truth: Truth, population: Population, schema: pa.Schema, rng: np.random.Generator) -> pa.Table:
    """Return the table MatchesTruth: one row for each object that is real."""
    n = int(truth.found.sum())
    columns = {
        "id_truth_type": truth.identifier[:n],
        "match_objectId": population.object_id[truth.found],
        "match_candidate": rng.uniform(0, 1, n) < 0.98,
        "match_count": np.ones(n),
        "match_chisq": rng.chisquare(6, n),
    }
    return to_table(columns, schema)
