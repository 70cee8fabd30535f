"""Which reader reads a file."""

from collections.abc import Mapping

import pyarrow as pa

from ..config import FORMATS, CsvConfig, FormatName, TableConfig
from ..exceptions import InputError
from .base import FileFormat, InputFile, Reader
from .csv import CsvReader
from .parquet import ParquetReader

__all__ = ["format_name", "reader_for"]

_SUFFIXES: Mapping[str, FormatName] = {
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
}


def format_name(table: TableConfig, file: InputFile) -> FormatName:
    """Return the format of `file`: as configured, else as its suffix tells.

    Raises
    ------
    InputError
        If neither tells.
    """
    if table.format is not None:
        return table.format
    if file.format is not None:
        return file.format
    for suffix in reversed(file.path.suffixes):  # the last one that is known: .csv of .csv.gz
        if found := _SUFFIXES.get(suffix.lower()):
            return found
    choice = " or ".join(repr(name) for name in FORMATS)
    msg = f"{file.name}: the suffix does not tell the format; set format = {choice} for table {table.name!r}"
    raise InputError(msg)


def reader_for(form: FileFormat, types: Mapping[str, pa.DataType], csv: CsvConfig) -> Reader:
    """Return the reader of files of the given form.

    Parameters
    ----------
    form
        How the file is read.
    types
        Types of columns by their name in the file, for formats without types.
    csv
        How CSV files are written.
    """
    match form.name:
        case "csv":
            return CsvReader(types, csv.delimiter, csv.null_values)
        case _:
            return ParquetReader()
