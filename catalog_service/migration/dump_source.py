"""A table of a MySQL-protocol source, read without buffering: Qserv's czar, one of its workers, MySQL or MariaDB."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from ..exceptions import AccessError, CatalogServiceError, NotFoundError, ParameterError, ServerError, UnavailableError
from .dump_columns import quoted

if TYPE_CHECKING:
    import pymysql
    from pymysql.cursors import SSCursor

__all__ = ["Address", "Source", "parse_address"]

Row = tuple[bytes | None, ...]
"""Values as the source prints them."""

_PORT: Final = 3306
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


@dataclass(frozen=True)
class Address:
    """Where a source listens."""

    host: str
    port: int
    user: str
    socket: str | None = None
    """Path of a local socket, instead of host and port."""

    def __str__(self) -> str:
        return f"mysql://{self.socket or f'{self.host}:{self.port}'}"


def parse_address(text: str) -> Address:
    """Return the parts of ``mysql://USER@HOST:PORT`` or ``mysql://USER@localhost?socket=PATH``.

    Raises
    ------
    ParameterError
        If the text is no such address, or holds a password: everybody on the machine could read it.

    >>> str(parse_address("mysql://reader@qserv.example.org:4040"))
    'mysql://qserv.example.org:4040'
    """
    parts = urlsplit(text)
    try:
        port = parts.port or _PORT
    except ValueError:
        port = 0
    if parts.scheme != "mysql" or not parts.hostname or not port:
        raise ParameterError(f"{text!r} is no address of a MySQL server.", remedy="Write mysql://USER@HOST:PORT")
    if parts.password is not None:
        raise ParameterError(
            "A password in an address can be read by everybody on this machine.",
            remedy="Put it into the environment variable CATALOG_MIGRATE_PASSWORD, and leave it out here.",
        )
    socket = parse_qs(parts.query).get("socket", [None])[0]
    return Address(parts.hostname, port, unquote(parts.username or "qsmaster"), socket)


class Source:
    """An open connection that only reads.

    Parameters
    ----------
    address
        Where to connect.
    password
        Empty if the user has none.

    Raises
    ------
    AccessError
        If the source refuses the user.
    UnavailableError
        If it cannot be reached.
    """

    def __init__(self, address: Address, password: str = "") -> None:
        self.address = address
        with self._errors():
            self._connection = self._connect(password)
            for statement in _SESSION:
                self._run(statement)

    def _connect(self, password: str) -> "pymysql.Connection[SSCursor]":
        import pymysql  # noqa: PLC0415 - other commands do without it
        from pymysql.cursors import SSCursor  # noqa: PLC0415

        # without decoders and unicode every value stays the bytes that the source printed
        options: dict[str, Any] = {"conv": {}, "use_unicode": False, "charset": "utf8mb4", "autocommit": None}
        if self.address.socket is not None:
            options["unix_socket"] = self.address.socket
        return pymysql.Connection(
            host=self.address.host,
            port=self.address.port,
            user=self.address.user,
            password=password,
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
        with self._errors(), self._connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    @contextmanager
    def stream(self, query: str) -> Iterator[Iterator[Row]]:
        """Run a query and hand out its rows one by one, as the source sends them."""
        with self._errors():
            cursor = self._connection.cursor()
            cursor.execute(query)
            yield iter(cursor.fetchone, None)
            cursor.close()

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
            raise _our_error(error.args, self.address) from error


def _our_error(details: Sequence[object], address: Address) -> CatalogServiceError:
    number, message = (details[0], details[-1]) if details else (None, "unknown error")
    if number in _NO_LOGIN:
        return AccessError(
            f"{address} refuses the user: {message}.",
            remedy="Check USER in the address, and the password in CATALOG_MIGRATE_PASSWORD.",
        )
    if number in _NO_TABLE:
        return NotFoundError(f"{address}: {message}.")
    if number in _GONE or not isinstance(number, int) or number == 0:
        return UnavailableError(f"{address} went away or cannot be reached: {message}.")
    return ServerError(f"{address} refused a query: {message} (error {number}).")


def _text(value: bytes | None) -> str:
    return (value or b"").decode()
