"""Cameras: which detector a point of the focal plane falls on, and where on it."""

from dataclasses import dataclass

import numpy as np

from sample_catalogs.survey.arrays import FloatArray, IntArray

__all__ = ["COMCAM", "LSSTCAM", "PIXEL_ARCSEC", "Camera"]

PIXEL_ARCSEC = 0.2
"""Size of a pixel on the sky."""

_DETECTORS_PER_RAFT_SIDE = 3
_DETECTOR_PITCH_PIXELS = 4225.0  # 42.25 mm between detector centres
_DETECTOR_WIDTH_PIXELS = 4072.0
_DETECTOR_HEIGHT_PIXELS = 4000.0


@dataclass(frozen=True, slots=True)
class Camera:
    """A square of rafts of 3 x 3 detectors, without the four corner rafts when there is more than one."""

    rafts_per_side: int
    """Number of rafts along a side of the square."""

    @property
    def radius_deg(self) -> float:
        """Radius of a circle that holds every detector."""
        half = self.detectors_per_side * _DETECTOR_PITCH_PIXELS / 2
        return float(np.hypot(half, half) * PIXEL_ARCSEC / 3600)

    @property
    def detectors_per_side(self) -> int:
        """Number of detectors along a side of the square."""
        return self.rafts_per_side * _DETECTORS_PER_RAFT_SIDE

    def locate(self, dx: FloatArray, dy: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
        """Find the detector and pixel of points in the focal plane.

        Parameters
        ----------
        dx, dy
            Distances from the optical axis along the sides of the camera, degrees, shape ``(N,)``.

        Returns
        -------
        detector : numpy.ndarray
            Number of the detector, -1 in the gaps between detectors and outside the camera.
        x, y : numpy.ndarray
            Pixel coordinates on the detector; meaningless where `detector` is -1.
        """
        column, x = self._cell(dx, _DETECTOR_WIDTH_PIXELS)
        row, y = self._cell(dy, _DETECTOR_HEIGHT_PIXELS)
        side = self.detectors_per_side
        inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        inside &= (x >= 0) & (x < _DETECTOR_WIDTH_PIXELS) & (y >= 0) & (y < _DETECTOR_HEIGHT_PIXELS)
        numbers = self._detector_numbers()
        return np.where(inside, numbers[np.where(inside, row, 0), np.where(inside, column, 0)], -1), x, y

    def _cell(self, distance_deg: FloatArray, size_pixels: float) -> tuple[IntArray, FloatArray]:
        """Split distances along one axis into the number of the detector cell and the pixel within its detector."""
        pixels = distance_deg * 3600 / PIXEL_ARCSEC + _DETECTOR_PITCH_PIXELS * self.detectors_per_side / 2
        cell = np.floor(pixels / _DETECTOR_PITCH_PIXELS)
        gap = (_DETECTOR_PITCH_PIXELS - size_pixels) / 2
        return cell.astype(np.int64), pixels - cell * _DETECTOR_PITCH_PIXELS - gap

    def _detector_numbers(self) -> IntArray:
        """Return the number of the detector in each cell: rafts are counted row by row, detectors within a raft."""
        side = self.rafts_per_side
        has_raft = np.ones((side, side), dtype=np.bool_)
        if side > 1:
            has_raft[np.ix_([0, -1], [0, -1])] = False
        raft = np.where(has_raft, np.cumsum(has_raft).reshape(side, side) - 1, -1)
        size = _DETECTORS_PER_RAFT_SIDE
        cell = np.arange(self.detectors_per_side)
        raft_of_cell = raft[np.ix_(cell // size, cell // size)]
        within = (cell % size)[:, np.newaxis] * size + cell % size
        return np.where(raft_of_cell < 0, -1, raft_of_cell * size * size + within).astype(np.int64)


LSSTCAM = Camera(rafts_per_side=5)
"""The main camera: 21 rafts, 189 detectors, 3.5 degrees across."""

COMCAM = Camera(rafts_per_side=1)
"""The commissioning camera: one raft, 9 detectors, 0.7 degrees across."""
