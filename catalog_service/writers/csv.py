"""CSV (RFC 4180): a header line, NULL as nothing, an empty text as ``""``."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from catalog_service.models.schema import Column, DataType

from .base import ResultDescription, Sample
from .text import cell_texts

__all__ = ["CSVWriter"]

_END_OF_LINE: Final = "\r\n"
_AS_TEXT: Final = frozenset({DataType.TIMESTAMP, DataType.BINARY, DataType.POINT, DataType.CIRCLE, DataType.POLYGON})


class CSVWriter:
    """Rows as CSV; there is no place for an overflow mark or an error."""

    marks_overflow = False

    def __init__(self, description: ResultDescription, sample: Sample) -> None:
        self._columns = description.columns
        self._schema = sample.schema

    def header(self) -> bytes:
        """Return the line of column names."""
        texts = [pa.nulls(0, pa.string())] * len(self._columns)
        return self._encode(texts, include_header=True)

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return one line per row."""
        arrays = [_writable(array, column) for array, column in zip(batch.columns, self._columns, strict=True)]
        if len(arrays) == 1 and arrays[0].null_count:
            return _lines_of_one(arrays[0])
        return self._encode(arrays, include_header=False)

    def footer(self, *, overflow: bool, rows: int) -> bytes:  # noqa: ARG002
        """Return nothing: the overflow mark travels outside."""
        return b""

    def failure(self, message: str) -> None:  # noqa: ARG002
        """Return None: the stream has to be cut."""
        return

    def _encode(self, arrays: list[pa.Array], *, include_header: bool) -> bytes:
        sink = pa.BufferOutputStream()
        options = csv.WriteOptions(include_header=include_header, quoting_style="needed", eol=_END_OF_LINE)
        csv.write_csv(pa.RecordBatch.from_arrays(arrays, names=self._schema.names), sink, options)
        return bytes(sink.getvalue())


def _lines_of_one(array: pa.Array) -> bytes:
    """Return the lines of a lone column with NULL: an empty line would be no row to most readers, so NULL is ``""``."""
    if pa.types.is_string(array.type):
        array = pc.binary_join_element_wise('"', pc.replace_substring(array, '"', '""'), '"', "")
    texts = pc.fill_null(pc.cast(array, pa.string()), '""')
    lines = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), _END_OF_LINE)
    return bytes(lines[0].as_buffer()) + _END_OF_LINE.encode()


def _writable(array: pa.Array, column: Column) -> pa.Array:
    """Return `array`, or its texts where pyarrow's CSV has no form or another."""
    return cell_texts(array, column) if column.is_array or column.datatype in _AS_TEXT else array
