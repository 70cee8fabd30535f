"""Releases of a table that lie side by side: what is there, going back to another one, and removing old ones."""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from .exceptions import ConfigError, LayoutError
from .layout.files import fsync_path, replace_bytes
from .layout.manifest import Manifest, read_manifest
from .layout.paths import (
    COLLECTION_PROPERTIES,
    FLAT_FILES,
    LAST_RELEASE_FILE,
    MANIFEST_DIR,
    PLAIN_FILE,
    PLAIN_PROPERTIES,
    index_part_path,
    leaf_path,
    release_name,
)
from .layout.properties import parse_properties
from .lease import lease
from .progress import size_text
from .sky.healpix import Pixel
from .stages.plan import read_plan
from .stages.publish import current_release, next_release, point_to
from .stages.workspace import Workspace

__all__ = [
    "Release",
    "children_of",
    "find_releases",
    "missing_file",
    "planned_releases",
    "prune_releases",
    "published_release",
    "switch_releases",
    "tables_of",
    "total_bytes",
]

_PRUNED: Final = ".pruned-"
"""Prefix of directories that are being removed: no reader looks at hidden names."""


@dataclass(frozen=True)
class Release:
    """One release of a table, whole or in part."""

    number: int
    directories: tuple[Path, ...]
    """Main catalog first, if it is there; margins and id indexes."""
    manifest: Manifest | None = field(repr=False)
    """None if there is none that can be read: what is left of a crash."""

    @property
    def is_whole(self) -> bool:
        """Whether the directories of main catalog, margins and indexes are all there."""
        if self.manifest is None:
            return False
        present = {path.name for path in self.directories}
        return all(name in present for name in _beside(self.manifest))

    @property
    def size_bytes(self) -> int:
        """Bytes of data with margins and indexes, as the manifest tells; 0 without one."""
        return 0 if self.manifest is None else total_bytes(self.manifest)


def total_bytes(manifest: Manifest) -> int:
    """Return the bytes of data of a release, margins and id indexes included."""
    beside = [one.bytes for one in manifest.margins] + [one.bytes for one in manifest.indexes]
    return manifest.bytes + sum(beside)


def published_release(home: Path) -> Path:
    """Return the directory of the current release of the table in directory `home`.

    Raises
    ------
    LayoutError
        If nothing is published there.
    """
    release = current_release(home)
    if release is None:
        there = find_releases(home) if home.is_dir() else {}
        remedy = f"there are {_numbers(there)}: switch to one of them" if there else "give ROOT/SCHEMA/TABLE"
        msg = f"{home}: no table is published here (there is no {COLLECTION_PROPERTIES}); {remedy}"
        raise LayoutError(msg)
    return release


def _remember_lost(home: Path) -> None:
    """Note the number of the current release if it is gone: children that it placed must not take another for it."""
    pattern = re.compile(re.escape(release_name(home.name, 0))[:-1] + r"([0-9]+)")
    for name in (COLLECTION_PROPERTIES, PLAIN_PROPERTIES):
        pointer = home / name
        if pointer.is_file():
            named = parse_properties(pointer.read_text(encoding="utf-8")).get("hats_primary_table_url", "")
            lost = pattern.fullmatch(named)
            if lost is not None and int(lost[1]) >= next_release(home):
                replace_bytes(home / LAST_RELEASE_FILE, f"{lost[1]}\n".encode())


def _is_table(directory: Path) -> bool:
    """Return whether a directory has a pointer to a release, or releases: the pointer may be lost."""
    pointers = (directory / name for name in (COLLECTION_PROPERTIES, PLAIN_PROPERTIES))
    if any(path.is_file() for path in pointers):
        return True
    return directory.is_dir() and any(one.manifest is not None for one in find_releases(directory).values())


def _require_table(home: Path) -> None:
    """Raise `LayoutError` if a directory is that of no table; one whose current release or pointer was removed is."""
    if not _is_table(home):
        published_release(home)


def _named_release(home: Path) -> str:
    """Return the name of the current release, which may be gone: going to another one is the way out."""
    try:
        return published_release(home).name
    except LayoutError:
        return "none"


def find_releases(home: Path) -> dict[int, Release]:
    """Return what lies in a table's directory by release number, ascending; published or not, whole or in part."""
    pattern = re.compile(re.escape(release_name(home.name, 0))[:-1] + r"([0-9]+)(_.+)?")
    found: dict[int, list[Path]] = {}
    for entry in sorted(home.iterdir()):
        match = pattern.fullmatch(entry.name)
        if match is not None and entry.is_dir():
            found.setdefault(int(match[1]), []).append(entry)
    return {number: Release(number, tuple(found[number]), _manifest(found[number][0])) for number in sorted(found)}


