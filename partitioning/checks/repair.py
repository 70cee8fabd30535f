"""Repair of a release: everything that follows from its leaves is made again from them.

Leaves themselves, the list of them with their checksums, and the reject file follow from nothing else on disk.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal, get_args

from ..exceptions import LayoutError
from ..layout.checksums import read_checksums, update_checksums, write_checksums
from ..layout.manifest import Manifest
from ..layout.paths import CHECKSUMS_FILE, REJECTS_FILE
from .catalog import OpenCatalog, tried
from .rebuild import (
    Scans,
    known_map_order,
    put_manifest,
    rebuild_maps,
    rebuild_properties,
    rebuild_statistics,
    scan,
)
from .rebuild_beside import rebuild_index, rebuild_margin
from .report import Collector, Notify, format_finding, listing
from .sound import SoundFiles
from .tree import check_data_tree
from .verify import open_catalog

__all__ = ["PARTS", "Part", "RepairReport", "repair_release"]

Part = Literal["statistics", "margin", "index", "maps", "properties"]

PARTS: Final[tuple[Part, ...]] = get_args(Part)
"""What can be rebuilt, in the order in which it is."""

_MEMORY: Final = 1 << 30
_MANIFEST: Final = "manifest/manifest.json"


@dataclass(frozen=True)
class RepairReport:
    """What a repair did."""

    rebuilt: tuple[str, ...]
    """Files and directories that were made again, relative to the directory of the table."""
    notes: tuple[str, ...]
    """What had to be taken as it is."""


def repair_release(
    release: Path,
    parts: Collection[Part] = PARTS,
    *,
    workers: int = 1,
    memory: int = _MEMORY,
    report: Notify = lambda _: None,
) -> RepairReport:
    """Rebuild derived parts of a release from its leaves; every file appears by a rename.

    Parameters
    ----------
    release
        Directory of the main catalog.
    parts
        What to rebuild.
    workers
        Tiles that are read at the same time.
    memory
        Bytes in which the entries of an id index are sorted.

    Raises
    ------
    LayoutError
        If `release` is no directory, its manifest or list of files cannot be read, or a leaf is missing or damaged:
        these follow from nothing else, and have to come from a copy of the release or a new build.
    """
    if not release.is_dir():
        msg = f"{release}: there is no such release"
        raise LayoutError(msg)
    release, found = release.resolve(), Collector(release.name)
    opened = open_catalog(release, found)
    if opened is None:
        told = "; ".join(format_finding(finding) for finding in found.kept)
        msg = f"{release.name} cannot be repaired: {told}; restore these files from a copy of the release"
        raise LayoutError(msg)
    _require_leaves(opened)
    return _Repair(opened, parts, workers, memory, report).run()


def _require_leaves(opened: OpenCatalog) -> None:
    """Refuse to derive anything from damaged leaves."""
    sound = SoundFiles(opened.path)
    damaged = [file.path for file in opened.files if sound.problem(file)]
    if damaged:
        msg = (
            f"{opened.path.name} cannot be repaired: {listing(damaged)} {'is' if len(damaged) == 1 else 'are'} missing "
            f"or damaged, which follows from nothing else; restore from a copy of the release, or build it again"
        )
        raise LayoutError(msg)


class _Repair:
    """One repair, part by part; the manifest is kept up to date with what the parts changed."""

    def __init__(self, opened: OpenCatalog, parts: Collection[Part], workers: int, memory: int, report: Notify) -> None:
        self._opened, self._parts, self._workers, self._memory, self._report = opened, parts, workers, memory, report
        self._is_tiled = opened.placement is not None
        self._written = list[str]()
        self._beside = list[str]()
        self._notes = list[str]()

    def run(self) -> RepairReport:
        """Rebuild the wanted parts."""
        before, manifest = self._opened.manifest, self._opened.manifest
        order = known_map_order(self._opened) if self._is_tiled else 0
        scans = Scans([], {})
        if {"statistics", "maps"} & set(self._parts):
            scans = scan(self._opened, order, self._workers)
        if "statistics" in self._parts:
            self._report("statistics")
            manifest = self._statistics(scans, manifest)
        if self._is_tiled:
            manifest = self._catalogs_beside(manifest)
        if manifest != before or _MANIFEST in self._opened.damaged:
            self._opened = replace(self._opened, manifest=manifest)
            self._written += put_manifest(self._opened, manifest)
        if self._is_tiled and "maps" in self._parts:
            self._report("maps")
            self._written += rebuild_maps(self._opened, scans.leaves, order)
        if self._opened.placement is not None and "properties" in self._parts:
            self._report("properties")
            self._written += rebuild_properties(self._opened, self._opened.placement)
        self._sign()
        self._tell_strays()
        names = [f"{self._opened.path.name}/{name}" for name in dict.fromkeys(self._written)]
        return RepairReport((*names, *self._beside), tuple(self._notes))

    def _statistics(self, scans: Scans, manifest: Manifest) -> Manifest:
        manifest, written = rebuild_statistics(self._opened, scans, manifest)
        self._written += written
        self._opened = replace(self._opened, files=tuple(each.file for each in scans.leaves))
        return manifest

    def _catalogs_beside(self, manifest: Manifest) -> Manifest:
        placement = self._opened.placement
        assert placement is not None
        if "margin" in self._parts:
            make_margin = partial(rebuild_margin, self._opened, placement=placement, workers=self._workers)
            self._tell([record.directory for record in manifest.margins])
            manifest = replace(manifest, margins=tuple(make_margin(record) for record in manifest.margins))
        if "index" in self._parts:
            make_index = partial(rebuild_index, self._opened, memory=self._memory)
            self._tell([record.directory for record in manifest.indexes])
            manifest = replace(manifest, indexes=tuple(make_index(record) for record in manifest.indexes))
        return manifest

    def _tell(self, directories: list[str]) -> None:
        for directory in directories:
            self._report(directory)
        self._beside += directories

    def _tell_strays(self) -> None:
        """Name files among the leaves that no list names: they may be somebody's only copy, and stay."""
        found = Collector(self._opened.path.name)
        check_data_tree(self._opened.path, [file.path for file in self._opened.files], found)
        strays = [finding.path for finding in found.kept]
        if strays:
            self._notes.append(f"{listing(strays)}: no file of this release; readers may take it for data, remove it")

    def _sign(self) -> None:
        """Record the checksums of what was written, or of all if the list of them is lost."""
        catalog, damaged = self._opened.path, self._opened.damaged - set(self._written)
        listed, problem = tried(partial(read_checksums, catalog))
        everything = set(self._parts) >= set(PARTS)
        if listed is not None:
            # a name with a flipped bit; a reject file that is lost cannot be made again, and stays a finding
            gone = [name for name in listed if not (catalog / name).exists() and name != REJECTS_FILE]
            update_checksums(catalog, self._written, gone if everything else ())
        elif everything:
            write_checksums(catalog)
            self._notes.append(f"{CHECKSUMS_FILE} was made anew ({problem}): files that do not follow from the leaves")
            self._notes[-1] += " (manifest.json, rejects.parquet) were taken as they are"
        else:
            msg = f"{problem}; repair all parts at once, so that a new list can be made"
            raise LayoutError(msg)
        if _MANIFEST in self._opened.damaged:
            self._notes.append(f"{_MANIFEST} had another checksum: what it tells of inputs was taken as it is")
        if damaged:
            self._notes.append(f"{listing(sorted(damaged))}: still damaged, since no repaired part makes them")
