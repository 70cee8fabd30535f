"""Where the rows of a foreign file lie, by their positions: names, tiles and statistics are not believed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import hpgeom
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.schema import has_nan
from ..sky.coverage import EMPTY, Coverage, simplified, union
from ..sky.healpix import ORDER, SKY_STOP, radec_to_index
from ..sky.separation import separation_deg
from .columns import ForeignColumn

__all__ = ["MOST_RANGES", "FileContent", "PositionColumns", "read_content"]

MOST_RANGES: Final = 32
"""Ranges kept of each file: a tract, whose pixels are many short runs along the HEALPix curve, prunes well by them."""

_WORKING_RANGES: Final = 4096
"""Ranges of a file while it is read."""

_BATCH_ROWS: Final = 1 << 18

_SAME_PIXEL_DEG: Final = 0.002 / 3600
"""A stored index may be of a neighbouring pixel (0.4 mas wide) where another library rounds otherwise."""


@dataclass(frozen=True, slots=True)
class PositionColumns:
    """Names of the columns that say where a row lies."""

    ra: str
    dec: str
    index: str | None = None
    """Order-29 index as int64, if there is one."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(name for name in (self.ra, self.dec, self.index) if name is not None)


@dataclass
class FileContent:
    """What reading the rows of one file has shown."""

    group_ranges: list[tuple[int, int]] = field(default_factory=list)
    """Half-open range of order-29 indices of each row group; (0, 0) if none of its rows has a position."""
    ranges: Coverage = field(default_factory=lambda: EMPTY)
    """At most `MOST_RANGES`."""
    positions: int = 0
    """Rows with a position."""
    is_finite: bool = True
    """Whether no position is NaN or infinite, and no declination outside [-90, 90]; NULLs are allowed."""
    ra_min: float = np.inf
    ra_max: float = -np.inf
    index_is_right: bool = True
    """Whether the stored index ascends and is that of the position wherever there is one."""
    with_nan: set[str] = field(default_factory=set)
    """Columns in which NaN was met, of those that were read for it."""
    _last_index: int = -1

    def add_group(self, batches: Iterator[pa.RecordBatch], columns: PositionColumns) -> None:
        """Add the rows of one row group."""
        low, high = SKY_STOP, 0
        for batch in batches:
            found = self._add(batch, columns)
            if found is not None:
                low, high = min(low, found[0]), max(high, found[1])
        self.group_ranges.append((low, high) if low < high else (0, 0))

    def close(self) -> "FileContent":
        """Reduce the ranges once all groups are there."""
        self.ranges = simplified(self.ranges, MOST_RANGES)
        return self

    def _add(self, batch: pa.RecordBatch, columns: PositionColumns) -> tuple[int, int] | None:
        """Add rows; return the range of their indices, None if none has a position."""
        ra, dec = (_degrees(batch.column(name)) for name in (columns.ra, columns.dec))
        usable = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
        given = ~(_nulls(batch.column(columns.ra)) | _nulls(batch.column(columns.dec)))
        self.is_finite &= bool(usable[given].all()) and _is_finite(batch, columns)
        ra, dec = ra[usable], dec[usable]
        index = radec_to_index(ra, dec)
        if columns.index is not None:
            self._check_index(batch.column(columns.index), usable, index, (ra, dec))
        if len(index) == 0:
            return None
        self.positions += len(index)
        self.ra_min, self.ra_max = min(self.ra_min, float(ra.min())), max(self.ra_max, float(ra.max()))
        pixels = np.unique(index)
        here = simplified(union(np.stack([pixels, pixels + 1], axis=1)), _WORKING_RANGES)
        self.ranges = simplified(union(self.ranges, here), _WORKING_RANGES)
        return int(pixels[0]), int(pixels[-1]) + 1

    def _check_index(
        self,
        stored: pa.Array,
        usable: NDArray[np.bool_],
        index: NDArray[np.int64],
        position: tuple[NDArray[np.float64], NDArray[np.float64]],
    ) -> None:
        if not self.index_is_right:
            return
        if stored.null_count or not pa.types.is_int64(stored.type):
            self.index_is_right = False
            return
        values = stored.to_numpy()
        if len(values):
            ascends = int(values[0]) >= self._last_index and bool((values[1:] >= values[:-1]).all())
            self._last_index = int(values[-1])
            self.index_is_right = ascends and _same_pixels(values[usable], index, position)


def read_content(
    parquet: pq.ParquetFile, columns: PositionColumns, scanned: Sequence[ForeignColumn] = ()
) -> FileContent:
    """Return where the rows of an open file lie, and in which of the columns `scanned` there is NaN.

    Memory is bounded by some pages of each column, however large the row groups are.
    """
    content = FileContent()
    names = list(dict.fromkeys([*columns.names, *(column.name for column in scanned)]))
    for number in range(parquet.metadata.num_row_groups):
        batches = parquet.iter_batches(_BATCH_ROWS, row_groups=[number], columns=names)
        content.add_group(_watched(batches, scanned, content.with_nan), columns)
    return content.close()


def _watched(
    batches: Iterator[pa.RecordBatch], scanned: Sequence[ForeignColumn], with_nan: set[str]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for column in scanned:
            if column.name not in with_nan and has_nan(_plain(batch.column(column.name), column.type)):
                with_nan.add(column.name)
        yield batch


def _plain(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return values in the type the store would give them: plain lists, no dictionaries, no 16-bit floats."""
    return array if array.type == kind else pc.cast(array, kind, safe=False)


def _degrees(array: pa.Array) -> NDArray[np.float64]:
    degrees: NDArray[np.float64] = pc.cast(array, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return degrees


def _nulls(array: pa.Array) -> NDArray[np.bool_]:
    nulls: NDArray[np.bool_] = pc.is_null(array).to_numpy(zero_copy_only=False)
    return nulls


def _is_finite(batch: pa.RecordBatch, columns: PositionColumns) -> bool:
    """Return whether each position column is finite by itself, also where the other is NULL."""
    both = (pc.cast(batch.column(name), pa.float64(), safe=False) for name in (columns.ra, columns.dec))
    return all(bool(pc.all(pc.is_finite(array), min_count=0).as_py()) for array in both)


def _same_pixels(
    stored: NDArray[np.int64],
    index: NDArray[np.int64],
    position: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> bool:
    """Return whether stored indices are those of the positions, but for rounding at the borders of pixels."""
    differ = stored != index
    if not differ.any():
        return True
    values = stored[differ]
    if values.min() < 0 or values.max() >= SKY_STOP:
        return False
    ra, dec = hpgeom.pixel_to_angle(1 << ORDER, values)
    away = separation_deg(ra, dec, position[0][differ], position[1][differ])
    return bool(away.max() <= _SAME_PIXEL_DEG)
