"""What a query would read, and why, without running it; and how to run it on the shards oneself."""

import asyncio
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from partitioning.exceptions import LayoutError
from partitioning.layout.row_groups import RowGroups, count_row_groups

from ..exceptions import QueryRefusedError
from ..language.pipeline import emit
from ..models.query import QueryText, ResolvedQuery, ScanPlan, TablePlan, TableScan
from ..models.schema import Table
from ..models.stored import StoredTable
from ..models.tree import ColumnRef, TableRef
from ..models.user import Identity
from ..models.walk import walk
from ..models.wire import DirectPlan, Explanation, TableReading
from ..planner.batches import BatchLimits
from .attention import Attention
from .batching import pieces_of
from .catalogs import Catalogs, Published
from .deadlines import in_time
from .limits import Limits
from .planning import planned, resolved_text

__all__ = ["ExplainService"]

_START_S: Final = 0.01
"""A query that reads nothing."""
_FILE_S: Final = 0.0002
"""Opening a file and reading its footer, on a local disk."""
_ROWS_PER_S: Final = 20e6
"""Rows of one scan that one thread filters in a second; joins are slower, files not in memory are, too."""


@dataclass(frozen=True, slots=True)
class _Used:
    """A base table as a query uses it."""

    table: Table
    columns: int
    share: float = 1.0
    """What the columns that are read take of the files."""


class ExplainService:
    """Explains queries.

    Parameters
    ----------
    catalogs
        What is published.
    limits
        Published limits.
    batch
        How much one step of a large query reads.
    threads
        DuckDB threads of a worker, for the estimate.
    attention
        Of which queries together get so much.
    """

    def __init__(
        self, catalogs: Catalogs, limits: Limits, batch: BatchLimits, threads: int, attention: Attention
    ) -> None:
        self._attention = attention
        self._catalogs = catalogs
        self._limits = limits
        self._batch = batch
        self._threads = threads

    async def explain(self, query: QueryText, identity: Identity, maxrec: int | None) -> Explanation:
        """Return what a query would read, and why.

        Raises
        ------
        CatalogServiceError
            If it is no query that the caller can run.
        """
        published = self._catalogs.published
        resolved, scan = await self._planned(query, published, identity)
        used = _used(resolved, scan, published)
        told = _told(scan, used)
        async with in_time(self._limits.sync_timeout_s):
            groups = await asyncio.to_thread(_row_groups, scan, published)
        tables = tuple(_reading(table, used[table.source], groups.get(table.source)) for table in told.tables)
        seconds = self._seconds(told)
        most_rows = self._limits.rows(maxrec)
        cut = await asyncio.to_thread(pieces_of, resolved, scan, published.lookup, self._batch)
        return Explanation(
            tables=tables,
            files=scan.files,
            files_total=scan.files_total,
            rows=told.rows,
            size_bytes=told.size_bytes,
            read_bytes=sum(table.read_bytes for table in tables),
            estimated_s=round(seconds, 3),
            batches=1 if isinstance(cut, str) else len(cut[1]),
            columns=tuple(column.name for column in resolved.columns),
            relaxations=resolved.relaxations,
            limits=tuple(self._hit(told, seconds, most_rows)),
            advice=(*_advice(scan, used), *_whole(scan, self._batch, cut)),
        )

    async def direct(self, query: QueryText, identity: Identity) -> DirectPlan:
        """Return the files of a query, and the SQL with which DuckDB gives its answer on them.

        Raises
        ------
        QueryRefusedError
            If a schema that it reads does not allow direct access.
        CatalogServiceError
            If it is no query that the caller can run.
        """
        published = self._catalogs.published
        resolved, scan = await self._planned(query, published, identity)
        open_schemas = {schema.name for schema in published.visible(identity).schemas if schema.direct_access}
        closed = sorted({used.table.schema_name for used in _used(resolved, scan, published).values()} - open_schemas)
        if closed:
            message = f"The files of {', '.join(closed)} are not open to direct access."
            raise QueryRefusedError(message, remedy="Run the query, or ask the operator for `direct_access`.")
        files = tuple(dict.fromkeys(file for one in scan.scans.values() for file in one.files))
        return DirectPlan(sql=emit(resolved, scan.scans, max_rows=None), files=files, rows=scan.rows)

    async def _planned(
        self, query: QueryText, published: Published, identity: Identity
    ) -> tuple[ResolvedQuery, ScanPlan]:
        async with in_time(self._limits.sync_timeout_s):
            resolved = await resolved_text(query, published, identity, self._limits, self._attention)
            return await planned(resolved, published, identity, self._attention)

    def _seconds(self, scan: ScanPlan) -> float:
        return _START_S + scan.files * _FILE_S + scan.rows / (_ROWS_PER_S * self._threads)

    def _hit(self, scan: ScanPlan, seconds: float, most_rows: int) -> Iterator[str]:
        limit_s = self._limits.sync_timeout_s
        if seconds > limit_s:
            yield f"about {seconds:,.0f} s are more than the time limit of {limit_s:,.0f} s"
        if scan.rows > most_rows:
            yield f"a result of more than {most_rows:,} rows is cut (MAXREC)"


