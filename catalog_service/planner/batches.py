"""Batches of tiles: where a query can be run piece by piece, because no row needs one of another batch.

Tables that are joined on a parent's key lie in the same places of the sky. Their files are cut into batches along
borders that no file crosses, so that each pair of rows is in one batch. Tables without tiles are read whole by every
batch, which an outer join allows on the side only that may be left empty.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..models.query import ScanPlan, TableScan
from ..models.stored import StoredTable
from ..models.tree import Expr, FromItem, Join, JoinKind, Select, TableRef
from ..models.walk import conjuncts
from .joins import key_join

__all__ = ["BatchLimits", "batches"]

Tables = Mapping[int, StoredTable]

_KEPT_WHOLE: Final = {JoinKind.LEFT: "left", JoinKind.RIGHT: "right", JoinKind.FULL: "both"}
"""Sides of an outer join whose rows all reach the result."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large one batch may be; a single file may be larger."""

    files: int = 1000
    """Opening as many takes DuckDB 0.1 s."""
    size_bytes: int = 8 << 30


@dataclass(frozen=True, slots=True)
class _Unit:
    """Files that no batch may separate: (source, index in the source's scan)."""

    files: tuple[tuple[int, int], ...]
    size_bytes: int


def batches(
    select: Select, scan: ScanPlan, tables: Tables, limits: BatchLimits | None = None
) -> tuple[Mapping[int, TableScan], ...] | str:
    """Return what each batch reads, by source number, in the order of the sky; or why there is but one.

    Parameters
    ----------
    select
        A query whose FROM has base tables only.
    scan
        What the whole query reads.
    tables
        Stored tables by source number.
    limits
        Size of a batch.
    """
    limits = limits or BatchLimits()
    sharded = [source for source, stored in tables.items() if stored.partitions is not None]
    assert select.source is not None
    reason = "no table has tiles" if not sharded else _refusal(select.source, conjuncts(select.where), tables)
    if reason is not None:
        return reason
    units = _units({source: scan.scans[source] for source in sharded}, tables)
    groups = list(_groups(units, limits))
    if len(groups) < 2:
        return "one batch holds all files"
    return tuple(_batch(group, scan.scans, sharded) for group in groups)


def _refusal(item: FromItem, where: Sequence[Expr], tables: Tables) -> str | None:
    """Return why the rows of one FROM cannot be made batch by batch, None if they can."""
    if not isinstance(item, Join):
        return None
    for side in (item.left, item.right):
        reason = _refusal(side, where, tables)
        if reason is not None:
            return reason
    left, right = _sharded(item.left, tables), _sharded(item.right, tables)
    if left and right:
        conditions = [*conjuncts(item.on), *(where if item.kind in {JoinKind.INNER, JoinKind.CROSS} else ())]
        pairs = [pair for part in conditions if (pair := key_join(part, tables)) is not None]
        if any(pair & left and pair & right for pair in pairs):
            return None
        return "tables are joined on something else than the key of a parent that places the rows"
    kept = _KEPT_WHOLE.get(item.kind)
    if kept == "both" or (kept == "left" and not left) or (kept == "right" and not right):
        return f"a {item.kind.value} JOIN keeps all rows of a table without tiles"
    return None


def _sharded(item: FromItem, tables: Tables) -> frozenset[int]:
    if isinstance(item, Join):
        return _sharded(item.left, tables) | _sharded(item.right, tables)
    assert isinstance(item, TableRef)
    return frozenset({item.source}) if tables[item.source].partitions is not None else frozenset()


def _units(scans: Mapping[int, TableScan], tables: Tables) -> Iterator[_Unit]:
    """Yield the files of all tables, those together whose ranges of the sky overlap, in the order of the sky."""
    starts, stops, sizes, owners = (np.concatenate(parts) for parts in zip(*_files(scans, tables), strict=True))
    if len(scans) == 1:
        yield from (_Unit(((int(s), int(i)),), int(size)) for (s, i), size in zip(owners, sizes, strict=True))
        return
    if len(starts) == 0:
        return
    order = np.argsort(starts, kind="stable")
    reach = np.maximum.accumulate(stops[order])
    first = np.flatnonzero(np.r_[True, starts[order][1:] >= reach[:-1]])
    for begin, end in zip(first, [*first[1:], len(order)], strict=True):
        members = order[begin:end]
        yield _Unit(tuple((int(s), int(i)) for s, i in owners[members]), int(sizes[members].sum()))


def _files(scans: Mapping[int, TableScan], tables: Tables) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Yield (starts, stops, sizes in bytes, (source, index)) of the files of each table."""
    for source, scan in scans.items():
        partitions, tiles = tables[source].partitions, np.array(scan.tiles, dtype=np.int64)
        assert partitions is not None
        owners = np.stack([np.full(len(tiles), source), np.arange(len(tiles))], axis=1)
        yield partitions.starts[tiles], partitions.stops[tiles], partitions.size_bytes[tiles], owners


def _groups(units: Iterator[_Unit], limits: BatchLimits) -> Iterator[list[_Unit]]:
    group: list[_Unit] = []
    files = size_bytes = 0
    for unit in units:
        full = files + len(unit.files) > limits.files or size_bytes + unit.size_bytes > limits.size_bytes
        if group and full:
            yield group
            group, files, size_bytes = [], 0, 0
        group.append(unit)
        files, size_bytes = files + len(unit.files), size_bytes + unit.size_bytes
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
        return replace(_part(scan, (0,)), healpix_ranges=((0, 0),))
    return replace(
        scan,
        files=tuple(scan.files[index] for index in indexes),
        tiles=tuple(scan.tiles[index] for index in indexes),
        stamps=tuple(scan.stamps[index] for index in indexes) if scan.stamps else (),
    )
