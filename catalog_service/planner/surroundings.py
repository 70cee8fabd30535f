"""Batches of joins on a separation: some tiles of one table, and what lies around them of the others.

One table leads: each of its files is in one batch. Of every other table a batch reads what may lie close enough to the
rows of those files, or all of it, so what is made of a row of the leading table is made in its batch, and only there.
An outer join allows that if the leading table is on the side whose rows are all kept. Derived tables and subqueries may
stand in between (`apart.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from partitioning.layout.partition_map import PartitionMap
from partitioning.sky.borders import halo_of
from partitioning.sky.coverage import COVERAGE_PAD_DEG, Coverage, intersection, union
from partitioning.sky.healpix import order_shift

from ..models.query import ScanPlan, TableScan
from ..models.spines import Spine, spines
from ..models.stored import StoredTable
from ..models.tree import FromItem, Join, JoinKind, Query, Select
from ..models.walk import from_sources
from .apart import placed_within
from .prune import Chosen, merged_ranges

__all__ = ["MOST_REPEATED_ROWS", "Lead", "is_kept", "leading", "near_scan", "surroundings"]

Tables = Mapping[int, StoredTable]

_FARTHEST_DEG: Final = 10.0
"""Around tiles; of wider joins a batch would read most of the sky."""

MOST_REPEATED_ROWS: Final = 1_000_000
"""Of a table of tiles that every batch reads whole."""

_SIDE_DEG: Final = 58.6
"""Of an order-0 tile."""

_STRIPS: Final = 32
"""Width of a tile in cells of what lies around it: narrower ones take longer to find than rows left out are worth."""

_MOST_RANGES: Final = 32
"""More than elsewhere: what is around tiles lies in many places, and rows left out are rows not held in memory."""


@dataclass(frozen=True, slots=True)
class Lead:
    """A table whose files are cut, and how far from its rows those of others may be placed, by source number.

    A table that is missing there is read whole by every batch.
    """

    spine: Spine
    pads_deg: Mapping[int, float]

    @property
    def source(self) -> int:
        """Return the table."""
        return self.spine.sources[-1]


def leading(tree: Query, scan: ScanPlan, tables: Tables) -> Iterator[Lead]:
    """Yield which tables of tiles can lead the batches of a query, those of which most is read first.

    Parameters
    ----------
    tree
        The resolved query.
    scan
        What the whole query reads.
    tables
        Stored tables by source number, those of subqueries among them.
    """
    for spine in sorted(spines(tree), key=lambda spine: -scan.scans[spine.sources[-1]].rows):
        lead = spine.sources[-1]
        if not isinstance(tables[lead].partitions, PartitionMap) or not all(map(is_kept, spine.selects, spine.sources)):
            continue
        pads = {at: pad for at, pad in placed_within(tree, spine, tables).items() if pad <= _FARTHEST_DEG}
        sharded = {at for at, stored in tables.items() if stored.partitions is not None}
        if all(scan.scans[at].rows <= MOST_REPEATED_ROWS for at in sharded - pads.keys() - {lead}):
            yield Lead(spine, {at: pad for at, pad in pads.items() if at in sharded})


def is_kept(select: Select, source: int) -> bool:
    """Return whether every outer join of a SELECT has one item of FROM on the side whose rows are all kept."""
    assert select.source is not None
    return _is_kept(select.source, source)


def _is_kept(item: FromItem, lead: int) -> bool:
    if not isinstance(item, Join):
        return True
    match item.kind:
        case JoinKind.LEFT:
            kept = lead in from_sources(item.left)
        case JoinKind.RIGHT:
            kept = lead in from_sources(item.right)
        case _:
            kept = item.kind is not JoinKind.FULL
    return kept and _is_kept(item.left, lead) and _is_kept(item.right, lead)


def surroundings(partitions: PartitionMap, tiles: NDArray[np.int64], pad_deg: float) -> Coverage:
    """Return a coverage of some tiles and of all that lies within `pad_deg` of them."""
    pad_deg, parts = max(pad_deg, COVERAGE_PAD_DEG), [partitions.tile_ranges()[tiles]]
    orders, numbers = partitions.orders[tiles], partitions.numbers[tiles]
    for order in np.unique(orders).tolist():
        of_order = orders == order
        threshold = max(pad_deg, _SIDE_DEG / 2**order / _STRIPS)
        halo = halo_of(orders[of_order], numbers[of_order], threshold)
        shift = order_shift(halo.order)
        parts.append(np.stack([halo.cells << shift, (halo.cells + 1) << shift], axis=1))
    return union(*parts)


def near_scan(scan: TableScan, stored: StoredTable, around: Coverage) -> tuple[Sequence[int], TableScan]:
    """Return which files of a scan hold rows in a coverage, and the scan with its ranges within it.

    Parameters
    ----------
    scan
        What the whole query reads of the table.
    stored
        The table.
    around
        Of the positions that place its rows.
    """
    partitions, tiles = stored.partitions, np.array(scan.tiles, dtype=np.int64)
    assert partitions is not None
    indexes = np.flatnonzero(np.isin(tiles, partitions.select(around)))
    if scan.healpix_ranges:
        around = intersection(around, np.array(scan.healpix_ranges, dtype=np.int64))
    ranges = merged_ranges(partitions, Chosen(tiles[indexes], around), _MOST_RANGES) if stored.healpix_column else ()
    return indexes.tolist(), replace(scan, healpix_ranges=ranges, rows=int(partitions.rows[tiles[indexes]].sum()))
