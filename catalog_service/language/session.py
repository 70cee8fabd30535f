"""Statements of Qserv about queries themselves: what asks for them, and what answers, again as a text of its language.

>>> session_statement("KILL QUERY 'b1c4'")
SessionStatement(kind='kill', argument='b1c4')
>>> session_statement("submit SELECT 1;")
SessionStatement(kind='submit', argument='SELECT 1;')
>>> session_statement("SELECT objectId FROM Object") is None
True
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..exceptions import QueryRefusedError
from ..models.tree import Span
from ..models.upload import UPLOAD_SCHEMA
from .errors import error_at
from .lexer import Word
from .mysql_lexer import scan_mysql

__all__ = [
    "PROCESS_COLUMNS", "NamedResults", "SessionStatement", "named_results", "process_text", "row_text",
    "rows_text", "session_statement",
]  # fmt: skip

_BEGINS: Final = re.compile(
    r"\s*(?:EXPLAIN\s+(?=SELECT\b|WITH\b|\()|(?:SUBMIT|CANCEL|KILL|CALL|SHOW\s+(?:FULL\s+)?PROCESSLIST)\b)"
    r"|(?=.*?information_schema)",
    re.IGNORECASE | re.DOTALL,
)
"""What may be such a statement; all other texts are not read twice."""

_IDENT: Final = r"(['\"`]?)(?P<id>[0-9A-Za-z]{1,40})\1"
_KILL: Final = re.compile(rf"\s*(?:CANCEL|KILL(?:\s+(?:QUERY|CONNECTION))?)\s+{_IDENT}\s*;?\s*", re.IGNORECASE)
_DELETE: Final = re.compile(rf"\s*CALL\s+qserv_result_delete\s*\(\s*{_IDENT}\s*\)\s*;?\s*", re.IGNORECASE)

_LISTS: Final = frozenset({"processlist", "queries"})
_SHORT: Final = 100
"""Characters that are shown of a query's text unless FULL asks for more; as in MySQL."""

PROCESS_COLUMNS: Final[Mapping[str, type]] = {
    "ID": str,
    "TYPE": str,
    "STATUS": str,
    "SUBMITTED": str,
    "COMPLETED": str,
    "CHUNKS": int,
    "CHUNKS_COMP": int,
    "BYTES": int,
    "ROWS": int,
    "QUERY": str,
    "ERROR": str,
}
"""Columns of the list of queries, as Qserv calls them."""


@dataclass(frozen=True, slots=True)
class SessionStatement:
    """One statement about queries."""

    kind: str
    """``submit``, ``kill``, ``delete``, ``explain``, ``list`` or ``show``."""
    argument: str
    """The query that is submitted or explained, the id of a query, or the text that asks for a list."""


def session_statement(text: str) -> SessionStatement | None:
    """Return the statement that a text is; None for a query, or any other statement.

    Raises
    ------
    QueryError
        If it begins like one, but is not understood.
    """
    if not _BEGINS.match(text):
        return None
    match text.split(maxsplit=1):
        case [first, query] if first.upper() == "SUBMIT":
            return SessionStatement("submit", query.strip())
        case [first, query] if first.upper() == "EXPLAIN":
            return SessionStatement("explain", query)
        case [first, *_] if first.upper() in {"KILL", "CANCEL"}:
            return SessionStatement("kill", _id(_KILL, text))
        case [first, *_] if first.upper() == "CALL":
            return SessionStatement("delete", _id(_DELETE, text))
        case _:
            words = scan_mysql(text)
    values = [word.value.upper() for word in words]
    if values in (["SHOW", "PROCESSLIST"], ["SHOW", "FULL", "PROCESSLIST"]):
        return SessionStatement("show", "full" if len(words) == 3 else "")
    return SessionStatement("list", text) if _list_at(words) is not None else None


def _id(form: re.Pattern[str], text: str) -> str:
    """Return the id of a query, which is no word of the language: it may begin with a digit."""
    found = form.fullmatch(text)
    if found is None:
        first = text.split(maxsplit=1)[0]
        start = text.index(first)
        message = f"{first.upper()} takes the id of one query."
        place = Span(start, start + len(first), text)
        raise error_at(QueryRefusedError, message, place, remedy="SHOW PROCESSLIST lists yours.")
    return found["id"]


@dataclass(frozen=True, slots=True)
class NamedResults:
    """A text that reads the results of jobs."""

    text: str
    """With names of uploaded tables in place of ``qserv_result(id)``."""
    jobs: Mapping[str, str]
    """Ids of the jobs by the names of these tables."""


