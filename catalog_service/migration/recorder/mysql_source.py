"""A source that speaks MySQL's protocol: a Qserv, MySQL or MariaDB. Rows come as text, as the server prints them."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from .access import Address
from .errors import LostError, QueryTimeout, RefusedError, SourceError, UnreachableError, UsageError
from .guesses import find_chunk, find_key, find_position
from .mysql_types import column_of_field, column_of_listing, reader_of_field
from .records import Failure, Source, Table
from .rows import Field
from .source import Result
from .statements import check_reads_only

__all__ = ["MysqlSource", "load_driver"]

_BATCH: Final = 1000
_CONNECT_S: Final = 20
_GONE: Final = frozenset({1053, 1077, 1079, 1927, 2002, 2003, 2006, 2013, 2014, 2027, 2055})
"""Errors of a server that goes away, or of a connection that breaks. A query that somebody killed (1317) is refused."""
_TOO_LONG: Final = frozenset({1969, 3024})
"""Errors of a server's own time limit."""
_NO_ENTRY: Final = frozenset({1044, 1045, 1049, 1129, 1130, 1251, 1698, 2054, 2059, 2061})
"""Errors of logging in that trying again does not help."""
_SYSTEM: Final = frozenset(
    {
        "information_schema",
        "mysql",
        "performance_schema",
        "sys",
        "qservmeta",
        "qservresult",
        "qservcssdata",
        "qservw_worker",
    }
)


_ACCOUNT: Final = re.compile(r"(?:user )?'[^']*'@'[^']*'")


def load_driver() -> Any:
    """Return the module pymysql.

    Raises
    ------
    UsageError
        If it is not there.
    """
    try:
        import pymysql  # noqa: PLC0415 - a TAP source needs none
    except ModuleNotFoundError as error:
        raise UsageError(
            "MySQL's protocol needs pymysql, which is not here: pip install 'catalog-service[migrate]', or copy the "
            "directory that `catalog-service migrate bundle` makes."
        ) from error
    return pymysql


