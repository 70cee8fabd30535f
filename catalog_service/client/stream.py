"""A result as it arrives: record batches of an Arrow IPC stream, checked for completeness at its end.

The service ends every complete stream with one empty batch whose metadata holds the number of rows sent and
whether the result was cut at MAXREC. A stream without that batch is incomplete, however it ended.
"""

import inspect
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa

from ..exceptions import CatalogServiceError
from .errors import OverflowWarning
from .results import Result
from .transport import Answer, unexpected_answer

__all__ = ["ResultStream"]

_CONTENT_TYPE: Final = "application/vnd.apache.arrow.stream"


class ResultStream:
    """The record batches of a running query: an iterator and a context manager.

    Leaving the ``with`` block, or interrupting it, before the end closes the connection, so that the service
    stops the query.

    Parameters
    ----------
    answer
        An answer of the service in Arrow format.

    Raises
    ------
    UnexpectedAnswerError
        If the answer is no Arrow stream.
    TransferAbortedError
        If it ends before the schema.

    Examples
    --------
    >>> with client.stream("SELECT * FROM tycho2.stars") as batches:  # doctest: +SKIP
    ...     for batch in batches:
    ...         work_on(batch)
    """

    def __init__(self, answer: Answer) -> None:
        if not answer.headers.get("Content-Type", "").startswith(_CONTENT_TYPE):
            raise unexpected_answer(answer, "an Arrow stream")
        self._answer = answer
        self._rows = 0
        self._end: dict[str, str] | None = None
        self._reader = self._guarded(lambda: pa.ipc.open_stream(pa.PythonFile(answer, mode="r")))
        self.schema: pa.Schema = self._reader.schema
        self.query_id = answer.query_id

    @property
    def overflow(self) -> bool | None:
        """Whether the result was cut at MAXREC; None before its end has arrived."""
        return None if self._end is None else self._end.get("overflow") == "true"

    def read_all(self) -> Result:
        """Return all rows that were not yet read.

        Raises
        ------
        TransferAbortedError
            If the result ends before it is complete.
        """
        with self:
            table = pa.Table.from_batches(list(self._batches()), self.schema)
        self._warn_if_cut()
        return Result(table, overflow=bool(self.overflow), query_id=self.query_id)

    def close(self) -> None:
        """Close the connection, if the result was not read to its end."""
        self._answer.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield from self._batches()
        self._warn_if_cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while self._end is None:
            batch, metadata = self._guarded(self._reader.read_next_batch_with_custom_metadata)
            self._rows += batch.num_rows
            if metadata is not None and "rows" in metadata:
                self._end = {key.decode(): value.decode() for key, value in metadata.items()}
                self._check_end(self._end)
            if batch.num_rows:
                yield batch

    def _warn_if_cut(self) -> None:
        if self.overflow:
            warnings.warn(
                f"The result of query {self.query_id} was cut at MAXREC = {self._rows} rows; more rows match. "
                "Pass a larger maxrec, or narrow the query.",
                OverflowWarning,
                stacklevel=_frames_of_this_package(),
            )

    def _check_end(self, end: dict[str, str]) -> None:
        if end["rows"] != str(self._rows):
            raise self._answer.aborted(f"the service sent {end['rows']} rows, but {self._rows} arrived")
        self._guarded(self._read_end_of_stream)
        self._answer.finish()

    def _read_end_of_stream(self) -> None:
        try:
            self._reader.read_next_batch()
        except StopIteration:
            return
        raise self._answer.aborted("batches follow the last one")

    def _guarded(self, read: Any) -> Any:
        """Call `read`; whatever goes wrong, interrupts too, closes the connection and gets a typed error."""
        try:
            return read()
        except StopIteration:
            raise self._answer.aborted("the stream ended without its closing batch") from None
        except (pa.ArrowException, OSError) as error:
            raise self._answer.aborted(str(error)) from error
        except CatalogServiceError:
            raise
        except BaseException:
            self.close()
            raise


def _frames_of_this_package() -> int:
    """Return the `stacklevel` that makes a warning point at the user's line, however deep the call is."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith(__package__):
        frame, level = frame.f_back, level + 1
    return level
