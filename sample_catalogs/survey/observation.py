"""What one visit sees of one tract."""

from dataclasses import dataclass

import numpy as np

from sample_catalogs.survey.arrays import BoolArray, FloatArray, IntArray, Stream, random_stream
from sample_catalogs.survey.camera import Camera
from sample_catalogs.survey.photometry import magnitude_to_njy
from sample_catalogs.survey.population import Population
from sample_catalogs.survey.sphere import tangent_plane, unit_vectors
from sample_catalogs.survey.variability import Variability
from sample_catalogs.survey.visits import Exposure

__all__ = ["Observation", "observe"]

_BAD_FRACTION = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """The objects of a tract that fall on a detector during a visit; every array has shape ``(M,)``."""

    exposure: Exposure
    """The visit."""

    index: IntArray
    """Which objects, as rows of the population."""

    detector: IntArray
    """Number of the detector."""

    x: FloatArray
    """Column on the detector, pixels."""

    y: FloatArray
    """Row on the detector, pixels."""

    flux: FloatArray
    """Measured flux, nJy."""

    difference: FloatArray
    """Measured flux minus that of the template, nJy."""

    error: FloatArray
    """One-sigma error of both, nJy."""

    is_bad: BoolArray
    """Whether the measurement failed."""


def observe(
    population: Population, variability: Variability, exposure: Exposure, camera: Camera, seed: int
) -> Observation | None:
    """Observe a tract once.

    Objects without a usable position and those in the gaps between detectors are not seen.

    Returns
    -------
    Observation or None
        `None` when nothing of the tract is in view.
    """
    near = _near(population, exposure, camera)
    if not len(near):
        return None
    detector, x, y = _locate(population.xyz[near], exposure, camera)
    seen = detector >= 0
    if not seen.any():
        return None
    index = near[seen]
    rng = random_stream(seed, Stream.OBSERVATION, population.tract, exposure.index)
    mean_flux = population.flux[exposure.band][index]
    change = mean_flux * variability.relative_change(index, exposure.mjd)
    error = np.hypot(magnitude_to_njy(exposure.depth_mag) / 5, 0.004 * mean_flux)
    difference = change + error * rng.standard_normal(len(index))
    return Observation(
        exposure=exposure,
        index=index,
        detector=detector[seen],
        x=x[seen],
        y=y[seen],
        flux=mean_flux + difference,
        difference=difference,
        error=error,
        is_bad=rng.uniform(0, 1, len(index)) < _BAD_FRACTION,
    )


def _near(population: Population, exposure: Exposure, camera: Camera) -> IntArray:
    """Return the objects within the circle that holds the camera."""
    axis = unit_vectors(np.array([exposure.ra]), np.array([exposure.dec]))[0]
    return np.flatnonzero(population.xyz @ axis > np.cos(np.radians(camera.radius_deg)))


def _locate(xyz: FloatArray, exposure: Exposure, camera: Camera) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return detector and pixel of directions, for a camera turned by the rotation angle of the visit."""
    east, north = tangent_plane(xyz, exposure.ra, exposure.dec)
    sine, cosine = np.sin(np.radians(exposure.rotation_deg)), np.cos(np.radians(exposure.rotation_deg))
    return camera.locate(cosine * east - sine * north, sine * east + cosine * north)
