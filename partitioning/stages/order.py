"""The order of stored rows: by ``_healpix_29``, then the id columns, then the order of the input."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..layout.schema import ascending

__all__ = ["one_chunk", "regrouped", "row_numbers", "sorted_order", "stable_order", "taken", "unsliced"]

_Rows = TypeVar("_Rows", pa.RecordBatch, pa.Table, pa.Array)

_DIGIT_BITS: Final = 16
_HIGHEST_BITS: Final = 32

_FEW_TIED: Final = 1 / 16
"""Part of the rows that may be ordered anew."""


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array: taking from it is several times faster than from many chunks."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def regrouped(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield the same rows in tables of one chunk with exactly so many rows each, but for the last."""
    waiting, held = list[pa.Table](), 0
    for table in tables:
        waiting.append(table)
        held += len(table)
        if held < rows:
            continue
        joined = pa.concat_tables(waiting)
        stop = held - held % rows
        for start in range(0, stop, rows):
            yield joined.slice(start, rows).combine_chunks()
        rest = joined.slice(stop)
        held = len(rest)
        # a slice would keep all of it in memory
        waiting = [unsliced(rest).take(pa.array(np.arange(held)))] if held else []
    if held:
        yield pa.concat_tables(waiting).combine_chunks()


def taken(rows: pa.RecordBatch, order: NDArray[np.int64]) -> pa.RecordBatch:
    """Return some rows of a batch, or values of an array; `order` is not checked against its length.

    Row numbers of 32 bits, and no check, save a tenth of the time.
    """
    return pc.take(unsliced(rows), row_numbers(order, len(rows)), boundscheck=False)


def unsliced(rows: _Rows) -> _Rows:
    """Return rows, or values of an array, of which `take` and `filter` choose the right ones.

    Of a slice of fixed-size lists of fixed-size lists, matrices of FITS for instance, pyarrow (26.0.1) takes other
    values, even from beyond its end, and without an error; so these are copied before.
    """
    if isinstance(rows, pa.Array):
        return _copied(rows) if _has_matrix(rows.type) else rows
    if not any(kind.num_fields and _has_matrix(kind) for kind in rows.schema.types):
        return rows
    columns = [_copied(column) if _has_matrix(column.type) else column for column in rows.columns]
    return type(rows).from_arrays(columns, schema=rows.schema)


def _has_matrix(kind: pa.DataType) -> bool:
    """Return whether fixed-size lists lie in fixed-size lists anywhere in a type."""
    inner = [kind.field(number).type for number in range(kind.num_fields)]
    if pa.types.is_fixed_size_list(kind) and pa.types.is_fixed_size_list(inner[0]):
        return True
    return any(map(_has_matrix, inner))


def _copied(array: pa.Array) -> pa.Array:
    """Return a copy that is a slice of nothing; joining one array alone would not copy it."""
    if isinstance(array, pa.ChunkedArray):
        return pa.chunked_array([_copied(chunk) for chunk in array.chunks], array.type)
    return pa.concat_arrays([array, array.slice(0, 0)])


def row_numbers(order: NDArray[np.int64], rows: int) -> pa.Array:
    """Return an order of so many rows as `pyarrow.compute.take` wants it."""
    return pa.array(order.astype(np.uint32) if rows < 1 << 32 else order)


def stable_order(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the stable order of integers, shape ``(N,)``.

    Rows are ordered by their highest 32 bits first, and those that are equal in these anew, or, if they are many, all
    rows by all bits.

    >>> stable_order(np.array([3, 1, 3, 1])).tolist()
    [1, 3, 0, 2]
    """
    if len(values) == 0:
        return np.empty(0, np.int64)
    low = values.min()
    bits = (int(values.max()) - int(low)).bit_length()
    offsets = (values - low).view(np.uint64)  # right for all differences, though those above 2**63 overflow
    if bits > _HIGHEST_BITS:
        highest = (offsets >> np.uint64(bits - _HIGHEST_BITS)).astype(np.uint32)
        order = _radix_order(highest, _HIGHEST_BITS)
        tied = _tied(highest[order])
        if len(tied) <= _FEW_TIED * len(values):
            rows = order[tied]
            order[tied] = rows[np.lexsort((rows, values[rows]))]
            return order
    return _radix_order(offsets, bits)


def _radix_order(values: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.int64]:
    """Return the stable order of integers below ``2**bits``.

    numpy sorts by radix what has 16 bits: four times that takes half the time of its stable sort of 64.
    """
    order = np.argsort(values.astype(np.uint16), kind="stable")
    for shift in range(_DIGIT_BITS, bits, _DIGIT_BITS):
        digits = (values >> values.dtype.type(shift)).astype(np.uint16)
        order = order[np.argsort(digits[order], kind="stable")]
    return order


def sorted_order(keys: pa.Table) -> NDArray[np.int64]:
    """Return the row order by the first column (``_healpix_29``), the other columns, order of input; shape ``(N,)``."""
    index = keys.column(0).to_numpy()
    order = stable_order(index)
    if keys.num_columns == 1:
        return order
    tied = _tied(index[order])
    by = ascending(keys.column_names)  # a stable sort: the order of input decides at last
    if len(tied) == len(order):
        del order, tied  # there may be millions
        by_key: NDArray[np.int64] = pc.sort_indices(keys, by).to_numpy().view(np.int64)
        return by_key
    if len(tied):
        rows = order[tied]
        rows.sort()
        order[tied] = rows[pc.sort_indices(keys.take(pa.array(rows)), by).to_numpy()]
    return order


def _tied(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the positions of sorted values that have an equal neighbour."""
    same = values[1:] == values[:-1]
    if not same.any():
        return np.empty(0, np.int64)
    return np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))
