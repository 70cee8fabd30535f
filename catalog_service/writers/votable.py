"""VOTable 1.4 documents: head and tail of results, metadata alone, and errors.

The only module that writes VOTable's XML. Sources: VOTable 1.4, DALI 1.1 section 4.4 (QUERY_STATUS), Simple Cone Search
1.03 section 2.3 (errors).
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pyarrow.compute as pc

from catalog_service.models.schema import Column, DataType
from catalog_service.models.times import TimeSystem, time_system
from catalog_service.models.votypes import vo_type

from .base import ResultDescription, Sample
from .binary2 import Base64Stream, encode_rows
from .tabledata import encode_table_rows
from .text import cell_texts, is_text_list

__all__ = [
    "Binary2Writer",
    "TableDataWriter",
    "error_document",
    "legal",
    "metadata_document",
    "scs_error_document",
]

_OPEN: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
)
_CLOSE: Final = "</VOTABLE>\n"
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not."""


def metadata_document(
    columns: tuple[Column, ...],
    infos: Mapping[str, str],
    *,
    position: tuple[str, str] | None = None,
    overflow: bool = False,
) -> bytes:
    """Return a result document with columns and without rows.

    Parameters
    ----------
    columns, infos, position
        As in `ResultDescription`.
    overflow
        Whether to mark the result as cut, as TAP demands for MAXREC=0.
    """
    description = ResultDescription(columns=columns, infos=infos, position=position)
    return _encode(_head(description, frozenset()) + "</TABLE>\n" + _tail(overflow=overflow))


def error_document(message: str, query_id: str | None = None) -> bytes:
    """Return the document that reports an error (DALI 1.1 section 4.4.2), of a query if it has an id."""
    infos = f"{_error_info(message)}{_query_info(query_id)}"
    return _encode(f'{_OPEN}<RESOURCE type="results">\n{infos}</RESOURCE>\n{_CLOSE}')


def scs_error_document(message: str, query_id: str | None = None) -> bytes:
    """Return the document that reports an error of a cone search: for SCS clients, and for DALI clients below."""
    value = quoteattr(legal(message))
    return _encode(
        f'{_OPEN}<INFO ID="Error" name="Error" value={value}/>\n'
        f'<RESOURCE type="results">\n{_error_info(message)}{_query_info(query_id)}</RESOURCE>\n{_CLOSE}'
    )


class Binary2Writer:
    """VOTable with rows in BINARY2."""

    marks_overflow = True

    def __init__(self, description: ResultDescription, sample: Sample) -> None:
        self._description = description
        self._unicode = _unicode_columns(description, sample)
        self._base64 = Base64Stream()

    def header(self) -> bytes:
        """Return the document up to the first row."""
        head = _head(self._description, self._unicode)
        return _encode(head + '<DATA><BINARY2><STREAM encoding="base64">\n')

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return the rows of a batch; up to 2 bytes of them wait for the next call."""
        return self._base64.encode(encode_rows(batch, self._description.columns, self._unicode))

    def footer(self, *, overflow: bool, rows: int) -> bytes:
        """Return the document from the end of the last row."""
        return self._end_of_table() + _encode(_tail(overflow=overflow, rows=rows))

    def failure(self, message: str) -> bytes:
        """Return the end of a document whose rows are incomplete."""
        return self._end_of_table() + _encode(_tail(error=message))

    def _end_of_table(self) -> bytes:
        return self._base64.flush() + b"\n</STREAM></BINARY2></DATA></TABLE>\n"


class TableDataWriter:
    """VOTable with rows as XML text."""

    marks_overflow = True

    def __init__(self, description: ResultDescription, sample: Sample) -> None:
        self._description = description
        self._unicode = _unicode_columns(description, sample)

    def header(self) -> bytes:
        """Return the document up to the first row."""
        return _encode(_head(self._description, self._unicode) + "<DATA><TABLEDATA>\n")

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return the rows of a batch."""
        return encode_table_rows(batch, self._description.columns)

    def footer(self, *, overflow: bool, rows: int) -> bytes:
        """Return the document from the end of the last row."""
        return _encode("</TABLEDATA></DATA></TABLE>\n" + _tail(overflow=overflow, rows=rows))

    def failure(self, message: str) -> bytes:
        """Return the end of a document whose rows are incomplete."""
        return _encode("</TABLEDATA></DATA></TABLE>\n" + _tail(error=message))


