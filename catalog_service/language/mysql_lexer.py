"""Texts of Qserv's MySQL dialect to words: the grammar's terminals, named as ADQL's where they mean the same.

MySQL reserves fewer words than ADQL, tells names from functions by the bracket that follows, writes texts in either
kind of quotes with escapes, and quotes names by backticks (MariaDB Knowledge Base, "Identifier Names", "String
Literals"; ``sql_mode`` empty, as in Qserv).
"""

import re
from collections.abc import Iterator
from typing import Final

from ..exceptions import QueryRefusedError, QuerySyntaxError
from ..models.tree import Span
from .errors import error_at
from .lexer import Word, bounded, raw_words, refuse_character, window_words
from .mysql_forms import plain_forms

__all__ = ["LITERAL", "name_of", "scan_mysql", "unescaped"]

_KEYWORDS: Final = frozenset(
    """
    ALL AND AS ASC BETWEEN BY CASE CAST COLLATE CROSS DESC DISTINCT DIV ELSE EXCEPT EXISTS FALSE FROM GROUP HAVING IN
    INNER INTERSECT INTERVAL IS JOIN LEFT LIKE LIMIT MOD NATURAL NOT NULL ON OR ORDER OUTER REGEXP RIGHT SELECT THEN
    TRUE UNION USING WHEN WHERE WITH XOR
    """.split()
)
"""Words that are never names. Those with a place of their own that may be names are told apart by `_contextual`."""

_REFUSED: Final = {
    "FOR": "locking clauses are never run: queries only read.",
    "FORCE": "index hints name indexes: FORCE INDEX (name).",
    "IGNORE": "index hints name indexes: IGNORE INDEX (name).",
    "INTO": "INTO is never run: queries only read.",
    "LOCK": "locking clauses are never run: queries only read.",
}
"""What MySQL knows and we do not, by its reserved word."""

_IGNORED: Final = frozenset(
    """
    HIGH_PRIORITY SQL_BIG_RESULT SQL_BUFFER_RESULT SQL_CACHE SQL_CALC_FOUND_ROWS SQL_NO_CACHE SQL_SMALL_RESULT
    STRAIGHT_JOIN
    """.split()
)
"""Modifiers after SELECT that change no answer."""

_AGGREGATES: Final = frozenset({"AVG", "COUNT", "MAX", "MIN", "SUM"})

_TYPES: Final = (
    {word: word for word in _KEYWORDS}
    | dict.fromkeys(_REFUSED, "REFUSED")
    | {"DISTINCTROW": "DISTINCT", "RLIKE": "REGEXP", "STRAIGHT_JOIN": "JOIN"}
)

_SIGNS: Final = {
    "(": "_LPAR",
    ")": "_RPAR",
    ",": "_COMMA",
    ".": "_DOT",
    "*": "STAR",
    "/": "SLASH",
    "%": "PERCENT",
    "+": "PLUS",
    "-": "MINUS",
    "|": "BAR",
    "&": "AMPERSAND",
    "^": "CARET",
    "~": "TILDE",
    "!": "BANG",
    "<<": "SHIFT",
    ">>": "SHIFT",
    "||": "OR",
    "&&": "AND",
} | dict.fromkeys(("=", "<>", "!=", "<", ">", "<=", ">=", "<=>"), "COMPARISON")

_NUMBER: Final = r"(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?+"

_STRING: Final = r"""'(?:[^'\\]|''|\\.)*+'|"(?:[^"\\]|""|\\.)*+\""""

LITERAL: Final = re.compile(rf"[+-]?{_NUMBER}|{_STRING}", re.DOTALL)
"""A number with its sign, or a text."""

_LITERALS: Final = re.compile(rf"\(\s*+(?:{LITERAL.pattern})(?:\s*+,\s*+(?:{LITERAL.pattern}))*+\s*+\)", re.DOTALL)
"""A list of literals in parentheses: read as one word, which makes long IN lists cheap."""

_WORD: Final = re.compile(
    rf"""(?P<blank>(?:[ \t\r\n\f\v]|--(?=[\s\x00-\x1f]|\Z)[^\n]*+|\#[^\n]*+|/\*(?!!)(?:[^*]|\*(?!/))*+\*/)++)
    |(?P<number>0x[0-9A-Fa-f]++|0b[01]++|{_NUMBER})
    |(?P<name>[A-Za-z_$\x80-\U0010ffff][\w$]*+)
    |(?P<string>{_STRING})
    |(?P<delimited>`(?:[^`]|``)++`)
    |(?P<sign><=>|<<|>>|<>|!=|<=|>=|\|\||&&|/(?!\*)|[(),.*%+=<>&|^~!-])
    """,
    re.VERBOSE | re.DOTALL,
)

_HINTS: Final = {
    "/*": "Comments begin with /* and end with */; those with /*! are not run.",
    "@": "Variables are not supported.",
    ":": "Write CAST(value AS type).",
    "`": "A name in backticks has no closing one.",
    "{": "Write the value without braces.",
}

_OPERANDS: Final = frozenset({"NAME", "DELIMITED", "UINT", "NUMBER", "STRING", "_RPAR", "NULL", "TRUE", "FALSE", "END"})
"""Words after which an operator may stand, and no value."""

_BEFORE_ALIAS: Final = frozenset({"AS", "NAME", "DELIMITED", "UINT", "NUMBER", "_RPAR", "END"})
"""Words after which a text in quotes is a name."""


