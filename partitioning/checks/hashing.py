"""64-bit hashes of id entries, so that sums of them compare an id index with the leaves, whatever the order.

The sum over a tile changes unless the same entries are there: a lost, added or altered entry goes unnoticed with a
chance of 2**-64.
"""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["entry_hashes", "id_hashes"]

_TEXT_SEED: Final = 20_260_102
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
"""Constants of splitmix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195)."""


def entry_hashes(ids: pa.ChunkedArray, index: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return one hash for each row whose id is not NULL.

    Parameters
    ----------
    ids, index
        Id and order-29 index of each row, shape ``(N,)``.
    """
    valid = ids.is_valid().to_numpy()
    kept = index if valid.all() else index[valid]
    return _mixed(id_hashes(ids.drop_null()) ^ _mixed(kept.view(np.uint64)))


def id_hashes(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return a hash of each id; equal integers have equal hashes whatever their width. No NULLs are allowed."""
    kind = ids.type
    if pa.types.is_integer(kind):
        return _mixed(ids.to_numpy().astype(np.int64, casting="unsafe").view(np.uint64))
    if pa.types.is_floating(kind):
        return _mixed(ids.cast(pa.float64()).to_numpy().view(np.uint64))
    text = ids if pa.types.is_string(kind) else pc.cast(ids, pa.string())
    return _text_hashes(text.combine_chunks())


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return splitmix64 of each value."""
    mixed = values + _STEP
    for shift, factor in zip((30, 27), _MIX, strict=True):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * factor
    return mixed ^ (mixed >> np.uint64(31))


def _text_hashes(text: pa.Array) -> NDArray[np.uint64]:
    """Return the sum of each text's bytes times random factors, one for each place, mixed with its length."""
    if isinstance(text, pa.ChunkedArray):
        text = pa.concat_arrays(text.chunks) if text.num_chunks else pa.array([], pa.string())
    if len(text) == 0:
        return np.empty(0, dtype=np.uint64)
    _, offset_buffer, data = text.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32, len(text) + 1, 4 * text.offset).astype(np.int64)
    lengths = np.diff(offsets)
    data_bytes = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data is not None else np.empty(0, np.uint8)
    places = np.arange(len(data_bytes)) - np.repeat(offsets[:-1] - offsets[0], lengths)
    factors = np.random.default_rng(_TEXT_SEED).integers(0, 1 << 64, max(lengths.max(), 1), dtype=np.uint64)
    terms = np.concatenate([[np.uint64(0)], np.cumsum((data_bytes.astype(np.uint64) + np.uint64(1)) * factors[places])])
    ends = offsets - offsets[0]
    return _mixed((terms[ends[1:]] - terms[ends[:-1]]) ^ _mixed(lengths.view(np.uint64)))
