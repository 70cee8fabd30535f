"""Rows of spill files in their stored order: a window at once, or a tile larger than memory some row groups at a time.

The order of a large tile comes from its sort keys alone; then the rows of a few row groups at a time are gathered from
the blocks that hold them.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..layout.schema import without_nan
from .order import one_chunk, row_numbers, sorted_order, taken, unsliced
from .plan import TablePlan
from .spill import Block, Groups, SpillForm, joined, read_blocks

__all__ = ["RowsOf", "large_groups", "sorted_rows"]

RowsOf = Callable[[int, pa.RecordBatch], tuple[int, int]]
"""Tells which rows ``[first, stop)`` of block number ``n``, given its keys, are wanted."""


def sorted_rows(batches: list[Groups], form: SpillForm, keys: Sequence[str]) -> pa.Table:
    """Return the rows of some batches, of which none is left, sorted by `keys`, NaN as NULL."""
    columns = _columns(batches, form)
    places = [form.schema.get_field_index(key) for key in keys]
    order = sorted_order(_clean(pa.table([columns[place] for place in places], names=list(keys))))
    return _ordered(columns, order, form.schema)


def _columns(batches: list[Groups], form: SpillForm) -> list[pa.ChunkedArray]:
    """Return the columns of some batches, of which none is left: whoever drops a column frees its memory."""
    columns: list[pa.ChunkedArray] = joined(batches, form).columns
    batches.clear()
    return columns


def large_groups(blocks: Sequence[Block], rows_of: RowsOf, plan: TablePlan, most_rows: int) -> Iterator[pa.Table]:
    """Yield the row groups of a tile, sorted, NaN as NULL, from about `most_rows` rows in memory at a time.

    Parameters
    ----------
    blocks
        Blocks that hold rows of the tile.
    rows_of
        Which of their rows are those of the tile.
    """
    form = plan.form
    parts, spans = list[pa.RecordBatch](), list[tuple[int, int]]()
    for number, (keys,) in enumerate(read_blocks(blocks, plan.spill_form, keys_only=True)):
        first, stop = rows_of(number, keys)
        parts.append(taken(keys, np.arange(first, stop)))
        spans.append((first, stop))
    order = sorted_order(_clean(pa.Table.from_batches(parts).select(form.sort_keys)))
    del parts
    size = form.group_rows(len(order))
    step = max(1, most_rows // (2 * size)) * size  # the keys of all rows are there too
    for start in range(0, len(order), step):
        rows = _gathered(blocks, np.array(spans), order[start : start + step], plan.spill_form)
        for first in range(0, rows.num_rows, size):
            yield rows.slice(first, size)
        del rows  # before the next ones are gathered


def _gathered(
    blocks: Sequence[Block], spans: NDArray[np.int64], wanted: NDArray[np.int64], form: SpillForm
) -> pa.Table:
    """Return rows `wanted` (numbers in the sequence of all blocks' rows within `spans`) in that order, without NaN."""
    in_place = np.sort(wanted)
    ends = np.cumsum(spans[:, 1] - spans[:, 0])
    cuts = np.concatenate([[0], np.searchsorted(in_place, ends)])
    needed = np.flatnonzero(np.diff(cuts)).tolist()
    shifts = spans[:, 0] - np.concatenate([[0], ends[:-1]])
    parts = [
        tuple(taken(group, in_place[cuts[number] : cuts[number + 1]] + shifts[number]) for group in groups)
        for number, groups in zip(needed, read_blocks([blocks[n] for n in needed], form), strict=True)
    ]
    return _ordered(_columns(parts, form), np.searchsorted(in_place, wanted), form.schema)


def _ordered(columns: list[pa.ChunkedArray], order: NDArray[np.int64], schema: pa.Schema) -> pa.Table:
    """Return the rows in some order, NaN as NULL; columns are taken off one by one, to need little more than a copy."""
    numbers, found = row_numbers(order, len(columns[0])), []
    columns.reverse()
    while columns:
        column = unsliced(one_chunk(columns.pop()))
        found.append(without_nan(pc.take(column, numbers, boundscheck=False)))
        del column
    return pa.table(found, schema=schema)


def _clean(rows: pa.Table) -> pa.Table:
    """Return rows with NULL in the place of NaN."""
    return pa.table([without_nan(one_chunk(column)) for column in rows.columns], schema=rows.schema)
