"""FIELDs of a VOTable: types, array sizes and undefined values (VOTable 1.4 sections 2.1, 2.2 and 4.6)."""

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from .incoming import SIZE, Tally, facts_of

__all__ = ["VOField", "vo_field"]

_TYPES: Final = {
    "boolean": (pa.bool_(), 1),
    "bit": (pa.bool_(), 1),
    "unsignedByte": (pa.uint8(), 1),
    "short": (pa.int16(), 2),
    "int": (pa.int32(), 4),
    "long": (pa.int64(), 8),
    "char": (pa.string(), 1),
    "unicodeChar": (pa.string(), 2),
    "float": (pa.float32(), 4),
    "double": (pa.float64(), 8),
}
"""Arrow type, and bytes of one element in a binary serialization."""

_TIMESTAMPS: Final = frozenset({"timestamp", "adql:TIMESTAMP"})


@dataclass(frozen=True, slots=True)
class VOField:
    """One column of a VOTable."""

    name: str
    datatype: str
    element: pa.DataType
    width: int
    """Bytes of one element in a binary serialization."""
    count: int | None
    """Elements of a value; None: any number."""
    is_list: bool
    """Whether a value is a list of numbers."""
    is_time: bool
    null: int | None
    """Integer that stands for NULL."""
    facts: dict[str, str]
    """Metadata of the column's Arrow field."""

    @property
    def is_text(self) -> bool:
        """Whether a value is a text."""
        return bool(self.element == pa.string())

    @property
    def arrow_type(self) -> pa.DataType:
        """Type of the column."""
        if self.is_time:
            return pa.timestamp("us")
        return pa.list_(self.element) if self.is_list else self.element


def vo_field(given: dict[str, Any], tally: Tally) -> VOField:
    """Return the column that a FIELD describes, its attributes and ``null`` of its VALUES.

    Raises
    ------
    UploadError
        If the type is unknown, or one that queries do not know.
    """
    name, datatype = given.get("name", given.get("ID", "")), given.get("datatype", "")
    size = given.get("arraysize", "").strip()
    kind = _TYPES.get(datatype)
    parts = size.split("x")
    if kind is None or len(parts) > 1 or (datatype == "bit" and size not in {"", "1"}):
        shown = f"datatype {datatype!r}" + (f", arraysize {size!r}" if size else "")
        raise tally.error(
            f"column {name!r} has a type that queries do not know: {shown[:100]}.",
            "Leave it out; known are numbers, truth values, texts, and one-dimensional arrays of numbers.",
        )
    element, width = kind
    is_text = element == pa.string()
    is_list = bool(size) and size != "1" and not is_text
    xtype = given.get("xtype", "")
    count = _count(name, size, tally)
    return VOField(
        name=name,
        datatype=datatype,
        element=element,
        width=width,
        count=count,
        is_list=is_list,
        is_time=is_text and xtype in _TIMESTAMPS,
        null=_null(name, element, given.get("null"), tally),
        facts=facts_of(given) | ({SIZE: str(count)} if is_list and count is not None else {}),
    )


def _count(name: str, size: str, tally: Tally) -> int | None:
    if not size:
        return 1
    if size.endswith("*"):
        return None
    if not size.isdecimal() or not size.isascii() or len(size) > 9:
        raise tally.error(f"column {name!r} has the arraysize {size[:40]!r}, which is no number of elements.")
    return int(size)


def _null(name: str, element: pa.DataType, text: str | None, tally: Tally) -> int | None:
    if not text or not pa.types.is_integer(element):
        return None
    try:
        return int(text, 16 if text.strip().lower().startswith("0x") else 10)
    except ValueError as error:
        raise tally.error(f"column {name!r}: null={text[:40]!r} is no integer.") from error
