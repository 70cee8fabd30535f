"""Forms of MySQL that have words where plain calls have commas, as plain calls; one pass over the words of a text.

``SUBSTRING(a FROM 2 FOR 3)``, ``TRIM(LEADING 'x' FROM a)``, ``EXTRACT(YEAR FROM t)``, ``POSITION('x' IN a)``,
``CONVERT(a, CHAR)``, ``CURRENT_DATE``, ``DATE '2026-01-31'``, ``b'101'``, texts side by side, and hints of indexes,
which change no answer.

>>> from .mysql_lexer import scan_mysql
>>> [word.value for word in scan_mysql("EXTRACT(YEAR FROM t)")]
['EXTRACT', '(', 'YEAR', ',', 't', ')']
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..exceptions import QuerySyntaxError
from ..models.tree import Span
from .errors import error_at
from .lexer import Word

__all__ = ["plain_forms"]

_COMMAS: Final = {
    "POSITION": frozenset({"IN"}),
    "SUBSTRING": frozenset({"FROM", "FOR"}),
    "SUBSTR": frozenset({"FROM", "FOR"}),
    "MID": frozenset({"FROM", "FOR"}),
    "EXTRACT": frozenset({"FROM"}),
    "TRIM": frozenset({"FROM"}),
}
"""Words that stand for a comma in calls of some functions."""

_SIDES: Final = frozenset({"BOTH", "LEADING", "TRAILING"})
_ONE_ARGUMENT: Final = {"BOTH": "TRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}

_WITHOUT_BRACKETS: Final = frozenset(
    """
    CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP UTC_DATE UTC_TIME UTC_TIMESTAMP
    """.split()
)
"""Functions that are called without brackets, too."""

_DATED: Final = frozenset({"DATE", "TIME", "TIMESTAMP"})
_CHARSETS: Final = frozenset({"_ASCII", "_LATIN1", "_UTF8", "_UTF8MB4"})
_PREFIXES: Final = frozenset({"B", "N"})
"""What may touch a text in quotes, and say what it is."""


@dataclass(slots=True)
class _Call:
    """Brackets that are open."""

    name: str = ""
    """What is called, in upper case, if it has a form of its own."""
    at: int = 0
    """Which word of the output that name is."""
    side: str = ""
    """Of TRIM."""
    comma: int = -1
    """Which word of the output is its last comma."""


class _Forms:
    """The words so far."""

    def __init__(self) -> None:
        self.words: list[Word] = []
        self._calls = [_Call()]

    def take(self, word: Word, following: Word | None) -> None:
        """Add a word, or what stands for it."""
        call = self._calls[-1]
        upper, before = word.value.upper(), self.words[-1] if self.words else None
        if word.type == "_LPAR":
            self._open(before)
        elif word.type == "_RPAR" and len(self._calls) > 1:
            self._close(self._calls.pop())
        elif call.name == "TRIM" and upper in _SIDES and before is not None and before.type == "_LPAR":
            call.side = upper
            return
        elif upper in _COMMAS.get(call.name, ()) and word.type != "DELIMITED":
            self._comma(call, word)
            return
        elif call.name == "CONVERT" and word.type == "USING":
            call.comma = len(self.words)
            self.words += [_made("_COMMA", ",", word), _made("NAME", "CHAR", word)]
            return
        elif word.type == "_COMMA":
            call.comma = len(self.words)
        if word.type == "STRING" and before is not None:
            self._text(word, before)
        else:
            self.words.append(word if before is None else _typed(word, before, following))
            if upper in _WITHOUT_BRACKETS and (following is None or following.type != "_LPAR"):
                self._brackets(before)

    def _brackets(self, before: Word | None) -> None:
        """Add the brackets that a call was written without."""
        if before is None or before.type not in {"_DOT", "AS"}:
            self.words += [_made("_LPAR", "(", self.words[-1]), _made("_RPAR", ")", self.words[-1])]

    def _text(self, word: Word, before: Word) -> None:
        """Add a text; one with a word before it that says what it is, and one beside another, become one value."""
        span = Span(before.span.start, word.span.stop, word.span.text)
        match before.type:
            case "STRING" if before.value[0] == word.value[0]:
                self.words[-1] = Word("STRING", before.value[:-1] + word.value[1:], span)
            case "DATED":
                self.words[-1] = _made("NAME", before.value, before)
                self.words += [_made("_LPAR", "(", word), word, _made("_RPAR", ")", word)]
            case "PREFIX" if before.value == "B":
                self.words[-1] = _number(word, span)
            case "PREFIX":
                self.words[-1] = Word("STRING", word.value, span)
            case _:
                self.words.append(word)

    def _open(self, before: Word | None) -> None:
        name = "" if before is None or before.type != "NAME" else before.value.upper()
        after_dot = len(self.words) > 1 and self.words[-2].type == "_DOT"
        special = (name in _COMMAS or name == "CONVERT") and not after_dot
        self._calls.append(_Call(name if special else "", len(self.words) - 1))

    def _comma(self, call: _Call, word: Word) -> None:
        """Add the comma that `word` stands for; none where nothing is before it."""
        if self.words[-1].type != "_LPAR":
            call.comma = len(self.words)
            self.words.append(_made("_COMMA", ",", word))

    def _close(self, call: _Call) -> None:
        name = self.words[call.at]
        if call.name == "TRIM" and (call.side or call.comma >= 0):
            side = call.side or "BOTH"
            value = f"TRIM {side}" if call.comma >= 0 else _ONE_ARGUMENT[side]
            self.words[call.at] = replace(name, value=value)
        elif call.name == "CONVERT" and call.comma >= 0:
            self.words[call.at] = replace(name, type="CAST")
            self.words[call.comma] = replace(self.words[call.comma], type="AS")


def plain_forms(words: Sequence[Word]) -> list[Word]:
    """Return the words of a text with forms of MySQL's own as plain calls."""
    forms, index = _Forms(), 0
    while index < len(words):
        word = words[index]
        following = words[index + 1] if index + 1 < len(words) else None
        upper, after = word.value.upper(), "" if following is None else following.value.upper()
        if upper in {"USE", "FORCE", "IGNORE"} and after in {"INDEX", "KEY"} and forms.words:
            index = _after_brackets(words, index)
            continue
        if word.type == "USING" and following is not None and following.type == "NAME":
            index += 1  # the character set of CONVERT
        if not (upper == "CROSS" and after == "JOIN"):  # any join may have a condition or none
            forms.take(word, following)
        index += 1
    return forms.words


