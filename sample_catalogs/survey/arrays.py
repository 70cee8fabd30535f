"""Array types and seeded random streams used by every part of the generator."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoolArray", "FloatArray", "IntArray", "Stream", "random_stream"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Stream(IntEnum):
    """Purposes with a random stream of their own, so that switching one of them off leaves the others unchanged."""

    FOOTPRINT = 0
    VISITS = 1
    POPULATION = 2
    PHOTOMETRY = 3
    PADDING = 4
    TRUTH = 5
    VARIABILITY = 6
    OBSERVATION = 7
    MEASUREMENT = 8
    MATCHES = 9
    CONDITIONS = 10


def random_stream(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """Return the generator that belongs to a purpose and a place.

    Parameters
    ----------
    seed
        Seed of the survey.
    stream
        What the numbers are for.
    key
        Numbers that name the place, such as a tract and a visit.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, *key)))
