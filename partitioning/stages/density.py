"""Density picture: the rows per area of a catalog, on the whole sky or, if it is small, on its footprint.

The whole sky is drawn in Mollweide's projection, a footprint in the zenithal equidistant one; north is up and right
ascension increases to the left, as on the sky. Colours follow the logarithm of the density.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import hpgeom
import numpy as np
from numpy.typing import NDArray

from ..layout.png import encode_png
from ..sky.separation import unit_vectors
from .lettering import draw_text, text_size

__all__ = ["density_picture"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Picture = NDArray[np.uint8]

_SKY_DEG2: Final = 129_600 / math.pi
_CELL_DEG: Final = 58.632

_WIDTH: Final = 960
"""Width of the whole sky."""
_SIDE: Final = 560
"""Width and height of a footprint."""
_SMALL_DEG: Final = 40.0
"""A footprint within this distance of its centre is drawn larger."""
_MARGIN: Final = (16, 72, 84)
"""Room above, on either side and below."""

_ROWS_PER_CELL: Final = 10
"""Cells are coarsened until they have as many rows on average, lest chance alone makes a pattern..."""
_COARSEST: Final = 24
"""... but not beyond as many picture elements."""
_SPARSE: Final = 0.01
"""Scattered fields that cover less of the sky than this are drawn in cells that one can see."""

_RAMP: Final = np.array(
    [
        (68, 1, 84),
        (71, 44, 122),
        (59, 81, 139),
        (44, 113, 142),
        (33, 144, 141),
        (39, 173, 129),
        (92, 200, 99),
        (170, 220, 50),
        (253, 231, 37),
    ],
    dtype=np.float64,
)
"""Colours from low to high density, equally easy to tell apart for the colour-blind: matplotlib's viridis (CC0)."""
_EMPTY: Final = (232, 235, 241)
_PAPER: Final = (255, 255, 255)
_LINE: Final = (150, 155, 168)

_STEPS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 45, 90)
"""Distances of grid lines in degrees."""


@dataclass(frozen=True, eq=False)
class _View:
    """Where each point of a picture lies on the sky."""

    ra: Floats
    dec: Floats
    """Degrees, shape ``(height, width)``; NaN beside the sky."""
    scale_deg: float
    """Size of a picture element."""
    ra_step: float
    dec_step: float
    """Distances of grid lines in degrees."""
    is_footprint: bool

    @cached_property
    def lines(self) -> NDArray[np.bool_]:
        """The points of grid lines and of the rim."""
        return _lines(self.ra, self.ra_step) | _lines(self.dec, self.dec_step) | _rim(np.isfinite(self.ra))


def density_picture(pixels: Ints, rows: Ints, order: int) -> bytes:
    """Return the density picture of a catalog as a PNG file.

    Parameters
    ----------
    pixels, rows
        Occupied NESTED pixels of `order`, sorted, and the rows in each; shape ``(N,)``, N at least 1.
    """
    view = _view_of(pixels, order)
    pixels, rows, order = _shown_cells(pixels, rows, order, view)
    density = rows / (_SKY_DEG2 / (12 << (2 * order)))
    low, high = np.quantile(density, [0.01, 0.999]).tolist()
    drawn = _coloured(view, pixels, _colours(density, low, high), order)
    top, side, below = _MARGIN
    picture = np.full((drawn.shape[0] + top + below, drawn.shape[1] + 2 * side, 3), _PAPER, dtype=np.uint8)
    picture[top:-below, side:-side] = drawn
    _label_grid(picture, view)
    _draw_legend(picture, low, high)
    return encode_png(picture)


def _view_of(pixels: Ints, order: int) -> _View:
    """Return the footprint of the pixels, or the whole sky if they spread too far."""
    ra, dec = hpgeom.pixel_to_angle(1 << order, pixels)
    vectors = unit_vectors(ra, dec)
    x, y, z = vectors.mean(axis=0)
    length = math.hypot(x, y, z)
    centre = np.array([x, y, z]) / max(length, 1e-12)
    chord = float(np.sqrt(((vectors - centre) ** 2).sum(axis=1).max()))
    radius = math.degrees(2 * math.asin(min(1.0, chord / 2))) + 2 * _CELL_DEG / (1 << order)
    if length < 1e-6 or radius > _SMALL_DEG:
        return _whole_sky()
    return _footprint(math.degrees(math.atan2(y, x)) % 360, math.degrees(math.atan2(z, math.hypot(x, y))), radius)


