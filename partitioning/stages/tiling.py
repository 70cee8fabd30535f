"""Tiling: row counts to disjoint HEALPix pixels of several orders, each within the wanted number of rows.

A pixel is split while it has too many rows, or while it strictly contains a tile of the declared parent: a child
table's tiles are its parent's or finer. Counts come at one order at a time; where they are too coarse to decide,
finer ones are asked for, so dense cores are resolved without counting the whole sky finely.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..sky.healpix import ORDER, Pixel, order_shift
from .counts import Counts

__all__ = ["Counts", "TileLimits", "Tiling", "joined_tilings", "make_tiling", "settle"]

_MOST_COUNTERS: Final = 1 << 24
"""Counters of one refinement, 128 MB."""

_MOST_LEVELS: Final = 5

_TABLE_ORDER: Final = 9
"""Finest order of which a table of all cells is made, 25 MB."""


@dataclass(frozen=True, eq=False)
class Tiling:
    """Disjoint pixels sorted by their first order-29 index; arrays of shape ``(N,)``."""

    orders: NDArray[np.int64]
    numbers: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def starts(self) -> NDArray[np.int64]:
        """First order-29 index of each tile."""
        return self.numbers << _shifts(self.orders)

    @property
    def stops(self) -> NDArray[np.int64]:
        """One past the last order-29 index of each tile."""
        return (self.numbers + 1) << _shifts(self.orders)

    def __len__(self) -> int:
        return len(self.orders)

    def tiles_of(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the tile of each order-29 index, shape ``(N,)``; each must lie in one.

        Few cells are looked up in a table, in a quarter of the time of a search.
        """
        finest = int(self.orders.max(initial=0))
        if finest > _TABLE_ORDER or len(index) < 12 << (2 * finest):
            return np.searchsorted(self.starts, index, side="right") - 1
        shift = order_shift(finest)
        cells = np.arange(12 << (2 * finest), dtype=np.int64) << shift
        table: NDArray[np.int64] = (np.searchsorted(self.starts, cells, side="right") - 1)[index >> shift]
        return table

    def pixel(self, tile: int) -> Pixel:
        """Return the pixel of tile number `tile`."""
        return Pixel(int(self.orders[tile]), int(self.numbers[tile]))


@dataclass(frozen=True, eq=False)
class TileLimits:
    """When to split a pixel."""

    rows: float
    """A tile is split while it has more rows than this."""
    max_order: int
    """No tile is finer than this, unless a parent's is: rows at one position cannot be told apart."""
    parent_orders: NDArray[np.int64] | None = None
    parent_starts: NDArray[np.int64] | None = None
    """Orders and first order-29 indices of the parent's tiles, sorted."""

    @property
    def finest(self) -> int:
        """Finest order that a tile may have."""
        parent = self.parent_orders
        return self.max_order if parent is None else max(self.max_order, int(parent.max(initial=0)))


def make_tiling(coarse: Counts, order: int, limits: TileLimits, refine: Callable[..., Counts]) -> Tiling:
    """Return the tiles of a table.

    Parameters
    ----------
    coarse
        Occupied pixels at `order`, sorted, and their rows.
    refine
        ``refine(pixels, order, depth)`` returns the occupied descendants of `pixels`, `depth` levels down.
    """
    order_now, counts = min(order, limits.finest), coarse
    if order_now < order:
        counts = _coarsened(coarse, order - order_now)
    parts, crowded = settle(counts, top=0, order=order_now, limits=limits)
    tilings = [parts]
    while len(crowded):
        depth = _levels(len(crowded), limits.finest - order_now)
        counts = refine(crowded, order_now, depth)
        parts, crowded = settle(counts, top=order_now + 1, order=order_now + depth, limits=limits)
        tilings.append(parts)
        order_now += depth
    return joined_tilings(tilings)


def settle(counts: Counts, *, top: int, order: int, limits: TileLimits) -> tuple[Tiling, NDArray[np.int64]]:
    """Settle what counts at one order can settle.

    Parameters
    ----------
    counts
        Occupied pixels at `order`, sorted, and their rows.
    top
        Coarsest order that a tile may have here.

    Returns
    -------
    tuple
        Tiles of orders `top` to `order`, and the pixels at `order` that must be split further.
    """
    pixels, rows = counts
    orders, numbers, totals = [], [], []
    for level in range(top, order + 1):
        parents, parent_rows, members = _grouped(pixels, rows, order - level)
        crowded = (parent_rows > limits.rows) & (level < limits.max_order)
        split = crowded | _contains_parent_tile(parents, level, limits)
        orders.append(np.full(np.count_nonzero(~split), level, dtype=np.int64))
        numbers.append(parents[~split])
        totals.append(parent_rows[~split])
        stay = np.repeat(split, members)
        pixels, rows = pixels[stay], rows[stay]
    return joined_tilings([Tiling(*map(np.concatenate, (orders, numbers, totals)))]), pixels


def _grouped(
    pixels: NDArray[np.int64], rows: NDArray[np.int64], depth: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the ancestors `depth` levels up, their rows, and how many of `pixels` each has."""
    if len(pixels) == 0:
        return pixels, rows, pixels
    ancestors = pixels >> (2 * depth)
    is_new = np.ones(len(ancestors), dtype=np.bool_)
    np.not_equal(ancestors[1:], ancestors[:-1], out=is_new[1:])
    first = np.flatnonzero(is_new)
    members = np.diff(first, append=len(pixels))
    return ancestors[first], np.add.reduceat(rows, first), members


def _coarsened(counts: Counts, depth: int) -> Counts:
    pixels, rows, _ = _grouped(*counts, depth)
    return pixels, rows


def _contains_parent_tile(pixels: NDArray[np.int64], level: int, limits: TileLimits) -> NDArray[np.bool_]:
    """Return which pixels of order `level` strictly contain a tile of the parent."""
    if limits.parent_orders is None or limits.parent_starts is None:
        return np.zeros(len(pixels), dtype=np.bool_)
    finer = limits.parent_starts[limits.parent_orders > level]
    shift = order_shift(level)
    inside: NDArray[np.bool_] = np.searchsorted(finer, pixels << shift) < np.searchsorted(finer, (pixels + 1) << shift)
    return inside


def _levels(crowded: int, remaining: int) -> int:
    """Return how many levels one refinement may descend within `_MOST_COUNTERS`."""
    fitting = (_MOST_COUNTERS // crowded).bit_length() // 2
    return max(1, min(_MOST_LEVELS, remaining, fitting))


def _shifts(orders: NDArray[np.int64]) -> NDArray[np.int64]:
    return 2 * (ORDER - orders)


def joined_tilings(tilings: list[Tiling]) -> Tiling:
    """Return all tiles, sorted by position on the sky."""
    orders = np.concatenate([tiling.orders for tiling in tilings])
    numbers = np.concatenate([tiling.numbers for tiling in tilings])
    rows = np.concatenate([tiling.rows for tiling in tilings])
    at = np.argsort(numbers << _shifts(orders))
    return Tiling(orders[at], numbers[at], rows[at])
