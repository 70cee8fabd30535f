"""Dump a table of a MySQL-protocol source into Parquet, chunk by chunk; what is finished is never asked for again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ..exceptions import ParameterError, UnavailableError
from .dump_chunk import dump_chunk
from .dump_chunks import CHUNK_COLUMN, PART_COLUMN, Chunk, Cut, planned_chunks
from .dump_columns import DumpColumn, dump_column, quoted
from .dump_files import FORMAT, VERSION, DumpedFile, Plan, files_of, locked, made, read_plan, write_json, write_plan
from .dump_release import write_release
from .dump_source import Source
from .recorder.pace import Pace

__all__ = ["TECHNICAL", "DumpRequest", "dump_table", "table_directory"]

TECHNICAL: Final = frozenset({CHUNK_COLUMN.lower(), PART_COLUMN.lower(), "qserv_trans_id"})
"""Columns of Qserv's own, in lower case."""


@dataclass(frozen=True, kw_only=True)
class DumpRequest:
    """What to dump, and how."""

    schema: str
    table: str
    out: Path
    """Directory below which the files go to ``SCHEMA/TABLE``."""
    cut: Cut = field(default_factory=Cut)
    ra: str | None = None
    dec: str | None = None
    id: tuple[str, ...] = ()
    """Identifier columns for the release; none: the primary key."""
    parent: str | None = None
    parent_key: tuple[str, str] | None = None
    without: tuple[str, ...] = ()
    """Columns to leave out."""
    as_text: tuple[str, ...] = ()
    """Columns to store as the source prints them."""
    keep_technical: bool = False
    """Whether to dump Qserv's own columns."""
    part: tuple[int, int] = (1, 1)
    """Number of this part of the chunks, counted from 1, and of how many: parts are dumped side by side."""
    group_rows: int = 100_000
    """Most rows of a row group: memory grows with it."""


def table_directory(request: DumpRequest) -> Path:
    """Return where the files of a table go."""
    return request.out / request.schema / request.table


def dump_table(source: Source, request: DumpRequest, pace: Pace, tell: Callable[[str], None]) -> bool:
    """Dump what is missing of a table, then write its manifest and the release's configuration.

    Returns
    -------
    bool
        Whether the dump is complete; if not, other parts are missing.

    Raises
    ------
    ParameterError
        If the request does not fit the table, or the files that are already there.
    UnavailableError
        If the source goes away, or changes, or another dump of the same chunks is running; what is finished stays.
    StorageError
        If a file cannot be written.
    """
    directory = table_directory(request)
    with locked(directory, request.part):
        plan = read_plan(directory)
        fresh = _fresh_plan(source, request)
        plan = replace(fresh, chunks=_chunks(source, request)) if plan is None else _continued(plan, fresh, directory)
        write_plan(directory, plan)
        _dump_missing(source, plan, request, pace, tell)
        files = files_of(directory, plan)
        if len(files) == len(plan.chunks):
            _finish(source, plan, files, request)
        return len(files) == len(plan.chunks)


def _dump_missing(source: Source, plan: Plan, request: DumpRequest, pace: Pace, tell: Callable[[str], None]) -> None:
    directory, (part, parts) = table_directory(request), request.part
    files = files_of(directory, plan)
    mine = [chunk for number, chunk in enumerate(plan.chunks) if number % parts == part - 1]
    missing = [chunk for chunk in mine if chunk.name not in files]
    there = [chunk.name for chunk in mine if chunk.name in files]
    tell(f"{plan.schema}.{plan.table}: {len(there)} of {len(mine)} chunks are there")
    if there:
        first, last = made(directory, there)
        tell(
            f"Their files were made from {first} to {last} and are kept: what the source has changed since is not in "
            f"them. --verify compares them with the source; to dump anew, move {directory} away first."
        )
    for number, chunk in enumerate(missing, start=len(mine) - len(missing) + 1):
        pace.wait()
        began, table = time.monotonic(), quoted(plan.schema, plan.table)
        one = dump_chunk(source, table, plan.columns, chunk, directory, group_rows=request.group_rows)
        pace.spent(began)
        tell(f"{number}/{len(mine)} {chunk.name}: {one.rows} rows, {one.bytes} bytes, {one.seconds:.1f} s")