@cache
def _whole_sky() -> _View:
    """Return the sky in Mollweide's projection, RA 0 in the middle (Snyder 1987, USGS Professional Paper 1395, 30)."""
    across, down = np.meshgrid(_centres(_WIDTH) * 2, _centres(_WIDTH // 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        angle = np.arcsin(-down)
        dec = np.degrees(np.arcsin((2 * angle + np.sin(2 * angle)) / np.pi))
        longitude = -90 * across / np.cos(angle)
        beside = np.abs(longitude) > 180
    ra = np.where(beside, np.nan, longitude % 360)
    return _View(ra, np.where(beside, np.nan, dec), 360 / _WIDTH, 30, 30, is_footprint=False)


def _footprint(ra_deg: float, dec_deg: float, radius_deg: float) -> _View:
    """Return the surroundings of a point in the zenithal equidistant projection (Calabretta & Greisen 2002, ARC)."""
    across, down = np.meshgrid(_centres(_SIDE) * -radius_deg, _centres(_SIDE) * radius_deg)
    away = np.radians(np.hypot(across, down))
    turn = np.arctan2(across, -down)
    sin0, cos0 = math.sin(math.radians(dec_deg)), math.cos(math.radians(dec_deg))
    dec = np.arcsin(np.clip(np.cos(away) * sin0 + np.sin(away) * cos0 * np.cos(turn), -1, 1))
    east, north = np.sin(away) * np.sin(turn), np.cos(away) * cos0 - np.sin(away) * sin0 * np.cos(turn)
    ra = (ra_deg + np.degrees(np.arctan2(east, north))) % 360
    nearest_pole = math.radians(min(abs(dec_deg) + radius_deg / 2, 85))
    return _View(
        ra,
        np.degrees(dec),
        2 * radius_deg / _SIDE,
        _step(radius_deg / math.cos(nearest_pole)),
        _step(radius_deg),
        is_footprint=True,
    )


def _centres(elements: int) -> Floats:
    """Return the middles of the points along an axis, from -1 to 1."""
    centres: Floats = (np.arange(elements, dtype=np.float64) + 0.5) * (2 / elements) - 1
    return centres


def _step(radius_deg: float) -> float:
    """Return the distance of grid lines that gives some four to a picture."""
    return next((step for step in _STEPS if step >= radius_deg / 2.5), _STEPS[-1])


def _shown_cells(pixels: Ints, rows: Ints, order: int, view: _View) -> tuple[Ints, Ints, int]:
    """Return cells that are no finer than the picture and than the rows allow."""
    covered = len(pixels) / (12 << (2 * order))
    smallest = 4 if covered < _SPARSE and not view.is_footprint else 1
    total = int(rows.sum())
    while order > 0:
        elements = _CELL_DEG / (1 << order) / view.scale_deg
        noisy = total < _ROWS_PER_CELL * len(pixels) and 2 * elements <= _COARSEST
        if elements >= smallest and not noisy:
            break
        parents, first = np.unique(pixels >> 2, return_index=True)
        pixels, rows, order = parents, np.add.reduceat(rows, first), order - 1
    return pixels, rows, order


def _colours(density: Floats, low: float, high: float) -> Floats:
    """Return the colour of each density, shape ``(N, 3)``."""
    part = np.log(np.maximum(density, low) / low) / max(math.log(high / low), 1e-9)
    at = np.minimum(part, 1.0) * (len(_RAMP) - 1)
    return np.stack([np.interp(at, np.arange(len(_RAMP)), channel) for channel in _RAMP.T], axis=-1)


def _coloured(view: _View, pixels: Ints, colours: Floats, order: int) -> Picture:
    """Return the colour of each point: its cell's, that of empty sky, or of paper, mixed with that of a grid line."""
    on_sky = np.isfinite(view.ra)
    plain = np.concatenate([colours, [_EMPTY, _PAPER]])
    palette = np.rint(np.concatenate([plain, (plain + _LINE) / 2])).astype(np.uint8)
    chosen = np.full(view.ra.shape, len(colours) + 1)
    cells = hpgeom.angle_to_pixel(1 << order, view.ra[on_sky], view.dec[on_sky])
    slot = np.minimum(np.searchsorted(pixels, cells), len(pixels) - 1)
    chosen[on_sky] = np.where(pixels[slot] == cells, slot, len(colours))
    chosen[view.lines] += len(plain)
    drawn: Picture = palette[chosen]
    return drawn


def _lines(angles: Floats, step: float) -> NDArray[np.bool_]:
    """Return the points at which the angle passes a multiple of `step`."""
    bands = np.floor(np.nan_to_num(angles, nan=-1e4) / step)
    found = np.zeros(bands.shape, dtype=np.bool_)
    found[:, 1:] = (bands[:, 1:] != bands[:, :-1]) & np.isfinite(angles[:, 1:] + angles[:, :-1])
    found[1:] |= (bands[1:] != bands[:-1]) & np.isfinite(angles[1:] + angles[:-1])
    return found


def _rim(on_sky: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the outermost points of the sky, or of the picture where the sky fills it."""
    padded = np.pad(on_sky, 1)
    return on_sky & ~(padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2])


def _label_grid(picture: Picture, view: _View) -> None:
    """Write declinations at the left and right ascensions along the bottom, or along the equator of the whole sky."""
    top, side, below = _MARGIN
    if view.is_footprint:
        for y, text in _crossings(view.dec[:, 0], view.dec_step):
            draw_text(picture, text, side - text_size(text)[0] - 8, top + y - text_size(text)[1] // 2)
        for x, text in _crossings(view.ra[-1], view.ra_step):
            draw_text(picture, text, side + x - text_size(text)[0] // 2, picture.shape[0] - below + 8)
        return
    middle = view.ra.shape[0] // 2
    for x, text in _crossings(view.ra[middle], 60):
        draw_text(picture, text, side + x + 3, top + middle + 4)
    first = np.isfinite(view.dec).argmax(axis=1)
    left = view.dec[np.arange(len(first)), first]
    for y, text in _crossings(left, view.dec_step):
        draw_text(picture, text, side + first[y] - text_size(text)[0] - 8, top + y - 7)


def _crossings(angles: Floats, step: float) -> list[tuple[int, str]]:
    """Return where along a border of the picture grid lines end, and their labels."""
    bands = np.floor(angles / step)
    ends = np.flatnonzero((bands[1:] != bands[:-1]) & np.isfinite(angles[1:] + angles[:-1]))
    # the line is the lower border of the higher band, except where right ascension starts anew
    values = np.maximum(bands[ends], bands[ends + 1]) * step
    around = np.abs(angles[ends] - angles[ends + 1]) > 180
    values[around] = 0
    return [(int(end + 1), f"{value:g}°") for end, value in zip(ends, values.round(6), strict=True)]


def _draw_legend(picture: Picture, low: float, high: float) -> None:
    """Draw the colours below the map, with the densities at their ends."""
    width = 280
    left, top = (picture.shape[1] - width) // 2, picture.shape[0] - 46
    part = np.linspace(0, 1, width)
    picture[top : top + 14, left : left + width] = np.rint(_colours(np.exp(part), 1.0, math.e))
    least, most = _short(low), _short(high)
    draw_text(picture, least, left - text_size(least)[0] - 10, top)
    draw_text(picture, most, left + width + 10, top)
    unit = "rows/deg²"
    draw_text(picture, unit, left + (width - text_size(unit)[0]) // 2, top + 22)


def _short(value: float) -> str:
    """Return a number in few signs."""
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{float(f'{value / unit:.2g}'):g}{letter}"
    return f"{float(f'{value:.2g}'):g}"
