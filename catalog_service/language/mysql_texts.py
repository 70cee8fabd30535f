"""Functions of texts, bits and patterns of the MySQL dialect, beside those of mysql_functions.py.

>>> from .mysql_texts import pattern_fault
>>> pattern_fault("^[a-z]+[0-9]{2}$"), pattern_fault("(?=a)")
(None, 'it uses (?')
"""

import re
import warnings
from collections.abc import Mapping
from math import prod
from typing import Final

from ..models.schema import DataType
from .function import Aggregation, Function, Kind
from .mysql_soundex import SOUNDEX

__all__ = ["BIT_AGGREGATES", "TEXTS", "TEXT_EXTREMES", "pattern_fault"]

_LONGEST: Final = 65_535
"""Characters of a text that is made by padding and repeating.

DuckDB folds constants inside a CASE that is never reached, so that what makes texts has to be bounded itself.
"""
_MOST_TIMES: Final = f"{_LONGEST} // greatest(length({{0}}), 1)"


def _of(name: str, params: tuple[Kind, ...], result: DataType, template: str) -> Function:
    return Function(f"mysql_{name}", params, result, {len(params): template}, hidden=True)


def _text(name: str, params: tuple[Kind, ...], template: str) -> Function:
    return _of(name, params, DataType.TEXT, template)


def _pad(side: str) -> Function:
    template = (
        f"CASE WHEN {{1}} < 0 OR {{1}} > {_LONGEST} THEN NULL WHEN {{1}} <= length({{0}}) THEN left({{0}}, {{1}}) "
        f"WHEN {{2}} <> '' AND {{1}} IS NOT NULL THEN {side}({{0}}, least({{1}}, {_LONGEST}), {{2}}) END"
    )
    return _text(side, (Kind.TEXT, Kind.DIGITS, Kind.TEXT), template)


def _trimmed(name: str, template: str) -> Function:
    """Return the function that takes a text, its first argument, away from the ends of another."""
    return _text(name, (Kind.TEXT, Kind.TEXT), f"CASE WHEN {{0}} = '' THEN {{1}} ELSE {template} END")


_HEAD: Final = "regexp_replace({1}, '^(?:' || regexp_escape({0}) || ')+', '')"
_TAIL: Final = "regexp_replace({1}, '(?:' || regexp_escape({0}) || ')+$', '')"

_INSERTED: Final = (
    "CASE WHEN {2} IS NULL THEN NULL WHEN {1} < 1 OR {1} > length({0}) THEN {0} || left({3}, 0) "
    "ELSE left({0}, {1} - 1) || {3} || CASE WHEN {2} < 0 THEN '' ELSE substring({0}, {1} + {2}) END END"
)

_PARTS: Final = (
    "CASE WHEN {1} = '' OR {2} = 0 THEN left({0}, 0) "
    "WHEN {2} > 0 THEN array_to_string(list_slice(string_split({0}, {1}), 1, {2}), {1}) "
    "ELSE array_to_string(list_slice(string_split({0}, {1}), {2}, -1), {1}) END"
)

_PLACE: Final = (
    "CASE WHEN {2} < 1 OR {2} > length({0}) THEN 0 * length({1}) "
    "WHEN strpos(lower(substring({0}, {2})), lower({1})) = 0 THEN 0 "
    "ELSE strpos(lower(substring({0}, {2})), lower({1})) + {2} - 1 END"
)

