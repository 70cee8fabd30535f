"""The commands ``verify`` and ``repair``: what is asked for, and the answer in lines."""

import json
import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from ..exceptions import ConfigError, LayoutError
from ..layout.manifest import read_manifest
from ..layout.paths import COLLECTION_PROPERTIES, MANIFEST_DIR, release_name
from ..lease import lease
from ..releases import find_releases
from ..stages.publish import current_release
from .catalog import read_files, tried
from .repair import PARTS, repair_release
from .report import Coverage, Full, Report, Sample, format_coverage, format_finding
from .verify import verify_release

__all__ = ["CLEAN", "FINDINGS", "UNUSABLE", "VerifyOptions", "chosen_release", "run_repair", "run_verify"]

CLEAN, FINDINGS, UNUSABLE = 0, 1, 2
"""Exit codes."""

_SEEDS: Final = 1 << 32

Echo = Callable[[str], None]


class _AdoptedError(LayoutError):
    """The files of a release are somebody else's."""


@dataclass(frozen=True)
class VerifyOptions:
    """What the command line asks for."""

    tables: Sequence[Path]
    release: int | None
    sample: str | None
    seed: int | None
    """Chooses the tiles of a sample; None: a new one each time, so that a routine scrub comes to see all tiles."""
    workers: int
    json: Path | None
    is_full: bool


def run_verify(options: VerifyOptions, echo: Echo) -> int:
    """Verify a release of each table, tell findings and a summary, and return the exit code: the worst of all.

    An adopted table among others is told and passed over; it is an error only if no table can be checked.
    """
    codes, reports = list[int](), list[dict[str, Any]]()
    several = len(options.tables) > 1
    seed = secrets.randbelow(_SEEDS) if options.seed is None else options.seed
    for table in options.tables:
        try:
            scope, release = _scope(options, seed), _own_release(table, options.release)
            begin = datetime.now(UTC)
            report = verify_release(release, scope=scope, workers=options.workers, report=echo)
        except _AdoptedError as error:
            echo(f"{'not checked' if several else 'error'}: {error}")
            continue
        except (LayoutError, ValueError) as error:
            echo(f"error: {error}")
            codes.append(UNUSABLE)
            continue
        coverage = _coverage(release, scope, report)
        _tell(report, coverage, echo)
        reports.append(_as_json(release, begin, report, coverage))
        codes.append(CLEAN if report.is_clean else FINDINGS)
    if options.json is not None and (reports or several):
        options.json.write_text(json.dumps(reports if several else reports[0], indent=1) + "\n", encoding="utf-8")
    return max(codes, default=UNUSABLE)


def _tell(report: Report, coverage: Coverage, echo: Echo) -> None:
    for finding in report.findings:
        echo(format_finding(finding))
    for check, number in report.omitted:
        echo(f"{check}: {number} more findings")
    for what in report.not_checked:
        echo(f"not checked: {what}")
    echo(_summary(report, coverage))


def run_repair(table: Path, number: int | None, parts: Sequence[str], workers: int, echo: Echo) -> int:
    """Repair a release, tell what was rebuilt, and return the exit code."""
    wanted = [part for part in PARTS if part in parts or not parts]
    problems = list(_repair_problems(parts, workers))
    for problem in problems:
        echo(f"error: {problem}")
    if problems:
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


def _repair_problems(parts: Sequence[str], workers: int) -> Iterator[str]:
    """Yield what is wrong with the arguments of a repair."""
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        named = ", ".join(map(repr, unknown))
        yield f"--part: {named} {'is' if len(unknown) == 1 else 'are'} no part; there are {', '.join(PARTS)}"
    if workers < 1:
        yield f"--workers: {workers} is too few; at least one is needed"


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
        msg = f"{table}: {what}; {_releases_there(table, number)}"
        raise LayoutError(msg)
    return release


def _releases_there(table: Path, number: int | None) -> str:
    """Return which releases could be asked for instead, or that the directory is that of no table."""
    numbers = ", ".join(map(str, find_releases(table))) if table.is_dir() else ""
    if not numbers:
        return "give ROOT/SCHEMA/TABLE"
    return f"there are releases {numbers}" + (": switch to one of them, or give --release" if number is None else "")


def _own_release(table: Path, number: int | None) -> Path:
    """Return the directory of a release that was built here, as `chosen_release` does.

    Raises
    ------
    LayoutError
        If there is none.
    _AdoptedError
        If its files are somebody else's.
    """
    release = chosen_release(table, number)
    try:
        adopted = read_manifest(release).adopted
    except LayoutError:  # damaged: that is a finding
        return release
    if adopted is not None:
        msg = f"{table}: {release.name} is adopted, its files are others'; look for changes with adopt --check"
        raise _AdoptedError(msg)
    return release


def _scope(options: VerifyOptions, seed: int) -> Full | Sample:
    if options.sample is None:
        return Full()
    if options.is_full:
        msg = "--sample and --full exclude each other"
        raise ValueError(msg)
    return Sample(_fraction(options.sample), seed)


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


def _coverage(release: Path, scope: Full | Sample, report: Report) -> Coverage:
    """Return how much of a release was read."""
    tiles = _tiles(release, report)
    wanted = 0 if tiles is None else scope.count(tiles) if isinstance(scope, Sample) else tiles
    return Coverage(scope, tiles, wanted if report.files else 0)


def _tiles(release: Path, report: Report) -> int | None:
    """Return the tiles that a release lists; None if the list, or the manifest, is damaged: nothing was read then."""
    listed = f"{report.release}/{MANIFEST_DIR}/files.parquet"
    if any((finding.check, finding.path) == ("checksum", listed) for finding in report.findings):
        return None
    manifest, _ = tried(partial(read_manifest, release))
    files, _ = tried(partial(read_files, release, is_plain=manifest is not None and manifest.placement is None))
    return None if manifest is None or files is None else len(files)


def _as_json(release: Path, begin: datetime, report: Report, coverage: Coverage) -> dict[str, Any]:
    """Return what the report of a table holds as JSON; schema and table are those of its directories."""
    home = release.absolute().parent
    about = {
        "schema": home.parent.name,
        "table": home.name,
        "path": str(release.absolute()),
        "time": begin.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "verdict": "clean" if report.is_clean else "findings",
        "scope": _scope_as_json(coverage),
    }
    return about | asdict(report)


def _scope_as_json(coverage: Coverage) -> dict[str, Any]:
    tiles = {"tiles_read": coverage.tiles_read, "tiles": coverage.tiles}
    match coverage.scope:
        case Full():
            return {"kind": "full", "share": 1.0, "seed": None, **tiles}
        case Sample(fraction, seed):
            return {"kind": "sample", "share": fraction, "seed": seed, **tiles}


def _summary(report: Report, coverage: Coverage) -> str:
    read = f"{report.files} files, {report.rows} rows, {report.bytes / 1e6:.1f} MB read in {report.seconds:.1f} s"
    verdict = "clean" if report.is_clean else f"{report.total} findings"
    return f"{report.release}: {verdict}; {format_coverage(coverage)}; {read}"
