"""Command ``catalog-service migrate dump``."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..cli_parts import extra
from ..exceptions import ParameterError
from .dump_chunks import Cut, Position

__all__ = ["dump"]

_PASSWORD = "CATALOG_MIGRATE_PASSWORD"  # noqa: S105 - the name of a variable


def dump(  # noqa: PLR0913 - one parameter for each argument and option
    source: Annotated[str, typer.Argument(help="mysql://USER@HOST:PORT; the password in CATALOG_MIGRATE_PASSWORD.")],
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
    chunk_rows: Annotated[int, typer.Option(help="Rows of a range of --key, about.", min=1)] = 1_000_000,
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
) -> None:
    """Dump a table of a Qserv, MySQL or MariaDB into Parquet; give the same command again to go on after a break."""
    schema, dot, name = table.partition(".")
    if not dot or not schema or not name:
        raise ParameterError(f"{table!r} is no SCHEMA.TABLE.")
    if (ra is None) != (dec is None) or (areas and ra is None):
        raise ParameterError("Give both --ra and --dec, or neither; --areas needs them.")
    with extra("migrate"):
        import pymysql  # noqa: F401, PLC0415 - other commands do without it
    from .dump import DumpRequest, dump_table  # noqa: PLC0415 - other commands start without it
    from .dump_source import Source, parse_address  # noqa: PLC0415

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
    )
    opened = Source(parse_address(source), os.environ.get(_PASSWORD, ""))
    try:
        dump_table(opened, request, _NoPace(), _tell)
    finally:
        opened.close()
    _tell(f"complete. Next: catalog-partition build {out / schema / 'release.toml'} --dry-run")


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


class _NoPace:
    def wait(self) -> None:
        pass

    def spent(self, seconds: float) -> None:
        pass


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
