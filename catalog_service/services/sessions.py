"""Qserv's statements about queries: submit, list, cancel. Without a session: queries and jobs are the caller's own."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from ..exceptions import NotFoundError
from ..language.session import (
    NamedResults,
    SessionStatement,
    named_results,
    process_text,
    row_text,
    rows_text,
    session_statement,
)
from ..models.query import Language, QueryText
from ..models.record import QueryRecord
from ..models.user import ANONYMOUS, Identity
from .deliveries import Delivery, ResultOptions
from .explain import ExplainService
from .history import HistoryService
from .job_documents import instant
from .jobs import JobService
from .query import QueryService
from .running import RunningQueries, RunningQuery

__all__ = ["SessionService", "results_as_tables"]

_LISTED: Final = 200
"""Queries of a list, those that run besides."""
_SHOWN: Final = 1000
"""Characters of texts in it."""

_DONE: Final = row_text({"ok": 1})

Row = Mapping[str, object]


def results_as_tables(query: QueryText) -> NamedResults | None:
    """Return a query's text with the results of jobs that it names as uploaded tables; None if it names none.

    Raises
    ------
    QueryError
        If it names one and cannot be read.
    """
    return named_results(query.text) if query.language is Language.QSERV else None


class SessionService:
    """Runs queries, and in Qserv's language statements about them, which are answered as queries are.

    Parameters
    ----------
    queries
        Runs queries.
    jobs
        Takes what is submitted.
    running
        Queries that run now.
    history
        Queries that have ended.
    explain
        Tells what queries would read.
    jobs_url
        Address of the list of jobs.
    """

    def __init__(  # noqa: PLR0913 - what statements are about, each injected
        self,
        queries: QueryService,
        jobs: JobService,
        running: RunningQueries,
        history: HistoryService,
        *,
        explain: ExplainService,
        jobs_url: str,
    ) -> None:
        self._explain = explain
        self._queries = queries
        self._jobs = jobs
        self._running = running
        self._history = history
        self._jobs_url = jobs_url

    async def run(self, query: QueryText, identity: Identity, options: ResultOptions) -> Delivery:
        """Run a text; return when the first bytes of the result are there.

        Raises
        ------
        CatalogServiceError
            Any of its classes.
        """
        statement = session_statement(query.text) if query.language is Language.QSERV else None
        if statement is None:
            return await self._queries.run(query, identity, options)
        if statement.kind == "explain":
            text = await self._explained(replace(query, text=statement.argument), identity, options)
        else:
            text = await self._answer(statement, identity)
        answer = replace(query, text=text, uploads=())
        return await self._queries.run(answer, identity, options, told=query.text)

    async def _answer(self, statement: SessionStatement, identity: Identity) -> str:
        """Do what a statement asks for; return the query that tells of it."""
        kinds: Mapping[str, Callable[[str, Identity], Awaitable[str]]] = {
            "submit": self._submit,
            "kill": self._kill,
            "delete": self._delete,
        }
        if statement.kind in kinds:
            return await kinds[statement.kind](statement.argument, identity)
        return process_text(statement, await self._list(identity))

    async def _explained(self, query: QueryText, identity: Identity, options: ResultOptions) -> str:
        """Return the query that tells what another one would read: a row for each of its tables."""
        found = await self._explain.explain(query, identity, options.maxrec)
        rows = [
            {
                "table": one.table,
                "files": one.files,
                "files_total": one.files_total,
                "rows": one.rows,
                "bytes": one.size_bytes,
                "Extra": one.reason,
            }
            for one in found.tables
        ]
        return rows_text(rows or [{"table": None, "files": 0, "rows": 0, "Extra": "no table is read"}])

    async def _submit(self, text: str, identity: Identity) -> str:
        parameters = {"LANG": Language.QSERV.value, "QUERY": text}
        job = await self._jobs.create(parameters.items(), identity, run=True)
        return row_text({"jobId": job.job_id, "resultLocation": f"{self._jobs_url}/{job.job_id}/results/result"})

    async def _kill(self, ident: str, identity: Identity) -> str:
        query = self._running.get(ident)
        if query is None or query.job_id is not None:
            await self._jobs.abort(ident if query is None else str(query.job_id), identity)
        elif query.owner == identity.name:
            self._running.stop(query, by_owner=True)
        else:
            raise NotFoundError(f"no query {ident!r} of yours runs; it may have ended.")
        return _DONE

    async def _delete(self, ident: str, identity: Identity) -> str:
        await self._jobs.delete(ident, identity)
        return _DONE

    async def _list(self, identity: Identity) -> list[Row]:
        """Return the caller's queries, the newest first; of anonymous callers, who are many, none."""
        if identity.name == ANONYMOUS.name:
            return []
        running = [_of_running(one) for one in self._running.all() if one.owner == identity.name]
        ended = await self._history.queries(identity, last=_LISTED)
        return [*reversed(running), *map(_of_record, ended)]


def _of_running(query: RunningQuery) -> Row:
    done, total = query.progress() or (0, 0)
    return {
        "ID": query.job_id or query.query_id,
        "TYPE": "SYNC" if query.job_id is None else "ASYNC",
        "STATUS": "EXECUTING",
        "SUBMITTED": instant(query.started),
        "COMPLETED": None,
        "CHUNKS": total,
        "CHUNKS_COMP": done,
        "BYTES": 0,
        "ROWS": 0,
        "QUERY": query.text[:_SHOWN],
        "ERROR": None,
    }


_STATUS: Final = {"ok": "COMPLETED", "overflow": "COMPLETED", "cancelled": "ABORTED", "stopped": "ABORTED"}


def _of_record(record: QueryRecord) -> Row:
    return {
        "ID": record.job_id or record.query_id,
        "TYPE": "SYNC" if record.job_id is None else "ASYNC",
        "STATUS": _STATUS.get(record.status, "FAILED"),
        "SUBMITTED": instant(record.started),
        "COMPLETED": instant(record.started + timedelta(seconds=record.seconds)),
        "CHUNKS": record.files,
        "CHUNKS_COMP": record.files,
        "BYTES": record.bytes_out,
        "ROWS": record.rows,
        "QUERY": record.text[:_SHOWN],
        "ERROR": None if record.message is None else record.message[:_SHOWN],
    }
