"""Texts to words: one linear pass that knows strings, names and comments, and bounds what the parser will see.

Reserved words beat names; a delimited name never is a word (ADQL 2.1 section 2.1). Two words that ADQL does not
reserve are told apart from names by what follows: ``LIMIT 10`` and ``NULLS FIRST``; those of windows by what is around
them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ..exceptions import QueryRefusedError, QuerySyntaxError
from ..models.tree import Span
from ..models.words import ADQL_RESERVED, SQL_RESERVED
from .errors import error_at
from .limits import (
    MAX_DEPTH,
    MAX_IN_ITEMS,
    MAX_TEXT_CHARACTERS,
    MAX_TOKENS,
    too_deep,
    too_long,
    too_many_items,
    too_many_tokens,
)

__all__ = [
    "AGGREGATES",
    "GEOMETRY",
    "LITERAL",
    "Word",
    "bounded",
    "refuse_character",
    "scan",
    "unquoted",
    "window_words",
]

KEYWORDS: Final = frozenset(
    """
    ALL AND AS ASC BETWEEN BIGINT BY CASE CAST CHAR CROSS DESC DISTINCT DOUBLE ELSE END EXCEPT EXISTS FALSE FIRST FROM
    FULL GROUP HAVING ILIKE IN INNER INTEGER INTERSECT IN_UNIT IS JOIN LAST LEFT LIKE NATURAL NOT NULL OFFSET ON OR
    ORDER OUTER PRECISION REAL RIGHT SELECT SMALLINT THEN TIMESTAMP TOP TRUE UNION USING VARCHAR WHEN WHERE WITH
    CURRENT ROWS
    """.split()
)
"""Words with a place of their own in the grammar."""

AGGREGATES: Final = frozenset({"AVG", "COUNT", "MAX", "MIN", "SUM"})

GEOMETRY: Final = frozenset(
    """
    AREA BOX CENTROID CIRCLE CONTAINS COORD1 COORD2 COORDSYS DISTANCE INTERSECTS POINT POLYGON REGION
    """.split()
)

FUNCTIONS: Final = (ADQL_RESERVED - GEOMETRY - KEYWORDS) | {"LOWER", "UPPER", "COALESCE"}
"""Reserved names of the other functions of ADQL."""

_TYPES: Final[dict[str, str]] = (
    dict.fromkeys(SQL_RESERVED | ADQL_RESERVED, "RESERVED")
    | {word: word for word in KEYWORDS}
    | dict.fromkeys(AGGREGATES, "AGGREGATE")
    | dict.fromkeys(GEOMETRY, "GEOMETRY")
    | dict.fromkeys(FUNCTIONS, "FUNCTION")
)

_SIGNS: Final = {
    "(": "_LPAR",
    ")": "_RPAR",
    ",": "_COMMA",
    ".": "_DOT",
    "*": "STAR",
    "/": "SLASH",
    "+": "PLUS",
    "-": "MINUS",
    "||": "CONCAT",
    "=": "COMPARISON",
    "<>": "COMPARISON",
    "!=": "COMPARISON",
    "<": "COMPARISON",
    ">": "COMPARISON",
    "<=": "COMPARISON",
    ">=": "COMPARISON",
}

_NUMBER: Final = r"(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?+"

LITERAL: Final = re.compile(rf"[+-]?{_NUMBER}|'(?:[^']|'')*+'")
"""A number with its sign, or a text."""

_LITERALS: Final = re.compile(rf"\(\s*+(?:{LITERAL.pattern})(?:\s*+,\s*+(?:{LITERAL.pattern}))*+\s*+\)")
"""A list of literals in parentheses: read as one word, which makes long IN lists cheap."""

_STRANGE: Final = re.compile("[\0\ud800-\udfff]")
"""Characters that no text can hold, not even in quotes: NUL and lone surrogates."""

_WORD: Final = re.compile(
    rf"""(?P<blank>(?:[ \t\r\n\f\v]|--[^\n]*+)++)
    |(?P<name>[A-Za-z][A-Za-z0-9_]*+)
    |(?P<number>{_NUMBER})
    |(?P<string>'(?:[^']|'')*+')
    |(?P<delimited>"(?:[^"]|"")++")
    |(?P<sign><>|!=|<=|>=|\|\||/(?!\*)|[(),.*+=<>-])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Word:
    """One word, number, text or sign, with its place."""

    type: str
    """Name of the grammar's terminal."""
    value: str
    span: Span

    # what the parser copies into the token that marks the end of the text
    start_pos: ClassVar[None] = None
    line: ClassVar[None] = None
    column: ClassVar[None] = None
    end_line: ClassVar[None] = None
    end_column: ClassVar[None] = None
    end_pos: ClassVar[None] = None


