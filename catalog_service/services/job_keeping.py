"""What the services of jobs share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ..storage.holding import Holding
from ..storage.jobs import JobStore
from ..storage.results import ResultStore
from .beside import Beside
from .job_changes import JobChanges
from .job_limits import JobLimits
from .job_room import JobRoom

__all__ = ["JobKeeping"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKeeping:
    """Where jobs and their files are kept, and the rules of keeping them."""

    holding: Holding
    """Of the directory with all of it."""
    store: JobStore
    results: ResultStore
    changes: JobChanges
    """Is told of every change of a job."""
    limits: JobLimits
    room: JobRoom
    beside: Beside
    """Runs calls of the stores."""
    jobs_url: str
    """Public address of all jobs, without a trailing slash."""
    clock: Callable[[], datetime]
    """Tells the time, aware."""

    def close(self) -> None:
        """Let go of everything."""
        self.beside.close()
        self.store.close()
        self.holding.close()
