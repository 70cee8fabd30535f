"""Keeps the queries that have ended, in a database of its own: it may be deleted, or its disk be full, at any time."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from ..exceptions import ConfigurationError, UnavailableError
from ..models.record import QueryRecord

__all__ = ["HistoryStore"]

_METADATA: Final = sa.MetaData()

_QUERIES: Final = sa.Table(
    "queries",
    _METADATA,
    sa.Column("query_id", sa.String(32), primary_key=True),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("runid", sa.String(64)),
    sa.Column("job_id", sa.String(32)),
    sa.Column("started", sa.BigInteger, nullable=False, comment="milliseconds since 1970 in UTC"),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("message", sa.Text),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes_out", sa.BigInteger, nullable=False),
    sa.Column("files", sa.Integer, nullable=False),
    sa.Column("files_total", sa.Integer, nullable=False),
    sa.Column("bytes_planned", sa.BigInteger, nullable=False),
    sa.Index("queries_by_owner", "owner", "started"),
    sa.Index("queries_by_start", "started"),
)


class HistoryStore:
    """The table of queries; its methods block, and may be called from any thread.

    Parameters
    ----------
    engine
        A database; the table is created if missing.

    Raises
    ------
    ConfigurationError
        If that is not possible.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        try:
            _METADATA.create_all(engine)
        except sa.exc.DBAPIError as error:
            msg = f"the history of queries {engine.url.database} cannot be used: {error.orig}."
            raise ConfigurationError(msg, remedy="Take the file away, or set history_days = 0.") from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def add(self, records: Sequence[QueryRecord]) -> None:
        """Keep queries, all or none of them.

        Raises
        ------
        UnavailableError
            If the disk is full, or another process holds the database.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(_QUERIES), [_values(record) for record in records])
        except sa.exc.SQLAlchemyError as error:
            raise _unavailable() from error

    def queries(self, owner: str | None, *, since: datetime | None, last: int) -> tuple[QueryRecord, ...]:
        """Return queries, the newest first.

        Parameters
        ----------
        owner
            Name of the identity that asked; None: of all.
        since
            Only queries that began then or later.
        last
            At most so many.

        Raises
        ------
        UnavailableError
            If the database cannot be read.
        """
        statement = sa.select(_QUERIES).order_by(_QUERIES.c.started.desc(), _QUERIES.c.query_id).limit(last)
        if owner is not None:
            statement = statement.where(_QUERIES.c.owner == owner)
        if since is not None:
            statement = statement.where(_QUERIES.c.started >= _milliseconds(since))
        try:
            with self._engine.connect() as connection:
                return tuple(map(_record, connection.execute(statement)))
        except sa.exc.SQLAlchemyError as error:
            raise _unavailable() from error

    def remove_before(self, time: datetime) -> None:
        """Forget queries that began before a time.

        Raises
        ------
        UnavailableError
            As `add` does.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.delete(_QUERIES).where(_QUERIES.c.started < _milliseconds(time)))
        except sa.exc.SQLAlchemyError as error:
            raise _unavailable() from error


def _unavailable() -> UnavailableError:
    return UnavailableError("The history of queries is not available now.", remedy="Try again later.")


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _values(record: QueryRecord) -> dict[str, Any]:
    return {**asdict(record), "started": _milliseconds(record.started)}


def _record(row: sa.Row[Any]) -> QueryRecord:
    kept = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    return QueryRecord(**{**kept, "started": datetime.fromtimestamp(kept["started"] / 1000, UTC)})
