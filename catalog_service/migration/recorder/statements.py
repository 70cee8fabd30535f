"""Texts of SQL: where statements end, what they say beside literals and comments, whether they only read."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from .errors import UsageError
from .lexer import READINGS, Reading, reading_of

__all__ = ["check_reads_only", "normalised", "split_statements", "without_comments"]

_FIRST: Final = re.compile(r"[\s(]*(\w+)", re.ASCII)
_READS: Final = frozenset({"select", "show", "describe", "desc", "with"})
_FUNCTIONS: Final = (
    "get_lock", "release_lock", "release_all_locks", "sleep", "benchmark", "load_file", "nextval", "setval",
    "master_pos_wait", "master_gtid_wait", "source_pos_wait", "wait_for_executed_gtid_set", "sys_exec", "sys_eval",
)  # fmt: skip
"""What holds a lock, a server or a sequence, or reads its files."""
_CALLED: Final = re.compile(rf"(?<![a-z_$])(?:{'|'.join(_FUNCTIONS)}|\w*[^\x00-\x7f]\w*)\s*\(", re.IGNORECASE)
"""A server takes an accented letter of a function's name for the plain one, so names beyond ASCII are not called."""
_WRITES: Final = re.compile(
    r"(?<![a-z_$])(?:(?:into|outfile|dumpfile|procedure|update|delete|for\s+share|lock\s+in|next\s+value\s+for)(?![\w$])"
    r"|(?:insert|replace|merge)\s+(?!\())",
    re.IGNORECASE | re.ASCII,
)
"""Words that may begin right after a number, as in ``1.0INTO``: servers end a number where its digits end."""
_DOUBTFUL: Final = re.compile(
    r"(?![\t\n\r ])[\x00-\x20\x7f-\x9f]|(?![\x00-\x20])\s|[\u200b-\u200f\u2060\ufeff]|(?<![\w$])\$\w*\$"
)
"""Control characters, blanks beyond ASCII and dollar quotes: servers do not agree on what they separate."""
_NOT_UNICODE: Final = re.compile(r"[\ud800-\udfff]")


@cache
def _compiled(reading: Reading, *, with_ends: bool = False) -> re.Pattern[str]:
    """Return what ends a text, a name and a comment; with ends of statements too: ``;`` and empty lines."""
    return re.compile(reading.pattern + (r"|;|\n[ \t\r]*\n" if with_ends else ""), re.DOTALL)


def split_statements(text: str, lang: str = "QSERV") -> Iterator[tuple[str, str]]:
    r"""Yield (comment, statement): statements end at ``;`` or at an empty line, outside texts and comments.

    Parameters
    ----------
    text
        Statements; a comment line before one is a heading, which holds until the next.
    lang
        ``QSERV`` (MySQL) or ``ADQL``: they differ in backslashes in texts and in comments.

    Examples
    --------
    >>> list(split_statements("-- ids\nSELECT ';';\nSELECT 2\n\n# cones\nSELECT 3"))
    [('ids', "SELECT ';'"), ('ids', 'SELECT 2'), ('cones', 'SELECT 3')]
    """
    heading, start = "", 0
    for end, after in [*_ends(text, lang), (len(text), len(text))]:
        headings, statement = _headed(text[start:end])
        heading = headings or heading
        if statement:
            yield heading, statement
        start = after


def _ends(text: str, lang: str) -> Iterator[tuple[int, int]]:
    for token in _compiled(reading_of(lang), with_ends=True).finditer(text):
        if token[0] == ";" or token[0].isspace():
            yield token.span()


def _headed(part: str) -> tuple[str, str]:
    """Return the last comment line before a statement, and the statement."""
    heading, lines = "", part.strip().splitlines()
    while lines and lines[0].lstrip().startswith(("--", "#")):
        heading = lines.pop(0).strip().lstrip("-#").strip() or heading
    return re.sub(r"^use case:\s*", "", heading, flags=re.IGNORECASE), "\n".join(lines).strip()


