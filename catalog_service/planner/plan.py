"""The planner: a resolved query and the partition maps give the files that the query must read.

Everything happens in memory; no directory is listed and no file opened.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from partitioning.layout.file_map import FileMap
from partitioning.layout.paths import HEALPIX_COLUMN
from partitioning.layout.statistics import FileStatistics

from ..models.ids import FoundIds
from ..models.query import ResolvedQuery, ScanPlan, TableEstimate, TableScan
from ..models.schema import Table
from ..models.statistics import FoundStatistics
from ..models.stored import StoredTable
from ..models.tree import Select
from ..models.walk import base_tables, walk
from .joins import table_bounds
from .prune import Bounds, Chosen, choose_tiles, merged_ranges, position_box
from .statistics import constrained, may_hold, statistics_key

__all__ = ["plan"]

Lookup = Callable[[Table], StoredTable]


_NOTHING: Final[FoundStatistics] = {}


@dataclass(frozen=True, slots=True)
class _Planned:
    scan: TableScan
    estimate: TableEstimate


def plan(
    query: ResolvedQuery,
    lookup: Lookup,
    *,
    visible_schemas: Collection[str],
    found: FoundIds | None = None,
    statistics: FoundStatistics = _NOTHING,
) -> ScanPlan:
    """Return which files each base table of `query` needs.

    Parameters
    ----------
    query
        The resolved query; constant arithmetic in it is folded.
    lookup
        Gives the published release of a table.
    visible_schemas
        Schemas whose rows of TAP_SCHEMA the caller may see.
    found
        Where the rows of the ids lie that `wanted_ids` names.
    statistics
        Statistics of the columns that `wanted_statistics` names.
    """
    planned: dict[int, _Planned] = {}
    visible = tuple(sorted(visible_schemas))
    for node in walk(query.tree):
        if isinstance(node, Select) and node.source is not None:
            tables = {ref.source: lookup(ref.table) for ref in base_tables(node.source)}
            bounds = table_bounds(node, tables, found or {})
            for source, stored in tables.items():
                planned[source] = _plan_table(stored, source, bounds[source], statistics, visible)
    estimates = {source: one.estimate for source, one in planned.items()}
    return ScanPlan(
        scans={source: one.scan for source, one in planned.items()},
        files=sum(one.files for one in estimates.values()),
        files_total=sum(one.files_total for one in estimates.values()),
        rows=sum(one.rows for one in estimates.values()),
        size_bytes=sum(one.size_bytes for one in estimates.values()),
        reasons=tuple(one.reason for one in estimates.values()),
        tables=estimates,
    )


def _plan_table(
    stored: StoredTable, source: int, bounds: Bounds, statistics: FoundStatistics, visible: tuple[str, ...]
) -> _Planned:
    name, partitions = stored.table.full_name, stored.partitions
    if partitions is None:
        schemas = visible if stored.table.schema_name == "TAP_SCHEMA" else None
        scan = TableScan(stored.table, (stored.plain_path(),), visible_schemas=schemas)
        reason = f"{name}: one file without positions"
        return _Planned(scan, TableEstimate(stored.table, 1, 1, stored.rows, stored.size_bytes, reason))
    placed = choose_tiles(stored, bounds)
    chosen, columns = _by_statistics(stored, source, placed, bounds, statistics)
    scan = TableScan(
        stored.table,
        stored.paths(chosen.tiles),
        merged_ranges(partitions, chosen) if stored.healpix_column else (),
        position_box(stored, bounds.own),
        healpix_column=stored.healpix_column or HEALPIX_COLUMN,
        stamps=stored.stamps(chosen.tiles),
    )
    rows, size_bytes = (int(sizes[chosen.tiles].sum()) for sizes in (partitions.rows, partitions.size_bytes))
    kind = "adopted files" if isinstance(partitions, FileMap) else "tiles"
    reason = f"{name}: {len(placed.tiles)} of {len(partitions)} {kind} {_why(bounds)}"
    if columns:
        reason += f"; statistics of {', '.join(columns)} leave {len(chosen.tiles)} of these"
    pruned_by = tuple(
        word
        for word, is_so in (
            ("ids", bounds.placed),
            ("region", bounds.own is not None),
            ("joined region", bounds.shared),
            ("statistics", columns),
        )
        if is_so
    )
    estimate = TableEstimate(
        stored.table, len(chosen.tiles), len(partitions), rows, size_bytes, reason, pruned_by=pruned_by
    )
    return _Planned(scan, estimate)


def _by_statistics(
    stored: StoredTable, source: int, chosen: Chosen, bounds: Bounds, statistics: FoundStatistics
) -> tuple[Chosen, tuple[str, ...]]:
    """Return the tiles that the statistics of columns leave, and the columns that could leave out some."""
    known: dict[str, FileStatistics] = {}
    for condition in bounds.conditions:
        for at, column in constrained(condition):
            key = statistics_key(stored, column) if at == source else None
            if key is not None and key in statistics:
                known[column.name] = statistics[key]
    if not known:
        return chosen, ()
    files = stored.file_count
    kept = np.logical_and.reduce([may_hold(condition, source, known, files) for condition in bounds.conditions])
    return replace(chosen, tiles=chosen.tiles[kept[chosen.tiles]]), tuple(sorted(known))


def _why(bounds: Bounds) -> str:
    if bounds.placed:
        return "hold the ids that are asked for"
    if bounds.own is not None:
        return "meet the region of its position"
    return "meet the region of a joined table" if bounds.shared else "(no position or id constraint)"
