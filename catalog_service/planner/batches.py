"""Batches of tiles: where a query can be run piece by piece, because no row needs one of another batch.

Tables that are joined on a parent's key lie in the same places of the sky. Their files are cut into batches along
borders that no file crosses, so that each pair of rows is in one batch. Tables without tiles are read whole by every
batch, which an outer join allows on the side only that may be left empty. Of tables that are joined on a separation one
leads the batches, see `surroundings.py`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from partitioning.layout.partition_map import PartitionMap

from ..models.query import ScanPlan, TableScan
from ..models.spines import ColumnOf, Cut, spines
from ..models.stored import StoredTable
from ..models.tree import Expr, FromItem, Join, JoinKind, Query, Select, TableRef, With
from ..models.walk import conjuncts, from_sources
from .joins import key_join
from .surroundings import Lead, is_kept, leading, near_scan, surroundings

__all__ = ["BatchLimits", "TileCut", "batches", "tile_cuts"]

Tables = Mapping[int, StoredTable]

_FEW_VALUES: Final = 1_000_000
"""Different values of a column, of which every batch hands on its own."""

_KEPT_WHOLE: Final = {JoinKind.LEFT: "left", JoinKind.RIGHT: "right", JoinKind.FULL: "both"}
"""Sides of an outer join whose rows all reach the result."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large one batch may be; a single file may be larger."""

    files: int = 1000
    """Opening as many takes DuckDB 0.1 s."""
    size_bytes: int = 8 << 30
    near_rows: int = 1_500_000
    """Rows of the leading table, where tables are joined on a separation: both sides of a batch are held in memory."""

    def are_exceeded_by(self, scan: ScanPlan) -> bool:
        """Return whether a query may be more than one batch."""
        return scan.files > self.files or scan.size_bytes > self.size_bytes or scan.rows > self.near_rows


@dataclass(frozen=True, slots=True)
class _Unit:
    """Files that no batch may separate: (source, index in the source's scan)."""

    files: tuple[tuple[int, int], ...]
    size_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class TileCut:
    """How the files of a query can be dealt out to batches."""

    cut: Cut
    lead: Lead | None = None
    """None: all tables of FROM are cut, along borders that no file crosses."""


def tile_cuts(tree: Query, scan: ScanPlan, tables: Tables) -> tuple[TileCut, ...] | str:
    """Return how the files of a query can be dealt out to batches, the best way first; or why not at all.

    Parameters
    ----------
    tree
        The resolved query.
    scan
        What the whole query reads.
    tables
        Stored tables by source number, those of subqueries among them.
    """
    sharded = {source for source, stored in tables.items() if stored.partitions is not None}
    if not sharded:
        return "no table has tiles"
    few = _few(tables)
    root = tree.body if isinstance(tree, With) else tree
    reason = "only a single SELECT is split" if not isinstance(root, Select) else _unit_refusal(root, sharded, tables)
    if reason is None:
        assert isinstance(root, Select)
        own = [spine for spine in spines(tree) if len(spine.selects) == 1 and spine.sources[0] in sharded]
        keys = frozenset().union(*(_keys(one.sources[0], tables) for one in own if is_kept(root, one.sources[0])))
        # a table that leads would cut them smaller, for neighbours that nobody asks for
        return (TileCut(Cut(own[0], keys, few)),)
    leads = leading(tree, scan, tables)
    return tuple(TileCut(Cut(lead.spine, _keys(lead.source, tables), few), lead) for lead in leads) or reason


def _keys(source: int, tables: Tables) -> frozenset[ColumnOf]:
    """Return the columns in which no two rows of a table have equal values."""
    return frozenset((source, name) for name, index in tables[source].indexes.items() if index.is_unique)


def _few(tables: Tables) -> frozenset[ColumnOf]:
    """Return the columns that have few different values."""
    return frozenset(
        (source, name)
        for source, stored in tables.items()
        for name, column in stored.columns.items()
        if column.distinct is not None and column.distinct <= _FEW_VALUES
    )