_ALL: Final = (
    SOUNDEX,
    Function("mysql_concat_ws", (Kind.ANY,), None, {0: "concat_ws({args})"}, variadic=True, hidden=True),
    _of("ascii", (Kind.TEXT,), DataType.INT, "CAST(ascii({0}) AS INTEGER)"),
    _pad("lpad"),
    _pad("rpad"),
    _text(
        "repeat",
        (Kind.TEXT, Kind.DIGITS),
        f"CASE WHEN {{1}} < 1 THEN left({{0}}, 0) "
        f"WHEN {{1}} <= {_MOST_TIMES} THEN repeat({{0}}, least({{1}}, {_MOST_TIMES})) END",
    ),
    _text("insert", (Kind.TEXT, Kind.DIGITS, Kind.DIGITS, Kind.TEXT), _INSERTED),
    _text("substring_index", (Kind.TEXT, Kind.TEXT, Kind.DIGITS), _PARTS),
    _of("locate_from", (Kind.TEXT, Kind.TEXT, Kind.DIGITS), DataType.INT, f"CAST({_PLACE} AS INTEGER)"),
    _of(
        "find_in_set",
        (Kind.TEXT, Kind.TEXT),
        DataType.INT,
        "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL "
        "THEN CAST(coalesce(list_position(string_split(lower({1}), ','), lower({0})), 0) AS INTEGER) END",
    ),
    _trimmed("trim_both", _TAIL.replace("{1}", _HEAD)),
    _trimmed("trim_head", _HEAD),
    _trimmed("trim_tail", _TAIL),
    _text("hex_of_text", (Kind.TEXT,), "hex({0})"),
    _text("hex", (Kind.BITS,), "hex({0})"),
    _text("bin", (Kind.BITS,), "bin({0})"),
    _text("md5", (Kind.TEXT,), "md5({0})"),
    _text("sha1", (Kind.TEXT,), "sha1({0})"),
    _of("regexp", (Kind.TEXT, Kind.QUOTED), DataType.BOOLEAN, "regexp_matches({0}, {1}, 'i')"),
    _text("binary", (Kind.TEXT,), "{0}"),
)

TEXTS: Final[Mapping[str, Function]] = {function.name: function for function in _ALL}
"""Functions by canonical name."""


def _bits(name: str) -> Aggregation:
    template = f"{name}({{distinct}}{{0}}){{over}}"
    return Aggregation(f"mysql_{name}", numeric=True, hidden=True, params=(Kind.BITS,), result=DataType.LONG,
                       template=template)  # fmt: skip


def _extreme(name: str) -> Aggregation:
    """Return the smallest or largest text by what is compared of it, and of equal ones the smallest or largest."""
    template = f"arg_{name}({{0}}, row(upper(rtrim({{0}}, ' ')), {{0}})){{over}}"
    return Aggregation(f"mysql_{name}", numeric=False, hidden=True, params=(Kind.TEXT,), result=DataType.TEXT,
                       template=template)  # fmt: skip


TEXT_EXTREMES: Final = tuple(map(_extreme, ("min", "max")))
"""MIN and MAX of texts, by their names in MySQL after ``mysql_``."""

BIT_AGGREGATES: Final = tuple(map(_bits, ("bit_and", "bit_or", "bit_xor")))
"""Set functions of bits, by their names in MySQL after ``mysql_``; of no rows they are NULL."""

# --- patterns of REGEXP ---------------------------------------------------------------------------

_CLASS: Final = re.compile(r"\[:\w+:\]")
_FOREIGN: Final = re.compile(r"\(\?|\\[1-9AZzQEgkpPux]|[*+?}]\+")
"""What Python's patterns, by which a pattern is checked, know and DuckDB's do not, or otherwise."""
_COUNTS: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_MOST_REPEATS: Final = 1000


def pattern_fault(pattern: str) -> str | None:
    """Return what is wrong with a pattern of REGEXP, None if DuckDB can read it."""
    foreign = _FOREIGN.search(pattern)
    if foreign is not None:
        return f"it uses {foreign.group()}"
    if prod(max(int(low[:9]), int(high[:9] or 1), 1) for low, high in _COUNTS.findall(pattern)) > _MOST_REPEATS:
        return f"it repeats more than {_MOST_REPEATS} times"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(_CLASS.sub("a", pattern))
    except re.error as error:
        return error.msg
    return None
