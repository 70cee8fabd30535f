"""Lets requests wait for a change of a job without holding a thread or a worker."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["JobChanges"]


class JobChanges:
    """Tells those who wait that a job has changed. Used from one event loop."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._is_closed = False

    def tell(self, job_id: str) -> None:
        """Wake all who wait for a change of this job."""
        for event in self._waiting.get(job_id, ()):
            event.set()

    def close(self) -> None:
        """Wake all; nobody waits from now on."""
        self._is_closed = True
        for job_id in self._waiting:
            self.tell(job_id)

    @contextmanager
    def watch(self, job_id: str) -> Iterator[asyncio.Event]:
        """Yield an event that the next changes of this job set; begin before you look at the job."""
        event = asyncio.Event()
        if self._is_closed:
            event.set()
        self._waiting[job_id].add(event)
        try:
            yield event
        finally:
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]
