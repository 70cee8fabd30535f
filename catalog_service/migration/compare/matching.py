"""Exact matching of small blocks of rows whose numbers are equal within tolerances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .columns import How

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Found", "match_blocks", "most_pairs"]

_MOST_CELLS: Final = 4_000_000
"""Most pairs of a block that are looked at: 2000 rows on each side."""


@dataclass(frozen=True)
class Found:
    """Pairs of rows."""

    left: "np.ndarray[Any, Any]"
    right: "np.ndarray[Any, Any]"
    is_exhaustive: bool
    """Whether there are no more; blocks that are too large are paired one after the other."""


def match_blocks(rows: dict[str, Any], floats: Sequence[tuple[str, How]]) -> Found:
    """Match rows block by block, as many as can be.

    Parameters
    ----------
    rows
        Arrays ``block``, ``is_left``, ``n`` and the numbers, ordered by block, the right side first.
    floats
        Names of the numbers, and how they are compared.
    """
    import numpy as np  # noqa: PLC0415 - light commands do without

    blocks, is_left, n = (np.asarray(rows[name]) for name in ("block", "is_left", "n"))
    values = [
        (np.ma.filled(rows[name].astype(float), np.nan), np.ma.getmaskarray(rows[name]), how) for name, how in floats
    ]
    starts = np.flatnonzero(np.r_[True, blocks[1:] != blocks[:-1]])
    lefts, rights, is_exhaustive = [], [], True
    for start, end in zip(starts, np.r_[starts[1:], len(blocks)], strict=True):
        at = np.arange(start, end)
        ours, theirs = at[is_left[at]], at[~is_left[at]]
        if len(ours) * len(theirs) > _MOST_CELLS:
            is_exhaustive = False
            pairs = _in_order(ours, theirs, values)
        else:
            pairs = most_pairs(_equal(ours[:, None], theirs[None, :], values))
        lefts += [n[ours[i]] for i, _ in pairs]
        rights += [n[theirs[j]] for _, j in pairs]
    return Found(np.array(lefts, np.int64), np.array(rights, np.int64), is_exhaustive)


def _equal(i: Any, j: Any, values: Sequence[tuple[Any, Any, How]]) -> Any:
    """Return where rows `i` and `j` are equal, as `cells.equal` says of single cells."""
    import numpy as np  # noqa: PLC0415 - as above

    equal = np.ones(np.broadcast_shapes(i.shape, j.shape), bool)
    with np.errstate(invalid="ignore", over="ignore"):
        for number, is_null, how in values:
            a, b = number[i], number[j]
            allowed = how.margin + how.tolerance * np.maximum(np.abs(a), np.abs(b))
            close = np.isfinite(a) & np.isfinite(b) & (np.abs(a - b) <= allowed)
            same = (a == b) | (np.isnan(a) & np.isnan(b) & (is_null[i] == is_null[j]))
            equal &= same | close
    return equal


def _in_order(ours: Any, theirs: Any, values: Sequence[tuple[Any, Any, How]]) -> list[tuple[int, int]]:
    """Pair the rows that are equal when both sides are in the order of their numbers."""
    import numpy as np  # noqa: PLC0415 - as above

    order = [np.lexsort([number[side] for number, _, _ in reversed(values)]) for side in (ours, theirs)]
    count = min(len(ours), len(theirs))
    i, j = order[0][:count], order[1][:count]
    equal = _equal(ours[i], theirs[j], values)
    return list(zip(i[equal].tolist(), j[equal].tolist(), strict=True))


def most_pairs(equal: Any) -> list[tuple[int, int]]:
    """Return as many pairs (row, column) as can be, each row and column once, where a matrix is true.

    Augmenting paths, breadth first (Kuhn 1955).

    Examples
    --------
    >>> import numpy as np
    >>> most_pairs(np.array([[True, True], [True, False]]))
    [(0, 1), (1, 0)]
    """
    partners = [row.nonzero()[0].tolist() for row in equal]
    row_of: dict[int, int] = {}
    for row in range(len(partners)):
        _augment(row, partners, row_of)
    return sorted((row, column) for column, row in row_of.items())


def _augment(start: int, partners: list[list[int]], row_of: dict[int, int]) -> None:
    """Find a column for a row, moving others to other columns if need be."""
    came: dict[int, int] = {}
    column_of = {row: column for column, row in row_of.items()}
    queue = [start]
    for row in queue:
        for column in partners[row]:
            if column in came:
                continue
            came[column] = row
            if column in row_of:
                queue.append(row_of[column])
                continue
            end: int | None = column
            while end is not None:
                row_of[end] = came[end]
                end = None if came[end] == start else column_of.get(came[end])
            return
