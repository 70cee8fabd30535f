"""Density pictures: the colour at a place on the sky, looked up through astropy's projections."""

from io import BytesIO

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from partitioning.sky.healpix import radec_to_index
from partitioning.stages.density import _short, density_picture
from partitioning.stages.lettering import draw_text, text_size

ORDER = 8
EMPTY = (232, 235, 241)
LOWEST, HIGHEST = (68, 1, 84), (253, 231, 37)
Floats = NDArray[np.float64]


def picture_of(ra: Floats, dec: Floats, order: int = ORDER) -> NDArray[np.uint8]:
    pixels, rows = np.unique(radec_to_index(ra, dec) >> (2 * (29 - order)), return_counts=True)
    with Image.open(BytesIO(density_picture(pixels, rows, order))) as image:
        return np.asarray(image)


def all_sky() -> WCS:
    """Return Mollweide's projection, RA 0 in the middle of a map of 960 by 480 elements."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---MOL", "DEC--MOL"
    wcs.wcs.crval = 0.0, 0.0
    wcs.wcs.crpix = 480.5 + 72, 240.5 + 16
    wcs.wcs.cdelt = -(4 * 2**0.5 * 180 / np.pi) / 960, -(4 * 2**0.5 * 180 / np.pi) / 960
    return wcs


def colour(picture: NDArray[np.uint8], wcs: WCS, ra: float, dec: float) -> tuple[int, ...]:
    x, y = wcs.world_to_pixel_values(ra, dec)
    return tuple(picture[round(float(y)), round(float(x))].tolist())


def blob(ra: float, dec: float, count: int, radius: float, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return ra + rng.uniform(-1, 1, count) * radius / np.cos(np.radians(dec)), dec + rng.uniform(-1, 1, count) * radius


@pytest.mark.parametrize("place", [(40.0, 20.0), (200.0, -50.0), (355.0, 70.0), (170.0, -8.0)])
def test_a_field_lies_where_the_projection_puts_it(place: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 20_000), rng.choice([-1, 1], 20_000) * rng.uniform(75, 90, 20_000)
    more = blob(*place, 100_000, 5)
    picture = picture_of(np.append(ra, more[0]), np.append(dec, more[1]))
    assert picture.shape == (480 + 16 + 84, 960 + 2 * 72, 3)
    bright = np.array(colour(picture, all_sky(), *place), dtype=float)
    assert np.abs(bright - HIGHEST).max() < 60
    assert colour(picture, all_sky(), (place[0] + 47) % 360, -place[1] / 2 + 25) == EMPTY
    assert tuple(picture[20, 80]) == (255, 255, 255)


def test_a_small_footprint_fills_the_picture_north_up_east_left() -> None:
    ra, dec = blob(10.0, 60.0, 50_000, 2.0)
    dense = blob(11.0, 61.0, 50_000, 0.4, seed=1)
    picture = picture_of(np.append(ra, dense[0]), np.append(dec, dense[1]))
    assert picture.shape == (660, 704, 3)
    red = picture[16:616, 72:672, 0].astype(int)
    coloured = (picture[16:616, 72:672, 2] < 200).mean()
    assert 0.25 < coloured < 0.9
    yellow = (picture[16:616, 72:672, 2] < 60) & (red > 150)
    y, x = np.nonzero(yellow)
    assert y.mean() < 280
    assert x.mean() < 280


@pytest.mark.parametrize("centre", [(0.0, 0.0), (359.9, -30.0), (77.0, -90.0)])
def test_a_footprint_is_centred(centre: tuple[float, float]) -> None:
    """Across RA 0 and around the poles too."""
    rng = np.random.default_rng(2)
    count = 20_000
    if abs(centre[1]) == 90:
        ra, dec = rng.uniform(0, 360, count), centre[1] - np.sign(centre[1]) * 3 * np.sqrt(rng.random(count))
    else:
        ra, dec = blob(*centre, count, 3)
    picture = picture_of(ra, dec)
    y, x = np.nonzero(picture[16:616, 72:672, 2] < 225)
    assert abs(y.mean() - 280) < 15
    assert abs(x.mean() - 280) < 15


def test_one_row() -> None:
    picture = picture_of(np.array([10.0]), np.array([-20.0]))
    middle = picture[316, 372].tolist()
    assert np.abs(np.array(middle) - LOWEST).max() < 60
    assert tuple(picture[40, 100].tolist()) == EMPTY


def test_the_picture_is_reproducible() -> None:
    pixels, rows = np.arange(0, 12 << 16, 7), np.arange(0, 12 << 16, 7) % 50 + 1
    assert density_picture(pixels, rows, 8) == density_picture(pixels.copy(), rows.copy(), 8)


def test_counts_of_facility_scale() -> None:
    """Sums of a release of 1e11 rows do not overflow and get a label."""
    pixels = np.arange(1 << 16)
    assert density_picture(pixels, np.full(1 << 16, 10**12), 10)[:4] == b"\x89PNG"


@given(st.floats(1e-4, 1e14))
def test_numbers_of_the_legend_can_be_drawn_and_are_right(value: float) -> None:
    text = _short(value)
    draw_text(np.zeros((40, 200, 3), dtype=np.uint8), text, 0, 0)
    factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(text[-1], 1.0)
    number = float(text.rstrip("kMGT")) * factor
    assert number == pytest.approx(value, rel=0.06)
    assert len(text) <= 7


def test_lettering_stays_in_the_picture() -> None:
    picture = np.zeros((20, 60, 3), dtype=np.uint8)
    for left, top in ((-50, -50), (500, 500)):
        draw_text(picture, "-12°", left, top)
    assert text_size("-12°") == (46, 14)
    assert picture.any()
    with pytest.raises(KeyError):
        draw_text(picture, "ü", 0, 0)
