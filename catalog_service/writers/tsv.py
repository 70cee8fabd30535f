"""Tab-separated values (IANA ``text/tab-separated-values``): a line of names, and a line for each row.

The format has no quotes and no escapes: a field cannot hold a tab or a line break. Each of them becomes a blank. NULL
and the empty text are both an empty field.
"""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from catalog_service.models.schema import Column

from .base import ResultDescription, Sample
from .text import cell_texts, join_rows

__all__ = ["TSVWriter"]

_END_OF_LINE: Final = "\n"
_UNFIT: Final = "\r\n|[\t\r\n]"


class TSVWriter:
    """Rows as tab-separated values; there is no place for an overflow mark or an error."""

    marks_overflow = False

    def __init__(self, description: ResultDescription, sample: Sample) -> None:  # noqa: ARG002
        self._columns = description.columns

    def header(self) -> bytes:
        """Return the line of column names."""
        names = [_on_one_line(pa.array([column.name], pa.string())) for column in self._columns]
        return join_rows(names, "\t", _END_OF_LINE)

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return one line per row."""
        cells = [_cells(array, column) for array, column in zip(batch.columns, self._columns, strict=True)]
        return join_rows(cells, "\t", _END_OF_LINE)

    def footer(self, *, overflow: bool, rows: int) -> bytes:  # noqa: ARG002
        """Return nothing: the overflow mark travels outside."""
        return b""

    def failure(self, message: str) -> None:  # noqa: ARG002
        """Return None: the stream has to be cut."""
        return


def _cells(array: pa.Array, column: Column) -> pa.Array:
    texts = cell_texts(array, column)
    return _on_one_line(texts) if pa.types.is_string(array.type) or pa.types.is_list(array.type) else texts


def _on_one_line(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(texts, _UNFIT, " ")
