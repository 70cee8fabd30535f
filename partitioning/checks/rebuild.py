"""Rebuilding what a main catalog derives from its leaves: statistics, maps, the files that HATS readers read."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import LayoutError
from ..layout.files import put_in_place
from ..layout.hats import write_hats_files
from ..layout.leaf import footer_statistics
from ..layout.manifest import (
    Manifest,
    Placement,
    write_columns,
    write_files,
    write_manifest,
    write_row_groups,
)
from ..layout.paths import (
    COVERAGE_FILE,
    DENSITY_PICTURE,
    HEALPIX_COLUMN,
    POINT_MAP,
    SKY_MAP,
    SUMMARY_PAGE,
    SUMMARY_TEXT,
    THUMBNAIL,
)
from ..sky.healpix import order_shift
from ..stages.assemble import with_ra_bounds
from ..stages.counts import summed
from ..stages.maps import map_order, write_maps
from ..stages.sketch import Sketches, SketchesOfParts
from ..stages.summary import write_summary
from .catalog import DataFile, OpenCatalog, tried, tried_file
from .each import AHEAD, ahead
from .hats import expected_properties, files_table
from .maps import Map, read_map
from .statistics import column_list
from .values import is_separation_bound, separation_bound

__all__ = [
    "LeafScan",
    "Scans",
    "known_map_order",
    "put_manifest",
    "put_staged",
    "rebuild_maps",
    "rebuild_properties",
    "rebuild_statistics",
    "scan",
]

_SCRATCH: Final = ".repair"
_ROUNDING: Final = 1e-12
"""A recorded separation is larger than the true one by this, relative and in degrees."""


@dataclass(frozen=True, eq=False)
class LeafScan:
    """What one leaf holds, read anew."""

    file: DataFile
    """Its line in the list of files, checksum and bytes as listed."""
    groups: pa.Table
    column_bytes: NDArray[np.int64]
    column_nulls: NDArray[np.int64]
    map_pixels: NDArray[np.int64]
    map_rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scans:
    """What all leaves hold."""

    leaves: Sequence[LeafScan]
    sketches: Mapping[int, NDArray[np.uint64]]
    """Of the distinct values of each column."""


def scan(opened: OpenCatalog, order: int, workers: int) -> Scans:
    """Read all leaves, and count their rows in pixels of an order."""
    leaves, sketches = list[LeafScan](), SketchesOfParts()
    with ThreadPoolExecutor(workers) as pool:
        for leaf, mine in ahead(pool, partial(_scan_leaf, opened, order), opened.files, AHEAD * workers):
            leaves.append(leaf)
            sketches.add(mine)
    return Scans(leaves, sketches.merged())


def rebuild_statistics(opened: OpenCatalog, scans: Scans, manifest: Manifest) -> tuple[Manifest, list[str]]:
    """Write the statistics of row groups, files and columns; return the manifest that tells them, and what was written.

    The checksums of leaves are taken over: they are what leaves are held against, not derived from them.
    """
    leaves = scans.leaves
    files = tuple(each.file for each in leaves)
    size_bytes, nulls = (
        np.array([getattr(each, name) for each in leaves], dtype=np.int64).reshape(len(leaves), -1)
        for name in ("column_bytes", "column_nulls")
    )
    names = {opened.schema.names[number]: hashes for number, hashes in sorted(scans.sketches.items())}
    with put_staged(opened.path) as (scratch, written):
        numbers = [pa.array([number] * len(each.groups), pa.int32()) for number, each in enumerate(leaves)]
        groups = (each.groups.add_column(0, "file", at) for each, at in zip(leaves, numbers, strict=True))
        write_row_groups(scratch, groups)
        write_columns(scratch, size_bytes, nulls, names)
        if files != opened.files:
            write_files(scratch, files_table(files))
    columns = column_list(opened, size_bytes, nulls, scans.sketches)
    placement = None if manifest.placement is None else with_ra_bounds(manifest.placement, columns)
    rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
    return replace(manifest, columns=columns, placement=placement, rows=rows, bytes=size), written


def rebuild_maps(opened: OpenCatalog, leaves: Sequence[LeafScan], order: int) -> list[str]:
    """Write maps, coverage, thumbnail, picture and descriptions; return what was written."""
    pixels, rows = summed([each.map_pixels for each in leaves], [each.map_rows for each in leaves])
    write_maps(opened.path, pixels, rows, order)
    write_summary(opened.path, pixels, rows, order)
    return [POINT_MAP, SKY_MAP, COVERAGE_FILE, THUMBNAIL, DENSITY_PICTURE, SUMMARY_TEXT, SUMMARY_PAGE]


def rebuild_properties(opened: OpenCatalog, placement: Placement) -> list[str]:
    """Write properties, list of partitions and common schema; return what was written.

    Raises
    ------
    LayoutError
        If the map, whose order and coverage the properties tell, cannot be read.
    """
    point_map, problem = tried(partial(read_map, opened.path / POINT_MAP))
    if point_map is None:
        msg = f"{opened.path.name}/{POINT_MAP}: {problem}; repair the maps, too"
        raise LayoutError(msg)
    properties = expected_properties(opened, placement, point_map)
    with put_staged(opened.path) as (scratch, written):
        write_hats_files(scratch, properties, files_table(opened.files), opened.schema)
    return written


def put_manifest(opened: OpenCatalog, manifest: Manifest) -> list[str]:
    """Write the manifest; return what was written."""
    with put_staged(opened.path) as (scratch, written):
        write_manifest(scratch, manifest, files_table(opened.files))
    return written


def known_map_order(opened: OpenCatalog) -> int:
    """Return the order of the maps there are, or else that of new ones."""
    told: Map | None
    for name in (POINT_MAP, SKY_MAP):
        told, _ = tried_file(opened.damaged, name, partial(read_map, opened.path / name))
        if told is not None:
            return told.order
    return map_order(opened.manifest.rows)


@contextmanager
def put_staged(catalog: Path) -> Iterator[tuple[Path, list[str]]]:
    """Offer a directory; what is written there takes its place in the catalog, file by file, each by a rename.

    The list tells the names of these files, once they are in place.
    """
    scratch, written = catalog / _SCRATCH, list[str]()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        (scratch / "dataset").mkdir()
        yield scratch, written
        for path in sorted(path for path in scratch.rglob("*") if path.is_file()):
            name = path.relative_to(scratch).as_posix()
            (catalog / name).parent.mkdir(parents=True, exist_ok=True)
            put_in_place(path, catalog / name)
            written.append(name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@dataclass
class _Sums:
    """What the rows of one leaf add up to, row group by row group."""

    opened: OpenCatalog
    order: int
    sketches: Sketches
    nulls: NDArray[np.int64]
    separation: float = 0.0
    bounds: list[int] = field(default_factory=list)
    pixels: list[NDArray[np.int64]] = field(default_factory=list)
    rows: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, group: pa.Table) -> None:
        self.sketches.add(group)
        self.nulls += np.array([column.null_count for column in group.columns], dtype=np.int64)
        if self.opened.placement is None:
            return
        self.separation = max(self.separation, separation_bound(group, self.opened.placement))
        index = group.column(HEALPIX_COLUMN).to_numpy()
        self.bounds += [int(index.min()), int(index.max())]
        pixels, rows = np.unique(index >> order_shift(self.order), return_counts=True)
        self.pixels.append(pixels)
        self.rows.append(rows.astype(np.int64))


def _scan_leaf(opened: OpenCatalog, order: int, file: DataFile) -> tuple[LeafScan, Mapping[int, NDArray[np.uint64]]]:
    """Return what one leaf holds, and the sketches of its columns."""
    path, width = opened.path / file.path, len(opened.schema)
    sums = _Sums(opened, order, Sketches(opened.schema), np.zeros(width, dtype=np.int64))
    with pq.ParquetFile(path, page_checksum_verification=True) as leaf:
        groups, column_bytes = footer_statistics(leaf.metadata, opened.form)
        for number in range(leaf.metadata.num_row_groups):
            sums.add(leaf.read_row_group(number))
        rows = leaf.metadata.num_rows
    line = replace(
        file,
        rows=rows,
        bytes=path.stat().st_size,
        row_groups=len(groups),
        healpix_min=min(sums.bounds, default=file.healpix_min),
        healpix_max=max(sums.bounds, default=file.healpix_max),
    )
    if not is_separation_bound(file.max_separation_deg, sums.separation):
        line = replace(line, max_separation_deg=sums.separation * (1 + _ROUNDING) + _ROUNDING)
    found = LeafScan(line, groups, column_bytes, sums.nulls, *summed(sums.pixels, sums.rows))
    return found, sums.sketches.smallest()
