"""Identifiers that a query names, and where their rows lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from partitioning.layout.flat_index import FlatIndex
from partitioning.layout.text_index import TextIndex
from partitioning.sky.coverage import Coverage

__all__ = ["MOST_IDS", "FoundIds", "IdBound", "IdIndex"]

MOST_IDS: Final = 50_000
"""Ids of all bounds of a query that are looked up: as many as a list of IN may have."""


@dataclass(frozen=True, slots=True)
class IdIndex:
    """How rows of one table are found by one of its columns."""

    entries: FlatIndex | TextIndex
    is_own: bool = True
    """Whether the index is the table's own. If not, it is that of the parent which places the table's rows: it tells
    nothing of rows without a parent."""
    is_unique: bool = False
    """Whether every row of the table is known to have an id, and each another one."""


@dataclass(frozen=True, slots=True)
class IdBound:
    """What every row of a source that can reach the result has in an indexed column: some ids, or a range of them."""

    source: int
    column: str
    index: IdIndex
    ids: tuple[int, ...] | tuple[str, ...] = ()
    """Sorted, each once; empty means the range."""
    low: int = 0
    high: int = -1
    """Both inclusive."""


FoundIds = Mapping[IdBound, Coverage]
"""Where the rows of bounds were found; a bound that is not in it could not be looked up, and bounds nothing."""
