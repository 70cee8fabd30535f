"""What is known of a query when it has ended."""

from dataclasses import dataclass
from datetime import datetime

__all__ = ["QueryRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRecord:
    """A query that has ended, whatever its end was."""

    query_id: str
    owner: str
    """Name of the identity that asked."""
    text: str
    """Query text, or what some other front end calls its request."""
    runid: str | None = None
    job_id: str | None = None
    """Of the job that ran it; None for synchronous queries."""
    started: datetime
    seconds: float
    status: str
    """``ok``, ``overflow``, ``cancelled``, ``failed``, or the code of an error."""
    message: str | None = None
    """Of an error, as the caller saw it."""
    rows: int = 0
    bytes_out: int = 0
    files: int = 0
    """Data files that it was planned to read."""
    files_total: int = 0
    """Data files of its tables."""
    bytes_planned: int = 0
    """Size of the files that it was planned to read."""
