"""From the histogram to tiles and buckets: what the director of a build decides between placing and bucketing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..layout.partition_map import PartitionMap
from ..sky.healpix import ORDER
from .bucket import BucketPlan, bucket_rows_limit, group_tiles, write_bucket_plan
from .counts import Counts
from .histogram import COARSE_ORDER, coarse_counts, count_within, counts_of_units, write_count_request
from .maps import map_order
from .places import Places
from .plan import TablePlan
from .run import Share, chunk_rows, window_rows
from .tiling import TileLimits, make_tiling
from .workspace import Workspace

__all__ = ["count_in_units", "make_tiles"]


Refine = Callable[[NDArray[np.int64], int, int], Counts]
"""Counts rows in descendants of some pixels: `histogram.count_within` for all rows of a build."""


def make_tiles(
    workspace: Workspace, plan: TablePlan, finer: PartitionMap | None, share: Share, refine: Refine | None = None
) -> BucketPlan:
    """Choose tiles and buckets, and write them.

    Parameters
    ----------
    finer
        Tiles of the parent: no tile strictly contains one of them.
    refine
        How rows are counted where they crowd; by default here, one unit after the other.

    Raises
    ------
    InputError
        If no row has a place.
    """
    counts = coarse_counts(workspace, plan.unit_count)
    rows = int(counts[1].sum())
    if rows == 0 and (plan.base is None or len(plan.base.touched_tiles) == len(plan.base_map)):
        msg = f"table {plan.table.name!r}: none of its rows has a usable position"
        raise InputError(msg)

    def count_here(pixels: NDArray[np.int64], order: int, depth: int) -> Counts:
        return count_within(_units_with_rows(workspace, plan, pixels, order), pixels, order, depth)

    tiling = make_tiling(counts, COARSE_ORDER, tile_limits(plan, finer), refine or count_here)
    most = bucket_rows_limit(window_rows(plan, share), plan.row_bytes, chunk_rows(plan, share), rows)
    buckets = BucketPlan(
        tiling=tiling,
        firsts=group_tiles(tiling.rows.tolist(), most),
        margin_deg=0.0 if plan.base is not None else plan.table.margin_arcsec / 3600,
        map_order=map_order(rows),
    )
    write_bucket_plan(workspace, buckets)
    return buckets


def count_in_units(workspace: Workspace, plan: TablePlan, run: Callable[[str, int], None]) -> Refine:
    """Return how rows are counted by the processes of a build; ``run(stage, units)`` runs a stage.

    A large table crowds all of its sky: one process would read the places of all rows.
    """

    def refine(pixels: NDArray[np.int64], order: int, depth: int) -> Counts:
        stage = f"count-{order}"
        write_count_request(workspace, stage, pixels, order, depth)
        run(stage, plan.unit_count)
        return counts_of_units(workspace, stage, plan.unit_count)

    return refine


def finest_with_margin(margin_arcsec: float) -> int:
    """Return the finest order whose tiles are at least twice as wide as the margin.

    Splitting further would make more rows of margins than it takes off the tiles: a margin is three times as large as
    the tile at this order, and grows by four with each.

    >>> [finest_with_margin(arcsec) for arcsec in (0.0, 5.0, 10.0, 3600.0)]
    [29, 14, 13, 4]
    """
    widths_deg = np.sqrt(4 * np.pi / 12) * 180 / np.pi / 2.0 ** np.arange(ORDER + 1)
    return int(np.flatnonzero(widths_deg >= 2 * margin_arcsec / 3600)[-1])


def _units_with_rows(workspace: Workspace, plan: TablePlan, pixels: NDArray[np.int64], order: int) -> list[Places]:
    """Return the places of the units that have rows in some pixels of at least `COARSE_ORDER`."""
    coarse = np.unique(pixels >> (2 * (order - COARSE_ORDER)))
    chosen = []
    for unit in range(plan.unit_count):
        with np.load(workspace.record("place", unit)) as record:
            if np.isin(record["pixels"], coarse).any():
                chosen.append(Places(workspace.places(unit), has_parent=plan.stores_parent))
    return chosen


def tile_limits(plan: TablePlan, finer: PartitionMap | None) -> TileLimits:
    """Return when a tile is split: by its rows, and where it holds tiles of the parent or of the base release."""
    limits = TileLimits(plan.target_rows, min(plan.table.max_order, finest_with_margin(plan.table.margin_arcsec)))
    orders, starts = [], []
    for tiles in (finer, None if plan.base is None else plan.base_map):
        if tiles is not None:
            orders.append(tiles.orders.astype(np.int64))
            starts.append(tiles.tile_ranges()[:, 0])
    if not orders:
        return limits
    all_orders, all_starts = np.concatenate(orders), np.concatenate(starts)
    at = np.argsort(all_starts, kind="stable")
    return replace(limits, parent_orders=all_orders[at], parent_starts=all_starts[at])
