"""Footprints: the tracts of a survey.

A tract is the unit of work and of output files. What one holds depends on the seed and its number only, once the
configuration has settled its shape and its number of objects.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from sample_catalogs.exceptions import SurveyConfigError
from sample_catalogs.survey.arrays import Stream, random_stream
from sample_catalogs.survey.camera import COMCAM, LSSTCAM, Camera
from sample_catalogs.survey.config import SurveyConfig
from sample_catalogs.survey.shapes import Box, Disc, EdgePoints, GalacticStrip, GlobularCluster, Shape, edge_points

__all__ = ["EDGE_TRACT", "Tract", "make_tracts", "select_tracts", "survey_camera"]

EDGE_TRACT = 9999
"""Number of the tract of awkward positions."""

_DC2_RA_RANGE = (51.6, 73.8)
_DC2_DEC_RANGE = (-44.4, -27.2)
_STRIP_CENTRE = (62.0, -37.0)
_TRACT_WIDTH_DEG = 1.6
_N_GALACTIC_STRIPS = 64


@dataclass(frozen=True, slots=True)
class Tract:
    """A part of the survey."""

    number: int
    """Number of the tract."""

    shape: Shape
    """Where its objects are."""

    n_object: int
    """Number of objects, before those behind bright stars are taken out."""

    galaxy_fraction: float
    """Fraction of the objects that are galaxies."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the seven fields of DP1."""

    disc: Disc
    weight: float
    galaxy_fraction: float


_DP1_RADIUS_DEG = 0.85
_DP1_FIELDS = (
    _Field(Disc(6.128, -72.090, _DP1_RADIUS_DEG, GlobularCluster(6.0224, -72.0815, 0.01)), 3.0, 0.2),  # 47 Tuc
    _Field(Disc(53.16, -28.10, _DP1_RADIUS_DEG), 2.2, 0.85),  # Extended Chandra Deep Field South
    _Field(Disc(59.15, -48.73, _DP1_RADIUS_DEG), 1.6, 0.85),  # Euclid Deep Field South
    _Field(Disc(40.08, -34.45, _DP1_RADIUS_DEG), 1.3, 0.85),  # Fornax dwarf galaxy
    _Field(Disc(95.04, -25.00, _DP1_RADIUS_DEG), 1.3, 0.85),  # low galactic latitude
    _Field(Disc(37.98, 7.015, _DP1_RADIUS_DEG), 1.0, 0.85),  # low ecliptic latitude
    _Field(Disc(106.30, -10.51, _DP1_RADIUS_DEG), 2.0, 0.2),  # Seagull nebula
)


def _box_tracts(
    n_object: int, ra_range: tuple[float, float], dec_range: tuple[float, float], rng: np.random.Generator
) -> list[Tract]:
    """Cut a box into tracts of about 1.6 degrees with slightly different densities."""
    width = (ra_range[1] - ra_range[0]) * np.cos(np.radians(35))
    n_column = max(1, round(width / _TRACT_WIDTH_DEG))
    n_row = max(1, round((dec_range[1] - dec_range[0]) / _TRACT_WIDTH_DEG))
    ra_edges, dec_edges = np.linspace(*ra_range, n_column + 1), np.linspace(*dec_range, n_row + 1)
    row_area = np.diff(np.sin(np.radians(dec_edges)))
    weight = np.repeat(row_area, n_column) * rng.lognormal(0, 0.12, n_row * n_column)
    counts = np.round(n_object * weight / weight.sum()).astype(int).tolist()
    boxes = [
        Box((float(ra_edges[i]), float(ra_edges[i + 1])), (float(dec_edges[j]), float(dec_edges[j + 1])))
        for j in range(n_row)
        for i in range(n_column)
    ]
    return [Tract(2700 + k, box, n, 0.9) for k, (box, n) in enumerate(zip(boxes, counts, strict=True))]


def _strip_tracts(config: SurveyConfig, rng: np.random.Generator) -> list[Tract]:
    """Make a box of the wanted density, square on the sky."""
    half = float(np.sqrt(config.n_object / config.objects_per_deg2)) / 2
    ra, dec = _STRIP_CENTRE
    half_ra = half / float(np.cos(np.radians(dec)))
    return _box_tracts(config.n_object, (ra - half_ra, ra + half_ra), (dec - half, dec + half), rng)


def _dp1_tracts(config: SurveyConfig) -> list[Tract]:
    total = sum(field.weight for field in _DP1_FIELDS)
    return [
        Tract(5000 + k, field.disc, round(config.n_object * field.weight / total), field.galaxy_fraction)
        for k, field in enumerate(_DP1_FIELDS)
    ]


def _allsky_tracts(config: SurveyConfig) -> list[Tract]:
    longitudes = np.linspace(0, 360, _N_GALACTIC_STRIPS + 1).tolist()
    strips = [GalacticStrip((low, high)) for low, high in itertools.pairwise(longitudes)]
    n_object, rest = divmod(config.n_object, len(strips))
    return [Tract(9000 + k, strip, n_object + (k < rest), 0.02) for k, strip in enumerate(strips)]


def make_tracts(config: SurveyConfig) -> list[Tract]:
    """Return every tract of the survey, the edge tract last where there is one.

    Parameters
    ----------
    config
        What to generate. The footprint is one of

        ``dc2``
            RA 51.6..73.8, Dec -44.4..-27.2; the density follows from the number of objects.
        ``dc2strip``
            A square centred on (62, -37); its size follows from the number of objects and the density.
        ``dp1``
            Seven fields of 0.85 degrees radius, one of them with a globular cluster.
        ``allsky``
            64 strips of galactic longitude with a disc, a halo and a bulge, and the edge tract.
    """
    rng = random_stream(config.seed, Stream.FOOTPRINT)
    match config.footprint:
        case "dc2":
            tracts = _box_tracts(config.n_object, _DC2_RA_RANGE, _DC2_DEC_RANGE, rng)
        case "dc2strip":
            tracts = _strip_tracts(config, rng)
        case "dp1":
            tracts = _dp1_tracts(config)
        case "allsky":
            tracts = _allsky_tracts(config)
    edge = [Tract(EDGE_TRACT, EdgePoints(), len(edge_points()), 0.5)] if config.has_edge_tract else []
    return tracts + edge


def select_tracts(config: SurveyConfig, tracts: list[Tract]) -> list[Tract]:
    """Return the tracts that the configuration asks for.

    Raises
    ------
    SurveyConfigError
        If it asks for a tract that the footprint does not have.
    """
    if config.tracts is None:
        return tracts
    unknown = set(config.tracts) - {tract.number for tract in tracts}
    if unknown:
        raise SurveyConfigError(
            f"the footprint {config.footprint} has no tract {min(unknown)}; "
            f"it has {tracts[0].number} to {tracts[-1].number}."
        )
    return [tract for tract in tracts if tract.number in config.tracts]


def survey_camera(config: SurveyConfig) -> Camera:
    """Return the camera of the survey: the commissioning camera for DP1, the main camera for the others."""
    return COMCAM if config.footprint == "dp1" else LSSTCAM
