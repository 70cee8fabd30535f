"""Region expressions to tiles: which files of one table may hold rows, and which index ranges inside them."""

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partitioning.layout.file_map import FileMap
from partitioning.layout.partition_map import PartitionMap
from partitioning.sky.coverage import COVERAGE_PAD_DEG, EMPTY, Coverage, intersection, simplified
from partitioning.sky.regions import Box, Cone, ConvexPolygon, Polygon, bounding_cone

from ..models.query import RaDecBox
from ..models.stored import StoredTable
from .regions import AllOf, AnyOf, Around, Enlarged, RegionExpr, cover_expr

__all__ = ["Bound", "Bounds", "Chosen", "choose_tiles", "expected_rows", "merged_ranges", "position_box"]

MAX_RANGES: Final = 4
"""More OR-ed index ranges cost DuckDB more than they save (measured: 4 merged ranges or the hull are best)."""

_WIDEST_RA: Final = 720.0
"""Stored right ascensions that span more than two turns are not worth an OR of ranges."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A region that the placing position of a table's rows lies in, enlarged by `pad_deg`."""

    region: RegionExpr
    pad_deg: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """What is known about the positions of a table's rows."""

    own: RegionExpr | None = None
    """Region of the rows' own position. A row may lie away from the position that placed it."""
    shared: tuple[Bound, ...] = ()
    """Regions of the placing position, from tables joined on a parent's key."""
    placed: tuple[Coverage, ...] = ()
    """Coverages of the placing position, from ids."""
    kept: tuple[tuple[str, NDArray[np.bool_]], ...] = ()
    """Masks of the files that may hold rows, by the statistics of the columns that are named."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Tiles that may hold rows, and a coverage of the rows' placing positions."""

    tiles: NDArray[np.int64]
    coverage: Coverage | None
    """None: unbounded."""


def choose_tiles(stored: StoredTable, bounds: Bounds) -> Chosen:
    """Return the tiles of a sharded table that may hold rows within `bounds`."""
    chosen = _by_position(stored, bounds)
    tiles = chosen.tiles
    for _, mask in bounds.kept:
        tiles = tiles[mask[tiles]]
    return replace(chosen, tiles=tiles)


def _by_position(stored: StoredTable, bounds: Bounds) -> Chosen:
    partitions, own = stored.partitions, bounds.own
    assert partitions is not None
    if own is None and not bounds.shared and not bounds.placed:
        return Chosen(np.arange(len(partitions), dtype=np.int64), None)
    shared = [*bounds.placed, *(cover_expr(bound.region, bound.pad_deg) for bound in bounds.shared)]
    if own is None:
        coverage = reduce(intersection, shared)
        return Chosen(partitions.select(coverage), coverage)
    return _choose_by_level(partitions, own, shared, stored.max_separation_deg)


def _choose_by_level(
    partitions: PartitionMap | FileMap, own: RegionExpr, shared: list[Coverage], farthest_deg: float
) -> Chosen:
    """Test tiles in groups of like separation, each against the region enlarged by that separation."""

    def covered(pad_deg: float) -> Coverage:
        return reduce(intersection, [*shared, cover_expr(own, pad_deg)])

    top = float(_separation_levels(farthest_deg)) if farthest_deg else 0.0
    everywhere = covered(top)
    candidates = partitions.select(everywhere)
    if farthest_deg == 0:  # every row is placed by its own position
        return Chosen(candidates, everywhere)
    levels = _separation_levels(partitions.separations_deg[candidates])
    chosen: list[NDArray[np.int64]] = []
    widest = EMPTY
    for level in np.unique(levels).tolist():
        padded = everywhere if level == top else covered(level)
        tiles = np.intersect1d(partitions.select(padded), candidates[levels == level], assume_unique=True)
        if len(tiles):
            chosen.append(tiles)
            widest = padded  # levels ascend, so the last one used holds the rows of the others
    return Chosen(np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64), widest)


def _separation_levels(separations_deg: ArrayLike) -> NDArray[np.float64]:
    """Round separations up to 0 or a power of two of an arcsecond: few distinct pads."""
    arcsec = np.asarray(separations_deg) * 3600
    levels = np.exp2(np.ceil(np.log2(np.maximum(arcsec, 2.0**-10)))) / 3600
    return np.where(arcsec > 0, levels, 0.0)


