"""Command ``catalog-service migrate dump``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..cli_parts import extra
from ..exceptions import ParameterError
from .dump import DumpRequest, dump_table, table_directory
from .dump_chunks import Cut, Position
from .dump_source import Source
from .dump_verify import verify_table
from .recorder.access import find_secret, parse_address
from .recorder.errors import UsageError
from .recorder.pace import Pace, Stopped, StopSwitch, parse_rate, parse_window
from .recorder.source import Dropped

__all__ = ["dump"]

_STOPPED = 130


def dump(  # noqa: PLR0913 - one parameter for each argument and option
    source: Annotated[str, typer.Argument(help="mysql://USER@HOST:PORT, of Qserv's czar or a worker, MySQL, MariaDB.")],
    table: Annotated[str, typer.Argument(metavar="SCHEMA.TABLE", help="What to dump.")],
    *,
    out: Annotated[Path, typer.Option(help="Directory for SCHEMA/TABLE/*.parquet.", file_okay=False)],
    ra: Annotated[str | None, typer.Option(help="Column of right ascension in degrees, for the release.")] = None,
    dec: Annotated[str | None, typer.Option(help="Column of declination in degrees.")] = None,
    identifier: Annotated[
        list[str] | None, typer.Option("--id", help="Identifier column; may be repeated. Default: the primary key.")
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(metavar="TABLE:KEY[=PARENT_KEY]", help="Table that places the rows of this one, and by what."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Integer column to cut the table by, where there is no chunkId.")
    ] = None,
    chunk_rows: Annotated[
        int, typer.Option(help="Rows of a range of the key, about, and most of an uncut chunk.", min=1)
    ] = 1_000_000,
    areas: Annotated[
        bool, typer.Option("--areas", help="Ask Qserv's czar for each chunk by its area too (needs --ra and --dec).")
    ] = False,
    without: Annotated[list[str] | None, typer.Option(help="Column to leave out; may be repeated.")] = None,
    as_text: Annotated[
        list[str] | None, typer.Option(help="Column to store as the source prints it; may be repeated.")
    ] = None,
    keep_technical: Annotated[
        bool, typer.Option("--keep-technical", help="Dump chunkId, subChunkId and qserv_trans_id as well.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare files with their checksums, and with sums that the source makes.")
    ] = False,
    part: Annotated[
        str, typer.Option(metavar="K/N", help="Dump every Nth chunk, from the Kth on: N dumps run side by side.")
    ] = "1/1",
    rate: Annotated[str, typer.Option(help="Share of the time (50%), or chunks (10/min, 30/h).")] = "50%",
    between: Annotated[list[str] | None, typer.Option(help="Local hours, such as 20:00-06:00.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File whose first line is the password.")] = None,
) -> None:
    """Dump a table of a Qserv, MySQL or MariaDB into Parquet; give the same command again to go on after a break."""
    schema, dot, name = table.partition(".")
    if not dot or not schema or not name:
        raise ParameterError(f"{table!r} is no SCHEMA.TABLE.")
    if (ra is None) != (dec is None) or (areas and ra is None):
        raise ParameterError("Give both --ra and --dec, or neither; --areas needs them.")
    parent_table, parent_key = _parent(parent)
    request = DumpRequest(
        schema=schema,
        table=name,
        out=out,
        cut=Cut(key, chunk_rows, Position(ra, dec) if areas and ra and dec else None),
        ra=ra,
        dec=dec,
        id=tuple(identifier or ()),
        parent=parent_table,
        parent_key=parent_key,
        without=tuple(without or ()),
        as_text=tuple(as_text or ()),
        keep_technical=keep_technical,
        part=_part(part),
    )
    switch = StopSwitch()
    with _our_ends(), switch.installed(_tell), _opened(source, password_file) as opened:
        pace = Pace(parse_rate(rate), tuple(map(parse_window, between or ())), out / "pause", switch, _tell)
        is_complete = dump_table(opened, request, pace, _tell)
        if is_complete:
            _tell(f"complete. Next: catalog-partition build {out / schema / 'release.toml'} --dry-run")
        else:
            _tell("this part is there; others are missing")
        findings = verify_table(opened, table_directory(request), pace, _tell) if verify and is_complete else []
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    if findings:
        raise typer.Exit(1)


@contextmanager
def _our_ends() -> Iterator[None]:
    """Turn the recorder's errors into ours, and a stop into the exit code of one."""
    try:
        yield
    except UsageError as error:
        raise ParameterError(str(error)) from error
    except (Stopped, Dropped):
        _tell("stopped; the same command goes on with what is missing")
        raise typer.Exit(_STOPPED) from None


@contextmanager
def _opened(text: str, password_file: Path | None) -> Iterator[Source]:
    address = parse_address(text)
    if address.kind != "mysql":
        raise ParameterError(f"{text!r} is no address of a MySQL server.", remedy="Write mysql://USER@HOST:PORT")
    with extra("migrate"):
        source = Source(address, find_secret(address, password_file, ask=False))
    try:
        yield source
    finally:
        source.close()


def _parent(text: str | None) -> tuple[str | None, tuple[str, str] | None]:
    """Return table and keys of ``TABLE:KEY`` or ``TABLE:KEY=PARENT_KEY``.

    >>> _parent("Object:objectId"), _parent("Visit:ccd=visit")
    (('Object', ('objectId', 'objectId')), ('Visit', ('ccd', 'visit')))
    """
    if text is None:
        return None, None
    table, colon, keys = text.partition(":")
    own, equals, other = keys.partition("=")
    if not colon or not table or not own or (equals and not other):
        raise ParameterError(f"--parent {text!r} is not TABLE:KEY or TABLE:KEY=PARENT_KEY.")
    return table, (own, other or own)


def _part(text: str) -> tuple[int, int]:
    """Return number and count of ``2/16``.

    >>> _part("2/16")
    (2, 16)
    """
    number, _, count = text.partition("/")
    if not number.isdigit() or not count.isdigit() or not 1 <= int(number) <= int(count):
        raise ParameterError(f"--part {text!r} is not K/N, with K from 1 to N.")
    return int(number), int(count)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
