"""The command line of the recorder."""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from .access import PASSWORD_VARIABLE, TOKEN_VARIABLE, Address, find_secret, parse_address
from .dialect import CONES
from .errors import RecorderError, UsageError
from .format import Recording
from .mysql_source import MysqlSource
from .options import AGAIN, CELLS, STEPS, Options
from .pace import Pace, StopSwitch, parse_rate, parse_window
from .run import Run, Summary, locked
from .source import CatalogSource, Dropped
from .tap_source import TapSource

__all__ = ["main", "parser"]

_EPILOG: Final = f"""\
A password or token is never given on the command line: it is taken from --password-file (--token-file), from the
variable {PASSWORD_VARIABLE} ({TOKEN_VARIABLE}), from ~/.my.cnf, or typed in (--ask-password).
While a file named `pause` is in the recording, nothing is sent. Interrupted or killed, the same command continues.
Exit codes: 0 done; 1 the source cannot be reached, or the disk is full; 2 wrong usage; 130 stopped before the end.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    default = Options()
    made = argparse.ArgumentParser(
        prog="record",
        description="Record what a live catalog answers: tables, queries with results and times, fingerprints.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("address", help="mysql://user@host:port/database, or the address of a TAP service")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory of the recording")
    _what(made, default)
    _how(made, default)
    _access(made)
    return made


def _what(made: argparse.ArgumentParser, default: Options) -> None:
    add = made.add_argument_group("what is recorded").add_argument
    add("--steps", default=",".join(STEPS), help="any of tables,queries,fingerprints; default: all")
    add("--schema", action="append", default=[], help="schema or database to record; may be repeated")
    add("--table", action="append", default=[], help="SCHEMA.TABLE to record, * for any text; may be repeated")
    add(
        "--queries",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="statements, ended by ; or empty lines",
    )
    add("--log", action="append", type=Path, default=[], metavar="FILE", help="general log of MySQL, or JSON lines")
    add("--builtin", action="store_true", help="ask the built-in queries too; alone without --queries and --log")
    add(
        "--samples",
        type=int,
        default=default.samples,
        metavar="N",
        help="positions and ids a table; default %(default)s",
    )
    add("--cones", choices=("auto", *CONES), default=default.cones, help="how built-in cones are written")
    add("--cells", choices=CELLS, default=default.cells, help="cells of fingerprints")
    add("--box-deg", type=float, default=default.box_deg, metavar="W", help="width of boxes; default %(default)s")
    add(
        "--columns", type=int, default=default.columns, metavar="N", help="of fingerprints; default %(default)s, 0: all"
    )
    add("--query-per-cell", action="store_true", help="ask fingerprints cell by cell: shorter queries, more in all")


def _how(made: argparse.ArgumentParser, default: Options) -> None:
    add = made.add_argument_group("how gently").add_argument
    add("--rate", default="5%", help="share of the time (5%%) or number of queries (10/min, 30/h); default %(default)s")
    add("--between", action="append", default=[], metavar="20:00-06:00", help="local hours; may be repeated")
    add("--timeout", type=float, default=default.timeout_s, metavar="S", help="of a query; default %(default)s")
    add("--max-rows", type=int, default=default.max_rows, metavar="N", help="of an answer; default %(default)s")
    add("--max-bytes", type=int, default=default.max_bytes, metavar="N", help="of an answer; default %(default)s")
    add(
        "--retries",
        type=int,
        default=default.retries,
        metavar="N",
        help="when the connection breaks; default %(default)s",
    )
    add(
        "--retry-wait",
        type=float,
        default=default.retry_wait_s,
        metavar="S",
        help="before the first; doubled each time",
    )
    add("--again", default=",".join(default.again), help=f"errors to ask again: any of {','.join(AGAIN)}")


def _access(made: argparse.ArgumentParser) -> None:
    add = made.add_argument_group("access").add_argument
    add(
        "--password-file",
        "--token-file",
        type=Path,
        dest="secret_file",
        metavar="FILE",
        help="its first line, mode 600",
    )
    add("--ask-password", action="store_true", help="ask at the terminal")
    add("--lang", choices=("ADQL", "QSERV"), default="ADQL", help="TAP: language of queries")
    add("--mode", choices=("sync", "async"), default="sync", help="TAP: how queries are sent")
    add("--format", default="votable", help="TAP: RESPONSEFORMAT, any serialisation of VOTable; default %(default)s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    given = parser().parse_args(arguments)
    try:
        summary = _recorded(given)
    except UsageError as error:
        _complain(error)
        return 2
    except RecorderError as error:
        _complain(error)
        return 1
    except OSError as error:
        _complain(f"{given.out} cannot be written: {error.strerror or error}. The same command continues.")
        return 1
    except Dropped:
        _say("stopped, the running query was dropped; the same command continues")
        return 130
    done = f"{summary.tables} tables, {summary.answers} answers, {summary.fingerprints} fingerprints recorded"
    _say(f"{done}{'; stopped, the same command continues' if summary.stopped else ''}")
    return 130 if summary.stopped else 0


def _recorded(given: argparse.Namespace) -> Summary:
    address = parse_address(given.address)
    secret = find_secret(address, given.secret_file, ask=given.ask_password)
    options = _options(given)
    recording = Recording(given.out)
    switch = StopSwitch()
    source = _source(address, secret, given)
    with locked(recording), switch.installed(_say):
        pace = Pace(options.rate, options.windows, given.out / "pause", switch, _say)
        try:
            return Run(recording, source, options, pace, _say).everything()
        finally:
            source.close()


def _source(address: Address, secret: str | None, given: argparse.Namespace) -> CatalogSource:
    if address.kind == "mysql":
        return MysqlSource(address, secret, given.schema)
    return TapSource(
        address.shown, secret, given.schema, lang=given.lang, mode=given.mode, response_format=given.format
    )


def _options(given: argparse.Namespace) -> Options:
    positive = ("samples", "box_deg", "timeout", "max_rows", "max_bytes")
    for name in positive:
        if not getattr(given, name) > 0:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(given, name)} is not more than 0.")
    return Options(
        steps=_chosen("--steps", given.steps, STEPS),
        table_patterns=tuple(given.table),
        query_files=tuple(given.queries),
        logs=tuple(given.log),
        builtin=given.builtin or not (given.queries or given.log),
        samples=given.samples,
        cones=given.cones,
        cells=given.cells,
        box_deg=given.box_deg,
        columns=given.columns,
        query_per_cell=given.query_per_cell,
        timeout_s=given.timeout,
        max_rows=given.max_rows,
        max_bytes=given.max_bytes,
        retries=given.retries,
        retry_wait_s=given.retry_wait,
        again=_chosen("--again", given.again, AGAIN) if given.again else (),
        rate=parse_rate(given.rate),
        windows=tuple(map(parse_window, given.between)),
    )


def _chosen(option: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in known:
            raise UsageError(f"{option} {name!r} is not known; these are: {', '.join(known)}.")
    return names


def _say(text: str) -> None:
    sys.stderr.write(f"{datetime.now():%H:%M:%S} {text}\n")  # noqa: DTZ005 - for the eyes of whoever waits
    sys.stderr.flush()


def _complain(error: RecorderError | str) -> None:
    sys.stderr.write(f"error: {error}\n")
