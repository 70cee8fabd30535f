"""A planned query as the texts that an engine runs: one, or one for each batch of tiles and one that merges them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..language.pipeline import emit, emit_split, excerpt, split
from ..models.excerpt import Excerpt
from ..models.query import ResolvedQuery, ScanPlan, SplitQuery, TableScan
from ..models.schema import Table
from ..models.stored import StoredTable
from ..models.tree import Select, TableRef, With
from ..models.walk import walk
from ..planner.batches import BatchLimits, batches, tile_cuts

__all__ = ["EngineTexts", "pieces_of", "texts_of"]


@dataclass(frozen=True, slots=True)
class EngineTexts:
    """What an engine runs."""

    sql: str = ""
    batches: tuple[str, ...] = ()
    most_rows: int | None = None
    excerpt: Excerpt | None = None
    """In place of SQL, which is written only if the worker asks for it."""


def pieces_of(
    resolved: ResolvedQuery, scan: ScanPlan, lookup: Callable[[Table], StoredTable], limits: BatchLimits
) -> tuple[SplitQuery, tuple[Mapping[int, TableScan], ...]] | str:
    """Return the parts of a query and what each batch reads, or why it is run as a whole."""
    if not limits.are_exceeded_by(scan):
        return "it is small"
    tables = {node.source: lookup(node.table) for node in walk(resolved.tree) if isinstance(node, TableRef)}
    cuts = tile_cuts(resolved.tree, scan, tables)
    if isinstance(cuts, str):
        return cuts
    reasons = []
    for cut in cuts:
        parts = split(resolved, cut.cut)
        pieces = parts if isinstance(parts, str) else batches(cut, scan, tables, limits)
        if not isinstance(parts, str) and not isinstance(pieces, str):
            return parts, pieces
        reasons.append(str(pieces))
    return reasons[0]


def texts_of(
    resolved: ResolvedQuery,
    scan: ScanPlan,
    lookup: Callable[[Table], StoredTable],
    limits: BatchLimits,
    *,
    max_rows: int,
) -> EngineTexts:
    """Return the texts of a query, or its excerpt; those of batches if it is larger than one and can be split."""
    cut = pieces_of(resolved, scan, lookup, limits)
    if isinstance(cut, str):
        rows = excerpt(resolved, scan.scans, max_rows=max_rows) if scan.reads_few_tiles else None
        return EngineTexts(emit(resolved, scan.scans, max_rows=max_rows) if rows is None else "", excerpt=rows)
    texts, merge = emit_split(*cut, max_rows=max_rows)
    root = cut[0].partial.body if isinstance(cut[0].partial, With) else cut[0].partial
    top = root.top if isinstance(root, Select) else None
    return EngineTexts(merge, texts, None if merge else max_rows + 1 if top is None else min(top, max_rows + 1))
