"""Texts of SQL: where statements end, what they say beside literals and comments, whether they only read."""

import re
from collections.abc import Iterator
from typing import Final

from .errors import UsageError

__all__ = ["check_reads_only", "normalised", "split_statements", "without_literals"]

_TOKEN: Final = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`[^`]*`|(?:--(?=\s|$)|\#)[^\n]*|/\*.*?\*/|;|\n[ \t\r]*\n""",
    re.DOTALL | re.VERBOSE,
)
_FIRST: Final = re.compile(r"[\s(]*(\w+)")
_READS: Final = frozenset({"select", "show", "describe", "desc", "with"})
_WRITES: Final = re.compile(
    r"\binto\b|\bfor\s+update\b|\bfor\s+share\b|\block\s+in\b|\b(?:insert|update|delete|replace|merge)\s+(?!\()",
    re.IGNORECASE,
)


def split_statements(text: str) -> Iterator[tuple[str, str]]:
    r"""Yield (comment, statement): statements end at ``;`` or at an empty line, outside texts and comments.

    Parameters
    ----------
    text
        Statements; a comment line before one is a heading, which holds until the next.

    Examples
    --------
    >>> list(split_statements("-- ids\nSELECT ';';\nSELECT 2\n\n# cones\nSELECT 3"))
    [('ids', "SELECT ';'"), ('ids', 'SELECT 2'), ('cones', 'SELECT 3')]
    """
    heading, start = "", 0
    for end, after in [*_ends(text), (len(text), len(text))]:
        headings, statement = _headed(text[start:end])
        heading = headings or heading
        if statement:
            yield heading, statement
        start = after


def _ends(text: str) -> Iterator[tuple[int, int]]:
    for token in _TOKEN.finditer(text):
        if token[0] == ";" or token[0].isspace():
            yield token.span()


def _headed(part: str) -> tuple[str, str]:
    """Return the last comment line before a statement, and the statement."""
    heading, lines = "", part.strip().splitlines()
    while lines and lines[0].lstrip().startswith(("--", "#")):
        heading = lines.pop(0).strip().lstrip("-#").strip() or heading
    return re.sub(r"^use case:\s*", "", heading, flags=re.IGNORECASE), "\n".join(lines).strip()


def without_literals(statement: str) -> str:
    """Return a statement with every literal and quoted name emptied, and without comments."""
    return _TOKEN.sub(_emptied, statement)


def _emptied(token: re.Match[str]) -> str:
    if token[0].isspace() or token[0] == ";":
        return token[0]
    return " '' " if token[0][0] in "'\"`" else " "


def normalised(statement: str) -> str:
    """Return what equal statements have in common, whatever their blanks: to find repeated ones."""
    parts, start = [], 0
    for token in _TOKEN.finditer(statement):
        parts += [" ".join(statement[start : token.start()].split()), token[0].strip()]
        start = token.end()
    return " ".join([*parts, " ".join(statement[start:].split())]).strip(" ;")


def check_reads_only(statement: str) -> None:
    """Refuse what could do more than read.

    Raises
    ------
    UsageError
        Unless the statement is one SELECT, SHOW or DESCRIBE, without INTO, locks and executable comments.
    """
    bare = without_literals(statement).strip().rstrip("; \n")
    first = _FIRST.match(bare)
    if first is None or first[1].lower() not in _READS:
        raise UsageError(f"Only SELECT, SHOW and DESCRIBE are sent, not {_shown(statement)}")
    if ";" in bare:
        raise UsageError(f"One statement at a time is sent, not {_shown(statement)}")
    if _WRITES.search(bare) or "/*!" in statement or "/*M!" in statement:
        raise UsageError(f"Nothing is sent that may write or lock: {_shown(statement)}")


def _shown(statement: str) -> str:
    flat = " ".join(statement.split())
    return flat if len(flat) <= 80 else flat[:77] + "..."