def merged_ranges(
    partitions: PartitionMap | FileMap, chosen: Chosen, most: int = MAX_RANGES
) -> tuple[tuple[int, int], ...]:
    """Return at most `most` ranges that hold the coverage where the chosen tiles have rows.

    Ranges are joined over the smallest gaps. Empty if the tiles lie wholly inside the coverage.
    """
    coverage = chosen.coverage
    if coverage is None or len(chosen.tiles) == 0:
        return ()
    starts, stops = partitions.starts[chosen.tiles], partitions.stops[chosen.tiles]
    if _all_inside(starts, stops, coverage):
        return ()
    clipped = coverage[(coverage[:, 1] > starts.min()) & (coverage[:, 0] < stops.max())]
    return tuple((int(start), int(stop)) for start, stop in simplified(clipped, most))


def _all_inside(starts: NDArray[np.int64], stops: NDArray[np.int64], coverage: Coverage) -> bool:
    at = np.searchsorted(coverage[:, 0], starts, side="right") - 1
    return bool((at >= 0).all() and (stops <= coverage[np.maximum(at, 0), 1]).all())


def expected_rows(partitions: PartitionMap | FileMap, chosen: Chosen) -> float:
    """Return how many rows the coverage holds if each chosen tile has its rows evenly; all, if it is unbounded."""
    rows, coverage = partitions.rows[chosen.tiles], chosen.coverage
    if coverage is None or len(chosen.tiles) == 0:
        return float(rows.sum())
    starts, stops = partitions.starts[chosen.tiles], partitions.stops[chosen.tiles]
    before = np.concatenate(([0.0], np.cumsum(coverage[:, 1] - coverage[:, 0], dtype=np.float64)))

    def covered(upto: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how much of the coverage lies below."""
        at = np.searchsorted(coverage[:, 0], upto, side="right") - 1
        last = np.minimum(upto, coverage[np.maximum(at, 0), 1]) - coverage[np.maximum(at, 0), 0]
        return np.where(at < 0, 0.0, before[np.maximum(at, 0)] + last)

    shares = (covered(stops) - covered(starts)) / np.maximum(stops - starts, 1)
    return float((rows * shares).sum())


def position_box(stored: StoredTable, own: RegionExpr | None) -> RaDecBox | None:
    """Return a prefilter on the table's own position columns, or None if it would not help.

    Right ascension is bounded only where the manifest says which values are stored: each range of the sky is then
    written in the turns that occur there, such as -180 to 180.
    """
    cone = None if own is None else _around(own)
    if cone is None or cone.radius_deg > 60:
        return None
    radius = cone.radius_deg + COVERAGE_PAD_DEG
    dec_low, dec_high = cone.dec_deg - radius, cone.dec_deg + radius
    return RaDecBox(max(dec_low, -90.0), min(dec_high, 90.0), _ra_ranges(stored, cone, radius))


def _ra_ranges(stored: StoredTable, cone: Cone, radius: float) -> tuple[tuple[float, float], ...]:
    placement = stored.placement
    if placement is None or placement.ra_min is None or placement.ra_max is None:
        return ()
    if placement.ra_max - placement.ra_min > _WIDEST_RA or abs(cone.dec_deg) + radius >= 89.999:
        return ()
    half = math.degrees(math.asin(math.sin(math.radians(radius)) / math.cos(math.radians(cone.dec_deg))))
    half += COVERAGE_PAD_DEG
    low, high = cone.ra_deg - half, cone.ra_deg + half
    first, last = math.ceil((placement.ra_min - high) / 360), math.floor((placement.ra_max - low) / 360)
    turns = [360.0 * turn for turn in range(first, last + 1)]
    return tuple((low + turn, high + turn) for turn in turns) or ((low, high),)


def _around(expr: RegionExpr) -> Cone | None:
    """Return a cone that holds the region, None if it has no small one."""
    match expr:
        case Cone():
            return expr
        case Polygon(vertices=vertices) | ConvexPolygon(vertices=vertices):
            return bounding_cone(vertices)
        case AllOf(parts):
            cones = [cone for part in parts if (cone := _around(part)) is not None]
            return min(cones, key=lambda cone: cone.radius_deg, default=None)
        case Enlarged(part, by_deg):
            inner = _around(part)
            return None if inner is None else replace(inner, radius_deg=min(inner.radius_deg + by_deg, 180.0))
        case AnyOf() | Around() | Box():
            return None
