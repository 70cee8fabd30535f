"""SQL of single cells: the form in which values are compared, and when two are equal.

Names: ``cI`` is a column as it was loaded, ``vK`` the value of pair K in the form in which it is compared.
"""

from collections.abc import Sequence
from typing import Final

from .columns import ColumnPair
from .rules import Rule, Rules

__all__ = ["close", "equal", "form", "null_against_nan", "quoted", "same_row", "uses"]

_TIME: Final = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d*)?)?(\s*([Zz]|[+-]\d{2}(:?\d{2})?))?)?"
"""ISO 8601: without offset it is UTC."""


def _decimal_form() -> str:
    """Return SQL that writes equal decimals (3.50, 3.5 and 0003.5; -0 and 0) in one way."""
    form = "CAST({c} AS VARCHAR)"
    for pattern, by in ((r"^\+", ""), (r"^(-?)0+([0-9])", r"\1\2"), (r"^(-?)\.", r"\10.")):
        form = f"regexp_replace({form}, '{pattern}', '{by}')"
    form = rf"regexp_replace(regexp_replace({form}, '(\.[0-9]*?)0*$', '\1'), '\.$', '')"
    return f"regexp_replace({form}, '^-0$', '0')"


def _time_form() -> str:
    """Return SQL that writes equal times in one way: seconds in UTC, and the digits after them as they are.

    Casts know no offsets, and no more than nine digits.
    """
    text = "CAST({c} AS VARCHAR)"
    clock = rf"coalesce(nullif(regexp_extract({text}, '^.{{{{10}}}}[T ](\d\d:\d\d(?::\d\d)?)', 1), ''), '00:00')"
    seconds = f"TRY_CAST(left({text}, 10) || ' ' || {clock} AS TIMESTAMP)"
    offset = rf"regexp_extract({text}, '[T ].*([+-]\d\d:?(?:\d\d)?)$', 1)"
    minutes = (
        f"(CASE WHEN {offset} = '' THEN 0 ELSE 60 * CAST(substr({offset}, 2, 2) AS INTEGER) "
        f"+ coalesce(TRY_CAST(right(replace({offset}, ':', ''), -3) AS INTEGER), 0) END)"
    )
    utc = f"{seconds} - to_minutes(CASE WHEN {offset} LIKE '-%' THEN -{minutes} ELSE {minutes} END)"
    digits = rf"regexp_replace(regexp_extract({text}, '\.\d*'), '\.?0*$', '')"
    pattern = _TIME.replace("{", "{{").replace("}", "}}")
    written = f"strftime({utc}, '%Y-%m-%d %H:%M:%S') || {digits}"
    return f"CASE WHEN regexp_full_match({text}, '{pattern}') THEN coalesce({written}, {text}) ELSE {text} END"


_FORMS: Final = {
    "whole": "CAST({c} AS BIGINT)",
    "huge": "CAST({c} AS HUGEINT)",
    "decimal": _decimal_form(),
    "float": "TRY_CAST({c} AS DOUBLE)",
    # what was printed with nine digits is the same FLOAT again
    "single": "coalesce(CAST(TRY_CAST({c} AS FLOAT) AS DOUBLE), {c})",
    "text": "CAST({c} AS VARCHAR)",
    "folded": "lower(rtrim(CAST({c} AS VARCHAR), ' '))",
    "time": _time_form(),
}

_FOLDING: Final = {"folded": Rule.COLLATION, "time": Rule.TIMESTAMPS}
"""Forms in which different texts are equal."""


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def form(pair: ColumnPair, number: int, rules: Rules) -> str:
    """Return the value of a pair in one answer, in the form in which it is compared.

    Parameters
    ----------
    pair
        The pair.
    number
        Of its column in this answer.
    rules
        Whether what is not finite is NULL.
    """
    value = _FORMS[pair.how.values].format(c=f"c{number}")
    return f"CASE WHEN isfinite({value}) THEN {value} END" if pair.is_float and rules.nan_is_null else value


def equal(pair: ColumnPair, k: int, left: str = "l", right: str = "r") -> str:
    """Return the condition under which two cells are equal; NULL is equal to NULL, NaN to NaN, neither to the other."""
    a, b = f"{left}.v{k}", f"{right}.v{k}"
    same = f"{a} IS NOT DISTINCT FROM {b}"
    return f"({same} OR {close(pair, a, b)})" if pair.is_float else same


def close(pair: ColumnPair, a: str, b: str) -> str:
    """Return the condition under which two finite numbers are within the tolerance of a pair."""
    allowed = f"{pair.how.margin!r}::DOUBLE + {pair.how.tolerance!r}::DOUBLE * greatest(abs({a}), abs({b}))"
    return f"coalesce(isfinite({a}) AND isfinite({b}) AND abs({a} - {b}) <= {allowed}, false)"


def same_row(pairs: Sequence[ColumnPair]) -> str:
    """Return the condition under which a row ``l`` and a row ``r`` are equal."""
    return " AND ".join(["l.n IS NOT NULL", "r.n IS NOT NULL", *(equal(pair, k) for k, pair in enumerate(pairs))])


def null_against_nan(k: int) -> str:
    """Return the condition that one of two cells is NULL, and the other NaN or infinite."""
    pairs = ((f"l.v{k}", f"r.v{k}"), (f"r.v{k}", f"l.v{k}"))
    return "(" + " OR ".join(f"({a} IS NULL AND coalesce(NOT isfinite({b}), false))" for a, b in pairs) + ")"


def uses(pairs: Sequence[ColumnPair], rules: Rules) -> dict[Rule, str]:
    """Return, by rule, how many cells of a row ``l`` and a row ``r``, which are equal, need it."""
    counted: dict[Rule, list[str]] = {}
    for k, pair in enumerate(pairs):
        if pair.is_float and (pair.how.tolerance or pair.how.margin):
            counted.setdefault(pair.how.close, []).append(f"(l.v{k} IS DISTINCT FROM r.v{k})")
        if pair.is_float and rules.nan_is_null:
            counted.setdefault(Rule.NAN, []).append(f"((l.c{pair.left} IS NULL) <> (r.c{pair.right} IS NULL))")
        if pair.how.values in _FOLDING:
            differ = f"(l.c{pair.left} IS DISTINCT FROM r.c{pair.right})"
            counted.setdefault(_FOLDING[pair.how.values], []).append(differ)
    return {rule: " + ".join(f"{one}::INTEGER" for one in terms) for rule, terms in counted.items()}
