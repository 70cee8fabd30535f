"""Borders of tiles: distances of positions to pixels, and the rows that belong to the margin of each tile.

The margin of a tile holds the rows of other tiles that lie within a threshold of it. Cells are pixels of the finest
order that are surely wider than the threshold: a row can only belong to the margins of tiles that meet its cell, or one
of the eight around it. Most rows need not be looked at, since their cell is not at the border of their own tile. Those
that are left are tested exactly.
"""

import math
from dataclasses import dataclass
from typing import Final

import hpgeom
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .edges import border_distance_deg, nested_number
from .healpix import ORDER, order_shift, radec_to_index

__all__ = ["Halo", "Tiles", "distance_to_pixels_deg", "halo_of", "margin_rows"]

Ints = NDArray[np.int64]

_CELL_DEG: Final = 58.632
"""Average side of an order-0 pixel in degrees: the square root of its area."""

_NARROWEST: Final = 1.6
"""The eight neighbours of a cell hold every point within its average side divided by this. Measured: by 1.484 at order
10 and by less at coarser ones; the narrowest cells lie where base pixels meet on the way to a pole."""

_MOST_CELLS: Final = 1 << 20
"""Cells of a halo, 16 MB; for large tiles and a small threshold coarser cells are taken."""

_X_BITS: Final = np.int64(0x5555_5555_5555_5555)
"""Bits of a NESTED number that tell the pixel's x in its parent; the others tell its y."""

_RING_CELLS: Final = 1 << 19
"""Cells whose neighbours are looked up at a time, 32 MB."""

_SIDES: Final = (0, 6, 2, 4)
"""Places, in hpgeom's order of neighbours, of those beyond the sides x = 0, y = 0, y = last, x = last."""

_CORNERS: Final = (1, 3, 5, 7)
"""Places of the neighbours beyond the western, northern, eastern and southern corner."""


@dataclass(frozen=True, eq=False)
class Halo:
    """The cells around tiles that can hold rows of their margins."""

    order: int
    """Order of the cells."""
    cells: Ints
    """Sorted NESTED numbers, shape ``(M,)``; a cell occurs once for each tile that it is near to."""
    tiles: Ints
    """Number of the tile that each cell is a candidate for, shape ``(M,)``."""


class Tiles:
    """Disjoint tiles, in which rows are looked up.

    Parameters
    ----------
    orders, numbers
        Order and NESTED number of each tile, shape ``(T,)``.
    """

    def __init__(self, orders: ArrayLike, numbers: ArrayLike) -> None:
        self.orders, self.numbers = np.asarray(orders, dtype=np.int64), np.asarray(numbers, dtype=np.int64)
        shift = 2 * (ORDER - self.orders)
        self.given = np.argsort(self.numbers << shift, kind="stable")
        """Number of each tile, in the order of the sky."""
        self.starts, self.stops = ((number << shift)[self.given] for number in (self.numbers, self.numbers + 1))
        """First order-29 index of each tile, and that after its last, in the order of the sky."""

    def of(self, index: Ints) -> Ints:
        """Return the number of the tile that holds each order-29 index, -1 where there is none."""
        if len(index) > len(self.given) and bool((index[1:] >= index[:-1]).all()):
            ends = np.searchsorted(index, np.stack([self.starts, self.stops], axis=1)).ravel()
            numbers = np.stack([np.full(len(self.given), -1), self.given], axis=1).ravel()
            return np.repeat(np.append(numbers, -1), np.diff(ends, prepend=0, append=len(index)))
        at = np.searchsorted(self.starts, index, side="right") - 1
        inside = (at >= 0) & (index < np.append(self.stops, 0)[at])
        return np.where(inside, np.append(self.given, -1)[at], -1)


