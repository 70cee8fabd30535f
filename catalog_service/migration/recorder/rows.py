"""Rows of a recording: CSV without a header in which NULL and the empty text differ, gzipped, written as they come.

NULL is an empty unquoted field, or ``NULL`` where it is the only field of its line; every text is quoted; booleans are
0 and 1, bytes quoted hexadecimal digits, timestamps quoted ISO 8601, numbers what the source printed, and what is not a
number is ``nan``, ``inf`` or ``-inf``.
"""

import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from .errors import FormatError

__all__ = ["Digest", "Expected", "Field", "RowWriter", "check_bytes", "encoder", "read_rows", "told_damage"]

Field = str | bytes | None
"""A value as a source gives it: text, or the bytes of a binary column."""

_LEVEL: Final = 4
"""Of gzip: twice as fast as the default, files a few per cent larger."""

_BLOCK: Final = 1 << 16
_SPECIAL: Final = {
    "nan": "nan",
    "-nan": "nan",
    "inf": "inf",
    "+inf": "inf",
    "infinity": "inf",
    "+infinity": "inf",
    "-inf": "-inf",
    "-infinity": "-inf",
}
_TRUE: Final = frozenset({"1", "t", "true", "y", "yes", "\x01"})
_FALSE: Final = frozenset({"0", "f", "false", "n", "no", "\x00", ""})
_FIELD: Final = re.compile(r'"((?:[^"]|"")*)"|([^,"\n]*)')


def encoder(kind: str) -> Callable[[Field], str]:
    """Return the function that writes a value of a kind as a field of a line.

    Parameters
    ----------
    kind
        A kind of the format, see `records.KINDS`.

    Raises
    ------
    FormatError
        By the function, if a boolean is neither true nor false.

    Examples
    --------
    >>> [encoder("text")(value) for value in ("a,b", "", None)]
    ['"a,b"', '""', '']
    >>> encoder("float64")("NaN"), encoder("int64")("9007199254740993"), encoder("boolean")("true")
    ('nan', '9007199254740993', '1')
    """
    return _ENCODERS.get(kind, _quoted)


def _quoted(value: Field) -> str:
    return "" if value is None else '"' + _text(value).replace('"', '""') + '"'


def _number(value: Field) -> str:
    if value is None:
        return ""
    text = _text(value).strip()
    return _SPECIAL.get(text.lower(), text)


def _bytes(value: Field) -> str:
    if value is None:
        return ""
    return f'"{value.hex() if isinstance(value, bytes) else value}"'


def _boolean(value: Field) -> str:
    if value is None:
        return ""
    text = _text(value).strip(" ").lower()
    if text in _TRUE:
        return "1"
    if text in _FALSE:
        return "0"
    raise FormatError(f"{text!r} is not a boolean: 0, 1, true and false are.")


def _timestamp(value: Field) -> str:
    return "" if value is None else f'"{_text(value).strip().replace(" ", "T")}"'


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


_ENCODERS: Final = {
    "int64": _number,
    "uint64": _number,
    "decimal": _number,
    "float32": _number,
    "float64": _number,
    "boolean": _boolean,
    "bytes": _bytes,
    "timestamp": _timestamp,
}


