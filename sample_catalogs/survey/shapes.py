"""Shapes of tracts: how objects are strewn over them and where the telescope points."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sample_catalogs.survey.arrays import BoolArray, FloatArray, IntArray
from sample_catalogs.survey.sphere import galactic_to_icrs, offset, uniform_in_box, uniform_in_discs

__all__ = ["Box", "Disc", "EdgePoints", "GalacticStrip", "GlobularCluster", "Positions", "Shape", "edge_points"]


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """Where the objects of a tract are."""

    ra: FloatArray
    """Right ascension, degrees, shape ``(N,)``."""

    dec: FloatArray
    """Declination, degrees, shape ``(N,)``."""

    patch: IntArray
    """Number of the patch of the tract, shape ``(N,)``, ascending."""

    cluster: IntArray
    """Number of the galaxy cluster that the object belongs to, -1 for none, shape ``(N,)``."""


class Shape(Protocol):
    """A part of the sky that holds the objects of one tract."""

    def draw(self, n: int, rng: np.random.Generator) -> Positions:
        """Draw the positions of about `n` objects, in the order of their patches."""

    def pointings(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw right ascension and declination of `n` visits that see this part of the sky, degrees."""


def _in_patch_order(ra: FloatArray, dec: FloatArray, cluster: IntArray | None = None) -> Positions:
    """Sort positions by the cells of a 7 x 7 grid over their extent, the way a release writes its tracts."""

    def cell(values: FloatArray) -> IntArray:
        low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
        return np.asarray(np.floor((values - low) / (high - low + 1e-9) * 7), dtype=np.int64)

    patch = cell(dec) * 7 + cell(ra)
    order = np.argsort(patch, kind="stable")
    clusters = np.full(len(ra), -1) if cluster is None else cluster
    return Positions(ra[order], dec[order], patch[order], clusters[order])


def _plummer_radii(n: int, scale_deg: float, rng: np.random.Generator) -> FloatArray:
    """Draw distances from the centre of a Plummer sphere, without its outermost 5 %."""
    mass = np.maximum(rng.uniform(0, 0.95, n), 1e-3)
    return np.asarray(scale_deg / np.sqrt(mass ** (-2 / 3) - 1))


