"""Command ``catalog-service``: a terminal client, and the start of the service itself.

Commands raise; `main` alone turns errors into messages and exit codes.
"""

import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from .cli_parts import DEFAULT_URL, AsJson, Maxrec, Url, extra, open_client, print_json, print_records, query_text
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
from .client.positions import parse_angle, parse_coordinate
from .client.preview import printable
from .client.terminal import print_result
from .client.transport import Answer
from .history_commands import history
from .job_commands import download, jobs_app
from .migrate_command import migrate_app
from .models.wire import ConeRequest, ConesRequest, QueryRequest
from .token_command import token_app

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

Format = Annotated[
    ShownFormat | None,
    typer.Option("--format", help="Default: by the suffix of --out; else a table on a terminal, CSV in a pipe."),
]
Out = Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.", dir_okay=False)]
_PIPE_CLOSED: Final = 141
"""As a shell reports a program that SIGPIPE ended."""


# A declination such as -37 looks like an option; unknown options are arguments here.
@app.command(context_settings={"ignore_unknown_options": True})
def cone(  # noqa: PLR0913 - one parameter for each argument and option
    ra: Annotated[str | None, typer.Argument(help="Right ascension, ICRS: degrees, or 03:47:00, 3h47m00s.")] = None,
    dec: Annotated[str | None, typer.Argument(help="Declination, ICRS: degrees, or +24:07:12, 24d07m12s.")] = None,
    radius: Annotated[
        str | None, typer.Argument(help="Degrees, or with a unit: 1deg, 5', 5arcmin, 30\", 30arcsec.")
    ] = None,
    *,
    table: Annotated[str, typer.Option(help="SCHEMA.TABLE to search.")],
    targets: Annotated[
        Path | None,
        typer.Option(
            help="Search around every row of this VOTable, CSV, Parquet, Arrow or JSON.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    within: Annotated[str | None, typer.Option("--radius", help="With --targets: radius, as above.")] = None,
    nearest: Annotated[bool, typer.Option("--nearest", help="With --targets: the nearest row only.")] = False,
    columns: Annotated[
        str | None, typer.Option(help="Names with commas between; '*': all; default: main ones.")
    ] = None,
    distance: Annotated[bool, typer.Option("--distance", help="Add the distance in degrees as the column _r.")] = False,
    order: Annotated[str | None, typer.Option(help="'distance': the nearest rows first.")] = None,
    maxrec: Maxrec = None,
    shown_format: Format = None,
    out: Out = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Find the rows of a table within a radius of a position: cone 56.75 24.12 1deg --table tycho2.stars."""
    chosen = _chosen_format(shown_format, out)
    if targets is not None:
        if within is None or ra is not None:
            raise ParameterError("With --targets give the radius as --radius, and no position.")
        many = ConesRequest(
            table=table,
            radius_deg=parse_angle(within, name="radius"),
            columns=columns,
            match="nearest" if nearest else "all",
            maxrec=maxrec,
            format=_requested(chosen),
        )
        _deliver(url, lambda client: client.open_cones(many, targets), chosen, out)
        return
    if ra is None or dec is None or radius is None:
        raise ParameterError("Give RA, DEC and RADIUS, or --targets FILE and --radius.")
    radius_deg = parse_angle(radius, name="radius")
    request = ConeRequest(
        table=table,
        ra=parse_coordinate(ra, is_right_ascension=True),
        dec=parse_coordinate(dec, is_right_ascension=False),
        radius_deg=radius_deg,
        columns=columns,
        distance=distance,
        order=order,
        maxrec=maxrec,
        format=_requested(chosen),
    )
    _deliver(url, lambda client: client.open(request), chosen, out)


@app.command()
def query(  # noqa: PLR0913 - one parameter for each argument and option
    adql: Annotated[str | None, typer.Argument(help="The query, or - to read it from standard input.")] = None,
    *,
    file: Annotated[Path | None, typer.Option(help="Read the query from a file.", exists=True, dir_okay=False)] = None,
    lang: Annotated[str, typer.Option(help="Language of the query: ADQL, or QSERV for Qserv's SQL.")] = "ADQL",
    upload: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FILE: a table to send along, TAP_UPLOAD.NAME in the query; may be repeated."),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Tell what would be read, and why; run nothing.")] = False,
    maxrec: Maxrec = None,
    shown_format: Format = None,
    out: Out = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Run a query in ADQL or Qserv's SQL: query 'SELECT TOP 5 * FROM tycho2.stars'."""
    if explain:
        _explain(query_text(adql, file), lang, maxrec, url)
        return
    chosen = _chosen_format(shown_format, out)
    request = QueryRequest(query=query_text(adql, file), lang=lang, maxrec=maxrec, format=_requested(chosen))
    uploads = dict(_named_file(text) for text in upload or ())
    _deliver(url, lambda client: client.open(request, uploads), chosen, out)


@app.command(name="explain")
def explain_query(  # noqa: PLR0913 - one parameter for each argument and option
    adql: Annotated[str | None, typer.Argument(help="The query, or - to read it from standard input.")] = None,
    *,
    file: Annotated[Path | None, typer.Option(help="Read the query from a file.", exists=True, dir_okay=False)] = None,
    lang: Annotated[str, typer.Option(help="Language of the query: ADQL, or QSERV for Qserv's SQL.")] = "ADQL",
    maxrec: Maxrec = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Tell what a query would read, and why, without running it."""
    _explain(query_text(adql, file), lang, maxrec, url, as_json=as_json)


def _explain(text: str, lang: str, maxrec: int | None, url: str, *, as_json: bool = False) -> None:
    with open_client(url) as client:
        explanation = client.explain(text, lang=lang, maxrec=maxrec)
    if as_json:
        print_json(asdict(explanation))
    else:
        sys.stdout.write(f"{explanation}\n")


@app.command()
def tables(*, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List the tables that you may read."""
    with open_client(url) as client:
        records = [asdict(table) for table in client.tables()]
    print_records(records, ("name", "rows", "columns", "description"), as_json=as_json)


@app.command()
def columns(
    table: Annotated[str, typer.Argument(help="SCHEMA.TABLE.")], *, as_json: AsJson = False, url: Url = DEFAULT_URL
) -> None:
    """List the columns of a table."""
    with open_client(url) as client:
        records = [asdict(column) for column in client.columns(table)]
    print_records(records, ("name", "datatype", "unit", "ucd", "description"), as_json=as_json)


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
    gc.disable()  # nothing of what is imported is garbage, and to look for some again and again takes 0.3 s
    try:
        with extra("server"):
            from .main import serve as run  # noqa: PLC0415 - the client works without the server's libraries
    finally:
        gc.freeze()
        gc.enable()
    run(config, host, port)


@app.command(name="check-config")
def check_config(
    *, config: Annotated[Path | None, typer.Option(help="Configuration (TOML).", dir_okay=False)] = None
) -> None:
    """Look at a configuration before the service is started with it (needs the extra 'server')."""
    with extra("server"):
        from .config_check import check  # noqa: PLC0415 - the client works without the server's libraries
    findings = check(config)
    for finding in findings:
        sys.stdout.write(f"{'error: ' if finding.is_fatal else ''}{finding.text}\n")
    if any(finding.is_fatal for finding in findings):
        raise typer.Exit(1)


app.add_typer(jobs_app, name="jobs")
app.add_typer(token_app, name="token")
app.add_typer(migrate_app, name="migrate")
app.command()(download)
app.command()(history)


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


def _named_file(text: str) -> tuple[str, Path]:
    """Return (name, file) of ``NAME=FILE``."""
    name, equals, file = text.partition("=")
    if not name or not equals or not Path(file).is_file():
        raise ParameterError(f"--upload {text!r} is not NAME=FILE, with a file that exists.")
    return name, Path(file)


def _deliver(url: str, ask: Callable[[CatalogClient], Answer], chosen: ShownFormat, out: Path | None) -> None:
    with open_client(url) as client, warnings.catch_warnings():
        warnings.simplefilter("ignore", OverflowWarning)
        answer = ask(client)
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


if __name__ == "__main__":
    main()
