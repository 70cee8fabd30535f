"""scisql's boxes and ellipses: 1 inside and on the boundary, 0 outside or where an argument is NULL.

NULL for an infinite argument, a latitude that is none, and parameters that make no region. Ellipses are tested by
direction cosines at the centre, in its hemisphere: a point on the edge of one of 10 degrees lies at 10.05 degrees.
"""

from collections.abc import Mapping
from typing import Final

from ..models.schema import DataType
from .function import Function, Kind, declared_form

__all__ = ["SCISQL_REGIONS"]


def _region(signature: str, legal: str, inside: str, doc: str) -> Function:
    count = signature.count(",") + 1
    nulls = " OR ".join(f"{{{number}}} IS NULL" for number in range(count))
    finite = " AND ".join(f"isfinite({{{number}}})" for number in range(count))
    return Function(
        name=signature.partition("(")[0].lower(),
        params=(Kind.NUMBER,) * count,
        result=DataType.INT,
        templates={count: f"CASE WHEN {nulls} THEN 0 WHEN {finite} AND {legal} THEN CAST({inside} AS INTEGER) END"},
        doc=doc,
        signature=declared_form(signature, "INTEGER"),
    )


def _turn(longitude: str) -> str:
    """Return a longitude in [0, 360)."""
    rest = f"({longitude} % 360e0)"
    folded = f"(CASE WHEN {rest} < 0e0 THEN {rest} + 360e0 ELSE {rest} END)"
    return f"(CASE WHEN {folded} >= 360e0 THEN 0e0 ELSE {folded} END)"


_LON, _MIN, _MAX = (_turn(f"{{{number}}}") for number in (0, 2, 4))

_BOX: Final = _region(
    "scisql_s2PtInBox(lon, lat, lonMin, latMin, lonMax, latMax)",
    "abs({1}) <= 90e0 AND abs({3}) <= 90e0 AND abs({5}) <= 90e0"
    " AND ({2} <= {4} OR ({2} BETWEEN 0e0 AND 360e0 AND {4} BETWEEN 0e0 AND 360e0))",
    f"({{1}} BETWEEN {{3}} AND {{5}} AND ({{4}} - {{2}} >= 360e0"
    f" OR CASE WHEN {_MIN} <= {_MAX} THEN {_LON} BETWEEN {_MIN} AND {_MAX}"
    f" ELSE {_LON} >= {_MIN} OR {_LON} <= {_MAX} END))",
    "1 if a position lies between two meridians and two parallels, boundaries included; `lonMin` may be larger than "
    "`lonMax` within 0 and 360",
)

_EAST: Final = "(cos(radians({1})) * sin(radians({0} - {2})))"
_NORTH: Final = (
    "(cos(radians({3})) * sin(radians({1})) - sin(radians({3})) * cos(radians({1})) * cos(radians({0} - {2})))"
)
_FRONT: Final = (
    "(sin(radians({3})) * sin(radians({1})) + cos(radians({3})) * cos(radians({1})) * cos(radians({0} - {2})))"
)
_MAJOR: Final = f"(({_EAST} * sin(radians({{6}})) + {_NORTH} * cos(radians({{6}}))) / radians({{4}} / 3600e0))"
_MINOR: Final = f"(({_EAST} * cos(radians({{6}})) - {_NORTH} * sin(radians({{6}}))) / radians({{5}} / 3600e0))"

_ELLIPSE: Final = _region(
    "scisql_s2PtInEllipse(lon, lat, centreLon, centreLat, semiMajor, semiMinor, positionAngle)",
    "abs({1}) <= 90e0 AND abs({3}) <= 90e0 AND {5} >= 0e0 AND {4} >= {5} AND {4} <= 36000e0",
    f"({{5}} > 0e0 AND {_FRONT} > 0e0 AND {_MAJOR} * {_MAJOR} + {_MINOR} * {_MINOR} <= 1e0)",
    "1 if a position lies in an ellipse: semi-axes in arcseconds, position angle of the longer one in degrees from "
    "north to east",
)

SCISQL_REGIONS: Final[Mapping[str, Function]] = {function.name: function for function in (_BOX, _ELLIPSE)}
"""Functions by canonical name."""
