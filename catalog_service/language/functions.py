"""The functions that queries may call: nothing else is ever emitted.

Mathematical functions take and give doubles, as ADQL 2.1 section 2.3 says, except `abs` and `mod` of integers, which
stay exact 64-bit integers. Outside a function's domain, and where a finite argument would give an infinite result, the
value is NULL, never NaN or infinity; an infinite argument of `log`, `log10` and `sqrt` gives infinity.
"""

from collections.abc import Mapping
from typing import Final

from ..models.schema import DataType
from .build_scisql import geometry_forms
from .corners import CORNERS
from .function import Aggregation, Function, Kind
from .ivo import IVO, IVO_FORMS
from .mysql_dates import DATES
from .mysql_functions import MYSQL
from .mysql_texts import BIT_AGGREGATES, TEXT_EXTREMES, TEXTS
from .scisql import SCISQL
from .scisql_htm import SCISQL_HTM
from .scisql_regions import SCISQL_REGIONS
from .statistics import STATISTICS

__all__ = ["AGGREGATES", "FUNCTIONS", "declared_features"]


def _math(name: str, template: str, doc: str) -> Function:
    return Function(name, (Kind.NUMBER,), DataType.DOUBLE, {1: template}, doc=doc)


_FINITE = "CASE WHEN isfinite({0}) THEN %s END"
_TRUNCATED: Final = (
    "CASE WHEN abs(round({0}, {1})) <= abs({0}) THEN round({0}, {1}) "
    "ELSE round(round({0}, {1}) - sign({0}) * power(1e1, -{1}), {1}) END"
)

_ALL: Final = (
    Function(
        "abs",
        (Kind.EXACT,),
        None,
        {1: "abs({0})"},
        "abs({0})",
        doc="absolute value; of an integer, an integer",
    ),
    _math("ceiling", "ceil({0})", "smallest integer not below the argument, as a double"),
    _math("degrees", "degrees({0})", "radians to degrees"),
    _math("exp", "CASE WHEN {0} <= 709.782712893384e0 THEN exp({0}) END", "e to the power of the argument"),
    _math("floor", "floor({0})", "largest integer not above the argument, as a double"),
    _math("log", "CASE WHEN {0} > 0e0 THEN ln({0}) END", "natural logarithm; NULL unless the argument is positive"),
    _math("log10", "CASE WHEN {0} > 0e0 THEN log10({0}) END", "logarithm of base 10; NULL unless positive"),
    Function(
        "mod",
        (Kind.EXACT, Kind.EXACT),
        None,
        {2: "CASE WHEN NOT isnan({0} % {1}) THEN {0} % {1} END"},
        "CASE WHEN {1} <> 0 THEN {0} % {1} END",
        doc="remainder with the sign of the first argument; NULL if the second is 0",
    ),
    Function("pi", (), DataType.DOUBLE, {0: "pi()"}, doc="the number pi"),
    Function(
        "power",
        (Kind.NUMBER, Kind.NUMBER),
        DataType.DOUBLE,
        {2: "CASE WHEN isfinite(power({0}, {1})) THEN power({0}, {1}) END"},
        doc="the first argument to the power of the second",
    ),
    _math("radians", "radians({0})", "degrees to radians"),
    _math("sqrt", "CASE WHEN {0} >= 0e0 THEN sqrt({0}) END", "square root; NULL of a negative number"),
    Function(
        "rand",
        (Kind.DIGITS,),
        DataType.DOUBLE,
        {0: "random()", 1: "CASE WHEN {0} IS NULL THEN NULL ELSE random() END"},
        doc="a random number in [0, 1) for each row; ADQL gives the seed no defined meaning and it has none here",
    ),
    Function(
        "sample_hash",
        (Kind.KEY,),
        DataType.DOUBLE,
        {1: "CAST('0x' || left(md5({0}), 13) AS BIGINT) / 4503599627370496e0"},
        doc="a number in [0, 1) that depends on the value alone, an integer or a text, so that `sample_hash(id) < .01` "
        "is a random sample which is the same each time: 13 hexadecimal digits of MD5, divided by 16**13",
        signature="sample_hash(id BIGINT) -> DOUBLE PRECISION",
    ),
    Function(
        "round",
        (Kind.NUMBER, Kind.DIGITS),
        DataType.DOUBLE,
        {1: "round({0})", 2: "round({0}, {1})"},
        doc="rounded to a number of decimal digits (default 0, may be negative), halves away from zero",
    ),
    Function(
        "truncate",
        (Kind.NUMBER, Kind.DIGITS),
        DataType.DOUBLE,
        {1: "trunc({0})", 2: _TRUNCATED},
        doc="cut towards zero after a number of decimal digits (default 0, may be negative)",
    ),
    _math("acos", "CASE WHEN {0} BETWEEN -1e0 AND 1e0 THEN acos({0}) END", "arc cosine in radians"),
    _math("asin", "CASE WHEN {0} BETWEEN -1e0 AND 1e0 THEN asin({0}) END", "arc sine in radians"),
    _math("atan", "atan({0})", "arc tangent in radians"),
    Function(
        "atan2",
        (Kind.NUMBER, Kind.NUMBER),
        DataType.DOUBLE,
        {2: "atan2({0}, {1})"},
        doc="arc tangent in radians of the first argument divided by the second, in its quadrant",
    ),
    _math("cos", _FINITE % "cos({0})", "cosine of radians"),
    _math("cot", "CASE WHEN isfinite({0}) AND {0} <> 0e0 THEN cot({0}) END", "cotangent of radians"),
    _math("sin", _FINITE % "sin({0})", "sine of radians"),
    _math("tan", _FINITE % "tan({0})", "tangent of radians"),
    Function("lower", (Kind.TEXT,), DataType.TEXT, {1: "lower({0})"}, doc="in lower case"),
    Function("upper", (Kind.TEXT,), DataType.TEXT, {1: "upper({0})"}, doc="in upper case"),
    Function(
        "coalesce",
        (Kind.ANY,),
        None,
        {0: "coalesce({args})"},
        variadic=True,
        doc="the first argument that is not NULL",
    ),
    Function("coordsys", (Kind.ANY,), DataType.TEXT, {1: ""}, doc="coordinate system of a geometry: always ICRS"),
)

