"""Columns of FITS binary tables (FITS 4.0 section 7.3): what is measured, how it is announced, and the bytes of it.

NULL is NaN in a float, a zero byte in a logical (table 21), TNULLn in an integer, and nothing in a text or list.
Texts are UTF-8, in a field as wide as the longest, or in the heap where that would be mostly padding.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from catalog_service.exceptions import QueryValueError
from catalog_service.models.schema import Column, DataType

from .arrays import binary_content, flags, flat_list, numbers, value_lengths
from .text import bytes_as_lists, cell_texts, check_elements, is_text_list, timestamp_texts

__all__ = ["Field", "Measure", "field_values", "heap_values", "lay_out", "measured"]

_LETTERS: Final[dict[DataType, tuple[str, str]]] = {
    DataType.BOOLEAN: ("L", "u1"),
    DataType.BYTE: ("B", "u1"),
    DataType.BINARY: ("B", "u1"),
    DataType.SHORT: ("I", ">i2"),
    DataType.INT: ("J", ">i4"),
    DataType.LONG: ("K", ">i8"),
    DataType.FLOAT: ("E", ">f4"),
    DataType.DOUBLE: ("D", ">f8"),
    DataType.POINT: ("D", ">f8"),
    DataType.CIRCLE: ("D", ">f8"),
    DataType.POLYGON: ("D", ">f8"),
}
"""TFORM's letter and the numpy type of a value, or of an element."""
_WIDER: Final = {DataType.BYTE: DataType.SHORT, DataType.SHORT: DataType.INT, DataType.INT: DataType.LONG}
_RANGES: Final = {
    DataType.BYTE: (0, 2**8 - 1),
    DataType.SHORT: (-(2**15), 2**15 - 1),
    DataType.INT: (-(2**31), 2**31 - 1),
    DataType.LONG: (-(2**63), 2**63 - 1),
}
_MOST_PADDING: Final = 4
"""Texts go to the heap if fields of one width would take this many times their own bytes."""
_PADDING_THAT_IS_NO_MATTER: Final = 1 << 20
_LARGEST_P: Final = 2**31 - 1
"""Larger heaps need descriptors of 64 bits."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What the fields of a column must hold."""

    nulls: int = 0
    low: int | None = None
    """Smallest integer."""
    high: int | None = None
    longest: int = 0
    """Bytes of the longest text, or elements of the longest list."""
    total: int = 0
    """Bytes of all texts, or elements of all lists."""

    def __add__(self, other: "Measure") -> "Measure":
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        return Measure(
            self.nulls + other.nulls,
            min(lows, default=None),
            max(highs, default=None),
            max(self.longest, other.longest),
            self.total + other.total,
        )


@dataclass(frozen=True, slots=True)
class Field:
    """How a column is written."""

    column: Column
    tform: str
    dtype: Any
    """numpy's type of the field in a row."""
    null: int | None = None
    """TNULLn."""
    element_bytes: int | None = None
    """Size of an element in the heap; None for a column that lies in the rows."""


def measured(array: pa.Array, column: Column) -> Measure:
    """Return the measure of a batch's column.

    Raises
    ------
    QueryValueError
        If a list of integers holds NULL.
    """
    values = _values(array, column)
    nulls = array.null_count
    if pa.types.is_integer(values.type):
        bounds = pc.min_max(values)
        return Measure(nulls, bounds["min"].as_py(), bounds["max"].as_py())
    if _is_variable(values.type):
        lengths = _lengths(values)
        return Measure(nulls, longest=int(lengths.max(initial=0)), total=int(lengths.sum()))
    return Measure(nulls)


def lay_out(columns: tuple[Column, ...], measures: list[Measure], rows: int) -> tuple[list[Field], int]:
    """Return (the fields of a table of `rows` rows, bytes of its heap).

    Raises
    ------
    QueryValueError
        If no integer is left to stand for NULL.
    """
    in_heap = [_heap_element_bytes(column, m, rows) for column, m in zip(columns, measures, strict=True)]
    heap_bytes = sum(size * m.total for size, m in zip(in_heap, measures, strict=True) if size)
    fields = []
    for column, measure, size in zip(columns, measures, in_heap, strict=True):
        if size:
            kind, code = ("P", ">i4") if heap_bytes <= _LARGEST_P else ("Q", ">i8")
            tform = f"{kind}{_letter(column)}({measure.longest})"
            fields.append(Field(column, tform, (code, (2,)), element_bytes=size))
        else:
            fields.append(_field_in_row(column, measure))
    return fields, heap_bytes


def field_values(array: pa.Array, field: Field, heap_offset: int) -> tuple[NDArray[Any], int]:
    """Return (values for the rows, ``(N,)`` or ``(N, M)``; bytes that they take in the heap, from `heap_offset` on)."""
    values = _values(array, field.column)
    if field.element_bytes is not None:
        lengths = _lengths(values)
        starts = heap_offset + (np.cumsum(lengths) - lengths) * field.element_bytes
        return np.column_stack((lengths, starts)), int(lengths.sum()) * field.element_bytes
    if pa.types.is_binary(values.type):
        return _padded(values, field.dtype[1][0]), 0
    if pa.types.is_fixed_size_list(values.type):
        return _tuples(values), 0
    return _scalars(values, field.null), 0


