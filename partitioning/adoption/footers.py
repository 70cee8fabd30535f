"""What the footer of a foreign file tells of its row groups: rows, bytes, minimum and maximum of each column."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.schema import is_ordered
from .columns import ForeignColumn

__all__ = ["Footer", "read_footer", "statistics_schema"]

Bound = float | int | str | bool | None


@dataclass(frozen=True)
class Footer:
    """One file's footer."""

    group_rows: NDArray[np.int64]
    group_bytes: NDArray[np.int64]
    """Compressed."""
    statistics: pa.Table
    """``<column>.min``, ``.max`` and ``.nulls`` of each row group, NULL where the footer does not tell."""
    column_bytes: dict[str, int]

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return int(self.group_rows.sum())

    def bounds(self, name: str, kind: pa.DataType) -> tuple[pa.Array, pa.Array] | None:
        """Return minimum and maximum of each row group, None if the footer leaves one out or has other types."""
        if f"{name}.min" not in self.statistics.column_names:
            return None
        low, high = (self.statistics.column(f"{name}.{part}").combine_chunks() for part in ("min", "max"))
        return None if low.null_count or high.null_count or low.type != kind else (low, high)


def statistics_schema(columns: Sequence[ForeignColumn]) -> pa.Schema:
    """Return the columns of `Footer.statistics`."""
    fields = []
    for column in columns:
        if is_ordered(column.type):
            fields += [pa.field(f"{column.name}.{part}", column.type) for part in ("min", "max")]
            fields.append(pa.field(f"{column.name}.nulls", pa.int64()))
    return pa.schema(fields)


def read_footer(metadata: pq.FileMetaData, columns: Sequence[ForeignColumn]) -> Footer:
    """Return what the footer `metadata` tells of `columns`."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    paths = [metadata.schema.column(at).path for at in range(metadata.num_columns)]
    sizes = np.array(
        [[group.column(at).total_compressed_size for at in range(len(paths))] for group in groups], dtype=np.int64
    ).reshape(len(groups), len(paths))
    schema = statistics_schema(columns)
    arrays: list[pa.Array] = []
    for column in columns:
        if is_ordered(column.type):
            at = paths.index(column.name) if column.name in paths else None
            arrays += _statistics([None if at is None else group.column(at) for group in groups], column.type)
    roots = [path.partition(".")[0] if path not in {c.name for c in columns} else path for path in paths]
    totals: dict[str, int] = {}
    for root, size in zip(roots, sizes.sum(axis=0).tolist(), strict=True):
        totals[root] = totals.get(root, 0) + size
    return Footer(
        group_rows=np.array([group.num_rows for group in groups], dtype=np.int64),
        group_bytes=sizes.sum(axis=1),
        statistics=pa.Table.from_arrays(arrays, schema=schema) if arrays else pa.table({}),
        column_bytes=totals,
    )


def _statistics(chunks: Sequence[Any], kind: pa.DataType) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return minimum, maximum and NULLs of a column in each row group."""
    found = [None if chunk is None else chunk.statistics for chunk in chunks]
    nulls = [None if each is None or not each.has_null_count else each.null_count for each in found]
    return _bounds(found, "min", kind), _bounds(found, "max", kind), pa.array(nulls, pa.int64())


def _bounds(found: Sequence[Any], part: str, kind: pa.DataType) -> pa.Array:
    if pa.types.is_temporal(kind):  # not all values are Python objects
        values = [None if each is None or not each.has_min_max else getattr(each, f"{part}_raw") for each in found]
        raw = pa.int32() if kind.bit_width == 32 else pa.int64()
        return pa.array([value if isinstance(value, int) else None for value in values], raw).view(kind)
    values = [None if each is None else _bound(each, part) for each in found]
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # written as another type
        return pa.nulls(len(values), kind)


def _bound(statistics: Any, part: str) -> Any:
    """Return a minimum or maximum, None if there is none; NaN, which old writers put there, says nothing."""
    try:
        value = getattr(statistics, part) if statistics.has_min_max else None
    except (pa.ArrowException, UnicodeDecodeError, ValueError):
        return None
    return None if isinstance(value, float) and math.isnan(value) else value
