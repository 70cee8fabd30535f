"""Histogram: rows per HEALPix pixel, coarse over the whole sky and finer where rows crowd."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..exceptions import ConfigError
from ..readers.source import Source
from ..sky.healpix import order_shift
from .places import CHUNK_ROWS, PlacedRows, Places, degrees, index_or_reason, write_places

__all__ = ["COARSE_ORDER", "check_position_column", "count_within", "pixel_counts", "place_by_own_position"]

COARSE_ORDER: Final = 9
"""Order of the all-sky histogram: 3.1 million pixels of 6.9 arcmin, 25 MB of counts."""


def place_by_own_position(source: Source, ra: str, dec: str, directory: Path) -> Places:
    """Place every row by its own position; reads two columns.

    Parameters
    ----------
    ra, dec
        Position columns, degrees.
    directory
        Scratch directory to make.
    """
    for name in (ra, dec):
        check_position_column(source, name)
    file_rows = np.zeros(len(source.files), dtype=np.int64)

    def chunks() -> Iterator[PlacedRows]:
        for number, batch in source.batches((ra, dec), batch_rows=CHUNK_ROWS):
            file_rows[number] += batch.num_rows
            yield PlacedRows(index_or_reason(degrees(batch.column(0)), degrees(batch.column(1))))

    write_places(directory, chunks(), has_parent=False)
    return Places(directory, tuple(file_rows.tolist()), has_parent=False)


def check_position_column(source: Source, name: str) -> None:
    """Raise `ConfigError` unless `name` is a numeric column of `source`."""
    if name not in source.schema.names:
        msg = f"{source.file_name(0)}: there is no position column {name!r}; set ra and dec to columns of the input"
        raise ConfigError(msg)
    kind = source.schema.field(name).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        msg = f"{source.file_name(0)}: position column {name!r} is {kind}; it must hold degrees as numbers"
        raise ConfigError(msg)


def pixel_counts(places: Places, order: int = COARSE_ORDER) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the occupied pixels of `order`, sorted, and the rows in each; arrays of shape ``(N,)``."""
    counts = np.zeros(12 << (2 * order), dtype=np.int64)
    for index in places.index_chunks():
        counts += np.bincount(index >> order_shift(order), minlength=len(counts))
    pixels = np.flatnonzero(counts)
    return pixels, counts[pixels]


def count_within(
    places: Places, pixels: NDArray[np.int64], order: int, depth: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the occupied descendants of some pixels and the rows in each.

    Parameters
    ----------
    pixels
        Sorted pixel numbers at `order`, shape ``(H,)``; needs ``H * 4**depth`` counters.
    depth
        Levels to descend.

    Returns
    -------
    tuple
        Sorted pixel numbers at ``order + depth`` and row counts, each of shape ``(N,)``.
    """
    children = 1 << (2 * depth)
    counts = np.zeros(len(pixels) * children, dtype=np.int64)
    for index in places.index_chunks():
        fine = index >> order_shift(order + depth)
        slot = np.searchsorted(pixels, fine >> (2 * depth))
        found = pixels[np.minimum(slot, len(pixels) - 1)] == fine >> (2 * depth)
        cells = slot[found] * children + (fine[found] & (children - 1))
        counts += np.bincount(cells, minlength=len(counts))
    occupied = np.flatnonzero(counts)
    return (pixels[occupied // children] << (2 * depth)) + occupied % children, counts[occupied]
