"""What people write who know another SQL, and what to write here instead.

>>> function_advice("nvl"), function_advice("mysql_thing")
('Write COALESCE(a, b).', None)
"""

from collections.abc import Mapping
from typing import Final

from .lexer import Word

__all__ = [
    "STATEMENTS", "comma_advice", "function_advice", "qserv_function_advice", "qserv_word_advice", "word_advice",
]  # fmt: skip

_CASE: Final = "Write CASE WHEN condition THEN a ELSE b END."
_NEAR: Final = "Write DISTANCE(POINT(ra, dec), POINT(1, 2)) < radius, in degrees."
_TIME: Final = "Write the time itself, in quotes: '2026-01-31T12:00:00'."
_MORE: Final = "Qserv's SQL has it (LANG=QSERV)."

_FUNCTIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ifnull", "isnull", "nvl"), "Write COALESCE(a, b)."),
    **dict.fromkeys(("if", "iif", "decode", "nullif", "greatest", "least"), _CASE),
    **dict.fromkeys(("now", "getdate", "sysdate", "current_timestamp", "current_date", "curdate"), _TIME),
    **dict.fromkeys(("concat", "concat_ws"), "Texts are joined with ||."),
    **dict.fromkeys(("q3c_radial_query", "q3c_join", "q3c_dist", "pgsphere_distance", "spoint", "scircle"), _NEAR),
    **dict.fromkeys(("convert", "to_char", "to_number", "to_date", "str"), "Write CAST(value AS type)."),
    **dict.fromkeys(("length", "len", "substring", "substr", "trim", "replace", "position"), _MORE),
    **dict.fromkeys(("regexp_like", "regexp_matches", "extract", "date_part", "year", "datediff"), _MORE),
    **dict.fromkeys(("group_concat", "string_agg", "array_agg"), "Write IVO_STRING_AGG(text, ',')."),
    **dict.fromkeys(("log2", "lb"), "Write LOG(x) / LOG(2)."),
    **dict.fromkeys(("std", "stdev"), "Write STDDEV(x)."),
    **dict.fromkeys(("percentile_cont", "percentile", "approx_quantile"), "Write QUANTILE(x, 0.9)."),
    "ln": "LOG is the natural logarithm.",
    "pow": "Write POWER(a, b).",
    "ceil": "Write CEILING(x).",
    "sqr": "Write POWER(x, 2).",
    "rownum": "Write TOP n after SELECT.",
}

_WORDS: Final[Mapping[str, str]] = {
    "ESCAPE": f"LIKE has no ESCAPE in ADQL. {_MORE}",
    "EXCLUDE": "Frames leave no rows out.",
    "FETCH": "Write TOP n after SELECT.",
    "FLOAT": "Write REAL or DOUBLE PRECISION.",
    "GROUPS": "Windows have frames of ROWS and RANGE.",
    "INT": "Write INTEGER.",
    "NUMERIC": "Write DOUBLE PRECISION.",
    "DECIMAL": "Write DOUBLE PRECISION.",
    "TEXT": "Write VARCHAR.",
    "QUALIFY": "Filter in a query around it: SELECT ... FROM (SELECT ...) AS q WHERE ...",
    "PERCENT": "TOP takes a number of rows.",
    "REGEXP": f"Use LIKE. {_MORE}",
    "RLIKE": f"Use LIKE. {_MORE}",
    "SIMILAR": f"Use LIKE. {_MORE}",
    "TABLESAMPLE": "Write WHERE sample_hash(id) < 0.01 for one row in a hundred.",
    "WINDOW": "Write the window itself after OVER.",
}

_REGIONS: Final = "Regions of ADQL need LANG=ADQL; write qserv_areaspec_circle(lon, lat, radius)."

_QSERV_FUNCTIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("point", "circle", "box", "polygon", "region", "contains", "intersects"), _REGIONS),
    **dict.fromkeys(("nvl", "isnull"), "Write IFNULL(a, b)."),
    "distance": "Write scisql_angSep(lon1, lat1, lon2, lat2).",
    "in_unit": "Write the factor itself.",
}

_QSERV_WORDS: Final[Mapping[str, str]] = {
    "TOP": "Write LIMIT n at the end.",
    "FETCH": "Write LIMIT n at the end.",
    "ILIKE": "LIKE ignores case here.",
}