def _after_brackets(words: Sequence[Word], index: int) -> int:
    """Return where a hint ends: after its list of indexes."""
    while index < len(words) and words[index].type != "_RPAR":
        index += 1
    return index + 1


def _made(kind: str, value: str, word: Word) -> Word:
    return Word(kind, value, word.span)


def _typed(word: Word, before: Word, following: Word | None) -> Word:
    """Return a word with the type that its neighbours give it."""
    upper, after = word.value.upper(), "" if following is None else following.type
    if before.type in {"_DOT", "AS"} or word.type == "DELIMITED":
        return word
    if after == "STRING" and upper in _DATED:
        return _made("DATED", upper, word)
    if after == "STRING" and (upper in _CHARSETS or (upper in _PREFIXES and _touches(word, following))):
        return _made("PREFIX", upper, word)
    if upper == "UNKNOWN" and before.type in {"IS", "NOT"}:
        return _made("NULL", word.value, word)
    if upper == "ROLLUP" and before.type == "WITH" and after not in {"AS", "_LPAR"}:
        return _made("ROLLUP", word.value, word)
    if upper in {"ALL", "ANY", "SOME"} and before.type == "COMPARISON" and after == "_LPAR":
        return _made("QUANTIFIER", upper, word)
    return word


def _touches(word: Word, following: Word | None) -> bool:
    return following is not None and following.span.start == word.span.stop


def _number(word: Word, span: Span) -> Word:
    """Return the number that ``b'101'`` is."""
    digits = word.value[1:-1]
    if not digits or not set(digits) <= {"0", "1"}:
        raise error_at(QuerySyntaxError, f"{word.value[:40]} holds no binary digits.", span)
    return Word("UINT", str(int(digits, 2)), span)
