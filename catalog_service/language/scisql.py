"""Photometry as users of Qserv and Rubin's service write it: the functions of scisql.

All take and give doubles; a NULL, NaN or infinite argument gives NULL, and so does one outside of a function's domain.
AB magnitudes: Oke & Gunn 1983, ApJ 266, 713; fluxes in erg/s/cm2/Hz or nanojansky. `dn` is a calibrated count, `f0` the
count of a source of magnitude 0.
"""

from collections.abc import Mapping
from typing import Final

from ..models.schema import DataType
from .function import Function, Kind, declared_form

__all__ = ["SCISQL"]

_SIGMA: Final = "1.0857362047581296e0"
"""2.5 / ln 10."""

_PER_MAG: Final = "0.9210340371976183e0"
"""0.4 ln 10."""

_ZERO_FLUX: Final = "3.630780547701013e-20"
"""Flux of magnitude 0 in erg/s/cm2/Hz: 10**(-0.4 * 48.6)."""

_FLUX: Final = "power(1e1, -0.4e0 * ({0} + 48.6e0))"


def _hypot(a: str, b: str) -> str:
    """Return the root of the sum of two squares, which themselves may be beyond the range of a double."""
    most, least = f"greatest(abs({a}), abs({b}))", f"least(abs({a}), abs({b}))"
    return f"(CASE WHEN {most} > 0e0 THEN {most} * sqrt(1e0 + power({least} / {most}, 2e0)) ELSE 0e0 END)"


def _function(signature: str, formula: str, domain: str, doc: str) -> Function:
    """Return a function of numbers by its signature ``name(a, b)``; `formula` and `domain` name arguments by number."""
    count = signature.count(",") + 1
    guards = " AND ".join([*(f"isfinite({{{number}}})" for number in range(count)), domain])
    return Function(
        name=f"scisql_{signature.partition('(')[0]}".lower(),
        params=(Kind.NUMBER,) * count,
        result=DataType.DOUBLE,
        templates={count: f"CASE WHEN {guards} AND isfinite({formula}) THEN {formula} END"},
        doc=doc,
        signature=declared_form(f"scisql_{signature}", "DOUBLE PRECISION"),
    )


_ALL: Final = (
    _function("fluxToAbMag(flux)", "-2.5e0 * log10({0}) - 48.6e0", "{0} > 0e0", "AB magnitude of a flux"),
    _function("nanojanskyToAbMag(flux)", "-2.5e0 * log10({0}) + 31.4e0", "{0} > 0e0", "AB magnitude of nanojansky"),
    _function(
        "fluxToAbMagSigma(flux, fluxSigma)",
        f"{_SIGMA} * {{1}} / {{0}}",
        "{0} > 0e0 AND {1} >= 0e0",
        "error of `fluxToAbMag`",
    ),
    _function(
        "nanojanskyToAbMagSigma(flux, fluxSigma)",
        f"{_SIGMA} * {{1}} / {{0}}",
        "{0} > 0e0 AND {1} >= 0e0",
        "error of `nanojanskyToAbMag`",
    ),
    _function("abMagToFlux(mag)", _FLUX, "abs({0}) < 700e0", "flux of an AB magnitude"),
    _function(
        "abMagToNanojansky(mag)",
        "power(1e1, -0.4e0 * ({0} - 31.4e0))",
        "abs({0}) < 700e0",
        "nanojansky of an AB magnitude",
    ),
    _function(
        "abMagToFluxSigma(mag, magSigma)",
        f"{{1}} * {_FLUX} * {_PER_MAG}",
        "abs({0}) < 700e0 AND {1} >= 0e0",
        "error of `abMagToFlux`",
    ),
    _function(
        "abMagToNanojanskySigma(mag, magSigma)",
        f"{{1}} * power(1e1, -0.4e0 * ({{0}} - 31.4e0)) * {_PER_MAG}",
        "abs({0}) < 700e0 AND {1} >= 0e0",
        "error of `abMagToNanojansky`",
    ),
    _function("dnToFlux(dn, f0)", f"{_ZERO_FLUX} * {{0}} / {{1}}", "{1} > 0e0", "flux of a count"),
    _function(
        "dnToAbMag(dn, f0)",
        f"-2.5e0 * log10({_ZERO_FLUX} * {{0}} / {{1}}) - 48.6e0",
        "{0} > 0e0 AND {1} > 0e0",
        "AB magnitude of a count",
    ),
    _function(
        "dnToFluxSigma(dn, dnSigma, f0, f0Sigma)",
        f"{_ZERO_FLUX} * {_hypot('{0} / {2} * {3}', '{1}')} / {{2}}",
        "{1} >= 0e0 AND {2} > 0e0 AND {3} >= 0e0",
        "error of `dnToFlux`",
    ),
    _function(
        "dnToAbMagSigma(dn, dnSigma, f0, f0Sigma)",
        f"{_SIGMA} * {_hypot('{3} / {2}', '{1} / {0}')}",
        "{0} > 0e0 AND {1} >= 0e0 AND {2} > 0e0 AND {3} >= 0e0",
        "error of `dnToAbMag`",
    ),
    _function("fluxToDn(flux, f0)", f"{{0}} * {{1}} / {_ZERO_FLUX}", "{1} > 0e0", "count of a flux"),
    _function(
        "abMagToDn(mag, f0)",
        f"{_FLUX} * {{1}} / {_ZERO_FLUX}",
        "abs({0}) < 700e0 AND {1} > 0e0",
        "count of an AB magnitude",
    ),
    _function(
        "fluxToDnSigma(flux, fluxSigma, f0, f0Sigma)",
        f"{_hypot('{0} * {3}', '{2} * {1}')} / {_ZERO_FLUX}",
        "{1} >= 0e0 AND {2} > 0e0 AND {3} >= 0e0",
        "error of `fluxToDn`",
    ),
    _function(
        "abMagToDnSigma(mag, magSigma, f0, f0Sigma)",
        f"{_FLUX} / {_ZERO_FLUX} * {_hypot('{3}', f'{{2}} * {{1}} * {_PER_MAG}')}",
        "abs({0}) < 700e0 AND {1} >= 0e0 AND {2} > 0e0 AND {3} >= 0e0",
        "error of `abMagToDn`",
    ),
)

SCISQL: Final[Mapping[str, Function]] = {function.name: function for function in _ALL}
"""Functions by canonical name."""
