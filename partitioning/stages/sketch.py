"""Estimates of distinct values: the smallest hashes of each column (K minimum values, Bar-Yossef et al. 2002).

Sketches of parts merge into the sketch of the whole, in any order. With 256 hashes the standard error is 6 %. The last
of 256 is the limit below which the sketch knows all hashes; one with fewer knows all that there are. Where values were
taken out (`without`), fewer are left below the limit, and the limit stands in their place, too (theta sketches,
Dasgupta et al. 2016).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from ..layout.schema import is_ordered
from .order import one_chunk

__all__ = [
    "Hashes",
    "Sketches",
    "SketchesOfParts",
    "estimate",
    "knows_all",
    "merged",
    "occurring",
    "sketch_arrays",
    "sketches_of",
    "without",
]

_SIZE: Final = 256
_CACHE: Final = 1 << 12
_WAITING: Final = 4 * _SIZE
_FEW: Final = 2 * _SIZE
"""So few hashes are sooner merged than held against the cache."""
_ENOUGH: Final = 2 * _SIZE
"""Among so many of the smallest hashes there are `_SIZE` distinct ones, unless values are repeated."""
_PARTS: Final = 32
"""Sketches that are merged at once."""
_ALL: Final = np.uint64(2**64 - 1)
_FACTORS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))
_SHIFT: Final = np.uint64(31)
_UNSETTLED: Final = np.uint64(2**33 - 1)
"""Bits of a hash that its last step may change."""

Hashes = NDArray[np.uint64]


def _empty_cache() -> Hashes:
    """Return a cache in which no hash is at its place: 0 would be at the first."""
    cache = np.zeros(_CACHE, np.uint64)
    cache[0] = 1
    return cache


@dataclass
class _Scratch:
    """Memory for the values of a column: getting it anew for each takes as long as hashing."""

    _arrays: list[Hashes] = field(default_factory=lambda: [np.empty(0, np.uint64)] * 2)

    def arrays(self, length: int) -> list[Hashes]:
        """Return two arrays for so many values."""
        if len(self._arrays[0]) < length:
            self._arrays = [np.empty(length, np.uint64) for _ in range(2)]
        return [array[:length] for array in self._arrays]


@dataclass
class _Sketch:
    """The smallest hashes of one column so far."""

    is_boolean: bool
    scratch: _Scratch
    merged: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    waiting: list[Hashes] = field(default_factory=list)
    """Hashes to merge once there are enough of them."""
    count: int = 0
    """Hashes that wait."""
    seen: Hashes | None = None
    """Direct-mapped cache: most repeated values of a column of few values stop here. Few columns ever need theirs."""

    @property
    def limit(self) -> np.uint64:
        """Greater hashes are of no interest."""
        return self.merged[-1] if len(self.merged) == _SIZE else _ALL

    def add(self, array: pa.Array) -> None:
        """Add the values of one column."""
        if self.is_boolean and len(self.merged) == len((False, True)):
            return
        if 0 < len(self.merged) < _SIZE and not self.is_boolean:
            array = pc.unique(array)  # few values until now, so that most are there many times
        hashes = _hashes(array, self.limit, self.scratch)
        if len(hashes) > _FEW:
            hashes = self._unseen(hashes)
        if len(hashes):
            self.waiting.append(hashes)
            self.count += len(hashes)
        if self.count > _WAITING or len(self.merged) < _SIZE:
            self.smallest()  # until it is full, it has no limit

    def _unseen(self, hashes: Hashes) -> Hashes:
        """Return hashes without most of those that were there before."""
        if self.seen is None:
            self.seen = _empty_cache()
        slots = (hashes & np.uint64(_CACHE - 1)).astype(np.int64)
        unseen = self.seen[slots] != hashes
        hashes = hashes[unseen]
        self.seen[slots[unseen]] = hashes
        return hashes

    def smallest(self) -> Hashes:
        """Return the smallest hashes."""
        if self.waiting:
            self.merged = _smallest(np.concatenate([self.merged, *self.waiting]), self.limit)
            self.waiting, self.count = [], 0
        return self.merged


@dataclass
class Sketches:
    """Sketches of the columns of one table."""

    schema: pa.Schema
    columns: dict[int, _Sketch] = field(init=False)

    def __post_init__(self) -> None:
        kinds = {number: column.type for number, column in enumerate(self.schema) if is_ordered(column.type)}
        scratch = _Scratch()
        self.columns = {number: _Sketch(pa.types.is_boolean(kind), scratch) for number, kind in kinds.items()}

    def add(self, table: pa.Table) -> None:
        """Add the values of some rows."""
        for number, sketch in self.columns.items():
            sketch.add(one_chunk(table.column(number)))

    def smallest(self) -> dict[int, Hashes]:
        """Return the smallest hashes by number of the column."""
        return {number: sketch.smallest() for number, sketch in self.columns.items()}


def sketch_arrays(sketches: Mapping[int, Hashes]) -> dict[str, NDArray[np.generic]]:
    """Return sketches as three arrays of a record: one for each column would take longer to read than all the rest."""
    return {
        "sketch_columns": np.array(list(sketches), dtype=np.int64),
        "sketch_sizes": np.array([len(hashes) for hashes in sketches.values()], dtype=np.int64),
        "sketch_hashes": np.concatenate([np.empty(0, np.uint64), *sketches.values()]),
    }


def sketches_of(record: Mapping[str, NDArray[Any]]) -> dict[int, Hashes]:
    """Return the sketches that `sketch_arrays` put into a record."""
    parts = np.split(record["sketch_hashes"], np.cumsum(record["sketch_sizes"])[:-1])
    return dict(zip(record["sketch_columns"].tolist(), parts, strict=False))


@dataclass
class SketchesOfParts:
    """Merges the sketches of the columns of many parts, some at a time."""

    _waiting: list[Mapping[int, Hashes]] = field(default_factory=list)

    def add(self, sketches: Mapping[int, Hashes]) -> None:
        """Add the smallest hashes of a part by number of the column."""
        self._waiting.append(sketches)
        if len(self._waiting) == _PARTS:
            self._waiting = [self.merged()]

    def merged(self) -> dict[int, Hashes]:
        """Return the smallest hashes of all parts so far."""
        numbers = dict.fromkeys(number for part in self._waiting for number in part)
        return {number: merged(part[number] for part in self._waiting if number in part) for number in numbers}


def merged(parts: Iterable[Hashes]) -> Hashes:
    """Return the smallest hashes of several sketches of one column."""
    sketches = list(parts)
    limit = min((part[-1] for part in sketches if not knows_all(part)), default=_ALL)
    hashes = _smallest(np.concatenate([np.empty(0, np.uint64), *sketches]), _ALL)
    return _filled(hashes[hashes <= limit], limit)


def knows_all(sketch: Hashes) -> bool:
    """Return whether a sketch has the hashes of all values that there are."""
    return len(sketch) < _SIZE


def without(sketch: Hashes, gone: Hashes) -> Hashes:
    """Return a sketch that does not count some hashes."""
    limit = _ALL if knows_all(sketch) else sketch[-1]
    return _filled(_distinct(sketch[~np.isin(sketch, gone)]), limit)


def _filled(hashes: Hashes, limit: np.uint64) -> Hashes:
    """Return a sketch that knows all hashes below a limit (2**64 - 1: all that there are)."""
    if limit == _ALL or len(hashes) == _SIZE:
        return hashes
    return np.concatenate([hashes, np.full(_SIZE - len(hashes), limit)])


def occurring(sketch: Hashes, values: pa.Array) -> Hashes:
    """Return which hashes of a sketch some values of its column have; its limit may be among them or not."""
    limit = _ALL if knows_all(sketch) else sketch[-1]
    return np.intersect1d(_hashes(values, limit, _Scratch()), sketch)


def estimate(sketch: Hashes) -> int | None:
    """Return the estimated number of distinct values of a column; None if too few hashes are left to tell.

    >>> estimate(np.arange(5, dtype=np.uint64))
    5
    """
    if knows_all(sketch):
        return len(sketch)
    below = int(np.searchsorted(sketch, sketch[-1]))
    return None if below < _SIZE // 2 else round(below / (float(sketch[-1]) / 2.0**64))


def _distinct(hashes: Hashes) -> Hashes:
    """Return the distinct hashes in order; for a few thousand, numpy's `unique` takes several times as long."""
    hashes = np.sort(hashes)
    is_new = np.ones(len(hashes), np.bool_)
    np.not_equal(hashes[1:], hashes[:-1], out=is_new[1:])
    return hashes[is_new]