@dataclass(frozen=True, slots=True)
class Box:
    """A box in right ascension and declination with clusters of galaxies and holes around bright stars."""

    ra_range: tuple[float, float]
    dec_range: tuple[float, float]

    _CLUSTERED_FRACTION = 0.12
    _CLUSTER_MEMBERS = 120
    _CLUSTER_SCALE_DEG = 0.008
    _BRIGHT_STARS_PER_DEG2 = 2.0
    _HOLE_RADIUS_DEG = 0.02
    _DITHER_RADIUS_DEG = 1.2  # Large enough that different detectors see a small box.

    def draw(self, n: int, rng: np.random.Generator) -> Positions:
        """Draw `n` objects and drop those behind bright stars."""
        n_clustered = int(self._CLUSTERED_FRACTION * n)
        field_ra, field_dec = uniform_in_box(n - n_clustered, self.ra_range, self.dec_range, rng)
        member_ra, member_dec, member_cluster = self._cluster_members(n_clustered, rng)
        ra, dec = np.concatenate([field_ra, member_ra]), np.concatenate([field_dec, member_dec])
        cluster = np.concatenate([np.full(len(field_ra), -1), member_cluster])
        kept = self._outside_holes(ra, dec, rng)
        return _in_patch_order(ra[kept], dec[kept], cluster[kept])

    def pointings(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw pointings near points of the box."""
        return uniform_in_discs(
            *uniform_in_box(n, self.ra_range, self.dec_range, rng), radius_deg=self._DITHER_RADIUS_DEG, rng=rng
        )

    def _cluster_members(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, IntArray]:
        n_cluster = max(1, n // self._CLUSTER_MEMBERS)
        centre_ra, centre_dec = uniform_in_box(n_cluster, self.ra_range, self.dec_range, rng)
        cluster = rng.integers(0, n_cluster, n)
        radius, angle = _plummer_radii(n, self._CLUSTER_SCALE_DEG, rng), rng.uniform(0, 2 * np.pi, n)
        ra, dec = offset(centre_ra[cluster], centre_dec[cluster], radius * np.cos(angle), radius * np.sin(angle))
        return _fold(ra, self.ra_range), _fold(dec, self.dec_range), cluster

    def _outside_holes(self, ra: FloatArray, dec: FloatArray, rng: np.random.Generator) -> BoolArray:
        width = (self.ra_range[1] - self.ra_range[0]) * np.cos(np.radians(np.mean(self.dec_range)))
        area_deg2 = width * (self.dec_range[1] - self.dec_range[0])
        n_star = int(rng.poisson(self._BRIGHT_STARS_PER_DEG2 * area_deg2))
        kept = np.ones(len(ra), dtype=np.bool_)
        for star_ra, star_dec in zip(*uniform_in_box(n_star, self.ra_range, self.dec_range, rng), strict=True):
            dx = (ra - star_ra) * np.cos(np.radians(star_dec))
            kept &= dx**2 + (dec - star_dec) ** 2 > self._HOLE_RADIUS_DEG**2
        return kept


def _fold(values: FloatArray, limits: tuple[float, float]) -> FloatArray:
    """Reflect values that left an interval back into it, so that no row piles up on its border."""
    low, high = limits
    folded = np.where(values < low, 2 * low - values, values)
    folded = np.where(folded > high, 2 * high - folded, folded)
    return np.clip(folded, low, high)


@dataclass(frozen=True, slots=True)
class GlobularCluster:
    """A dense ball of stars that holds a third of the objects of its field."""

    ra: float
    dec: float
    core_radius_deg: float

    def draw(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw `n` stars, right ascension and declination in degrees."""
        fraction, angle = np.maximum(rng.uniform(0, 1, n), 1e-3), rng.uniform(0, 2 * np.pi, n)
        radius = self.core_radius_deg * np.sqrt(1 / fraction - 1)
        return offset(np.full(n, self.ra), np.full(n, self.dec), radius * np.cos(angle), radius * np.sin(angle))


@dataclass(frozen=True, slots=True)
class Disc:
    """A small circle, with a globular cluster where wanted."""

    ra: float
    dec: float
    radius_deg: float
    globular: GlobularCluster | None = None

    _DITHER_RADIUS_DEG = 0.35

    def draw(self, n: int, rng: np.random.Generator) -> Positions:
        """Draw `n` objects."""
        n_globular = n // 3 if self.globular else 0
        ra, dec = self._uniform(n - n_globular, self.radius_deg, rng)
        if self.globular:
            globular_ra, globular_dec = self.globular.draw(n_globular, rng)
            ra, dec = np.concatenate([ra, globular_ra]), np.concatenate([dec, globular_dec])
        return _in_patch_order(ra, dec)

    def pointings(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw pointings near the centre."""
        return self._uniform(n, self._DITHER_RADIUS_DEG, rng)

    def _uniform(self, n: int, radius_deg: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        return uniform_in_discs(np.full(n, self.ra), np.full(n, self.dec), radius_deg, rng)


@dataclass(frozen=True, slots=True)
class GalacticStrip:
    """All galactic latitudes between two longitudes: a thin disc, a halo and, near the centre, a bulge."""

    lon_range: tuple[float, float]

    _DISC_FRACTION = 0.75
    _BULGE_FRACTION = 0.15
    _BULGE_HALF_WIDTH_DEG = 15.0

    def draw(self, n: int, rng: np.random.Generator) -> Positions:
        """Draw `n` objects."""
        lon, component = rng.uniform(*self.lon_range, n), rng.uniform(0, 1, n)
        halo = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
        lat = np.where(component < self._DISC_FRACTION, rng.laplace(0, 5.5, n), halo)
        if self._touches_bulge:
            lat = np.where(component > 1 - self._BULGE_FRACTION, rng.normal(0, 2.5, n), lat)
        return _in_patch_order(*galactic_to_icrs(lon, np.clip(lat, -90, 90)))

    def pointings(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw pointings, most often near the galactic plane."""
        return galactic_to_icrs(rng.uniform(*self.lon_range, n), np.clip(rng.laplace(0, 15, n), -89, 89))

    @property
    def _touches_bulge(self) -> bool:
        low, high = self.lon_range
        return low < self._BULGE_HALF_WIDTH_DEG or high > 360 - self._BULGE_HALF_WIDTH_DEG


def edge_points() -> FloatArray:
    """Return the positions that break naive code, shape ``(32, 2)``: right ascension and declination in degrees.

    They are, in this order: the RA wrap, the poles, corners and borders of HEALPix base pixels, rows without a usable
    position (NaN), negative zero, the wrap near a pole and at mid declination, five exact duplicates, and five points
    one nano-degree of RA apart, the first of which is a sixth copy of the duplicates.
    """
    tiny = 1e-10
    wrap = [(0.0, 0.0), (360.0, 0.0), (tiny, 0.0), (360 - tiny, 0.0)]
    poles = [(0.0, 90.0), (123.0, 90.0), (0.0, -90.0), (200.0, -90.0), (0.0, 90 - tiny), (180.0, 90 - tiny)]
    corner_dec = 41.8103148957786  # sin(Dec) = 2/3
    corners = [(45.0, corner_dec), (90.0, 0.0), (45.0, 0.0), (135.0, -corner_dec)]
    unusable = [(np.nan, 10.0), (10.0, np.nan), (np.nan, np.nan)]
    seams = [(-0.0, -0.0), (359.99999, 89.99), (0.00001, 89.99), (0.00001, -27.5), (359.99999, -27.5)]
    duplicates = [(62.0, -37.0)] * 5
    neighbours = [(62.0 + k * 1e-9, -37.0) for k in range(5)]
    return np.array(wrap + poles + corners + unusable + seams + duplicates + neighbours)


class EdgePoints:
    """The fixed positions of `edge_points`, in their order and in one patch."""

    def draw(self, n: int, rng: np.random.Generator) -> Positions:  # noqa: ARG002 (nothing here is random)
        """Return the first `n` positions."""
        ra, dec = edge_points()[:n].T
        return Positions(ra, dec, np.zeros(len(ra), dtype=np.int64), np.full(len(ra), -1))

    def pointings(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:  # noqa: ARG002
        """Return the places where most of the positions are, in turn."""
        places = np.array([(0.0, 0.0), (0.0, 90.0), (0.0, -90.0), (45.0, 41.8)])
        ra, dec = places[np.arange(n) % len(places)].T
        return ra, dec
