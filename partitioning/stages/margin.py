"""Margin units: margins of tiles whose rows, or whose neighbours' rows, changed in an append, gathered from the leaves.

A build emits margin rows while it reads its input; an append reads only some of the rows, so that it looks around.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.files import replaced
from ..layout.manifest import FILES_SCHEMA, read_partition_map
from ..layout.paths import MANIFEST_DIR, leaf_path
from ..sky.healpix import ORDER, Pixel
from .base import hand_on_leaves
from .margin_from_leaves import MarginSource, write_margin_leaf
from .plan import TablePlan
from .spill import write_record
from .workspace import Workspace

__all__ = ["joined_margin", "margin_unit", "plan_margins"]

_UNIT_TILES: Final = 16
"""Tiles whose margins one unit gathers."""


def plan_margins(workspace: Workspace, tiles: NDArray[np.int64]) -> int:
    """Note the tiles (positions in the release's list of files) that need a new margin; return the number of units."""
    write_record(_tiles_path(workspace), tiles=tiles)
    return -(-len(tiles) // _UNIT_TILES)


def margin_unit(workspace: Workspace, plan: TablePlan, unit: int) -> int:
    """Write the margin leaves of some tiles of a release whose leaves and list of files are in place."""
    partitions = read_partition_map(workspace.catalog)
    threshold = plan.table.margin_arcsec
    source = MarginSource(workspace.catalog, partitions, plan.form.schema, plan.placement, threshold / 3600)
    with np.load(_tiles_path(workspace)) as record:
        tiles = record["tiles"][unit * _UNIT_TILES : (unit + 1) * _UNIT_TILES]
    files = []
    for tile in tiles.tolist():
        pixel = partitions.pixel(tile)
        facts = write_margin_leaf(source, pixel, workspace.margin(threshold) / leaf_path(pixel), plan.form)
        if facts is not None:
            files.append(facts.file_row())
    record_path = workspace.record("margin", unit)
    with replaced(record_path.with_suffix(".files.parquet")) as hidden:
        pq.write_table(pa.Table.from_pylist(files, FILES_SCHEMA), hidden)
    write_record(record_path, tiles=tiles)
    return sum(int(file["rows"]) for file in files)


def joined_margin(workspace: Workspace, plan: TablePlan, units: int, old_margin: Path) -> tuple[pa.Table, list[Pixel]]:
    """Link the margin leaves that stay; return the list of the margin's files by tile, and which tiles were copied."""
    partitions = read_partition_map(workspace.catalog)
    with np.load(_tiles_path(workspace)) as record:
        changed = record["tiles"]
    starts = partitions.tile_ranges()[:, 0]
    made = [pq.read_table(workspace.record("margin", n).with_suffix(".files.parquet")) for n in range(units)]
    old = _files(old_margin)
    keep = np.setdiff1d(np.arange(len(partitions)), changed)
    old = old.take(pa.array(np.flatnonzero(np.isin(_starts(old), starts[keep]))))
    copied = hand_on_leaves(old_margin, workspace.margin(plan.table.margin_arcsec), _pixels(old))
    files = pa.concat_tables([old, *(table.cast(FILES_SCHEMA) for table in made)])
    return files.take(pa.array(np.argsort(_starts(files), kind="stable"))), copied


def _tiles_path(workspace: Workspace) -> Path:
    return workspace.records / "margins.npz"


def _files(margin: Path) -> pa.Table:
    path = margin / MANIFEST_DIR / "files.parquet"
    return pq.read_table(path).cast(FILES_SCHEMA) if path.exists() else FILES_SCHEMA.empty_table()


def _pixels(files: pa.Table) -> list[Pixel]:
    return [Pixel(*one) for one in zip(*(files.column(n).to_pylist() for n in ("norder", "npix")), strict=True)]


def _starts(files: pa.Table) -> NDArray[np.int64]:
    """Return the first order-29 index of each file's tile."""
    orders = files.column("norder").to_numpy().astype(np.int64)
    starts: NDArray[np.int64] = files.column("npix").to_numpy() << (2 * (ORDER - orders))
    return starts
