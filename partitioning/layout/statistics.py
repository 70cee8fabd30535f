"""Statistics of one column for each file of a release, folded from those of the row groups in its manifest.

They bound what a file may hold: where something is not known, more is allowed, never less.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import LayoutError
from .manifest import ROW_GROUPS_FILE
from .paths import MANIFEST_DIR
from .row_groups import BATCH_ROWS, opened_list

__all__ = ["FileBounds", "microseconds", "read_statistics"]

_LONGEST_TEXT: Final = 64
"""Longer minima and maxima of texts are not kept: the file counts as unbounded."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class FileBounds:
    """What one column may hold in each file; arrays of shape ``(N,)``, one element a file, in the manifest's order.

    Integers and booleans are int64, floats float64 (32-bit ones exactly), timestamps int64 microseconds since 1970 in
    UTC, texts Python strings.
    """

    low: NDArray[Any]
    """Lower bound of the values; of no meaning where `known` is false or `empty` is true."""
    high: NDArray[Any]
    """Upper bound of the values, likewise."""
    known: NDArray[np.bool_]
    """Whether the bounds are those of all values."""
    empty: NDArray[np.bool_]
    """Whether all values are NULL."""
    nulls: NDArray[np.bool_] | None = None
    """Whether the file may hold a NULL; None: any may."""

    @property
    def size_bytes(self) -> int:
        """Memory that the arrays take, about."""
        each = 2 * (8 + 56 + _LONGEST_TEXT) if self.low.dtype == np.dtype(object) else 16
        return len(self.known) * (each + 3)


def read_statistics(catalog: Path, column: str) -> FileBounds | None:
    """Return the statistics of a stored column, None if the manifest has none that can be used.

    Parameters
    ----------
    catalog
        Directory of the main catalog.
    column
        Name of the column in the data files.

    Raises
    ------
    LayoutError
        If a file of the manifest is missing or damaged.
    """
    path = catalog / MANIFEST_DIR / ROW_GROUPS_FILE
    try:
        with opened_list(path) as source:
            if source is None:
                return None
            names = set(source.schema_arrow.names)
            if not {f"{column}.{part}" for part in ("min", "max", "nulls")} <= names:
                return None
            files = pq.read_metadata(path.with_name("files.parquet")).num_rows
            dtype = _dtype(source.schema_arrow.field(f"{column}.min").type)
            return None if dtype is None else _folded(_batches(source, column), dtype, files)
    except (OSError, pa.ArrowException, KeyError, ValueError, IndexError) as error:
        msg = f"{path}: no readable statistics of {column!r} ({error})"
        raise LayoutError(msg) from error


def microseconds(moment: datetime) -> int:
    """Return a moment as `FileBounds` holds it; without a time zone it is UTC.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1))
    1000000
    """
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _dtype(kind: pa.DataType) -> np.dtype[Any] | None:
    """Return the type in which bounds are kept, None for types whose order is not used."""
    if pa.types.is_boolean(kind) or (pa.types.is_integer(kind) and kind != pa.uint64()):
        return np.dtype(np.int64)
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return np.dtype(np.int64)
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return np.dtype(np.float64)
    return np.dtype(object) if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None


@dataclass(frozen=True, eq=False)
class _Groups:
    """Some row groups of ``row_groups.parquet``."""

    file: NDArray[np.int64]
    rows: NDArray[np.int64]
    nulls: NDArray[np.int64]
    """-1 where it is not known."""
    low: pa.Array
    high: pa.Array


def _batches(source: pq.ParquetFile, column: str) -> Iterator[_Groups]:
    names = ["file", "rows", *(f"{column}.{part}" for part in ("min", "max", "nulls"))]
    for batch in source.iter_batches(BATCH_ROWS, columns=names, use_threads=False):
        file, rows, low, high, nulls = (batch.column(name) for name in names)
        yield _Groups(
            file.to_numpy().astype(np.int64),
            rows.to_numpy(),
            nulls.fill_null(-1).to_numpy(zero_copy_only=False),
            low,
            high,
        )


def _folded(batches: Iterator[_Groups], dtype: np.dtype[Any], files: int) -> FileBounds:
    """Fold row groups into files; a file without any is taken to hold anything."""
    low, high = np.full(files, _worst(dtype, 1), dtype), np.full(files, _worst(dtype, -1), dtype)
    seen, unbounded, values, nulls = (np.zeros(files, dtype=np.bool_) for _ in range(4))
    for groups in batches:
        some = groups.nulls != groups.rows
        known = _known(groups.low, groups.high, dtype)
        seen[groups.file] = True
        np.logical_or.at(values, groups.file, some)
        np.logical_or.at(nulls, groups.file, groups.nulls != 0)
        np.logical_or.at(unbounded, groups.file, some & ~known)
        use = some & known
        _fold(low, groups.file[use], _bounds(groups.low, dtype, use), least=True)
        _fold(high, groups.file[use], _bounds(groups.high, dtype, use), least=False)
    return FileBounds(low, high, seen & ~unbounded, seen & ~values, nulls | ~seen)


def _worst(dtype: np.dtype[Any], sign: int) -> Any:
    if dtype == np.dtype(object):
        return None
    return sign * np.inf if dtype == np.dtype(np.float64) else (2**63 - 1 if sign > 0 else -(2**63))


def _known(low: pa.Array, high: pa.Array, dtype: np.dtype[Any]) -> NDArray[np.bool_]:
    """Return where both bounds are there: no NaN, no long text."""
    known = pc.and_(low.is_valid(), high.is_valid())
    for bound in (low, high):
        if dtype == np.dtype(object):
            known = pc.and_(known, pc.less_equal(pc.utf8_length(bound), _LONGEST_TEXT))
        elif dtype == np.dtype(np.float64):
            known = pc.and_(known, pc.invert(pc.is_nan(bound)))
    found: NDArray[np.bool_] = known.fill_null(False).to_numpy(zero_copy_only=False)  # noqa: FBT003 - the value
    return found


def _bounds(bounds: pa.Array, dtype: np.dtype[Any], use: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the used bounds in the type in which they are kept."""
    chosen = bounds.filter(pa.array(use))
    if pa.types.is_timestamp(bounds.type):
        return _whole_microseconds(chosen)
    array: NDArray[Any] = chosen.to_numpy(zero_copy_only=False)
    return array.astype(dtype)


def _whole_microseconds(moments: pa.Array) -> NDArray[np.int64]:
    """Return timestamps in microseconds, rounded down: a reader of microseconds does no better."""
    ticks: NDArray[np.int64] = moments.view(pa.int64()).to_numpy(zero_copy_only=False)
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[moments.type.unit]
    if per_second > 1_000_000:
        return np.floor_divide(ticks, per_second // 1_000_000)
    factor = 1_000_000 // per_second
    most = (2**63 - 1) // factor
    return np.clip(ticks, -most, most) * factor


def _fold(kept: NDArray[Any], files: NDArray[np.int64], bounds: NDArray[Any], *, least: bool) -> None:
    """Lower (or raise) the bound kept of each file to the least (or largest) of its row groups."""
    if kept.dtype != np.dtype(object):
        (np.minimum if least else np.maximum).at(kept, files, bounds)
        return
    for file, bound in zip(files.tolist(), bounds.tolist(), strict=True):
        if kept[file] is None or (bound < kept[file] if least else bound > kept[file]):
            kept[file] = bound
