"""Sizes: bytes per row, measured on a sample of the input, and what follows from them for tiles and buffers."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from ..config import TableConfig
from ..exceptions import DamagedInputError
from ..layout.leaf import LeafFormat, encoding_options
from ..layout.schema import nan_to_null
from ..readers.source import Source
from .spill import packed_bytes

__all__ = ["RowSizes", "measure_rows", "target_rows"]

_SAMPLE_FILES: Final = 8
_SAMPLE_ROWS: Final = 32_768
_SAMPLE_BYTES: Final = 64 << 20
_BATCH_ROWS: Final = 512
"""Of which a thousand columns take some 4 MB."""


@dataclass(frozen=True, slots=True)
class RowSizes:
    """Mean bytes of one row."""

    memory: float
    """As Arrow, uncompressed."""
    stored: float
    """As Parquet, compressed."""
    spilled: float = 0.0
    """As a spill file."""
    packed: tuple[str, ...] = ()
    """Columns that spill files compress; no size."""
    seconds: float = 0.0
    """Time in which one process encodes a row as Parquet; no bytes. To read few rows takes as long as to read many."""


def measure_rows(source: Source, form: LeafFormat) -> RowSizes:
    """Return the sizes of rows, from the first rows of up to eight files spread over the input.

    Parameters
    ----------
    form
        How leaves are written; computed columns of its schema count 8 bytes each.
    """
    sample = pa.Table.from_batches(_sample(source), source.schema)
    if sample.num_rows == 0:
        return RowSizes(1.0, 1.0)
    computed = 8.0 * (len(form.schema) - len(source.schema))
    sink, options = pa.BufferOutputStream(), encoding_options(sample, form)
    start = time.perf_counter()
    pq.write_table(sample, sink, **options)
    seconds = time.perf_counter() - start
    spilled, packed = _spilled(sample)
    metadata = pq.read_metadata(pa.BufferReader(sink.getvalue()))
    group = metadata.row_group(0)
    stored = sum(group.column(number).total_compressed_size for number in range(metadata.num_columns))
    memory, stored, spilled = (total / sample.num_rows + computed for total in (sample.nbytes, stored, spilled))
    return RowSizes(memory, stored, spilled, packed, seconds / sample.num_rows)


def target_rows(table: TableConfig, form: LeafFormat, sizes: RowSizes) -> float:
    """Return the rows at which a tile is split: the tightest of rows, bytes and column chunks of a file."""
    return max(1.0, min(table.target_rows, table.target_bytes / sizes.stored, form.most_file_rows))


def _spilled(sample: pa.Table) -> tuple[int, tuple[str, ...]]:
    """Return the bytes of some rows in a spill file, and the columns that are compressed there.

    These are the columns that become half as large or smaller; of the others, writing them is sooner done.
    """
    (rows,) = sample.combine_chunks().to_batches()
    total, packed = 0, list[str]()
    for name in rows.schema.names:
        column = rows.select([name])
        small = packed_bytes(column)
        if 2 * small <= column.nbytes:
            packed.append(name)
        total += small if name in packed else column.nbytes
    return total, tuple(packed)


def _sample(source: Source) -> Iterator[pa.RecordBatch]:
    files = len(source.files)
    chosen = sorted({number * files // min(files, _SAMPLE_FILES) for number in range(min(files, _SAMPLE_FILES))})
    for number in chosen:
        rows, size_bytes = _SAMPLE_ROWS // len(chosen), _SAMPLE_BYTES // len(chosen)
        with suppress(DamagedInputError):  # whoever reads the file to its end says what is wrong with it
            for batch in source.file_batches(number, source.schema, min(rows, _BATCH_ROWS)):
                yield nan_to_null(batch)
                rows -= batch.num_rows
                size_bytes -= batch.nbytes
                if rows <= 0 or size_bytes <= 0:
                    break
