"""Command group ``migrate``: moving off a Qserv or another TAP service.

Everything of it is imported when a command runs: the client starts without it.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from .cli_parts import AsJson, extra, print_json
from .client import ParameterError
from .migration.compare_command import add_compare
from .migration.dump_command import dump
from .migration.shadow_command import shadow

__all__ = ["migrate_app"]

migrate_app = typer.Typer(
    help="Move off a Qserv or another TAP service: record it while it lives.", no_args_is_help=True
)

add_compare(migrate_app)
migrate_app.command()(dump)
migrate_app.command()(shadow)


@migrate_app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, add_help_option=False)
def record(context: typer.Context) -> None:
    """Record what a live source answers: mysql://user@host:4040/db --out DIR; --help tells the options."""
    from .migration.recorder.command import main  # noqa: PLC0415 - no other command needs it

    raise typer.Exit(main(context.args))


@migrate_app.command()
def bundle(directory: Annotated[Path, typer.Argument(help="Directory to make; it must not exist.")]) -> None:
    """Copy the recorder, with pymysql (needs the extra 'migrate'), to run on a plain Python 3.11 elsewhere."""
    from .migration.bundle import make_bundle  # noqa: PLC0415 - as above

    with extra("migrate"):
        program = make_bundle(directory)
    sys.stdout.write(f"copy {directory} to where the source can be reached, and run: python3.11 {program} --help\n")


@migrate_app.command()
def status(
    directory: Annotated[Path, typer.Argument(help="Directory of a recording.", exists=True, file_okay=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Tell what a recording holds, and what is missing."""
    from .migration.recorder.errors import RecorderError  # noqa: PLC0415 - as above

    try:
        found = _status_of(directory)
    except RecorderError as error:
        raise ParameterError(str(error)) from error
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        shown = ", ".join(f"{count} {kind}" for kind, count in value.items()) if isinstance(value, dict) else value
        sys.stdout.write(f"{name}: {shown}\n")


def _status_of(directory: Path) -> dict[str, Any]:
    from .migration.recorder.format import Recording  # noqa: PLC0415 - as above
    from .migration.recorder.records import answer_digest  # noqa: PLC0415 - as above
    from .migration.recorder.wanted import missing_records  # noqa: PLC0415 - as above

    recording = Recording(directory)
    header = recording.header()
    damaged: list[str] = []

    def note(name: str, _: Exception) -> None:
        damaged.append(name)

    answers = list(recording.answers(note))
    asked = directory / "queries.json"
    listed = json.loads(asked.read_text(encoding="utf-8"))["asked"] if asked.is_file() else []
    known = {answer.id.partition("-")[2] for answer in answers}
    missing = [one for one in listed if answer_digest(one["lang"], one["query"]) not in known]
    return {
        "source": header.source.address,
        "begun": header.started,
        "tables": dict(Counter(_outcome(one) for one in recording.tables(note))),
        "answers": dict(Counter(_outcome(one) for one in answers)),
        "queries without an answer": len(missing),
        "fingerprints": dict(Counter(_outcome(one) for one in recording.fingerprints(note))),
        "not recorded yet": dict(Counter(kind for kind, _ in missing_records(recording))) or "nothing",
        "damaged": ", ".join(damaged) or "nothing",
        "rows": sum(one.rows for one in answers),
        "seconds at the source": round(sum(one.seconds for one in answers), 3),
        "bytes on disk": sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()),
        "paused": (directory / "pause").exists(),
    }


def _outcome(record: Any) -> str:
    return "recorded" if record.error is None else str(record.error.kind)
