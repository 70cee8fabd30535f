"""Arrow IPC stream.

The schema comes first and knows nothing of the end. So the stream ends with a batch of no rows whose own metadata holds
``overflow`` and ``rows``; readers that do not look for it see an empty batch. A stream without it was cut.
"""

from typing import Final

import pyarrow as pa

from .base import ResultDescription, Sample
from .metadata import described_schema, end_marks, provenance, votable_metadata
from .sink import Sink

__all__ = ["ArrowWriter"]

_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4")


class ArrowWriter:
    """Rows as an Arrow IPC stream with lz4 buffers."""

    marks_overflow = True

    def __init__(self, description: ResultDescription, sample: Sample) -> None:
        metadata = provenance(description) | votable_metadata(description, overflow=bool(sample.overflow))
        self._schema = described_schema(sample.schema, description.columns).with_metadata(metadata)
        self._sink = Sink()
        self._writer = pa.ipc.new_stream(self._sink, self._schema, options=_OPTIONS)

    def header(self) -> bytes:
        """Return the schema message."""
        return self._sink.take()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return one record batch message."""
        self._writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))
        return self._sink.take()

    def footer(self, *, overflow: bool, rows: int) -> bytes:
        """Return the empty batch that tells how the result ended, and the end of the stream."""
        empty = self._schema.empty_table().to_batches()
        last = empty[0] if empty else pa.RecordBatch.from_pylist([], schema=self._schema)
        self._writer.write_batch(last, custom_metadata=end_marks(overflow=overflow, rows=rows))
        self._writer.close()
        return self._sink.take()

    def failure(self, message: str) -> None:  # noqa: ARG002
        """Return None: the stream has to be cut."""
        return
