"""Where texts, quoted names and comments of SQL begin and end; languages and servers do not agree.

One pattern for all who look at queries: what is sent to a source, how answers are compared, what a log may hold.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final

__all__ = ["ADQL", "MYSQL", "READINGS", "Reading", "reading_of"]

_ESCAPED: Final = r"{0}(?:[^{0}\\]|\\.|{0}{0})*{0}"
_PLAIN: Final = r"{0}(?:[^{0}]|{0}{0})*{0}"


@dataclass(frozen=True)
class Reading:
    r"""How a program reads SQL.

    Examples
    --------
    >>> import re
    >>> [re.search(one.pattern, r"SELECT 'a\' -- 'b'").group() for one in (MYSQL, ADQL)]
    ["'a\\' -- '", "'a\\'"]
    """

    escapes: bool
    """Whether a backslash escapes in a text in single quotes."""
    escapes_in_double: bool
    """Whether it does within double quotes, be it a text or a name."""
    bare_dashes: bool
    """Whether ``--`` begins a comment without a blank or control character behind it."""
    crosshatch: bool
    """Whether ``#`` begins one."""

    @property
    def pattern(self) -> str:
        """Alternatives of a regular expression, to be compiled with DOTALL: whole ones only, with their ends.

        Groups are ``text`` (single quotes), ``quoted`` (double quotes and backticks) and ``comment``.
        """
        text = (_ESCAPED if self.escapes else _PLAIN).format("'")
        double = (_ESCAPED if self.escapes_in_double else _PLAIN).format('"')
        dashes = "--" if self.bare_dashes else r"--(?=[\x00-\x20\x7f]|\Z)"
        line = rf"(?:{dashes}|\#)" if self.crosshatch else dashes
        return rf"(?P<text>{text})|(?P<quoted>{double}|{_PLAIN.format('`')})|(?P<comment>{line}[^\n]*|/\*.*?\*/)"


MYSQL: Final = Reading(escapes=True, escapes_in_double=True, bare_dashes=False, crosshatch=True)
ADQL: Final = Reading(escapes=False, escapes_in_double=False, bare_dashes=True, crosshatch=False)
READINGS: Final = tuple(
    Reading(*flags) for flags in product((True, False), (True, False), (False, True), (True, False))
)
"""Every way that a server may read SQL; MySQL's default is the first."""


def reading_of(lang: str) -> Reading:
    """Return how queries of a language are read: ``QSERV`` as MySQL does, others as ADQL."""
    return MYSQL if lang == "QSERV" else ADQL
