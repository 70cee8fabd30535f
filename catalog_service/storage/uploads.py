"""Uploaded tables that a worker has written as Parquet: where their positions lie."""

from pathlib import Path
from typing import Any, Final

import hpgeom
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from partitioning.sky.coverage import Coverage, union
from partitioning.sky.healpix import order_shift

from ..models.schema import Column

__all__ = ["position_cells"]

_FINEST: Final = 12
"""Cells of 0.9 arcmin: tiles are larger."""

_MOST_CELLS: Final = 20_000
"""Fewer and larger cells are used for more positions than this; what they choose is planned in some 0.1 s."""


def position_cells(path: Path, ra: Column, dec: Column) -> tuple[Coverage, int]:
    """Return cells that hold the positions of an uploaded table, and their order; it is read from disk.

    Rows without a position are left out. Right ascensions of any turn, and declinations beyond a pole, are those of the
    directions that they lead to, as in queries.

    Parameters
    ----------
    path
        Of the Parquet file that a worker wrote.
    ra, dec
        Columns of right ascension and declination, degrees.
    """
    names = [column.stored_name or column.name for column in (ra, dec)]
    table = pq.read_table(path, columns=names)
    given = [table.column(name).cast(pa.float64()) for name in names]
    usable = pc.and_(*(pc.fill_null(pc.is_finite(values), False) for values in given))  # noqa: FBT003
    lon, lat = (np.radians(_numbers(values.filter(usable))) for values in given)
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    order = _FINEST
    ras, decs = np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
    cells = np.unique(hpgeom.angle_to_pixel(1 << order, ras, decs)) if len(x) else np.empty(0, dtype=np.int64)
    while len(cells) > _MOST_CELLS:
        order -= 1
        cells = np.unique(cells >> 2)
    shift = order_shift(order)
    return union(np.stack([cells << shift, (cells + 1) << shift], axis=1)), order


def _numbers(values: Any) -> NDArray[np.float64]:
    """Return numbers without NULL; pyarrow's own conversion would import pandas."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], pa.float64())
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.empty(0)
    return np.frombuffer(buffer, dtype=np.float64)[array.offset : array.offset + len(array)]