def _smallest(hashes: Hashes, limit: np.uint64) -> Hashes:
    """Return the `_SIZE` smallest distinct hashes, in order; none is above `limit`. If possible, few are sorted."""
    if len(hashes) > 2 * _ENOUGH:
        few = _distinct(hashes[hashes < np.uint64(float(limit) * _ENOUGH / len(hashes))])
        if len(few) >= _SIZE:
            return few[:_SIZE]
    return _distinct(hashes)[:_SIZE]


def _hashes(array: pa.Array, limit: np.uint64, scratch: _Scratch) -> Hashes:
    """Return hashes of the values that are not NULL: all below `limit`, or all that may be among the smallest."""
    kind = array.type
    if pa.types.is_string(kind):
        texts = pc.unique(array.drop_null()).to_pylist()
        hashes = np.array([xxhash.xxh3_64_intdigest(text.encode()) for text in texts], dtype=np.uint64)
        return hashes[hashes < limit]
    if pa.types.is_boolean(kind):
        there = [array.false_count > 0, array.true_count > 0]
        hashes = np.flatnonzero(there).astype(np.uint64)
        return _settled(_half_mixed(hashes, np.empty_like(hashes)))
    if pa.types.is_decimal(kind):
        array = array.cast(pa.float64(), safe=False)
    hashes, other = scratch.arrays(len(array))
    _put_bits(array, hashes, other)
    mixed = _half_mixed(hashes, other)
    if limit == _ALL and len(array) > 2 * _ENOUGH:
        few = _distinct(_below(np.uint64(2.0**64 * _ENOUGH / len(array)), mixed, array))
        if len(few) >= _SIZE:
            return few
    return _below(limit, mixed, array)


