"""VOTable input in every serialisation (TABLEDATA, BINARY, BINARY2), also compressed with gzip.

astropy reads a file as a whole, so its size is bounded; it is a format for tables of moderate size. Names, types and
values are taken over; units and the like belong into the schema file. A masked value is NULL. In TABLEDATA, blanks
around a text are not kept, and an empty text is a text.
"""

import gzip
import sys
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast
from xml.etree import ElementTree as ET
from xml.parsers.expat import ExpatError

import numpy as np
import pyarrow as pa
from astropy.io.votable import parse
from astropy.io.votable.exceptions import E02, W30, W46, W51, VOWarning, conf

from ..exceptions import DamagedInputError, InputError, SchemaMismatchError
from .base import InputFile, unreadable

__all__ = ["VOTableReader"]

_TYPES: Final = {
    "boolean": pa.bool_(),
    "bit": pa.bool_(),
    "unsignedByte": pa.uint8(),
    "short": pa.int16(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "char": pa.string(),
    "unicodeChar": pa.string(),
}

_MOST_TEXT_BYTES: Final = 2 << 30
_MOST_BINARY_BYTES: Final = 256 << 20
"""Largest files: as arrays TABLEDATA takes half its size in memory, BINARY and BINARY2 are unpacked to nine times."""

_PACKED: Final = 5
"""How much larger the content of a compressed file is taken to be."""

_LOSSY: Final = (E02, W30, W46, W51)
"""Warnings of astropy about values that it changes: arrays and texts of another length, texts that are no number,
integers out of range."""

_LOCK: Final = threading.Lock()
"""Filters of warnings are those of the whole process."""

_ERRORS: Final = (
    OSError, EOFError, MemoryError, ValueError, TypeError, LookupError, SyntaxError,
    zlib.error, ExpatError, VOWarning,
)  # fmt: skip
"""What damaged content makes astropy raise; XML errors of the standard library are a SyntaxError."""


@dataclass(frozen=True)
class _Head:
    """What precedes the data of the first table that has columns."""

    number: int
    """Place of the table among all of the file."""
    schema: pa.Schema
    serialisation: str


class VOTableReader:
    """Reads the first table of VOTable files."""

    def schema(self, file: InputFile) -> pa.Schema:
        """Return names and types of the columns; see `base.Reader.schema`.

        Raises
        ------
        InputError
            If there is no table, the file is too large, or a column's type cannot be stored.
        DamagedInputError
            If the file is missing or not a VOTable.
        """
        return self._head(file).schema

    def part_rows(self, file: InputFile) -> None:  # noqa: ARG002
        """Return None: the file is read as a whole."""
        return

    def batches(
        self, file: InputFile, columns: Sequence[str], batch_rows: int, parts: range | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `file` in order; `parts` must be None; see `base.Reader.batches`."""
        assert parts is None, "a VOTable has no parts"
        head = self._head(file)
        absent = set(columns) - set(head.schema.names)
        if absent:
            raise DamagedInputError(file.name, f"column {min(absent)!r} is not there; was the file replaced?")
        try:
            values = _parsed(file, head.number)
            wanted = [head.schema.get_field_index(name) for name in columns]
            fields = [head.schema.field(place) for place in wanted]
            arrays = [_array(values[values.dtype.names[p]], f.type) for p, f in zip(wanted, fields, strict=True)]
        except _ERRORS as error:
            raise unreadable(file, "not a readable VOTable", error) from error
        batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
        for start in range(0, batch.num_rows, batch_rows):
            yield batch.slice(start, batch_rows)

    def _head(self, file: InputFile) -> _Head:
        try:
            with closing(_opened(file)) as content:
                head = _read_head(content)
            size = file.size_bytes * (_PACKED if _is_packed(file) else 1)
        except InputError as error:
            raise type(error)(f"{file.name}: {error}") from None
        except _ERRORS as error:
            raise unreadable(file, "not a readable VOTable", error) from error
        most = _MOST_TEXT_BYTES if head.serialisation == "TABLEDATA" else _MOST_BINARY_BYTES
        if size > most:
            msg = (
                f"{file.name}: a VOTable in {head.serialisation} above {most >> 20} MiB is not read, since it must be "
                f"read as a whole; convert it: stilts tpipe in={file.path.name} out={file.path.stem}.fits"
            )
            raise InputError(msg)
        return head


def _is_packed(file: InputFile) -> bool:
    with file.path.open("rb") as content:
        return content.read(2) == b"\x1f\x8b"


def _opened(file: InputFile) -> BinaryIO:
    return cast("BinaryIO", gzip.open(file.path)) if _is_packed(file) else file.path.open("rb")


def _read_head(content: BinaryIO) -> _Head:
    """Read until the data of the first table with columns; a table may have none."""
    tables = -1
    fields: list[pa.Field] = []
    for event, element in ET.iterparse(content, events=("start", "end")):  # noqa: S314  expat bounds expansion
        tag = element.tag.rpartition("}")[2]
        if event == "start" and tag == "TABLE":
            tables, fields = tables + 1, []
        elif event == "start" and tag == "FIELD":
            fields.append(_field(element.attrib))
        elif fields and (tag in {"TABLEDATA", "BINARY", "BINARY2", "FITS"} or (event == "end" and tag == "TABLE")):
            return _Head(tables, pa.schema(fields), tag)
    raise InputError("the VOTable has no table with columns; if it comes from a service, look at its messages")


def _field(attributes: dict[str, str]) -> pa.Field:
    name = attributes.get("name", attributes.get("ID", ""))
    kind = _TYPES.get(attributes.get("datatype", ""))
    axes = [axis for axis in attributes.get("arraysize", "").strip().split("x") if axis]
    if kind == pa.string():
        axes = axes[1:]
    if kind is None or (kind == pa.string() and axes):
        described = " ".join(f"{key}={attributes[key]!r}" for key in ("datatype", "arraysize") if key in attributes)
        msg = f"column {name!r}: VOTable type {described} cannot be stored; use numbers, texts or arrays of numbers"
        raise SchemaMismatchError(msg)
    if axes == ["1"]:
        axes = []
    for axis in axes:  # the first axis is the fastest
        kind = pa.list_(kind) if axis.endswith("*") else pa.list_(kind, int(axis))
    return pa.field(name, kind)


def _parsed(file: InputFile, table: int) -> Any:
    """Return the rows of a table as one masked structured array."""
    with _LOCK, warnings.catch_warnings(), closing(_opened(file)) as content:
        warnings.simplefilter("ignore")
        for lossy in _LOSSY:
            warnings.filterwarnings("error", category=lossy)
        warnings.filterwarnings("ignore", message=r".*'(null|NULL)'", category=W30)  # an archive's spelling of NULL
        with conf.set_temp("max_warnings", sys.maxsize):  # by default those after the tenth are kept back
            return parse(content, verify="warn").get_table_by_index(table).array


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    """Return a column as Arrow array; masked values, of arrays too, are NULL."""
    if values.dtype == object or pa.types.is_string(kind):
        return pa.array(
            [None if v is np.ma.masked else v.tolist() if hasattr(v, "tolist") else v for v in values], kind
        )
    return _nested(pa.array(np.ma.getdata(values).ravel(), mask=np.ma.getmaskarray(values).ravel()), kind)


def _nested(flat: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the values of all rows, one after the other, as lists of fixed size; not in astropy's order of axes."""
    if not pa.types.is_fixed_size_list(kind):
        return flat.cast(kind)
    return pa.FixedSizeListArray.from_arrays(_nested(flat, kind.value_type), type=kind)
