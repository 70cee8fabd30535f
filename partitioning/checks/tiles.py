"""Checks of the list of files as a partition of the sky, and which tiles a verification reads."""

from pathlib import Path

import numpy as np

from .catalog import DataFile, OpenCatalog
from .report import Collector, Full, Sample, Scope, Tiles

__all__ = ["check_partition_map", "check_presence", "chosen_files"]

_PATH = "manifest/files.parquet"


def check_partition_map(opened: OpenCatalog, found: Collector) -> None:
    """Check that tiles are in HEALPix order, apart from each other, and hold the bounds listed for them."""
    ranges = opened.ranges
    for before, file in zip(opened.files, opened.files[1:], strict=False):
        if ranges[file.number, 0] < ranges[before.number, 1]:
            wrong = f"this tile overlaps the one before it, {before.path}, or comes after it on the sky"
            found.add("partition_map", _PATH, wrong, file.pixel)
    for file in opened.files:
        start, stop = file.range
        good = start <= file.healpix_min <= file.healpix_max < stop
        found.expect(good, "partition_map", _PATH, "the listed index bounds are not inside the tile", file.pixel)
        good = file.rows > 0 or opened.placement is None
        found.expect(good, "partition_map", _PATH, "a tile has no rows", file.pixel)


def check_presence(catalog: Path, file: DataFile, found: Collector) -> None:
    """Check that a data file is there and as long as listed, without reading it."""
    path = catalog / file.path
    if not found.expect(path.is_file(), "files", file.path, "the data file is missing", file.pixel):
        return
    size = path.stat().st_size
    found.expect(size == file.bytes, "files", file.path, f"it has {size} bytes, not {file.bytes}", file.pixel)


def chosen_files(opened: OpenCatalog, scope: Scope, found: Collector) -> list[DataFile]:
    """Return the files that are read whole, in their order."""
    match scope:
        case Full():
            return list(opened.files)
        case Sample():
            order = np.random.default_rng(scope.seed).permutation(len(opened.files))
            return [opened.files[number] for number in sorted(order[: scope.count(len(opened.files))].tolist())]
        case Tiles():
            for pixel in sorted(scope.pixels - {file.pixel for file in opened.files}):
                found.add("files", _PATH, "this tile is not listed", pixel)
            return [file for file in opened.files if file.pixel in scope.pixels]
