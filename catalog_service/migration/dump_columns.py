"""What a column of a MySQL-protocol source becomes in Parquet, and how its values are asked for.

Values come as text. MySQL prints a FLOAT with 6 digits, so it is asked for as ``col * 1e0``: a DOUBLE, which is printed
with as many digits as tell it from all others, and keeps the sign of zero (``+ 0e0`` would not). A BIT is asked for as
``col + 0``, an integer. Everything else is printed exactly. Qserv refuses CAST and CONVERT, so neither is used.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..exceptions import ServerError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DumpColumn", "converted", "dump_column", "quoted"]

_TYPE: Final = re.compile(r"(?P<name>[a-z0-9]+)(?:\s*\((?P<size>\d+)(?:,\s*(?P<scale>\d+))?\))?(?P<rest>.*)", re.DOTALL)

_INTEGERS: Final = {"tinyint": 8, "smallint": 16, "mediumint": 32, "int": 32, "integer": 32, "bigint": 64}
_SIMPLE: Final = {
    "float": "float32",
    "double": "float64",
    "real": "float64",
    "date": "date32",
    "datetime": "timestamp",
    "timestamp": "timestamp",
    "year": "int16",
}
_BYTES: Final = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_TEXT: Final = frozenset(
    "char varchar tinytext text mediumtext longtext enum set time json uuid inet4 inet6 bool boolean".split()
)
_COMPUTED: Final = {"float": "{} * 1e0", "double": "{} * 1e0", "real": "{} * 1e0", "bit": "{} + 0"}
"""How values are asked for that are not printed exactly; a plain DOUBLE is, DOUBLE(M, D) with D digits alone."""


@dataclass(frozen=True)
class DumpColumn:
    """A column to dump."""

    name: str
    type: str
    """As the source calls it, such as ``bigint(20) unsigned``."""
    stored: str
    """Type in Parquet: ``int8`` ... ``uint64``, ``float32``, ``float64``, ``decimal(P,S)``, ``boolean``, ``text``,
    ``bytes``, ``date32`` or ``timestamp``."""
    expression: str
    """What is selected."""

    @property
    def is_integer(self) -> bool:
        """Whether a range of its values can be cut in equal parts."""
        return self.stored.startswith(("int", "uint"))

    @property
    def arrow(self) -> "pa.DataType":
        """The type in Arrow; times are in microseconds, those of TIMESTAMP in UTC."""
        import pyarrow as pa  # noqa: PLC0415 - other commands need no Arrow

        if self.stored.startswith("decimal"):
            precision, scale = (int(part) for part in re.findall(r"\d+", self.stored))
            return (pa.decimal128 if precision <= _MOST_DIGITS else pa.decimal256)(precision, scale)
        plain = {"boolean": pa.bool_(), "text": pa.string(), "bytes": pa.binary(), "timestamp": pa.timestamp("us")}
        return plain.get(self.stored) or pa.type_for_alias(self.stored)


_MOST_DIGITS: Final = 38
"""Digits of the largest decimal that the partitioner takes; longer ones are dumped all the same."""


def quoted(*names: str) -> str:
    """Return a name between backticks; of several names, such as schema and table, with dots between.

    >>> quoted("a`b"), quoted("survey", "Object")
    ('`a``b`', '`survey`.`Object`')
    """
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)


def dump_column(name: str, source_type: str, *, as_text: bool = False) -> DumpColumn:
    """Return how a column of a source is dumped.

    Parameters
    ----------
    source_type
        As ``SHOW COLUMNS`` prints it; letter case does not matter.
    as_text
        Store what the source prints, such as times beyond the calendar.

    >>> dump_column("flux", "FLOAT")
    DumpColumn(name='flux', type='FLOAT', stored='float32', expression='`flux` * 1e0')
    >>> dump_column("n", "decimal(10,3)").stored, dump_column("f", "bit(1)").stored, dump_column("o", "point").stored
    ('decimal(10,3)', 'boolean', 'bytes')
    """
    parts = _TYPE.fullmatch(source_type.strip().lower())
    base = parts["name"] if parts is not None else ""
    stored = "text" if as_text else _stored(base, parts)
    exact = "{}" if as_text or (base == "double" and parts is not None and parts["size"] is None) else None
    return DumpColumn(name, source_type, stored, (exact or _COMPUTED.get(base, "{}")).format(quoted(name)))


def _stored(base: str, parts: re.Match[str] | None) -> str:
    if parts is None:
        return "bytes"
    if base in _INTEGERS:
        return f"{'u' if 'unsigned' in parts['rest'] or 'zerofill' in parts['rest'] else ''}int{_INTEGERS[base]}"
    if base in {"decimal", "numeric"}:
        return f"decimal({parts['size'] or 10},{parts['scale'] or 0})"
    if base == "bit":
        return "boolean" if parts["size"] in {None, "1"} else "uint64"
    if base in _SIMPLE:
        return _SIMPLE[base]
    return "text" if base in _TEXT else "bytes"


def converted(column: DumpColumn, values: Sequence[bytes | None]) -> "pa.Array":
    """Return printed values as an array of the column's type.

    Raises
    ------
    ServerError
        If a value cannot be told in this type, such as the date ``0000-00-00``; nothing is ever rounded or left out.
    """
    import pyarrow as pa  # noqa: PLC0415 - other commands need no Arrow

    try:
        if column.stored == "bytes":
            return pa.array(values, pa.binary())
        texts = pa.array(values, pa.binary()).cast(pa.string())
        return _parsed(column, texts)
    except pa.ArrowInvalid as error:
        raise ServerError(
            f"column {column.name!r} ({column.type}) holds a value that is no {column.stored}: {error}.",
            remedy=f"Dump it as printed, with --as-text {column.name}, or leave it out, with --without {column.name}.",
        ) from error


def _parsed(column: DumpColumn, texts: "pa.Array") -> "pa.Array":
    import pyarrow as pa  # noqa: PLC0415

    match column.stored:
        case "text":
            return texts
        case "boolean":
            return texts.cast(pa.uint8()).cast(pa.bool_())
        case "float32":
            doubles = texts.cast(pa.float64())
            floats = doubles.cast(pa.float32(), safe=False)
            if not floats.cast(pa.float64()).equals(doubles):
                raise pa.ArrowInvalid("more digits than a FLOAT has")
            return floats
        case _:
            return texts.cast(column.arrow)
