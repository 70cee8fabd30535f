"""FITS binary tables, read row range by row range; also compressed with gzip.

The parts of a file are ranges of rows; a compressed file has none. Rows are read as bytes and decoded by
`fits_columns`, since astropy scales whole columns at a time.
"""

import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast

import numpy as np
import pyarrow as pa
from astropy.io.fits import Header, VerifyError

from ..exceptions import DamagedInputError, InputError, SchemaMismatchError
from .base import InputFile, unreadable
from .fits_columns import FitsColumn, column_type, decode, table_columns

__all__ = ["PART_ROWS", "FitsReader"]

PART_ROWS: Final = 1 << 18
"""Rows of a part."""

_CHUNK_BYTES: Final = 16 << 20
"""Most bytes of rows in memory: all columns of a row lie together, also those that are not wanted."""

_BLOCK: Final = 2880
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ERRORS: Final = (
    OSError, EOFError, MemoryError, ValueError, KeyError, TypeError, zlib.error, VerifyError, pa.ArrowException
)  # fmt: skip
"""What a damaged header or stream makes astropy, gzip and numpy raise; `pa.ArrowInvalid` for damaged values."""


@dataclass(frozen=True)
class _Table:
    """Where the rows of the wanted table lie."""

    columns: tuple[FitsColumn, ...]
    rows: int
    row_bytes: int
    data_start: int
    heap_start: int
    """Offset in the file, as that of the data is."""
    heap_end: int
    packed: bool
    """Whether the file is compressed."""


