"""Light curves of the few objects whose brightness changes."""

from dataclasses import dataclass

import numpy as np

from sample_catalogs.survey.arrays import BoolArray, FloatArray, IntArray, Stream, random_stream
from sample_catalogs.survey.population import Population
from sample_catalogs.survey.visits import SURVEY_MJD_RANGE

__all__ = ["Variability", "draw_variability"]

_CONSTANT, _PULSATING, _SUPERNOVA, _ACTIVE_NUCLEUS = range(4)
_VARIABLE_FRACTION = 0.03
_AMPLITUDE = np.array([0.0, 0.4, 0.9, 0.25])


@dataclass(frozen=True, slots=True, eq=False)
class Variability:
    """How each object of a tract varies; every array has shape ``(N,)``."""

    kind: IntArray
    """Constant, pulsating star, supernova or active galactic nucleus."""

    amplitude: FloatArray
    """Size of the change relative to the mean flux."""

    period_days: FloatArray
    """Time scale of the change."""

    start_mjd: FloatArray
    """Phase zero of the pulsation, or night of the explosion."""

    @property
    def is_variable(self) -> BoolArray:
        """Whether the object varies at all."""
        return np.asarray(self.kind != _CONSTANT)

    def relative_change(self, index: IntArray, mjd: float) -> FloatArray:
        """Return the change of the flux relative to its mean.

        Parameters
        ----------
        index
            Objects wanted, shape ``(M,)``.
        mjd
            Time.
        """
        elapsed = mjd - self.start_mjd[index]
        kind, period = self.kind[index], self.period_days[index]
        shapes = [_pulsation(elapsed / period), _explosion(elapsed), _flicker(elapsed / period)]
        return self.amplitude[index] * np.select(
            [kind == _PULSATING, kind == _SUPERNOVA, kind == _ACTIVE_NUCLEUS], shapes, 0.0
        )


def _pulsation(cycles: FloatArray) -> FloatArray:
    """Rise fast and fade slowly between -1 and 1, like an RR Lyrae star."""
    phase = cycles % 1.0
    return np.where(phase < 0.15, phase / 0.15, (1 - phase) / 0.85) * 2 - 1


def _explosion(days: FloatArray) -> FloatArray:
    """Rise within a week and fade over a month, once."""
    since = np.maximum(days, 0)
    return np.asarray(3 * np.exp(-since / 35) * (1 - np.exp(-since / 4)))


def _flicker(cycles: FloatArray) -> FloatArray:
    """Wander slowly, a sum of three incommensurate waves."""
    angle = 2 * np.pi * cycles
    return np.asarray((np.sin(angle / 97) + 0.6 * np.sin(angle / 31 + 1) + 0.3 * np.sin(angle / 11 + 2)) / 1.5)


def draw_variability(population: Population, seed: int) -> Variability:
    """Choose the variable objects of a tract: stars pulsate, galaxies flare or flicker."""
    rng = random_stream(seed, Stream.VARIABILITY, population.tract)
    n = len(population)
    galaxy_kind = rng.choice([_SUPERNOVA, _ACTIVE_NUCLEUS], n)
    varies = rng.uniform(0, 1, n) < _VARIABLE_FRACTION
    kind = np.where(varies, np.where(population.is_galaxy, galaxy_kind, _PULSATING), _CONSTANT)
    return Variability(
        kind=kind,
        amplitude=_AMPLITUDE[kind] * rng.uniform(0.5, 1.5, n),
        period_days=rng.uniform(0.3, 0.8, n),
        start_mjd=rng.uniform(*SURVEY_MJD_RANGE, n),
    )
