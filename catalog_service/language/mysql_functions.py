"""Scalar functions of the MySQL dialect whose meaning ADQL's have not.

Names that users write are in build_mysql.py; those here begin with ``mysql_`` and are made by it alone. Bits are those
of unsigned 64-bit integers, kept as the signed integers of the same bits until a value is asked for.
"""

from collections.abc import Mapping
from typing import Final

from ..models.schema import DataType
from .function import Function, Kind

__all__ = ["MYSQL"]

_TWO_64: Final = "18446744073709551616"

_UNSIGNED: Final = f"(CASE WHEN {{0}} < 0 THEN CAST({{0}} AS HUGEINT) + {_TWO_64} ELSE CAST({{0}} AS HUGEINT) END)"


def _signed(bits: str) -> str:
    return f"CAST(CASE WHEN {bits} > 9223372036854775807 THEN {bits} - {_TWO_64} ELSE {bits} END AS BIGINT)"


def _shift(shifted: str) -> str:
    """Return a shift: of 64 places and more, or of a negative number of them, 0."""
    value = _signed(shifted)
    return f"CASE WHEN {{1}} BETWEEN 0 AND 63 THEN {value} WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN 0 END"


_LEFT: Final = _shift(
    f"(({_UNSIGNED} & (CAST(18446744073709551615 AS HUGEINT) >> CAST({{1}} AS INTEGER))) << CAST({{1}} AS INTEGER))"
)
_RIGHT: Final = _shift(f"({_UNSIGNED} >> CAST({{1}} AS INTEGER))")


def _bits(name: str, template: str, count: int = 2) -> Function:
    return Function(f"mysql_{name}", (Kind.BITS,) * count, DataType.LONG, {count: template}, hidden=True)


def _function(
    name: str, params: tuple[Kind, ...], result: DataType | None, templates: Mapping[int, str], exact: str | None = None
) -> Function:
    return Function(f"mysql_{name}", params, result, templates, exact, hidden=True)


_TEXT, _COUNT = Kind.TEXT, Kind.DIGITS

_ALL: Final = (
    _bits("and", "({0} & {1})"),
    _bits("or", "({0} | {1})"),
    _bits("xor", "xor({0}, {1})"),
    _bits("invert", "(~{0})", 1),
    _bits("shift_left", _LEFT),
    _bits("shift_right", _RIGHT),
    _bits("unsigned", f"CAST({_UNSIGNED} AS BIGINT)", 1),
    _bits("bit_count", "CAST(bit_count({0}) AS BIGINT)", 1),
    _function(
        "div",
        (Kind.EXACT, Kind.EXACT),
        DataType.LONG,
        {2: "CASE WHEN isfinite({0} / {1}) THEN CAST(trunc({0} / {1}) AS BIGINT) END"},
        "CASE WHEN {1} <> 0 THEN {0} // {1} END",
    ),
    _function("floor", (Kind.EXACT,), None, {1: "floor({0})"}, "{0}"),
    _function("ceiling", (Kind.EXACT,), None, {1: "ceil({0})"}, "{0}"),
    _function("round", (Kind.EXACT,), None, {1: "round_even({0}, 0)"}, "{0}"),
    _function("round_to", (Kind.NUMBER, Kind.DIGITS), DataType.DOUBLE, {2: "round_even({0}, {1})"}),
    _function("sign", (Kind.NUMBER,), DataType.INT, {1: "CAST(sign({0}) AS INTEGER)"}),
    _function("log2", (Kind.NUMBER,), DataType.DOUBLE, {1: "CASE WHEN {0} > 0e0 THEN log2({0}) END"}),
    Function("mysql_greatest", (Kind.ANY,), None, {0: "greatest({args})"}, variadic=True, hidden=True),
    Function("mysql_least", (Kind.ANY,), None, {0: "least({args})"}, variadic=True, hidden=True),
    _function("fold", (_TEXT,), DataType.TEXT, {1: "lower(rtrim({0}, ' '))"}),
    _function("length", (_TEXT,), DataType.INT, {1: "CAST(strlen({0}) AS INTEGER)"}),
    _function("char_length", (_TEXT,), DataType.INT, {1: "CAST(length({0}) AS INTEGER)"}),
    _function("left", (_TEXT, _COUNT), DataType.TEXT, {2: "left({0}, greatest({1}, 0 * {1}))"}),
    _function("right", (_TEXT, _COUNT), DataType.TEXT, {2: "right({0}, greatest({1}, 0 * {1}))"}),
    _function(
        "substring",
        (_TEXT, _COUNT, _COUNT),
        DataType.TEXT,
        {
            2: "CASE WHEN abs({1}) > length({0}) OR {1} = 0 THEN left({0}, 0) ELSE substring({0}, {1}) END",
            3: "CASE WHEN abs({1}) > length({0}) OR {1} = 0 OR {2} < 1 THEN left({0}, 0 * {2}) "
            "ELSE substring({0}, {1}, {2}) END",
        },
    ),
    _function("trim", (_TEXT,), DataType.TEXT, {1: "trim({0}, ' ')"}),
    _function("ltrim", (_TEXT,), DataType.TEXT, {1: "ltrim({0}, ' ')"}),
    _function("rtrim", (_TEXT,), DataType.TEXT, {1: "rtrim({0}, ' ')"}),
    _function(
        "replace",
        (_TEXT, _TEXT, _TEXT),
        DataType.TEXT,
        {3: "CASE WHEN {1} = '' AND {2} IS NOT NULL THEN {0} ELSE replace({0}, {1}, {2}) END"},
    ),
    _function("reverse", (_TEXT,), DataType.TEXT, {1: "reverse({0})"}),
    _function("instr", (_TEXT, _TEXT), DataType.INT, {2: "CAST(strpos(lower({0}), lower({1})) AS INTEGER)"}),
)

MYSQL: Final[Mapping[str, Function]] = {function.name: function for function in _ALL}
"""Functions by canonical name."""
