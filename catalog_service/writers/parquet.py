"""Parquet with VOParquet metadata; the footer comes last and tells how the result ended.

pyarrow takes a table's metadata from the Arrow schema that lies in the footer, which its writer would fix before the
first row. So this module writes that entry itself, at the end, with the same metadata as the footer.
"""

from base64 import b64encode
from typing import Final

import pyarrow as pa
from pyarrow import parquet as pq

from .base import ResultDescription, Sample
from .metadata import described_schema, end_marks, provenance, votable_metadata
from .sink import Sink

__all__ = ["ParquetWriter"]

_ARROW_SCHEMA: Final = "ARROW:schema"


class ParquetWriter:
    """Rows as Parquet with zstd, one row group per batch.

    Only texts try a dictionary: measured numbers rarely repeat, and trying costs three times the rest.
    """

    marks_overflow = True

    def __init__(self, description: ResultDescription, sample: Sample) -> None:
        self._description = description
        self._schema = described_schema(sample.schema, description.columns)
        self._sink = Sink()
        self._writer = pq.ParquetWriter(
            self._sink,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[field.name for field in self._schema if pa.types.is_string(field.type)],
            store_schema=False,
        )

    def header(self) -> bytes:
        """Return the magic bytes."""
        return self._sink.take()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return one row group."""
        self._writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))
        return self._sink.take()

    def footer(self, *, overflow: bool, rows: int) -> bytes:
        """Return the footer with provenance, end marks and the VOTable of the columns."""
        metadata = (
            provenance(self._description)
            | end_marks(overflow=overflow, rows=rows)
            | votable_metadata(self._description, overflow=overflow)
        )
        schema = self._schema.with_metadata(metadata).serialize()
        self._writer.add_key_value_metadata(metadata | {_ARROW_SCHEMA: b64encode(schema).decode()})
        self._writer.close()
        return self._sink.take()

    def failure(self, message: str) -> None:  # noqa: ARG002
        """Return None: the stream has to be cut."""
        return
