"""Uploads as CSV or TSV with a header line: types are told from all values, and no value is changed.

Integers with leading zeros or of more than 63 bits stay texts, since as numbers they would be others. An empty value is
NULL, a quoted empty one an empty text.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from .incoming import BATCH_ROWS, Incoming, Tally

__all__ = ["read_csv", "typed_texts"]

_BLOCK_BYTES: Final = 8 << 20

_INTEGER: Final = r"^[+-]?(0|[1-9][0-9]*)$"
_DIGITS: Final = r"^[+-]?[0-9]+$"
_NUMBER: Final = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity)$"
_BOOLEAN: Final = r"^(?i:true|false)$"
_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?$"
_NULLS: Final = ("nan", "null")
"""What stands for a missing number, whatever its case."""


def read_csv(path: Path, tally: Tally, *, delimiter: str) -> Incoming:
    """Read a text table."""
    table = _texts(path, tally, delimiter)
    arrays = [typed_texts(column) for column in table.columns]
    schema = pa.schema([pa.field(name, array.type) for name, array in zip(table.column_names, arrays, strict=True)])
    typed = pa.Table.from_arrays(arrays, schema=schema)
    return Incoming(schema, iter(typed.to_batches(max_chunksize=BATCH_ROWS)))


def _texts(path: Path, tally: Tally, delimiter: str) -> pa.Table:
    """Return all values as texts."""
    blocks = []
    try:
        names = _open(path, delimiter, []).schema.names
        tally.check_columns(len(names))
        for block in _open(path, delimiter, names):
            tally.add_rows(block.num_rows)
            blocks.append(block)
    except pa.ArrowInvalid as error:
        raise tally.error(
            "its rows have not all the same number of values, or it is not text in UTF-8.",
            "The first line holds the names of the columns; values that hold the delimiter stand in double quotes.",
        ) from error
    return pa.Table.from_batches(blocks, pa.schema([pa.field(name, pa.string()) for name in names]))


def _open(path: Path, delimiter: str, names: list[str]) -> csv.CSVStreamingReader:
    return csv.open_csv(
        path,
        read_options=csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def typed_texts(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as integers, numbers, truth values or times, if all of them are such; else as they are."""
    trimmed = pc.utf8_trim_whitespace(texts)
    known = pc.if_else(pc.is_in(pc.utf8_lower(trimmed), pa.array(_NULLS)), None, trimmed)
    if known.null_count == len(known):
        return texts
    if _all(known, _INTEGER):
        return _converted(known, pa.int64(), texts)
    if _all(known, _DIGITS):
        return texts
    if _all(known, _NUMBER):
        return _converted(known, pa.float64(), texts)
    if _all(trimmed, _BOOLEAN):
        return pc.equal(pc.utf8_lower(trimmed), "true")
    if _all(trimmed, _TIME):
        return _converted(trimmed, pa.timestamp("us"), texts)
    return texts


def _all(texts: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern), min_count=0).as_py())


def _converted(texts: pa.ChunkedArray, kind: pa.DataType, otherwise: pa.ChunkedArray) -> pa.ChunkedArray:
    signed: Callable[..., pa.ChunkedArray] = pc.replace_substring_regex
    try:
        return pc.cast(signed(texts, r"^\+", ""), kind)
    except pa.ArrowInvalid:
        return otherwise
