"""Rows of released files that are read without SQL, and what was read of them before.

DuckDB takes 0.2 ms a column to bind a Parquet file and decodes whole row groups: most of the time of a small cone over
many columns. The files of releases are sorted by their HEALPix index and never change. So the footers are kept, and
as much of the decoded columns as there is room for: whoever looks at a field looks again, and then nothing is read.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalog_service.models.excerpt import ConeTest, Excerpt, IdTest

__all__ = ["DamagedPageError", "ExcerptReader"]

_MOST_ROW_GROUPS: Final = 8
"""More are quicker read by DuckDB, column by column as its conditions ask for them."""
_MOST_BYTES: Final = 64 << 20
"""Of what is read for one query, decoded: beyond DuckDB's memory limit, within the worker's margin. How long texts are
shows when they are read: if they take more, no further row group is."""
_FEW_ROWS: Final = 2048
"""So many rows are delivered in one piece, as DuckDB has them: each piece costs writers time for each column."""
_KEPT_FOOTER_BYTES: Final = 16 << 20
"""As they are stored; in memory they take some five times as much."""
_MOST_FOOTER_BYTES: Final = 4 << 20
_ROUNDING: Final = 1e-12
"""Relative difference of haversines below which the result depends on how they are rounded."""

_PLAIN: Final = frozenset(
    (
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()),
        *(pa.float32(), pa.float64(), pa.bool_(), pa.string()),
    )
)
"""Types of columns that Arrow reads as DuckDB does."""

_FAILURES: Final = (pa.ArrowException, OSError, MemoryError, LookupError, ValueError, TypeError, OverflowError)
"""What damaged files raise; SQL then reads them, and tells of what is wrong with them."""
_WRONG_CHECKSUM: Final = "CRC checksum verification failed"
"""Words of Arrow's complaint."""


class DamagedPageError(Exception):
    """A page is not what was written. SQL, which looks at no checksums, would give wrong values."""


class _NeedsSqlError(Exception):
    """The rows are not for this reader."""


@dataclass(frozen=True, slots=True, eq=False)
class _Footer:
    """What a file's footer says."""

    metadata: pq.FileMetaData
    schema: pa.Schema
    least: NDArray[np.int64]
    """Of the index, by row group."""
    largest: NDArray[np.int64]
    rows: NDArray[np.int64]

    def plain_types(self, names: Iterable[str]) -> tuple[pa.DataType, ...]:
        """Return the types of columns, all of which must be plain."""
        types = tuple(self.schema.field(name).type for name in names)
        if any(one not in _PLAIN for one in types):
            raise _NeedsSqlError
        return types


@dataclass(slots=True, eq=False)
class _RowGroup:
    """Decoded columns of one row group."""

    columns: dict[str, pa.Array] = field(default_factory=dict)
    indices: NDArray[np.int64] | None = None
    """Ascending; None if they were not read."""
    size_bytes: int = 0


_FileKey = tuple[str, int, int, int]
"""Path, inode, size, time of its last change: a release that was made anew under an old name is another file."""


