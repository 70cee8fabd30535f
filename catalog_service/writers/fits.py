"""FITS binary table: an empty primary HDU and one table (FITS 4.0 section 7.3).

Its header tells the number of rows, the widths of texts and the numbers that stand for NULL before the first row, so
that all rows are measured before any is written. Descriptions, UCDs and utypes stand in TCOMMn, TUCDn and TUTYPn, as
STILTS and TOPCAT read and write them; xtypes in TXTYPn, by the same pattern.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from catalog_service.exceptions import ParameterError
from catalog_service.models.schema import Column
from catalog_service.models.votypes import vo_type

from .base import ResultDescription, Sample
from .fits_cards import cards, header_block, history, padding
from .fits_columns import Field, Measure, field_values, heap_values, lay_out, measured
from .text import is_text_list

__all__ = ["FITSWriter"]

_MOST_COLUMNS: Final = 999
"""TFIELDS has three digits (section 7.3.1)."""
_CHUNK_BYTES: Final = 8 << 20
"""Rows are much larger here than in Arrow where a few texts are long."""
_KEYWORDS: Final = {
    "QUERY": "QUERY",
    "QUERY_ID": "QUERYID",
    "RELEASES": "RELEASES",
    "RELAXATIONS": "RELAXED",
    "SERVICE_VERSION": "SERVICE",
    "TILES_READ": "TILES",
}
"""Keywords of infos, which have 8 characters at most; other infos become HISTORY."""


class FITSWriter:
    """Rows as a FITS binary table."""

    def __init__(self, description: ResultDescription, sample: Sample) -> None:  # noqa: ARG002
        if len(description.columns) > _MOST_COLUMNS:
            raise ParameterError(
                f"The result has {len(description.columns)} columns; FITS holds {_MOST_COLUMNS}.",
                remedy="Ask for fewer columns, or for the format votable, parquet or arrow.",
            )
        self._description = description
        self._measures = [Measure() for _ in description.columns]

    def measure(self, batch: pa.RecordBatch) -> None:
        """Take note of what the fields must hold; to be called once for each batch."""
        columns = self._description.columns
        self._measures = [
            known + measured(array, column)
            for known, array, column in zip(self._measures, batch.columns, columns, strict=True)
        ]

    def document(
        self, batches: Callable[[], Iterable[pa.RecordBatch]], *, overflow: bool, rows: int
    ) -> Iterator[bytes]:
        """Yield the whole file, from the batches that were measured."""
        fields, heap_bytes = lay_out(self._description.columns, self._measures, rows)
        row = np.dtype([(f"f{number}", field.dtype) for number, field in enumerate(fields)])
        table = list(_structure(row.itemsize, rows, heap_bytes, len(fields)))
        for number, field in enumerate(fields, 1):
            table += _described(field, number)
        table += cards("OVERFLOW", overflow, "whether rows are missing beyond MAXREC")
        for name, text in self._description.infos.items():
            table += cards(_KEYWORDS[name], text) if name in _KEYWORDS else history(f"{name}: {text}")
        yield header_block(_primary()) + header_block(table)
        yield from _table(_parts(batches(), row.itemsize), fields, row)
        if heap_bytes:
            yield from _heap(_parts(batches(), row.itemsize), fields)
        yield bytes(padding(row.itemsize * rows + heap_bytes))


def _primary() -> Iterator[str]:
    yield from cards("SIMPLE", True, "FITS 4.0")  # noqa: FBT003
    yield from cards("BITPIX", 8)
    yield from cards("NAXIS", 0)
    yield from cards("EXTEND", True)  # noqa: FBT003


def _structure(row_bytes: int, rows: int, heap_bytes: int, fields: int) -> Iterator[str]:
    yield from cards("XTENSION", "BINTABLE")
    yield from cards("BITPIX", 8)
    yield from cards("NAXIS", 2)
    yield from cards("NAXIS1", row_bytes, "bytes of a row")
    yield from cards("NAXIS2", rows, "rows")
    yield from cards("PCOUNT", heap_bytes, "bytes of the heap")
    yield from cards("GCOUNT", 1)
    yield from cards("TFIELDS", fields, "columns")
    yield from cards("EXTNAME", "RESULT")


def _described(field: Field, number: int) -> Iterator[str]:
    """Yield what is known of a column."""
    column = field.column
    yield from cards(f"TTYPE{number}", column.name)
    yield from cards(f"TFORM{number}", field.tform)
    if field.null is not None:
        yield from cards(f"TNULL{number}", field.null)
    for keyword, text in _metadata(column).items():
        if text:
            yield from cards(f"{keyword}{number}", text)


def _metadata(column: Column) -> dict[str, str | None]:
    return {
        "TUNIT": column.unit,
        "TUCD": column.ucd,
        "TUTYP": column.utype,
        "TXTYP": None if is_text_list(column) else vo_type(column).xtype,
        "TCOMM": column.description,
    }


def _parts(batches: Iterable[pa.RecordBatch], row_bytes: int) -> Iterator[pa.RecordBatch]:
    """Yield the batches in parts that are not large as rows of the table; the heap follows the same order."""
    most_rows = max(1, _CHUNK_BYTES // row_bytes)
    for batch in batches:
        for start in range(0, batch.num_rows, most_rows):
            yield batch.slice(start, most_rows)


def _table(parts: Iterable[pa.RecordBatch], fields: list[Field], row: np.dtype[np.void]) -> Iterator[bytes]:
    heap_offset = 0
    for part in parts:
        packed = np.empty(part.num_rows, row)
        for name, field, array in zip(row.names or (), fields, part.columns, strict=True):
            packed[name], in_heap = field_values(array, field, heap_offset)
            heap_offset += in_heap
        yield packed.tobytes()


def _heap(parts: Iterable[pa.RecordBatch], fields: list[Field]) -> Iterator[bytes]:
    for part in parts:
        for field, array in zip(fields, part.columns, strict=True):
            if field.element_bytes is not None:
                yield bytes(heap_values(array, field))
