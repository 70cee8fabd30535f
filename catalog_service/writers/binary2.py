"""Rows as VOTable's BINARY2 serialization (VOTable 1.4 section 5.4), whole batches at a time.

A row is a null mask (one bit per column, the first column in the highest bit) and then every value, big-endian.
Values of fixed width lie in a numpy record; a value of variable width is a 4-byte count of its elements, which ends the
record before it, and the elements. Arrow's row-wise join puts records and elements together.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pybase64
from numpy.typing import NDArray

from catalog_service.models.schema import Column, DataType

from .arrays import binary_content, flags, flat_list, numbers, split_binary, value_lengths
from .text import cell_texts, check_elements, is_text_list, timestamp_texts

__all__ = ["Base64Stream", "encode_rows"]

_CODES: Final[dict[DataType, str]] = {
    DataType.BOOLEAN: "u1",
    DataType.BYTE: "u1",
    DataType.SHORT: ">i2",
    DataType.INT: ">i4",
    DataType.LONG: ">i8",
    DataType.FLOAT: ">f4",
    DataType.DOUBLE: ">f8",
    DataType.POINT: ">f8",
    DataType.CIRCLE: ">f8",
    DataType.POLYGON: ">f8",
}
"""numpy type of a value or of a list's elements."""
_FOUR_BYTES_IN_UTF8: Final = 0xF0
"""First bytes from here on begin a code point beyond the basic plane."""


class Base64Stream:
    """Base64 over calls whose input need not be a multiple of 3 bytes."""

    def __init__(self) -> None:
        self._carry = b""

    def encode(self, data: bytes | memoryview) -> bytes:
        """Return the base64 of all whole triples so far; the 0 to 2 bytes left wait."""
        view = memoryview(data)
        missing = -len(self._carry) % 3
        if len(view) < missing:
            self._carry += bytes(view)
            return b""
        whole = missing + (len(view) - missing) // 3 * 3
        start: bytes = pybase64.b64encode(self._carry + bytes(view[:missing]))
        rest: bytes = pybase64.b64encode(view[missing:whole])
        self._carry = bytes(view[whole:])
        return start + rest

    def flush(self) -> bytes:
        """Return the end of the base64 text."""
        rest, self._carry = self._carry, b""
        encoded: bytes = pybase64.b64encode(rest)
        return encoded


@dataclass
class _Record:
    """Neighbouring fixed-width values of all rows."""

    names: list[str] = field(default_factory=list)
    formats: list[Any] = field(default_factory=list)
    values: list[NDArray[Any]] = field(default_factory=list)

    def add(self, code: str, values: NDArray[Any]) -> None:
        self.names.append(f"f{len(self.names)}")
        self.formats.append((code, values.shape[1:]) if values.ndim > 1 else code)
        self.values.append(values)

    def pack(self, rows: int) -> NDArray[Any]:
        packed = np.empty(rows, np.dtype({"names": self.names, "formats": self.formats}))
        for name, values in zip(self.names, self.values, strict=True):
            packed[name] = values
        return packed


def encode_rows(batch: pa.RecordBatch, columns: tuple[Column, ...], unicode_columns: frozenset[str]) -> memoryview:
    """Return the BINARY2 bytes of a batch, before base64.

    Parameters
    ----------
    batch
        Rows with the types of `columns.result_schema`.
    columns
        Columns in the order of the batch.
    unicode_columns
        Names of text columns that are announced as ``unicodeChar``; all others hold ASCII only.

    Raises
    ------
    QueryValueError
        If a list of integers holds NULL.
    """
    rows = batch.num_rows
    record = _Record()
    record.add("u1", _null_mask(batch))
    parts: list[pa.Array] = []
    for array, column in zip(batch.columns, columns, strict=True):
        if _is_fixed(column):
            record.add(_CODES[column.datatype], _fixed_values(array))
            continue
        counts, elements = _variable_values(array, column, is_unicode=column.name in unicode_columns)
        record.add(">i4", counts)
        parts += [_as_binary(record.pack(rows)), elements]
        record = _Record()
    if not parts:
        return record.pack(rows).view(np.uint8).data
    if record.names:
        parts.append(_as_binary(record.pack(rows)))
    return binary_content(pc.binary_join_element_wise(*parts, b""))


def _is_fixed(column: Column) -> bool:
    return column.datatype in _CODES and column.datatype is not DataType.POLYGON and not column.is_array


def _null_mask(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    mask = np.zeros((batch.num_rows, (batch.num_columns + 7) // 8), dtype=np.uint8)
    for number, array in enumerate(batch.columns):
        if array.null_count:
            mask[:, number // 8] |= flags(array.is_null()) << (7 - number % 8)
    return mask


def _fixed_values(array: pa.Array) -> NDArray[Any]:
    """Return the values of a column of fixed width; NULL is NaN, 0 or ``?`` below its mask bit."""
    if pa.types.is_fixed_size_list(array.type):
        return _tuples(array)
    if pa.types.is_boolean(array.type):
        return _booleans(array)
    return _numbers(array)


def _numbers(array: pa.Array) -> NDArray[Any]:
    if array.null_count:
        array = pc.fill_null(array, float("nan") if pa.types.is_floating(array.type) else 0)
    return numbers(array)


def _booleans(array: pa.Array) -> NDArray[np.uint8]:
    letters = pc.if_else(array, pa.scalar(ord("T"), pa.uint8()), pa.scalar(ord("F"), pa.uint8()))
    return numbers(pc.fill_null(letters, ord("?")))


def _tuples(array: pa.Array) -> NDArray[np.float64]:
    values = np.full((len(array), array.type.list_size), np.nan)
    values[flags(array.is_valid()).astype(bool)] = _numbers(array.flatten()).reshape(-1, array.type.list_size)
    return values


def _variable_values(array: pa.Array, column: Column, *, is_unicode: bool) -> tuple[NDArray[Any], pa.Array]:
    """Return (number of elements per row, their bytes per row)."""
    if pa.types.is_list(array.type) and not is_text_list(column):
        return _lists(array, column)
    texts = array
    if is_text_list(column):
        texts = cell_texts(array, column)
    elif pa.types.is_timestamp(array.type):
        texts = timestamp_texts(array)
    if is_unicode:
        return _utf16(texts)
    values = pc.fill_null(pc.cast(texts, pa.binary()), b"")
    return value_lengths(values), values


def _lists(array: pa.Array, column: Column) -> tuple[NDArray[Any], pa.Array]:
    elements, counts = flat_list(array)
    check_elements(elements, column)
    values = _fixed_values(elements).astype(_CODES[column.datatype])
    return counts, split_binary(values.tobytes(), counts * values.itemsize)


def _utf16(texts: pa.Array) -> tuple[NDArray[Any], pa.Array]:
    """Return (UTF-16 units per row, big-endian UTF-16 per row): VOTable's unicodeChar.

    The batch is converted in one piece. A code point beyond the basic plane takes two units.
    """
    texts = pc.fill_null(texts, "")
    counts = numbers(pc.utf8_length(texts)).astype(np.int64)
    content = binary_content(pc.cast(texts, pa.binary()))
    if (np.frombuffer(content, dtype=np.uint8) >= _FOUR_BYTES_IN_UTF8).any():
        counts += numbers(pc.count_substring_regex(texts, "[\\x{10000}-\\x{10FFFF}]"))
    return counts, split_binary(str(content, "utf-8").encode("utf-16-be"), counts * 2)


def _as_binary(records: NDArray[Any]) -> pa.Array:
    return split_binary(records, np.full(len(records), records.itemsize))
