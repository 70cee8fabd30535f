"""The photometry of scisql against formulas in Python, and against values measured with the library itself."""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from catalog_service.exceptions import QuerySyntaxError
from catalog_service.language.functions import FUNCTIONS, declared_features
from catalog_service.language.scisql import SCISQL
from catalog_service.language.scisql_regions import SCISQL_REGIONS
from tests.catalog_service.language.store import Store

K = 10 ** (-0.4 * 48.6)
PER_MAG = 0.4 * math.log(10)


def magnitude(flux: float) -> float:
    return -2.5 * math.log10(flux) - 48.6


def flux_of(mag: float) -> float:
    return 10 ** (-0.4 * (mag + 48.6))


def nano_of(mag: float) -> float:
    return 10 ** (-0.4 * (mag - 31.4))


def positive(*numbers: float) -> None:
    if any(number <= 0 for number in numbers):
        raise ValueError


def not_negative(*numbers: float) -> None:
    if any(number < 0 for number in numbers):
        raise ValueError


def sigma(flux: float, error: float) -> float:
    positive(flux)
    not_negative(error)
    return 2.5 / math.log(10) * error / flux


def flux_sigma(dn: float, error: float, f0: float, f0_error: float) -> float:
    positive(f0)
    not_negative(error, f0_error)
    return K * math.hypot(dn * f0_error, error * f0) / f0**2


def dn_to_flux(dn: float, f0: float) -> float:
    positive(f0)
    return K * dn / f0


def dn_to_mag(dn: float, f0: float) -> float:
    positive(dn, f0)
    return magnitude(K * dn / f0)


def dn_mag_sigma(dn: float, error: float, f0: float, f0_error: float) -> float:
    positive(dn)
    return 2.5 / math.log(10) * flux_sigma(dn, error, f0, f0_error) / (K * dn / f0)


def flux_to_dn(flux: float, f0: float) -> float:
    positive(f0)
    return flux * f0 / K


def flux_to_dn_sigma(flux: float, error: float, f0: float, f0_error: float) -> float:
    positive(f0)
    not_negative(error, f0_error)
    return math.hypot(flux * f0_error, f0 * error) / K


def mag_sigma(mag: float, error: float, flux: Callable[[float], float]) -> float:
    not_negative(error)
    return error * flux(mag) * PER_MAG


def mag_to_dn_sigma(mag: float, error: float, f0: float, f0_error: float) -> float:
    return flux_to_dn_sigma(flux_of(mag), mag_sigma(mag, error, flux_of), f0, f0_error)


ORACLE: dict[str, Callable[..., float]] = {
    "fluxToAbMag": magnitude,
    "nanojanskyToAbMag": lambda f: -2.5 * math.log10(f) + 31.4,
    "fluxToAbMagSigma": sigma,
    "nanojanskyToAbMagSigma": sigma,
    "abMagToFlux": flux_of,
    "abMagToNanojansky": nano_of,
    "abMagToFluxSigma": lambda m, s: mag_sigma(m, s, flux_of),
    "abMagToNanojanskySigma": lambda m, s: mag_sigma(m, s, nano_of),
    "dnToFlux": dn_to_flux,
    "dnToAbMag": dn_to_mag,
    "dnToFluxSigma": flux_sigma,
    "dnToAbMagSigma": dn_mag_sigma,
    "fluxToDn": flux_to_dn,
    "abMagToDn": lambda m, f0: flux_to_dn(flux_of(m), f0),
    "fluxToDnSigma": flux_to_dn_sigma,
    "abMagToDnSigma": mag_to_dn_sigma,
}

COLUMNS = ("mag", '"size"', "m", "flux", "lon")
"""Floats with NULLs, small positive doubles, integers of either sign, awkward fluxes, infinities."""


def truth(name: str, arguments: tuple[Any, ...]) -> float | None:
    if any(one is None or not math.isfinite(one) for one in arguments):
        return None
    try:
        return ORACLE[name](*map(float, arguments))
    except (ValueError, OverflowError):
        return None


def test_every_function_has_a_formula_here() -> None:
    assert {f"scisql_{name}".lower() for name in ORACLE} == set(SCISQL) <= set(FUNCTIONS)


