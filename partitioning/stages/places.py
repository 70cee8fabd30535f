"""Places: the order-29 index of every input row, kept in scratch files of its unit.

Each row is placed once; tiling and bucket pass then read the places in step with the input. A row that has no
place carries a negative `Unplaced` code instead of an index.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..config import PositionFrom
from ..layout.files import replaced
from ..sky.healpix import radec_to_index

__all__ = ["CHUNK_ROWS", "Lookup", "PlacedRows", "Places", "Unplaced", "degrees", "index_or_reason", "write_places"]

CHUNK_ROWS: Final = 1 << 20
"""Rows of places read at a time."""


@dataclass(frozen=True)
class Lookup:
    """The parent's keys and positions, and what a look-up may use."""

    path: Path
    """DuckDB file with one row a key (`parents.make_lookup`)."""
    wanted: PositionFrom
    memory: int
    spill: Path


class Unplaced(IntEnum):
    """Why a row has no place; stored instead of its index."""

    NO_POSITION = -1
    INFINITE = -2
    BAD_DECLINATION = -3
    NO_PARENT = -4
    REMOVED = -5

    @property
    def reason(self) -> str:
        """Text for the reject file."""
        return _REASONS[self]


_REASONS: Final = {
    Unplaced.NO_POSITION: "position is NULL or NaN",
    Unplaced.INFINITE: "position is infinite",
    Unplaced.BAD_DECLINATION: "declination is outside [-90, 90]",
    Unplaced.NO_PARENT: "no parent, and no position of its own",
    Unplaced.REMOVED: "its input file was replaced",
}


@dataclass(frozen=True, eq=False)
class PlacedRows:
    """Places of consecutive rows; arrays of shape ``(N,)``."""

    index: NDArray[np.int64]
    """Order-29 index, or an `Unplaced` code."""
    parent_ra: NDArray[np.float64] | None = None
    parent_dec: NDArray[np.float64] | None = None
    """Position that places the row (degrees), where it must be stored beside the row's own."""
    orphans: int = 0
    """Rows without a parent that have a place nevertheless: their own."""


@dataclass(frozen=True)
class Places:
    """Scratch files with the place of every row of one input unit, in the order of the input."""

    directory: Path
    has_parent: bool
    """Whether the positions of parents are kept too."""

    def read(self, start: int, count: int) -> PlacedRows:
        """Return the places of rows ``[start, start + count)``, fewer at the end."""
        index = np.fromfile(self.directory / "index", np.int64, count, offset=8 * start)
        if not self.has_parent:
            return PlacedRows(index)
        ra, dec = (np.fromfile(self.directory / name, np.float64, count, offset=8 * start) for name in _PARENT_FILES)
        return PlacedRows(index, ra, dec)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return (self.directory / "index").stat().st_size // 8

    def index_chunks(self) -> Iterator[NDArray[np.int64]]:
        """Yield the indices of the placed rows, in input order."""
        start = 0
        while len(index := np.fromfile(self.directory / "index", np.int64, CHUNK_ROWS, offset=8 * start)):
            yield index[index >= 0]
            start += CHUNK_ROWS

    def code_chunks(self) -> Iterator[NDArray[np.int64]]:
        """Yield the `Unplaced` codes of the rows that have no place, in input order."""
        start = 0
        while len(index := np.fromfile(self.directory / "index", np.int64, CHUNK_ROWS, offset=8 * start)):
            yield index[index < 0]
            start += CHUNK_ROWS

    def remove(self) -> None:
        """Remove the files, once they are no longer needed."""
        shutil.rmtree(self.directory, ignore_errors=True)


_PARENT_FILES: Final = ("parent_ra", "parent_dec")


def write_places(directory: Path, chunks: Iterable[PlacedRows], *, has_parent: bool) -> None:
    """Write the places of the rows of one unit, in input order, to scratch files in `directory`."""
    names = ("index", *(_PARENT_FILES if has_parent else ()))
    with ExitStack() as stack:
        hidden = [stack.enter_context(replaced(directory / name, flush=False)) for name in names]
        files = [stack.enter_context(path.open("wb")) for path in hidden]
        for chunk in chunks:
            for file, array in zip(files, (chunk.index, chunk.parent_ra, chunk.parent_dec), strict=False):
                if array is not None:
                    file.write(np.ascontiguousarray(array).data)  # ndarray.tofile does not say that a disk is full


def degrees(column: pa.Array) -> NDArray[np.float64]:
    """Return a numeric column as float64, NaN where NULL."""
    values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def index_or_reason(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the order-29 index of each position, or an `Unplaced` code where it is unusable.

    Parameters
    ----------
    ra_deg, dec_deg
        Degrees, shape ``(N,)``; RA of any turn, NaN for a missing value.
    """
    index = np.full(len(ra_deg), Unplaced.BAD_DECLINATION, dtype=np.int64)
    index[np.isinf(ra_deg) | np.isinf(dec_deg)] = Unplaced.INFINITE
    index[np.isnan(ra_deg) | np.isnan(dec_deg)] = Unplaced.NO_POSITION
    usable = np.isfinite(ra_deg) & np.isfinite(dec_deg) & (np.abs(dec_deg) <= 90)
    index[usable] = radec_to_index(ra_deg[usable], dec_deg[usable])
    return index