def _unit_refusal(root: Select, sharded: AbstractSet[int], tables: Tables) -> str | None:
    """Return why the tables of FROM cannot all be cut, None if they can."""
    inside = from_sources(root.source)
    if root.source is None or not inside <= tables.keys() or not sharded <= inside:
        return "a derived table or a subquery reads tiles as well"
    return _refusal(root.source, conjuncts(root.where), tables)


def batches(
    how: TileCut, scan: ScanPlan, tables: Tables, limits: BatchLimits | None = None
) -> tuple[Mapping[int, TableScan], ...] | str:
    """Return what each batch reads, by source number, in the order of the sky; or why there is but one.

    Parameters
    ----------
    how
        One of `tile_cuts`.
    scan, tables
        As there.
    limits
        Size of a batch.
    """
    limits = limits or BatchLimits()
    if how.lead is not None:
        return _near_batches(how.lead, scan, tables, limits)
    sharded = [source for source, stored in tables.items() if stored.partitions is not None]
    units = _units({source: scan.scans[source] for source in sharded}, tables)
    groups = list(_groups(units, limits))
    if len(groups) < 2:
        return "one batch holds all files"
    return tuple(_batch(group, scan.scans, sharded) for group in groups)


def _near_batches(
    lead: Lead, scan: ScanPlan, tables: Tables, limits: BatchLimits
) -> tuple[Mapping[int, TableScan], ...] | str:
    """Return the batches that one table leads."""
    partitions = tables[lead.source].partitions
    assert isinstance(partitions, PartitionMap)
    most_rows = limits.near_rows if lead.pads_deg else math.inf
    groups = list(_groups(_units({lead.source: scan.scans[lead.source]}, tables), limits, most_rows))
    if len(groups) < 2:
        return "one batch holds all files"
    made = []
    for group in groups:
        batch = dict(_batch(group, scan.scans, [lead.source]))
        tiles = np.array(batch[lead.source].tiles, dtype=np.int64)
        around = {pad: surroundings(partitions, tiles, pad) for pad in set(lead.pads_deg.values())}
        for source, pad in lead.pads_deg.items():
            indexes, near = near_scan(scan.scans[source], tables[source], around[pad])
            batch[source] = _part(near, indexes)
        made.append(batch)
    return tuple(made)


def _refusal(item: FromItem, where: Sequence[Expr], tables: Tables) -> str | None:
    """Return why the rows of one FROM cannot be made batch by batch, None if they can."""
    if not isinstance(item, Join):
        return None
    inner = item.kind in {JoinKind.INNER, JoinKind.CROSS}
    sides, conditions = _inner_joined(item) if inner else ([item.left, item.right], conjuncts(item.on))
    for side in sides:
        reason = _refusal(side, where, tables)
        if reason is not None:
            return reason
    pairs = [pair for part in (*conditions, *(where if inner else ())) if (pair := key_join(part, tables)) is not None]
    if not _are_tied([sharded for side in sides if (sharded := _sharded(side, tables))], pairs):
        return "tables are joined on something else than the key of a parent that places the rows"
    left, right = _sharded(item.left, tables), _sharded(item.right, tables)
    kept = _KEPT_WHOLE.get(item.kind) if not (left and right) else None
    if kept == "both" or (kept == "left" and not left) or (kept == "right" and not right):
        return f"a {item.kind.value} JOIN keeps all rows of a table without tiles"
    return None


def _inner_joined(item: FromItem) -> tuple[list[FromItem], tuple[Expr, ...]]:
    """Return what inner joins put together, in whatever order, and all of their conditions."""
    if not isinstance(item, Join) or item.kind.is_outer:
        return [item], ()
    (left, before), (right, after) = _inner_joined(item.left), _inner_joined(item.right)
    return [*left, *right], (*before, *after, *conjuncts(item.on))


def _are_tied(groups: list[frozenset[int]], pairs: Sequence[frozenset[int]]) -> bool:
    """Return whether pairs lead from the first group of sources to all others."""
    reached, waiting = frozenset().union(*groups[:1]), groups[1:]
    for _ in groups:
        for group in [one for one in waiting if any(pair & reached and pair & one for pair in pairs)]:
            reached |= group
            waiting.remove(group)
    return not waiting


