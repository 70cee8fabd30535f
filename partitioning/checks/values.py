"""Checks of the rows of one row group: pure functions that return what is wrong, as text, or nothing."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..layout.manifest import Placement
from ..layout.paths import HEALPIX_COLUMN
from ..layout.schema import ascending, has_nan, is_ordered
from ..sky.healpix import radec_to_index
from ..sky.separation import separation_deg
from ..stages.places import degrees, index_or_reason

__all__ = [
    "is_separation_bound",
    "nan_columns",
    "order_problem",
    "outside_rows",
    "separation_bound",
    "unplaced_rows",
    "wrong_statistics",
]

_ROUNDING_DEG: Final = 1e-11
"""Positions this close to the border of an order-29 pixel (1e-7 deg wide) may be in either: sines differ in their last
bit between processors, and a release must verify on another machine than the one that built it."""

_SEPARATION_SLACK: Final = 1e-9
"""Relative and absolute, degrees."""

_LONG_TEXT: Final = 1024
"""Writers leave minimum and maximum out of the footer when texts are long."""


def nan_columns(group: pa.Table) -> list[str]:
    """Return the columns that hold a NaN, in lists and structs too."""
    return [name for name in group.column_names if any(has_nan(chunk) for chunk in group.column(name).chunks)]


def order_problem(group: pa.Table, before: pa.Table | None, id_columns: Sequence[str]) -> str | None:
    """Tell where rows are not sorted by index and ids, the last row of the row group before included.

    Parameters
    ----------
    before
        The last row before this row group; None at the start of a file.
    """
    keys = group.select([HEALPIX_COLUMN, *id_columns])
    if before is not None:
        keys = pa.concat_tables([before.select(keys.column_names), keys])
    index = keys.column(HEALPIX_COLUMN).to_numpy()
    falls = np.flatnonzero(index[1:] < index[:-1])
    shift = 1 if before is None else 0
    if len(falls):
        return f"{len(falls)} rows have a smaller {HEALPIX_COLUMN} than the row before, first row {falls[0] + shift}"
    same = np.concatenate([[False], index[1:] == index[:-1], [False]])
    tied = np.flatnonzero(same[1:] | same[:-1])
    if not id_columns or not len(tied):
        return None
    subset = keys.take(pa.array(tied))
    by_key = pc.sort_indices(subset, ascending(subset.column_names)).to_numpy()  # stable
    moved = np.flatnonzero(by_key != np.arange(len(by_key)))
    if not len(moved):
        return None
    return f"rows of one {HEALPIX_COLUMN} are not sorted by {', '.join(id_columns)}, near row {tied[moved[0]]}"


def outside_rows(index: NDArray[np.int64], tile: tuple[int, int]) -> NDArray[np.int64]:
    """Return the numbers of the rows whose index lies outside a range."""
    return np.flatnonzero((index < tile[0]) | (index >= tile[1]))


def unplaced_rows(group: pa.Table, placement: Placement) -> NDArray[np.int64]:
    """Return the numbers of the rows whose stored index is not that of their declared position."""
    index = group.column(HEALPIX_COLUMN).to_numpy()
    ra, dec = degrees(group.column(placement.ra_column)), degrees(group.column(placement.dec_column))
    other = np.flatnonzero(index_or_reason(ra, dec) != index)
    return other[[not _is_near(*place) for place in zip(ra[other], dec[other], index[other], strict=True)]]


def _is_near(ra: float, dec: float, index: int) -> bool:
    """Return whether a position moved by rounding has the given index."""
    if not (np.isfinite(ra) and np.isfinite(dec) and abs(dec) <= 90):
        return False
    along = _ROUNDING_DEG / max(np.cos(np.radians(dec)), _ROUNDING_DEG)
    turns = np.array([(x, y) for x in (-along, 0, along) for y in (-_ROUNDING_DEG, 0, _ROUNDING_DEG)])
    return bool((radec_to_index(ra + turns[:, 0], np.clip(dec + turns[:, 1], -90, 90)) == index).any())


def separation_bound(group: pa.Table, placement: Placement) -> float:
    """Return the largest separation between own and declared position, in degrees; 0 where they are the same."""
    if placement.own_ra_column is None or placement.own_dec_column is None:
        return 0.0
    if placement.own_ra_column == placement.ra_column:
        return 0.0
    own = [degrees(group.column(name)) for name in (placement.own_ra_column, placement.own_dec_column)]
    declared = [degrees(group.column(name)) for name in (placement.ra_column, placement.dec_column)]
    with np.errstate(invalid="ignore"):
        separations = separation_deg(*own, *declared)
    return float(separations[np.isfinite(separations)].max(initial=0.0))


def is_separation_bound(told: float, largest: float) -> bool:
    """Return whether a recorded separation is the largest one (degrees), rounded up a little."""
    return largest <= told <= largest * (1 + _SEPARATION_SLACK) + _SEPARATION_SLACK


def wrong_statistics(group: pa.Table, footer: pa.Table) -> Iterator[str]:
    """Yield which statistics of a row group are not those of its rows.

    Parameters
    ----------
    footer
        The row group's line of `layout.leaf.footer_statistics`.
    """
    for column, values in zip(group.schema, group.columns, strict=True):
        if not is_ordered(column.type):
            continue
        is_index = column.name == HEALPIX_COLUMN
        names = ("healpix_min", "healpix_max") if is_index else (f"{column.name}.min", f"{column.name}.max")
        nulls = 0 if is_index else footer.column(f"{column.name}.nulls")[0].as_py()
        if nulls != values.null_count:
            yield f"column {column.name!r} has {values.null_count} NULLs, not {nulls}"
        told, found = [footer.column(name)[0] for name in names], _bounds(values)
        if not all(map(pa.Scalar.equals, told, found)) and not _is_left_out(told, found):
            yield f"column {column.name!r} goes from {found[0]} to {found[1]}, not from {told[0]} to {told[1]}"


def _bounds(values: pa.ChunkedArray) -> list[pa.Scalar]:
    """Return minimum and maximum, NULL where there are none; those of numbers by numpy, five times as fast."""
    kind = values.type
    if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and values.null_count < len(values):
        numbers = (values.drop_null() if values.null_count else values).to_numpy()
        bounds = [numbers.min(), numbers.max()]
        if bounds[0] == bounds[0]:  # numpy's are NaN where one is among them
            return [pa.scalar(bound, kind) for bound in bounds]
    return list(pc.min_max(values).values())


def _is_left_out(told: Sequence[pa.Scalar], found: Sequence[pa.Scalar]) -> bool:
    """Return whether there are no bounds because they are long texts."""
    is_long = any(pa.types.is_string(bound.type) and len(bound.as_py() or "") > _LONG_TEXT for bound in found)
    return is_long and not any(bound.is_valid for bound in told)
