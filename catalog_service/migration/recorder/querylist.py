"""Lists of queries: files of statements, and the logs of servers."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import UsageError
from .statements import check_reads_only, normalised, split_statements, without_comments

__all__ = ["Request", "distinct", "read_log", "read_statements"]

_GENERAL: Final = re.compile(
    r"^(?:\d{6}\s+\d{1,2}:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))?"
    r"\t\s*\d+\s(?P<command>[A-Z][A-Za-z ]*?)(?:\t(?P<text>.*))?$"
)
"""A line of the general log, of MySQL (ISO time) and MariaDB (yymmdd, or two tabs within the same second)."""
_BANNER: Final = re.compile(r"^(?:Tcp port:|Time\s+Id\s+Command|\S+, Version:)")


@dataclass(frozen=True)
class Request:
    """A query to record."""

    query: str
    use_case: str


def read_statements(file: Path, lang: str = "QSERV") -> Iterator[Request]:
    """Yield the statements of a file, which end at ``;`` or an empty line; a comment line names the use case.

    Parameters
    ----------
    file
        The file.
    lang
        Language of the statements.

    Raises
    ------
    UsageError
        If the file cannot be read, or a statement does more than read.
    """
    for use_case, statement in split_statements(_text_of(file), lang):
        check_reads_only(statement, lang)
        yield Request(statement, use_case or file.stem)


def read_log(file: Path, lang: str = "QSERV") -> Iterator[Request]:
    """Yield the queries of a log: MySQL's general log, or lines with a JSON object whose field ``query`` is one.

    Statements that do more than read, or read nothing of a catalog, are left out. Users and addresses of the log are
    not taken over, nor comments in the queries.

    Parameters
    ----------
    file
        The file.
    lang
        Language of the queries.

    Raises
    ------
    UsageError
        If the file cannot be read, or holds no query.
    """
    lines = [line.removesuffix("\r") for line in _text_of(file).split("\n")]  # texts may hold other ends of lines
    found = [*_json_queries(lines), *_general_queries(lines)]
    requests = [Request(without_comments(one, lang).strip().rstrip("; \n"), file.stem) for one in found]
    wanted = [one for one in requests if _reads_a_table(one.query, lang)]
    if not wanted:
        raise UsageError(
            f'{file} holds no query: neither a general log of MySQL nor lines with {{"query": "SELECT ..."}}.'
        )
    yield from wanted


def distinct(requests: Iterable[Request], lang: str = "QSERV") -> Iterator[Request]:
    """Yield requests whose text, blanks aside, was not there before."""
    seen: set[str] = set()
    for one in requests:
        text = normalised(one.query, lang)
        if text not in seen:
            seen.add(text)
            yield one


def _json_queries(lines: Iterable[str]) -> Iterator[str]:
    decoder = json.JSONDecoder()
    for line in lines:
        at = line.find("{")
        if at < 0 or '"query"' not in line:
            continue
        try:
            found, _ = decoder.raw_decode(line, at)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("query"), str):
            yield found["query"]


def _general_queries(lines: Iterable[str]) -> Iterator[str]:
    query: list[str] | None = None
    for line in lines:
        entry = _GENERAL.match(line)
        if entry is None and query is not None and not _BANNER.match(line):
            query.append(line)
            continue
        if query is not None:
            yield "\n".join(query)
        query = [entry["text"] or ""] if entry is not None and entry["command"] == "Query" else None
    if query is not None:
        yield "\n".join(query)


def _reads_a_table(query: str, lang: str) -> bool:
    try:
        check_reads_only(query, lang)
    except UsageError:
        return False
    return re.match(r"[\s(]*(?:select|with)\b", query, re.IGNORECASE) is not None and " from " in (
        f" {normalised(query, lang)} ".lower()
    )


def _text_of(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    return "\n".join(map(_decoded, content.split(b"\n")))  # a line of garbage must not spoil the others


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin1")
