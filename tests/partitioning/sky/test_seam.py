"""The seam at RA 0 = 360: no position may land in a pixel far away, or in none."""

import healpy
import numpy as np
from numpy.typing import NDArray

from partitioning.sky.healpix import ORDER, SKY_STOP, radec_to_index
from partitioning.sky.separation import separation_deg

CORNER_DEG = float(np.degrees(np.arcsin(2 / 3)))
"""Declination where the polar base pixels of HEALPix begin."""


def seam() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions within 1e-6 degrees of the seam, most of them at the corners of base pixels."""
    steps = np.concatenate([[0.0], 2.0 ** -np.arange(20, 60)])
    ra = np.concatenate([360 - steps, steps, -steps, [np.nextafter(360, 0), np.nextafter(0, -1), 720.0, -720.0]])
    near = np.concatenate([[0.0], np.logspace(-16, -6, 40)])
    north = np.concatenate([CORNER_DEG + near, CORNER_DEG - near])
    grid = np.meshgrid(ra, np.concatenate([north, -north, np.linspace(-90, 90, 181)]))
    return grid[0].ravel(), grid[1].ravel()


def test_indices_at_the_seam_are_of_their_place() -> None:
    ra, dec = seam()
    index = radec_to_index(ra, dec)
    assert (index >= 0).all()
    assert (index < SKY_STOP).all()
    assert separation_deg(ra, dec, *healpy.pix2ang(1 << ORDER, index, nest=True, lonlat=True)).max() < 2e-6


def test_right_ascensions_of_many_turns_are_folded_exactly() -> None:
    turns = np.array([0.0, 360.0, -360.0, 3600.0, 36e8, -36e8])
    assert len(set(radec_to_index(turns + 12.5, np.full(6, 5.0)).tolist())) == 1
