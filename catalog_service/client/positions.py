"""Positions and angles as users write them -> plain degrees, without loading astropy.

astropy's objects are recognised by what they can do (`to_value`, `icrs`), so that this module works whether
or not astropy is installed.
"""

import math
import re
from typing import Any, Final

from ..exceptions import ParameterError

__all__ = ["parse_angle", "parse_coordinate", "resolve_cone", "to_degrees"]

_UNITS_PER_DEGREE: Final = {
    **dict.fromkeys(("", "d", "deg", "degree", "degrees", "\N{DEGREE SIGN}"), 1.0),
    **dict.fromkeys(("arcmin", "arcmins", "'", "\N{PRIME}"), 60.0),
    **dict.fromkeys(("arcsec", "arcsecs", '"', "\N{DOUBLE PRIME}", "''"), 3600.0),
    "mas": 3_600_000.0,
    "rad": math.radians(1.0),
}

_ANGLE: Final = re.compile(r"\s*(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>[^\d\s]*)\s*")

_SEXAGESIMAL: Final = re.compile(
    r"""\s*(?P<sign>[+-]?)(?P<whole>\d+)(?:\s*(?P<kind>[hd:\u00b0])\s*|\s+)(?P<minutes>[0-5]?\d)(?:\s*[m:'\u2032]\s*|\s+)"""
    r"""(?P<seconds>[0-5]?\d(?:\.\d*)?)\s*[s"\u2033]?\s*""",
    re.IGNORECASE,
)
_DEGREES_PER_HOUR: Final = 15.0

_UNITS_HELP: Final = "Write degrees as a number, or a number with one of deg, arcmin ('), arcsec (\"), mas, rad."


def parse_angle(text: str, *, name: str = "angle") -> float:
    """Return the angle, in degrees, that a text such as ``1deg``, ``5'`` or ``30 arcsec`` means.

    Parameters
    ----------
    text
        A number, alone (degrees) or followed by a unit.
    name
        What the angle is, for the error message.

    Raises
    ------
    ParameterError
        If the text is no number with a known unit.

    Examples
    --------
    >>> parse_angle("90arcmin"), parse_angle('36"'), parse_angle("0.5")
    (1.5, 0.01, 0.5)
    """
    match = _ANGLE.fullmatch(text)
    per_degree = _UNITS_PER_DEGREE.get(match["unit"]) if match else None
    if match is None or per_degree is None:
        raise ParameterError(f"{name} {text!r} is not an angle.", remedy=_UNITS_HELP)
    return _finite(float(match["number"]) / per_degree, name)


def parse_coordinate(text: str, *, is_right_ascension: bool) -> float:
    """Return the coordinate, in degrees, that a text such as ``56.75``, ``03:47:00`` or ``+24d07m12s`` means.

    Parameters
    ----------
    text
        An angle as for `parse_angle`, or sexagesimal.
    is_right_ascension
        Whether ``03:47:00`` and ``03 47 00`` are hours; ``3h47m00s`` is in any case.

    Raises
    ------
    ParameterError
        If the text is neither.

    Examples
    --------
    >>> parse_coordinate("03:47:00", is_right_ascension=True), parse_coordinate("-0d30m00s", is_right_ascension=False)
    (56.75, -0.5)
    """
    match = _SEXAGESIMAL.fullmatch(text)
    if match is None:
        return parse_angle(text, name="ra" if is_right_ascension else "dec")
    size = int(match["whole"]) + int(match["minutes"]) / 60 + float(match["seconds"]) / 3600
    kind = (match["kind"] or ":").lower()
    is_hours = kind == "h" or (kind == ":" and is_right_ascension)
    return (-size if match["sign"] == "-" else size) * (_DEGREES_PER_HOUR if is_hours else 1.0)


def to_degrees(value: Any, *, name: str = "angle") -> float:
    """Return one angle in degrees.

    Parameters
    ----------
    value
        A number (degrees), a text for `parse_angle`, or an astropy ``Angle`` or ``Quantity``; one value, no array.
    name
        What the angle is, for the error message.

    Raises
    ------
    ParameterError
        If the value is no single finite angle.
    """
    if isinstance(value, str):
        return parse_angle(value, name=name)
    try:
        number = float(value.to_value("deg") if hasattr(value, "to_value") else value)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} {value!r} is not one angle: {error}.", remedy=_UNITS_HELP) from error
    return _finite(number, name)


def resolve_cone(ra: Any, dec: Any, radius: Any) -> tuple[float, float, float]:
    """Return (ra, dec, radius) of a cone in degrees, ICRS.

    Parameters
    ----------
    ra, dec, radius
        Three angles for `to_degrees`; or one astropy ``SkyCoord`` of any celestial frame in place of `ra`, with the
        radius as `radius` or, since it is then the second argument, as `dec`.

    Raises
    ------
    ParameterError
        If one of them is missing, too many, not a single value, or no angle.
    """
    if hasattr(ra, "icrs"):
        given = [angle for angle in (dec, radius) if angle is not None]
        if len(given) != 1:
            raise ParameterError("A cone around a SkyCoord takes one radius: cone(position, radius, table=...).")
        if not ra.isscalar:
            raise ParameterError(
                f"A cone takes one position, but the SkyCoord holds {ra.size}.", remedy="Call cone() for each of them."
            )
        center = ra.icrs
        return to_degrees(center.ra, name="ra"), to_degrees(center.dec, name="dec"), to_degrees(given[0], name="radius")
    if dec is None or radius is None:
        raise ParameterError(
            "A cone takes ra, dec and radius: cone(ra, dec, radius, table=...) or cone(SkyCoord, radius, table=...)."
        )
    return _coordinate(ra, "ra"), _coordinate(dec, "dec"), to_degrees(radius, name="radius")


def _coordinate(value: Any, name: str) -> float:
    if isinstance(value, str):
        return parse_coordinate(value, is_right_ascension=name == "ra")
    return to_degrees(value, name=name)


def _finite(number: float, name: str) -> float:
    if not math.isfinite(number):
        raise ParameterError(f"{name} is {number}, not a finite angle.", remedy=_UNITS_HELP)
    return number
