"""Which rows of a row group an excerpt takes: by ranges of the index, by distance, by id."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalog_service.models.excerpt import ConeTest, Excerpt, IdTest

from .excerpt_files import NeedsSqlError

__all__ = ["RowGroup", "ascending", "rows_of", "tested_columns"]

_ROUNDING: Final = 1e-12
"""Relative difference of haversines below which the result depends on how they are rounded."""


@dataclass(slots=True, eq=False)
class RowGroup:
    """Decoded columns of one row group."""

    columns: dict[str, pa.Array] = field(default_factory=dict)
    indices: NDArray[np.int64] | None = None
    """Ascending; None if they were not read."""
    size_bytes: int = 0


def rows_of(excerpt: Excerpt, schema: pa.Schema, group: RowGroup) -> pa.RecordBatch:
    """Return the rows that an excerpt takes of one row group, as columns of `schema`."""
    assert group.indices is not None
    batch = pa.RecordBatch.from_arrays([group.columns[name] for name in excerpt.columns], schema=schema)
    if not (excerpt.cones or excerpt.ids or excerpt.ranges):
        return batch
    chosen = _in_ranges(group.indices, excerpt.ranges)
    for cone in excerpt.cones:
        chosen = chosen[_inside(cone, *(_values(group.columns[name], chosen) for name in (cone.ra, cone.dec)))]
    for test in excerpt.ids:
        chosen = chosen[_has_id(test, group.columns[test.column].take(pa.array(chosen)))]
    return batch.take(pa.array(chosen))


def tested_columns(excerpt: Excerpt) -> tuple[str, ...]:
    """Return the stored names of the columns that tests look at."""
    return (*(name for cone in excerpt.cones for name in (cone.ra, cone.dec)), *(test.column for test in excerpt.ids))


def ascending(indices: pa.Array) -> NDArray[np.int64]:
    """Return a column of indices, which must ascend."""
    values: NDArray[np.int64] = indices.to_numpy()
    if not bool((values[1:] >= values[:-1]).all()):
        raise NeedsSqlError  # verifying finds such a file; until then no row is lost
    return values


def _in_ranges(indices: NDArray[np.int64], ranges: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
    """Return the numbers of the rows whose index lies in one of the ranges, ascending."""
    if not ranges:
        return np.arange(len(indices))
    bounds = np.searchsorted(indices, np.array(sorted(ranges), np.int64)).tolist()
    pieces, end = [], 0
    for first, last in bounds:
        pieces.append(np.arange(max(first, end), last))
        end = max(end, last)
    return np.concatenate(pieces)


def _values(column: pa.Array, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a column of the rows as doubles, NaN where it is NULL."""
    if column.null_count:
        values: NDArray[Any] = column.take(pa.array(rows)).to_numpy(zero_copy_only=False)
    else:
        values = column.to_numpy()[rows]
    return values.astype(np.float64, copy=False)


def _inside(cone: ConeTest, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which positions lie inside, by the haversine of their distance; NaN lies nowhere."""
    with np.errstate(invalid="ignore"):  # infinite coordinates
        lat = np.sin(np.radians(0.5 * (dec_deg - cone.dec_deg)))
        lon = np.sin(np.radians(0.5 * (ra_deg - cone.ra_deg)))
        cosines = np.cos(np.radians(dec_deg)) * np.cos(np.radians(cone.dec_deg))
        haversine = lat * lat + cosines * lon * lon
        if bool((np.abs(haversine - cone.haversine) <= _ROUNDING * cone.haversine).any()):
            raise NeedsSqlError
        inside: NDArray[np.bool_] = haversine <= cone.haversine
    return inside


def _has_id(test: IdTest, column: pa.Array) -> NDArray[np.bool_]:
    """Return which values are one of the wanted; NULL is none."""
    known: NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    return known & np.isin(column.fill_null(0).to_numpy(), np.array(test.ids, np.int64))
