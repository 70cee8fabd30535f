"""The planner: a resolved query and the partition maps give the files that the query must read.

Everything happens in memory; no directory is listed and no file opened.

A SELECT's WHERE bounds the rows that it returns, so a bound from WHERE prunes its table under every kind of join,
and carries over to tables joined on a parent's key: rows dropped by the pruning could only have met rows that WHERE
drops, and a row left without its partner by the pruning is one that WHERE drops, too. A bound from ON prunes the tables
on whose side the join discards unmatched rows.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from ..models.query import ResolvedQuery, ScanPlan, TableScan
from ..models.schema import SkyPosition, Table
from ..models.stored import StoredTable
from ..models.tree import Expr, FromItem, Join, JoinKind, Select, TableRef
from ..models.walk import walk
from .joins import placement_groups
from .prune import Bound, choose_tiles, merged_ranges, position_box
from .regions import AllOf, RegionExpr, condition_regions, conjuncts

__all__ = ["plan"]

Lookup = Callable[[Table], StoredTable]


@dataclass(frozen=True, slots=True)
class _Planned:
    scan: TableScan
    rows: int
    size_bytes: int
    files_total: int
    reason: str


def plan(query: ResolvedQuery, lookup: Lookup, *, visible_schemas: Collection[str]) -> ScanPlan:
    """Return which files each base table of `query` needs.

    Parameters
    ----------
    query
        The resolved query; constant arithmetic in it is folded.
    lookup
        Gives the published release of a table.
    visible_schemas
        Schemas whose rows of TAP_SCHEMA the caller may see.
    """
    planned: dict[int, _Planned] = {}
    for node in walk(query.tree):
        if isinstance(node, Select) and node.source is not None:
            planned |= _plan_select(node, lookup, tuple(sorted(visible_schemas)))
    return ScanPlan(
        scans={source: one.scan for source, one in planned.items()},
        files=sum(len(one.scan.files) for one in planned.values()),
        files_total=sum(one.files_total for one in planned.values()),
        rows=sum(one.rows for one in planned.values()),
        size_bytes=sum(one.size_bytes for one in planned.values()),
        reasons=tuple(one.reason for one in planned.values()),
    )


def _plan_select(select: Select, lookup: Lookup, visible: tuple[str, ...]) -> dict[int, _Planned]:
    assert select.source is not None
    tables = {ref.source: lookup(ref.table) for ref in _base_tables(select.source)}
    positions = {source: s.table.position for source, s in tables.items() if s.table.position is not None}
    joins = list(_joins(select.source))
    bounds = condition_regions(select.where, positions)
    everywhere = [*conjuncts(select.where), *(part for join in joins for part in conjuncts(join.on))]
    groups = placement_groups(everywhere, tables)
    on_bounds = [_on_bounds(join, positions) for join in joins]
    return {
        source: _plan_table(
            stored, _own_region(source, bounds, on_bounds), _shared(source, bounds, groups, tables), visible
        )
        for source, stored in tables.items()
    }


def _base_tables(item: FromItem) -> Iterator[TableRef]:
    """Yield the base tables of one SELECT's FROM, not those inside derived tables."""
    waiting: list[FromItem] = [item]
    while waiting:
        current = waiting.pop()
        if isinstance(current, TableRef):
            yield current
        elif isinstance(current, Join):
            waiting += [current.right, current.left]


def _joins(item: FromItem) -> Iterator[Join]:
    waiting: list[FromItem] = [item]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Join):
            yield current
            waiting += [current.right, current.left]


def _on_bounds(join: Join, positions: Mapping[int, SkyPosition]) -> dict[int, RegionExpr]:
    """Return the bounds that a join's ON puts on tables of the sides whose unmatched rows it discards."""
    on: Expr | None = join.on
    sides = {
        JoinKind.INNER: (join.left, join.right),
        JoinKind.CROSS: (),
        JoinKind.LEFT: (join.right,),
        JoinKind.RIGHT: (join.left,),
        JoinKind.FULL: (),
    }[join.kind]
    allowed = {ref.source for side in sides for ref in _base_tables(side)}
    return {source: region for source, region in condition_regions(on, positions).items() if source in allowed}


def _own_region(
    source: int, bounds: Mapping[int, RegionExpr], on_bounds: list[dict[int, RegionExpr]]
) -> RegionExpr | None:
    found = [bound[source] for bound in (bounds, *on_bounds) if source in bound]
    return None if not found else found[0] if len(found) == 1 else AllOf(tuple(found))


def _shared(
    source: int,
    bounds: Mapping[int, RegionExpr],
    groups: Mapping[int, frozenset[int]],
    tables: Mapping[int, StoredTable],
) -> list[Bound]:
    """Return WHERE's bounds of the tables that share this table's placing position.

    Their own positions may lie away from it, hence the pad.
    """
    members = groups[source]
    pad_deg = sum(tables[member].max_separation_deg for member in members)
    return [Bound(bounds[other], pad_deg) for other in sorted(members) if other != source and other in bounds]


def _plan_table(stored: StoredTable, own: RegionExpr | None, shared: list[Bound], visible: tuple[str, ...]) -> _Planned:
    name, partitions = stored.table.full_name, stored.partitions
    if partitions is None:
        schemas = visible if stored.table.schema_name == "TAP_SCHEMA" else None
        scan = TableScan(stored.table, (stored.plain_path(),), visible_schemas=schemas)
        return _Planned(scan, stored.rows, stored.size_bytes, 1, f"{name}: one file without positions")
    chosen = choose_tiles(stored, own, shared)
    total, tiles = len(partitions), chosen.tiles
    bounded = chosen.coverage is not None and len(tiles) > 0
    scan = TableScan(
        stored.table,
        stored.paths(tiles),
        merged_ranges(chosen.coverage, partitions, tiles) if bounded and chosen.coverage is not None else (),
        position_box(stored, own),
    )
    reason = f"{name}: {len(tiles)} of {total} tiles " + _why(own, shared)
    return _Planned(scan, int(partitions.rows[tiles].sum()), int(partitions.size_bytes[tiles].sum()), total, reason)


def _why(own: RegionExpr | None, shared: list[Bound]) -> str:
    if own is not None:
        return "meet the region of its position"
    return "meet the region of a joined table" if shared else "(no position constraint)"
