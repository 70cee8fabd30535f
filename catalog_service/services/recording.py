"""Who is told of the end of every query, besides the log."""

from typing import Protocol

from ..models.record import QueryRecord

__all__ = ["Recorder", "Recorders"]


class Recorder(Protocol):
    """Takes note of queries that have ended; must not block, nor raise."""

    def record(self, record: QueryRecord) -> None:
        """Take note of one."""


class Recorders:
    """Tells several."""

    def __init__(self, *recorders: Recorder) -> None:
        self._recorders = recorders

    def record(self, record: QueryRecord) -> None:
        """Take note of one."""
        for recorder in self._recorders:
            recorder.record(record)
