"""One table's input: many files of one schema, read as one sequence of rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import pyarrow as pa

from ..config import TableConfig
from ..exceptions import InputError, SchemaMismatchError
from ..layout.paths import HEALPIX_COLUMN, PARENT_DEC_COLUMN, PARENT_RA_COLUMN
from ..layout.schema import nan_to_null, stored_schema
from .base import InputFile, Reader
from .csv import CsvReader
from .felis import FelisTable
from .parquet import ParquetReader

__all__ = ["Source", "open_source"]

_OWN_COLUMNS: Final = (HEALPIX_COLUMN, PARENT_RA_COLUMN, PARENT_DEC_COLUMN)
"""Columns that the store computes: an input that has them (a HATS catalog, say) gets new ones."""


@dataclass(frozen=True)
class Source:
    """The rows of one table. Row numbers count from 0 through all files in order."""

    files: tuple[InputFile, ...]
    schema: pa.Schema
    """Columns in the order and the types in which they are stored."""
    _readers: tuple[Reader, ...] = field(repr=False)
    progress: Callable[[int], None] = field(default=lambda _: None, repr=False)
    """Called by `batches` with the number of rows read so far."""

    def batches(
        self, columns: Sequence[str] | None = None, *, batch_rows: int, nan: bool = False
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield (file number, batch) through all files; batches have the types of `schema`.

        Parameters
        ----------
        columns
            Names to read; None means all.
        batch_rows
            Most rows in a batch.
        nan
            Whether NaN stays NaN; otherwise it becomes NULL.

        Raises
        ------
        InputError
            If a file cannot be read, or a value does not fit its column's type.
        """
        wanted = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        rows = 0
        for number in range(len(self.files)):
            for batch in self.file_batches(number, wanted, batch_rows):
                yield number, (batch if nan else nan_to_null(batch))
                rows += batch.num_rows
                self.progress(rows)

    def file_batches(self, number: int, wanted: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one file with the columns and types of `wanted`."""
        file, rows = self.files[number], 0
        for batch in self._readers[number].batches(file, wanted.names, batch_rows):
            try:
                yield _conformed(batch, wanted)
            except pa.ArrowInvalid as error:
                msg = f"{file.name}: rows {rows} to {rows + batch.num_rows - 1} do not fit the schema: {error}"
                raise InputError(msg) from error
            rows += batch.num_rows

    def file_name(self, number: int) -> str:
        """Return how messages name file number `number`."""
        return self.files[number].name


def open_source(table: TableConfig, files: Sequence[InputFile], felis: FelisTable | None) -> Source:
    """Check that all `files` have the same columns, in any order, and return them as one source.

    Columns are stored in the order of the first file.

    Raises
    ------
    SchemaMismatchError
        If a file lacks a column, has another one, or has one of another type; names file and column.
    InputError
        If a file cannot be read.
    """
    declared = {} if felis is None else dict(felis.types)
    first: dict[str, pa.DataType] = {}
    readers: list[Reader] = []
    schemas: list[pa.Schema] = []
    for file in files:
        reader = _reader(table, file, {**first, **declared})
        schema = _input_schema(reader, file)
        readers.append(reader)
        schemas.append(schema)
        if not first:
            first = {column.name: column.type for column in schema if not pa.types.is_null(column.type)}
    wanted = _common_schema(schemas, files, declared)
    return Source(tuple(files), wanted, tuple(readers))


def _reader(table: TableConfig, file: InputFile, types: Mapping[str, pa.DataType]) -> Reader:
    if _format(table, file) == "parquet":
        return ParquetReader()
    return CsvReader(types=types, delimiter=table.csv.delimiter, null_values=table.csv.null_values)


def _format(table: TableConfig, file: InputFile) -> Literal["parquet", "csv"]:
    suffixes = {suffix.lower() for suffix in file.path.suffixes}
    if table.format is not None:
        return table.format
    if suffixes & {".parquet", ".parq", ".pq"}:
        return "parquet"
    if suffixes & {".csv", ".tsv"}:
        return "csv"
    msg = f"{file.name}: the suffix does not tell the format; set format = 'parquet' or 'csv' for table {table.name!r}"
    raise InputError(msg)


def _input_schema(reader: Reader, file: InputFile) -> pa.Schema:
    """Return the schema of `file` in stored types, without the columns that the store computes."""
    schema = reader.schema(file)
    try:
        return stored_schema(pa.schema([column for column in schema if column.name not in _OWN_COLUMNS]))
    except SchemaMismatchError as error:
        msg = f"{file.name}: {error}"
        raise SchemaMismatchError(msg) from None


def _common_schema(
    schemas: Sequence[pa.Schema], files: Sequence[InputFile], declared: Mapping[str, pa.DataType]
) -> pa.Schema:
    """Return the schema of the first file, types of its all-NULL columns taken from elsewhere."""
    fields = []
    for column in schemas[0]:
        kind = column.type
        if pa.types.is_null(kind):
            others = (s.field(column.name).type for s in schemas if column.name in s.names)
            kind = declared.get(column.name) or next((k for k in others if not pa.types.is_null(k)), None)
        if kind is None:
            problem = "holds only NULL and has no type; declare it in the schema file"
            msg = f"{files[0].name}: column {column.name!r} {problem}"
            raise SchemaMismatchError(msg)
        fields.append(pa.field(column.name, kind))
    wanted = pa.schema(fields)
    for schema, file in zip(schemas, files, strict=True):
        _check_same(schema, wanted, file, files[0])
    return wanted


def _check_same(schema: pa.Schema, wanted: pa.Schema, file: InputFile, first: InputFile) -> None:
    absent = [name for name in wanted.names if name not in schema.names]
    added = [name for name in schema.names if name not in wanted.names]
    if absent or added:
        problem = f"lacks column {absent[0]!r}, which" if absent else f"has column {added[0]!r}, which"
        relation = "has" if absent else "lacks"
        msg = f"{file.name}: {problem} the first file ({first.name}) {relation}"
        raise SchemaMismatchError(msg)
    for column in schema:
        other = wanted.field(column.name).type
        if column.type != other and not pa.types.is_null(column.type):
            msg = f"{file.name}: column {column.name!r} is {column.type}, but {other} in the first file ({first.name})"
            raise SchemaMismatchError(msg)


def _conformed(batch: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
    """Return the columns of `wanted`, by name and in its order and types."""
    columns = [batch.column(column.name) for column in wanted]
    cast = [a if a.type == f.type else a.cast(f.type) for a, f in zip(columns, wanted, strict=True)]
    return pa.RecordBatch.from_arrays(cast, schema=wanted)