FUNCTIONS: Final[Mapping[str, Function]] = {
    function.name: function
    for functions in (
        _ALL,
        SCISQL.values(),
        SCISQL_REGIONS.values(),
        SCISQL_HTM.values(),
        IVO.values(),
        CORNERS.values(),
        MYSQL.values(),
        TEXTS.values(),
        DATES.values(),
    )
    for function in functions
}
"""Scalar functions by canonical name."""


def _inner(name: str, params: tuple[Kind, ...], result: DataType, template: str) -> Aggregation:
    return Aggregation(name, numeric=True, hidden=True, params=params, result=result, template=template)


_TOTAL: Final = "CAST(sum({0}) AS DOUBLE)"

PARTIAL_SUMS: Final = (
    _inner("partial_integers", (Kind.WHOLE,), DataType.LONG, "sum({0})"),
    _inner("partial_doubles", (Kind.NUMBER,), DataType.DOUBLE, "sum({0})"),
    _inner(
        "merged_mean",
        (Kind.ANY, Kind.ANY),
        DataType.DOUBLE,
        f"CASE WHEN sum({{1}}) > 0 AND NOT isnan({_TOTAL}) THEN {_TOTAL} / sum({{1}}) END",
    ),
)
"""Sums of batches as they are: integers of 128 bits, doubles that may be NaN; and what becomes of them."""


def _joined(name: str, direction: str) -> Aggregation:
    template = f"string_agg({{0}}, {{1}} ORDER BY {{2}} {direction}){{over}}"
    params = (Kind.TEXT, Kind.QUOTED, Kind.ANY)
    return Aggregation(name, numeric=False, hidden=True, params=params, result=DataType.TEXT, template=template)


JOINED_TEXTS: Final = (_joined("mysql_joined_up", "ASC NULLS FIRST"), _joined("mysql_joined_down", "DESC NULLS LAST"))
"""MySQL's GROUP_CONCAT of an order of its own."""

AGGREGATES: Final[Mapping[str, Aggregation]] = {
    aggregation.name: aggregation
    for aggregation in (
        Aggregation("avg", numeric=True, doc="mean, a double"),
        Aggregation("count", numeric=False, doc="number of rows, or of values that are not NULL"),
        Aggregation("max", numeric=False, doc="largest value"),
        Aggregation("min", numeric=False, doc="smallest value"),
        Aggregation("sum", numeric=True, doc="sum: of integers a 64-bit integer, otherwise a double"),
        Aggregation("any_value", numeric=False, doc="some value of the group: the smallest, always", hidden=True),
        *PARTIAL_SUMS,
        *BIT_AGGREGATES,
        *TEXT_EXTREMES,
        *JOINED_TEXTS,
    )
} | dict(STATISTICS)
"""Set functions by canonical name."""


def declared_features() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return what TAP capabilities declare: (feature type, forms), types relative to TAPRegExt's namespace.

    The mandatory functions of ADQL are not listed (TAPRegExt 1.0 section 2.3). Geometry takes numbers and columns
    alike. COALESCE works but is left out: the validator of STILTS 3.4 takes its feature type for an error.
    """
    signatures = [function.signature for function in FUNCTIONS.values() if function.signature]
    signatures += [aggregation.signature for aggregation in STATISTICS.values()]
    geometry = ("AREA", "BOX", "CENTROID", "CIRCLE", "CONTAINS", "COORD1", "COORD2", "COORDSYS", "DISTANCE")
    return (
        ("features-adqlgeo", (*geometry, "INTERSECTS", "POINT", "POLYGON", "REGION")),
        ("features-adql-string", ("LOWER", "UPPER", "ILIKE")),
        ("features-adql-common-table", ("WITH",)),
        ("features-adql-sets", ("UNION", "EXCEPT", "INTERSECT")),
        ("features-adql-type", ("CAST",)),
        ("features-adql-unit", ("IN_UNIT",)),
        ("features-adql-offset", ("OFFSET",)),
        ("features-udf", (*signatures, *geometry_forms(), *IVO_FORMS)),
    )
