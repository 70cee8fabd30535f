"""The words of a query, in both languages."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ..recorder.lexer import ADQL, MYSQL, reading_of

__all__ = ["top_level_words", "words_of"]

_WORDS: Final = r"|(?P<blank>\s+)|(?P<number>\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)|(?P<word>\w+)|(?P<other>.)"
_PATTERNS: Final = {reading: re.compile(reading.pattern + _WORDS, re.DOTALL) for reading in (MYSQL, ADQL)}


def words_of(query: str, lang: str) -> tuple[str, ...]:
    """Return the words of a query, without blanks and comments between them: texts keep theirs."""
    return tuple(found.group() for found in _tokens(query, lang))


def _tokens(query: str, lang: str) -> Iterator[re.Match[str]]:
    """Yield the words of a query as matches."""
    found = _PATTERNS[reading_of(lang)].finditer(query)
    yield from (one for one in found if one.lastgroup not in {"blank", "comment"})


def _unwrapped(tokens: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return the words of a query without parentheses around all of it."""
    while tokens and tokens[-1].group() == ";":
        tokens = tokens[:-1]
    while tokens and tokens[0].group() == "(" and _closes(tokens) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def _closes(tokens: Sequence[re.Match[str]]) -> int:
    """Return where the first parenthesis is closed; -1: nowhere."""
    depth = 0
    for at, one in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(one.group(), 0)
        if depth == 0:
            return at
    return -1


def top_level_words(query: str, lang: str) -> Iterator[str]:
    """Yield the words of a query; what is in parentheses is one word with its function's or table's name."""
    depth, inside = 0, ""
    for found in _unwrapped(list(_tokens(query, lang))):
        word = found.group()
        if found.lastgroup == "word":
            word = word.lower()
        if word == "(":
            depth += 1
        if depth:
            inside += word
        else:
            yield word
        if word == ")" and depth:
            depth -= 1
            if not depth:
                yield inside
                inside = ""