_PLACES: Final[dict[str, tuple[bool, frozenset[str]]]] = {
    "ESCAPE": (True, frozenset({"STRING"})),
    "FULL": (True, frozenset({"JOIN", "OUTER"})),
    "OFFSET": (True, frozenset({"UINT"})),
    "SOUNDS": (True, frozenset({"LIKE"})),
    "SEPARATOR": (False, frozenset({"STRING"})),
    "ROWS": (False, frozenset({"BETWEEN", "CURRENT", "UNBOUNDED", "UINT"})),
    "CURRENT": (False, frozenset({"ROW"})),
}
"""Words that are names but where they stand after a value (if the first says so) and before one of some words."""


def scan_mysql(text: str) -> list[Word]:
    """Return the words of a query text, without blanks, comments and the trailing semicolon.

    Raises
    ------
    QuerySyntaxError
        For a character or an unfinished text or name that no query can hold, and for brackets that do not match.
    QueryRefusedError
        For a second statement, and for what MySQL knows and this service does not.
    LimitError
        If the text is too long, has too many words, or is nested too deeply.
    """
    words = bounded(text, raw_words(text, _WORD, _LITERALS, _word, _end))
    return window_words(list(_contextual(plain_forms(words))))


def unescaped(value: str) -> str:
    r"""Return what a text in quotes says; ``\%`` and ``\_`` stay as they are, for LIKE.

    >>> unescaped(r"'it\'s ''50\%'''")
    "it's '50\\%'"
    """
    quote = value[0]
    return _ESCAPE.sub(lambda found: _escaped(found, quote), value[1:-1])


_ESCAPE: Final = re.compile(r"""\\(.)|''|"\"""", re.DOTALL)

_MEANINGS: Final = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": r"\%", "_": r"\_"}


def _escaped(found: re.Match[str], quote: str) -> str:
    character = found.group(1)
    if character is None:
        return quote if found.group() == quote * 2 else found.group()
    return _MEANINGS.get(character, character)


def name_of(word: Word) -> str:
    """Return the name that a word says: as it is, in backticks, or, as an alias, in quotes."""
    if word.type != "DELIMITED":
        return word.value
    return word.value[1:-1].replace("``", "`") if word.value[0] == "`" else unescaped(word.value)


def _end(text: str, position: int) -> None:
    """Accept a semicolon after which nothing but blanks and comments comes; refuse anything else."""
    rest = position
    while text.startswith(";", rest):
        blank = _WORD.match(text, rest + 1)
        rest = blank.end() if blank is not None and blank.lastgroup == "blank" else rest + 1
    if rest < len(text):
        refuse_character(text, position, "Qserv's SQL", _HINTS)


def _word(kind: str | None, value: str, span: Span) -> Word:
    match kind:
        case "name":
            return Word(_TYPES.get(value.upper(), "NAME"), value, span)
        case "number":
            follower = span.text[span.stop : span.stop + 1]
            if follower.isalnum() or follower == "_":
                message = f"'{value}{follower}' is neither a number nor a name; put a blank between them."
                remedy = "Write numbers in decimal." if value == "0" and follower in "xXbB" else None
                raise error_at(QuerySyntaxError, message, span, remedy=remedy)
            if value[:2] in {"0x", "0b"}:
                return Word("UINT", str(int(value, 0)), span)
            return Word("UINT" if value.isdigit() else "NUMBER", value, span)
        case "string":
            return Word("STRING", value, span)
        case "delimited":
            return Word("DELIMITED", value, span)
        case _:
            return Word(_SIGNS[value], value, span)


def _contextual(words: list[Word]) -> Iterator[Word]:
    """Yield the words; those that are names here and something else there by what stands around them."""
    before = ""
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else None
        upper = word.value.upper()
        if before in {"SELECT", "DISTINCT"} and upper in _IGNORED:
            continue
        if before in {"UNION", "EXCEPT", "INTERSECT"} and word.type == "DISTINCT":
            continue  # it is what they do
        if word.type == "FROM" and following is not None and following.value.upper() == "DUAL":
            continue
        if upper == "DUAL" and index and words[index - 1].type == "FROM":
            continue
        kind = _kind(word, before, following)
        if kind == "REFUSED":
            raise error_at(QueryRefusedError, _REFUSED[upper], word.span)
        before = kind
        yield word if kind == word.type else Word(kind, word.value, word.span)


def _kind(word: Word, before: str, following: Word | None) -> str:
    upper, after = word.value.upper(), "" if following is None else following.type
    if before == "_DOT" and word.type in {*_KEYWORDS, "JOIN", "REFUSED"}:
        return "NAME"  # after a dot every word is a name
    if word.type == "STRING" and before in _BEFORE_ALIAS:
        return "DELIMITED"
    if word.type == "MOD":
        return "MOD" if before in _OPERANDS else "NAME"
    if word.type in {"LEFT", "RIGHT"}:
        return "NAME" if after == "_LPAR" else word.type
    if word.type != "NAME":
        return word.type
    if upper == "END":
        return "END" if before in _OPERANDS else "NAME"
    if upper == "BINARY" and before not in _OPERANDS and after in {"NAME", "STRING", "DELIMITED"}:
        return "BINARY"
    if upper == "GROUP_CONCAT" and after == "_LPAR":
        return upper
    if upper in _AGGREGATES:
        return "AGGREGATE" if after == "_LPAR" else "NAME"
    needs_value, wanted = _PLACES.get(upper, (True, frozenset()))
    next_word = "" if following is None else following.value.upper()
    fits = (before in _OPERANDS or not needs_value) and (after in wanted or next_word in wanted)
    return upper if fits else "NAME"
