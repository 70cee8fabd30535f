"""JSON (RFC 8259): one object with the columns, the rows as arrays, and how the result ended.

``{"metadata": [...], "data": [[...], ...], "rows": 2, "overflow": false, "infos": {...}}``. NULL is ``null``;
infinities, for which JSON has no number, are the texts ``"Infinity"`` and ``"-Infinity"``; lists are arrays. A document
that was cut has no end, so that no parser takes it for a whole one.
"""

from typing import Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from catalog_service.models.schema import Column
from catalog_service.models.votypes import vo_type

from .base import ResultDescription, Sample
from .digits import number_texts
from .text import bytes_as_lists, join_lists, join_rows, timestamp_texts

__all__ = ["JSONWriter"]

_NEEDS_CARE: Final = r'["\\\x00-\x1f]'
_CONTROL: Final = r"[\x00-\x1f]"
_SEPARATOR: Final = "],\n["
"""Between rows."""


class JSONWriter:
    """Rows as arrays in a JSON document."""

    marks_overflow = True

    def __init__(self, description: ResultDescription, sample: Sample) -> None:  # noqa: ARG002
        self._description = description
        self._begun = False

    def header(self) -> bytes:
        """Return the document up to the first row."""
        metadata = [_described(column) for column in self._description.columns]
        return b'{"metadata": ' + orjson.dumps(metadata) + b',\n"data": ['

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return one array per row."""
        if batch.num_rows == 0:
            return b""
        lines = join_rows([_values(array) for array in batch.columns], ",", _SEPARATOR)
        start, self._begun = b",\n[" if self._begun else b"\n[", True
        return start + lines.removesuffix(_SEPARATOR.encode()) + b"]"

    def footer(self, *, overflow: bool, rows: int) -> bytes:
        """Return the document from the end of the last row."""
        end = {"rows": rows, "overflow": overflow, "infos": dict(self._description.infos)}
        return b"\n],\n" + orjson.dumps(end)[1:] + b"\n"

    def failure(self, message: str) -> None:  # noqa: ARG002
        """Return None: the stream has to be cut."""
        return


def _described(column: Column) -> dict[str, object]:
    """Return what is known of a column, by the names of VOTable's FIELD."""
    spelled = vo_type(column)
    known = {
        "name": column.name,
        "datatype": spelled.datatype,
        "arraysize": spelled.arraysize,
        "xtype": spelled.xtype,
        "unit": column.unit,
        "ucd": column.ucd,
        "utype": column.utype,
        "description": column.description,
    }
    return {name: text for name, text in known.items() if text}


def _values(array: pa.Array) -> pa.Array:
    """Return the JSON of each value, without NULL."""
    kind = array.type
    if pa.types.is_binary(kind):
        return _values(bytes_as_lists(array))
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = join_lists(array, _values(array.flatten()), ",")
        texts = pc.binary_join_element_wise("[", inner, "]", "")
    elif pa.types.is_string(kind):
        texts = _quoted(_escaped(array))
    elif pa.types.is_timestamp(kind):
        texts = _quoted(timestamp_texts(array))
    elif pa.types.is_boolean(kind):
        texts = pc.cast(array, pa.string())
    else:
        texts = _numbers(array)
    return pc.fill_null(texts, "null") if texts.null_count else texts


def _numbers(array: pa.Array) -> pa.Array:
    texts = number_texts(array)  # infinities are null here
    if not pa.types.is_floating(array.type) or not pc.any(pc.is_inf(array), min_count=0).as_py():
        return texts
    return pc.if_else(pc.is_inf(array), pc.if_else(pc.greater(array, 0), '"Infinity"', '"-Infinity"'), texts)


def _quoted(texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', texts, '"', "")


def _escaped(texts: pa.Array) -> pa.Array:
    if not pc.any(pc.match_substring_regex(texts, _NEEDS_CARE), min_count=0).as_py():
        return texts
    texts = pc.replace_substring(pc.replace_substring(texts, "\\", "\\\\"), '"', '\\"')
    if pc.any(pc.match_substring_regex(texts, _CONTROL), min_count=0).as_py():
        for code in range(ord(" ")):
            texts = pc.replace_substring(texts, chr(code), f"\\u{code:04x}")
    return texts
