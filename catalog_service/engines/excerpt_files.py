"""The files that excerpts are read from: their footers, which are kept, and the columns of their row groups."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = ["DamagedPageError", "FileKey", "Footer", "Footers", "NeedsSqlError", "file_key", "read_columns"]

_KEPT_BYTES: Final = 16 << 20
"""Of all footers, as they are stored; in memory they take some five times as much."""
_MOST_BYTES: Final = 4 << 20
"""Of one footer: longer ones are left to SQL."""
_MOST_TEXT_BYTES: Final = 64 << 20
"""Of a row group with texts, encoded."""

_PLAIN: Final = frozenset(
    (
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()),
        *(pa.float32(), pa.float64(), pa.bool_(), pa.string()),
    )
)
"""Types of columns that Arrow reads as DuckDB does."""

_WRONG_CHECKSUM: Final = "CRC checksum verification failed"
"""Words of Arrow's complaint."""


class DamagedPageError(Exception):
    """A page is not what was written. SQL, which looks at no checksums, would give wrong values."""


class NeedsSqlError(Exception):
    """The rows are not for this reader."""


FileKey = tuple[str, int, int, int]
"""Path, inode, size, time of its last change: a release that was made anew under an old name is another file."""


@dataclass(frozen=True, slots=True, eq=False)
class Footer:
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
            raise NeedsSqlError
        return types

    def groups_within(self, ranges: tuple[tuple[int, int], ...]) -> list[int]:
        """Return the numbers of the row groups that may hold indices of the ranges; without any, all."""
        hit = np.zeros(len(self.least), np.bool_) if ranges else np.ones(len(self.least), np.bool_)
        for start, stop in ranges:
            hit |= (self.largest >= start) & (self.least < stop)
        found: list[int] = np.flatnonzero(hit).tolist()
        return found

    def decoded_bytes(self, group: int, names: Iterable[str]) -> int:
        """Return how many bytes columns of a row group take, without the letters of texts.

        The footer tells of each column chunk what it takes encoded. But that is less than decoded, and Arrow ends the
        process when it is asked about a chunk whose statistics are damaged, so that it is asked about the index alone.
        """
        types = [self.schema.field(name).type for name in names]
        widths = [32 if pa.types.is_string(one) else one.bit_width for one in types]
        if pa.string() in types and self.metadata.row_group(group).total_byte_size > _MOST_TEXT_BYTES:
            raise NeedsSqlError
        return int(self.rows[group]) * sum(widths) // 8


class Footers:
    """The footers that were read lately."""

    def __init__(self) -> None:
        self._kept: OrderedDict[FileKey, Footer] = OrderedDict()
        self._size_bytes = 0

    def of(self, key: FileKey, index: str) -> Footer:
        """Return the footer of a file that is sorted by the column `index`; reads it if need be."""
        footer = self._kept.get(key)
        if footer is None:
            footer = _read_footer(key[0], index)
            self._kept[key] = footer
            self._size_bytes += footer.metadata.serialized_size
            while self._size_bytes > _KEPT_BYTES and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._size_bytes -= dropped.metadata.serialized_size
        self._kept.move_to_end(key)
        return footer


def file_key(path: str) -> FileKey:
    """Return what a file is known by."""
    status = Path(path).stat()
    return path, status.st_ino, status.st_size, status.st_mtime_ns


def _read_footer(path: str, index: str) -> Footer:
    with open(path, "rb") as file:  # noqa: PTH123 - a text, as Arrow takes it
        file.seek(-8, 2)
        if int.from_bytes(file.read(4), "little") > _MOST_BYTES:
            raise NeedsSqlError
    metadata = pq.read_metadata(path)
    place = [metadata.schema.column(at).path for at in range(metadata.num_columns)].index(index)
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    bounds = [group.column(place).statistics for group in groups]
    if any(one is None or not one.has_min_max for one in bounds):
        raise NeedsSqlError
    least, largest = (np.array([getattr(one, side) for one in bounds], np.int64) for side in ("min", "max"))
    rows = np.array([group.num_rows for group in groups], np.int64)
    return Footer(metadata, metadata.schema.to_arrow_schema(), least, largest, rows)


def read_columns(path: str, footer: Footer, group: int, names: list[str]) -> dict[str, pa.Array]:
    """Return columns of a row group.

    Raises
    ------
    DamagedPageError
        If the checksum of a page is wrong.
    """
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
