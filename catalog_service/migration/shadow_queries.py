"""What of a TAP request is a query that can be asked again elsewhere, and what of it may stand in a log."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from .recorder.lexer import READINGS

__all__ = ["Query", "QueryNames", "blanked", "changes_phase_to_run", "parameters_of", "query_in", "shown_name"]

_COPIED: Final = frozenset({"REQUEST", "LANG", "QUERY", "FORMAT", "RESPONSEFORMAT", "MAXREC", "VERSION"})
"""Parameters that the new service is told. Not RUNID, which may name somebody, and nothing of the headers."""

_LANGUAGES: Final = frozenset({"ADQL", "ADQL-2.0", "ADQL-2.1", "QSERV"})
"""Languages that are logged, in upper case; what else somebody sends as ``LANG`` may say anything."""

_UNENDED: Final = r"(?P<unended>(?:['\"`]|/\*).*)"
_NUMBER: Final = r"(?<![\w`])(?:\d|\.\d)(?:[eE][+-]|[\w.])*"
_HIDDEN: Final = tuple(
    re.compile(f"{reading.pattern}|{_UNENDED}|{_NUMBER}", re.DOTALL)
    for reading in READINGS
    if reading.bare_dashes and reading.crosshatch
)
"""What is hidden, for each way that a server may read backslashes; whatever may be a comment may say anything."""

_REPEATED: Final = re.compile(r" \(\d+\)$")
"""How the comparison tells columns of one name apart."""
_PLAIN_NAME: Final = re.compile(r"`[A-Za-z_]\w*`", re.ASCII)
"""Other names in backticks may say anything."""


@dataclass(frozen=True)
class Query:
    """A query as it is asked again."""

    parameters: tuple[tuple[str, str], ...]
    """Names are upper case."""

    @property
    def text(self) -> str:
        """The query itself."""
        return dict(self.parameters)["QUERY"]

    @property
    def lang(self) -> str:
        """Its language, ``ADQL`` if not said."""
        return dict(self.parameters).get("LANG", "ADQL")


@dataclass(frozen=True)
class QueryNames:
    """How queries are called in a log.

    Parameters
    ----------
    key
        Secret of this run: without it nobody can try positions until their hash is the one in the log.
    keep_text
        Whether the log may hold queries as they were written.
    """

    key: bytes
    keep_text: bool = False

    def of(self, query: Query) -> dict[str, str]:
        """Return a name, the same for the same text within a run, and the text, without its literals by default."""
        name = hashlib.blake2b(query.text.encode(), key=self.key, digest_size=8).hexdigest()
        return {"query": name, **self._told(query)}

    def _told(self, query: Query) -> dict[str, str]:
        if self.keep_text:
            return {"text": query.text, "lang": query.lang}
        return {"text": blanked(query.text), "lang": query.lang if query.lang.upper() in _LANGUAGES else "other"}


def blanked(text: str) -> str:
    """Return a query with ``?`` for each number, quoted text and quoted name that is not plain, without comments.

    What depends on how backslashes in texts are read is ``?`` altogether: a wrong guess would show a text.

    >>> blanked("SELECT a1 FROM t WHERE ra BETWEEN 1.5 AND 2e3 AND name = 'M 31' -- of Ann's")
    'SELECT a1 FROM t WHERE ra BETWEEN ? AND ? AND name = ?'
    """
    found = {" ".join(pattern.sub(_shown, text).split()) for pattern in _HIDDEN}
    return found.pop() if len(found) == 1 else "?"


def shown_name(name: str, query: str) -> str:
    """Return the name of a column as it may stand in a log: services name expressions by their text, literals too.

    >>> [shown_name(one, "SELECT 'Ann', ABS(ra - 1.5)") for one in ("Ann", "Ann (2)", "ABS(ra - 1.5)", "mag")]
    ['?', '?', 'ABS(ra - ?)', 'mag']
    """
    plain = _REPEATED.sub("", name)
    shown = blanked(plain)
    pattern = re.compile(rf"(?<!\w){re.escape(shown)}(?!\w)", re.IGNORECASE)
    is_from_literal = plain.casefold() in query.casefold() and pattern.search(blanked(query)) is None
    return "?" if is_from_literal else shown


def _shown(found: re.Match[str]) -> str:
    if found.lastgroup == "comment" or found[0].startswith("/*"):
        return " "
    return found[0] if _PLAIN_NAME.fullmatch(found[0]) else "?"


def parameters_of(*parts: bytes) -> list[tuple[str, str]]:
    """Return the parameters of query strings and form bodies; names in upper case."""
    pairs: list[tuple[str, str]] = []
    for part in parts:
        try:
            pairs += parse_qsl(part.decode(), keep_blank_values=True)
        except ValueError:
            continue
    return [(name.upper(), value) for name, value in pairs]


def query_in(parameters: Iterable[tuple[str, str]]) -> Query | None:
    """Return the query of a request's parameters; None if there is none, or one that brings a table along."""
    named = list(parameters)
    values = dict(named)
    if not values.get("QUERY") or "UPLOAD" in values or values.get("REQUEST", "doQuery").lower() != "doquery":
        return None
    return Query(tuple((name, value) for name, value in named if name in _COPIED))


def changes_phase_to_run(parameters: Iterable[tuple[str, str]]) -> bool:
    """Tell whether parameters start a job."""
    return ("PHASE", "RUN") in {(name, value.upper()) for name, value in parameters}