class ExcerptReader:
    """Reads excerpts, and keeps what it has read.

    Parameters
    ----------
    kept_bytes
        Most bytes of decoded columns that are kept; 0: none.
    """

    def __init__(self, kept_bytes: int) -> None:
        self._footers: OrderedDict[_FileKey, _Footer] = OrderedDict()
        self._footer_bytes = 0
        self._groups: OrderedDict[tuple[_FileKey, int], _RowGroup] = OrderedDict()
        self.kept_bytes = 0
        """Bytes of decoded columns that are kept now."""
        self._most_kept_bytes = kept_bytes

    def read(self, excerpt: Excerpt) -> tuple[pa.Schema, list[pa.RecordBatch]] | None:
        """Return the schema and the rows of an excerpt; None if SQL has to read it.

        Which is so if too much would have to be read, types are not plain, a file cannot be read or is not sorted, or
        a row lies on the edge of a cone so that only the rounding of SQL can tell on which side.

        Raises
        ------
        DamagedPageError
            If the checksum of a page is wrong.
        """
        try:
            return self._read(excerpt)
        except (_NeedsSqlError, *_FAILURES):
            return None
        finally:
            self._drop(self._most_kept_bytes)

    def _read(self, excerpt: Excerpt) -> tuple[pa.Schema, list[pa.RecordBatch]]:
        files = [(key, self._footer(key, excerpt.index)) for key in map(_file_key, excerpt.files)]
        schema = _schema(excerpt, [footer for _, footer in files])
        chosen = [(key, footer, group) for key, footer in files for group in _row_groups(footer, excerpt.ranges)]
        chosen = _as_many_as_needed(chosen, excerpt)
        needed = tuple(dict.fromkeys((*excerpt.columns, excerpt.index, *_tested(excerpt))))
        self._check_cost(chosen, needed)
        batches, left, most_bytes = [], excerpt.rows, self.kept_bytes + _MOST_BYTES
        for key, footer, group in chosen:
            if self.kept_bytes > most_bytes:
                raise _NeedsSqlError
            batch = _rows(excerpt, schema, self._row_group(key, footer, group, excerpt.index, needed))
            batches.append(batch.slice(0, left))
            left -= batches[-1].num_rows
            if left <= 0:
                break
        return schema, _few_joined([batch for batch in batches if batch.num_rows])

    def _check_cost(self, chosen: Sequence[tuple[_FileKey, _Footer, int]], needed: Iterable[str]) -> None:
        if len(chosen) > _MOST_ROW_GROUPS:
            raise _NeedsSqlError
        size = 0
        for key, footer, group in chosen:
            kept = self._groups.get((key, group))
            missing = [name for name in needed if kept is None or name not in kept.columns]
            size += _decoded_bytes(footer, group, missing) if missing else 0
        if size > _MOST_BYTES:
            raise _NeedsSqlError

    def _footer(self, key: _FileKey, index: str) -> _Footer:
        footer = self._footers.get(key)
        if footer is None:
            footer = _read_footer(key[0], index)
            self._footers[key] = footer
            self._footer_bytes += footer.metadata.serialized_size
            while self._footer_bytes > _KEPT_FOOTER_BYTES and len(self._footers) > 1:
                _, dropped = self._footers.popitem(last=False)
                self._footer_bytes -= dropped.metadata.serialized_size
        self._footers.move_to_end(key)
        return footer

    def _row_group(self, key: _FileKey, footer: _Footer, group: int, index: str, needed: Iterable[str]) -> _RowGroup:
        """Return the columns of a row group, those that were kept and those that are read now."""
        kept = self._groups.setdefault((key, group), _RowGroup())
        self._groups.move_to_end((key, group))
        missing = [name for name in needed if name not in kept.columns]
        if missing:
            found = _read_columns(key[0], footer, group, missing)
            size_bytes = sum(array.nbytes for array in found.values())
            kept.columns |= found
            kept.size_bytes += size_bytes
            self.kept_bytes += size_bytes
        if kept.indices is None:
            kept.indices = _ascending(kept.columns[index])
        return kept

    def _drop(self, most_bytes: int) -> None:
        """Forget what was not used for longest."""
        while self.kept_bytes > most_bytes:
            _, dropped = self._groups.popitem(last=False)
            self.kept_bytes -= dropped.size_bytes


def _file_key(path: str) -> _FileKey:
    status = Path(path).stat()
    return path, status.st_ino, status.st_size, status.st_mtime_ns


def _read_footer(path: str, index: str) -> _Footer:
    with open(path, "rb") as file:  # noqa: PTH123 - as below
        file.seek(-8, 2)
        if int.from_bytes(file.read(4), "little") > _MOST_FOOTER_BYTES:
            raise _NeedsSqlError
    metadata = pq.read_metadata(path)
    place = [metadata.schema.column(at).path for at in range(metadata.num_columns)].index(index)
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    bounds = [group.column(place).statistics for group in groups]
    if any(one is None or not one.has_min_max for one in bounds):
        raise _NeedsSqlError
    least, largest = (np.array([getattr(one, side) for one in bounds], np.int64) for side in ("min", "max"))
    rows = np.array([group.num_rows for group in groups], np.int64)
    return _Footer(metadata, metadata.schema.to_arrow_schema(), least, largest, rows)