def _below(limit: np.uint64, mixed: Hashes, array: pa.Array) -> Hashes:
    """Return the hashes of values that are not NULL from half-mixed ones: those below `limit`, and few others."""
    small = (mixed <= (limit | _UNSETTLED)).nonzero()[0]
    return _settled(mixed[small[_is_valid(array, small)] if array.null_count else small])


def _put_bits(array: pa.Array, bits: Hashes, other: Hashes) -> None:
    """Put values as integers that differ where the values differ, -0.0 as 0.0; anything where they are NULL."""
    kind, width = array.type, array.type.bit_width // 8
    numeric = f"f{width}" if pa.types.is_floating(kind) else f"u{width}"
    values = np.frombuffer(array.buffers()[1], numeric, len(array), array.offset * width)
    if values.dtype.kind == "f":
        values = np.add(values, values.dtype.type(0), out=other.view(numeric)[: len(values)]).view(f"u{width}")
    bits[:] = values


def _is_valid(array: pa.Array, at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether the values at some positions are not NULL."""
    bitmap = np.frombuffer(array.buffers()[0], np.uint8)
    bits = at + array.offset
    valid: NDArray[np.bool_] = (bitmap[bits >> 3] >> (bits & 7)) & 1 == 1
    return valid


def _half_mixed(values: Hashes, other: Hashes) -> Hashes:
    """Turn integers into well-mixed hashes, in place, but for the last step, which leaves the highest 31 bits alone.

    That step is left to the few hashes that are small (`_settled`).
    """
    values += np.uint64(1)
    values *= _FACTORS[0]
    values ^= np.right_shift(values, _SHIFT, out=other)
    values *= _FACTORS[1]
    return values


def _settled(mixed: Hashes) -> Hashes:
    """Do the last step of the hashes (together: the finaliser of splitmix64, shortened)."""
    return mixed ^ (mixed >> _SHIFT)