def planned_releases(home: Path) -> frozenset[int]:
    """Return the releases that an interrupted build or append needs: the one it makes, and the one it starts from."""
    try:
        plan = read_plan(Workspace(home, "", home))
    except (OSError, LayoutError):
        return frozenset()
    base = () if plan.base is None else (read_manifest(plan.base.catalog).release,)
    return frozenset({plan.release, *base})


def children_of(home: Path) -> dict[str, int | None]:
    """Return the published tables whose rows lie where this table has their parents, and the release of it that was."""
    found: dict[str, int | None] = {}
    for other in sorted(home.parent.iterdir()):
        try:
            release = current_release(other) if other.is_dir() else None
            placement = None if release is None else read_manifest(release).placement
        except LayoutError:  # another group's catalog, without a manifest
            continue
        if placement is not None and placement.parent == home.name:
            found[other.name] = placement.parent_release
    return found


def missing_file(home: Path, manifest: Manifest) -> str | None:
    """Return what a release lacks: the first file that is not there, or not of its size; None if all are."""
    if manifest.adopted is not None:  # its files lie in somebody else's tree: adopt --check looks at them
        return None
    try:
        for path, size in _data_files(home, manifest):
            if not path.is_file() or path.stat().st_size != size:
                return f"{path} is not there, or not of {size} bytes"
    except (OSError, pa.ArrowException) as error:
        return str(error)
    return None


def tables_of(directories: Iterable[Path]) -> tuple[Path, ...]:
    """Return the directories of tables: those given, and those in the directories of schemas; each once."""
    found = dict[Path, None]()
    for directory in directories:
        tables = [] if _is_table(directory) else [path for path in sorted(directory.glob("*")) if _is_table(path)]
        found |= dict.fromkeys(tables or [directory])
    return tuple(found)


def switch_releases(homes: Sequence[Path], number: int, report: Callable[[str], None]) -> None:
    """Make another release of some tables the current one, each by one rename; none if one of them cannot be.

    Raises
    ------
    ConfigError
        If a table has no such release, or a build of it is running.
    LayoutError
        If a release is not complete, or nothing is published.
    """
    with ExitStack() as held:
        switched = []
        for home in homes:
            _require_table(home)
            held.enter_context(lease(home))
            switched.append((home, _named_release(home), _whole_release(home, number)))
        for home, current, manifest in switched:
            name = f"{manifest.schema}.{manifest.table}"
            if current == release_name(home.name, number):
                report(f"{name}: release {number} is the current one already")
                continue
            _remember_lost(home)
            point_to(home, manifest)
            report(f"{name}: {current} was current; now {release_name(home.name, number)} is: {manifest.rows} rows")
    for home in homes:
        for child, placed_by in children_of(home).items():
            if placed_by != number:
                problem = f"{child} was placed by release {placed_by} of {home.name}; joins read more than they need"
                report(f"warning: {problem}")


def _whole_release(home: Path, number: int) -> Manifest:
    """Return the manifest of a release that is there with all of its files."""
    found = find_releases(home)
    if number not in found:
        msg = f"{home}: there is no release {number}; there are {_numbers(found)}"
        raise ConfigError(msg)
    manifest = found[number].manifest
    lacking = "there is no manifest" if manifest is None else missing_file(home, manifest)
    if manifest is None or lacking is not None:
        msg = f"{home}: release {number} is not complete ({lacking}); {_named_release(home)} stays the current one"
        raise LayoutError(msg)
    return manifest


def prune_releases(homes: Sequence[Path], *, keep: int, dry_run: bool, report: Callable[[str], None]) -> None:
    """Remove releases of some tables other than the current ones, and what crashes left of releases.

    A release gets a hidden name before its files are removed, so that half of one is never seen; what an interrupted
    removal left is removed first.

    Parameters
    ----------
    keep
        Complete releases of each table that stay: the current one, and of the others those with the highest numbers.
    dry_run
        Whether only to tell what would be removed.

    Raises
    ------
    ConfigError
        If a build of one of the tables is running; then nothing is removed.
    LayoutError
        If nothing is published in one of the directories; then nothing is removed.
    """
    for home in homes:
        published_release(home)
    with ExitStack() as held:
        for home in () if dry_run else homes:
            held.enter_context(lease(home))
        for home in homes:
            _prune(home, keep=keep, dry_run=dry_run, report=report)


