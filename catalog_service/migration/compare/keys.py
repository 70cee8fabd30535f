"""Columns that tell rows apart."""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

from .columns import ColumnPair
from .workspace import SIDES, Workspace

__all__ = ["is_key", "key_candidates"]

_KEY_COLUMNS: Final = 6
"""Columns among which a key is looked for: the first that are compared exactly."""


def key_candidates(space: Workspace, pairs: Sequence[ColumnPair]) -> list[tuple[int, ...]]:
    """Return columns and pairs of columns that are compared exactly, those of many values first."""
    exact = [k for k, pair in enumerate(pairs) if not pair.is_float][:_KEY_COLUMNS]
    if not exact:
        return []
    counts = space.rows(f"SELECT {', '.join(f'approx_count_distinct(v{k})' for k in exact)} FROM left_rows")[0]
    richest = [k for _, k in sorted(zip(counts, exact, strict=True), key=lambda one: (-one[0], one[1]))]
    return [key for size in (1, 2) for key in combinations(richest, size)]


def is_key(space: Workspace, key: tuple[int, ...], tables: str) -> bool:
    """Tell whether no two rows of ``left_TABLES``, and of ``right_TABLES``, have the same values in some columns."""
    values = ", ".join(f"v{k}" for k in key)
    twice = f"SELECT count(*) FROM (SELECT 1 FROM {{}}_{tables} GROUP BY {values} HAVING count(*) > 1)"
    return not any(space.number(twice.format(side)) for side in SIDES)