@dataclass(frozen=True)
class FitsReader:
    """Reads FITS binary tables."""

    hdu: int | None = None
    """Number of the extension; None: the first binary table with columns."""

    def schema(self, file: InputFile) -> pa.Schema:
        """Return names and types of the columns; see `base.Reader.schema`."""
        return pa.schema([(column.name, column_type(column)) for column in self._table(file).columns])

    def part_rows(self, file: InputFile) -> tuple[int, ...] | None:
        """Return the rows of each part, None for a compressed file; see `base.Reader.part_rows`."""
        table = self._table(file)
        if table.packed:
            return None
        return tuple(min(PART_ROWS, table.rows - start) for start in range(0, table.rows, PART_ROWS))

    def batches(
        self, file: InputFile, columns: Sequence[str], batch_rows: int, parts: range | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the parts in order; see `base.Reader.batches`."""
        table = self._table(file)
        start, stop = (0, table.rows) if parts is None else (parts.start * PART_ROWS, parts.stop * PART_ROWS)
        wanted = [column for column in table.columns if column.name in set(columns)]
        if len(wanted) < len(columns) or (stop > start and stop - PART_ROWS >= table.rows):
            raise DamagedInputError(file.name, "columns or rows are not there any more; was the file replaced?")
        step = min(batch_rows, max(1, _CHUNK_BYTES // max(1, table.row_bytes)))
        first = start
        try:
            with _opened(file) as rows, _opened(file) as heap:
                for first in range(start, min(stop, table.rows), step):
                    last = min(first + step, stop, table.rows)
                    yield _batch(table, wanted, rows, heap, range(first, last))
                if table.packed:
                    _read_to_end(rows)
        except _ERRORS as error:
            part = None if table.packed else first // PART_ROWS
            place = f" from row {first} on" + ("" if part is None else f" (part {part})")
            raise unreadable(file, f"not a readable FITS table{place}", error, part) from error

    def _table(self, file: InputFile) -> _Table:
        try:
            with _opened(file) as content:
                header, start = _find_table(content, self.hdu)
                table = _described(header, start, packed=isinstance(content, gzip.GzipFile))
            if not table.packed and file.size_bytes < table.heap_end:
                msg = f"it is cut short: it has {file.size_bytes} bytes, but should have {table.heap_end}"
                raise EOFError(msg)
        except SchemaMismatchError as error:
            msg = f"{file.name}: {error}"
            raise SchemaMismatchError(msg) from None
        except InputError as error:
            msg = f"{file.name}: {error}"
            raise InputError(msg) from None
        except _ERRORS as error:
            raise unreadable(file, "not a readable FITS file", error) from error
        return table


@contextmanager
def _opened(file: InputFile) -> Iterator[BinaryIO]:
    """Open `file` to read what is in it, unpacked."""
    with file.path.open("rb") as content:
        if content.read(2) == _GZIP_MAGIC:
            with gzip.open(file.path) as unpacked:
                yield cast("BinaryIO", unpacked)
        else:
            yield content


def _find_table(content: BinaryIO, wanted: int | None) -> tuple[Any, int]:
    """Return header and start of the data of extension `wanted`, or else of the first binary table with columns."""
    seen: list[str] = []
    start = 0
    while True:
        number = len(seen)
        content.seek(start)
        mark = content.read(8)
        if number == 0 and mark != b"SIMPLE  ":
            raise ValueError("it does not begin like a FITS file")
        if number and mark != b"XTENSION":
            kinds = ", ".join(f"{n}: {kind}" for n, kind in enumerate(seen))
            asked = "binary table" if wanted is None else f"binary table as extension {wanted}"
            msg = f"has no {asked}; it has {kinds}; set hdu to the number of a BINTABLE"
            raise InputError(msg)
        content.seek(start)
        header = Header.fromfile(content)
        start = content.tell()
        seen.append(str(header.get("XTENSION", "primary")).strip())
        if seen[-1] == "BINTABLE" and (number == wanted or (wanted is None and _has_columns(header))):
            return header, start
        start += -(-_data_bytes(header) // _BLOCK) * _BLOCK


def _has_columns(header: Any) -> bool:
    return header.get("TFIELDS", 0) > 0 and not header.get("ZIMAGE", False)


def _data_bytes(header: Any) -> int:
    """Return the bytes of the data behind a header, without the filling (4.4.1.1 and 7.1.1)."""
    axes = [header[f"NAXIS{number}"] for number in range(1, header["NAXIS"] + 1)]
    elements = math.prod(axes) if axes else 0
    return int(abs(header["BITPIX"]) // 8 * header.get("GCOUNT", 1) * (header.get("PCOUNT", 0) + elements))


def _described(header: Any, start: int, *, packed: bool) -> _Table:
    if header.get("ZTABLE", False):
        raise InputError("the table is compressed column by column; unpack it with funpack")
    if header.get("ZIMAGE", False):
        raise InputError("the extension is a compressed image; set hdu to the number of a table")
    rows, row_bytes = header["NAXIS2"], header["NAXIS1"]
    return _Table(
        columns=tuple(table_columns(header)),
        rows=rows,
        row_bytes=row_bytes,
        data_start=start,
        heap_start=start + header.get("THEAP", rows * row_bytes),
        heap_end=start + rows * row_bytes + header.get("PCOUNT", 0),
        packed=packed,
    )


def _batch(
    table: _Table, columns: Sequence[FitsColumn], rows: BinaryIO, heap: BinaryIO, which: range
) -> pa.RecordBatch:
    content = _read(rows, table.data_start + which.start * table.row_bytes, len(which) * table.row_bytes)
    cells = np.frombuffer(content, dtype=np.uint8).reshape(len(which), table.row_bytes)

    def read_heap(first: int, last: int) -> bytes:
        if table.heap_start + last > table.heap_end:
            raise pa.ArrowInvalid("an array descriptor points outside the heap")
        return _read(heap, table.heap_start + first, last - first)

    arrays = []
    for column in columns:
        try:
            arrays.append(decode(column, cells, read_heap))
        except pa.ArrowInvalid as error:
            msg = f"column {column.name!r}, rows {which.start} to {which.stop - 1}: {error}"
            raise pa.ArrowInvalid(msg) from None
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _read(content: BinaryIO, start: int, size: int) -> bytes:
    content.seek(start)
    found = content.read(size)
    if len(found) != size:
        msg = f"the file ends {size - len(found)} bytes too early"
        raise EOFError(msg)
    return found


def _read_to_end(content: BinaryIO) -> None:
    """Read what is left, since the checksum of a compressed file comes last."""
    while content.read(_CHUNK_BYTES):
        pass
