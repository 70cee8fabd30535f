"""Command ``migrate compare``: a recording against a service, or against another recording."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..exceptions import CatalogServiceError, ParameterError

if TYPE_CHECKING:
    from .compare.found import Compared, Report
    from .compare.rules import Rules
    from .recorder.access import Address

__all__ = ["add_compare"]

_NOT_COMPARED: Final = 2
_SECRETS: Final = {"tap": "CATALOG_SERVICE_TOKEN", "mysql": "CATALOG_TARGET_PASSWORD"}
"""Variables that hold the target's secret: that of the recorded service is never sent to another."""
_RULES = "What is taken for equal"
_HOW = "How the target is asked"

Recorded = Annotated[Path, typer.Argument(help="Directory that `migrate record` made.", metavar="RECORDING")]
TargetText = Annotated[
    str,
    typer.Argument(
        help="Address of a service, mysql://user@host:port/database, or another recording.", metavar="TARGET"
    ),
]
Keep = Annotated[
    Path | None,
    typer.Option(help="Where the target's answers are kept; default: beside RECORDING.", rich_help_panel=_HOW),
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the report as JSON.", metavar="FILE")]
HtmlFile = Annotated[Path | None, typer.Option("--html", help="Write the report as one page.", metavar="FILE")]
Everything = Annotated[bool, typer.Option("--all", help="Print what is equal too.")]
Shown = Annotated[int, typer.Option(help="Most examples of each difference.", min=0)]
FloatTolerance = Annotated[float, typer.Option(help="Relative, of FLOAT.", min=0, rich_help_panel=_RULES)]
DoubleTolerance = Annotated[float, typer.Option(help="Relative, of DOUBLE.", min=0, rich_help_panel=_RULES)]
Margin = Annotated[
    float, typer.Option(help="Absolute, of both: sums that nearly cancel.", min=0, rich_help_panel=_RULES)
]
NanIsNull = Annotated[
    bool, typer.Option("--nan-is-null", help="Take NaN and infinities for NULL.", rich_help_panel=_RULES)
]
ExactText = Annotated[
    bool, typer.Option("--exact-text", help="Case and trailing blanks count.", rich_help_panel=_RULES)
]
Ignored = Annotated[
    list[str] | None, typer.Option("--ignore", help="Column that is not compared; repeatable.", rich_help_panel=_RULES)
]
Rate = Annotated[str, typer.Option(help="Share of the time (100%) or queries (10/min, 30/h).", rich_help_panel=_HOW)]
Between = Annotated[list[str] | None, typer.Option(help="Local hours, 20:00-06:00; repeatable.", rich_help_panel=_HOW)]
Timeout = Annotated[float, typer.Option(help="Of a query, seconds.", min=0, rich_help_panel=_HOW)]
Retries = Annotated[int, typer.Option(help="When the connection breaks.", min=0, rich_help_panel=_HOW)]
Reuse = Annotated[
    bool,
    typer.Option(
        "--reuse", help="Take the answers of an earlier comparison, asking only for others.", rich_help_panel=_HOW
    ),
]
Again = Annotated[
    bool, typer.Option("--refused-again", help="With --reuse: ask again what was refused.", rich_help_panel=_HOW)
]
Asynchronous = Annotated[bool, typer.Option("--async", help="Ask a TAP service by jobs.", rich_help_panel=_HOW)]
SecretFile = Annotated[
    Path | None, typer.Option("--password-file", "--token-file", help="Its first line.", rich_help_panel=_HOW)
]


def add_compare(app: typer.Typer) -> None:
    """Add the command to the group ``migrate``."""
    app.command(name="compare")(compare)


def compare(  # noqa: PLR0913, PLR0917 - one parameter for each option
    recording: Recorded,
    target: TargetText,
    keep: Keep = None,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    everything: Everything = False,  # noqa: FBT002 - typer's options
    shown: Shown = 10,
    float_tolerance: FloatTolerance = 2e-5,
    double_tolerance: DoubleTolerance = 1e-12,
    margin: Margin = 0.0,
    nan_is_null: NanIsNull = False,  # noqa: FBT002 - as above
    exact_text: ExactText = False,  # noqa: FBT002 - as above
    ignore: Ignored = None,
    rate: Rate = "100%",
    between: Between = None,
    timeout: Timeout = 600.0,
    retries: Retries = 5,
    reuse: Reuse = False,  # noqa: FBT002 - as above
    refused_again: Again = False,  # noqa: FBT002 - as above
    asynchronous: Asynchronous = False,  # noqa: FBT002 - as above
    password_file: SecretFile = None,
) -> None:
    """Compare a recording with what a service answers now, or with another recording.

    The service is asked politely. The same command continues where it was stopped; once all was asked, it asks anew.
    Exit status: 0 equal, or equal within rules; 1 different; 2 something could not be compared.
    """
    from .compare.rules import Rules  # noqa: PLC0415 - other commands do not need it

    rules = Rules(
        float_tolerance=float_tolerance,
        double_tolerance=double_tolerance,
        margin=margin,
        collation=not exact_text,
        nan_is_null=nan_is_null,
        ignored=Rules().ignored | {name.casefold() for name in ignore or ()},
        shown=shown,
    )
    again = ("lost", "timeout", *(("refused",) if refused_again else ()))
    asking = {"rate": rate, "between": between or [], "timeout_s": timeout, "retries": retries, "again": again}
    try:
        mode = "async" if asynchronous else "sync"
        other = _other_recording(recording, target, keep, asking, password_file, mode=mode, reuse=reuse)
        report = _report(recording, other, rules)
        _write(report, json_file, html_file, everything=everything)
    except CatalogServiceError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(_NOT_COMPARED) from error
    raise typer.Exit(report.exit_status)


def _other_recording(  # noqa: PLR0913 - the parameters of the command that concern the target
    recording: Path,
    target: str,
    keep: Path | None,
    asking: dict[str, Any],
    secret_file: Path | None,
    *,
    mode: str,
    reuse: bool,
) -> Path:
    """Return the target's recording; made now if the target is a service."""
    if "://" not in target:
        return Path(target)
    from .compare.target import Target, ask_target  # noqa: PLC0415 - as above
    from .recorder.access import parse_address  # noqa: PLC0415 - as above
    from .recorder.errors import UsageError  # noqa: PLC0415 - as above
    from .recorder.options import Options  # noqa: PLC0415 - as above
    from .recorder.pace import parse_rate, parse_window  # noqa: PLC0415 - as above

    try:
        address = parse_address(_tap_address(target))
        secret = _secret(address, secret_file)
        options = Options(
            rate=parse_rate(asking["rate"]),
            windows=tuple(map(parse_window, asking["between"])),
            timeout_s=asking["timeout_s"],
            retries=asking["retries"],
            again=asking["again"],
        )
    except UsageError as error:
        raise ParameterError(str(error)) from error
    into = keep or recording.with_name(f"{recording.name}.at-{_plain(address.shown)}")
    asked = ask_target(recording, Target(address, secret, options, mode), into, _say, reuse=reuse)
    if not asked.is_complete:
        _say(asked.problem)
    return into


def _secret(address: "Address", file: Path | None) -> str | None:
    """Return the target's token or password."""
    from .recorder.access import find_secret  # noqa: PLC0415 - as above

    return os.environ.get(_SECRETS[address.kind]) or None if file is None else find_secret(address, file, ask=False)


def _tap_address(target: str) -> str:
    """Return the TAP address of a service that is given by its base address, as the commands of the client take it."""
    if not target.startswith("http") or target.rstrip("/").endswith(("/tap", "/TAP")):
        return target
    from ..client.transport import Transport  # noqa: PLC0415 - as above

    base = target.rstrip("/")
    with suppress(CatalogServiceError):
        Transport(base, token=None, timeout_s=20).get("/tap/capabilities").close()
        return f"{base}/tap"
    return target


def _plain(address: str) -> str:
    """Return an address as part of a file's name."""
    return "".join(letter if letter.isalnum() else "-" for letter in address.partition("://")[2]).strip("-")


def _report(recording: Path, other: Path, rules: "Rules") -> "Report":
    from .compare.recordings import compare_recordings  # noqa: PLC0415 - as above

    def say(found: "Compared") -> None:
        _say(f"{found.subject} {found.name}: {found.comparison.verdict}")

    try:
        return compare_recordings(recording, other, rules, say=say)
    except ModuleNotFoundError as error:
        raise ParameterError(
            f"Comparing needs the extra 'partition' ({error.name} is not installed).",
            remedy="pip install 'catalog-service[partition]'",
        ) from error


def _write(report: "Report", json_file: Path | None, html_file: Path | None, *, everything: bool) -> None:
    from rich.console import Console  # noqa: PLC0415 - as above

    from .compare.page import to_html  # noqa: PLC0415 - as above
    from .compare.report import print_report, write_json  # noqa: PLC0415 - as above

    for file, write in ((json_file, write_json), (html_file, to_html)):
        if file is not None:
            file.write_text(write(report), encoding="utf-8")
    print_report(Console(), report, everything=everything)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
