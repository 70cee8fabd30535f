"""Which reader reads a file."""

from collections.abc import Mapping

import pyarrow as pa

from ..config import FORMATS, CsvConfig, FormatName, TableConfig
from ..exceptions import InputError
from .base import FileFormat, InputFile, Reader
from .csv import CsvReader
from .directories import PARQUET_SUFFIXES
from .parquet import ParquetReader

__all__ = ["format_name", "reader_for"]

_SUFFIXES: Mapping[str, FormatName] = {
    **dict.fromkeys(PARQUET_SUFFIXES, "parquet"),
    ".csv": "csv",
    ".tsv": "csv",
    **dict.fromkeys((".fits", ".fit", ".fts"), "fits"),
    **dict.fromkeys((".vot", ".votable", ".xml"), "votable"),
}


def format_name(table: TableConfig, file: InputFile) -> FormatName:
    """Return the format of `file`: as its place tells, else as configured, else as its suffix tells.

    Raises
    ------
    InputError
        If none of them tells, or it should belong to a HATS catalog and does not.
    """
    if file.format is not None:
        return file.format
    if table.format == "hats":
        msg = f"{file.name}: not in a HATS catalog; for format = 'hats', input names directories of catalogs"
        raise InputError(msg)
    if table.format is not None:
        return table.format
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
        case "votable":
            from .votable import VOTableReader  # noqa: PLC0415  see below

            return VOTableReader()
        case "fits":
            from .fits import FitsReader  # noqa: PLC0415  astropy takes half a second that other formats do not need

            return FitsReader(form.hdu)
        case "parquet" | "hats":
            return ParquetReader()
