"""VOTable, read as it comes: rows of TABLEDATA, BINARY and BINARY2, in bounded memory and without a DOCTYPE.

Sources: IVOA VOTable 1.5 (sections 5 and 6: serialisations, null values), DALI 1.1 (section 4.4: QUERY_STATUS).
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from .errors import LostError, RefusedError
from .records import Column
from .rows import Field
from .source import Result
from .votable_binary import RowDecoder, VoField

__all__ = ["VotableReader", "column_of", "error_in", "read_votable"]

_TEXTS: Final = frozenset({"TD", "INFO", "STREAM", "DESCRIPTION"})
_KINDS: Final = {
    "boolean": "boolean",
    "bit": "boolean",
    "unsignedByte": "int64",
    "short": "int64",
    "int": "int64",
    "long": "int64",
    "float": "float32",
    "double": "float64",
}
_BASE64_BLOCK: Final = 4


def read_votable(chunks: Iterable[bytes]) -> Result:
    """Return the result of a VOTable as soon as its columns are known.

    Parameters
    ----------
    chunks
        The document.

    Raises
    ------
    RefusedError
        If it tells an error of the query, has a DOCTYPE or is no VOTable.
    LostError
        If it breaks off; rows may have been given before.
    """
    reader = VotableReader()
    steps = _stepped(reader, iter(chunks))
    result = Result((), iter(()))
    early: list[Sequence[Sequence[Field]]] = []
    while not reader.has_columns:
        batch = next(steps, None)
        if batch is None:
            break
        early.append(batch)
    result.columns = tuple(column_of(one) for one in reader.fields)
    result.batches = _batches(reader, early, steps, result)
    return result


def _stepped(reader: "VotableReader", chunks: Iterator[bytes]) -> Iterator[list[list[Field]]]:
    for chunk in chunks:
        reader.feed(chunk)
        yield reader.take()
    reader.close()


def _batches(
    reader: "VotableReader",
    early: list[Sequence[Sequence[Field]]],
    steps: Iterator[list[list[Field]]],
    result: Result,
) -> Iterator[Sequence[Sequence[Field]]]:
    for batch in [*early]:
        if batch:
            yield batch
    for batch in steps:
        if batch:
            yield batch
    if reader.error is not None:
        raise RefusedError(reader.error)
    if not (reader.has_columns or reader.fields):  # a table without DATA has no rows
        raise RefusedError("the answer is a VOTable without a table")
    result.overflow = reader.overflow


def error_in(document: bytes) -> str:
    """Return the message of an error document: of its QUERY_STATUS, or what it says as plain text."""
    reader = VotableReader()
    try:
        reader.feed(document)
        reader.close()
    except (RefusedError, LostError):
        pass
    return reader.error or " ".join(document.decode("utf-8", "replace").split())[:500]


def column_of(one: VoField) -> Column:
    """Return the column of a FIELD."""
    shape = f"[{one.arraysize}]" if one.arraysize else ""
    if one.datatype in {"char", "unicodeChar"}:
        is_one_text = "x" not in (one.arraysize or "")
        kind = "timestamp" if one.xtype == "timestamp" else "text" if is_one_text else "other"
    elif one.arraysize in {None, "", "1"}:
        kind = _KINDS.get(one.datatype, "other")
    else:
        kind = "other"
    return Column(one.name, one.datatype + shape, kind, unit=one.unit, ucd=one.ucd)


@dataclass
class VotableReader:
    """Takes a document in pieces, and keeps the rows until they are taken."""

    fields: list[VoField] = field(default_factory=list)
    has_columns: bool = False
    """Whether the data has begun, so that all columns are known."""
    overflow: bool = False
    error: str | None = None
    _rows: list[list[Field]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = _refuse_doctype
        self._text: list[str] = []
        self._is_text = False
        self._row: list[Field] = []
        self._status: str | None = None
        self._decoder: RowDecoder | None = None
        self._base64 = ""
        self._is_done = False
        self._was_fed = False

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the document."""
        self._was_fed = self._was_fed or bool(chunk)
        try:
            self._parser.Parse(chunk, False)  # noqa: FBT003 - the argument has no name
        except expat.ExpatError as error:
            raise RefusedError(f"the answer is no VOTable: {error}") from error

    def close(self) -> None:
        """Tell that the document has ended."""
        try:
            self._parser.Parse(b"", True)  # noqa: FBT003 - as above
        except expat.ExpatError as error:
            raise LostError(f"the answer broke off: {error}") from error

    def take(self) -> list[list[Field]]:
        """Return the rows since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        self._is_text = name in _TEXTS
        self._text = []
        match name:
            case "FIELD" if not self.has_columns:
                self.fields.append(VoField.of(attributes))
            case "VALUES" if self.fields and not self.has_columns and "null" in attributes:
                self.fields[-1].null = attributes["null"]
            case "TABLEDATA":
                self.has_columns = True
            case "BINARY" | "BINARY2" if not self._is_done:
                self.has_columns = True
                self._decoder = RowDecoder(self.fields, has_null_flags=name == "BINARY2")
            case "STREAM":
                if attributes.get("encoding", "base64") != "base64" or "href" in attributes:
                    raise RefusedError("the rows are not in the answer itself, in base64")
            case "INFO" if attributes.get("name") == "QUERY_STATUS":
                self._status = attributes.get("value", "").upper()
                self.overflow = self.overflow or self._status == "OVERFLOW"
            case _:
                pass

    def _end(self, tag: str) -> None:
        match tag.rpartition(":")[2]:
            case "TD":
                self._row.append(self._cell())
            case "TR":
                self._take_row()
            case "STREAM":
                self._decode(last=True)
                self._decoder = None
            case "INFO" if self._status == "ERROR":
                self.error = " ".join("".join(self._text).split()) or "the query failed, the source says no more"
                self._status = None
            case "INFO":
                self._status = None
            case "TABLE":
                self._is_done = self.has_columns
            case _:
                pass
        self._is_text = False

    def _take_row(self) -> None:
        if len(self._row) != len(self.fields):
            raise RefusedError(f"a row has {len(self._row)} values for {len(self.fields)} columns")
        if not self._is_done:
            self._rows.append(self._row)
        self._row = []

    def _cell(self) -> Field:
        """Return the value of a TD; an empty one is NULL, for texts too: the format cannot tell."""
        text, one = "".join(self._text), self.fields[min(len(self._row), len(self.fields) - 1)]
        if one.datatype in {"char", "unicodeChar"}:
            return text or None
        text = text.strip()
        return None if text in {"", one.null} or (one.datatype == "boolean" and text == "?") else text

    def _characters(self, text: str) -> None:
        if self._decoder is not None:
            self._base64 += text
            self._decode(last=False)
        elif self._is_text:
            self._text.append(text)

    def _decode(self, *, last: bool) -> None:
        if self._decoder is None:
            return
        text = "".join(self._base64.split())
        whole = len(text) if last else len(text) // _BASE64_BLOCK * _BASE64_BLOCK
        self._base64 = text[whole:]
        try:
            data = base64.b64decode(text[:whole], validate=True)
        except binascii.Error as error:
            raise RefusedError(f"the rows are not base64: {error}") from error
        self._rows += self._decoder.feed(data)
        if last:
            self._decoder.close()


def _refuse_doctype(*_: object) -> None:
    raise RefusedError("the answer has a DOCTYPE, which no VOTable needs: it is not read")
