"""CSV and TSV input with a header line, streamed block by block; also compressed (``.csv.gz``).

UTF-8 with or without byte order mark; line breaks of any kind, inside quoted values too. Empty lines are left out, but
for those of a file of one column, which are values: NULL, as a rule. A file has no parts: where a row begins is known
only from reading all that precede it.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ..exceptions import DamagedInputError, InputError, SchemaMismatchError
from .base import InputFile, unreadable

__all__ = ["CsvReader"]

_BLOCK_BYTES: Final = 8 << 20
"""Bytes parsed at a time."""

_SCHEMA_BYTES: Final = 1 << 20
"""Bytes from which types are told that are not declared."""

_COMPRESSED: Final = frozenset({".gz", ".bz2", ".zst", ".lz4", ".br"})
"""Suffixes by which Arrow unpacks a file; such a file tells itself when it was cut short."""

_ERRORS: Final = (OSError, MemoryError, pa.ArrowException)


@dataclass(frozen=True)
class CsvReader:
    """Reads CSV files, compressed ones included."""

    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    """Declared types by column name; other columns are inferred from the first megabyte of a file."""
    delimiter: str | None = None
    """None: a tab for ``.tsv``, a comma for others."""
    null_values: tuple[str, ...] = ("",)
    """Spellings of NULL; a quoted one is text."""

    def schema(self, file: InputFile) -> pa.Schema:
        """Return names and types of the columns of `file`.

        Raises
        ------
        DamagedInputError
            If the file is missing, has no header, or its beginning cannot be read with the declared types.
        SchemaMismatchError
            If a column without declared type holds integers that fit no inferred type, or is not text in UTF-8.
        """
        try:
            with self._open(file, None, self.types, _SCHEMA_BYTES) as reader:
                schema = reader.schema
            inferred = [column for column in schema if column.name not in self.types]
            self._refuse_long_integers(file, [c.name for c in inferred if pa.types.is_floating(c.type)])
        except _ERRORS as error:
            raise _unreadable(file, error) from error
        for column in inferred:
            if pa.types.is_binary(column.type):
                msg = f"{file.name}: column {column.name!r} is not text in UTF-8; convert the file, with iconv say"
                raise SchemaMismatchError(msg)
        return schema

    def part_rows(self, file: InputFile) -> None:  # noqa: ARG002
        """Return None: the file is read from start to end."""
        return

    def batches(
        self, file: InputFile, columns: Sequence[str], batch_rows: int, parts: range | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `file` in order; `parts` must be None.

        Raises
        ------
        DamagedInputError
            If the file is missing or a row cannot be read; the message names file, column and row.
        """
        assert parts is None, "a CSV file has no parts"
        try:
            names, last = self._names(file), pa.scalar(None)
            final, above = names[-1], self._lines_above(file, names) if len(names) == 1 else None
            types = self.types if final in columns else {**self.types, final: pa.binary()}
            wanted = list(dict.fromkeys([*columns, final]))
            with self._open(file, wanted, types, _BLOCK_BYTES, above) as reader:
                for block in reader:
                    for start in range(0, block.num_rows, batch_rows):
                        yield block.slice(start, batch_rows).select(list(columns))
                    last = block.column(final)[-1] if block.num_rows else last
        except _ERRORS as error:
            raise _unreadable(file, error) from error
        _check_last_quote(file, _text(last))

    def _names(self, file: InputFile) -> list[str]:
        """Return the names in the header of `file`."""
        with self._open(file, None, self.types, _SCHEMA_BYTES) as reader:
            return list(reader.schema.names)

    def _lines_above(self, file: InputFile, names: Sequence[str]) -> int:
        """Return the empty lines above the header, which names the columns `names`."""
        for above in itertools.count():
            with self._open(file, None, self.types, _SCHEMA_BYTES, above) as reader:
                if reader.schema.names == names:
                    return above
        raise AssertionError

    def _open(
        self,
        file: InputFile,
        columns: Sequence[str] | None,
        types: Mapping[str, pa.DataType],
        block_bytes: int,
        above: int | None = None,
    ) -> csv.CSVStreamingReader:
        """Open a file; with `above`, the lines above its header, empty lines below it are rows."""
        tab = self.delimiter is None and ".tsv" in file.path.name.lower()
        return csv.open_csv(
            file.path,
            read_options=csv.ReadOptions(
                block_size=block_bytes,
                use_threads=False,  # errors name the row
                skip_rows=above or 0,
            ),
            parse_options=csv.ParseOptions(
                delimiter="\t" if tab else (self.delimiter or ","),
                newlines_in_values=True,
                ignore_empty_lines=above is None,
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict(types),
                include_columns=None if columns is None else list(columns),
                null_values=list(self.null_values),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _refuse_long_integers(self, file: InputFile, names: Sequence[str]) -> None:
        """Refuse a column of integers that Arrow takes for floats, because one has more than 63 bits."""
        if not names:
            return
        with self._open(file, names, {**self.types, **dict.fromkeys(names, pa.string())}, _SCHEMA_BYTES) as reader:
            block = reader.read_next_batch()  # there is one: a column without values would have no type
        for name in names:
            integers = pc.all(pc.match_substring_regex(block.column(name), r"^[+-]?\d+$"), min_count=1)
            if integers.as_py():
                kinds = "'uint64', 'double' or 'string'"
                msg = f"{file.name}: column {name!r} holds integers beyond int64; declare its type: {kinds}"
                raise SchemaMismatchError(msg)


def _text(value: pa.Scalar) -> bytes | None:
    """Return the bytes of a text, None for NULL and for other values: not all of them are Python objects."""
    kind = value.type
    is_text = pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind)
    return value.cast(pa.binary()).as_py() if is_text else None


def _check_last_quote(file: InputFile, last: bytes | None) -> None:
    """Check that `last`, the last value of the last row, is closed if it is quoted: Arrow takes the file's end for it.

    A file that was cut short inside a quoted value, or lacks a quote somewhere, would otherwise end in a value that
    holds the rows up to the end. In any other column than the last one such a row is too short.
    """
    if last is None or file.path.suffix in _COMPRESSED:
        return
    value = last.replace(b'"', b'""')
    size = len(value) + 4
    with file.path.open("rb") as content:
        content.seek(max(0, file.size_bytes - size))
        tail = content.read()
    ends = (tail, tail.rstrip(b"\r\n"))
    closed = any(end.endswith(value + b'"') for end in ends)
    if not closed and any(end.endswith(b'"' + value) for end in ends):
        raise DamagedInputError(file.name, "not a readable CSV file: a quote that opens in the last row is not closed")


def _unreadable(file: InputFile, error: Exception) -> InputError:
    remedy = ""
    if "Row #" in str(error):
        remedy = " (the header is row 1; line breaks inside quotes and empty lines of several columns do not count)"
    if "conversion error" in str(error):
        remedy += " (a column's type can be declared in the schema file, or by types = { column = 'string' })"
    return unreadable(file, "not a readable CSV file", error, remedy=remedy)
