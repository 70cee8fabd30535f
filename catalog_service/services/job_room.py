"""Whether there is room for a job, its tables and its result: on the disk, in the queue, in the share of its owner."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ..models.job import ACTIVE, Job, Phase
from ..models.query import UploadSource
from ..models.user import ANONYMOUS, Identity
from ..storage.jobs import JobStore
from ..storage.results import ResultStore
from .job_limits import JobLimits

__all__ = ["JobRoom"]

_GIVES_WAY: Final = timedelta(hours=1)
"""Clients start a job right after they have created it."""


@dataclass(frozen=True, slots=True)
class JobRoom:
    """Looks at the table of jobs and at the disk, so that nothing is counted twice or forgotten; its methods block.

    Nobody answers for the jobs of anonymous callers: these count for all of them together, and only the disk limits
    their results.
    """

    store: JobStore
    results: ResultStore
    limits: JobLimits

    def check_queue(self, owner: Identity) -> None:
        """Refuse one more job in the queue.

        Raises
        ------
        UnavailableError
            If too many wait already.
        """
        store = self.store
        of_owner, of_all = store.number(Phase.QUEUED, owner.name), store.number(Phase.QUEUED)
        self.limits.check_queue(of_owner, of_all, anonymous=_is_anonymous(owner))

    def check_pending(self, owner: Identity, now: datetime) -> Job | None:
        """Refuse one more job that is not started, unless there is one that gives way; return that.

        Those of anonymous callers give way after an hour: else whoever creates enough of them keeps all others out.

        Raises
        ------
        UnavailableError
            If there are too many.
        """
        anonymous, pending = _is_anonymous(owner), self.store.number(Phase.PENDING, owner.name)
        if pending < self.limits.most_pending(anonymous=anonymous):
            return None
        oldest = self.store.oldest_pending(owner.name) if anonymous else None
        if oldest is None or now - oldest.created < _GIVES_WAY:
            self.limits.refuse_pending(pending, anonymous=anonymous)
        return oldest

    def check_space(self, owner: Identity) -> None:
        """Refuse what needs more space for results, or stop it.

        Raises
        ------
        LimitError
            If the owner's results take their share.
        UnavailableError
            If the disk is nearly full.
        """
        self.limits.check_space(0 if _is_anonymous(owner) else self._result_bytes(owner), self.results.free_bytes())

    def check_uploads(self, owner: Identity, uploads: Iterable[UploadSource]) -> None:
        """Refuse more uploaded tables.

        Raises
        ------
        LimitError, UnavailableError
            If those of the owner's jobs that have not ended take their share.
        """
        added = sum(_size(one) for one in uploads)
        if added:
            kept = sum(_size(one) for one in self.store.uploads(owner.name, ACTIVE))
            self.limits.check_uploads(kept, added, anonymous=_is_anonymous(owner))

    def _result_bytes(self, owner: Identity) -> int:
        """Return the size of an owner's results, of those that grow now as well."""
        growing = sum(map(self.results.size_bytes, self.store.ids(owner.name, Phase.EXECUTING)))
        return self.store.stored_bytes(owner.name) + growing


def _is_anonymous(owner: Identity) -> bool:
    return owner.name == ANONYMOUS.name


def _size(upload: UploadSource) -> int:
    try:
        return upload.path.stat().st_size
    except FileNotFoundError:  # its job has just ended
        return 0