def named_results(text: str) -> NamedResults | None:
    """Return a text with the results of jobs that it names as uploaded tables; None if it names none.

    Texts in quotes that say the same are left alone.

    Raises
    ------
    QueryRefusedError
        If what is in the brackets is no id.

    >>> named_results("SELECT a FROM qserv_result(0b1c) AS r WHERE t = 'qserv_result(1)'")
    ... # doctest: +NORMALIZE_WHITESPACE
    NamedResults(text="SELECT a FROM TAP_UPLOAD.result_0b1c AS r WHERE t = 'qserv_result(1)'",
                 jobs={'result_0b1c': '0b1c'})
    """
    if "qserv_result" not in text.lower():
        return None
    jobs: dict[str, str] = {}
    parts, stop = [], 0
    for found in _RESULT.finditer(text):
        if found["begin"] is None:  # a text in quotes, or a comment
            continue
        if found["id"] is None:
            place = Span(found.start("begin"), found.end("begin"), text)
            raise error_at(QueryRefusedError, "qserv_result takes the id of one job.", place, remedy="SUBMIT tells it.")
        name = f"result_{found['id']}"
        jobs[name] = found["id"]
        parts += [text[stop : found.start()], f"{UPLOAD_SCHEMA}.{name}"]
        stop = found.end()
    return NamedResults("".join([*parts, text[stop:]]), jobs) if jobs else None


_RESULT: Final = re.compile(
    r"""'(?:[^'\\]|\\.|'')*+(?:'|\\?\Z)|"(?:[^"\\]|\\.|"")*+(?:"|\\?\Z)|--[^\n]*|\#[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)"""
    r"""|\b(?P<begin>qserv_result\s*+\()(?:\s*+(?P<quote>['"`]?)(?P<id>[0-9A-Za-z]{1,40}+)(?P=quote)\s*+\))?""",
    re.IGNORECASE | re.DOTALL,
)
"""A text in quotes, a comment, or the call."""


def _list_at(words: Sequence[Word]) -> int | None:
    """Return which word begins ``information_schema.processlist``, None if none does."""
    names = [word.value.strip("`").lower() for word in words]
    for i in range(len(words) - 2):
        if names[i] == "information_schema" and words[i + 1].type == "_DOT" and names[i + 2] in _LISTS:
            return i
    return None


def process_text(statement: SessionStatement, rows: Sequence[Mapping[str, object]]) -> str:
    """Return the query that answers a request for a list of queries.

    Parameters
    ----------
    rows
        The queries, by the names of `PROCESS_COLUMNS`.
    """
    shown = [{**row, "QUERY": str(row["QUERY"])[:_SHORT]} for row in rows] if statement.argument == "" else rows
    first = {name: kind() for name, kind in PROCESS_COLUMNS.items()}
    table = f"(SELECT * FROM ({_union([_row(row) for row in (first, *shown)])}) AS q WHERE q.ID <> '')"  # noqa: S608  # literals are quoted
    if statement.kind == "show":
        return f"SELECT * FROM {table} AS processlist"  # noqa: S608  # literals are quoted
    text, words = statement.argument, scan_mysql(statement.argument)
    at = _list_at(words)
    assert at is not None
    end = at + 3
    named = end < len(words) and words[end].type in {"AS", "NAME", "DELIMITED"}
    alias = "" if named else f" AS {words[at + 2].value}"
    before = Span(0, words[at].span.start, text)
    return f"{text[: before.stop]}{table}{alias}{text[words[end - 1].span.stop :]}"


def row_text(row: Mapping[str, object]) -> str:
    """Return the query whose answer is one row.

    >>> row_text({"jobId": "it's", "n": 2, "none": None})
    "SELECT 'it''s' AS `jobId`, 2 AS `n`, NULL AS `none`"
    """
    return _row(row)


def rows_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Return the query whose answer is some rows, at least one.

    >>> rows_text([{"n": 1}, {"n": 2}])
    'SELECT 1 AS `n` UNION ALL SELECT 2 AS `n`'
    """
    return _union([_row(row) for row in rows])


def _row(row: Mapping[str, object]) -> str:
    return f"SELECT {', '.join(f'{_literal(value)} AS `{name}`' for name, value in row.items())}"


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _union(texts: Sequence[str]) -> str:
    """Return all rows together, nested as little as can be."""
    if len(texts) == 1:
        return texts[0]
    half = len(texts) // 2
    sides = [f"({side})" if len(part) > 1 else side for part in (texts[:half], texts[half:]) for side in [_union(part)]]
    return " UNION ALL ".join(sides)
