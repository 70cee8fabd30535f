"""Rows as XML text: VOTable's TABLEDATA serialization."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from catalog_service.models.schema import Column, DataType

from .text import cell_texts, is_text_list, join_rows

__all__ = ["encode_table_rows"]

_NEEDS_CARE: Final = "[&<>\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x{fffe}\\x{ffff}]"
_ILLEGAL: Final = "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x{fffe}\\x{ffff}]"
"""Characters that XML 1.0 cannot hold."""
_ESCAPES: Final = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;"))
"""A bare carriage return would be read as a line feed."""


def encode_table_rows(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> bytes:
    """Return the ``TR`` elements of a batch, UTF-8; NULL is an empty cell (VOTable 1.4 section 5.1)."""
    cells = [_cells(array, column) for array, column in zip(batch.columns, columns, strict=True)]
    content = join_rows(cells, "</TD><TD>", "</TD></TR>\n<TR><TD>")
    return b"<TR><TD>" + content.removesuffix(b"<TR><TD>") if content else b""


def _cells(array: pa.Array, column: Column) -> pa.Array:
    texts = cell_texts(array, column)
    if pa.types.is_fixed_size_list(array.type):
        return pc.fill_null(texts, " ".join(["NaN"] * array.type.list_size))  # an empty cell is no array of 2
    return _escape(texts) if column.datatype in {DataType.TEXT, DataType.NULL} or is_text_list(column) else texts


def _escape(texts: pa.Array) -> pa.Array:
    if not pc.any(pc.match_substring_regex(texts, _NEEDS_CARE), min_count=0).as_py():
        return texts
    texts = pc.replace_substring_regex(texts, _ILLEGAL, "\ufffd")
    for character, entity in _ESCAPES:
        texts = pc.replace_substring(texts, character, entity)
    return texts
