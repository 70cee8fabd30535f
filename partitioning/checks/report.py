"""What a verification covers, and what it found."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ..exceptions import LayoutError
from ..sky.healpix import Pixel

__all__ = [
    "FINDINGS_PER_CHECK",
    "Collector",
    "Coverage",
    "Finding",
    "Full",
    "Notify",
    "Report",
    "Sample",
    "Scope",
    "Tiles",
    "format_coverage",
    "format_finding",
    "listing",
    "require_clean",
]

FINDINGS_PER_CHECK: Final = 100
"""More findings of one check are counted, not kept."""

_NAMED: Final = 5
"""Findings that the error of `require_clean` tells."""

_BUILD_AGAIN: Final = "it is not published: build again, and check disk and memory if it happens twice"

Notify = Callable[[str], None]
"""Called with one line of progress at a time."""


@dataclass(frozen=True)
class Full:
    """Every tile is read."""


@dataclass(frozen=True)
class Sample:
    """A share of the tiles is read, chosen by `seed`; what needs no data file is checked as always."""

    fraction: float
    """Above 0, up to 1; at least one tile is read."""
    seed: int = 0

    def count(self, tiles: int) -> int:
        """Return how many of some tiles are read."""
        return min(tiles, max(1, round(tiles * self.fraction)))


@dataclass(frozen=True)
class Tiles:
    """These tiles are read, as after an append that wrote them."""

    pixels: frozenset[Pixel]


Scope = Full | Sample | Tiles


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be."""

    check: str
    """Name of the check: a stable word, such as ``checksum`` or ``margin``."""
    path: str
    """File, relative to the directory of the table."""
    detail: str
    tile: Pixel | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a verification read and found."""

    release: str
    """Name of the main catalog's directory."""
    findings: tuple[Finding, ...]
    omitted: tuple[tuple[str, int], ...]
    """(check, number) of findings beyond `FINDINGS_PER_CHECK`."""
    not_checked: tuple[str, ...]
    """What could not be checked, and why: nothing is wrong with the release itself."""
    files: int
    """Data files read."""
    rows: int
    bytes: int
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def total(self) -> int:
        """Number of findings, omitted ones included."""
        return len(self.findings) + sum(number for _, number in self.omitted)


@dataclass(frozen=True)
class Coverage:
    """How much of a release a verification read."""

    scope: Full | Sample
    tiles: int | None
    """Tiles of the release; None: it cannot be told, since manifest or list of files cannot be read."""
    tiles_read: int


@dataclass
class Collector:
    """Gathers findings and what was read; not shared between threads."""

    directory: str
    """Name of the catalog's directory that findings are in."""
    kept: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    not_checked: list[str] = field(default_factory=list)
    files: int = 0
    rows: int = 0
    bytes: int = 0

    def add(self, check: str, path: str, detail: str, tile: Pixel | None = None) -> None:
        """Add a finding about the file `path` of the catalog."""
        self._keep(Finding(check, "/".join(part for part in (self.directory, path) if part), detail, tile))

    def expect(self, holds: bool, check: str, path: str, detail: str, tile: Pixel | None = None) -> bool:  # noqa: FBT001
        """Add a finding unless a condition holds, and return the condition."""
        if not holds:
            self.add(check, path, detail, tile)
        return holds

    def merge(self, other: "Collector") -> None:
        """Add all that another collector has."""
        for finding in other.kept:
            self._keep(finding)
        self.counts.update(other.counts - Counter(finding.check for finding in other.kept))
        self.not_checked += other.not_checked
        self.files += other.files
        self.rows += other.rows
        self.bytes += other.bytes

    def omitted(self) -> Iterator[tuple[str, int]]:
        """Yield how many findings of each check were not kept."""
        kept = Counter(finding.check for finding in self.kept)
        yield from ((check, number - kept[check]) for check, number in self.counts.items() if number > kept[check])

    def _keep(self, finding: Finding) -> None:
        if finding in self.kept:
            return
        self.counts[finding.check] += 1
        if self.counts[finding.check] <= FINDINGS_PER_CHECK:
            self.kept.append(finding)


def format_finding(finding: Finding) -> str:
    """Return a finding as one line."""
    tile = "" if finding.tile is None else f" (tile Norder={finding.tile.order} Npix={finding.tile.number})"
    return f"{finding.check}: {finding.path}{tile}: {finding.detail}"


def format_coverage(coverage: Coverage) -> str:
    """Return what a verification read in words.

    >>> format_coverage(Coverage(Sample(0.1, 12345), 48, 5))
    'sample of 10 % of the tiles (5 of 48), seed 12345'
    """
    read = f"({coverage.tiles_read} of {'unknown' if coverage.tiles is None else coverage.tiles})"
    match coverage.scope:
        case Full():
            return f"all tiles {read}"
        case Sample(fraction, seed):
            return f"sample of {100 * fraction:g} % of the tiles {read}, seed {seed}"


def require_clean(report: Report, remedy: str = _BUILD_AGAIN) -> None:
    """Refuse a release that has findings.

    Parameters
    ----------
    remedy
        What follows, and what to do.

    Raises
    ------
    LayoutError
        If there are any; the message tells the first few.
    """
    if report.is_clean:
        return
    lines = [format_finding(finding) for finding in report.findings[:_NAMED]]
    more = report.total - len(lines)
    msg = f"{report.release} is not as it must be: {'; '.join(lines)}{f'; and {more} more' if more else ''}; {remedy}"
    raise LayoutError(msg)


def listing(values: Iterable[object], most: int = 5) -> str:
    """Return the first few values, and how many more there are."""
    items = [str(value) for value in values]
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