def _fresh_plan(source: Source, request: DumpRequest) -> Plan:
    """Return the plan without its chunks, from what the source says now."""
    types = source.column_types(request.schema, request.table)
    columns = _dumped(types, request)
    key = tuple(name for name, _, is_key in types if is_key)
    names = {one.name.lower(): one.name for one in columns}
    for asked in (request.ra, request.dec, *request.id, *(request.parent_key or ())[:1]):
        if asked is not None and asked.lower() not in names:
            raise ParameterError(f"{request.schema}.{request.table} has no column {asked!r} that is dumped.")
    return Plan(
        schema=request.schema,
        table=request.table,
        source=source.address.shown,
        server=source.version(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        columns=columns,
        chunks=(),
        primary_key=key,
        ra=request.ra and names[request.ra.lower()],
        dec=request.dec and names[request.dec.lower()],
        id=tuple(names[one.lower()] for one in request.id) or tuple(one for one in key if one.lower() in names),
        parent=request.parent,
        parent_key=request.parent_key,
    )


def _dumped(types: Sequence[tuple[str, str, bool]], request: DumpRequest) -> tuple[DumpColumn, ...]:
    known = {name.lower() for name, _, _ in types}
    for asked in (*request.without, *request.as_text):
        if asked.lower() not in known:
            raise ParameterError(f"{request.schema}.{request.table} has no column {asked!r}.")
    left_out = {one.lower() for one in request.without} | (set() if request.keep_technical else TECHNICAL)
    as_text = {one.lower() for one in request.as_text}
    return tuple(
        dump_column(name, kind, as_text=name.lower() in as_text)
        for name, kind, _ in types
        if name.lower() not in left_out
    )


def _chunks(source: Source, request: DumpRequest) -> tuple[Chunk, ...]:
    types = source.column_types(request.schema, request.table)
    columns = [dump_column(name, kind) for name, kind, _ in types]
    keys = [name for name, _, is_key in types if is_key]
    chunks = planned_chunks(source, quoted(request.schema, request.table), columns, keys, request.cut)
    return chunks or (Chunk("all", None, 0),)


def _continued(plan: Plan, fresh: Plan, directory: Path) -> Plan:
    """Return the plan of a dump that goes on; what only the release's configuration needs may be said anew."""
    then = {one.name: one for one in plan.columns}
    now = {one.name: one for one in fresh.columns}
    changes = [f"{name!r} is there no more" for name in then if name not in now]
    changes += [f"{name!r} is new" for name in now if name not in then]
    changes += [
        f"{name!r} was {then[name].type}, stored as {then[name].stored}, and is {now[name].type}, {now[name].stored}"
        for name in then
        if name in now and then[name] != now[name]
    ]
    if changes:
        raise ParameterError(
            f"The columns of {plan.schema}.{plan.table} are not those that this dump began with on {plan.started}: "
            f"{'; '.join(changes)}. Files of both would not agree.",
            remedy=f"Choose the same columns, or move {directory} away to begin anew.",
        )
    return replace(plan, ra=fresh.ra, dec=fresh.dec, id=fresh.id, parent=fresh.parent, parent_key=fresh.parent_key)


def _finish(source: Source, plan: Plan, files: dict[str, DumpedFile], request: DumpRequest) -> None:
    """Write what makes a dump complete, unless the source has other rows by now."""
    counted = int(source.rows(f"SELECT COUNT(*) FROM {quoted(plan.schema, plan.table)}")[0][0] or 0)
    dumped = sum(one.rows for one in files.values())
    if counted != dumped:
        raise UnavailableError(
            f"{source.address.shown} counts {counted} rows of {plan.schema}.{plan.table} now, and {dumped} were dumped "
            f"since {plan.started}: the table is being changed.",
            remedy="Dump it anew, into another directory, when it is at rest.",
        )
    content = {
        "format": FORMAT,
        "version": VERSION,
        "schema": plan.schema,
        "table": plan.table,
        "source": plan.source,
        "server": plan.server,
        "started": plan.started,
        "finished": made(table_directory(request), files)[1],
        "columns": [asdict(one) for one in plan.columns],
        "rows": dumped,
        "files": {f"{one.name}.parquet": asdict(one) for one in files.values()},
    }
    write_json(table_directory(request) / "_manifest.json", content)
    write_release(request.out / plan.schema)
