"""Columns of a FITS binary table: what the header says of them, and their bytes as Arrow arrays.

Source: FITS standard 4.0, section 7.3.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..exceptions import SchemaMismatchError

__all__ = ["FitsColumn", "column_type", "decode", "table_columns"]

_BYTES: Final = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
_NUMBERS: Final = {"B": "u1", "I": "i2", "J": "i4", "K": "i8", "E": "f4", "D": "f8"}
_TURNED: Final = {"B": (-(2**7), "i1"), "I": (2**15, "u2"), "J": (2**31, "u4"), "K": (2**63, "u8")}
"""TZERO by which FITS, which has no such types, keeps signed bytes and unsigned integers; and their type."""

_FORM: Final = re.compile(r"(\d*)([LXBIJKAEDCMPQ])(.*)", re.DOTALL)
_WINDOW_BYTES: Final = 64 << 20
"""Most bytes of the heap in memory, unless a single row has more."""

ReadHeap = Callable[[int, int], bytes]
"""Returns the bytes from the first to before the second offset of the heap."""


@dataclass(frozen=True)
class FitsColumn:
    """One column of a binary table, as its header describes it."""

    name: str
    code: str
    """Letter of TFORM; of the elements if the array lies on the heap."""
    offset: int
    """Bytes before it in a row."""
    width: int
    """Bytes in a row."""
    repeat: int
    """Elements in a row, bits and characters included."""
    shape: tuple[int, ...] = ()
    """Shape of the array in a row, slowest axis first; empty for one value."""
    null: int | None = None
    scale: float = 1
    zero: float = 0
    heap: str | None = None
    """``P`` or ``Q`` if a row holds the descriptor of an array of any length."""


def table_columns(header: Any) -> list[FitsColumn]:
    """Return the columns that the `header` (a mapping of FITS keywords) of a binary table describes.

    Raises
    ------
    SchemaMismatchError
        If a column's type cannot be stored.
    ValueError
        If the header is not one of a binary table.
    """
    columns: list[FitsColumn] = []
    offset = 0
    for number in range(1, header["TFIELDS"] + 1):
        columns.append(_column(header, number, offset))
        offset += columns[-1].width
    if offset != header["NAXIS1"]:
        msg = f"rows have {header['NAXIS1']} bytes, but their columns {offset}"
        raise ValueError(msg)
    return columns


def _column(header: Any, number: int, offset: int) -> FitsColumn:
    form = str(header[f"TFORM{number}"]).strip()
    name = str(header.get(f"TTYPE{number}", f"col{number}")).strip()
    match = _FORM.fullmatch(form)
    if match is None:
        msg = f"column {name!r}: TFORM{number} = {form!r} is not a form of binary tables"
        raise ValueError(msg)
    repeat, code, rest = int(match[1] or 1), match[2], match[3]
    width = (repeat + 7) // 8 if code == "X" else repeat * _BYTES[code]
    heap = code if code in "PQ" else None
    code = rest[:1] if heap else code
    if code in "CM" or (heap and code not in _NUMBERS and code not in "LA"):
        msg = f"column {name!r}: FITS type {form!r} cannot be stored; write its parts as columns of numbers"
        raise SchemaMismatchError(msg)
    return FitsColumn(
        name=name,
        code=code,
        offset=offset,
        width=width,
        repeat=repeat,
        shape=() if heap else _shape(code, repeat, str(header.get(f"TDIM{number}", "")), rest),
        null=header.get(f"TNULL{number}") if code in "BIJK" else None,
        scale=header.get(f"TSCAL{number}", 1),
        zero=header.get(f"TZERO{number}", 0),
        heap=heap,
    )


def _shape(code: str, repeat: int, tdim: str, rest: str) -> tuple[int, ...]:
    """Return the shape of the values in a row; the fastest axis of a text's TDIM counts its characters."""
    axes = tuple(int(axis) for axis in re.findall(r"\d+", tdim))[::-1]
    if not axes or math.prod(axes) != repeat:
        axes = (repeat,)
        if code == "A" and rest.strip().isdigit() and int(rest) and repeat % int(rest) == 0:
            axes = (repeat // int(rest), int(rest))  # the older form rAw: r/w texts of w characters
    axes = axes[:-1] if code == "A" else axes
    return () if math.prod(axes) <= 1 else axes


def column_type(column: FitsColumn) -> pa.DataType:
    """Return the Arrow type of a column's values."""
    kind = _element_type(column)
    if column.heap:
        return kind if column.code == "A" else pa.list_(kind)
    for size in reversed(column.shape):
        kind = pa.list_(kind, size)
    return kind


def _element_type(column: FitsColumn) -> pa.DataType:
    if column.code in "LX":
        return pa.bool_()
    if column.code == "A":
        return pa.string()
    if _is_turned(column):
        return pa.from_numpy_dtype(np.dtype(_TURNED[column.code][1]))
    return pa.float64() if _is_scaled(column) else pa.from_numpy_dtype(np.dtype(_NUMBERS[column.code]))


def _is_turned(column: FitsColumn) -> bool:
    if column.code not in _TURNED or column.scale != 1:
        return False
    return math.isclose(column.zero, _TURNED[column.code][0], rel_tol=1e-12)  # some write 9.22337203685478E18


def _is_scaled(column: FitsColumn) -> bool:
    return (column.scale, column.zero) != (1, 0)


def decode(column: FitsColumn, rows: NDArray[np.uint8], read_heap: ReadHeap) -> pa.Array:
    """Return the values of a column.

    Parameters
    ----------
    column
        Column to decode.
    rows
        Bytes of rows, shape (rows, bytes in a row).
    read_heap
        Reads the heap behind the table.

    Raises
    ------
    pa.ArrowInvalid
        If a text is not UTF-8, or a descriptor points outside the heap.
    """
    cells = np.ascontiguousarray(rows[:, column.offset : column.offset + column.width])
    if column.heap and column.repeat:
        return _heap_arrays(column, cells.view(">i4" if column.heap == "P" else ">i8").astype(np.int64), read_heap)
    if column.width == 0:
        return pa.nulls(len(rows), column_type(column))
    values = _values(column, cells)
    for size in reversed(column.shape):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    return values


def _values(column: FitsColumn, cells: NDArray[np.uint8]) -> pa.Array:
    """Return the elements of `cells`, shape (rows, bytes of the column), one after the other."""
    match column.code:
        case "L":
            return pa.array(cells.ravel() == ord("T"), mask=~np.isin(cells.ravel(), [ord("T"), ord("F")]))
        case "X":
            return pa.array(np.unpackbits(cells, axis=1)[:, : column.repeat].ravel().astype(bool))
        case "A":
            return _texts(cells.reshape(-1, column.width // math.prod(column.shape)))
        case _:
            return _numbers(column, cells.ravel())


def _texts(cells: NDArray[np.uint8]) -> pa.Array:
    """Return texts, which end at the first NUL and lose trailing blanks; one that begins with NUL is NULL (7.3.3.1)."""
    values = pa.array(cells.view(f"S{cells.shape[1]}").ravel(), mask=cells[:, 0] == 0)
    return pc.ascii_rtrim(values.cast(pa.string()), " ")


def _numbers(column: FitsColumn, content: NDArray[np.uint8]) -> pa.Array:
    kind = np.dtype(_NUMBERS[column.code])
    stored = content.view(kind.newbyteorder(">")).astype(kind)
    mask = None if column.null is None else stored == column.null
    if _is_turned(column):
        sign = kind.type(1) << kind.type(8 * kind.itemsize - 1)
        return pa.array((stored ^ sign).view(_TURNED[column.code][1]), mask=mask)
    if _is_scaled(column):
        return pa.array(stored.astype(np.float64) * column.scale + column.zero, mask=mask)
    return pa.array(stored, mask=mask)


def _heap_arrays(column: FitsColumn, descriptors: NDArray[np.int64], read_heap: ReadHeap) -> pa.Array:
    """Return arrays of any length; `descriptors`, shape (rows, 2), hold their counts and their places on the heap."""
    size = _BYTES[column.code]
    lengths, starts = descriptors[:, 0] * size, descriptors[:, 1]
    used = lengths > 0
    if (lengths < 0).any() or (starts[used] < 0).any():
        raise pa.ArrowInvalid("an array descriptor points outside the heap")
    first, last = (int(starts[used].min()), int((starts + lengths)[used].max())) if used.any() else (0, 0)
    if last - first > _WINDOW_BYTES and len(descriptors) > 1:
        half = len(descriptors) // 2
        return pa.concat_arrays([_heap_arrays(column, part, read_heap) for part in np.split(descriptors, [half])])
    window = np.frombuffer(read_heap(first, last), dtype=np.uint8)
    ends = np.cumsum(lengths)
    places = np.repeat(starts - first - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
    content = window[places]
    offsets = np.concatenate([[0], ends]) // size
    return _lists(column, content, offsets.astype(np.int32))


def _lists(column: FitsColumn, content: NDArray[np.uint8], offsets: NDArray[np.int32]) -> pa.Array:
    if column.code == "A":
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content)]
        texts = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers).cast(pa.string())
        return pc.utf8_rtrim(texts, " \0")
    return pa.ListArray.from_arrays(pa.array(offsets), _values(column, content.reshape(1, -1)))
