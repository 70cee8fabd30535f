"""The order of stored rows: by ``_healpix_29``, then the id columns, then the order of the input."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["merged_by_index", "one_chunk", "sorted_by_index", "sorted_order", "taken"]


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array: taking from it is several times faster than from many chunks."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def taken(rows: pa.RecordBatch, order: NDArray[np.int64]) -> pa.RecordBatch:
    """Return some rows of a batch, or values of an array; `order` is not checked against its length.

    Row numbers of 32 bits, and no check, save a tenth of the time.
    """
    numbers = order.astype(np.uint32) if len(rows) < 1 << 32 else order
    return pc.take(rows, pa.array(numbers), boundscheck=False)


def sorted_by_index(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the stable order of unsorted integers, shape ``(N,)``.

    Few rows share an index, so the fast unstable sort is put right where they do: twice as fast as a stable one.

    >>> sorted_by_index(np.array([3, 1, 3, 1])).tolist()
    [1, 3, 0, 2]
    """
    order = np.argsort(index)
    tied = _tied(index[order])
    if len(tied):
        rows = order[tied]
        order[tied] = rows[np.lexsort((rows, index[rows]))]
    return order


def merged_by_index(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the stable order of integers, shape ``(N,)``, that are sorted runs one after the other."""
    return np.argsort(index, kind="stable")  # a merge sort that finds the runs


def sorted_order(keys: pa.Table) -> NDArray[np.int64]:
    """Return the row order by the first column (``_healpix_29``), the other columns, order of input; shape ``(N,)``."""
    index = keys.column(0).to_numpy()
    order = merged_by_index(index)
    if keys.num_columns == 1:
        return order
    tied = _tied(index[order])
    if len(tied):
        rows = np.sort(order[tied])
        by_key = pc.sort_indices(keys.take(pa.array(rows)), [(name, "ascending") for name in keys.column_names])
        order[tied] = rows[by_key.to_numpy()]  # a stable sort: the order of input decides at last
    return order


def _tied(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions of sorted values that have an equal neighbour."""
    same = values[1:] == values[:-1]
    if not same.any():
        return np.empty(0, np.int64)
    return np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))