STATEMENTS: Final[Mapping[str, str]] = dict.fromkeys(
    ("DESC", "DESCRIBE", "SHOW"), "Ask TAP_SCHEMA.tables and TAP_SCHEMA.columns, or send LANG=QSERV."
)
"""What to do instead of statements of other languages, by their first words."""


def function_advice(name: str) -> str | None:
    """Return what to write instead of a function that ADQL lacks, None if there is nothing to say."""
    folded = name.lower()
    if folded.startswith("qserv_areaspec_"):
        return f"Areas belong to Qserv's SQL: send the query with LANG=QSERV, or write a region of ADQL. {_NEAR}"
    return _FUNCTIONS.get(folded)


def qserv_function_advice(name: str) -> str | None:
    """Return what to write instead of a function that Qserv's SQL lacks, None if there is nothing to say."""
    return _QSERV_FUNCTIONS.get(name.lower())


def qserv_word_advice(word: Word, before: Word | None) -> str | None:
    """Return what to do about a word that fits no rule of Qserv's SQL, None if it is no habit of ADQL."""
    for candidate in (word, before):
        if candidate is not None and candidate.type == "NAME" and candidate.value.upper() in _QSERV_WORDS:
            return _QSERV_WORDS[candidate.value.upper()]
    return None


def word_advice(word: Word, before: Word | None, earlier: Word | None, expected: set[str]) -> str | None:
    """Return what to do about a word that fits no rule, None if it is no habit of another language.

    Parameters
    ----------
    word, before, earlier
        It, and the words before it.
    expected
        Terminals that would have fitted.
    """
    upper, previous = word.value.upper(), "" if before is None else before.type
    for candidate in (word, before):  # the second may have been read as a name
        if candidate is not None and candidate.value.upper() in _WORDS and candidate.type != "DELIMITED":
            return _WORDS[candidate.value.upper()]
    if word.type == "_LPAR" and previous == "TOP":
        return "Write TOP 5, without brackets."
    if previous == "COMPARISON" and word.value == "=":
        return "Write = once."
    if previous == "STAR" and word.type == "STAR":
        return "Write POWER(a, b)."
    if previous == "IS" and word.type in {"TRUE", "FALSE"}:
        return f"Compare it: flag = {int(word.type == 'TRUE')}."
    return _list_advice(word, previous, earlier, upper) or _call_advice(word, before, expected)


def _list_advice(word: Word, previous: str, earlier: Word | None, upper: str) -> str | None:
    """Return advice about commas and lists."""
    if previous == "_COMMA" and word.type in {"FROM", "WHERE", "GROUP", "ORDER", "_RPAR"}:
        return "Remove the comma before it."
    if word.type == "_COMMA" and previous == "UINT" and earlier is not None:
        if earlier.type == "LIMIT":
            return "Write LIMIT 5 OFFSET 10 instead of LIMIT 10, 5."
        if earlier.type == "COMPARISON":
            return "Numbers have a decimal point, no comma."
    if word.type == "_RPAR" and previous == "_LPAR" and earlier is not None and earlier.type == "IN":
        return "The list is empty."
    if upper == "TO":
        return "Write BETWEEN a AND b."
    return None


def _call_advice(word: Word, before: Word | None, expected: set[str]) -> str | None:
    """Return advice about calls, and words beside them."""
    if expected == {"FILTER", "OVER"}:
        return "A set function takes one value, if it is no window function."
    if word.type == "RESERVED" and function_advice(word.value) is not None:
        return function_advice(word.value)
    if word.value.upper() == "ON" and before is not None and before.type == "DISTINCT":
        return "Choose rows by ROW_NUMBER() OVER (PARTITION BY ...) = 1 in a derived table."
    name_before = "" if before is None else before.value.upper()
    if name_before == "RECURSIVE":
        return "WITH is not recursive in ADQL."
    if name_before == "OVER" and word.type == "NAME":
        return "Windows have no names: write OVER (ORDER BY ...)."
    if word.value.upper() == "CONTAINS" and before is not None and before.type in _NAMES:
        return "Write LIKE '%text%'."
    return None


_NAMES: Final = frozenset({"NAME", "DELIMITED", "UINT", "NUMBER", "STRING", "FUNCTION"})


def comma_advice(word: Word, before: Word | None, expected: set[str]) -> str | None:
    """Return the advice to put a comma between two names or values."""
    side_by_side = before is not None and word.type in _NAMES and before.type in _NAMES
    return "Is a comma missing?" if side_by_side and "_COMMA" in expected else None
