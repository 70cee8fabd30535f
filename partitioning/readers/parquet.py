"""Parquet input, streamed: never more than some pages of a row group in memory."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ..exceptions import InputError
from .base import InputFile

__all__ = ["ParquetReader"]

_OPTIONS: Final[dict[str, Any]] = {
    "pre_buffer": False,
    "buffer_size": 1 << 18,
    "page_checksum_verification": True,
}
"""Pages are read as they are needed, 256 kB a column at a time. By default pyarrow fetches whole row groups, and
foreign files of one row group with 10^8 rows would not fit."""


class ParquetReader:
    """Reads Parquet files."""

    def schema(self, file: InputFile) -> pa.Schema:
        """Return the Arrow schema of `file`.

        Raises
        ------
        InputError
            If the file is missing or not Parquet.
        """
        try:
            return pq.read_schema(file.path)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(file, error) from error

    def batches(self, file: InputFile, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `file` in order.

        Raises
        ------
        InputError
            If the file is missing, truncated or damaged; the message tells how many rows were read before.
        """
        rows = 0
        try:
            with pq.ParquetFile(file.path, **_OPTIONS) as parquet:
                for batch in parquet.iter_batches(batch_rows, columns=list(columns)):
                    rows += batch.num_rows
                    yield batch
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(file, error, rows) from error


def _unreadable(file: InputFile, error: Exception, rows: int = 0) -> InputError:
    after = f" after {rows} rows" if rows else ""
    return InputError(f"{file.name}: not a readable Parquet file{after}: {error}")
