"""The commands ``verify`` and ``repair``: what is asked for, and the answer in lines."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..exceptions import ConfigError, LayoutError
from ..layout.manifest import read_manifest
from ..layout.paths import COLLECTION_PROPERTIES, release_name
from ..lease import lease
from ..stages.publish import current_release
from .repair import PARTS, repair_release
from .report import Full, Report, Sample, Scope, format_finding
from .verify import verify_release

__all__ = ["CLEAN", "FINDINGS", "UNUSABLE", "VerifyOptions", "chosen_release", "run_repair", "run_verify"]

CLEAN, FINDINGS, UNUSABLE = 0, 1, 2
"""Exit codes."""

Echo = Callable[[str], None]


@dataclass(frozen=True)
class VerifyOptions:
    """What the command line asks for."""

    tables: Sequence[Path]
    release: int | None
    sample: str | None
    seed: int
    workers: int
    json: Path | None
    is_full: bool


def run_verify(options: VerifyOptions, echo: Echo) -> int:
    """Verify a release of each table, tell findings and a summary, and return the exit code: the worst of all."""
    codes, reports = [CLEAN], list[Report]()
    for table in options.tables:
        try:
            scope, release = _scope(options), _own_release(table, options.release)
            report = verify_release(release, scope=scope, workers=options.workers, report=echo)
        except (LayoutError, ValueError) as error:
            echo(f"error: {error}")
            codes.append(UNUSABLE)
            continue
        _tell(report, echo)
        reports.append(report)
        codes.append(CLEAN if report.is_clean else FINDINGS)
    several = len(options.tables) > 1
    if options.json is not None and (reports or several):
        found = [asdict(report) for report in reports]
        options.json.write_text(json.dumps(found if several else found[0], indent=1) + "\n", encoding="utf-8")
    return max(codes)


def _tell(report: Report, echo: Echo) -> None:
    for finding in report.findings:
        echo(format_finding(finding))
    for check, number in report.omitted:
        echo(f"{check}: {number} more findings")
    for what in report.not_checked:
        echo(f"not checked: {what}")
    echo(_summary(report))


def run_repair(table: Path, number: int | None, parts: Sequence[str], workers: int, echo: Echo) -> int:
    """Repair a release, tell what was rebuilt, and return the exit code."""
    wanted = [part for part in PARTS if part in parts or not parts]
    unknown = [part for part in parts if part not in PARTS]
    if unknown or workers < 1:
        echo(f"error: parts are {', '.join(PARTS)}, and there is at least one worker")
        return UNUSABLE
    try:
        _own_release(table, number)  # a lease makes its directory
        with lease(table):
            done = repair_release(_own_release(table, number), wanted, workers=workers, report=echo)
    except LayoutError as error:
        echo(f"error: {error}")
        return FINDINGS
    except ConfigError as error:
        echo(f"error: {error}")
        return UNUSABLE
    for name in done.rebuilt:
        echo(f"rebuilt {name}")
    for note in done.notes:
        echo(f"note: {note}")
    echo("verify the release now")
    return CLEAN


def chosen_release(table: Path, number: int | None) -> Path:
    """Return the directory of a release of a table: the published one, or the one of a number.

    Raises
    ------
    LayoutError
        If there is none.
    """
    release = current_release(table) if number is None else table / release_name(table.resolve().name, number)
    if release is None or not release.is_dir():
        what = f"has no {COLLECTION_PROPERTIES}" if number is None else f"has no release {number}"
        msg = f"{table}: {what}; give ROOT/SCHEMA/TABLE"
        raise LayoutError(msg)
    return release


def _own_release(table: Path, number: int | None) -> Path:
    """Return the directory of a release that was built here, as `chosen_release` does.

    Raises
    ------
    LayoutError
        If there is none, or its files are somebody else's.
    """
    release = chosen_release(table, number)
    try:
        adopted = read_manifest(release).adopted
    except LayoutError:  # damaged: that is a finding
        return release
    if adopted is not None:
        msg = f"{table}: {release.name} is adopted, its files are others'; look for changes with adopt --check"
        raise LayoutError(msg)
    return release


def _scope(options: VerifyOptions) -> Scope:
    if options.sample is None:
        return Full()
    if options.is_full:
        msg = "--sample and --full exclude each other"
        raise ValueError(msg)
    return Sample(_fraction(options.sample), options.seed)


def _fraction(text: str) -> float:
    """Return a share given as ``1%`` or ``0.01``.

    >>> _fraction("2.5%"), _fraction("0.5")
    (0.025, 0.5)
    """
    try:
        fraction = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        fraction = math.nan
    if not 0 < fraction <= 1:
        msg = f"--sample {text}: give a share of the tiles above 0 and up to 100%, such as 1%"
        raise ValueError(msg)
    return fraction


def _summary(report: Report) -> str:
    read = f"{report.files} files, {report.rows} rows, {report.bytes / 1e6:.1f} MB read in {report.seconds:.1f} s"
    return f"{report.release}: {'clean' if report.is_clean else f'{report.total} findings'}; {read}"
