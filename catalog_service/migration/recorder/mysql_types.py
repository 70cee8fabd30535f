"""MySQL's types: what a column is, and how its bytes are read."""

import re
from collections.abc import Callable
from typing import Any, Final

from .records import Column
from .rows import Field

__all__ = ["column_of_field", "column_of_listing", "reader_of_field"]

_UNSIGNED: Final = 32
"""Flag of a field, MySQL Internals, "Column Definition"."""
_BINARY: Final = 63
"""Number of the character set of bytes."""
_BIT: Final = 16

_TYPES: Final[dict[int, tuple[str, str]]] = {
    0: ("decimal", "decimal"),
    1: ("tinyint", "int64"),
    2: ("smallint", "int64"),
    3: ("int", "int64"),
    4: ("float", "float32"),
    5: ("double", "float64"),
    6: ("null", "other"),
    7: ("timestamp", "timestamp"),
    8: ("bigint", "int64"),
    9: ("mediumint", "int64"),
    10: ("date", "timestamp"),
    11: ("time", "other"),
    12: ("datetime", "timestamp"),
    13: ("year", "int64"),
    15: ("varchar", "text"),
    _BIT: ("bit", "uint64"),
    245: ("json", "text"),
    246: ("decimal", "decimal"),
    247: ("enum", "text"),
    248: ("set", "text"),
    249: ("tinytext", "text"),
    250: ("mediumtext", "text"),
    251: ("longtext", "text"),
    252: ("text", "text"),
    253: ("varchar", "text"),
    254: ("char", "text"),
    255: ("geometry", "bytes"),
}
"""Name and kind of the types of the protocol."""
_BYTES: Final = {"varchar": "varbinary", "char": "binary", "text": "blob"}
_LISTED: Final = re.compile(r"(\w+)(?:\((\d+)[^)]*\))?(.*)")
_KINDS: Final = dict(_TYPES.values()) | {
    "integer": "int64",
    "real": "float64",
    "numeric": "decimal",
    "binary": "bytes",
    "varbinary": "bytes",
    "blob": "bytes",
    "tinyblob": "bytes",
    "mediumblob": "bytes",
    "longblob": "bytes",
}


def column_of_listing(name: str, listed: str, nullable: bool) -> Column:  # noqa: FBT001 - as the listing has it
    """Return a column as ``SHOW COLUMNS`` tells it.

    Examples
    --------
    >>> [column_of_listing("x", text, True).kind for text in ("bigint(20) unsigned", "bit(1)", "bit(8)", "varchar(9)")]
    ['uint64', 'boolean', 'uint64', 'text']
    """
    found = _LISTED.match(listed.lower())
    base, length, rest = found.groups() if found else (listed, None, "")
    kind = _KINDS.get(base, "other")
    if base == "bigint" and "unsigned" in rest:
        kind = "uint64"
    if base == "bit" and length in {None, "1"}:
        kind = "boolean"
    return Column(name, listed, kind, nullable)


def column_of_field(field: Any) -> Column:
    """Return a column of an answer, as the protocol describes it."""
    base, kind = _TYPES.get(field.type_code, (f"type {field.type_code}", "other"))
    if kind == "text" and field.charsetnr == _BINARY and base not in {"json", "enum", "set"}:
        base, kind = _BYTES.get(base, base.replace("text", "blob")), "bytes"
    if base == "bigint" and field.flags & _UNSIGNED:
        base, kind = "bigint unsigned", "uint64"
    if field.type_code == _BIT:
        base, kind = f"bit({field.length})", "boolean" if field.length == 1 else "uint64"
    return Column(_decoded(field.name), base, kind)


def reader_of_field(field: Any) -> Callable[[bytes], Field]:
    """Return the function that reads a value of a field."""
    if field.type_code == _BIT:
        return _bits
    return _same if column_of_field(field).kind == "bytes" else _decoded


def _bits(value: bytes) -> str:
    return str(int.from_bytes(value, "big"))


def _same(value: bytes) -> bytes:
    return value


def _decoded(value: bytes | str) -> str:
    """Return text of a server that was asked for UTF-8; one that ignores it sends Latin-1."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin1")