def _head(description: ResultDescription, unicode_columns: frozenset[str]) -> str:
    infos = "".join(f"<INFO name={_attribute(n)} value={_attribute(v)}/>\n" for n, v in description.infos.items())
    coosys = '<COOSYS ID="icrs" system="ICRS"/>\n' if description.position else ""
    position = description.position or ()
    fields = "".join(
        _field(column, is_unicode=column.name in unicode_columns, is_position=column.name in position)
        for column in description.columns
    )
    systems = f"{coosys}{_time_systems(description.columns)}"
    return (
        f'{_OPEN}<RESOURCE type="results">\n<INFO name="QUERY_STATUS" value="OK"/>\n{infos}{systems}<TABLE>\n{fields}'
    )


def _time_systems(columns: Iterable[Column]) -> str:
    found = dict.fromkeys(system for column in columns if (system := time_system(column)) is not None)
    return "".join(
        f'<TIMESYS ID="{one.identifier}" timescale="{one.scale}" refposition="UNKNOWN"{_time_origin(one)}/>\n'
        for one in found
    )


def _time_origin(system: TimeSystem) -> str:
    return "" if system.origin is None else f' timeorigin="{system.origin}"'


def _tail(*, overflow: bool = False, rows: int | None = None, error: str | None = None) -> str:
    info = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n' if overflow else ""
    if rows is not None:
        info += f'<INFO name="ROWS" value="{rows}"/>\n'
    if error is not None:
        info = _error_info(error)
    return f"{info}</RESOURCE>\n{_CLOSE}"


@lru_cache(maxsize=4096)
def _field(column: Column, *, is_unicode: bool, is_position: bool) -> str:
    spelled, time = vo_type(column), time_system(column)
    attributes = {
        "name": column.name,
        "datatype": "unicodeChar" if is_unicode else "char" if is_text_list(column) else spelled.datatype,
        "arraysize": spelled.arraysize,
        "xtype": None if is_text_list(column) else spelled.xtype,
        "unit": column.unit,
        "ucd": column.ucd,
        "utype": column.utype,
        "ref": "icrs" if is_position else None if time is None else time.identifier,
    }
    written = " ".join(f"{name}={_attribute(value)}" for name, value in attributes.items() if value)
    if not column.description:
        return f"<FIELD {written}/>\n"
    return f"<FIELD {written}><DESCRIPTION>{escape(legal(column.description))}</DESCRIPTION></FIELD>\n"


def _error_info(message: str) -> str:
    return f'<INFO name="QUERY_STATUS" value="ERROR">{escape(legal(message))}</INFO>\n'


def _query_info(query_id: str | None) -> str:
    return "" if query_id is None else f'<INFO name="QUERY_ID" value={_attribute(query_id)}/>\n'


def _attribute(value: str) -> str:
    return quoteattr(legal(value))


def legal(text: str) -> str:
    """Return a text with U+FFFD for what XML cannot hold."""
    return _ILLEGAL.sub("\ufffd", text)


def _encode(text: str) -> bytes:
    return text.encode("utf-8")


def _unicode_columns(description: ResultDescription, sample: Sample) -> frozenset[str]:
    """Return the names of text columns to announce as ``unicodeChar``.

    VOTable below 1.6 restricts ``char`` to ASCII, and readers do fail on anything else in binary rows. So ``char`` is
    for columns all of whose values are known to be ASCII.
    """
    return frozenset(
        column.name
        for column in description.columns
        if _is_text(column) and not (sample.complete and _is_ascii(column, sample))
    )


def _is_text(column: Column) -> bool:
    return column.datatype is DataType.TEXT or is_text_list(column)


def _is_ascii(column: Column, sample: Sample) -> bool:
    texts = (cell_texts(batch.column(column.name), column) for batch in sample.batches)
    return all(_all_char(batch) for batch in texts)


def _all_char(texts: pa.Array) -> bool:
    """Return whether all texts are ASCII that XML can hold: U+FFFD stands for other control characters."""
    odd = pc.match_substring_regex(texts, "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f]")
    return bool(pc.all(pc.and_not(pc.string_is_ascii(texts), odd), min_count=0).as_py())