class RowWriter:
    """Writes rows to a gzip stream; counts and hashes what it wrote.

    Parameters
    ----------
    sink
        File to write to.
    kinds
        Kind of each column.
    """

    def __init__(self, sink: IO[bytes], kinds: Sequence[str]) -> None:
        self._stream = gzip.GzipFile(filename="", mode="wb", fileobj=sink, compresslevel=_LEVEL, mtime=0)
        self._encoders = [encoder(kind) for kind in kinds]
        self._hash = hashlib.sha256()
        self.rows = 0
        """Rows written."""
        self.size = 0
        """Bytes written, before compression."""

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the uncompressed lines."""
        return self._hash.hexdigest()

    def write(self, rows: Sequence[Sequence[Field]]) -> None:
        """Append rows."""
        lines = [",".join([encode(value) for encode, value in zip(self._encoders, row, strict=True)]) for row in rows]
        if len(self._encoders) == 1:
            lines = [line or "NULL" for line in lines]
        if not lines:
            return
        block = ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
        self._stream.write(block)
        self._hash.update(block)
        self.rows += len(lines)
        self.size += len(block)

    def close(self) -> None:
        """Finish the stream; the file below stays open."""
        self._stream.close()


@dataclass(frozen=True)
class Expected:
    """What a record says of its rows; None is not checked."""

    rows: int | None = None
    sha256: str | None = None
    size: int | None = None
    """In bytes, before compression."""

    def check(self, path: Path, rows: int | None, sha256: str, size: int) -> None:
        """Compare with what was read.

        Raises
        ------
        FormatError
            If it is not the same.
        """
        found = (("rows", self.rows, rows), ("bytes", self.size, size), ("sha256", self.sha256, sha256))
        for what, expected, actual in found:
            if expected is not None and actual is not None and expected != actual:
                raise FormatError(
                    f"{path.name} is not what was recorded: {what} {actual} instead of {expected}. Record it again."
                )


class Digest(io.RawIOBase):
    """Reads a binary stream through; hashes and counts what passes.

    Parameters
    ----------
    stream
        What is read.
    """

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of what was read."""
        return self._hash.hexdigest()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, target: Any) -> int:
        """Read into a buffer."""
        found = self._stream.read(len(target))
        target[: len(found)] = found
        self._hash.update(found)
        self.size += len(found)
        return len(found)


@contextmanager
def told_damage(path: Path) -> Iterator[None]:
    """Turn errors of reading a ``.csv.gz`` into a `FormatError` that names it."""
    try:
        if path.stat().st_size == 0:
            raise FormatError(f"{path.name} is empty: record this answer again.")
        yield
    except (EOFError, OSError, zlib.error, UnicodeDecodeError) as error:
        raise FormatError(f"{path.name} cannot be read ({error}): record this answer again.") from error


def read_rows(path: Path, expected: Expected = Expected()) -> Iterator[tuple[str | None, ...]]:
    """Yield the rows of a ``.csv.gz`` of a recording; None is NULL.

    Parameters
    ----------
    path
        The file.
    expected
        What is known of the rows; checked behind the last one.

    Raises
    ------
    FormatError
        If the file is cut, damaged, not of this format or not what is expected.
    """
    with told_damage(path), gzip.open(path) as stream:
        digest, count = Digest(stream), 0
        lines = io.TextIOWrapper(
            io.BufferedReader(digest, _BLOCK), encoding="utf-8", errors="surrogatepass", newline="\n"
        )
        record = ""
        for line in lines:
            record += line
            if record.count('"') % 2 == 0:
                yield _fields(record.removesuffix("\n"), path)
                count += 1
                record = ""
        if record:
            raise FormatError(f"{path.name} ends within a text: record this answer again.")
        expected.check(path, count, digest.sha256, digest.size)


def check_bytes(path: Path, expected: Expected) -> None:
    """Check digest and size of rows without parsing them.

    Raises
    ------
    FormatError
        If the file is damaged or not what is expected.
    """
    if not path.is_file():
        raise FormatError(f"{path.name} is missing: record it again.")
    with told_damage(path), gzip.open(path) as stream:
        digest = Digest(stream)
        buffer = bytearray(_BLOCK)
        while digest.readinto(buffer):
            pass
        expected.check(path, None, digest.sha256, digest.size)


def _fields(record: str, path: Path) -> tuple[str | None, ...]:
    fields: list[str | None] = []
    at = 0
    while True:
        found = _FIELD.match(record, at)
        assert found is not None, "the pattern matches the empty text"
        quoted, plain = found.groups()
        fields.append((None if plain in {"", "NULL"} else plain) if quoted is None else quoted.replace('""', '"'))
        at = found.end()
        if at == len(record):
            return tuple(fields)
        if record[at] != ",":
            raise FormatError(f"{path.name} holds a line that is not of this format: {record[:80]!r}")
        at += 1
