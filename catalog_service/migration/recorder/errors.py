"""Errors of the recorder, which runs without the service.

::

    RecorderError
    |- UsageError          an option, a file or an address is at fault; nothing was sent
    |- FormatError         a file of a recording is not what it should be
    |- SourceError         the source is at fault
       |- RefusedError     it refused one query; the next may work
       |- TooLargeError    an answer is larger than what is kept, or than what the source gives
       |- QueryTimeout     one query took too long, or was dropped on request
       |- LostError        the connection broke; the same query may work later
       |  |- BusyError     it said so itself, by its status
       |- UnreachableError it cannot be reached, after all retries
"""

__all__ = [
    "BusyError",
    "FormatError",
    "LostError",
    "QueryTimeout",
    "RecorderError",
    "RefusedError",
    "SourceError",
    "TooLargeError",
    "UnreachableError",
    "UsageError",
]


class RecorderError(Exception):
    """Base of the recorder's errors; the text tells cause, place and remedy."""


class UsageError(RecorderError):
    """An option, a file or an address is at fault."""


class FormatError(RecorderError):
    """A file of a recording is not what it should be."""


class SourceError(RecorderError):
    """The source is at fault."""


class RefusedError(SourceError):
    """The source refused a query."""


class TooLargeError(SourceError):
    """An answer is larger than what is kept, or than what the source gives."""


class QueryTimeout(SourceError):  # noqa: N818 - the name of the outcome
    """A query took longer than allowed."""


class LostError(SourceError):
    """The connection broke in the middle."""


class BusyError(LostError):
    """The source cannot answer now, and says so."""


class UnreachableError(SourceError):
    """The source cannot be reached."""
