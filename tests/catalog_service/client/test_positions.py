"""Angles and positions as users write them; astropy is the oracle."""

import math

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Angle, SkyCoord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog_service.client.positions import parse_angle, parse_coordinate, resolve_cone, to_degrees
from catalog_service.exceptions import ParameterError

UNITS = {
    "": u.deg,
    "d": u.deg,
    "deg": u.deg,
    "degrees": u.deg,
    "\N{DEGREE SIGN}": u.deg,
    "'": u.arcmin,
    "\N{PRIME}": u.arcmin,
    "arcmin": u.arcmin,
    '"': u.arcsec,
    "''": u.arcsec,
    "\N{DOUBLE PRIME}": u.arcsec,
    "arcsec": u.arcsec,
    "mas": u.mas,
    "rad": u.rad,
}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(
    number=st.floats(0, 1e6, allow_subnormal=False),
    unit=st.sampled_from(sorted(UNITS)),
    space=st.sampled_from(["", " "]),
)
def test_a_text_means_what_astropy_says(number: float, unit: str, space: str) -> None:
    expected = (number * UNITS[unit]).to_value("deg")
    assert math.isclose(parse_angle(f" {number!r}{space}{unit} "), expected, rel_tol=1e-15)


def test_whole_fractions_are_exact() -> None:
    assert parse_angle('36"') == 0.01
    assert parse_angle("6arcmin") == 0.1
    assert parse_angle("0") == 0.0
    assert parse_angle("-.5") == -0.5


@pytest.mark.parametrize(
    "text", ["", "deg", "1 parsec", "1m", "5'30\"", "1,5deg", "nan", "inf", "1e999", "1deg x", "0x10"]
)
def test_a_text_that_is_no_angle_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="radius"):
        parse_angle(text, name="radius")


def test_astropy_angles_and_quantities() -> None:
    assert to_degrees(Angle("1h")) == pytest.approx(15.0, rel=1e-15)
    assert to_degrees(30 * u.arcmin) == 0.5
    assert to_degrees(np.float32(0.25)) == 0.25


@pytest.mark.parametrize(
    "value", [[1.0, 2.0] * u.deg, 1 * u.m, 3 * u.one, None, [1.0], np.nan, object(), np.inf * u.deg]
)
def test_what_is_not_one_angle_is_refused(value: object) -> None:
    with pytest.raises(ParameterError, match="dec"):
        to_degrees(value, name="dec")


def test_a_cone_of_numbers_and_of_quantities() -> None:
    assert resolve_cone(10, -37, 0) == (10.0, -37.0, 0.0)
    assert resolve_cone(10 * u.deg, Angle("-37d"), "6'") == (10.0, -37.0, 0.1)


def test_a_position_of_another_frame_becomes_icrs() -> None:
    position = SkyCoord(l=166.57 * u.deg, b=-23.52 * u.deg, frame="galactic")
    expected = (position.icrs.ra.deg, position.icrs.dec.deg, 1.0)
    assert resolve_cone(position, "1deg", None) == expected
    assert resolve_cone(position, None, 60 * u.arcmin) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("ra", "dec", "radius"),
    [
        (10.0, None, None),
        (10.0, 5.0, None),
        (SkyCoord(1, 2, unit="deg"), None, None),
        (SkyCoord(1, 2, unit="deg"), 1, 2),
    ],
)
def test_a_cone_that_lacks_an_argument_is_refused(ra: object, dec: object, radius: object) -> None:
    with pytest.raises(ParameterError, match="cone\\("):
        resolve_cone(ra, dec, radius)


def test_many_positions_are_refused_with_a_remedy() -> None:
    with pytest.raises(ParameterError, match=r"holds 2.*for each"):
        resolve_cone(SkyCoord([1, 2], [3, 4], unit="deg"), 1, None)


@pytest.mark.parametrize(
    ("text", "is_right_ascension"),
    [
        ("03:47:00", True), ("3h47m0.25s", True), ("3 47 00.125", True), ("56d45m01s", True), ("+24:07:12", False),
        ("-00:00:01.5", False), ("-37d 30m 12s", False), ("24 07 12", False), ("0h0m1s", True), ("89:59:59.999", False),
    ],
)  # fmt: skip
def test_sexagesimal_coordinates_are_those_of_astropy(text: str, is_right_ascension: bool) -> None:
    unit = "hourangle" if is_right_ascension and "d" not in text else "deg"
    expected = Angle(text, unit=None if "d" in text or "h" in text else unit).deg
    assert parse_coordinate(text, is_right_ascension=is_right_ascension) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("text", ["03:61:00", "03:47", "3:47:60", "a:b:c", "", "1 2", "03:47:00 deg"])
def test_what_is_no_coordinate(text: str) -> None:
    with pytest.raises(ParameterError, match=r"ra .* is not an angle"):
        parse_coordinate(text, is_right_ascension=True)


def test_a_cone_takes_sexagesimal_texts() -> None:
    assert resolve_cone("03:47:00", "-24:07:12", "30'") == pytest.approx((56.75, -24.12, 0.5))
