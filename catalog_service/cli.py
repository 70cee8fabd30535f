"""Command ``catalog-service``: a terminal client, and the start of the service itself.

Commands raise; `main` alone turns errors into messages and exit codes.
"""

import csv
import io
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from .client import (
    AccessError,
    CatalogClient,
    CatalogServiceError,
    ConnectionFailedError,
    NotFoundError,
    OverflowWarning,
    ParameterError,
    RequestError,
    ResultStream,
    TransferAbortedError,
    UnavailableError,
)
from .client.output import FileFormat, open_output, write_answer
from .client.positions import parse_angle
from .client.preview import printable
from .client.terminal import print_listing, print_result
from .models.wire import ConeRequest, QueryRequest

__all__ = ["app", "exit_code_of", "main"]

_EPILOG: Final = """
Exit codes:
0  done
1  the service failed
2  wrong usage, or a bad parameter
3  the query is refused: syntax, names, types, limits
4  no access, or no such table
5  the service is busy or cannot be reached, or the result broke off
130  interrupted
141  the reader of the output closed it

An access token is taken from the environment variable CATALOG_SERVICE_TOKEN.
"""

app = typer.Typer(
    help="Search sky catalogs, and serve them.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class ShownFormat(Enum):
    """Formats of ``--format``: those of files, and a table for people."""

    TABLE = "table"
    ARROW = "arrow"
    CSV = "csv"
    FITS = "fits"
    JSON = "json"
    PARQUET = "parquet"
    TSV = "tsv"
    VOTABLE = "votable"


_FORMATS_BY_SUFFIX: Final = {
    ".arrow": ShownFormat.ARROW,
    ".arrows": ShownFormat.ARROW,
    ".csv": ShownFormat.CSV,
    ".fits": ShownFormat.FITS,
    ".json": ShownFormat.JSON,
    ".parquet": ShownFormat.PARQUET,
    ".tsv": ShownFormat.TSV,
    ".vot": ShownFormat.VOTABLE,
    ".xml": ShownFormat.VOTABLE,
}

Url = Annotated[str, typer.Option(help="Address of the service.", envvar="CATALOG_SERVICE_URL", show_default=True)]
Format = Annotated[
    ShownFormat | None,
    typer.Option("--format", help="Default: by the suffix of --out; else a table on a terminal, CSV in a pipe."),
]
Out = Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.", dir_okay=False)]
Maxrec = Annotated[int | None, typer.Option(help="Most rows to return; default: the service's.", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_PIPE_CLOSED: Final = 141
"""As a shell reports a program that SIGPIPE ended."""

_DEFAULT_URL: Final = "http://127.0.0.1:8000"


# A declination such as -37 looks like an option; unknown options are arguments here.
@app.command(context_settings={"ignore_unknown_options": True})
def cone(  # noqa: PLR0913 - one parameter for each argument and option
    ra: Annotated[float, typer.Argument(help="Right ascension, ICRS, degrees.")],
    dec: Annotated[float, typer.Argument(help="Declination, ICRS, degrees.")],
    radius: Annotated[str, typer.Argument(help="Degrees, or with a unit: 1deg, 5', 5arcmin, 30\", 30arcsec.")],
    table: Annotated[str, typer.Option(help="SCHEMA.TABLE to search.")],
    *,
    columns: Annotated[
        str | None, typer.Option(help="Names with commas between; '*': all; default: main ones.")
    ] = None,
    maxrec: Maxrec = None,
    shown_format: Format = None,
    out: Out = None,
    url: Url = _DEFAULT_URL,
) -> None:
    """Find the rows of a table within a radius of a position: cone 56.75 24.12 1deg --table tycho2.stars."""
    radius_deg = parse_angle(radius, name="radius")
    chosen = _chosen_format(shown_format, out)
    request = ConeRequest(
        table=table, ra=ra, dec=dec, radius_deg=radius_deg, columns=columns, maxrec=maxrec, format=_requested(chosen)
    )
    _deliver(url, request, chosen, out)


@app.command()
def query(  # noqa: PLR0913 - one parameter for each argument and option
    adql: Annotated[str | None, typer.Argument(help="The query, or - to read it from standard input.")] = None,
    *,
    file: Annotated[Path | None, typer.Option(help="Read the query from a file.", exists=True, dir_okay=False)] = None,
    lang: Annotated[str, typer.Option(help="Language of the query: ADQL, or QSERV for Qserv's SQL.")] = "ADQL",
    explain: Annotated[bool, typer.Option("--explain", help="Tell what would be read, and why; run nothing.")] = False,
    maxrec: Maxrec = None,
    shown_format: Format = None,
    out: Out = None,
    url: Url = _DEFAULT_URL,
) -> None:
    """Run a query in ADQL or Qserv's SQL: query 'SELECT TOP 5 * FROM tycho2.stars'."""
    if explain:
        _explain(_query_text(adql, file), lang, maxrec, url)
        return
    chosen = _chosen_format(shown_format, out)
    request = QueryRequest(query=_query_text(adql, file), lang=lang, maxrec=maxrec, format=_requested(chosen))
    _deliver(url, request, chosen, out)


@app.command(name="explain")
def explain_query(  # noqa: PLR0913 - one parameter for each argument and option
    adql: Annotated[str | None, typer.Argument(help="The query, or - to read it from standard input.")] = None,
    *,
    file: Annotated[Path | None, typer.Option(help="Read the query from a file.", exists=True, dir_okay=False)] = None,
    lang: Annotated[str, typer.Option(help="Language of the query: ADQL, or QSERV for Qserv's SQL.")] = "ADQL",
    maxrec: Maxrec = None,
    as_json: AsJson = False,
    url: Url = _DEFAULT_URL,
) -> None:
    """Tell what a query would read, and why, without running it."""
    _explain(_query_text(adql, file), lang, maxrec, url, as_json=as_json)


def _explain(text: str, lang: str, maxrec: int | None, url: str, *, as_json: bool = False) -> None:
    with _client(url) as client:
        explanation = client.explain(text, lang=lang, maxrec=maxrec)
    shown = json.dumps(asdict(explanation), indent=1, ensure_ascii=False) if as_json else str(explanation)
    sys.stdout.write(f"{shown}\n")


@app.command()
def tables(*, as_json: AsJson = False, url: Url = _DEFAULT_URL) -> None:
    """List the tables that you may read."""
    with _client(url) as client:
        records = [asdict(table) for table in client.tables()]
    _print_records(records, ("name", "rows", "columns", "description"), as_json=as_json)


@app.command()
def columns(
    table: Annotated[str, typer.Argument(help="SCHEMA.TABLE.")], *, as_json: AsJson = False, url: Url = _DEFAULT_URL
) -> None:
    """List the columns of a table."""
    with _client(url) as client:
        records = [asdict(column) for column in client.columns(table)]
    _print_records(records, ("name", "datatype", "unit", "ucd", "description"), as_json=as_json)


@app.command()
def serve(
    *,
    config: Annotated[
        Path | None, typer.Option(help="Configuration (TOML); default: environment variables only.", dir_okay=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=0, max=65535)] = 8000,
) -> None:
    """Start the service (needs the extra 'server')."""
    with _extra("server"):
        from .main import serve as run  # noqa: PLC0415 - the client works without the server's libraries
    run(config, host, port)


def exit_code_of(error: CatalogServiceError) -> int:
    """Return the exit code of an error, as the help text lists them."""
    match error:
        case ParameterError():
            return 2
        case RequestError():
            return 3
        case AccessError() | NotFoundError():
            return 4
        case UnavailableError() | ConnectionFailedError() | TransferAbortedError():
            return 5
        case _:
            return 1


def main() -> None:
    """Run the command line; errors become one message on standard error and an exit code."""
    try:
        app()
    except CatalogServiceError as error:
        _complain(str(error))
        sys.exit(exit_code_of(error))
    except OSError as error:
        _complain(str(error))
        sys.exit(2)


def _complain(message: str) -> None:
    lines = f"error: {message}".replace("\t", " ").splitlines()
    sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Turn a missing library into the name of the extra that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("catalog_service"):
            raise
        raise ParameterError(
            f"This command needs the extra {name!r} ({error.name} is not installed).",
            remedy=f"pip install 'catalog-service[{name}]'",
        ) from error


def _client(url: str) -> CatalogClient:
    return CatalogClient(url, os.environ.get("CATALOG_SERVICE_TOKEN"))


def _chosen_format(asked: ShownFormat | None, out: Path | None) -> ShownFormat:
    if asked is None and out is not None:
        asked = _FORMATS_BY_SUFFIX.get(out.suffix.lower())
        if asked is None:
            raise ParameterError(f"The suffix of {str(out)!r} tells no format.", remedy="Add --format.")
    if asked is None:
        return ShownFormat.TABLE if sys.stdout.isatty() else ShownFormat.CSV
    if asked is ShownFormat.TABLE and out is not None:
        raise ParameterError("The format 'table' is for the terminal.", remedy="Choose another --format for --out.")
    if asked in {ShownFormat.ARROW, ShownFormat.FITS, ShownFormat.PARQUET} and out is None and sys.stdout.isatty():
        raise ParameterError(f"A terminal cannot show {asked.value}.", remedy="Add --out FILE.")
    return asked


def _requested(chosen: ShownFormat) -> str:
    return "arrow" if chosen is ShownFormat.TABLE else FileFormat(chosen.value).requested


def _query_text(adql: str | None, file: Path | None) -> str:
    if (adql is None) == (file is None):
        raise ParameterError("Give one query: as argument, as - for standard input, or with --file.")
    if file is not None:
        return file.read_text(encoding="utf-8")
    return sys.stdin.read() if adql == "-" else str(adql)


def _deliver(url: str, request: QueryRequest | ConeRequest, chosen: ShownFormat, out: Path | None) -> None:
    with _client(url) as client, warnings.catch_warnings():
        warnings.simplefilter("ignore", OverflowWarning)
        answer = client.open(request)
        if chosen is ShownFormat.TABLE:
            result = ResultStream(answer).read_all()
            print_result(Console(), result)
            overflow = result.overflow
        else:
            with _reader_may_leave(), open_output(out) as sink:
                overflow = write_answer(answer, FileFormat(chosen.value), sink)
    if overflow:
        sys.stderr.write("warning: the result was cut at MAXREC: more rows match. Raise --maxrec or search less.\n")


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """End quietly when the reader of our pipe has seen enough, as in ``catalog-service query ... | head``."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's own flush at exit must not fail
        raise typer.Exit(_PIPE_CLOSED) from None


def _print_records(records: Sequence[dict[str, Any]], heads: Sequence[str], *, as_json: bool) -> None:
    """Print JSON with all fields; else the main fields, as a table on a terminal and as CSV in a pipe."""
    if as_json:
        sys.stdout.write(json.dumps(records, indent=1, ensure_ascii=False) + "\n")
        return
    rows = [["" if record[head] is None else str(record[head]) for head in heads] for record in records]
    if sys.stdout.isatty():
        print_listing(Console(), heads, rows)
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([heads, *rows])
    sys.stdout.write(text.getvalue())


if __name__ == "__main__":
    main()