class MysqlSource:
    """A source that speaks MySQL's protocol.

    Parameters
    ----------
    address
        Where it is.
    password
        Of the user.
    schemas
        Databases to record; none: the one of the address, or else all but the server's own.
    """

    lang = "QSERV"

    def __init__(self, address: Address, password: str | None, schemas: Sequence[str] = ()) -> None:
        self._address = address
        self._password = password
        self._schemas = tuple(schemas)
        self._driver = load_driver()
        self._connection: Any = None

    def describe(self) -> Source:
        """Return what is known of the source."""
        return Source("mysql", self._address.shown, str(self._connected().get_server_info()))

    def tables(self) -> Iterator[Table]:
        """Yield the tables with their columns; a table that cannot be described has an error."""
        for schema in self._schemas or self._found_schemas():
            for name in self._column(f"SHOW TABLES FROM {_quoted(schema)}"):
                yield self._table(schema, name)

    def _found_schemas(self) -> list[str]:
        if self._address.database:
            return [self._address.database]
        return [name for name in self._column("SHOW DATABASES") if name.lower() not in _SYSTEM]

    def _table(self, schema: str, name: str) -> Table:
        try:
            listed = list(self._rows(f"SHOW COLUMNS FROM {_quoted(schema)}.{_quoted(name)}"))
        except RefusedError as error:
            return Table(schema, name, (), error=Failure("refused", str(error)))
        columns = tuple(column_of_listing(str(row[0]), str(row[1]), row[2] == "YES") for row in listed)
        primary = tuple(str(row[0]) for row in listed if row[3] == "PRI")
        ra, dec = find_position(columns)
        key = find_key(name, columns, primary)
        return Table(schema, name, columns, key=key, ra=ra, dec=dec, chunk=find_chunk(columns))

    def _column(self, query: str) -> list[str]:
        return [str(row[0]) for row in self._rows(query)]

    def _rows(self, query: str) -> Iterator[Sequence[Field]]:
        with self.ask(query, timeout_s=60) as result:
            for batch in result.batches:
                yield from batch

    @contextmanager
    def ask(
        self, query: str, *, timeout_s: float, max_rows: int | None = None, lang: str | None = None
    ) -> Iterator[Result]:
        """Run a query and give its rows as they come; see `CatalogSource.ask`."""
        del max_rows, lang  # MySQL has neither: whoever reads too much leaves, and the query is killed
        check_reads_only(query)
        connection = self._connected()
        deadline = time.monotonic() + timeout_s
        cursor = connection.cursor()
        try:
            with self._told(deadline, timeout_s):
                _wait_at_most(connection, deadline)
                cursor.execute(query)
            if not cursor.description:
                raise RefusedError("the source answered without a result, as to a statement that reads nothing")
            fields = cursor._result.fields  # noqa: SLF001 - has the sign and the set
            columns = tuple(column_of_field(one) for one in fields)
            yield Result(columns, self._batches(connection, cursor, deadline, timeout_s))
        except BaseException:
            self._abandon(connection, cursor)
            raise
        if cursor._result is not None and cursor._result.unbuffered_active:  # noqa: SLF001 - no public way to know
            self._abandon(connection, cursor)
        cursor.close()

    def _batches(
        self, connection: Any, cursor: Any, deadline: float, timeout_s: float
    ) -> Iterator[Sequence[Sequence[Field]]]:
        readers = [reader_of_field(one) for one in cursor._result.fields]  # noqa: SLF001 - as above
        while True:
            with self._told(deadline, timeout_s):
                _wait_at_most(connection, deadline)
                rows = cursor.fetchmany(_BATCH)
            if not rows:
                return
            yield [[None if v is None else read(v) for read, v in zip(readers, row, strict=True)] for row in rows]

    @contextmanager
    def _told(self, deadline: float, timeout_s: float) -> Iterator[None]:
        """Turn errors of the driver into ours."""
        try:
            yield
        except (self._driver.err.Error, OSError) as error:
            if time.monotonic() >= deadline:
                raise QueryTimeout(f"stopped after the time limit of {timeout_s:g} s") from error
            raise _translated(error) from error

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = self._connect()
            for setting in ("SET SESSION TRANSACTION READ ONLY", "SET SESSION net_write_timeout = 3600"):
                with suppress(self._driver.err.Error):  # a Qserv knows neither, and reads only
                    self._connection.query(setting)
        return self._connection

    def _connect(self) -> Any:
        try:
            return self._driver.connect(
                host=self._address.host,
                port=self._address.port,
                unix_socket=self._address.unix_socket,
                user=self._address.user,
                password=self._password or "",
                database=self._address.database,
                charset="utf8mb4",
                use_unicode=False,
                conv={},
                autocommit=None,
                connect_timeout=_CONNECT_S,
                read_timeout=_CONNECT_S,  # a server that took the connection may never greet; queries set their own
                write_timeout=_CONNECT_S,
                cursorclass=self._driver.cursors.SSCursor,
            )
        except (self._driver.err.Error, OSError, RuntimeError) as error:
            code, message = _code(error), _message(error)
            text = f"{self._address.shown} cannot be reached: {message}"
            if code in _NO_ENTRY or isinstance(error, RuntimeError):
                raise UsageError(text) from error
            raise UnreachableError(text) from error

    def _abandon(self, connection: Any, cursor: Any) -> None:
        """End a query whose rows are no longer wanted: kill it at the server, close what it came through."""
        thread, self._connection = connection.thread_id(), None
        cursor.connection = None
        if cursor._result is not None:  # noqa: SLF001 - or else it reads the rest when it is collected
            cursor._result.unbuffered_active = False  # noqa: SLF001
        with suppress(Exception):
            connection.close()
        with suppress(self._driver.err.Error, SourceError, UsageError, OSError):
            killer = self._connect()
            killer.query(f"KILL QUERY {thread:d}")
            killer.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(self._driver.err.Error, OSError):
                self._connection.close()
            self._connection = None


def _wait_at_most(connection: Any, deadline: float) -> None:
    """Let the next read of the socket end at the deadline."""
    connection._read_timeout = max(0.001, deadline - time.monotonic())  # noqa: SLF001 - it is only set at connecting


def _translated(error: Exception) -> SourceError:
    if isinstance(error, OSError) or _code(error) in _GONE:
        return LostError(_message(error))
    if _code(error) in _TOO_LONG:
        return QueryTimeout(_message(error))
    return RefusedError(_message(error))


def _code(error: Exception) -> int | None:
    return error.args[0] if error.args and isinstance(error.args[0], int) else None


def _message(error: Exception) -> str:
    code = _code(error)
    text = " ".join(str(argument) for argument in error.args[1:] or error.args) or type(error).__name__
    text = _ACCOUNT.sub("the account", text)  # recordings name nobody
    return text if code is None else f"{text} ({code})"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
