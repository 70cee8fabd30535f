"""Errors that point at their place in the query text."""

from difflib import SequenceMatcher, get_close_matches
from typing import Final, TypeVar

from ..exceptions import CatalogServiceError
from ..models.tree import Span

__all__ = ["did_you_mean", "error_at", "excerpt"]

_WIDTH: Final = 100
"""Longest excerpt of a line; longer lines are cut around the place."""

E = TypeVar("E", bound=CatalogServiceError)


def error_at(kind: type[E], message: str, span: Span, *, remedy: str | None = None) -> E:
    """Return an error of class `kind` that names and shows its place.

    >>> from ..exceptions import QueryNameError
    >>> print(error_at(QueryNameError, "there is no column 'rra'.", Span(7, 10, "SELECT rra FROM t")))
    line 1, column 8: there is no column 'rra'.
      SELECT rra FROM t
             ^^^
    """
    text = message if remedy is None else f"{message} {remedy}"
    if not span.text:
        return kind(text)
    place = f"line {span.line}, column {span.column}"
    return kind(f"{place}: {text}\n{excerpt(span)}", line=span.line, column=span.column)


def excerpt(span: Span) -> str:
    """Return the line that holds the start of `span`, and below it a caret line."""
    begin = span.text.rfind("\n", 0, span.start) + 1
    end = span.text.find("\n", span.start)
    line = span.text[begin:] if end < 0 else span.text[begin:end]
    start, stop = span.start - begin, max(span.start + 1, min(span.stop, begin + len(line))) - begin
    cut = max(0, start - _WIDTH // 2)
    head, tail = ("..." if cut else ""), ("..." if len(line) > cut + _WIDTH else "")
    shown = "".join(character if character.isprintable() else " " for character in line[cut : cut + _WIDTH])
    carets = "^" * max(1, min(stop, cut + _WIDTH) - start)
    return f"  {head}{shown.rstrip()}{tail}\n  {' ' * (len(head) + start - cut)}{carets}"


def did_you_mean(name: str, candidates: list[str]) -> str | None:
    """Return "Did you mean ...?" with the visible names closest to `name`, or None.

    >>> did_you_mean("objctid", ["objectId", "ra", "dec"])
    "Did you mean 'objectId'?"
    """
    spelled = {candidate.lower(): candidate for candidate in candidates}
    found = get_close_matches(name.lower(), spelled, n=3, cutoff=0.6)
    ratios = {match: SequenceMatcher(None, name.lower(), match).ratio() for match in found}
    found = [match for match in found if ratios[match] > max(ratios.values()) - 0.08]
    quoted = [f"'{spelled[match]}'" for match in found]
    return f"Did you mean {' or '.join(quoted)}?" if quoted else None