def _prune(home: Path, *, keep: int, dry_run: bool, report: Callable[[str], None]) -> None:
    current, found = read_manifest(published_release(home)), find_releases(home)
    doomed = _doomed(found, current.release, keep, planned_releases(home))
    hidden = sorted(home.glob(f"{_PRUNED}*"))
    freed = _freed_bytes([*hidden, *(path for one in doomed for path in one.directories)])
    if not dry_run:
        _remember_numbers(home, found, doomed)
        for directory in [*hidden, *_hide(home, doomed)]:
            shutil.rmtree(directory)
    done = "would be removed" if dry_run else "removed"
    for line in (*map(_told, doomed), *(["the rest of an earlier prune"] if hidden else [])):
        report(f"{current.schema}.{current.table}: {line} {done}")
    kept = _numbers(one.number for one in found.values() if one not in doomed)
    report(f"{current.schema}.{current.table}: {size_text(freed)} {'would be ' * dry_run}freed; {kept} stay")
    for child, placed_by in children_of(home).items():
        if placed_by in {one.number for one in doomed}:
            remedy = f"build it again, so that it lies in the tiles of release {current.release}"
            report(f"warning: {child} was placed by release {placed_by}; {remedy}")


def _doomed(found: Mapping[int, Release], current: int, keep: int, planned: frozenset[int]) -> list[Release]:
    """Return the releases to remove: all but the current one, some of the newest, and those that a build needs."""
    others = [one for one in found.values() if one.number != current and one.number not in planned]
    whole = [one for one in others if one.is_whole]
    kept = whole[len(whole) - min(len(whole), keep - 1) :]
    return [one for one in others if one not in kept]


def _hide(home: Path, doomed: Iterable[Release]) -> Iterator[Path]:
    """Give the directories of releases hidden names, the main catalog first."""
    for release in doomed:
        hidden = [path.rename(path.with_name(_PRUNED + path.name)) for path in release.directories]
        fsync_path(home)
        yield from hidden


def _remember_numbers(home: Path, found: Mapping[int, Release], doomed: list[Release]) -> None:
    """Note the highest number if its release goes: readers that keep what they know of it must not meet another."""
    if doomed and doomed[-1].number == max(found):
        replace_bytes(home / LAST_RELEASE_FILE, f"{next_release(home) - 1}\n".encode())


def _freed_bytes(directories: Iterable[Path]) -> int:
    """Return the bytes on disk that go with these directories; a file that has links elsewhere frees nothing."""
    links: dict[tuple[int, int], int] = {}
    freed = 0
    for directory in directories:
        for path in directory.rglob("*"):
            status = path.lstat()
            if path.is_file():
                key = (status.st_dev, status.st_ino)
                links[key] = links.get(key, 0) + 1
                freed += status.st_size if links[key] == status.st_nlink else 0
    return freed


def _told(release: Release) -> str:
    rest = "" if release.is_whole else " (incomplete)"
    return f"release {release.number}{rest}: {', '.join(path.name for path in release.directories)}"


def _beside(manifest: Manifest) -> list[str]:
    """Return the names of the directories of a release beside its main catalog."""
    return [*(one.directory for one in manifest.margins), *(one.directory for one in manifest.indexes)]


def _data_files(home: Path, manifest: Manifest) -> Iterator[tuple[Path, int]]:
    """Yield path and size of all data files of a release, and of the flat arrays of its id indexes."""
    main = home / release_name(manifest.table, manifest.release)
    if manifest.placement is None:
        yield main / PLAIN_FILE, manifest.bytes
        return
    for catalog in (main, *(home / name for name in _beside(manifest))):
        yield from _listed(catalog)
    for index in manifest.indexes:
        yield from ((home / index.directory / name, 8 * index.rows) for name in FLAT_FILES if index.flat)


def _listed(catalog: Path) -> Iterator[tuple[Path, int]]:
    """Yield path and size of the data files in the list of files of a catalog, a margin or an id index."""
    files = pq.read_table(catalog / MANIFEST_DIR / "files.parquet")
    if "part" in files.column_names:
        names = [index_part_path(part) for part in files.column("part").to_pylist()]
    else:
        pixels = zip(files.column("norder").to_pylist(), files.column("npix").to_pylist(), strict=True)
        names = [leaf_path(Pixel(*pixel)) for pixel in pixels]
    yield from zip((catalog / name for name in names), files.column("bytes").to_pylist(), strict=True)


def _manifest(catalog: Path) -> Manifest | None:
    try:
        return read_manifest(catalog)
    except LayoutError:
        return None


def _numbers(numbers: Iterable[int]) -> str:
    return "releases " + ", ".join(map(str, numbers))
