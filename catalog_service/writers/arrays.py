"""Arrow arrays as numpy arrays, without a copy. `pyarrow.Array.to_numpy` would import pandas where it is installed."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["binary_content", "flags", "flat_list", "numbers", "split_binary", "value_lengths"]


def numbers(array: pa.Array) -> NDArray[Any]:
    """Return the values of a numeric array, ``(N,)``; what lies at a NULL is undefined."""
    code: np.dtype[Any] = array.type.to_pandas_dtype()
    buffer = array.buffers()[1]
    if buffer is None:
        return np.zeros(len(array), dtype=code)
    return np.frombuffer(buffer, dtype=code)[array.offset : array.offset + len(array)]


def flags(array: pa.Array) -> NDArray[np.uint8]:
    """Return a boolean array without NULL as 0 and 1, ``(N,)``."""
    return numbers(pc.cast(array, pa.uint8()))


def flat_list(array: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return (all elements in order, number of elements per row as ``(N,)`` int64); NULL rows have none."""
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    return array.flatten(), numbers(lengths).astype(np.int64)


def value_lengths(array: pa.Array) -> NDArray[np.int64]:
    """Return the number of bytes of each value of a binary array without NULL, ``(N,)`` int64."""
    return numbers(pc.binary_length(array)).astype(np.int64)


def split_binary(data: Any, lengths: NDArray[np.integer[Any]]) -> pa.Array:
    """Return a binary array of the consecutive pieces of the buffer `data` that have these lengths."""
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def binary_content(array: pa.Array) -> memoryview:
    """Return the bytes of all values of a binary array, one after the other; none may be NULL."""
    _, offsets, data = array.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[array.offset, array.offset + len(array)]]
    return memoryview(b"" if data is None else data)[first:last]
