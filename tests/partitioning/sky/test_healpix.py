"""HEALPix indices against healpy, and separations against 50-digit arithmetic."""

from fractions import Fraction

import healpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitioning.sky.healpix import ORDER, SKY_STOP, Pixel, order_shift, pixel_range, radec_to_index
from partitioning.sky.separation import separation_deg, unit_vectors


def test_indices_equal_healpy() -> None:
    rng = np.random.default_rng(0)
    ra = np.concatenate([rng.uniform(0, 360, 100_000), [0, 45, 90, 180, 270, 359.9999999, 12.0, 300.0]])
    dec = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, 100_000))), [0, 0, 41.8, -41.8, 0, 0, 90, -90]])
    assert np.array_equal(radec_to_index(ra, dec), healpy.ang2pix(1 << ORDER, ra, dec, nest=True, lonlat=True))


def test_ra_is_folded() -> None:
    ra, dec = np.array([0.0, 10.0, 359.5, 0.0]), np.array([5.0, -80.0, 20.0, -3.0])
    folded = radec_to_index(ra, dec)
    for turn in (-360.0, 360.0, 720.0):
        assert np.array_equal(radec_to_index(ra + turn, dec), folded)
    assert np.array_equal(radec_to_index(np.array([-0.0]), np.array([5.0])), folded[:1])


@pytest.mark.parametrize(
    "bad", [(np.nan, 0.0), (0.0, np.nan), (np.inf, 0.0), (0.0, -np.inf), (0.0, 90.1), (0.0, -91.0)]
)
def test_unusable_positions_are_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"."):
        radec_to_index(np.array([1.0, bad[0]]), np.array([1.0, bad[1]]))


def test_no_positions_have_no_indices() -> None:
    empty = radec_to_index(np.empty(0), np.empty(0))
    assert (empty.dtype, empty.shape) == (np.dtype(np.int64), (0,))


@given(st.integers(0, ORDER), st.data())
def test_a_pixel_range_holds_its_pixel(order: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, (12 << (2 * order)) - 1))
    start, stop = pixel_range(Pixel(order, number))
    assert 0 <= start < stop <= SKY_STOP
    assert start >> order_shift(order) == number == (stop - 1) >> order_shift(order)
    assert (stop - start) * (12 << (2 * order)) == SKY_STOP


def test_tiny_and_huge_separations_are_precise() -> None:
    """Where the law of cosines fails: near 0 and near 180 degrees."""
    for offset in (1e-12, 1e-9, 1e-6, 1e-3):
        exact = float(Fraction(10.0 + offset) - Fraction(10.0))
        assert float(separation_deg(33.0, 10.0, 33.0, 10.0 + offset)) == pytest.approx(exact, rel=1e-9, abs=1e-14)
        assert float(separation_deg(33.0, 10.0, 213.0, -10.0 - offset)) == pytest.approx(180 - exact, abs=1e-13)
    assert float(separation_deg(5.0, 90.0, 200.0, 90.0)) == pytest.approx(0.0, abs=1e-14)
    assert float(separation_deg(0.0, 0.0, 360.0, 0.0)) <= 1e-13
    assert np.isnan(separation_deg(0.0, np.nan, 1.0, 1.0))


def test_separations_broadcast_and_equal_the_chord() -> None:
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, (2, 500)), rng.uniform(-90, 90, (2, 500))
    chord = np.linalg.norm(unit_vectors(ra[0], dec[0]) - unit_vectors(ra[1], dec[1]), axis=-1)
    expected = np.degrees(2 * np.arcsin(chord / 2))
    assert separation_deg(ra[0], dec[0], ra[1], dec[1]) == pytest.approx(expected, abs=1e-6)
    assert separation_deg(1.0, 2.0, ra, dec).shape == (2, 500)
