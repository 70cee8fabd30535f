"""One table's input: many files of one schema, read as one sequence of rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from ..config import CsvConfig, FormatName, TableConfig
from ..exceptions import DamagedInputError, InputError
from ..layout.schema import nan_to_null
from .base import FileFormat, InputFile, Reader
from .columns import absent_columns, common_schema, file_names, schema_problems
from .felis import FelisTable
from .formats import format_name, reader_for
from .survey import survey_files

__all__ = ["Source", "open_source", "source_from", "source_problems"]


def _ignore(_rows: int) -> None:
    """Take no notice of progress; a function of the module, so that sources can be sent to another process."""


@dataclass(frozen=True)
class Source:
    """The rows of one table. Row numbers count from 0 through all files in order.

    Plain data: a source can be pickled, or made again by `source_from`, without opening its files.
    """

    files: tuple[InputFile, ...]
    schema: pa.Schema
    """Columns in the order and the types in which they are stored."""
    formats: tuple[FileFormat, ...] = field(repr=False)
    """How each file is read."""
    csv: CsvConfig = field(default_factory=CsvConfig, repr=False)
    original_names: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in the files of columns that are renamed, by stored name."""
    progress: Callable[[int], None] = field(default=_ignore, repr=False)
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
        DamagedInputError
            If a file cannot be read; names the file and, if known, the part.
        InputError
            If a value does not fit its column's type.
        """
        wanted = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        rows = 0
        for number in range(len(self.files)):
            for batch in self.file_batches(number, wanted, batch_rows):
                yield number, (batch if nan else nan_to_null(batch))
                rows += batch.num_rows
                self.progress(rows)

    def file_batches(
        self, number: int, wanted: pa.Schema, batch_rows: int, parts: range | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield rows of file number `number` with the columns and types of `wanted`; NaN stays NaN.

        Parameters
        ----------
        number
            Position of the file in `files`.
        wanted
            Columns of `schema`, at least one, in any order.
        batch_rows
            Most rows in a batch.
        parts
            Parts to read, in order; None means the whole file, the only choice where `part_rows` is None.

        Raises
        ------
        DamagedInputError
            If the file cannot be read; names the file and, if known, the part.
        InputError
            If a value does not fit its column's type.
        """
        file, absent, rows = self.files[number], set(self.formats[number].absent), 0
        names = [self._original(name) for name in wanted.names if name not in absent]
        names = names or [self._original(next(name for name in self.schema.names if name not in absent))]
        for batch in self._reader(number).batches(file, names, batch_rows, parts):
            try:
                yield self._conformed(batch, wanted, absent)
            except pa.ArrowInvalid as error:
                start = "" if parts is None or parts.start == 0 else f" from the start of part {parts.start}"
                last = rows + batch.num_rows - 1
                msg = f"{file.name}: rows {rows} to {last}{start}: {error}"
                raise InputError(msg) from error
            rows += batch.num_rows

    def part_rows(self, number: int) -> tuple[int, ...] | None:
        """Return the rows of each part of file number `number`; None if it must be read from start to end.

        Raises
        ------
        DamagedInputError
            If the file cannot be read.
        """
        return self._reader(number).part_rows(self.files[number])

    def file_name(self, number: int) -> str:
        """Return how messages name file number `number`."""
        return self.files[number].name

    def _reader(self, number: int) -> Reader:
        types = {self._original(column.name): column.type for column in self.schema}
        return reader_for(self.formats[number], types, self.csv)

    def _original(self, name: str) -> str:
        return self.original_names.get(name, name)

    def _conformed(self, batch: pa.RecordBatch, wanted: pa.Schema, absent: set[str]) -> pa.RecordBatch:
        """Return the columns of `wanted`, by name and in its order and types; NULL where the file lacks one."""
        if batch.schema.equals(wanted):
            return pa.RecordBatch.from_arrays(batch.columns, schema=wanted)
        columns = []
        for column in wanted:
            if column.name in absent:
                columns.append(pa.nulls(batch.num_rows, column.type))
            else:
                columns.append(_cast(batch.column(self._original(column.name)), column))
        return pa.RecordBatch.from_arrays(columns, schema=wanted)


def _cast(array: pa.Array, column: pa.Field) -> pa.Array:
    if array.type == column.type:
        return array
    try:
        return array.cast(column.type)
    except pa.ArrowInvalid as error:
        msg = f"column {column.name!r} does not fit the type {column.type} that is stored: {error}"
        raise pa.ArrowInvalid(msg) from None


def source_from(
    files: Sequence[InputFile],
    formats: Sequence[FileFormat],
    schema: pa.Schema,
    csv: CsvConfig,
    original_names: Mapping[str, str] | None = None,
) -> Source:
    """Return the source that `open_source` returned elsewhere, from its parts; no file is opened."""
    return Source(tuple(files), schema, tuple(formats), csv, dict(original_names or {}))


def open_source(
    table: TableConfig,
    files: Sequence[InputFile],
    felis: FelisTable | None,
    *,
    on_damaged: Callable[[DamagedInputError], None] | None = None,
) -> Source:
    """Check that all `files` have the same columns, in any order, and return them as one source.

    Columns are stored in the order of the first file. The schema of each file is read once, some files at a time;
    only different schemas are kept.

    Parameters
    ----------
    table
        Table to read.
    files
        Its files, at least one.
    felis
        Its description, if there is one: types of CSV columns.
    on_damaged
        Told of each file that cannot be opened, which is then left out; None: the first one is raised.

    Raises
    ------
    SchemaMismatchError
        If a file lacks a column, has another one, or has one of another type or of one that cannot be stored; names
        file and column.
    DamagedInputError
        If a file cannot be read, or none can.
    InputError
        If the format of a file is not known.
    """
    described = {} if felis is None else dict(felis.types)
    formats = [format_name(table, file) for file in files]
    survey = survey_files(table, files, formats, described, on_damaged)
    for error in survey.refused:
        raise error
    schema = common_schema(survey.found, table, described)
    absent = [absent_columns(columns, schema) for columns in survey.found]
    return Source(
        files=tuple(files[number] for number in survey.kept),
        schema=schema,
        formats=tuple(
            FileFormat(formats[number], absent[which], table.hdu)
            for number, which in zip(survey.kept, survey.which, strict=True)
        ),
        csv=table.csv,
        original_names=file_names(table),
    )


def source_problems(table: TableConfig, files: Sequence[InputFile], felis: FelisTable | None) -> Iterator[InputError]:
    """Yield all reasons why `open_source` refuses some files: damaged ones, columns that cannot be stored or differ."""
    described = {} if felis is None else dict(felis.types)
    formats, known = list[FormatName](), list[InputFile]()
    for file in files:
        try:
            formats.append(format_name(table, file))
            known.append(file)
        except InputError as error:
            yield error
    damaged = list[DamagedInputError]()
    try:
        survey = survey_files(table, known, formats, described, damaged.append) if known else None
    except InputError as error:
        yield from (*damaged, error)
        return
    yield from damaged
    if survey is not None:
        yield from survey.refused
    if survey is not None and survey.found:
        yield from schema_problems(survey.found, table, described)
