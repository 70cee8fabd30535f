"""CSV input with a header line, streamed block by block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
from pyarrow import csv

from ..exceptions import InputError
from .base import InputFile, unreadable

__all__ = ["CsvReader"]

_BLOCK_BYTES: Final = 8 << 20
"""Bytes parsed at a time."""

_SCHEMA_BYTES: Final = 1 << 20
"""Bytes from which types are told that are not declared."""

_ERRORS: Final = (OSError, MemoryError, pa.ArrowException)


@dataclass(frozen=True)
class CsvReader:
    """Reads CSV files, gzip-compressed ones (``.csv.gz``) included."""

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
        """
        try:
            with self._open(file, None, _SCHEMA_BYTES) as reader:
                return reader.schema
        except _ERRORS as error:
            raise _unreadable(file, error) from error

    def part_rows(self, file: InputFile) -> None:  # noqa: ARG002
        """Return None: where a line begins is known only from reading all that precede it."""
        return

    def batches(
        self, file: InputFile, columns: Sequence[str], batch_rows: int, parts: range | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `file` in order; `parts` must be None.

        Raises
        ------
        DamagedInputError
            If the file is missing or a row cannot be read; the message names file, column and line.
        """
        assert parts is None, "a CSV file has no parts"
        try:
            with self._open(file, columns, _BLOCK_BYTES) as reader:
                for block in reader:
                    for start in range(0, block.num_rows, batch_rows):
                        yield block.slice(start, batch_rows)
        except _ERRORS as error:
            raise _unreadable(file, error) from error

    def _open(self, file: InputFile, columns: Sequence[str] | None, block_bytes: int) -> csv.CSVStreamingReader:
        tab = self.delimiter is None and ".tsv" in file.path.suffixes
        return csv.open_csv(
            file.path,
            read_options=csv.ReadOptions(block_size=block_bytes, use_threads=False),  # serial: errors name the row
            parse_options=csv.ParseOptions(delimiter="\t" if tab else (self.delimiter or ",")),
            convert_options=csv.ConvertOptions(
                column_types=dict(self.types),
                include_columns=None if columns is None else list(columns),
                null_values=list(self.null_values),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )


def _unreadable(file: InputFile, error: Exception) -> InputError:
    remedy = " (a column's type can be declared in the schema file)" if "conversion error" in str(error) else ""
    return unreadable(file, "not a readable CSV file", error, remedy=remedy)
