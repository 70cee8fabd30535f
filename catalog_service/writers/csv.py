"""CSV (RFC 4180): a header line, NULL as nothing, an empty text as ``""``."""

import pyarrow as pa
from pyarrow import csv

from catalog_service.models.schema import Column, DataType

from .base import ResultDescription, Sample
from .text import cell_texts

__all__ = ["CSVWriter"]

_OPTIONS = {"eol": "\r\n", "quoting_style": "needed"}


class CSVWriter:
    """Rows as CSV; there is no place for an overflow mark or an error."""

    marks_overflow = False

    def __init__(self, description: ResultDescription, sample: Sample) -> None:
        self._columns = description.columns
        self._schema = sample.schema

    def header(self) -> bytes:
        """Return the line of column names."""
        names = pa.RecordBatch.from_pylist([], schema=self._schema)
        return self._encode(names, include_header=True)

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return one line per row."""
        return self._encode(batch, include_header=False)

    def footer(self, *, overflow: bool, rows: int) -> bytes:  # noqa: ARG002
        """Return nothing: the overflow mark travels outside."""
        return b""

    def failure(self, message: str) -> None:  # noqa: ARG002
        """Return None: the stream has to be cut."""
        return

    def _encode(self, batch: pa.RecordBatch, *, include_header: bool) -> bytes:
        arrays = [_writable(array, column) for array, column in zip(batch.columns, self._columns, strict=True)]
        sink = pa.BufferOutputStream()
        options = csv.WriteOptions(include_header=include_header, **_OPTIONS)
        csv.write_csv(pa.RecordBatch.from_arrays(arrays, names=self._schema.names), sink, options)
        return bytes(sink.getvalue())


def _writable(array: pa.Array, column: Column) -> pa.Array:
    """Return `array`, or its texts where pyarrow's CSV has no or another form."""
    as_text = column.is_array or column.datatype in {
        DataType.TIMESTAMP,
        DataType.BINARY,
        DataType.POINT,
        DataType.CIRCLE,
        DataType.POLYGON,
    }
    return cell_texts(array, column) if as_text else array
