"""A result that is written to several files, each of them whole in itself. Runs in a worker."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import pyarrow as pa

from .delivery import Delivery, FrameSender
from .engines.base import BatchStream
from .models import frames
from .models.query import EngineQuery, ResultPart
from .result_file import FileSender

__all__ = ["Written", "write_parts"]


@dataclass(frozen=True, slots=True)
class Written:
    """All parts together."""

    rows: int = 0
    size_bytes: int = 0
    overflow: bool = False


def write_parts(query: EngineQuery, stream: BatchStream, sender: FrameSender, spool_directory: str) -> Written:
    """Write ``<target>-00000<suffix>`` and so on; the parent is told of each that is on the disk.

    Parameters
    ----------
    query
        With `part_bytes` and `target`. A part ends after the batch of rows with which it reaches `part_bytes`.
    stream
        The rows.
    sender
        Tells the parent.
    spool_directory
        As of `Delivery`.

    Raises
    ------
    CatalogServiceError, QueryCancelledError
        As the engine or the writer raise them.
    ResultFileError
        If a file cannot be written.
    """
    assert query.part_bytes is not None
    part_bytes, left, written, number = query.part_bytes, _Left(stream), Written(), 0
    while number == 0 or (left.any and not written.overflow):
        part, overflow = _write_part(query, part_bytes, left, written, number, sender, spool_directory)
        sender.frame(frames.PART, json.dumps(asdict(part)).encode())
        written = Written(written.rows + part.rows, written.size_bytes + part.size_bytes, overflow)
        number += 1
    return written


class _Left:
    """The batches that are left, with a look at whether there are any."""

    def __init__(self, stream: BatchStream) -> None:
        self.schema = stream.schema
        self._batches = iter(stream)
        self._next = next(self._batches, None)

    @property
    def any(self) -> bool:
        return self._next is not None

    def take(self) -> pa.RecordBatch:
        taken, self._next = self._next, next(self._batches, None)
        return taken


class _Part:
    """The batches of one part: as long as it has room, and there are any."""

    def __init__(self, left: _Left, has_room: Callable[[], bool]) -> None:
        self.schema = left.schema
        self._left = left
        self._has_room = has_room

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while self._left.any and self._has_room():
            yield self._left.take()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None: ...


def _write_part(  # noqa: PLR0913, PLR0917 - what `write_parts` keeps between parts
    query: EngineQuery,
    part_bytes: int,
    left: _Left,
    before: Written,
    number: int,
    sender: FrameSender,
    spool_directory: str,
) -> tuple[ResultPart, bool]:
    """Write one part; return it, and whether rows beyond the result's limits were cut at its end."""
    path = Path(f"{query.target}-{number:05d}{query.part_suffix}")
    file = FileSender(sender, path)
    most_bytes = None if query.max_bytes is None else query.max_bytes - before.size_bytes
    delivery = Delivery(
        replace(query, max_rows=query.max_rows - before.rows, max_bytes=most_bytes), file, spool_directory
    )

    def has_room() -> bool:
        # a full result goes on in the same part, whose end then tells that rows were cut
        return file.data_bytes < part_bytes or before.rows + delivery.rows >= query.max_rows

    delivery.run(_Part(left, has_room))
    return ResultPart(path.name, file.data_bytes, file.finish(), delivery.rows), delivery.overflow
