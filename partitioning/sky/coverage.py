"""Coverage: regions to sorted, disjoint, merged ranges of order-29 indices.

A coverage is an int64 array of shape ``(N, 2)`` of half-open ranges ``[start, stop)``. It holds the
region and a little more, never less: pruning by it loses no row.
"""

import math
from typing import Final

import hpgeom
import numpy as np
from numpy.typing import NDArray

from .healpix import ORDER, SKY_STOP, order_shift
from .regions import Box, Cone, ConvexPolygon, Polygon, Region, bounding_cone
from .separation import separation_deg, unit_vectors

__all__ = [
    "COVERAGE_PAD_DEG",
    "EMPTY",
    "WHOLE_SKY",
    "Coverage",
    "around",
    "complement",
    "cover",
    "enlarged",
    "intersection",
    "simplified",
    "union",
    "widened",
]

Coverage = NDArray[np.int64]

COVERAGE_PAD_DEG: Final = 0.01 / 3600
"""Every region is enlarged by this much before it is covered. Rows are placed by one library's
rounding and covered by another's; it also gives radius 0 an extent, which hpgeom demands."""

WHOLE_SKY: Final[Coverage] = np.array([[0, SKY_STOP]], dtype=np.int64)
EMPTY: Final[Coverage] = np.empty((0, 2), dtype=np.int64)

_AROUND_ORDER: Final = 20
"""Cells of 0.2 arcsec: far wider than what two computations of one position may differ by."""

_MOST_CELLS: Final = 20_000
"""Of coverages of more cells the surroundings are not worth their time."""

_CELL_DEG: Final = 58.6
"""Side of an order-0 cell in degrees."""

_LONGEST_SIDE: Final = 128
"""Long thin boxes are covered with cells of at least a quarter of their length divided by this, not with very many."""

_LARGEST_CONE_DEG: Final = 100.0
"""Larger ones need half of the sky anyway, and hpgeom 1.6 leaves out pixels of circles beyond about 135 degrees."""

_LARGEST_POLYGON_DEG: Final = 80.0
"""A polygon whose padded corners lie farther from its centre than this is covered by the cone around it: near a
hemisphere its inside is ill-defined."""

_CAP_DEG: Final = 1.0
"""Padded boxes that come this close to a pole hold all of the cap around it, where right ascension says little."""


def cover(region: Region, pad_deg: float = 0.0) -> Coverage:
    """Return the order-29 ranges that hold `region` enlarged by `pad_deg` degrees."""
    match region:
        case Cone():
            return _cover_cone(region, pad_deg)
        case Box():
            return _cover_box(region, pad_deg)
        case ConvexPolygon():
            return _cover_convex(region, pad_deg)
        case Polygon():
            return union(*(_cover_convex(piece, pad_deg) for piece in region.pieces))


def union(*coverages: Coverage) -> Coverage:
    """Return the ranges in any of the coverages."""
    return _merged(np.concatenate([EMPTY, *coverages]))


def around(index: NDArray[np.int64]) -> Coverage:
    """Return a small surrounding of some order-29 indices: the same positions, computed otherwise, lie in it."""
    return _with_neighbours(np.unique(index >> order_shift(_AROUND_ORDER)), _AROUND_ORDER)


def widened(coverage: Coverage) -> Coverage:
    """Return a coverage with the surroundings of the ends of its ranges: of all of it, if these are small cells."""
    return union(coverage, around(coverage.ravel() - np.tile([0, 1], len(coverage))))


def enlarged(coverage: Coverage, by_deg: float, *, finest: int = _AROUND_ORDER) -> Coverage:
    """Return a coverage of all positions within `by_deg` of one in `coverage`: its cells and their neighbours.

    The cells are at least four times as wide as that, and of order `finest` at most. Of coverages of very many such
    cells it is the whole sky.
    """
    order = int(np.clip(math.floor(math.log2(_CELL_DEG / max(4 * by_deg, 1e-12))), -1, finest))
    if order < 0:
        return WHOLE_SKY
    shift = order_shift(order)
    firsts, lasts = coverage[:, 0] >> shift, (coverage[:, 1] - 1) >> shift
    if int((lasts - firsts + 1).sum()) > _MOST_CELLS:
        return WHOLE_SKY
    cells = [EMPTY[:, 0], *(np.arange(low, high + 1) for low, high in zip(firsts, lasts, strict=True))]
    return _with_neighbours(np.unique(np.concatenate(cells)), order)


def _with_neighbours(cells: NDArray[np.int64], order: int) -> Coverage:
    shift = order_shift(order)
    near = hpgeom.neighbors(1 << order, cells).ravel() if len(cells) else cells
    all_cells = np.unique(np.concatenate([cells, near[near >= 0]]))
    return _merged(np.stack([all_cells << shift, (all_cells + 1) << shift], axis=1))


def complement(coverage: Coverage) -> Coverage:
    """Return the ranges of the sky outside `coverage`."""
    edges = np.concatenate([[0], coverage.ravel(), [SKY_STOP]]).reshape(-1, 2)
    return edges[edges[:, 0] < edges[:, 1]]


def intersection(first: Coverage, second: Coverage) -> Coverage:
    """Return the ranges in both coverages."""
    return complement(union(complement(first), complement(second)))