def distance_to_pixels_deg(
    ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], orders: ArrayLike, numbers: ArrayLike
) -> NDArray[np.float64]:
    """Return the angular distance of each position to its pixel, 0 inside; right to 1e-10 degrees or better.

    Parameters
    ----------
    ra_deg, dec_deg
        ICRS positions in degrees, shape ``(N,)``.
    orders, numbers
        Order and NESTED number of the pixel that each position is held against, shape ``(N,)``.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(N,)``, degrees in [0, 180].

    Raises
    ------
    ValueError
        If a position is not finite or a declination lies outside [-90, 90].
    """
    order, number = np.asarray(orders, dtype=np.int64), np.asarray(numbers, dtype=np.int64)
    outside = np.flatnonzero((radec_to_index(ra_deg, dec_deg) >> (2 * (ORDER - order))) != number)
    distances = np.zeros(len(order))
    distances[outside] = border_distance_deg(ra_deg[outside], dec_deg[outside], order[outside], number[outside])
    return distances


def halo_of(orders: ArrayLike, numbers: ArrayLike, threshold_deg: float) -> Halo:
    """Return the cells which can hold a position outside a tile, but within a threshold of it, for all tiles.

    A tile finer than the cells has its own cell among its candidates.

    Parameters
    ----------
    orders, numbers
        Order and NESTED number of each tile, shape ``(T,)``; tiles are disjoint.

    Raises
    ------
    ValueError
        If the threshold is negative, not finite, or so large that no cells are wider (36 degrees).
    """
    tile_orders, tile_numbers = np.asarray(orders, dtype=np.int64), np.asarray(numbers, dtype=np.int64)
    order = _halo_order(threshold_deg, tile_orders)
    cells, tiles = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for level in np.unique(tile_orders).tolist():
        members = np.flatnonzero(tile_orders == level)
        some = max(1, _RING_CELLS >> (max(order - level, 0) + 2))
        for start in range(0, len(members), some):
            tile = members[start : start + some]
            around = _cells_around(level, tile_numbers[tile], order)
            exists = around >= 0
            cells.append(around[exists])
            tiles.append(np.broadcast_to(tile[:, None], around.shape)[exists])
    all_cells, all_tiles = np.concatenate(cells), np.concatenate(tiles)
    by_cell = np.argsort(all_cells, kind="stable")
    return Halo(order, all_cells[by_cell], all_tiles[by_cell])


def margin_rows(
    index: Ints,
    ra_deg: NDArray[np.float64],
    dec_deg: NDArray[np.float64],
    tiles: Tiles,
    threshold_deg: float,
) -> tuple[Ints, Ints]:
    """Return which rows belong to the margins of which tiles: outside the tile, at most the threshold away.

    Parameters
    ----------
    index
        Order-29 NESTED index of each row, shape ``(N,)``; fastest if sorted.
    ra_deg, dec_deg
        Position of each row in degrees, shape ``(N,)``.

    Returns
    -------
    tuple
        Positions of rows in the arrays and numbers of tiles, each of shape ``(K,)``, ordered by tile, then row. A row
        may belong to several margins.

    Raises
    ------
    ValueError
        If the threshold is negative, not finite, or so large that no cells are wider (36 degrees).
    """
    order = _finest_order(threshold_deg)
    own = tiles.of(index)
    rows = np.flatnonzero(_is_at_border(index >> order_shift(order), order, tiles.orders, own))
    rows, found = _tiles_around(rows, index[rows] >> order_shift(order), order, tiles)
    outside = own[rows] != found
    rows, found = rows[outside], found[outside]
    apart = border_distance_deg(ra_deg[rows], dec_deg[rows], tiles.orders[found], tiles.numbers[found])
    near = apart <= threshold_deg
    rows, found = rows[near], found[near]
    by_tile = np.lexsort((rows, found))
    return rows[by_tile], found[by_tile]


def _is_at_border(cell: Ints, order: int, tile_orders: Ints, own: Ints) -> NDArray[np.bool_]:
    """Return whether each cell is at the border of its tile, or no deeper than that, or in none."""
    if len(tile_orders) == 0:
        return np.ones(len(cell), dtype=np.bool_)
    inner = (np.int64(1) << (2 * np.maximum(order - tile_orders, 0))) - 1
    mask = inner[own]
    border = own < 0
    for bits in (_X_BITS, ~_X_BITS):
        last = mask & bits
        place = cell & last
        border |= (place == 0) | (place == last)
    return border