def _emptied(token: re.Match[str]) -> str:
    return " '' " if token[0][0] in "'\"`" else " "


def without_comments(statement: str, lang: str = "QSERV") -> str:
    """Return a statement without comments, which may name somebody; executable ones stay, which are no comments.

    Examples
    --------
    >>> without_comments("SELECT '--' /* Ann's */ FROM t -- 12 o'clock")
    "SELECT '--'   FROM t  "
    """
    return _compiled(reading_of(lang)).sub(_without_comment, statement)


def _without_comment(token: re.Match[str]) -> str:
    is_comment = token.lastgroup == "comment" and not token[0].startswith(("/*!", "/*M!"))
    return " " if is_comment else token[0]


def normalised(statement: str, lang: str = "QSERV") -> str:
    """Return what equal statements have in common, whatever their blanks: to find repeated ones."""
    parts, start = [], 0
    for token in _compiled(reading_of(lang)).finditer(statement):
        parts += [" ".join(statement[start : token.start()].split()), token[0].strip()]
        start = token.end()
    return " ".join([*parts, " ".join(statement[start:].split())]).strip(" ;")


def check_reads_only(statement: str, lang: str = "QSERV") -> None:
    """Refuse what could do more than read, however the server reads quotes, backslashes and comments.

    Parameters
    ----------
    statement
        What is to be sent.
    lang
        ``QSERV`` or ``ADQL``; in ADQL a backslash in a text is one.

    Raises
    ------
    UsageError
        Unless the statement is one SELECT, SHOW or DESCRIBE, without INTO, locks, waits and executable comments.
    """
    if "/*!" in statement or "/*M!" in statement:
        raise UsageError(f"Nothing is sent that may write or lock: {_shown(statement)}")
    if _NOT_UNICODE.search(statement):
        raise UsageError(f"A statement holds half a character, which cannot be sent: {_shown(statement)}")
    _check_first(_compiled(reading_of(lang)).sub(_emptied, statement), statement)
    for reading in READINGS:
        if lang == "QSERV" or not (reading.escapes or reading.escapes_in_double):
            _check_reading(_compiled(reading), statement)


def _check_first(bare: str, statement: str) -> None:
    first = _FIRST.match(bare)
    if first is None or first[1].lower() not in _READS:
        raise UsageError(f"Only SELECT, SHOW and DESCRIBE are sent, not {_shown(statement)}")


def _check_reading(reading: re.Pattern[str], statement: str) -> None:
    """Refuse a statement that does more than read if a server reads it this way."""
    if _DOUBTFUL.search(reading.sub(_without_text, statement)):
        raise UsageError(
            "Control characters, blanks beyond ASCII and dollar quotes are sent in texts and quoted names only, not in "
            f"{_shown(statement)}"
        )
    bare = reading.sub(_with_calls, statement).replace("\\N", " NULL ").strip().rstrip("; \n")
    if _FIRST.match(bare):
        _check_first(bare, statement)
    if ";" in bare:
        raise UsageError(f"One statement at a time is sent, not {_shown(statement)}")
    if _WRITES.search(bare) or _CALLED.search(bare):
        raise UsageError(f"Nothing is sent that may write, lock or wait: {_shown(statement)}")


def _without_text(token: re.Match[str]) -> str:
    """Return what is left of a token outside of texts and names: a comment stays."""
    return "''" if token[0][0] in "'\"`" else token[0]


def _with_calls(token: re.Match[str]) -> str:
    """Empty a token, but keep a quoted name that may be a function's."""
    name = token[0][1:-1]
    is_call = token[0][0] in '"`' and (name.lower() in _FUNCTIONS or (not name.isascii() and name.isidentifier()))
    return f" {name} " if is_call else _emptied(token)


def _shown(statement: str) -> str:
    flat = " ".join("".join(one if one.isprintable() else " " for one in statement).split())
    return flat if len(flat) <= 80 else flat[:77] + "..."
