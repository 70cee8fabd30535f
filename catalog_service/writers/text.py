"""Values as text, in the forms that DALI 1.1 section 3 gives them; for formats whose cells are text."""

import json
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from catalog_service.exceptions import QueryValueError
from catalog_service.models.schema import Column, DataType

from .arrays import flat_list
from .digits import number_texts

__all__ = [
    "bytes_as_lists",
    "cell_texts",
    "check_elements",
    "is_text_list",
    "join_lists",
    "join_rows",
    "timestamp_texts",
]

_TEXT_LIKE: Final = frozenset({DataType.TEXT, DataType.TIMESTAMP, DataType.NULL})


def is_text_list(column: Column) -> bool:
    """Whether values are lists of texts, which VOTable and CSV get as one text: a JSON array."""
    return column.is_array and column.datatype in _TEXT_LIKE


def cell_texts(array: pa.Array, column: Column) -> pa.Array:
    """Return the text of each value, NULL for NULL; infinities as VOTable spells them.

    Lists are separated by blanks, as DALI writes points and polygons.

    Raises
    ------
    QueryValueError
        If a list of integers holds NULL, for which there is no text.
    """
    if is_text_list(column):
        return _json_texts(array)
    if pa.types.is_binary(array.type):
        array = bytes_as_lists(array)
    if pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type):
        return _list_texts(array, column)
    return _scalar_texts(array)


def join_rows(cells: list[pa.Array], separator: str, end_of_row: str) -> bytes:
    """Return the rows of a batch as UTF-8 text: cells with a separator between them; NULL is an empty cell."""
    rows = pc.binary_join_element_wise(*cells, separator, null_handling="replace", null_replacement="")
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(rows)], rows), end_of_row)
    return b"".join((joined[0].as_buffer(), end_of_row.encode())) if len(rows) else b""


def join_lists(array: pa.Array, elements: pa.Array, separator: str) -> pa.Array:
    """Return the text of each list, NULL for NULL, from the texts of all elements in order; these hold no NULL."""
    _, lengths = flat_list(array)
    lists = pa.ListArray.from_arrays(pa.array(_offsets(lengths), pa.int32()), elements)
    return pc.if_else(array.is_null(), pa.scalar(None, pa.string()), pc.binary_join(lists, separator))


def timestamp_texts(array: pa.Array) -> pa.Array:
    """Return ISO 8601 texts without a zone, such as ``2026-11-22T18:44:44.000000``."""
    return pc.replace_substring(pc.cast(array, pa.string()), " ", "T")


def check_elements(elements: pa.Array, column: Column) -> None:
    """Raise `QueryValueError` if a list of integers or bytes holds NULL, which VOTable and CSV cannot tell."""
    if elements.null_count and column.datatype.is_integer:
        raise QueryValueError(
            f"Column {column.name!r} holds a list with an undefined element.",
            remedy="Ask for the format arrow or parquet, which can hold it, or leave the column out.",
        )


def _scalar_texts(array: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(array.type):
        return timestamp_texts(array)
    if not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)):
        return pc.cast(array, pa.string())
    texts = number_texts(array)
    return _spell_infinities(array, texts) if pa.types.is_floating(array.type) else texts


def _spell_infinities(array: pa.Array, texts: pa.Array) -> pa.Array:
    if not pc.any(pc.invert(pc.is_finite(array)), min_count=0).as_py():
        return texts
    texts = pc.if_else(pc.is_nan(array), "NaN", texts)
    return pc.if_else(pc.is_inf(array), pc.if_else(pc.greater(array, 0), "+Inf", "-Inf"), texts)


def _list_texts(array: pa.Array, column: Column) -> pa.Array:
    elements, _ = flat_list(array)
    check_elements(elements, column)
    undefined = "?" if pa.types.is_boolean(elements.type) else "NaN"
    return join_lists(array, pc.fill_null(_scalar_texts(elements), undefined), " ")


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths)))


def bytes_as_lists(array: pa.Array) -> pa.Array:
    """Return each binary value as the list of its bytes."""
    validity, offsets, content = array.buffers()
    size = 0 if content is None else content.size
    elements = pa.Array.from_buffers(pa.uint8(), size, [None, content if size else pa.py_buffer(b"")])
    return pa.Array.from_buffers(
        pa.list_(pa.uint8()), len(array), [validity, offsets], array.null_count, array.offset, [elements]
    )


def _json_texts(array: pa.Array) -> pa.Array:
    """Row by row, since lists of texts are rare and have no standard form."""
    values = array
    if pa.types.is_timestamp(array.type.value_type):
        elements, lengths = flat_list(array)
        values = pa.ListArray.from_arrays(
            pa.array(_offsets(lengths), pa.int32()), timestamp_texts(elements), mask=array.is_null()
        )
    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values.to_pylist()]
    return pa.array(texts, pa.string())