def heap_values(array: pa.Array, field: Field) -> bytes | memoryview:
    """Return the bytes of a column's values in the heap, one after the other."""
    values = _values(array, field.column)
    if pa.types.is_binary(values.type):
        return binary_content(values)
    elements, _ = flat_list(values)
    return _scalars(elements, None).astype(_LETTERS[field.column.datatype][1]).tobytes()


def _values(array: pa.Array, column: Column) -> pa.Array:
    """Return texts as UTF-8 without NULL, bytes as lists, all else as it is."""
    if is_text_list(column):
        return _utf8(cell_texts(array, column))
    if pa.types.is_string(array.type):
        return _utf8(array)
    if pa.types.is_timestamp(array.type):
        return _utf8(timestamp_texts(array))
    if pa.types.is_binary(array.type):
        return bytes_as_lists(array)
    if pa.types.is_list(array.type):
        check_elements(array.flatten(), column)
    return array


def _utf8(texts: pa.Array) -> pa.Array:
    # a NUL would end the text
    return pc.cast(pc.replace_substring(pc.fill_null(texts, ""), "\0", "\ufffd"), pa.binary())


def _is_variable(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_list(kind))


def _lengths(values: pa.Array) -> NDArray[np.int64]:
    return value_lengths(values) if pa.types.is_binary(values.type) else flat_list(values)[1]


def _is_text(column: Column) -> bool:
    return is_text_list(column) or column.datatype in {DataType.TEXT, DataType.TIMESTAMP, DataType.NULL}


def _letter(column: Column) -> str:
    return "A" if _is_text(column) else _LETTERS[column.datatype][0]


def _heap_element_bytes(column: Column, measure: Measure, rows: int) -> int | None:
    if _is_text(column):
        padded = measure.longest * rows
        return 1 if padded > _MOST_PADDING * measure.total + _PADDING_THAT_IS_NO_MATTER else None
    if column.is_array or column.datatype in {DataType.BINARY, DataType.POLYGON}:
        return np.dtype(_LETTERS[column.datatype][1]).itemsize
    return None


def _field_in_row(column: Column, measure: Measure) -> Field:
    if _is_text(column):
        width = max(1, measure.longest)
        return Field(column, f"{width}A", ("u1", (width,)))
    datatype, null = column.datatype, None
    if datatype in _RANGES and measure.nulls:
        datatype, null = _null_value(column, measure)
    letter, code = _LETTERS[datatype]
    count = {DataType.POINT: 2, DataType.CIRCLE: 3}.get(datatype, 1)
    return Field(column, f"{count}{letter}", code if count == 1 else (code, (count,)), null)


def _null_value(column: Column, measure: Measure) -> tuple[DataType, int]:
    """Return (type, TNULL): the first or last value of the type, or of the next wider one where both are taken."""
    first, last = _RANGES[column.datatype]
    if measure.low is None or measure.low > first:
        return column.datatype, first
    if measure.high is None or measure.high < last:
        return column.datatype, last
    if column.datatype in _WIDER:
        wider = _WIDER[column.datatype]
        return wider, _RANGES[wider][0]
    raise QueryValueError(
        f"Column {column.name!r} holds NULL, the smallest and the largest 64-bit integer, so that FITS has no number "
        "left to stand for NULL.",
        remedy="Ask for the format parquet, arrow or votable, or leave the column out.",
    )


def _scalars(values: pa.Array, null: int | None) -> NDArray[Any]:
    if pa.types.is_boolean(values.type):
        letters = pc.if_else(values, pa.scalar(ord("T"), pa.uint8()), pa.scalar(ord("F"), pa.uint8()))
        return numbers(pc.fill_null(letters, 0))
    content = numbers(values)
    if not values.null_count:
        return content
    undefined = flags(values.is_null()).astype(bool)
    if pa.types.is_floating(values.type):
        return np.where(undefined, content.dtype.type(np.nan), content)
    return np.where(undefined, np.int64(null or 0), content)


def _tuples(values: pa.Array) -> NDArray[np.float64]:
    tuples = np.full((len(values), values.type.list_size), np.nan)
    tuples[flags(values.is_valid()).astype(bool)] = _scalars(values.flatten(), None).reshape(-1, tuples.shape[1])
    return tuples


def _padded(values: pa.Array, width: int) -> NDArray[np.uint8]:
    """Return the bytes of each value in a row of `width` bytes, zeros behind them."""
    padded = np.zeros((len(values), width), np.uint8)
    padded[np.arange(width) < value_lengths(values)[:, None]] = np.frombuffer(binary_content(values), np.uint8)
    return padded
