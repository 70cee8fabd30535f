"""Rows of VOTable's BINARY and BINARY2 serialisations; VOTable 1.5, sections 5.3 to 5.5 and 6."""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .errors import RefusedError
from .rows import Field

__all__ = ["RowDecoder", "VoField", "shortest_float32"]

_SIZES: Final = {
    "boolean": 1,
    "unsignedByte": 1,
    "short": 2,
    "int": 4,
    "long": 8,
    "char": 1,
    "unicodeChar": 2,
    "float": 4,
    "double": 8,
    "floatComplex": 8,
    "doubleComplex": 16,
}
"""Bytes of a value."""
_INTEGERS: Final = {"unsignedByte": "B", "short": "h", "int": "i", "long": "q"}
_LEAST_NORMAL: Final = 2.0**-126
"""Numbers of 32 bits that are nearer to zero have fewer significant bits."""
_LARGEST: Final = 3.4028235677973366e38
"""Of what rounds to a finite 32-bit number."""
_COMPLEX: Final = {"floatComplex": "float", "doubleComplex": "double"}


@dataclass
class VoField:
    """A FIELD."""

    name: str
    datatype: str
    arraysize: str | None = None
    xtype: str | None = None
    unit: str | None = None
    ucd: str | None = None
    null: str | None = None
    """What its VALUES say stands for NULL."""

    @classmethod
    def of(cls, attributes: Mapping[str, str]) -> "VoField":
        """Return the field with these attributes."""
        given = {name: attributes.get(name) for name in ("arraysize", "xtype", "unit", "ucd")}
        return cls(attributes.get("name", ""), attributes.get("datatype", "char"), **given)


class _MoreNeeded(Exception):  # noqa: N818 - a signal, never seen outside
    """The row is not complete yet."""


class RowDecoder:
    """Turns bytes, in pieces of any size, into rows.

    Parameters
    ----------
    fields
        The columns.
    has_null_flags
        Whether a row begins with a bit for each column that is NULL: BINARY2.
    """

    def __init__(self, fields: Sequence[VoField], *, has_null_flags: bool) -> None:
        self._readers = [_Reader(one) for one in fields]
        self._flag_bytes = (len(fields) + 7) // 8 if has_null_flags else 0
        self._buffer = b""

    def feed(self, data: bytes) -> list[list[Field]]:
        """Return the rows that are complete now."""
        buffer, at, rows = self._buffer + data, 0, []
        while at < len(buffer):
            try:
                row, at = self._row(buffer, at)
            except _MoreNeeded:
                break
            rows.append(row)
        self._buffer = buffer[at:]
        return rows

    def close(self) -> None:
        """Tell that no more comes.

        Raises
        ------
        RefusedError
            If half a row is left.
        """
        if self._buffer:
            raise RefusedError(f"the rows end with {len(self._buffer)} bytes of half a row")

    def _row(self, buffer: bytes, at: int) -> tuple[list[Field], int]:
        flags = buffer[at : at + self._flag_bytes]
        if len(flags) < self._flag_bytes:
            raise _MoreNeeded
        at += self._flag_bytes
        row: list[Field] = []
        for number, reader in enumerate(self._readers):
            value, at = reader.read(buffer, at)
            is_null = bool(flags) and bool(flags[number // 8] & (0x80 >> number % 8))
            row.append(None if is_null else value)
        return row, at


class _Reader:
    """Reads the values of one column."""

    def __init__(self, one: VoField) -> None:
        self._null = one.null
        self._datatype = one.datatype
        self._count = _fixed_count(one.arraysize)
        self._text = _formatter(one.datatype, is_array=self._count != 1 or one.arraysize is not None)

    def read(self, buffer: bytes, at: int) -> tuple[Field, int]:
        count = self._count
        if count is None:
            if len(buffer) < at + 4:
                raise _MoreNeeded
            count = struct.unpack_from(">i", buffer, at)[0]
            at += 4
        end = at + ((count + 7) // 8 if self._datatype == "bit" else count * _size(self._datatype))
        if len(buffer) < end:
            raise _MoreNeeded
        value = self._text(buffer[at:end], count)
        return (None if value == self._null else value), end


def _size(datatype: str) -> int:
    try:
        return _SIZES[datatype]
    except KeyError:
        raise RefusedError(f"the answer has values of type {datatype!r}, which VOTable does not know") from None


def _fixed_count(arraysize: str | None) -> int | None:
    """Return how many values a cell has; None if each tells."""
    if not arraysize:
        return 1
    return None if arraysize.endswith("*") else math.prod(int(part) for part in arraysize.split("x"))


def _formatter(datatype: str, *, is_array: bool) -> Callable[[bytes, int], str | None]:
    match datatype:
        case "char":
            return lambda data, _: _until_nul(_ascii(data))
        case "unicodeChar":
            return lambda data, _: _until_nul(data.decode("utf-16-be", "replace"))
        case "bit":
            return lambda data, count: " ".join(f"{int.from_bytes(data, 'big'):0{len(data) * 8}b}"[:count])
        case "boolean" if not is_array:
            return lambda data, _: None if data in {b"?", b" ", b"\0"} else data.decode("latin1")
        case _:
            return lambda data, count: " ".join(_numbers(datatype, data, count))


def _numbers(datatype: str, data: bytes, count: int) -> list[str]:
    if datatype == "boolean":
        return list(data.decode("latin1"))
    if datatype in _COMPLEX:
        return _numbers(_COMPLEX[datatype], data, 2 * count)
    if datatype == "float":
        return [shortest_float32(value) for value in struct.unpack(f">{count}f", data)]
    if datatype == "double":
        return [repr(value) for value in struct.unpack(f">{count}d", data)]
    return [str(value) for value in struct.unpack(f">{count}{_INTEGERS[datatype]}", data)]


def _ascii(data: bytes) -> str:
    """Return text; the standard says ASCII, and services send UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin1")


def _until_nul(text: str) -> str:
    return text.partition("\0")[0]


def shortest_float32(value: float) -> str:
    """Return the shortest decimal text that reads as the same 32-bit number.

    Examples
    --------
    >>> [shortest_float32(struct.unpack("f", struct.pack("f", value))[0]) for value in (0.1, 16777216.0, 1e-45)]
    ['0.1', '16777216.0', '1e-45']
    """
    if not math.isfinite(value):
        return repr(value)
    # what has fewer digits than 6 ends in zeros as text of 6, except where numbers are less exact than that
    for digits in range(6 if abs(value) >= _LEAST_NORMAL else 1, 10):
        text = f"{value:.{digits}g}"
        if abs(float(text)) <= _LARGEST and struct.unpack("f", struct.pack("f", float(text)))[0] == value:
            return repr(float(text))
    raise AssertionError("9 digits tell every 32-bit number")
