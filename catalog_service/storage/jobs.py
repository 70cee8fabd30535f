"""Keeps jobs in a database. Every change of phase is one guarded statement: whoever comes second changes nothing."""

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from ..models.job import Job, Phase
from ..models.query import UploadSource
from .job_table import JOBS, NO_UPLOADS, job_of, milliseconds, values_of
from .recent_jobs import RecentJobs

__all__ = ["JobStore"]

_MOST_LISTED: Final = 1000
_ATTRIBUTES: Final = tuple(field.name for field in fields(Job))


class JobStore:
    """The table of jobs; its methods block, and may be called from any thread.

    Parameters
    ----------
    engine
        A database whose tables are up to date (`migrations.upgrade`). Nobody else changes jobs in it meanwhile.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._recent = RecentJobs()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def add(self, job: Job) -> None:
        """Keep a new job."""
        values = values_of(**{name: getattr(job, name) for name in _ATTRIBUTES})
        with self._engine.begin() as connection:
            connection.execute(sa.insert(JOBS).values(**values))

    def get(self, job_id: str) -> Job | None:
        """Return a job, None if there is none of this id."""
        changes = self._recent.changes
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(JOBS).where(JOBS.c.job_id == job_id)).first()
        if row is None:
            return None
        job = job_of(row)
        self._recent.keep(job, changes)
        return job

    def known(self, job_id: str) -> Job | None:
        """Return a job if that takes no look at the database; does not block."""
        return self._recent.get(job_id)

    def change(self, job_id: str, phases: Iterable[Phase], **changes: Any) -> bool:
        """Change attributes of a job if it is in one of `phases`; return whether it was."""
        expected = JOBS.c.phase.in_([phase.value for phase in phases])
        statement = sa.update(JOBS).where(JOBS.c.job_id == job_id, expected).values(**values_of(**changes))
        return self._changed(job_id, statement)

    def remove(self, job_id: str) -> bool:
        """Forget a job; return whether it was there."""
        return self._changed(job_id, sa.delete(JOBS).where(JOBS.c.job_id == job_id))

    def _changed(self, job_id: str, statement: "sa.Update | sa.Delete") -> bool:
        try:
            with self._engine.begin() as connection:
                return connection.execute(statement).rowcount == 1
        finally:
            self._recent.forget(job_id)

    def of_owner(
        self,
        owner: str,
        phases: Iterable[Phase] = (),
        *,
        after: datetime | None = None,
        last: int | None = None,
    ) -> tuple[Job, ...]:
        """Return the jobs of an owner, the newest first, as UWS 1.1 section 2.2.2.1 filters them.

        Parameters
        ----------
        owner
            Name of the identity.
        phases
            Only jobs in one of these; none: all.
        after
            Only jobs created later.
        last
            At most so many; never more than 1,000.
        """
        statement = sa.select(JOBS).where(JOBS.c.owner == owner).order_by(JOBS.c.created.desc(), JOBS.c.job_id)
        wanted = [phase.value for phase in phases]
        if wanted:
            statement = statement.where(JOBS.c.phase.in_(wanted))
        if after is not None:
            statement = statement.where(JOBS.c.created > milliseconds(after))
        statement = statement.limit(_MOST_LISTED if last is None else min(last, _MOST_LISTED))
        with self._engine.connect() as connection:
            return tuple(map(job_of, connection.execute(statement)))

    def in_phase(self, phase: Phase) -> tuple[Job, ...]:
        """Return all jobs in a phase, in the order in which they were queued."""
        statement = sa.select(JOBS).where(JOBS.c.phase == phase.value).order_by(JOBS.c.queued, JOBS.c.job_id)
        with self._engine.connect() as connection:
            return tuple(map(job_of, connection.execute(statement)))

    def queued_owners(self) -> tuple[str, ...]:
        """Return the owners of queued jobs."""
        statement = sa.select(JOBS.c.owner).where(JOBS.c.phase == Phase.QUEUED.value).distinct()
        with self._engine.connect() as connection:
            return tuple(connection.execute(statement).scalars())

    def next_queued(self, *, excluded: Iterable[str] = ()) -> Job | None:
        """Return the job that runs next: the oldest of those owners that have the fewest running.

        Parameters
        ----------
        excluded
            Owners whose jobs do not run now.
        """
        running = (
            sa.select(JOBS.c.owner, sa.func.count().label("running"))
            .where(JOBS.c.phase == Phase.EXECUTING.value)
            .group_by(JOBS.c.owner)
            .subquery()
        )
        statement = (
            sa.select(JOBS)
            .outerjoin(running, running.c.owner == JOBS.c.owner)
            .where(JOBS.c.phase == Phase.QUEUED.value, JOBS.c.owner.not_in(list(excluded)))
            .order_by(sa.func.coalesce(running.c.running, 0), JOBS.c.queued, JOBS.c.job_id)
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(statement).first()
        return None if row is None else job_of(row)

    def expired(self, now: datetime) -> tuple[Job, ...]:
        """Return the jobs whose destruction time has come."""
        statement = sa.select(JOBS).where(JOBS.c.destruction <= milliseconds(now))
        with self._engine.connect() as connection:
            return tuple(map(job_of, connection.execute(statement)))

    def ids(self, owner: str | None = None, phase: Phase | None = None) -> frozenset[str]:
        """Return the ids of all jobs, or of those of an owner or in a phase."""
        with self._engine.connect() as connection:
            return frozenset(connection.execute(_narrowed(sa.select(JOBS.c.job_id), owner, phase)).scalars())

    def uploads(self, owner: str, phases: Iterable[Phase]) -> tuple[UploadSource, ...]:
        """Return the uploaded tables of an owner's jobs in one of `phases`."""
        statement = sa.select(JOBS).where(
            JOBS.c.owner == owner, JOBS.c.phase.in_([phase.value for phase in phases]), JOBS.c.uploads != NO_UPLOADS
        )
        with self._engine.connect() as connection:
            return tuple(upload for row in connection.execute(statement) for upload in job_of(row).uploads)

    def oldest_pending(self, owner: str) -> Job | None:
        """Return the job of an owner that has waited longest to be started."""
        statement = _narrowed(sa.select(JOBS), owner, Phase.PENDING).order_by(JOBS.c.created).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(statement).first()
        return None if row is None else job_of(row)

    def numbers(self, phases: Iterable[Phase]) -> dict[Phase, int]:
        """Return how many jobs there are in each of `phases` that has any."""
        statement = (
            sa.select(JOBS.c.phase, sa.func.count())
            .where(JOBS.c.phase.in_([phase.value for phase in phases]))
            .group_by(JOBS.c.phase)
        )
        with self._engine.connect() as connection:
            return {Phase(phase): number for phase, number in connection.execute(statement)}

    def number(self, phase: Phase, owner: str | None = None) -> int:
        """Return how many jobs are in a phase, of one owner or of all."""
        return self._number(_narrowed(sa.select(sa.func.count()).select_from(JOBS), owner, phase))

    def stored_bytes(self, owner: str) -> int:
        """Return the size of all results of an owner, but for those of jobs that execute."""
        total = sa.select(sa.func.coalesce(sa.func.sum(JOBS.c.result_bytes), 0))
        return self._number(total.where(JOBS.c.owner == owner, JOBS.c.phase != Phase.EXECUTING.value))

    def _number(self, statement: "sa.Select[Any]") -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(statement).scalar_one())


def _narrowed(statement: "sa.Select[Any]", owner: str | None, phase: Phase | None) -> "sa.Select[Any]":
    if owner is not None:
        statement = statement.where(JOBS.c.owner == owner)
    return statement if phase is None else statement.where(JOBS.c.phase == phase.value)
