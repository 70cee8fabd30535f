"""Uploads in Parquet and in Arrow's IPC formats: batch by batch, each checked before its content is used."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from .incoming import BATCH_ROWS, Incoming, Tally

__all__ = ["read_arrow_file", "read_arrow_stream", "read_parquet"]

_MOST_METADATA: Final = 50_000_000
"""Bytes of one text, and elements of one list, in the metadata of a Parquet file."""


def read_parquet(path: Path, tally: Tally) -> Incoming:
    """Read a Parquet file."""
    file = pq.ParquetFile(
        path, thrift_string_size_limit=_MOST_METADATA, thrift_container_size_limit=_MOST_METADATA, pre_buffer=False
    )
    tally.check_columns(len(file.schema_arrow))
    if file.metadata.num_rows > tally.caps.rows:  # before anything is unpacked
        tally.add_rows(file.metadata.num_rows)
    packed = tally.inflated_bytes
    tally.inflated_bytes = 0
    return Incoming(file.schema_arrow, _counted(file.iter_batches(BATCH_ROWS // 8), tally, packed))


def read_arrow_stream(path: Path, tally: Tally) -> Incoming:
    """Read an Arrow IPC stream."""
    reader = pa.ipc.open_stream(pa.memory_map(str(path)))
    return Incoming(reader.schema, _counted(iter(reader), tally, 0))


def read_arrow_file(path: Path, tally: Tally) -> Incoming:
    """Read an Arrow IPC file."""
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    batch: Callable[[int], pa.RecordBatch] = reader.get_batch
    return Incoming(reader.schema, _counted(map(batch, range(reader.num_record_batches)), tally, 0))


def _counted(batches: Iterator[pa.RecordBatch], tally: Tally, packed: int) -> Iterator[pa.RecordBatch]:
    """Yield batches that are what they claim to be, within the caps."""
    for batch in batches:
        tally.add_rows(batch.num_rows)
        batch.validate(full=True)
        tally.add_bytes(batch.nbytes)
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)
    assert packed >= 0
