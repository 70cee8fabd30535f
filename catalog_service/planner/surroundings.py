"""Batches of joins on a separation: some tiles of one table, and what lies around them of the others.

One table leads: each of its files is in one batch. Of every other table a batch reads what may lie close enough to the
rows of those files, so each row of the join is made in the batch of its row of the leading table, and only there. An
outer join allows that if the leading table is on the side whose rows are all kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from partitioning.layout.partition_map import PartitionMap
from partitioning.sky.borders import halo_of
from partitioning.sky.coverage import COVERAGE_PAD_DEG, Coverage, intersection, union
from partitioning.sky.healpix import order_shift

from ..models.query import TableScan
from ..models.stored import StoredTable
from ..models.tree import FromItem, Join, JoinKind, Select
from ..models.walk import from_sources
from .joins import placed_apart
from .prune import Chosen, merged_ranges

__all__ = ["Lead", "leading", "near_scan", "surroundings"]

Tables = Mapping[int, StoredTable]

_FARTHEST_DEG: Final = 10.0
"""Around tiles; of wider joins a batch would read most of the sky."""

_SIDE_DEG: Final = 58.6
"""Of an order-0 tile."""

_STRIPS: Final = 32
"""Width of a tile in cells of what lies around it: narrower ones take longer to find than rows left out are worth."""

_MOST_RANGES: Final = 32
"""More than elsewhere: what is around tiles lies in many places, and rows left out are rows not held in memory."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The table whose files are cut, and how far from its rows those of others may be placed, by source number."""

    source: int
    pads_deg: Mapping[int, float]


def leading(select: Select, tables: Tables) -> Lead | None:
    """Return which table of tiles can lead the batches of a join: the largest that can; None if none can.

    Parameters
    ----------
    select
        A query whose FROM has base tables only.
    tables
        Stored tables by source number.
    """
    assert select.source is not None
    apart = placed_apart(select, tables)
    sharded = [source for source, stored in tables.items() if stored.partitions is not None]
    for lead in sorted(sharded, key=lambda source: -tables[source].rows):
        pads = {at: apart[at].get(lead, np.inf) for at in sharded if at != lead}
        close = all(pad <= _FARTHEST_DEG for pad in pads.values())
        if close and isinstance(tables[lead].partitions, PartitionMap) and _is_kept(select.source, lead):
            return Lead(lead, pads)
    return None


def _is_kept(item: FromItem, lead: int) -> bool:
    """Return whether every outer join of one FROM has the leading table on the side that it keeps."""
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
