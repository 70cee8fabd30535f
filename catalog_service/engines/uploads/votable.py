"""Uploads as VOTable: TABLEDATA, BINARY and BINARY2, read in one pass that stops at the first thing it does not take.

A document type is refused by the XML parser's own event, so in whatever encoding it is written; nothing is ever
fetched: a STREAM elsewhere (``href``) and FITS are refused. The first table with columns counts. Sources: VOTable 1.4
sections 2.1 (types), 5.1 to 5.4 (serializations); DALI 1.1 section 3 (an empty cell is NULL).
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from xml.parsers import expat

import pyarrow as pa

from .binary import BinaryRows
from .fields import VOField, vo_field
from .incoming import BATCH_ROWS, Incoming, Tally
from .tabledata import TableDataRows

__all__ = ["read_votable"]

_BLOCK_BYTES: Final = 1 << 20
_NO_TABLE: Final = "it is XML, but no VOTable."
_WHITE: Final = re.compile(r"\s+")


@dataclass(slots=True)
class _State:
    """Where in the document the parser is, and what it found."""

    depth: int = 0
    fields: list[VOField] = field(default_factory=list)
    open_field: dict[str, Any] | None = None
    closed: bool = False
    """Whether the table was read to its end."""
    serialization: str = ""
    in_description: bool = False
    text: list[str] = field(default_factory=list)


def read_votable(path: Path, tally: Tally) -> Incoming:
    """Read the first table of a VOTable."""
    batches = _Document(path, tally).batches()
    first = next(batches)
    return Incoming(first.schema, _chained(first, batches))


def _chained(first: pa.RecordBatch, others: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from others


class _Document:
    """Reads one document with an event parser."""

    def __init__(self, path: Path, tally: Tally) -> None:
        self._path = path
        self._tally = tally
        self._state = _State()
        self._parser = expat.ParserCreate()
        self._rows: BinaryRows | TableDataRows | None = None
        self._stream: BinaryRows | None = None
        """While its element is open."""
        self._base64 = ""
        self._starts: dict[str, Callable[[dict[str, str]], None]] = {
            "TABLE": self._start_table,
            "FIELD": self._start_field,
            "VALUES": self._start_values,
            "DESCRIPTION": self._start_text,
            "DATA": self._start_data,
            "TABLEDATA": self._start_tabledata,
            "BINARY": lambda _: self._start_binary("BINARY"),
            "BINARY2": lambda _: self._start_binary("BINARY2"),
            "FITS": self._refuse_fits,
            "STREAM": self._start_stream,
        }
        self._ends: dict[str, Callable[[], None]] = {
            "TABLE": self._end_table,
            "FIELD": self._end_field,
            "DESCRIPTION": self._end_description,
            "STREAM": self._end_stream,
        }

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows; at least one batch, which may be empty."""
        parser = self._parser
        parser.buffer_text = True
        parser.buffer_size = 1 << 16
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        sent = False
        try:
            with self._path.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    parser.Parse(block)
                    for batch in self._ready(BATCH_ROWS):
                        sent = True
                        yield batch
            parser.Parse(b"", True)  # noqa: FBT003 - the end
        except expat.ExpatError as error:
            message = expat.errors.messages.get(error.code, "")
            raise self._tally.error(f"it is not well-formed XML (line {error.lineno}: {message}).") from error
        if not self._state.closed:
            raise self._tally.error(
                "the VOTable has no table with columns.", "If it comes from a service, look at its messages."
            )
        yield from self._ready(1)
        if not sent:
            yield pa.RecordBatch.from_pylist([], schema=_schema(self._state.fields))

    # --- what is refused ---

    def _refuse_doctype(self, *_details: object) -> None:
        raise self._tally.error("it has a document type (DOCTYPE).", "VOTables need none: leave it out.")

    def _refuse_fits(self, _attributes: dict[str, str]) -> None:
        if not self._state.closed:
            raise self._tally.error(
                "its rows are FITS inside of a VOTable.", "Upload it as BINARY2 or TABLEDATA, Parquet or CSV."
            )

    # --- the document ---

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        local = tag.rpartition(":")[2]
        if self._state.depth == 0 and local != "VOTABLE":
            raise self._tally.error(_NO_TABLE, "Upload VOTable, CSV, Parquet, Arrow or JSON.")
        self._state.depth += 1
        handler = self._starts.get(local)
        if handler is not None:
            handler(attributes)

    def _end(self, tag: str) -> None:
        self._state.depth -= 1
        handler = self._ends.get(tag.rpartition(":")[2])
        if handler is not None:
            handler()

    def _characters(self, text: str) -> None:
        state = self._state
        if state.in_description:
            state.text.append(text)
        elif self._stream is not None:
            self._decode(text)

    # --- the table's description ---

    def _start_table(self, _attributes: dict[str, str]) -> None:
        if not self._state.closed:
            self._state.fields.clear()

    def _start_field(self, attributes: dict[str, str]) -> None:
        if not self._state.closed:
            self._state.open_field = {**attributes, "null": None, "description": None}

    def _start_values(self, attributes: dict[str, str]) -> None:
        if self._state.open_field is not None and attributes.get("type", "legal") == "legal":
            self._state.open_field["null"] = attributes.get("null")

    def _start_text(self, _attributes: dict[str, str]) -> None:
        if self._state.open_field is not None:
            self._state.in_description = True
            self._state.text.clear()

    def _end_description(self) -> None:
        if self._state.open_field is not None:
            self._state.in_description = False
            self._state.open_field["description"] = _WHITE.sub(" ", "".join(self._state.text))

    def _end_field(self) -> None:
        given = self._state.open_field
        if given is not None:
            self._state.fields.append(vo_field(given, self._tally))
            self._tally.check_columns(len(self._state.fields))
            self._state.open_field = None

    def _start_data(self, _attributes: dict[str, str]) -> None:
        if not self._state.closed:
            self._tally.check_columns(len(self._state.fields))

    def _end_table(self) -> None:
        if self._state.fields:
            self._state.closed = True

    def _start_tabledata(self, _attributes: dict[str, str]) -> None:
        if not self._state.closed and self._rows is None:
            self._rows = TableDataRows(self._parser, tuple(self._state.fields), self._tally)

    # --- BINARY and BINARY2 ---

    def _start_binary(self, kind: str) -> None:
        if not self._state.closed:
            self._state.serialization = kind

    def _start_stream(self, attributes: dict[str, str]) -> None:
        if "href" in attributes:
            raise self._tally.error(
                "its rows are elsewhere (STREAM href=...), and nothing is fetched.", "Upload a VOTable that holds them."
            )
        if self._state.closed or self._rows is not None or self._state.serialization not in {"BINARY", "BINARY2"}:
            return
        if attributes.get("encoding", "") != "base64":
            raise self._tally.error("its binary rows are not in base64.", 'Write STREAM encoding="base64".')
        has_flags = self._state.serialization == "BINARY2"
        self._rows = self._stream = BinaryRows(tuple(self._state.fields), self._tally, has_flags=has_flags)

    def _decode(self, text: str) -> None:
        """Decode base64 as far as it goes."""
        assert self._stream is not None
        pending = self._base64 + "".join(text.split())
        whole = len(pending) - len(pending) % 4
        self._base64 = pending[whole:]
        try:
            self._stream.add(base64.b64decode(pending[:whole], validate=True))
        except binascii.Error as error:
            raise self._tally.error("its base64 is damaged.") from error

    def _end_stream(self) -> None:
        if self._stream is not None:
            if self._base64:
                raise self._tally.error("its base64 is cut short.")
            self._stream.finish()
            self._stream = None

    # --- rows ---

    def _ready(self, least: int) -> Iterator[pa.RecordBatch]:
        """Yield what was read, in pieces of at least so many rows."""
        arrays = None if self._rows is None else self._rows.take(least)
        if arrays is not None:
            yield pa.RecordBatch.from_arrays(arrays, schema=_schema(self._state.fields))


def _schema(fields: list[VOField]) -> pa.Schema:
    return pa.schema([pa.field(f.name, f.arrow_type, metadata=f.facts) for f in fields])
