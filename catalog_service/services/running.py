"""The queries that run or wait now, so that operators see and can stop them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from ..exceptions import NotFoundError, QueryStoppedError
from ..models.user import Identity
from .operators import check_operator

__all__ = ["OperatorService", "RunningQueries", "RunningQuery", "stopped_error"]

_AUDIT = structlog.get_logger("audit")

_SHOWN_CHARACTERS: Final = 200


@dataclass(slots=True, kw_only=True, eq=False)
class RunningQuery:
    """A query that has not ended."""

    query_id: str
    owner: str
    """Name of the identity that asked."""
    text: str
    """The beginning of its text."""
    started: datetime
    job_id: str | None
    stop: Callable[[], object]
    """Ends it by `stopped_error`, soon."""
    progress: Callable[[], tuple[int, int] | None]
    """Returns batches of tiles that are done, and all of them; None if that is not known."""
    is_stopped: bool = False
    """Whether an operator, or its owner by another request, has stopped it."""
    by_owner: bool = False
    """Whether it was the owner who did."""


class RunningQueries:
    """All of them, by id. Used from one event loop."""

    def __init__(self) -> None:
        self._queries: dict[str, RunningQuery] = {}

    def begin(
        self, query_id: str, identity: Identity, text: str, started: datetime, job_id: str | None
    ) -> RunningQuery:
        """Note a query that the current task begins; until it tells how else, cancelling the task stops it."""
        task = asyncio.current_task()
        assert task is not None
        query = RunningQuery(
            query_id=query_id,
            owner=identity.name,
            text=text[:_SHOWN_CHARACTERS],
            started=started,
            job_id=job_id,
            stop=task.cancel,
            progress=lambda: None,
        )
        self._queries[query_id] = query
        return query

    def end(self, query_id: str) -> None:
        """Forget a query that has ended."""
        self._queries.pop(query_id, None)

    def get(self, query_id: str) -> RunningQuery | None:
        """Return a query, None if it does not run."""
        return self._queries.get(query_id)

    def stop(self, query: RunningQuery, *, by_owner: bool = False) -> bool:
        """Stop a query; return whether it was not stopped before."""
        if query.is_stopped:
            return False
        query.is_stopped, query.by_owner = True, by_owner
        query.stop()
        return True

    def all(self) -> tuple[RunningQuery, ...]:
        """Return all, the oldest first."""
        return tuple(self._queries.values())


def stopped_error(query: RunningQuery) -> QueryStoppedError:
    """Return the error of a query that was stopped."""
    if query.by_owner:
        error = QueryStoppedError("You cancelled the query by KILL.")
    else:
        remedy = "Ask the operator before you run it again."
        error = QueryStoppedError("An operator cancelled the query.", remedy=remedy)
    error.query_id = query.query_id
    return error


class OperatorService:
    """What operators may do to the queries of others.

    Parameters
    ----------
    running
        The queries that run now.
    """

    def __init__(self, running: RunningQueries) -> None:
        self._running = running

    def running(self, identity: Identity) -> tuple[RunningQuery, ...]:
        """Return the queries that run or wait, the oldest first.

        Raises
        ------
        NotFoundError
            If the caller is no operator.
        """
        check_operator(identity)
        return self._running.all()

    def stop(self, query_id: str, identity: Identity) -> None:
        """Stop a query; the one who asked learns that an operator did.

        Raises
        ------
        NotFoundError
            If the caller is no operator, or no such query runs.
        """
        check_operator(identity)
        query = self._running.get(query_id)
        if query is None:
            raise NotFoundError(f"no query {query_id[:40]!r} runs; it may have ended.")
        if self._running.stop(query):
            _AUDIT.info("query_stopped", query_id=query_id, who=identity.name, owner=query.owner)