def scan(text: str) -> list[Word]:
    """Return the words of a query text, without blanks, comments and trailing semicolons.

    Raises
    ------
    QuerySyntaxError
        For a character or an unfinished text or name that no query can hold, and for brackets that do not match.
    QueryRefusedError
        For a second statement.
    LimitError
        If the text is too long, has too many words, or is nested too deeply.
    """
    return _contextual(bounded(text, raw_words(text, _WORD, _LITERALS, _word, _end)))


def bounded(text: str, words: Iterator[Word]) -> list[Word]:
    """Return the words of a text if it is within the limits and its brackets match; `words` is read as far as that.

    Raises
    ------
    QuerySyntaxError
        For brackets that do not match, and a character that no text can hold.
    LimitError
        If the text is too long, has too many words, or is nested too deeply.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise too_long(len(text))
    strange = _STRANGE.search(text)
    if strange is not None:
        refuse_character(text, strange.start(), "a query", {})
    kept: list[Word] = []
    brackets: list[Span] = []
    for word in words:
        kept.append(word)
        if word.type == "_LPAR":
            brackets.append(word.span)
            if len(brackets) > MAX_DEPTH:
                raise too_deep(word.span)
        elif word.type == "_RPAR":
            if not brackets:
                raise error_at(QuerySyntaxError, "')' without a '(' before it.", word.span)
            brackets.pop()
        if len(kept) > MAX_TOKENS:
            raise too_many_tokens(word.span)
    if brackets:
        raise error_at(QuerySyntaxError, "this '(' is never closed.", brackets[-1])
    return kept


def raw_words(
    text: str,
    word: re.Pattern[str],
    literals: re.Pattern[str],
    make: Callable[[str | None, str, Span], Word],
    end: Callable[[str, int], None],
) -> Iterator[Word]:
    """Yield the words of a text, blanks left out; a list of literals after IN as one.

    Parameters
    ----------
    word
        What begins at a place, by named groups; that of blanks and comments is called ``blank``.
    literals
        A list in brackets.
    make
        Makes a word of the name of the group, its text and its place.
    end
        Called with the place where no word begins; raises unless the text may end there.
    """
    position, after_in, items = 0, False, 0
    while position < len(text):
        found = literals.match(text, position) if after_in and text[position] == "(" else None
        if found is not None:
            after_in = False
            items += found.group().count(",") + 1
            span = Span(position, found.end(), text)
            yield Word("LITERALS", found.group(), span)
            if items > 2 * MAX_IN_ITEMS:  # texts may hold commas; the tree is counted exactly
                raise too_many_items(span)
            position = found.end()
            continue
        found = word.match(text, position)
        if found is None:
            end(text, position)
            return
        kind, value, position = found.lastgroup, found.group(), found.end()
        if kind != "blank":
            made = make(kind, value, Span(found.start(), position, text))
            after_in = made.type == "IN"
            yield made


def _end(text: str, position: int) -> None:
    refuse_character(text, position, "ADQL", _HINTS)


def _word(kind: str | None, value: str, span: Span) -> Word:
    match kind:
        case "name":
            return Word(_TYPES.get(value.upper(), "NAME"), value, span)
        case "number":
            follower = span.text[span.stop : span.stop + 1]
            if follower.isalnum() or follower == "_":
                message = f"'{value}{follower}' is neither a number nor a name; put a blank between them."
                raise error_at(QuerySyntaxError, message, span)
            return Word("UINT" if value.isdigit() else "NUMBER", value, span)
        case "string":
            return Word("STRING", value, span)
        case "delimited":
            return Word("DELIMITED", value, span)
        case _:
            return Word(_SIGNS[value], value, span)


_HINTS: Final = {
    "`": "Put names that need it into double quotes.",
    "[": "Put names that need it into double quotes.",
    "_": 'Names start with a letter; others are written in double quotes: "_name".',
    "%": "Write MOD(a, b) for the remainder.",
    "/*": "Comments begin with -- and end with the line.",
    "^": "Write POWER(a, b).",
    "&": "Conditions are joined with AND; bits have no operators in ADQL.",
    "~": "Use LIKE; Qserv's SQL (LANG=QSERV) has REGEXP.",
    "#": "Comments begin with -- and end with the line.",
    "@": "There are no variables.",
    "?": "Write the value itself.",
    "$": "Write the value itself.",
    "{": "Write the value itself.",
    "|": "Texts are joined with ||.",
    "!": "Write NOT, or <> for unequal.",
    "::": "Write CAST(value AS type).",
}


def refuse_character(text: str, position: int, language: str, hints: Mapping[str, str]) -> None:
    """Raise the error for a place where no word begins, or where more than one statement does; return at the end."""
    character = text[position]
    span = Span(position, position + 1, text)
    if character == ";":
        rest = _WORD.match(text, position + 1)
        after = rest.end() if rest is not None and rest.lastgroup == "blank" else position + 1
        if text[after:].strip(" \t\r\n;") == "":
            return
        message = "a query is one SELECT; what follows ';' would be a second statement."
        raise error_at(QueryRefusedError, message, span, remedy="Send one statement at a time.")
    if character in "'\"":
        what = "text" if character == "'" else "name"
        if text[position : position + 2] == '""':
            raise error_at(QuerySyntaxError, "a name in double quotes is empty.", Span(position, position + 2, text))
        raise error_at(QuerySyntaxError, f"this {what} has no closing {character}.", span)
    hint = hints.get(text[position : position + 2]) or hints.get(character)
    plain = character.isascii() and character.isprintable()
    shown = f"'{character}'" if plain else f"the character U+{ord(character):04X}"
    raise error_at(QuerySyntaxError, f"{shown} is no part of {language} here.", span, remedy=hint)


def _contextual(words: list[Word]) -> list[Word]:
    """Turn the names LIMIT before a number, and NULLS before FIRST or LAST, into keywords."""
    for index, word in enumerate(words[:-1]):
        if word.type == "NAME":
            following, upper = words[index + 1].type, word.value.upper()
            if (upper == "LIMIT" and following == "UINT") or (upper == "NULLS" and following in {"FIRST", "LAST"}):
                words[index] = Word(upper, word.value, word.span)
    return window_words(words)


_AFTER_RANGE: Final = frozenset({"BETWEEN", "UINT", "NUMBER", "CURRENT"})
_FRAME_WORDS: Final = frozenset({"FOLLOWING", "PRECEDING", "ROW", "UNBOUNDED"})


def window_words(words: list[Word]) -> list[Word]:
    """Turn names into keywords of windows: FILTER, OVER between brackets, PARTITION before BY, others after ROWS."""
    in_frame, in_window = False, False
    for index, word in enumerate(words[:-1]):
        before, following = words[index - 1].type if index else "", words[index + 1].type
        in_frame = word.type == "ROWS" or (in_frame and word.type != "_RPAR")
        in_window = before == "OVER" or (in_window and not in_frame)
        if word.type != "NAME":
            continue
        upper = word.value.upper()
        begins = following in _AFTER_RANGE or words[index + 1].value.upper() in _FRAME_WORDS
        if in_window and upper == "RANGE" and begins and before not in {"BY", "_COMMA", "_DOT"}:
            in_frame, words[index] = True, Word("RANGE", word.value, word.span)
            continue
        is_over = upper in {"FILTER", "OVER"} and before == "_RPAR" and following == "_LPAR"
        if is_over or (upper == "PARTITION" and following == "BY") or (in_frame and upper in _FRAME_WORDS):
            words[index] = Word(upper, word.value, word.span)
    return words


def unquoted(value: str) -> Any:
    """Return what a text or name in quotes says."""
    quote = value[0]
    return value[1:-1].replace(quote * 2, quote)
