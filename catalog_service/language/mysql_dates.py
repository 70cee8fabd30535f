"""Dates and times of the MySQL dialect.

MySQL's DATE and DATETIME are one type here, TIMESTAMP in UTC: a date is its midnight. What is no date is NULL, as in
MySQL (MariaDB Knowledge Base, "Date & Time Functions").

>>> strftime_format("%Y-%m-%d %H:%i")
'%Y-%m-%d %H:%M'
>>> strftime_format("%D")  # the day of the month with an English ending
"""

import re
from collections.abc import Mapping
from typing import Final

from ..models.schema import DataType
from .function import Function, Kind

__all__ = ["DATES", "UNITS", "strftime_format"]

_EPOCH_DAY: Final = 719528
"""MySQL's number of 1970-01-01, counted from the year 0."""

_EPOCH: Final = "TIMESTAMP '1970-01-01'"
_DAYS: Final = f"date_diff('day', {_EPOCH}, {{0}})"
_DAY_OF_YEAR: Final = "CAST(make_date({0}, 1, 1) AS TIMESTAMP) + to_days(CAST({1} - 1 AS INTEGER))"


def _part(name: str, template: str) -> Function:
    sql = f"CAST({template} AS INTEGER)"
    return Function(f"mysql_{name}", (Kind.MOMENT,), DataType.INT, {1: sql}, hidden=True)


def _moment(name: str, params: tuple[Kind, ...], template: str) -> Function:
    return Function(f"mysql_{name}", params, DataType.TIMESTAMP, {len(params): template}, hidden=True)


def _text(name: str, template: str, *more: Kind) -> Function:
    return Function(f"mysql_{name}", (Kind.MOMENT, *more), DataType.TEXT, {1 + len(more): template}, hidden=True)


_FIRST: Final = "TIMESTAMP '0001-01-01'"
_BEYOND: Final = "TIMESTAMP '10000-01-01'"


def _in_calendar(moment: str) -> str:
    """Return a time that is computed, NULL beyond the years that can be written."""
    return f"CASE WHEN TRY({moment}) >= {_FIRST} AND TRY({moment}) < {_BEYOND} THEN {moment} END"


_INTERVALS: Final = {
    "microsecond": "to_microseconds({1})",
    "second": "to_microseconds(CAST(round({1} * 1e6) AS BIGINT))",
    "minute": "to_minutes({1})",
    "hour": "to_hours({1})",
    "day": "to_days(CAST({1} AS INTEGER))",
    "week": "to_weeks(CAST({1} AS INTEGER))",
    "month": "to_months(CAST({1} AS INTEGER))",
    "quarter": "to_months(3 * CAST({1} AS INTEGER))",
    "year": "to_years(CAST({1} AS INTEGER))",
}

UNITS: Final = tuple(_INTERVALS)
"""Units of intervals, each with the functions ``mysql_plus_<unit>`` and ``mysql_count_<unit>``."""


def _plus(unit: str, interval: str) -> Function:
    """Return the function that adds an interval; beyond the calendar it gives NULL."""
    number = Kind.NUMBER if unit == "second" else Kind.BITS
    return _moment(f"plus_{unit}", (Kind.MOMENT, number), _in_calendar(f"{{0}} + {interval}"))


def _count(unit: str) -> Function:
    """Return the function that counts the whole units from one time to another."""
    params, sql = (Kind.MOMENT, Kind.MOMENT), {2: f"date_sub('{unit}', {{0}}, {{1}})"}
    return Function(f"mysql_count_{unit}", params, DataType.LONG, sql, hidden=True)


_ALL: Final = (
    *(_part(name, f"{name}({{0}})") for name in ("year", "quarter", "month", "day", "hour", "minute", "second")),
    _part("dayofyear", "dayofyear({0})"),
    _part("microsecond", "microsecond({0}) % 1000000"),
    _part("dayofweek", "dayofweek({0}) + 1"),
    _part("weekday", "isodow({0}) - 1"),
    _part("week", "strftime({0}, '%U')"),
    _part("weekofyear", "week({0})"),
    _part("to_days", f"{_DAYS} + {_EPOCH_DAY}"),
    Function(
        "mysql_datediff",
        (Kind.MOMENT, Kind.MOMENT),
        DataType.INT,
        {2: "CAST(date_diff('day', {1}, {0}) AS INTEGER)"},
        hidden=True,
    ),
    Function("mysql_unix_timestamp", (Kind.MOMENT,), DataType.DOUBLE, {1: "epoch({0})"}, hidden=True),
    _moment("moment", (Kind.MOMENT,), "{0}"),
    _moment("date", (Kind.MOMENT,), "date_trunc('day', {0})"),
    _moment("last_day", (Kind.MOMENT,), "CAST(last_day({0}) AS TIMESTAMP)"),
    _moment("from_unixtime", (Kind.NUMBER,), _in_calendar("make_timestamp(CAST(round({0} * 1e6) AS BIGINT))")),
    _moment(
        "from_days",
        (Kind.BITS,),
        _in_calendar(f"{_EPOCH} + to_days(CAST({{0}} - {_EPOCH_DAY} AS INTEGER))"),
    ),
    _moment(
        "makedate",
        (Kind.BITS, Kind.BITS),
        f"CASE WHEN {{1}} > 0 THEN {_in_calendar(_DAY_OF_YEAR)} END",
    ),
    _moment("str_to_date", (Kind.TEXT, Kind.QUOTED), "try_strptime({0}, {1})"),
    _text("time", "strftime({0}, '%H:%M:%S')"),
    _text("dayname", "dayname({0})"),
    _text("monthname", "monthname({0})"),
    _text("date_format", "strftime({0}, {1})", Kind.QUOTED),
    *(_plus(unit, interval) for unit, interval in _INTERVALS.items()),
    *map(_count, _INTERVALS),
)

DATES: Final[Mapping[str, Function]] = {function.name: function for function in _ALL}
"""Functions by canonical name."""

_SPECIFIERS: Final = {
    **{letter: f"%{letter}" for letter in "YymdHpajbUTf"},
    "i": "%M",
    "s": "%S",
    "S": "%S",
    "M": "%B",
    "W": "%A",
    "e": "%-d",
    "c": "%-m",
    "k": "%-H",
    "l": "%-I",
    "h": "%I",
    "I": "%I",
    "r": "%I:%M:%S %p",
    "T": "%H:%M:%S",
    "v": "%V",
    "x": "%G",
    "w": "%w",
    "%": "%%",
}
"""DuckDB's spelling of MySQL's letters after ``%``; those that it cannot write are left out."""

_SPECIFIER: Final = re.compile(r"%(.?)", re.DOTALL)


def strftime_format(written: str) -> str | None:
    """Return DuckDB's spelling of a format of DATE_FORMAT, or None if it has a letter that DuckDB cannot write."""
    parts = [_SPECIFIERS.get(letter) for letter in _SPECIFIER.findall(written)]
    if None in parts:
        return None
    spelled = iter(parts)
    return _SPECIFIER.sub(lambda _: str(next(spelled)), written)
