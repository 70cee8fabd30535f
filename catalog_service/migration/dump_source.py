"""A table of a MySQL-protocol source, read without buffering: Qserv's czar, one of its workers, MySQL or MariaDB."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import (
    AccessError,
    CatalogServiceError,
    NotFoundError,
    ParameterError,
    ServerError,
    UnavailableError,
)
from .dump_columns import quoted
from .recorder.access import PASSWORD_VARIABLE, Address
from .recorder.errors import UsageError
from .recorder.statements import check_reads_only

if TYPE_CHECKING:
    import pymysql
    from pymysql.cursors import SSCursor

__all__ = ["Row", "Source"]

Row = tuple[bytes | None, ...]
"""Values as the source prints them."""

_CONNECT_S: Final = 20
_READ_S: Final = 3600
"""The longest wait for the next row in seconds: the first one of a large scan comes late."""

_SESSION: Final = (
    "SET SESSION TRANSACTION READ ONLY",
    "SET SESSION time_zone = '+00:00'",
    # a reader that waits, to be polite, must not be taken for a dead one
    "SET SESSION net_write_timeout = 3600",
)

_NO_LOGIN: Final = frozenset({1044, 1045, 1142, 1143, 1227})
_NO_TABLE: Final = frozenset({1049, 1051, 1146})
_GONE: Final = frozenset({1053, 1152, 1153, 1158, 1159, 1160, 1161, 1317, 2002, 2003, 2006, 2013, 2014, 2055})


class Source:
    """An open connection that only reads.

    Parameters
    ----------
    address
        Where to connect.
    password
        None if the user has none.

    Raises
    ------
    AccessError
        If the source refuses the user.
    UnavailableError
        If it cannot be reached.
    """

    def __init__(self, address: Address, password: str | None = None) -> None:
        self.address = address
        with self._errors():
            self._connection = self._connect(password)
        for statement in _SESSION:
            with contextlib.suppress(ServerError), self._errors():  # Qserv takes SET for nothing, if it takes it
                self._run(statement)

    def _connect(self, password: str | None) -> "pymysql.Connection[SSCursor]":
        import pymysql  # noqa: PLC0415 - other commands do without it
        from pymysql.cursors import SSCursor  # noqa: PLC0415

        # without decoders and unicode every value stays the bytes that the source printed
        options: dict[str, Any] = {"conv": {}, "use_unicode": False, "charset": "utf8mb4", "autocommit": None}
        if self.address.unix_socket is not None:
            options["unix_socket"] = self.address.unix_socket
        return pymysql.Connection(
            host=self.address.host,
            port=self.address.port,
            user=self.address.user,
            password=password or "",
            cursorclass=SSCursor,
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            **options,
        )

    def close(self) -> None:
        """Close the connection, also in the middle of a result: the source then stops the query."""
        self._connection._force_close()  # type: ignore[attr-defined]  # noqa: SLF001 - `close` reads all rows first

    def version(self) -> str:
        """Return what the source says of itself."""
        return str(self._connection.get_server_info())  # type: ignore[no-untyped-call]

    def column_types(self, schema: str, table: str) -> list[tuple[str, str, bool]]:
        """Return name, type and whether it is of the primary key, of each column.

        Raises
        ------
        NotFoundError
            If there is no such table.
        """
        rows = self.rows(f"SHOW COLUMNS FROM {quoted(schema, table)}")
        return [(_text(row[0]), _text(row[1]), row[3] == b"PRI") for row in rows]

    def rows(self, query: str) -> list[Row]:
        """Return all rows of a small answer."""
        _check_reads(query)
        with self._errors(), self._connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    @contextmanager
    def stream(self, query: str) -> Iterator[Iterator[Row]]:
        """Run a query and hand out its rows one by one, as the source sends them."""
        _check_reads(query)
        with self._errors():
            cursor = self._connection.cursor()
            try:
                cursor.execute(query)
                yield iter(cursor.fetchone, None)
            except BaseException:
                self._abandon(cursor)
                raise
            cursor.close()

    def _abandon(self, cursor: "SSCursor") -> None:
        """Close the connection in the middle of a result, without the driver reading what is left of it."""
        result = vars(cursor).get("_result")
        if result is not None:
            result.unbuffered_active = False
        cursor.connection = None  # type: ignore[assignment]
        self.close()

    def _run(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of the driver into ours."""
        import pymysql  # noqa: PLC0415

        try:
            yield
        except pymysql.err.Error as error:
            raise _our_error(error.args, self.address.shown) from error


def _check_reads(query: str) -> None:
    """Refuse to send what may do more than read: names of tables and columns come from elsewhere."""
    try:
        check_reads_only(query)
    except UsageError as error:
        raise ParameterError(str(error)) from error


def _our_error(details: Sequence[object], address: str) -> CatalogServiceError:
    number, message = (details[0], details[-1]) if details else (None, "unknown error")
    if number in _NO_LOGIN:
        return AccessError(
            f"{address} refuses the user: {message}.",
            remedy=f"Check the user, and the password in {PASSWORD_VARIABLE}, ~/.my.cnf or --password-file.",
        )
    if number in _NO_TABLE:
        return NotFoundError(f"{address}: {message}.")
    if number in _GONE or not isinstance(number, int) or number == 0:
        return UnavailableError(f"{address} went away or cannot be reached: {message}.")
    return ServerError(f"{address} refused a query: {message} (error {number}).")


def _text(value: bytes | None) -> str:
    return (value or b"").decode()
