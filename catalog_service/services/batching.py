"""A planned query as the texts that an engine runs: one, or one for each batch of tiles and one that merges them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..language.pipeline import emit, emit_split, split
from ..models.query import ResolvedQuery, ScanPlan, SplitQuery, TableScan
from ..models.schema import Table
from ..models.stored import StoredTable
from ..models.tree import Select
from ..models.walk import base_tables
from ..planner.batches import BatchLimits, batches

__all__ = ["EngineTexts", "pieces_of", "texts_of"]


@dataclass(frozen=True, slots=True)
class EngineTexts:
    """What an engine runs."""

    sql: str
    batches: tuple[str, ...] = ()
    most_rows: int | None = None


def pieces_of(
    resolved: ResolvedQuery, scan: ScanPlan, lookup: Callable[[Table], StoredTable], limits: BatchLimits
) -> tuple[SplitQuery, tuple[Mapping[int, TableScan], ...]] | None:
    """Return the parts of a query and what each batch reads, None if it is run as a whole."""
    if not limits.are_exceeded_by(scan):
        return None
    parts = split(resolved)
    if isinstance(parts, str):
        return None
    assert isinstance(resolved.tree, Select)
    tables = {ref.source: lookup(ref.table) for ref in base_tables(resolved.tree.source)}
    pieces = batches(resolved.tree, scan, tables, limits)
    return None if isinstance(pieces, str) else (parts, pieces)


def texts_of(
    resolved: ResolvedQuery,
    scan: ScanPlan,
    lookup: Callable[[Table], StoredTable],
    limits: BatchLimits,
    *,
    max_rows: int,
) -> EngineTexts:
    """Return the texts of a query; those of batches if it is larger than one and can be split."""
    cut = pieces_of(resolved, scan, lookup, limits)
    if cut is None:
        return EngineTexts(emit(resolved, scan.scans, max_rows=max_rows))
    texts, merge = emit_split(*cut, max_rows=max_rows)
    top = resolved.tree.top if isinstance(resolved.tree, Select) else None
    return EngineTexts(merge, texts, None if merge else max_rows + 1 if top is None else min(top, max_rows + 1))
