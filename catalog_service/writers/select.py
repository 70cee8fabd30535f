"""The writer of each format, and results without rows."""

from collections.abc import Callable
from typing import Final

from catalog_service.models.query import ResultFormat

from .arrow import ArrowWriter
from .base import MeasuringWriter, ResultDescription, ResultWriter, Sample
from .columns import result_schema
from .csv import CSVWriter
from .fits import FITSWriter
from .json import JSONWriter
from .parquet import ParquetWriter
from .tsv import TSVWriter
from .votable import Binary2Writer, TableDataWriter

__all__ = ["create_writer", "empty_result"]

_WRITERS: Final[dict[ResultFormat, Callable[[ResultDescription, Sample], ResultWriter | MeasuringWriter]]] = {
    ResultFormat.VOTABLE: Binary2Writer,
    ResultFormat.VOTABLE_TABLEDATA: TableDataWriter,
    ResultFormat.CSV: CSVWriter,
    ResultFormat.TSV: TSVWriter,
    ResultFormat.JSON: JSONWriter,
    ResultFormat.FITS: FITSWriter,
    ResultFormat.PARQUET: ParquetWriter,
    ResultFormat.ARROW: ArrowWriter,
}


def create_writer(
    result_format: ResultFormat, description: ResultDescription, sample: Sample
) -> ResultWriter | MeasuringWriter:
    """Return a writer for one result."""
    return _WRITERS[result_format](description, sample)


def empty_result(result_format: ResultFormat, description: ResultDescription, *, overflow: bool = False) -> bytes:
    """Return a whole result without rows, for MAXREC=0, without running anything.

    Parameters
    ----------
    result_format
        Format of the result.
    description
        Columns and provenance.
    overflow
        Whether to mark the result as cut, as TAP 1.1 section 2.7.4 demands for MAXREC=0.
    """
    sample = Sample(schema=result_schema(description.columns), overflow=overflow)
    writer = create_writer(result_format, description, sample)
    if isinstance(writer, MeasuringWriter):
        return b"".join(writer.document(lambda: (), overflow=overflow, rows=0))
    return writer.header() + writer.footer(overflow=overflow, rows=0)
