"""Sort pass: each bucket is read, sorted and cut into tiles, each tile written as one leaf."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..layout.leaf import LeafFormat, LeafSummary, row_groups, write_leaf
from ..layout.manifest import Placement
from ..layout.paths import HEALPIX_COLUMN, leaf_path
from ..sky.healpix import Pixel, order_shift
from ..sky.separation import separation_deg
from .bucket import Bucket, encoded_slices, group_tiles, spill, spilled_batches
from .places import degrees
from .tiling import Tiling

__all__ = ["Leaf", "SortPlan", "sort_buckets", "sorted_order"]


@dataclass(frozen=True)
class SortPlan:
    """What the sort pass needs to know beside the buckets."""

    tiling: Tiling
    form: LeafFormat
    catalog: Path
    """Directory of the catalog under construction."""
    map_order: int
    """Order of the row-count map."""
    bucket_rows: float
    """Larger buckets of several tiles are split once more before they are read."""
    threads: int
    placement: Placement


@dataclass(frozen=True)
class Leaf:
    """One tile as written."""

    pixel: Pixel
    summary: LeafSummary
    healpix_min: int
    healpix_max: int
    max_separation_deg: float
    map_pixels: NDArray[np.int64]
    """Occupied pixels of the map, sorted."""
    map_rows: NDArray[np.int64]
    """Rows in each."""


def sort_buckets(buckets: Sequence[Bucket], plan: SortPlan) -> Iterator[Leaf]:
    """Write every tile and yield the leaves in HEALPix order; spill files are removed as they are used up."""
    with ThreadPoolExecutor(plan.threads) as pool:
        waiting = deque(pool.submit(_sort_bucket, bucket, plan) for bucket in buckets)
        try:
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def sorted_order(table: pa.Table, id_columns: Sequence[str]) -> NDArray[np.int64]:
    """Return the row order by (`HEALPIX_COLUMN`, id columns, order of input), shape ``(N,)``."""
    index = table.column(HEALPIX_COLUMN).to_numpy()
    order = np.argsort(index, kind="stable")
    if not id_columns:
        return order
    in_order = index[order]
    same = in_order[1:] == in_order[:-1]
    tied = np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))
    if len(tied):
        rows = np.sort(order[tied])
        keys = table.select([HEALPIX_COLUMN, *id_columns]).take(pa.array(rows))
        by_key = pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names])  # stable
        order[tied] = rows[by_key.to_numpy()]
    return order


def _sort_bucket(bucket: Bucket, plan: SortPlan) -> list[Leaf]:
    if bucket.rows > plan.bucket_rows and bucket.last - bucket.first > 1:
        return list(chain.from_iterable(_sort_bucket(part, plan) for part in _split_bucket(bucket, plan)))
    table = _sorted_table(bucket.path, plan.form)
    bucket.path.unlink()
    index = table.column(HEALPIX_COLUMN).to_numpy()
    starts = plan.tiling.starts[bucket.first : bucket.last]
    edges = [*np.searchsorted(index, starts).tolist(), len(index)]
    return [
        _write_tile(plan.tiling.pixel(tile), table.slice(first, last - first), plan)
        for tile, first, last in zip(range(bucket.first, bucket.last), edges, edges[1:], strict=False)
    ]


def _split_bucket(bucket: Bucket, plan: SortPlan) -> tuple[Bucket, ...]:
    """Spill a bucket once more, into smaller ones of fewer tiles, batch by batch."""
    groups = group_tiles(plan.tiling, bucket.first, bucket.last, plan.bucket_rows)
    starts = plan.tiling.starts[[first for first, _ in groups]]

    def routed() -> Iterator[tuple[Sequence[pa.Buffer | None], NDArray[np.int64]]]:
        for batch in spilled_batches(bucket.path):
            part = np.searchsorted(starts, batch.column(0).to_numpy(), side="right") - 1
            order = np.argsort(part.astype(np.uint16), kind="stable")
            edges = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=len(groups)))]).astype(np.int64)
            yield encoded_slices(batch.take(pa.array(order)), edges), edges

    parts = spill(routed(), groups, bucket.path.with_name(f"{bucket.path.name}-parts"))
    bucket.path.unlink()
    return parts


def _sorted_table(path: Path, form: LeafFormat) -> pa.Table:
    """Read a spill file and return its rows sorted; columns are dropped one by one as they are taken."""
    table = pa.Table.from_batches(spilled_batches(path), form.schema)
    order = pa.array(sorted_order(table, form.id_columns))
    columns = table.columns
    del table
    for number, column in enumerate(columns):
        columns[number] = None
        columns[number] = _one_chunk(column).take(order)
        del column
    return pa.table(columns, schema=form.schema)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Return one array: taking from it is several times faster than from many chunks."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _write_tile(pixel: Pixel, table: pa.Table, plan: SortPlan) -> Leaf:
    path = plan.catalog / leaf_path(pixel)
    path.parent.mkdir(parents=True, exist_ok=True)
    summary = write_leaf(path, row_groups(table, plan.form), plan.form)
    index = table.column(HEALPIX_COLUMN).to_numpy()
    map_pixels, map_rows = np.unique(index >> order_shift(plan.map_order), return_counts=True)
    return Leaf(
        pixel=pixel,
        summary=summary,
        healpix_min=int(index[0]),
        healpix_max=int(index[-1]),
        max_separation_deg=_max_separation(table, plan),
        map_pixels=map_pixels,
        map_rows=map_rows.astype(np.int64),
    )


def _max_separation(table: pa.Table, plan: SortPlan) -> float:
    """Return the largest separation between own and declared position, in degrees, rounded up a little."""
    placement = plan.placement
    if placement.own_ra_column in (None, placement.ra_column):
        return 0.0
    own = [degrees(table.column(name)) for name in (placement.own_ra_column, placement.own_dec_column)]
    declared = [degrees(table.column(name)) for name in (placement.ra_column, placement.dec_column)]
    with np.errstate(invalid="ignore"):  # an own position may be infinite: such a row lies in no region
        separations = separation_deg(*own, *declared)
    usable = np.isfinite(separations)
    return float(separations[usable].max(initial=0.0)) * (1 + 1e-12) + (1e-12 if usable.any() else 0.0)
