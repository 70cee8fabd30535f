"""An uploaded file, whatever it is, to a Parquet file of known types.

The content decides what it is, not what the client calls it: ``PAR1``, ``ARROW1`` and Arrow's stream marker are
Parquet and Arrow, ``<`` begins a VOTable, ``{`` or ``[`` JSON; other text is CSV or TSV. Any of them may be packed with
gzip, once.
"""

import errno
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalog_service.exceptions import CatalogServiceError, LimitError
from catalog_service.models.schema import Column
from catalog_service.models.upload import ROW_NUMBER, UploadedTable, UploadQuery

from .arrow import read_arrow_file, read_arrow_stream, read_parquet
from .columns import described_columns, kept_values, stored_schema
from .csv import read_csv
from .incoming import Incoming, Tally
from .json import read_json
from .votable import read_votable

__all__ = ["read_upload", "too_large"]

_GZIP: Final = b"\x1f\x8b"
_BLOCK_BYTES: Final = 1 << 20
_HEAD_BYTES: Final = 4096
_BOM: Final = b"\xef\xbb\xbf"
_ERRORS: Final = (OSError, EOFError, ValueError, TypeError, LookupError, RecursionError, pa.ArrowException)
"""What damaged content may raise besides our own errors."""

_DISK_FULL: Final = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

Reader = Callable[[Path, Tally], Incoming]


def read_upload(query: UploadQuery) -> UploadedTable:
    """Read an uploaded table and write it as Parquet.

    Raises
    ------
    UploadError
        If it is no table that can be read.
    LimitError
        If it is larger than the caps allow.
    OSError
        If the disk is full.
    MemoryError
        If it needs more memory than the worker may use.
    """
    tally = Tally(query.name, query.caps)
    plain = Path(f"{query.target}.plain")
    try:
        source = _unpacked(Path(query.source), plain, tally)
        incoming = _reader(source, query.content_type, tally)(source, tally)
        return _Writing(query, incoming, tally).run()
    except (CatalogServiceError, MemoryError, pa.ArrowMemoryError):
        Path(query.target).unlink(missing_ok=True)
        raise
    except _ERRORS as error:
        Path(query.target).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise
        if _is_shortage(error):
            raise MemoryError from error
        raise tally.error("it is damaged, or cut short.") from error
    finally:
        plain.unlink(missing_ok=True)


def _is_shortage(error: Exception) -> bool:
    """Return whether the process has no room left for memory or for a thread."""
    return (isinstance(error, OSError) and error.errno == errno.ENOMEM) or "temporarily unavailable" in str(error)


def _unpacked(source: Path, plain: Path, tally: Tally) -> Path:
    """Return the file itself, or an unpacked copy of it."""
    with source.open("rb") as file:
        packed = file.read(2) == _GZIP
    if not packed:
        tally.add_bytes(source.stat().st_size)
        return source
    try:
        with gzip.open(source) as content, plain.open("wb") as copy:
            while block := content.read(_BLOCK_BYTES):
                tally.add_bytes(len(block))
                copy.write(block)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise tally.error("its gzip packing is damaged, or cut short.") from error
    return plain


def _reader(path: Path, content_type: str | None, tally: Tally) -> Reader:
    """Return what reads the file."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(b"PAR1"):
        return read_parquet
    if head.startswith(b"ARROW1"):
        return read_arrow_file
    if head.startswith(b"\xff\xff\xff\xff"):
        return read_arrow_stream
    text = head.removeprefix(_BOM).lstrip()
    if not text:
        raise tally.error("it is empty.")
    if text.startswith(b"<") or head.startswith((b"\xfe\xff", b"\xff\xfe")):
        return read_votable
    if text.startswith((b"{", b"[")):
        return read_json
    if b"\0" in head:
        raise tally.error("it is of no known format.", "Upload VOTable, CSV, Parquet, Arrow or JSON.")
    is_tsv = "tab-separated" in (content_type or "") or (b"\t" in _first_line(text) and b"," not in _first_line(text))
    return lambda source, counted: read_csv(source, counted, delimiter="\t" if is_tsv else ",")


def _first_line(text: bytes) -> bytes:
    return text.partition(b"\n")[0]


class _Writing:
    """Writes the Parquet file of one table."""

    def __init__(self, query: UploadQuery, incoming: Incoming, tally: Tally) -> None:
        self._query = query
        self._incoming = incoming
        self._tally = tally
        self._columns = described_columns(incoming.schema, tally)
        row_number = pa.field(str(ROW_NUMBER.stored_name), pa.int64(), nullable=False)
        self._stored = stored_schema(incoming.schema).append(row_number)
        self._most: dict[str, float] = {}

    def run(self) -> UploadedTable:
        """Write all rows."""
        target, rows = Path(self._query.target), 0
        with pq.ParquetWriter(target, self._stored, compression="zstd", compression_level=1) as writer:
            for batch in self._kept():
                rows += batch.num_rows
                writer.write_batch(batch)
        return UploadedTable(
            name=self._query.name,
            path=str(target),
            columns=tuple(replace(column, most=self._most.get(column.name)) for column in self._columns),
            rows=rows,
            size_bytes=target.stat().st_size,
        )

    def _kept(self) -> Iterator[pa.RecordBatch]:
        first = 0
        for batch in self._incoming.batches:
            arrays = [
                kept_values(array, column.name, field.type, self._tally)
                for array, column, field in zip(batch.columns, self._columns, self._stored, strict=False)
            ]
            # what is unpacked only here, such as values that were listed once
            self._tally.add_bytes(max(0, sum(array.nbytes for array in arrays) - batch.nbytes))
            for column, array in zip(self._columns, arrays, strict=True):
                self._note_most(column, array)
            numbers = pa.array(range(first, first + batch.num_rows), pa.int64())
            first += batch.num_rows
            yield pa.RecordBatch.from_arrays([*arrays, numbers], schema=self._stored)

    def _note_most(self, column: Column, array: pa.Array) -> None:
        """Note the largest value of a column: what it bounds is a radius."""
        if column.datatype.is_numeric and not column.is_array:
            most = pc.max(array).as_py()
            if most is not None:
                self._most[column.name] = max(self._most.get(column.name, float(most)), float(most))


def too_large(query: UploadQuery) -> LimitError:
    """Return the error for a table that needs more memory than a worker may use."""
    return LimitError(
        f"The uploaded table {query.name!r} needs more memory to read than a worker may use.",
        remedy="Upload fewer rows or columns at a time, or as Parquet or Arrow.",
    )
