"""The margin of one tile, gathered from the leaves around it.

A build emits margin rows while it reads its input; this is the way back, for verification, repair and append.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..layout.leaf import LeafFormat, write_leaf
from ..layout.manifest import Placement
from ..layout.partition_map import PartitionMap
from ..layout.paths import HEALPIX_COLUMN, leaf_path
from ..sky.borders import Tiles, halo_of, margin_rows
from ..sky.coverage import Coverage, union
from ..sky.healpix import Pixel, order_shift
from .leaf_rows import rows_within
from .ledger import LeafFacts
from .order import regrouped, unsliced
from .places import degrees

__all__ = ["MarginSource", "Surroundings", "margin_parts", "surroundings", "write_margin_leaf"]


@dataclass(frozen=True, eq=False)
class MarginSource:
    """The main catalog whose margins are wanted."""

    catalog: Path
    partitions: PartitionMap
    schema: pa.Schema
    placement: Placement
    threshold_deg: float


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is around a tile: where rows of its margin can be."""

    tile: Pixel
    coverage: Coverage
    """The cells around the tile."""
    leaves: tuple[int, ...]
    """Numbers of the other leaves that meet them."""


def surroundings(source: MarginSource, tile: Pixel) -> Surroundings:
    """Return the surroundings of a tile as wide as the threshold."""
    halo = halo_of([tile.order], [tile.number], source.threshold_deg)
    shift = order_shift(halo.order)
    coverage = union(np.stack([halo.cells << shift, (halo.cells + 1) << shift], axis=1))
    numbers: list[int] = source.partitions.select(coverage).tolist()
    return Surroundings(tile, coverage, tuple(number for number in numbers if source.partitions.pixel(number) != tile))


def margin_parts(
    source: MarginSource, around: Surroundings, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Yield the rows of other tiles whose declared position is at most the threshold away from a tile.

    Only the row groups of neighbouring leaves that meet the cells around the tile are read, one at a time.

    Parameters
    ----------
    columns
        Columns to return, index and position among them; all by default.

    Yields
    ------
    pyarrow.Table
        With the columns of a leaf, in the order of a leaf; rows of one row group of a neighbour.

    Raises
    ------
    OSError, pyarrow.ArrowException
        If a leaf cannot be read.
    """
    tiles = Tiles([around.tile.order], [around.tile.number])
    for rows in _rows_around(source, around, columns):
        index = rows.column(HEALPIX_COLUMN).to_numpy()
        ra, dec = degrees(rows.column(source.placement.ra_column)), degrees(rows.column(source.placement.dec_column))
        near, _ = margin_rows(index, ra, dec, tiles, source.threshold_deg)
        if len(near):
            yield unsliced(rows).take(pa.array(near))


def write_margin_leaf(source: MarginSource, tile: Pixel, path: Path, form: LeafFormat) -> LeafFacts | None:
    """Write the margin of a tile, some row groups in memory at a time, and return what it holds; None if it is empty.

    Row groups are of about equal size, so that the positions are read once before to count the rows.
    """
    around = surroundings(source, tile)
    names = (HEALPIX_COLUMN, source.placement.ra_column, source.placement.dec_column)
    rows = sum(part.num_rows for part in margin_parts(source, around, names))
    if not rows:
        return None
    summary = write_leaf(path, regrouped(margin_parts(source, around), form.group_rows(rows)), form)
    low, high = pc.min(summary.groups.column("healpix_min")), pc.max(summary.groups.column("healpix_max"))
    none = np.empty(0, dtype=np.int64)
    return LeafFacts(tile, summary, low.as_py(), high.as_py(), 0.0, none, none, {})


def _rows_around(source: MarginSource, around: Surroundings, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """Yield the rows of other leaves inside the surroundings, in HEALPix order."""
    for number in around.leaves:
        yield from rows_within(source.catalog / leaf_path(source.partitions.pixel(number)), around.coverage, columns)
