"""Parquet input, streamed: never more than some pages of a row group in memory.

The parts of a file are its row groups. They are read one after the other, so that an error names the group.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ..exceptions import InputError
from .base import InputFile, unreadable

__all__ = ["ParquetReader"]

_OPTIONS: Final[dict[str, Any]] = {
    "pre_buffer": False,
    "buffer_size": 1 << 18,
    "page_checksum_verification": True,
}
"""Pages are read as they are needed, 256 kB a column at a time. By default pyarrow fetches whole row groups, and
foreign files of one row group with 10^8 rows would not fit."""

_MOST_AHEAD: Final = 256 << 20
"""Bytes of a row group that the kernel is asked to read ahead at most; it reads pages of larger ones by itself."""

_ERRORS: Final = (OSError, MemoryError, UnicodeDecodeError, pa.ArrowException)


class ParquetReader:
    """Reads Parquet files."""

    def schema(self, file: InputFile) -> pa.Schema:
        """Return the Arrow schema of `file`; see `base.Reader.schema`."""
        try:
            return pq.read_schema(file.path)
        except _ERRORS as error:
            raise _unreadable(file, error) from error

    def part_rows(self, file: InputFile) -> tuple[int, ...]:
        """Return the rows of each row group; see `base.Reader.part_rows`."""
        try:
            return _group_rows(pq.read_metadata(file.path))
        except _ERRORS as error:
            raise _unreadable(file, error) from error

    def batches(
        self, file: InputFile, columns: Sequence[str], batch_rows: int, parts: range | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the row groups `parts` in order; see `base.Reader.batches`."""
        group, rows = None, 0
        try:
            with pq.ParquetFile(file.path, **_OPTIONS) as parquet:
                promised = _group_rows(parquet.metadata)
                _check_columns(parquet, columns)
                chunks = _chunks_of(parquet.schema, set(columns))
                wanted = parts if parts is not None else range(len(promised))
                _read_ahead(file.path, parquet.metadata, wanted[:1], chunks)
                for at, group in enumerate(wanted, start=1):
                    rows = 0
                    _read_ahead(file.path, parquet.metadata, wanted[at : at + 1], chunks)
                    # every worker process has one processor: threads would only add switches and memory
                    for batch in parquet.iter_batches(
                        batch_rows, row_groups=[group], columns=list(columns), use_threads=False
                    ):
                        yield batch
                        rows += batch.num_rows
                    if rows != promised[group]:
                        msg = f"{rows} rows were found, but the footer tells of {promised[group]}"
                        raise pa.ArrowInvalid(msg)
        except _ERRORS as error:
            raise _unreadable(file, error, group, rows) from error


def _group_rows(metadata: pq.FileMetaData) -> tuple[int, ...]:
    """Return the rows of each row group, which must add up: the footer has no checksum."""
    rows = tuple(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
    if sum(rows) != metadata.num_rows or any(count < 0 for count in rows):
        msg = f"its row groups have {sum(rows)} rows, but its footer tells of {metadata.num_rows}"
        raise pa.ArrowInvalid(msg)
    return rows


def _chunks_of(schema: pq.ParquetSchema, columns: Collection[str]) -> list[int]:
    """Return the numbers of the Parquet columns of some Arrow columns."""
    return [n for n in range(len(schema)) if schema.column(n).path.partition(".")[0] in columns]


def _read_ahead(path: Path, metadata: pq.FileMetaData, groups: range, chunks: Sequence[int]) -> None:
    """Ask the kernel to read the wanted part of a row group, if there is one, while the one before is decoded."""
    if not chunks or not groups or groups[0] >= metadata.num_row_groups:
        return
    group = metadata.row_group(groups[0])
    runs = pairwise([0, *(at for at in range(1, len(chunks)) if chunks[at] != chunks[at - 1] + 1), len(chunks)])
    with (
        suppress(OSError, OverflowError, AttributeError),
        path.open("rb", buffering=0) as file,
    ):  # not every system has it
        for first, stop in runs:
            start, end = _extent(group.column(chunks[first]))[0], _extent(group.column(chunks[stop - 1]))[1]
            if 0 < end - start <= _MOST_AHEAD:
                os.posix_fadvise(file.fileno(), start, end - start, os.POSIX_FADV_WILLNEED)


def _extent(chunk: pq.ColumnChunkMetaData) -> tuple[int, int]:
    """Return where a column chunk begins and ends in its file."""
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        start = min(start, chunk.dictionary_page_offset)
    return start, start + chunk.total_compressed_size


def _check_columns(parquet: pq.ParquetFile, columns: Sequence[str]) -> None:
    """Check that `columns` are still there: pyarrow passes over those that are not."""
    absent = set(columns) - set(parquet.schema_arrow.names)
    if absent:
        msg = f"column {min(absent)!r} is not there; was the file replaced?"
        raise pa.ArrowInvalid(msg)


def _unreadable(file: InputFile, error: Exception, group: int | None = None, rows: int = 0) -> InputError:
    place = "" if group is None else f" in row group {group}" + (f" after {rows} of its rows" if rows else "")
    return unreadable(file, f"not a readable Parquet file{place}", error, group)
