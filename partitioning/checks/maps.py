"""Checks of the maps: exact rows per pixel, and the MOC of the occupied pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import LayoutError
from ..layout.paths import COVERAGE_FILE, POINT_MAP, SKY_MAP
from ..sky.coverage import Coverage, union
from ..sky.healpix import ORDER, order_shift
from .catalog import OpenCatalog, tried
from .leaf import LeafSums
from .report import Collector

__all__ = ["Map", "check_maps", "read_map", "read_moc", "summed_map"]


@dataclass(frozen=True, eq=False)
class Map:
    """Rows per occupied pixel of one order; arrays of shape ``(N,)``, sorted by pixel."""

    order: int
    pixels: NDArray[np.int64]
    rows: NDArray[np.int64]


def read_map(path: Path) -> Map:
    """Read a row-count map in the explicit form.

    Raises
    ------
    LayoutError
        If it is no such map.
    """
    header, data = _fits_table(path)
    nside = int(header.get("NSIDE", 0))
    named = (header.get("PIXTYPE"), header.get("ORDERING"), header.get("INDXSCHM"))
    if named != ("HEALPIX", "NESTED", "EXPLICIT") or nside.bit_count() != 1 or nside.bit_length() > ORDER + 1:
        msg = f"{path.name} is no NESTED HEALPix map with explicit pixels"
        raise LayoutError(msg)
    pixels, rows = (np.asarray(data[name], dtype=np.int64) for name in ("PIXEL", "VALUE"))
    if not (np.diff(pixels, prepend=-1) > 0).all() or (len(pixels) and pixels[-1] >= 12 * nside**2):
        msg = f"the pixels of {path.name} are not sorted, or none of the sky"
        raise LayoutError(msg)
    return Map(nside.bit_length() - 1, pixels, rows)


def read_moc(path: Path) -> Coverage:
    """Read a MOC whose cells are NUNIQ numbers.

    Raises
    ------
    LayoutError
        If it is no such MOC.
    """
    header, data = _fits_table(path)
    if header.get("ORDERING") != "NUNIQ":
        msg = f"{path.name} is no MOC of NUNIQ cells"
        raise LayoutError(msg)
    uniq = np.asarray(data[data.names[0]], dtype=np.int64)
    if (uniq < 4).any() or (uniq >= 16 << (2 * ORDER)).any():
        msg = f"{path.name} has numbers that are no cells"
        raise LayoutError(msg)
    orders = np.array([(int(number).bit_length() - 3) // 2 for number in uniq.tolist()], dtype=np.int64)
    pixels, shifts = uniq - (np.int64(4) << (2 * orders)), 2 * (ORDER - orders)
    return union(np.stack([pixels << shifts, (pixels + 1) << shifts], axis=1))


def summed_map(order: int, sums: Sequence[LeafSums]) -> Map:
    """Return the map of all rows that were read."""
    none = [np.empty(0, dtype=np.int64)]
    found = np.concatenate([*none, *(pixels for each in sums for pixels in each.map_pixels)])
    counts = np.concatenate([*none, *(rows for each in sums for rows in each.map_rows)])
    pixels, slots = np.unique(found, return_inverse=True)
    rows = np.zeros(len(pixels), dtype=np.int64)
    np.add.at(rows, slots, counts)
    return Map(order, pixels, rows)


def check_maps(opened: OpenCatalog, point_map: Map, sums: dict[int, LeafSums], found: Collector) -> None:
    """Check both maps and the MOC.

    Rows per tile are compared with the list of files for all tiles, rows per pixel with the leaves that were read.

    Parameters
    ----------
    sums
        What was read, by number of the file.
    """
    _check_totals(opened, point_map, found)
    _check_pixels(opened, point_map, sums, found)
    same, problem = tried(lambda: read_map(opened.path / SKY_MAP))
    equal = same is not None and same.order == point_map.order and np.array_equal(same.pixels, point_map.pixels)
    equal = equal and same is not None and np.array_equal(same.rows, point_map.rows)
    found.expect(equal, "maps", SKY_MAP, problem or f"it differs from {POINT_MAP}")
    moc, problem = tried(lambda: read_moc(opened.path / COVERAGE_FILE))
    wrong = problem or f"its cells are not the occupied pixels of {POINT_MAP}"
    found.expect(moc is not None and np.array_equal(moc, occupied(point_map)), "maps", COVERAGE_FILE, wrong)


def occupied(point_map: Map) -> Coverage:
    """Return the pixels of a map that hold rows."""
    pixels, shift = point_map.pixels[point_map.rows != 0], order_shift(point_map.order)
    return union(np.stack([pixels << shift, (pixels + 1) << shift], axis=1))


def _fits_table(path: Path) -> tuple[Any, Any]:
    from astropy.io import fits  # noqa: PLC0415  astropy takes 0.5 s to import, and only maps need it

    with fits.open(path, memmap=False) as units:
        return units[1].header, units[1].data


def _check_totals(opened: OpenCatalog, point_map: Map, found: Collector) -> None:
    """Compare rows per tile, or per map pixel where tiles are finer, with the list of files."""
    shift = order_shift(point_map.order)
    coarse = np.array([file.pixel.order <= point_map.order for file in opened.files], dtype=bool)
    starts = np.where(coarse, opened.ranges[:, 0], opened.ranges[:, 0] >> shift << shift)
    cells, slots = np.unique(starts, return_inverse=True)
    listed = np.zeros(len(cells), dtype=np.int64)
    np.add.at(listed, slots, np.array([file.rows for file in opened.files], dtype=np.int64))
    at = np.searchsorted(cells, point_map.pixels << shift, side="right") - 1
    inside = at >= 0
    counted = np.zeros(len(cells), dtype=np.int64)
    np.add.at(counted, at[inside], point_map.rows[inside])
    found.expect(bool(inside.all()), "maps", POINT_MAP, "pixels before the first tile hold rows")
    for cell in np.flatnonzero(counted != listed).tolist():
        file = opened.files[int(np.flatnonzero(slots == cell)[0])]
        wrong = f"it counts {counted[cell]} rows in this tile and up to the next, files.parquet {listed[cell]}"
        found.add("maps", POINT_MAP, wrong, file.pixel)


def _check_pixels(opened: OpenCatalog, point_map: Map, sums: dict[int, LeafSums], found: Collector) -> None:
    """Compare rows per pixel with the tiles that were read whole; a pixel with several tiles needs all of them."""
    read = [number for number, each in sums.items() if each.is_complete]
    if len(read) < len(opened.files):
        read = [number for number in read if opened.files[number].pixel.order <= point_map.order]
    true = summed_map(point_map.order, [sums[number] for number in read])
    owner = opened.tiles_of(point_map.pixels << order_shift(point_map.order))
    mine = np.isin(owner, read) if len(read) < len(opened.files) else np.ones(len(owner), dtype=bool)
    told = Map(point_map.order, point_map.pixels[mine], point_map.rows[mine])
    pixels = np.union1d(told.pixels, true.pixels)
    differ = pixels[_rows_at(told, pixels) != _rows_at(true, pixels)]
    for pixel in differ.tolist():
        tile = int(opened.tiles_of(np.array([pixel]) << order_shift(point_map.order))[0])
        rows = [int(_rows_at(each, np.array([pixel]))[0]) for each in (told, true)]
        wrong = f"pixel {pixel} of order {point_map.order} has {rows[1]} rows, not {rows[0]}"
        found.add("maps", POINT_MAP, wrong, opened.files[tile].pixel if tile >= 0 else None)


def _rows_at(counted: Map, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(counted.pixels):
        return np.zeros(len(pixels), dtype=np.int64)
    at = np.minimum(np.searchsorted(counted.pixels, pixels), len(counted.pixels) - 1)
    return np.where(counted.pixels[at] == pixels, counted.rows[at], 0)