def _used(resolved: ResolvedQuery, scan: ScanPlan, published: Published) -> dict[int, _Used]:
    """Return the base tables of a query and which of their columns it uses, by source number."""
    nodes = list(walk(resolved.tree))
    columns: dict[int, set[str]] = {}
    for node in nodes:
        if isinstance(node, ColumnRef):
            columns.setdefault(node.source, set()).add(node.column.stored_name or node.column.name)
    tables = {node.source: node.table for node in nodes if isinstance(node, TableRef)}
    return {
        source: _Used(
            table,
            len(columns.get(source, ())),
            _share(published.lookup(table), columns.get(source, set()), scan.scans.get(source)),
        )
        for source, table in tables.items()
    }


def _share(stored: StoredTable, names: AbstractSet[str], scan: TableScan | None) -> float:
    """Return which part of a table's bytes are those of some columns, and of what the scan tests besides."""
    position = stored.table.position
    if scan is not None and scan.box is not None and position is not None:
        names |= {position.ra, position.dec}
    if scan is not None and scan.healpix_ranges:
        names |= {scan.healpix_column}
    total = sum(column.bytes for column in stored.columns.values())
    return sum(stored.columns[name].bytes for name in names if name in stored.columns) / total if total else 1.0


def _whole(scan: ScanPlan, batch: BatchLimits, cut: object) -> Iterator[str]:
    """Yield why a query that is larger than a batch is one statement."""
    if batch.are_exceeded_by(scan) and isinstance(cut, str) and not cut.startswith("one batch"):
        yield f"It is run as one statement, not tile by tile: {cut}."


def _told(scan: ScanPlan, used: dict[int, _Used]) -> ScanPlan:
    """Return the plan without sizes of TAP_SCHEMA's tables: they count what the caller may not see."""
    tables = tuple(
        replace(plan, rows=0, size_bytes=0) if used[plan.source].table.schema_name == "TAP_SCHEMA" else plan
        for plan in scan.tables
    )
    rows, size_bytes = sum(plan.rows for plan in tables), sum(plan.size_bytes for plan in tables)
    return replace(scan, tables=tables, rows=rows, size_bytes=size_bytes)


def _row_groups(scan: ScanPlan, published: Published) -> dict[int, RowGroups]:
    """Return how many row groups are read of each table whose manifest lists them, by source number.

    A list that cannot be read costs this number, not the explanation.
    """
    found = {}
    for source, one in scan.scans.items():
        stored = published.lookup(one.table)
        if stored.placement is not None:
            with suppress(LayoutError):
                counted = count_row_groups(stored.directory, np.array(one.tiles, dtype=np.int64), one.healpix_ranges)
                if counted is not None:
                    found[source] = counted
    return found


def _reading(plan: TablePlan, used: _Used, groups: RowGroups | None) -> TableReading:
    return TableReading(
        table=used.table.full_name,
        files=plan.files,
        files_total=plan.files_total,
        kind=plan.kind,
        rows=plan.rows,
        size_bytes=plan.size_bytes,
        read_bytes=round(plan.size_bytes * used.share),
        row_groups=None if groups is None else groups.chosen,
        row_groups_total=None if groups is None else groups.total,
        columns=used.columns,
        columns_total=len(used.table.columns),
        reason=_sentence(plan, used.table),
    )


def _sentence(plan: TablePlan, table: Table) -> str:
    if plan.reason.startswith("no "):
        return f"{plan.reason} on {table.full_name}: {plan.files} of {plan.files_total} {plan.kind}"
    return f"{plan.files} of {plan.files_total} {plan.kind} meet {plan.reason}"


def _advice(scan: ScanPlan, used: dict[int, _Used]) -> Iterator[str]:
    for plan in scan.tables:
        table = used[plan.source].table
        if plan.files_total > 1 and plan.files == plan.files_total:
            yield f"{table.full_name} is read whole: add {_constraints(table)}."
    if any(used[plan.source].columns > 100 for plan in scan.tables):
        yield "Many columns are read: name the ones you need."


def _constraints(table: Table) -> str:
    ways = []
    if table.position is not None:
        ways.append(f"a region, as in DISTANCE(POINT({table.position.ra}, {table.position.dec}), POINT(1, 2)) < 0.1")
    own = () if table.position is None else (table.position.ra, table.position.dec)
    ids = [c.name for c in table.columns if c.indexed and c.name not in own and c.datatype.is_integer]
    ways += [f"an id, as in {name} = 5" for name in ids[:1]]
    return ", or ".join(ways) or "a join with a table that has a region"