def simplified(coverage: Coverage, most: int) -> Coverage:
    """Return at most `most` ranges that hold `coverage`: it is joined over its smallest gaps."""
    if len(coverage) <= most:
        return coverage
    gaps = coverage[1:, 0] - coverage[:-1, 1]
    cuts = np.sort(np.argsort(gaps, kind="stable")[::-1][: most - 1])
    firsts = np.concatenate([[0], cuts + 1])
    lasts = np.concatenate([cuts, [len(coverage) - 1]])
    return np.stack([coverage[firsts, 0], coverage[lasts, 1]], axis=1)


def _merged(ranges: Coverage) -> Coverage:
    """Sort ranges and join those that touch or overlap."""
    if len(ranges) == 0:
        return EMPTY
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ranges[:, 1])
    first = np.concatenate([[True], ranges[1:, 0] > reach[:-1]])
    last = np.concatenate([first[1:], [True]])
    return np.stack([ranges[first, 0], reach[last]], axis=1)


def _covering_order(size_deg: float) -> int:
    """Return the order whose cells are about a quarter of `size_deg`: some ten ranges a region."""
    if size_deg <= 0:
        return ORDER - 2
    return int(np.clip(math.floor(math.log2(_CELL_DEG / size_deg)) + 2, 2, ORDER - 2))


def _scaled(ranges: NDArray[np.int64], order: int) -> Coverage:
    return _merged(np.asarray(ranges, dtype=np.int64) << order_shift(order))


def _cover_cone(cone: Cone, pad_deg: float) -> Coverage:
    radius = cone.radius_deg + pad_deg + COVERAGE_PAD_DEG
    if radius > _LARGEST_CONE_DEG:
        return WHOLE_SKY
    order = _covering_order(radius)
    ranges = hpgeom.query_circle(
        1 << order, cone.ra_deg, cone.dec_deg, radius, inclusive=True, fact=4, return_pixel_ranges=True
    )
    return _scaled(ranges, order)


def _cover_box(box: Box, pad_deg: float) -> Coverage:
    pad = pad_deg + COVERAGE_PAD_DEG
    dec_min, dec_max = max(-90.0, box.dec_min_deg - pad), min(90.0, box.dec_max_deg + pad)
    widest = max(abs(dec_min), abs(dec_max))
    # a path of length `pad` that stays this far from the poles spans no more right ascension than this
    ra_pad = pad / math.cos(math.radians(min(widest, 90 - _CAP_DEG)))
    span = 360.0 if box.all_ra else (box.ra_max_deg - box.ra_min_deg) % 360.0
    ra_min, ra_max = (box.ra_min_deg - ra_pad) % 360.0, (box.ra_max_deg + ra_pad) % 360.0
    if span + 2 * ra_pad >= 360:
        ra_min, ra_max = 0.0, 360.0
    short, long = sorted((span, dec_max - dec_min))
    order = min(_covering_order(max(short, pad)), _covering_order(long / _LONGEST_SIDE))
    ranges = hpgeom.query_box(
        1 << order, ra_min, ra_max, dec_min, dec_max, inclusive=True, fact=4, return_pixel_ranges=True
    )
    caps = [Cone(0.0, math.copysign(90, dec), _CAP_DEG) for dec in (dec_min, dec_max) if abs(dec) > 90 - _CAP_DEG]
    return union(_scaled(ranges, order), *(_cover_cone(cap, pad_deg) for cap in caps))


def _cover_convex(polygon: ConvexPolygon, pad_deg: float) -> Coverage:
    around = bounding_cone(polygon.vertices)
    outer = _grown(polygon, pad_deg + COVERAGE_PAD_DEG)
    reach = 180.0 if outer is None else float(separation_deg(around.ra_deg, around.dec_deg, *outer.T).max())
    if outer is None or reach > _LARGEST_POLYGON_DEG:
        return _cover_cone(around, pad_deg)
    order = _covering_order(reach)
    try:
        ranges = hpgeom.query_polygon(
            1 << order, outer[:, 0], outer[:, 1], inclusive=True, fact=4, return_pixel_ranges=True
        )
    except (RuntimeError, ValueError):  # degenerate to within rounding: its bounding cone holds it too
        return _cover_cone(around, pad_deg)
    return _scaled(ranges, order)


def _grown(polygon: ConvexPolygon, pad_deg: float) -> NDArray[np.float64] | None:
    """Return vertices (degrees) of the polygon with each side moved outwards by `pad_deg`.

    A new vertex ``p`` solves ``n1.p = n2.p = -sin(pad)`` for its two sides, in the plane of their bisector and the old
    vertex. None where sides meet in so sharp an angle that it would lie far away.
    """
    normals, corners = np.asarray(polygon.normals), unit_vectors(*np.asarray(polygon.vertices).T)
    before = np.roll(normals, 1, axis=0)
    mitre = 1 + (normals * before).sum(axis=1)
    if mitre.min() < 1e-9:
        return None
    outwards = (before + normals) * (-math.sin(math.radians(pad_deg)) / mitre)[:, None]
    remainder = 1 - (outwards**2).sum(axis=1)
    if remainder.min() < math.cos(math.radians(min(45.0, 1000 * pad_deg))) ** 2:
        return None
    x, y, z = (outwards + corners * np.sqrt(remainder)[:, None]).T
    return np.stack([np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))], axis=1)