@pytest.mark.parametrize("name", sorted(ORACLE))
@pytest.mark.parametrize("shift", range(3))
def test_values(store: Store, name: str, shift: int) -> None:
    count = len(SCISQL[f"scisql_{name}".lower()].params)
    columns = [COLUMNS[(shift + 2 * n) % len(COLUMNS)] for n in range(count)]
    found = store.run(f"SELECT {', '.join(columns)}, scisql_{name}({', '.join(columns)}) FROM sky.Object").rows
    known = 0
    for *arguments, value in found:
        expected = truth(name, tuple(arguments))
        if any(one and math.isfinite(one) and not 1e-100 < abs(one) < 1e100 for one in arguments):
            assert value is None or math.isfinite(value)  # the order of products decides whether they overflow
            continue
        known += expected is not None
        assert (value is None) == (expected is None), arguments
        assert expected is None or value == pytest.approx(expected, rel=1e-12), arguments
    assert known or all(truth(name, tuple(row[:-1])) is None for row in found)


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("SCISQL_nanojanskyToAbMag(1000)", 23.9),
        ("scisql_nanojanskyToAbMag(3631e9)", -6.562e-5),
        ("scisql_nanojanskyToAbMagSigma(1000, 10)", 0.010857362047581296),
        ("scisql_abMagToNanojanskySigma(23.9, 0.1)", 92.10340371976183),
        ("scisql_nanojanskyToAbMagSigma(1000, 0)", 0.0),
        ("scisql_nanojanskyToAbMag(0)", None),
        ("scisql_fluxToAbMag(-1)", None),
    ],
)
def test_values_measured_with_the_library(store: Store, call: str, value: float | None) -> None:
    found = store.run(f"SELECT TOP 1 {call} FROM sky.Object").column()[0]
    assert found is None if value is None else found == pytest.approx(value, rel=1e-4 if value < 0 else 1e-12)


def separation(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    a, d, b, e = (math.radians(value) for value in (lon1, lat1, lon2, lat2))
    chord = (math.cos(d) * math.cos(a) - math.cos(e) * math.cos(b)) ** 2
    chord += (math.cos(d) * math.sin(a) - math.cos(e) * math.sin(b)) ** 2 + (math.sin(d) - math.sin(e)) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(chord) / 2)))


@pytest.mark.parametrize("centre", [(150.0, 2.0), (0.3, -0.2), (40.0, 89.5), (200.0, -90.0)])
def test_geometry(store: Store, centre: tuple[float, float]) -> None:
    lon, lat = centre
    calls = f"scisql_angSep(lon, lat, {lon}, {lat}), scisql_s2PtInCircle(lon, lat, {lon}, {lat}, 1.5)"
    found = store.run(f"SELECT lon, lat, {calls} FROM sky.Object").rows
    inside = 0
    for a, d, away, flag in found:
        if a is None or not (math.isfinite(a) and math.isfinite(d)):
            assert (away, flag) == (None, 0)
            continue
        true = separation(a, d, lon, lat)
        assert away == pytest.approx(true, abs=1e-9)
        assert flag == (true <= 1.5) or abs(true - 1.5) < 1e-9
        inside += flag
    assert inside > 50


def test_a_polygon_gives_one_or_zero(store: Store) -> None:
    corners = (149.95, 1.95, 150.05, 1.95, 150.05, 2.05, 149.95, 2.05)
    text = ", ".join(map(str, corners))
    rows = store.run(f"SELECT ra, dec, scisql_s2PtInCPoly(ra, dec, {text}), lon IS NULL FROM sky.Object").rows
    for ra, dec, flag, _ in rows:
        clear = min(abs(ra - 149.95), abs(ra - 150.05), abs(dec - 1.95), abs(dec - 2.05)) > 1e-3
        assert not clear or flag == (149.95 < ra < 150.05 and 1.95 < dec < 2.05)
    whole = store.run("SELECT objectId FROM sky.Object WHERE scisql_s2PtInCircle(lon, lat, 0, 0, 180) = 0").column()
    unknown = [
        row for row in store.run("SELECT lon, lat FROM sky.Object").rows if None in row or math.inf in map(abs, row)
    ]
    assert len(whole) == len(unknown) > 20


@pytest.mark.parametrize(
    ("call", "usage"),
    [
        ("scisql_angSep(ra, dec, 1)", "scisql_angSep(lon1, lat1, lon2, lat2)"),
        ("scisql_s2PtInCircle(ra, dec, 1, 2)", "scisql_s2PtInCircle(lon, lat, centreLon, centreLat, radius)"),
        ("scisql_s2PtInCPoly(ra, dec, 1, 2, 3, 4)", "scisql_s2PtInCPoly(lon, lat, lon1, lat1"),
    ],
)
def test_a_wrong_number_of_arguments_is_told_with_the_right_one(store: Store, call: str, usage: str) -> None:
    with pytest.raises(QuerySyntaxError, match=re.escape(usage)):
        store.run(f"SELECT {call} FROM sky.Object")


def test_they_are_declared_as_functions_of_ours() -> None:
    forms = dict(declared_features())["features-udf"]
    assert "scisql_nanojanskyToAbMag(flux DOUBLE PRECISION) -> DOUBLE PRECISION" in forms
    assert "scisql_angSep(lon1 DOUBLE PRECISION, lat1 DOUBLE PRECISION, lon2 DOUBLE PRECISION" in " ".join(forms)
    ours = [form for form in forms if form.startswith("scisql_")]
    assert len(ours) == len(SCISQL) + len(SCISQL_REGIONS) + 5 + len({"s2HtmId", "s2HtmLevel"})
