"""CSV (RFC 4180): a header line, NULL as nothing, an empty text as ``""``."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from catalog_service.models.schema import Column, DataType

from .base import ResultDescription, Sample
from .text import cell_texts, is_text_list, join_rows

__all__ = ["CSVWriter"]

_END_OF_LINE: Final = "\r\n"


class CSVWriter:
    """Rows as CSV; there is no place for an overflow mark or an error."""

    marks_overflow = False

    def __init__(self, description: ResultDescription, sample: Sample) -> None:  # noqa: ARG002
        self._columns = description.columns

    def header(self) -> bytes:
        """Return the line of column names."""
        names = [_quoted(pa.array([column.name], pa.string())) for column in self._columns]
        return join_rows(names, ",", _END_OF_LINE)

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return one line per row."""
        cells = [_cells(array, column) for array, column in zip(batch.columns, self._columns, strict=True)]
        if len(cells) == 1:
            # an empty line would be no row to most readers
            cells[0] = pc.if_else(pc.equal(pc.fill_null(cells[0], ""), ""), '""', cells[0])
        return join_rows(cells, ",", _END_OF_LINE)

    def footer(self, *, overflow: bool, rows: int) -> bytes:  # noqa: ARG002
        """Return nothing: the overflow mark travels outside."""
        return b""

    def failure(self, message: str) -> None:  # noqa: ARG002
        """Return None: the stream has to be cut."""
        return


def _cells(array: pa.Array, column: Column) -> pa.Array:
    texts = cell_texts(array, column)
    return _quoted(texts) if column.datatype in {DataType.TEXT, DataType.NULL} or is_text_list(column) else texts


def _quoted(texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