def _sharded(item: FromItem, tables: Tables) -> frozenset[int]:
    if isinstance(item, Join):
        return _sharded(item.left, tables) | _sharded(item.right, tables)
    assert isinstance(item, TableRef)
    return frozenset({item.source}) if tables[item.source].partitions is not None else frozenset()


def _units(scans: Mapping[int, TableScan], tables: Tables) -> Iterator[_Unit]:
    """Yield the files of all tables, those together whose ranges of the sky overlap, in the order of the sky."""
    starts, stops, sizes, rows, owners = (np.concatenate(parts) for parts in zip(*_files(scans, tables), strict=True))
    if len(scans) == 1:
        for (source, index), *size in zip(owners, sizes, rows, strict=True):
            yield _Unit(((int(source), int(index)),), *map(int, size))
        return
    if len(starts) == 0:
        return
    order = np.argsort(starts, kind="stable")
    reach = np.maximum.accumulate(stops[order])
    first = np.flatnonzero(np.r_[True, starts[order][1:] >= reach[:-1]])
    for begin, end in zip(first, [*first[1:], len(order)], strict=True):
        members = order[begin:end]
        files = tuple((int(s), int(i)) for s, i in owners[members])
        yield _Unit(files, int(sizes[members].sum()), int(rows[members].sum()))


def _files(scans: Mapping[int, TableScan], tables: Tables) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Yield (starts, stops, sizes in bytes, rows, (source, index)) of the files of each table."""
    for source, scan in scans.items():
        partitions, tiles = tables[source].partitions, np.array(scan.tiles, dtype=np.int64)
        assert partitions is not None
        owners = np.stack([np.full(len(tiles), source), np.arange(len(tiles))], axis=1)
        starts, stops = partitions.starts[tiles], partitions.stops[tiles]
        rows = partitions.rows[tiles] * _shares(starts, stops, scan.healpix_ranges)
        yield starts, stops, partitions.size_bytes[tiles], rows.astype(np.int64), owners


def _shares(
    starts: NDArray[np.int64], stops: NDArray[np.int64], ranges: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """Return which part of each file's range of the sky lies in some ranges; all of it, if there are none."""
    if not ranges:
        return np.ones(len(starts))
    covered = sum(np.clip(np.minimum(stops, high) - np.maximum(starts, low), 0, None) for low, high in ranges)
    return np.asarray(covered / np.maximum(stops - starts, 1), dtype=np.float64)


def _groups(units: Iterator[_Unit], limits: BatchLimits, most_rows: float = math.inf) -> Iterator[list[_Unit]]:
    group: list[_Unit] = []
    files = size_bytes = rows = 0
    for unit in units:
        full = files + len(unit.files) > limits.files or size_bytes + unit.size_bytes > limits.size_bytes
        if group and (full or rows + unit.rows > most_rows):
            yield group
            group, files, size_bytes, rows = [], 0, 0, 0
        group.append(unit)
        files, size_bytes, rows = files + len(unit.files), size_bytes + unit.size_bytes, rows + unit.rows
    if group:
        yield group


def _batch(group: list[_Unit], scans: Mapping[int, TableScan], sharded: Sequence[int]) -> Mapping[int, TableScan]:
    chosen: dict[int, list[int]] = {source: [] for source in sharded}
    for unit in group:
        for source, index in unit.files:
            chosen[source].append(index)
    return {source: _part(scan, chosen[source]) if source in chosen else scan for source, scan in scans.items()}


def _part(scan: TableScan, indexes: Sequence[int]) -> TableScan:
    if not indexes and scan.files:  # no row of one file, so that columns have the types that they have elsewhere
        return replace(_part(scan, (0,)), healpix_ranges=((0, 0),), rows=0)
    return replace(
        scan,
        files=tuple(scan.files[index] for index in indexes),
        tiles=tuple(scan.tiles[index] for index in indexes),
        stamps=tuple(scan.stamps[index] for index in indexes) if scan.stamps else (),
    )
