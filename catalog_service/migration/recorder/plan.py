"""Which queries a recording asks: those of files and logs, and the built-in ones, which are drawn once and kept."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar, get_args

from .builtin import Sample, builtin_queries, sample_query, samples_of
from .dialect import CONES, Cone, ConeStyle, Dialect
from .errors import FormatError, RefusedError, UsageError
from .files import write_json
from .format import Recording
from .options import Options
from .querylist import Request, distinct, read_log, read_statements
from .records import Table
from .source import CatalogSource

__all__ = ["Politely", "requests_of"]

_Found = TypeVar("_Found")
_FILE: Final = "queries.json"


class Politely(Protocol):
    """Does a piece of work at a source when it is time for it."""

    def __call__(self, work: Callable[[], _Found]) -> _Found:
        """Return what the work returns."""


def requests_of(
    recording: Recording, source: CatalogSource, options: Options, tables: Sequence[Table], politely: Politely
) -> list[Request]:
    """Return the queries of a run, each once; write them to ``queries.json``.

    Raises
    ------
    UsageError
        If a list of queries is at fault.
    UnreachableError
        If the source cannot be reached.
    """
    listed = [one for file in options.query_files for one in read_statements(file, source.lang)]
    listed += [one for file in options.logs for one in read_log(file, source.lang)]
    kept = _read(recording)
    if not kept and options.builtin:
        kept = _drawn(source, options, tables, politely)
    requests = list(distinct([*listed, *(kept if options.builtin else [])], source.lang))
    if not requests:
        raise UsageError("There is no query to record: give --queries or --log, or let --builtin find tables.")
    _write(recording, kept, [*_asked(recording), *((source.lang, one) for one in requests)])
    return requests


def _drawn(source: CatalogSource, options: Options, tables: Sequence[Table], politely: Politely) -> list[Request]:
    plain = Dialect(source.lang, "plain")
    samples: dict[str, list[Sample]] = {}
    for table in tables:
        query = sample_query(table, plain)
        if query is not None and table.rows:
            rows = politely(partial(_rows, source, query, options))
            samples[table.name] = samples_of(table, rows, options.samples)
    dialect = _dialect(source, options, tables, samples, politely)
    return list(builtin_queries(tables, samples, dialect))


def _rows(source: CatalogSource, query: str, options: Options) -> list[list[str | None]]:
    with source.ask(query, timeout_s=options.timeout_s) as result:
        return [[_text(value) for value in row] for batch in result.batches for row in batch]


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value


def _dialect(
    source: CatalogSource,
    options: Options,
    tables: Sequence[Table],
    samples: dict[str, list[Sample]],
    politely: Politely,
) -> Dialect:
    """Return the dialect with the first way to write a cone that the source takes."""
    if source.lang == "ADQL":
        return Dialect("ADQL", "contains")
    if options.cones in get_args(ConeStyle):
        return Dialect(source.lang, next(one for one in CONES if one == options.cones))
    placed = [one for one in tables if one.ra is not None and samples.get(one.name)]
    for style in ("areaspec", "scisql"):
        dialect = Dialect(source.lang, next(one for one in CONES if one == style))
        for table in placed[:1]:
            sample = samples[table.name][0]
            condition = dialect.cone(table, Cone(sample.ra or 0.0, sample.dec or 0.0, 0.0001))
            query = f"SELECT COUNT(*) AS n FROM {dialect.table(table)} WHERE {condition}"
            try:
                politely(partial(_rows, source, query, options))
            except RefusedError:
                continue
            return dialect
    return Dialect(source.lang, "plain")


def _read(recording: Recording) -> list[Request]:
    return [Request(str(one["query"]), str(one["use_case"])) for one in _listed(recording, "builtin")]


def _asked(recording: Recording) -> list[tuple[str, Request]]:
    """Return what earlier runs asked: what they left open stays to be recorded."""
    found = _listed(recording, "asked")
    return [(str(one["lang"]), Request(str(one["query"]), str(one["use_case"]))) for one in found]


def _listed(recording: Recording, name: str) -> list[dict[str, Any]]:
    path = recording.directory / _FILE
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))[name]
        return [{key: one[key] for key in ("query", "use_case", *(["lang"] * (name == "asked")))} for one in found]
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path} is not a list of queries of this format: {error!r}. Remove it.") from error


def _write(recording: Recording, builtin: Sequence[Request], asked: Sequence[tuple[str, Request]]) -> None:
    each = {(lang, one.query): one.use_case for lang, one in asked}
    content = {
        "builtin": [{"query": one.query, "use_case": one.use_case} for one in builtin],
        "asked": [{"lang": lang, "query": query, "use_case": case} for (lang, query), case in each.items()],
    }
    write_json(recording.directory / _FILE, content)
