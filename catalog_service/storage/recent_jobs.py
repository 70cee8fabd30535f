"""Jobs as they were read last: who asks for one again and again needs neither a thread nor the disk."""

import threading
from typing import Final

from ..models.job import Job

__all__ = ["RecentJobs"]

_MOST: Final = 1_000
_LONGEST: Final = 20_000
"""Characters of the parameters of a job that is kept here: at most 20 MB together."""


class RecentJobs:
    """Some jobs, each exactly as it is in the database; to be used from any thread.

    Whoever reads a job for it notes `changes` before, and whoever has changed one calls `forget` after: what was read
    before a change is not kept after it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._changes = 0

    @property
    def changes(self) -> int:
        """How many changes there were until now."""
        return self._changes

    def get(self, job_id: str) -> Job | None:
        """Return a job, None if it is not known here."""
        return self._jobs.get(job_id)

    def keep(self, job: Job, changes: int) -> None:
        """Keep a job that was read after so many changes, unless there were more meanwhile."""
        if sum(len(value) for _, value in job.parameters) > _LONGEST:
            return
        with self._lock:
            if changes != self._changes:
                return
            if len(self._jobs) >= _MOST:
                self._jobs.pop(next(iter(self._jobs)))
            self._jobs[job.job_id] = job

    def forget(self, job_id: str) -> None:
        """Note that a job was, or may have been, changed."""
        with self._lock:
            self._changes += 1
            self._jobs.pop(job_id, None)
