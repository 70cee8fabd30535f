"""Parameters of requests and jobs: names ignore case, a single-valued one is given once (DALI 1.1 section 3.2)."""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from ..exceptions import ParameterError
from ..models.query import Language, QueryText
from ..writers.negotiate import negotiate
from .deliveries import ResultOptions

__all__ = ["Parameters", "language", "query_text", "result_options", "shown"]

_LANGUAGES: Final[Mapping[str, Language]] = {
    "ADQL": Language.ADQL,
    "ADQL-2.0": Language.ADQL,
    "ADQL-2.1": Language.ADQL,
    "QSERV": Language.QSERV,
}
_RUNID_LENGTH: Final = 64
_COUNT_LENGTH: Final = 30
"""Digits of a whole number; Python refuses to read thousands of them."""
_SHOWN_LENGTH: Final = 60
"""Characters of a value that an error repeats."""


class Parameters:
    """The parameters of one request, from the URL and a form body, or kept with a job."""

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        self.items = tuple(items)
        """Names and values as given."""
        self._values: dict[str, list[str]] = {}
        for name, value in self.items:
            self._values.setdefault(name.upper(), []).append(value)

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of a parameter that may be given several times."""
        return tuple(self._values.get(name, ()))

    def one(self, name: str) -> str | None:
        """Return the value of a parameter, None if absent.

        Raises
        ------
        ParameterError
            If it was given more than once with different values; astroquery repeats itself.
        """
        values = self._values.get(name, [])
        if len(set(values)) > 1:
            raise ParameterError(f"parameter {name} is given {len(values)} times; give it once")
        return values[0] if values else None

    def required(self, name: str) -> str:
        """Return the value of a parameter that must be there.

        Raises
        ------
        ParameterError
            If it is absent or empty.
        """
        value = self.one(name)
        if value is None or not value.strip():
            raise ParameterError(f"parameter {name} is missing")
        return value

    def number(self, name: str) -> float:
        """Return a required finite number."""
        text = self.required(name)
        try:
            value = float(text)
        except ValueError:
            raise ParameterError(f"{name}={shown(text)} is not a number; give decimal degrees") from None
        if not math.isfinite(value):
            raise ParameterError(f"{name}={shown(text)} is not a finite number")
        return value

    def count(self, name: str) -> int | None:
        """Return an optional whole number >= 0."""
        text = self.one(name)
        if text is None or not text.strip():
            return None
        if not text.strip().isdecimal() or len(text) > _COUNT_LENGTH:
            raise ParameterError(f"{name}={shown(text)} is not a whole number of at most {_COUNT_LENGTH} digits")
        return int(text)


def query_text(parameters: Parameters) -> QueryText:
    """Return the query of a TAP request (TAP 1.1 section 2.7).

    Raises
    ------
    ParameterError
        If LANG or QUERY is missing or LANG unknown.
    """
    asked = language(parameters.required("LANG"))
    request = parameters.one("REQUEST")
    if request is not None and request != "doQuery":
        raise ParameterError(f"REQUEST={shown(request)} is not supported here; use doQuery or leave it out")
    return QueryText(parameters.required("QUERY"), asked)


def language(name: str) -> Language:
    """Return the query language called `name`, ignoring case.

    Raises
    ------
    ParameterError
        If there is no such language.
    """
    if name.upper() not in _LANGUAGES:
        raise ParameterError(f"unknown query language LANG={shown(name)}; supported: {', '.join(_LANGUAGES)}")
    return _LANGUAGES[name.upper()]


def result_options(parameters: Parameters) -> ResultOptions:
    """Return how the caller wants the result: RESPONSEFORMAT (or FORMAT), MAXREC, RUNID."""
    asked, old = parameters.one("RESPONSEFORMAT"), parameters.one("FORMAT")
    runid = parameters.one("RUNID")
    return ResultOptions(
        format=negotiate(asked or old),
        maxrec=parameters.count("MAXREC"),
        runid=None if runid is None else runid[:_RUNID_LENGTH],
    )


def shown(text: str) -> str:
    """Return a value as errors repeat it."""
    return repr(text) if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]!r}..."
