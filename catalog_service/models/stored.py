"""What is published on disk: a table joined with where its rows lie."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from partitioning.layout.file_map import FileMap
from partitioning.layout.manifest import Placement, StoredColumn
from partitioning.layout.partition_map import PartitionMap
from partitioning.layout.paths import PLAIN_FILE, leaf_path

from .ids import IdIndex
from .query import FileStamp
from .schema import Table

__all__ = ["StoredTable"]


@dataclass(frozen=True, eq=False)
class StoredTable:
    """One published release of one table."""

    table: Table
    directory: Path
    """Of the release's main catalog."""
    release: int
    rows: int
    size_bytes: int
    partitions: PartitionMap | FileMap | None
    """Files of the table: tiles, or those of an adopted table; None for a table without positions: one plain file."""
    placement: Placement | None
    foreign_directories: tuple[str, ...] = ()
    """Where the files of an adopted table lie."""
    indexes: Mapping[str, IdIndex] = field(default_factory=dict)
    """Indexes of integer and text columns, by column."""
    columns: Mapping[str, StoredColumn] = field(default_factory=dict)
    """Stored columns, hidden ones included, with their statistics over the whole release; empty if not known."""

    @property
    def file_count(self) -> int:
        """Number of data files of the release."""
        return 1 if self.partitions is None else len(self.partitions)

    @cached_property
    def max_separation_deg(self) -> float:
        """Largest separation between a row's own position and the one that places it."""
        if self.partitions is None or len(self.partitions) == 0:
            return 0.0
        return float(self.partitions.separations_deg.max())

    @property
    def healpix_column(self) -> str | None:
        """Stored order-29 index by which the rows of each file are sorted; None if there is none to rely on."""
        return None if self.placement is None else self.placement.healpix_column

    @property
    def has_own_index(self) -> bool:
        """Whether `healpix_column` is the index of each row's own position, not that of a parent."""
        placed = self.placement
        if placed is None or placed.healpix_column is None or placed.parent is not None:
            return False
        return (placed.ra_column, placed.dec_column) == (placed.own_ra_column, placed.own_dec_column)

    def paths(self, tiles: NDArray[np.int64]) -> tuple[str, ...]:
        """Return the absolute paths of the tiles numbered `tiles`: computed or remembered, never listed."""
        assert self.partitions is not None
        if isinstance(self.partitions, FileMap):
            return tuple(self.partitions.paths[tile] for tile in tiles.tolist())
        base = str(self.directory)
        return tuple(f"{base}/{leaf_path(self.partitions.pixel(int(tile)))}" for tile in tiles)

    def stamps(self, tiles: NDArray[np.int64]) -> tuple[FileStamp, ...]:
        """Return what the files numbered `tiles` looked like when they were adopted; none for our own, which last."""
        files = self.partitions
        if not isinstance(files, FileMap):
            return ()
        sizes, times = files.size_bytes[tiles].tolist(), files.mtimes_ns[tiles].tolist()
        return tuple(map(FileStamp, self.paths(tiles), sizes, times))

    def plain_path(self) -> str:
        """Return the absolute path of the one file of a table without positions."""
        return f"{self.directory}/{PLAIN_FILE}"
