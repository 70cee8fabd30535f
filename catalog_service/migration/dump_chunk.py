"""Write the rows of one chunk to Parquet as they come, in bounded memory."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..exceptions import StorageError, UnavailableError
from .dump_chunks import Chunk
from .dump_columns import DumpColumn, converted
from .dump_files import DumpedFile, digest, renamed, write_json
from .dump_source import Row, Source

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["chunk_query", "dump_chunk", "record_batches"]

_BATCH_VALUES: Final = 200_000
"""Printed values held at a time: each is an object of Python."""

_BATCH_BYTES: Final = 16 << 20
"""Bytes of texts held at a time."""

_GROUP_BYTES: Final = 64 << 20
"""Arrow bytes after which a row group ends, whatever its rows."""


def chunk_query(table: str, columns: Sequence[DumpColumn], chunk: Chunk) -> str:
    """Return the query for the rows of a chunk."""
    names = ", ".join(one.expression for one in columns)
    return f"SELECT {names} FROM {table}" + ("" if chunk.condition is None else f" WHERE {chunk.condition}")


def dump_chunk(  # noqa: PLR0913 - what, from where, to where
    source: Source, table: str, columns: Sequence[DumpColumn], chunk: Chunk, directory: Path, *, group_rows: int
) -> DumpedFile:
    """Write the rows of a chunk to a file that appears whole or not at all.

    Parameters
    ----------
    table
        Quoted name.
    group_rows
        Most rows of a row group.

    Raises
    ------
    UnavailableError
        If the source goes away, or sends fewer or more rows than it counts.
    StorageError
        If the file cannot be written.
    """
    path, began = directory / f"{chunk.name}.parquet", time.monotonic()
    with renamed(path) as part:
        with source.stream(chunk_query(table, columns, chunk)) as rows:
            count = _write(part, columns, rows, group_rows)
        seconds = time.monotonic() - began
        _check_count(source, table, chunk, count)
        size, sha256 = part.stat().st_size, digest(part)
    written = DumpedFile(chunk.name, count, size, sha256, round(seconds, 3))
    write_json(directory / f"_{chunk.name}.json", asdict(written))
    return written


def _check_count(source: Source, table: str, chunk: Chunk, found: int) -> None:
    """Compare with what the source counts: an answer that was cut short can look whole."""
    counted = chunk.rows
    if counted is None:
        where = "" if chunk.condition is None else f" WHERE {chunk.condition}"
        counted = int(source.rows(f"SELECT COUNT(*) FROM {table}{where}")[0][0] or 0)
    if counted != found:
        raise UnavailableError(
            f"{source.address.shown} sent {found} rows of {chunk.name} of {table}, and counts {counted}: the answer "
            "was cut short, or the table is being changed.",
            remedy="Give the same command again; if it stays so, begin the dump anew in another directory.",
        )


def _write(part: Path, columns: Sequence[DumpColumn], rows: Iterator[Row], group_rows: int) -> int:
    """Write a Parquet file; return the number of its rows."""
    import pyarrow as pa  # noqa: PLC0415 - other commands need no Arrow
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = pa.schema([(one.name, one.arrow) for one in columns])
    written = 0
    try:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for group in _groups(record_batches(columns, schema, rows), group_rows):
                writer.write_table(group, row_group_size=max(group.num_rows, 1))
                written += group.num_rows
    except pa.ArrowException as error:
        raise StorageError(f"{part.parent}: {error}") from error
    return written


def _groups(batches: Iterator["pa.RecordBatch"], most_rows: int) -> Iterator["pa.Table"]:
    import pyarrow as pa  # noqa: PLC0415

    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.num_rows for one in held) >= most_rows or sum(one.nbytes for one in held) >= _GROUP_BYTES:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def record_batches(
    columns: Sequence[DumpColumn], schema: "pa.Schema", rows: Iterator[Row]
) -> Iterator["pa.RecordBatch"]:
    """Yield rows as Arrow, so many at a time that their texts stay small."""
    import pyarrow as pa  # noqa: PLC0415

    most = max(_BATCH_VALUES // len(columns), 1)
    for held in _held(rows, most, [at for at, one in enumerate(columns) if one.stored in {"text", "bytes"}]):
        arrays = [converted(column, values) for column, values in zip(columns, zip(*held, strict=True), strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _held(rows: Iterator[Row], most: int, wide: Sequence[int]) -> Iterator[list[Row]]:
    """Yield lists of rows of bounded number and size; `wide` are the places of values of any length."""
    held: list[Row] = []
    size = 0
    for row in rows:
        held.append(row)
        size += sum(len(row[at] or b"") for at in wide)
        if len(held) == most or size >= _BATCH_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held
