"""Checks that children lie where their parent lies.

A child table has the tiles of its parent or finer ones, so the parents of a tile's rows are looked up in the parent
tiles that meet it. Keys that are not found there are either orphans, placed by their own position, or children whose
parent is elsewhere: one pass over the parent's keys tells which.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.manifest import Placement, read_manifest, read_partition_map
from ..layout.partition_map import PartitionMap
from ..layout.paths import HEALPIX_COLUMN
from ..sky.coverage import Coverage
from ..stages.leaf_rows import rows_within
from ..stages.places import degrees, index_or_reason
from .catalog import DataFile, OpenCatalog, read_files, sibling_release, tried
from .hashing import id_hashes
from .report import Collector
from .sound import SoundFiles

__all__ = ["ParentTable", "Strays", "TileParents", "check_strays", "open_parent_table"]

_MOST_STRAYS: Final = 10_000_000
"""Keys without a parent in their tile that are kept to be looked for elsewhere (30 bytes each)."""


@dataclass(frozen=True, eq=False)
class ParentTable:
    """The release of the parent that placed a child's rows."""

    catalog: Path
    placement: Placement
    partitions: PartitionMap
    files: tuple[DataFile, ...]
    key: str
    sound: SoundFiles

    def leaves(self, tile: DataFile) -> list[DataFile]:
        """Return the leaves that meet a tile of the child."""
        return [self.files[number] for number in self.partitions.select(_coverage(tile)).tolist()]


def open_parent_table(opened: OpenCatalog, found: Collector) -> ParentTable | None:
    """Return the parent of a child table; None if it has none, or if it is not there to be compared with."""
    placement = opened.placement
    if placement is None or placement.parent is None or placement.parent_key is None:
        return None
    release = sibling_release(opened.path, placement.parent, placement.parent_release or 0)
    name = f"{placement.parent} release {placement.parent_release}"
    if release is None:
        found.not_checked.append(f"positions of parents: {name} is not beside this table")
        return None
    manifest, problem = tried(partial(read_manifest, release))
    partitions, other = tried(partial(read_partition_map, release))
    files, _ = tried(partial(read_files, release))
    if manifest is None or partitions is None or files is None or manifest.placement is None:
        found.not_checked.append(f"positions of parents: {name} cannot be read ({problem or other or 'no positions'})")
        return None
    return ParentTable(release, manifest.placement, partitions, files, placement.parent_key[1], SoundFiles(release))


@dataclass
class TileParents:
    """Looks the rows of one child tile up in the parent tiles that meet it; row groups go to `check`."""

    opened: OpenCatalog
    file: DataFile
    parent: ParentTable
    found: Collector
    strays: list[NDArray[np.uint64]] = field(default_factory=list)
    """Hashes of keys that have no parent here."""

    def __post_init__(self) -> None:
        keys, ra, dec = _load(self.parent, self.file)
        order = np.argsort(keys, kind="stable")
        self._keys, self._ra, self._dec = keys[order], ra[order], dec[order]

    def check(self, group: pa.Table) -> None:
        """Check one row group of the child."""
        placement = self.opened.placement
        assert placement is not None
        assert placement.parent_key is not None
        column = group.column(placement.parent_key[0])
        valid = column.is_valid().to_numpy()
        keys = np.zeros(len(valid), dtype=np.uint64)
        keys[valid] = id_hashes(column.drop_null())
        at = np.minimum(np.searchsorted(self._keys, keys), max(len(self._keys) - 1, 0))
        known = valid & (self._keys[at] == keys) if len(self._keys) else np.zeros(len(valid), dtype=bool)
        ra, dec = (degrees(group.column(name)) for name in (placement.ra_column, placement.dec_column))
        here = at[known]
        moved = (ra[known] != self._ra[here]) | (dec[known] != self._dec[here])
        if moved.any():
            first = column[int(np.flatnonzero(known)[moved][0])]
            text = f"{int(moved.sum())} rows are not placed by their parent's position, first key {first}"
            self.found.add("parent", self.file.path, text, self.file.pixel)
        self._check_orphans(group, placement, ~known)
        self.strays.append(np.unique(keys[valid & ~known]))

    def _check_orphans(self, group: pa.Table, placement: Placement, orphans: NDArray[np.bool_]) -> None:
        """Check that rows without a parent here are placed by their own position."""
        if not orphans.any():
            return
        rows = group.filter(pa.array(orphans))
        wrong = np.ones(len(rows), dtype=bool)
        if placement.own_ra_column is not None and placement.own_dec_column is not None:
            own = [degrees(rows.column(name)) for name in (placement.own_ra_column, placement.own_dec_column)]
            declared = [degrees(rows.column(name)) for name in (placement.ra_column, placement.dec_column)]
            wrong = (own[0] != declared[0]) | (own[1] != declared[1])
            wrong |= index_or_reason(*own) < 0
        if wrong.any():
            text = f"{int(wrong.sum())} rows have no parent in their tile and are not placed by their own position"
            self.found.add("parent", self.file.path, text, self.file.pixel)