def _tiles_around(rows: Ints, cell: Ints, order: int, tiles: Tiles) -> tuple[Ints, Ints]:
    """Return the pairs of a row and a tile that meets the row's cell, or one of the eight around it; each pair once."""
    cells, which = np.unique(cell, return_inverse=True)
    around = np.concatenate([cells[:, None], hpgeom.neighbors(1 << order, cells).reshape(-1, 8)], axis=1)
    at, place = np.nonzero(around >= 0)
    low = around[at, place] << order_shift(order)
    first = np.searchsorted(tiles.stops, low, side="right")
    stop = np.searchsorted(tiles.starts, low + (np.int64(1) << order_shift(order)))
    pair, near = _pairs(first, stop)
    met = np.unique(at[pair] * len(tiles.starts) + near)
    met_cell, met_tile = np.divmod(met, max(len(tiles.starts), 1))
    by_cell = np.argsort(which, kind="stable")
    ends = np.searchsorted(which[by_cell], np.arange(len(cells) + 1))
    pair, member = _pairs(ends[met_cell], ends[met_cell + 1])
    return rows[by_cell[member]], tiles.given[met_tile[pair]]


def _halo_order(threshold_deg: float, tile_orders: Ints) -> int:
    """Return the finest order whose cells are surely wider than the threshold, and not too many."""
    order = _finest_order(threshold_deg)
    while order > 0 and np.ldexp(4.0, order - tile_orders).sum() > _MOST_CELLS:
        order -= 1
    return order


def _finest_order(threshold_deg: float) -> int:
    """Return the finest order whose cells are surely wider than the threshold."""
    if not 0 <= threshold_deg <= _CELL_DEG / _NARROWEST:
        msg = f"a margin of {threshold_deg} degrees is not between 0 and {_CELL_DEG / _NARROWEST:.1f} degrees"
        raise ValueError(msg)
    narrowest = max(threshold_deg, _CELL_DEG / _NARROWEST / (1 << ORDER))
    return math.floor(math.log2(_CELL_DEG / (_NARROWEST * narrowest)))


def _cells_around(level: int, numbers: Ints, order: int) -> Ints:
    """Return the cells of `order` around each tile of order `level`, shape ``(T, K)``; -1 where there is none."""
    depth = order - level
    if depth < 0:  # finer than the cells
        own = numbers >> (-2 * depth)
        return np.concatenate([own[:, None], hpgeom.neighbors(1 << order, own)], axis=1)
    run, last = np.arange(1 << depth), np.full(1 << depth, (1 << depth) - 1)
    first = np.zeros_like(last)
    sides = [(first, run), (run, first), (run, last), (last, run)]
    corners = [(0, -1), (-1, -1), (-1, 0), (0, 0)]
    found = [_beyond(numbers, nested_number(x, y), depth, order, at) for (x, y), at in zip(sides, _SIDES, strict=True)]
    for (x, y), at in zip(corners, _CORNERS, strict=True):
        found.append(_beyond(numbers, nested_number(run[[x]], run[[y]]), depth, order, at))
    return np.concatenate(found, axis=1)


def _beyond(numbers: Ints, inner: Ints, depth: int, order: int, direction: int) -> Ints:
    """Return the neighbours in one direction of the cells `inner` of each tile."""
    cells = (numbers[:, None] << (2 * depth)) + inner
    neighbours: Ints = hpgeom.neighbors(1 << order, cells.ravel())[:, direction].reshape(cells.shape)
    return neighbours


def _pairs(first: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """Return the pairs ``(i, j)`` with ``first[i] <= j < stop[i]``."""
    lengths = stop - first
    left = np.repeat(np.arange(len(first)), lengths)
    right = np.arange(len(left)) - np.repeat(np.cumsum(lengths) - lengths - first, lengths)
    return left, right