def _schema(excerpt: Excerpt, footers: Iterable[_Footer]) -> pa.Schema:
    """Return the columns of the result, which must be plain and the same in all files; the others must be plain."""
    types = {footer.plain_types((*excerpt.columns, *_tested(excerpt))) for footer in footers}
    if len(types) != 1:
        raise _NeedsSqlError
    return pa.schema(list(zip(excerpt.columns, *types, strict=False)))


def _row_groups(footer: _Footer, ranges: tuple[tuple[int, int], ...]) -> list[int]:
    """Return the row groups that may hold indices of the ranges."""
    hit = np.zeros(len(footer.least), np.bool_) if ranges else np.ones(len(footer.least), np.bool_)
    for start, stop in ranges:
        hit |= (footer.largest >= start) & (footer.least < stop)
    found: list[int] = np.flatnonzero(hit).tolist()
    return found


def _as_many_as_needed(
    chosen: list[tuple[_FileKey, _Footer, int]], excerpt: Excerpt
) -> list[tuple[_FileKey, _Footer, int]]:
    """Return the first row groups, as many as hold the wanted rows for certain: all of them if rows are tested."""
    if excerpt.cones or excerpt.ids or excerpt.ranges:
        return chosen
    before = np.cumsum([0, *(int(footer.rows[group]) for _, footer, group in chosen)])
    return [one for one, start in zip(chosen, before, strict=False) if start < excerpt.rows]


def _decoded_bytes(footer: _Footer, group: int, names: Iterable[str]) -> int:
    """Return how many bytes columns take, without the letters of texts.

    The footer tells of each column chunk what it takes encoded. But that is less than decoded, and Arrow ends the
    process when it is asked about a chunk whose statistics are damaged, so that it is asked about the index alone.
    """
    types = [footer.schema.field(name).type for name in names]
    widths = [32 if pa.types.is_string(one) else one.bit_width for one in types]
    if pa.string() in types and footer.metadata.row_group(group).total_byte_size > _MOST_BYTES:
        raise _NeedsSqlError
    return int(footer.rows[group]) * sum(widths) // 8


def _read_columns(path: str, footer: _Footer, group: int, names: list[str]) -> dict[str, pa.Array]:
    try:
        with pq.ParquetFile(path, metadata=footer.metadata, page_checksum_verification=True) as file:
            table = file.read_row_group(group, columns=names)
    except OSError as error:
        if _WRONG_CHECKSUM in str(error):
            msg = f"{path}: row group {group}: {error}"
            raise DamagedPageError(msg) from error
        raise
    return {name: _joined(table.column(name)) for name in names}


def _joined(chunks: pa.ChunkedArray) -> pa.Array:
    array = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
    if pa.types.is_string(array.type):
        array.validate(full=True)  # that it is UTF-8; DuckDB looks, too
    return array


def _tested(excerpt: Excerpt) -> tuple[str, ...]:
    return (*(name for cone in excerpt.cones for name in (cone.ra, cone.dec)), *(test.column for test in excerpt.ids))


def _ascending(indices: pa.Array) -> NDArray[np.int64]:
    values: NDArray[np.int64] = indices.to_numpy()
    if not bool((values[1:] >= values[:-1]).all()):
        raise _NeedsSqlError  # verifying finds such a file; until then no row is lost
    return values


def _rows(excerpt: Excerpt, schema: pa.Schema, group: _RowGroup) -> pa.RecordBatch:
    """Return the rows of one row group."""
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


def _few_joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    if len(batches) < 2 or sum(batch.num_rows for batch in batches) > _FEW_ROWS:
        return batches
    return [pa.concat_batches(batches)]


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
            raise _NeedsSqlError
        inside: NDArray[np.bool_] = haversine <= cone.haversine
    return inside


def _has_id(test: IdTest, column: pa.Array) -> NDArray[np.bool_]:
    """Return which values are one of the wanted; NULL is none."""
    known: NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    return known & np.isin(column.fill_null(0).to_numpy(), np.array(test.ids, np.int64))