@dataclass
class Strays:
    """Keys that have no parent in their own tile, until they are too many to be looked for."""

    tiles: list[tuple[DataFile, NDArray[np.uint64]]] = field(default_factory=list)
    """Their hashes, different ones, by tile."""
    count: int = 0

    @property
    def are_too_many(self) -> bool:
        """Whether they are not kept any more."""
        return self.count > _MOST_STRAYS

    def add(self, file: DataFile, hashes: NDArray[np.uint64]) -> None:
        """Add those of a tile."""
        self.count += len(hashes)
        if self.are_too_many:
            self.tiles.clear()
        elif len(hashes):
            self.tiles.append((file, hashes))


def check_strays(parent: ParentTable, strays: Strays, found: Collector) -> None:
    """Look for the parents of rows that have none in their own tile, in one pass over the parent's keys."""
    if strays.are_too_many:
        found.not_checked.append(f"whether the parents of {strays.count} keys without one in their tile lie elsewhere")
        return
    if not strays.count:
        return
    wanted = np.unique(np.concatenate([hashes for _, hashes in strays.tiles]))
    there = np.zeros(len(wanted), dtype=np.bool_)
    for hashes in _all_keys(parent):
        at = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
        there[at[wanted[at] == hashes]] = True
    elsewhere = wanted[there]
    for file, hashes in strays.tiles if len(elsewhere) else ():
        lost = int(np.isin(hashes, elsewhere).sum())
        text = f"the parents of {lost} keys are in another tile than these children"
        found.expect(not lost, "parent", file.path, text, file.pixel)


def _coverage(tile: DataFile) -> Coverage:
    return np.array([tile.range], dtype=np.int64)


def _load(parent: ParentTable, tile: DataFile) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64]]:
    """Return key hashes and declared positions of the parents in a tile of the child."""
    keys, ra, dec = [np.empty(0, np.uint64)], [np.empty(0)], [np.empty(0)]
    place = parent.placement
    names = list(dict.fromkeys([HEALPIX_COLUMN, parent.key, place.ra_column, place.dec_column]))
    for leaf in parent.leaves(tile):
        parent.sound.require([leaf])
        for rows in rows_within(parent.catalog / leaf.path, _coverage(tile), names):
            known = rows.filter(rows.column(parent.key).is_valid())
            keys.append(id_hashes(known.column(parent.key)))
            ra.append(degrees(known.column(place.ra_column)))
            dec.append(degrees(known.column(place.dec_column)))
    return np.concatenate(keys), np.concatenate(ra), np.concatenate(dec)


def _all_keys(parent: ParentTable) -> Iterator[NDArray[np.uint64]]:
    """Yield hashes of all keys of the parent, one row group at a time."""
    for file in parent.files:
        parent.sound.require([file])
        with pq.ParquetFile(parent.catalog / file.path) as leaf:
            for group in range(leaf.metadata.num_row_groups):
                yield id_hashes(leaf.read_row_group(group, columns=[parent.key]).column(parent.key).drop_null())
