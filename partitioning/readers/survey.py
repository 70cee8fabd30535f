"""The schemas of tens of thousands of files: each read once, the different ones kept."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final

import pyarrow as pa

from ..config import FormatName, TableConfig
from ..exceptions import DamagedInputError, SchemaMismatchError
from ..layout.schema import stored_type
from .base import FileFormat, InputFile
from .columns import FileColumns, file_columns, file_names
from .formats import reader_for

__all__ = ["Survey", "survey_files"]

_THREADS: Final = min(8, 2 * (os.cpu_count() or 1))
"""Files opened at a time: most of it is waiting for the storage."""

_WINDOW: Final = 64
"""Most schemas in memory that have not been compared yet: that of a wide table takes a megabyte."""


@dataclass(frozen=True)
class Survey:
    """What the files of a table look like."""

    found: tuple[FileColumns, ...]
    """Different sets of columns, in the order of the files."""
    kept: tuple[int, ...]
    """Numbers of the files that can be opened and stored, ascending."""
    which: tuple[int, ...]
    """For each of these, its place in `found`."""
    refused: tuple[SchemaMismatchError, ...]
    """Why different sets of columns cannot be stored."""


def survey_files(
    table: TableConfig,
    files: Sequence[InputFile],
    formats: Sequence[FormatName],
    described: Mapping[str, pa.DataType],
    on_damaged: Callable[[DamagedInputError], None] | None,
) -> Survey:
    """Read the schema of each file.

    Parameters
    ----------
    table
        Table that the files belong to.
    files, formats
        The files and the format of each.
    described
        Types of the schema file, by stored name.
    on_damaged
        Told of each file that cannot be opened, which is then left out; None: the first one is raised.

    Raises
    ------
    DamagedInputError
        If a file cannot be opened and `on_damaged` is None, or if none can be opened.
    SchemaMismatchError
        If a reader knows no type for a column.
    """
    found: dict[tuple[pa.Schema, FormatName], int | None] = {}
    columns: list[FileColumns] = []
    refused: list[SchemaMismatchError] = []
    kept: list[int] = []
    which: list[int] = []
    for number, schema in enumerate(_schemas(table, files, formats, described)):
        if isinstance(schema, DamagedInputError):
            if on_damaged is None or (not kept and number == len(files) - 1):
                raise schema
            on_damaged(schema)
            continue
        key = (schema, formats[number])
        if key not in found:
            try:
                columns.append(file_columns(files[number].name, schema, table, formats[number]))
                found[key] = len(columns) - 1
            except SchemaMismatchError as error:
                refused.append(error)
                found[key] = None
        place = found[key]
        if place is not None:
            kept.append(number)
            which.append(place)
    return Survey(tuple(columns), tuple(kept), tuple(which), tuple(refused))


def _schemas(
    table: TableConfig, files: Sequence[InputFile], formats: Sequence[FormatName], described: Mapping[str, pa.DataType]
) -> Iterator[pa.Schema | DamagedInputError]:
    """Yield the schema of each file, or why there is none; types that the first file tells hold for the others."""
    names = file_names(table)
    types = {names.get(name, name): stored_type(kind) for name, kind in {**described, **table.types}.items()}
    numbers = iter(range(len(files)))
    for number in numbers:
        schema = _schema(table, files[number], formats[number], types)
        yield schema
        if isinstance(schema, pa.Schema):
            types = {column.name: column.type for column in schema if not pa.types.is_null(column.type)} | types
            break
    with ThreadPoolExecutor(_THREADS) as pool:
        while window := list(islice(numbers, _WINDOW)):
            yield from pool.map(lambda number: _schema(table, files[number], formats[number], types), window)


def _schema(
    table: TableConfig, file: InputFile, name: FormatName, types: Mapping[str, pa.DataType]
) -> pa.Schema | DamagedInputError:
    try:
        reader = reader_for(FileFormat(name, hdu=table.hdu), types, table.csv)
        return reader.schema(file).remove_metadata()  # pandas writes much of it, different in every file
    except DamagedInputError as error:
        return error
