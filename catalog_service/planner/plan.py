"""The planner: a resolved query and the partition maps give the files that the query must read.

Everything happens in memory; no directory is listed and no file opened.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from partitioning.layout.file_map import FileMap
from partitioning.layout.paths import HEALPIX_COLUMN

from ..models.ids import FoundIds
from ..models.query import ResolvedQuery, ScanPlan, TablePlan, TableScan
from ..models.schema import Table
from ..models.statistics import NO_STATISTICS, Statistics
from ..models.stored import StoredTable
from ..models.tree import Select
from ..models.walk import all_nodes, base_tables
from .derived import derived_positions, outer_positions
from .joins import NO_DERIVED, Derived, table_bounds
from .prune import Bounds, choose_tiles, expected_rows, merged_ranges, position_box

__all__ = ["plan"]

Lookup = Callable[[Table], StoredTable]

_FEW_FILES: Final = 4
_FEW_ROWS: Final = 20
"""So many rows by the mean density of the tiles are few even where it is a hundred times as dense."""
_FEW_PLACES: Final = 1000
"""More ids than these may well give more rows than are fetched at once."""


@dataclass(frozen=True, slots=True)
class _Planned:
    scan: TableScan
    table: TablePlan
    expected_rows: float


@dataclass(frozen=True, slots=True)
class _Known:
    """What was looked up for a query."""

    ids: FoundIds
    derived: Mapping[int, Derived]
    statistics: Statistics


def plan(  # noqa: PLR0913 - the query, and what was looked up for it
    query: ResolvedQuery,
    lookup: Lookup,
    *,
    visible_schemas: Collection[str],
    found: FoundIds | None = None,
    statistics: Statistics = NO_STATISTICS,
    uploaded: Mapping[int, Derived] = NO_DERIVED,
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
        Bounds of the columns that `wanted_statistics` names.
    uploaded
        Where the positions lie that the query reads of uploaded tables.
    """
    planned: dict[int, _Planned] = {}
    known = _Known(found or {}, derived_positions(query.tree, lookup, found or {}, uploaded), statistics)
    selects = [node for node in all_nodes(query.tree) if isinstance(node, Select) and node.source is not None]
    visible = tuple(sorted(visible_schemas))
    for number, select in enumerate(selects, start=1):  # what is around a subquery comes first
        made, bounds = _plan_select(select, lookup, known, visible)
        planned |= made
        if number < len(selects):
            known = replace(known, derived={**known.derived, **outer_positions(select, lookup, bounds)})
    tables = tuple(planned[source].table for source in sorted(planned))
    files, places = sum(len(one.scan.files) for one in planned.values()), sum(map(len, known.ids.values()))
    few_ids = bool(known.ids) and places <= _FEW_PLACES
    few_rows = sum(one.expected_rows for one in planned.values()) <= _FEW_ROWS
    return ScanPlan(
        scans={source: one.scan for source, one in planned.items()},
        files=files,
        files_total=sum(table.files_total for table in tables),
        rows=sum(table.rows for table in tables),
        size_bytes=sum(table.size_bytes for table in tables),
        tables=tables,
        expects_few=bool(planned) and files <= _FEW_FILES and (few_ids or few_rows),
        reads_few_tiles=files <= _FEW_FILES and all(one.table.kind == "tiles" for one in planned.values()),
    )


def _plan_select(
    select: Select, lookup: Lookup, known: _Known, visible: tuple[str, ...]
) -> tuple[dict[int, _Planned], Mapping[int, Bounds]]:
    """Return what is read of the tables of one SELECT, and what bounds them."""
    tables = {ref.source: lookup(ref.table) for ref in base_tables(select.source)}
    bounds = table_bounds(select, tables, known.ids, known.derived, known.statistics)
    planned = {source: _plan_table(source, stored, bounds[source], visible) for source, stored in tables.items()}
    return planned, bounds


def _plan_table(source: int, stored: StoredTable, bounds: Bounds, visible: tuple[str, ...]) -> _Planned:
    partitions = stored.partitions
    if partitions is None:
        schemas = visible if stored.table.schema_name == "TAP_SCHEMA" else None
        scan = TableScan(stored.table, (stored.plain_path(),), visible_schemas=schemas, rows=stored.rows)
        table = TablePlan(source, 1, 1, stored.rows, stored.size_bytes, "file", "no tiles: read whole")
        return _Planned(scan, table, stored.rows)
    chosen = choose_tiles(stored, bounds)
    rows, size_bytes = (int(sizes[chosen.tiles].sum()) for sizes in (partitions.rows, partitions.size_bytes))
    scan = TableScan(
        stored.table,
        stored.paths(chosen.tiles),
        merged_ranges(partitions, chosen) if stored.healpix_column else (),
        position_box(stored, bounds.own),
        healpix_column=stored.healpix_column or HEALPIX_COLUMN,
        own_index=stored.has_own_index,
        stamps=stored.stamps(chosen.tiles),
        tiles=tuple(chosen.tiles.tolist()),
        rows=rows,
    )
    kind = "adopted files" if isinstance(partitions, FileMap) else "tiles"
    files = len(chosen.tiles)
    table = TablePlan(source, files, len(partitions), rows, size_bytes, kind, _why(bounds))
    return _Planned(scan, table, expected_rows(partitions, chosen))


def _why(bounds: Bounds) -> str:
    """Return what chose the files."""
    reasons = []
    if bounds.placed:
        reasons.append("ids that are asked for")
    if bounds.own is not None:
        reasons.append("the region of its position")
    if bounds.shared:
        reasons.append("the region of a joined table")
    if bounds.kept:
        reasons.append(f"the statistics of {', '.join(dict.fromkeys(names for names, _ in bounds.kept))}")
    return " and ".join(reasons) or "no position or id constraint"
