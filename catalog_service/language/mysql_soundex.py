"""MySQL's SOUNDEX: Russell's code of as many digits as a word gives, four characters at least.

MySQL drops what has no digit first and repeated digits second, and looks at the whole text, not at its first word
(MariaDB Knowledge Base, "SOUNDEX").
"""

from functools import reduce
from typing import Final

from ..models.schema import DataType
from .function import Function, Kind
from .sqltext import let

__all__ = ["SOUNDEX"]

_LETTERS: Final = r"upper(regexp_replace({0}, '[^\pL]', '', 'g'))"

_DIGITS: Final = "translate(w['l'], 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '01230120022455012623010202')"

_RUNS: Final = f"left({_DIGITS}, 1) || regexp_replace(substr({_DIGITS}, 2), '[^1-6]', '', 'g')"

_SINGLE: Final = reduce(lambda sql, digit: f"regexp_replace({sql}, '{digit}+', '{digit}', 'g')", "123456", _RUNS)
"""The digit of the first letter, and those of the others that differ from the one before."""

_CODE: Final = f"left(w['l'], 1) || substr({_SINGLE}, 2)"

_LONG_ENOUGH: Final = let("c['t'] || repeat('0', greatest(0, 4 - length(c['t'])))", "c", t=_CODE)

SOUNDEX: Final = Function(
    name="mysql_soundex",
    params=(Kind.TEXT,),
    result=DataType.TEXT,
    templates={1: let(f"CASE WHEN w['l'] = '' THEN '' ELSE {_LONG_ENOUGH} END", "w", l=_LETTERS)},
    hidden=True,
)
