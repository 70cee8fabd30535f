"""Checks of a margin: each tile's margin leaf holds exactly the rows of other tiles near its border."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from ..layout.manifest import MarginRecord, Placement, read_partition_map
from ..layout.paths import HEALPIX_COLUMN, MANIFEST_DIR
from ..sky.borders import distance_to_pixels_deg
from ..sky.healpix import Pixel
from ..stages.margin_from_leaves import MarginSource, margin_parts, surroundings
from ..stages.places import degrees
from .catalog import DataFile, OpenCatalog, read_files, tried, tried_file
from .difference import RowsDifference
from .hats import check_partition_info, check_properties, check_schema_file, expected_margin_properties
from .leaf import LeafTask, check_leaf
from .report import Collector
from .sound import Apart, SoundFiles
from .tiles import check_presence
from .tree import check_data_tree, check_small_files

__all__ = ["check_margin"]

_EITHER_SIDE_DEG: Final = 1e-9
"""Rows this close to the threshold may be in the margin or not: two correct formulas disagree about them."""

_PATH: Final = f"{MANIFEST_DIR}/files.parquet"


def check_margin(
    opened: OpenCatalog, record: MarginRecord, sound: SoundFiles, found: Collector
) -> Callable[[DataFile, Apart], Collector] | None:
    """Check all of a margin but its rows, and return the check of the rows of one tile; None if it cannot be made.

    Parameters
    ----------
    sound
        Of the leaves of the main catalog.
    """
    catalog = opened.path.parent / record.directory
    if opened.placement is None or not catalog.is_dir():
        found.add("margin", "", "the directory of the margin is missing")
        return None
    damaged = check_small_files(catalog, found)
    check_properties(catalog, expected_margin_properties(opened, record), found)
    check_schema_file(catalog, damaged, opened.schema, found)
    files, problem = tried_file(damaged, _PATH, partial(read_files, catalog))
    partitions, other = tried(partial(read_partition_map, opened.path))
    if files is None or partitions is None:
        found.add("margin", _PATH, problem or other)
        return None
    check_partition_info(catalog, files, found)
    check_data_tree(catalog, [file.path for file in files], found)
    _check_list(opened, record, files, found)
    for file in files:
        check_presence(catalog, file, found)
    source = MarginSource(opened.path, partitions, opened.schema, opened.placement, record.threshold_arcsec / 3600)
    listed = {file.pixel: file for file in files}
    return _MarginChecks(opened, catalog, listed, source, opened.placement, sound)


def _check_list(opened: OpenCatalog, record: MarginRecord, files: tuple[DataFile, ...], found: Collector) -> None:
    tiles = [file.pixel for file in opened.files]
    places = {pixel: place for place, pixel in enumerate(tiles)}
    for file in files:
        found.expect(file.pixel in places, "margin", _PATH, "the table has no such tile", file.pixel)
    order = [places[file.pixel] for file in files if file.pixel in places]
    found.expect(order == sorted(set(order)), "margin", _PATH, "its tiles are not in HEALPix order, each once")
    for name, told in (("rows", record.rows), ("bytes", record.bytes)):
        total = sum(getattr(file, name) for file in files)
        found.expect(total == told, "rows", _PATH, f"it adds up to {total} {name}, the manifest tells {told}")


@dataclass(frozen=True, eq=False)
class _MarginChecks:
    """The check of the margin of one tile, whichever."""

    opened: OpenCatalog
    catalog: Path
    listed: dict[Pixel, DataFile]
    source: MarginSource
    placement: Placement
    sound: SoundFiles

    def __call__(self, tile: DataFile, apart: Apart) -> Collector:
        """Return what is wrong with the margin of a tile."""
        found, file, rows = Collector(self.catalog.name), self.listed.get(tile.pixel), Counter[str]()

        def tell(missing: pa.Table, surplus: pa.Table) -> None:
            rows["missing"] += self._clear(tile.pixel, missing)
            rows["surplus"] += self._clear(tile.pixel, surplus)

        difference = RowsDifference(self._expected(tile), self.opened.schema, tell)
        readable = file is None or self._watched(file, difference, apart, found)
        if readable:
            difference.finish()
        if difference.problem:
            problem = f"the rows of its margin cannot be read: {difference.problem}"
            found.add("margin", tile.path, problem, tile.pixel)
        elif readable:
            wrong = (
                f"{rows['missing']} rows are missing and {rows['surplus']} do not belong there or are not the leaf's"
            )
            found.expect(not rows.total(), "margin", tile.path, wrong, tile.pixel)
        return found

    def _expected(self, tile: DataFile) -> Iterator[pa.Table]:
        around = surroundings(self.source, tile.pixel)
        self.sound.require(self.opened.files[number] for number in around.leaves)
        yield from margin_parts(self.source, around)

    def _watched(self, file: DataFile, difference: RowsDifference, apart: Apart, found: Collector) -> bool:
        """Check a margin leaf while its rows are compared; return whether all could be, being in order."""
        is_ordered = True

        def watch(group: pa.Table) -> None:
            nonlocal is_ordered
            index = group.column(HEALPIX_COLUMN)
            is_ordered = is_ordered and not index.null_count and bool((np.diff(index.to_numpy()) >= 0).all())
            if is_ordered:
                difference.add(group)

        task = LeafTask(
            catalog=self.catalog,
            file=file,
            form=self.opened.form,
            placement=self.placement,
            is_margin=True,
            watch=watch,
        )
        return check_leaf(task, None, SoundFiles(self.catalog), apart, found).is_complete and is_ordered

    def _clear(self, tile: Pixel, rows: pa.Table) -> int:
        """Return how many rows are clearly on one side of the threshold."""
        if not len(rows):
            return 0
        ra, dec = (degrees(rows.column(name)) for name in (self.placement.ra_column, self.placement.dec_column))
        distance = distance_to_pixels_deg(ra, dec, np.full(len(rows), tile.order), np.full(len(rows), tile.number))
        return int((np.abs(distance - self.source.threshold_deg) > _EITHER_SIDE_DEG).sum())
