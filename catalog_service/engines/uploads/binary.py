"""Rows of BINARY and BINARY2 to Arrow arrays (VOTable 1.4 sections 5.2 and 5.3).

Of rows whose length varies only the lengths are read one by one; all values are gathered column by column.
"""

import itertools
import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .cells import times
from .fields import VOField
from .incoming import Tally

__all__ = ["BinaryRows"]

_LENGTH: Final = struct.Struct(">I")
_TRUE: Final = np.frombuffer(b"Tt1", dtype=np.uint8)
_FALSE: Final = np.frombuffer(b"Ff0", dtype=np.uint8)


class BinaryRows:
    """Collects bytes and turns the rows that are whole into arrays.

    Parameters
    ----------
    fields
        Columns.
    tally
        Counts rows.
    has_flags
        Whether each row begins with a bit for each column that tells of NULL, as in BINARY2.
    """

    def __init__(self, fields: tuple[VOField, ...], tally: Tally, *, has_flags: bool) -> None:
        self._fields = fields
        self._tally = tally
        self._flag_bytes = (len(fields) + 7) // 8 if has_flags else 0
        self._buffer = bytearray()
        self._ended = False
        least = self._flag_bytes + sum(4 if f.count is None else f.count * f.width for f in fields)
        if least == 0:
            raise tally.error("its rows have no bytes.")

    def add(self, content: bytes) -> None:
        """Take bytes of the stream."""
        self._buffer += content

    def finish(self) -> None:
        """Note that the stream has ended."""
        self._ended = True

    def take(self, _least: int) -> list[pa.Array] | None:
        """Return the columns of the rows that are whole, None if there are none.

        Raises
        ------
        UploadError
            If the stream ended within a row, or a text is none.
        """
        starts, counts, used = self._places()
        if self._ended and used < len(self._buffer):
            raise self._tally.error("its binary rows are cut short.")
        if len(starts) == 0:
            return None
        self._tally.add_rows(len(starts))
        content = np.frombuffer(bytes(self._buffer[:used]), dtype=np.uint8)
        del self._buffer[:used]
        return list(self._arrays(content, starts, counts))

    def _places(self) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Return where each row and each value of varying length starts, their lengths, and the bytes of all rows.

        The first array is ``(N, 1 + V)`` for V columns of varying length, the second ``(N, V)``.
        """
        ahead, tail = self._plan()
        if not ahead:
            rows = len(self._buffer) // tail
            return np.arange(rows, dtype=np.int64)[:, None] * tail, np.empty((rows, 0), np.int64), rows * tail
        buffer, end, read = bytes(self._buffer), len(self._buffer), _LENGTH.unpack_from
        places: list[int] = []
        counts: list[int] = []
        used = 0
        while True:
            at, row, lengths = used, [used], []
            for fixed, width in ahead:
                at += fixed
                if at + 4 > end:
                    break
                (count,) = read(buffer, at)
                row.append(at + 4)
                lengths.append(count)
                at += 4 + count * width
            else:
                at += tail
                if at <= end and at > used:
                    places += row
                    counts += lengths
                    used = at
                    continue
            break
        shape = (len(counts) // len(ahead), len(ahead))
        starts = np.array(places, dtype=np.int64).reshape(shape[0], shape[1] + 1)
        return starts, np.array(counts, dtype=np.int64).reshape(shape), used

    def _plan(self) -> tuple[list[tuple[int, int]], int]:
        """Return (fixed bytes before, element width) of the columns of varying length, and the fixed bytes after."""
        ahead, fixed = [], self._flag_bytes
        for field in self._fields:
            if field.count is None:
                ahead.append((fixed, field.width))
                fixed = 0
            else:
                fixed += field.count * field.width
        return ahead, fixed

    def _arrays(
        self, content: NDArray[np.uint8], starts: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> Iterator[pa.Array]:
        flags = _gathered(content, starts[:, 0], self._flag_bytes)
        at, varying = starts[:, 0] + self._flag_bytes, 0
        for number, field in enumerate(self._fields):
            if field.count is None:
                lengths = counts[:, varying]
                begin = starts[:, varying + 1]
                varying += 1
                values = _pieces(content, begin, lengths * field.width)
                array = self._varying(field, values, lengths)
                at = begin + lengths * field.width
            else:
                size = field.count * field.width
                array = self._fixed(field, _gathered(content, at, size), len(at))
                at = at + size
            if self._flag_bytes:
                is_null = (flags[:, number // 8] >> (7 - number % 8)) & 1
                array = _with_nulls(array, is_null.astype(bool))
            yield array

    def _fixed(self, field: VOField, values: NDArray[np.uint8], rows: int) -> pa.Array:
        if field.is_text:
            return self._texts(field, [bytes(value) for value in values])
        elements = _elements(field, values.reshape(-1))
        if not field.is_list:
            return elements
        assert field.count is not None
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * field.count)
        return pa.ListArray.from_arrays(offsets, elements)

    def _varying(self, field: VOField, values: NDArray[np.uint8], lengths: NDArray[np.int64]) -> pa.Array:
        ends = np.concatenate(([0], np.cumsum(lengths)))
        if field.is_text:
            content, width = values.tobytes(), field.width
            cuts = (ends * width).tolist()
            return self._texts(field, [content[a:b] for a, b in itertools.pairwise(cuts)])
        return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), _elements(field, values))

    def _texts(self, field: VOField, values: list[bytes]) -> pa.Array:
        """Return texts; they end at the first NUL, and an empty one is NULL, unless flags tell of NULL."""
        wide = field.datatype == "unicodeChar"
        code = "utf-16-be" if wide else "utf-8"
        try:
            texts: list[str | None] = [value.decode(code).partition("\0")[0] for value in values]
        except UnicodeDecodeError as error:
            kind = "UTF-16" if wide else "UTF-8"
            raise self._tally.error(f"column {field.name!r} holds a text that is not {kind}.") from error
        if not self._flag_bytes:
            texts = [text or None for text in texts]
        array = pa.array(texts, pa.string())
        return times(field, array, self._tally) if field.is_time else array


def _gathered(content: NDArray[np.uint8], starts: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """Return the `size` bytes from each start, ``(N, size)``."""
    gathered: NDArray[np.uint8] = content[starts[:, None] + np.arange(size)]
    return gathered


def _pieces(content: NDArray[np.uint8], starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return pieces of varying sizes, one after the other."""
    before = np.cumsum(sizes) - sizes
    pieces: NDArray[np.uint8] = content[np.arange(int(sizes.sum())) + np.repeat(starts - before, sizes)]
    return pieces


def _elements(field: VOField, values: NDArray[np.uint8]) -> pa.Array:
    """Return numbers or truth values from their big-endian bytes."""
    if field.datatype == "bit":
        return pa.array(values != 0)  # the leftmost bit, by the standard; astropy writes another one
    if field.datatype == "boolean":
        return pa.array(np.isin(values, _TRUE), mask=~np.isin(values, np.concatenate([_TRUE, _FALSE])))
    code: Any = np.dtype(field.element.to_pandas_dtype())
    numbers = np.ascontiguousarray(values).view(code.newbyteorder(">")).astype(code)
    return pa.array(numbers, field.element, mask=None if field.null is None else numbers == field.null)


def _with_nulls(array: pa.Array, is_null: NDArray[np.bool_]) -> pa.Array:
    if not is_null.any():
        return array
    return pc.if_else(pa.array(is_null), pa.scalar(None, array.type), array)
