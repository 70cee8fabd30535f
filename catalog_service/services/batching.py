"""A planned query as the texts that an engine runs: one, or one for each batch of tiles and one that merges them."""

from collections.abc import Callable
from dataclasses import dataclass

from ..language.pipeline import emit, emit_split, split
from ..models.query import ResolvedQuery, ScanPlan
from ..models.schema import Table
from ..models.stored import StoredTable
from ..models.tree import Select
from ..models.walk import base_tables
from ..planner.batches import BatchLimits, batches

__all__ = ["EngineTexts", "texts_of"]


@dataclass(frozen=True, slots=True)
class EngineTexts:
    """What an engine runs."""

    sql: str
    batches: tuple[str, ...] = ()
    most_rows: int | None = None


def texts_of(
    resolved: ResolvedQuery,
    scan: ScanPlan,
    lookup: Callable[[Table], StoredTable],
    limits: BatchLimits,
    *,
    max_rows: int,
) -> EngineTexts:
    """Return the texts of a query; those of batches if it is larger than one and can be split."""
    whole = scan.files > limits.files or scan.size_bytes > limits.size_bytes
    parts = split(resolved) if whole else "it is small"
    if not isinstance(parts, str):
        assert isinstance(resolved.tree, Select)
        tables = {ref.source: lookup(ref.table) for ref in base_tables(resolved.tree.source)}
        pieces = batches(resolved.tree, scan, tables, limits)
        if not isinstance(pieces, str):
            texts, merge = emit_split(parts, pieces, max_rows=max_rows)
            top = resolved.tree.top
            return EngineTexts(merge, texts, None if merge else max_rows + 1 if top is None else min(top, max_rows + 1))
    return EngineTexts(emit(resolved, scan.scans, max_rows=max_rows))
