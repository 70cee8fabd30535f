"""A source that is a TAP service: queries over HTTP, synchronous or as jobs; answers in VOTable.

Sources: IVOA TAP 1.1, UWS 1.1, DALI 1.1.
"""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO, Any, Final
from urllib.parse import urlencode

from .errors import (
    RefusedError,
    SourceError,
    TooLargeError,
    UsageError,
)
from .guesses import find_chunk, find_key, find_position
from .records import Column, Failure, Source, Table
from .source import Result
from .statements import check_reads_only
from .tap_http import PIECE, Deadline, SameHost, pieces, translated
from .votable import column_of, error_in, read_votable
from .votable_binary import VoField

__all__ = ["TapSource"]

_SHORT_S: Final = 30.0
"""Time limit of requests that are not queries."""
_LONGEST_POLL_S: Final = 5.0
_OWN_SCHEMA: Final = "tap_schema"
_ASKED: Final = "column_name, datatype, arraysize, xtype, unit, ucd"
"""Of TAP_SCHEMA.columns."""


class TapSource:
    """A TAP service.

    Parameters
    ----------
    address
        Base address.
    token
        Sent as ``Authorization: Bearer``, to this host only.
    schemas
        Schemas to record; none: all but TAP_SCHEMA.
    lang
        Language of queries: ``ADQL`` or ``QSERV``.
    mode
        ``sync`` or ``async``.
    response_format
        RESPONSEFORMAT: any serialisation of VOTable.
    """

    def __init__(  # noqa: PLR0913 - what a service must be told
        self,
        address: str,
        token: str | None,
        schemas: Sequence[str] = (),
        *,
        lang: str = "ADQL",
        mode: str = "sync",
        response_format: str = "votable",
    ) -> None:
        self._address = address
        self._token = token
        self._schemas = {name.lower() for name in schemas}
        self._lang = lang
        self._mode = mode
        self._format = response_format
        self._opener = urllib.request.build_opener(SameHost)

    @property
    def lang(self) -> str:
        """Language of queries."""
        return self._lang

    def describe(self) -> Source:
        """Return what is known of the source: the ``Server`` header is all that a TAP service tells."""
        with self._request(f"{self._address}/capabilities", None, _SHORT_S) as response:
            response.read(1)
            return Source("tap", self._address, response.headers.get("Server") or "TAP")

    def tables(self) -> Iterator[Table]:
        """Yield the tables of TAP_SCHEMA with their columns."""
        listed, is_cut = self._rows("SELECT schema_name, table_name FROM TAP_SCHEMA.tables")
        if is_cut:
            raise TooLargeError(f"the source cut its list of tables (TAP_SCHEMA.tables) after {len(listed)} rows")
        columns = self._all_columns()
        for schema, name in listed:
            if str(schema).lower() != _OWN_SCHEMA and (not self._schemas or str(schema).lower() in self._schemas):
                yield self._table(str(schema), str(name), columns)

    def _all_columns(self) -> dict[str, list[Column]] | None:
        """Return the columns of all tables by name in lower case; None if that is more than the source gives."""
        rows, is_cut = self._rows(f"SELECT table_name, {_ASKED} FROM TAP_SCHEMA.columns")
        columns: dict[str, list[Column]] = {}
        for table, *row in rows:
            columns.setdefault(str(table).lower(), []).append(_column(row))
        return None if is_cut else columns

    def _table(self, schema: str, listed: str, columns: dict[str, list[Column]] | None) -> Table:
        if columns is not None:
            return _table(schema, listed, tuple(columns.get(listed.lower(), ())))
        name = listed.replace("'", "''")
        rows, is_cut = self._rows(f"SELECT {_ASKED} FROM TAP_SCHEMA.columns WHERE table_name = '{name}'")
        table = _table(schema, listed, tuple(map(_column, rows)))
        cut = Failure("too large", f"the source cut the list of its columns after {len(rows)} rows")
        return replace(table, error=cut) if is_cut else table

    def _rows(self, query: str) -> tuple[list[list[str | None]], bool]:
        """Return all rows of a short answer, and whether the source cut it."""
        with self.ask(query, timeout_s=120, max_rows=1_000_000, lang="ADQL") as result:
            rows = [[_text(value) for value in row] for batch in result.batches for row in batch]
        return rows, result.overflow

    @contextmanager
    def ask(
        self, query: str, *, timeout_s: float, max_rows: int | None = None, lang: str | None = None
    ) -> Iterator[Result]:
        """Run a query and give its rows as they come; see `CatalogSource.ask`."""
        lang = lang or self._lang
        check_reads_only(query, lang)
        form = {"LANG": lang, "QUERY": query, "RESPONSEFORMAT": self._format}
        if max_rows is not None:
            form["MAXREC"] = str(max_rows + 1)  # one more, so that an answer cut here is known to be too large
        deadline = Deadline(timeout_s)
        opened = self._synchronous(form, deadline) if self._mode == "sync" else self._job(form, deadline)
        with opened as response:
            yield read_votable(pieces(response, deadline))

    def _synchronous(self, form: dict[str, str], deadline: "Deadline") -> Any:
        return self._request(f"{self._address}/sync", {"REQUEST": "doQuery"} | form, deadline.left())

    @contextmanager
    def _job(self, form: dict[str, str], deadline: "Deadline") -> Iterator[IO[bytes]]:
        """Run a job; it is deleted at the end, whatever the end is."""
        with self._request(f"{self._address}/async", {"REQUEST": "doQuery"} | form, _SHORT_S) as response:
            job = response.geturl()
        try:
            self._said(f"{job}/phase", {"PHASE": "RUN"})
            phase = self._ended(job, deadline)
            if phase != "COMPLETED":
                raise RefusedError(f"the job ended as {phase}: {self._error_of(job)}")
            with self._request(f"{job}/results/result", None, deadline.left()) as response:
                yield response
        finally:
            with suppress(SourceError, UsageError):
                self._said(job, {"ACTION": "DELETE"})

    def _ended(self, job: str, deadline: "Deadline") -> str:
        wait = 0.05
        while True:
            phase = self._said(f"{job}/phase", None).strip()
            if phase in {"COMPLETED", "ERROR", "ABORTED", "ARCHIVED", "HELD"}:
                return phase
            deadline.check()
            time.sleep(min(wait, deadline.left()))
            wait = min(wait * 1.5, _LONGEST_POLL_S)

    def _error_of(self, job: str) -> str:
        """Return the message of a failed job, which is a VOTable or plain text."""
        try:
            with self._request(f"{job}/error", None, _SHORT_S) as response:
                return error_in(response.read(PIECE))
        except SourceError as error:
            return str(error)

    def _said(self, address: str, form: dict[str, str] | None) -> str:
        with self._request(address, form, _SHORT_S) as response:
            return str(response.read(PIECE).decode("utf-8", "replace"))

    def _request(self, address: str, form: dict[str, str] | None, timeout_s: float) -> Any:
        data = None if form is None else urlencode(form).encode()
        request = urllib.request.Request(address, data)  # noqa: S310 - http and https are all that is taken
        request.add_header("User-Agent", "catalog-recorder")
        if self._token is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        with translated(self._address):
            return self._opener.open(request, timeout=timeout_s)

    def close(self) -> None:
        """Do nothing: each query has a connection of its own."""


def _table(schema: str, listed: str, columns: tuple[Column, ...]) -> Table:
    name = _bare(listed.removeprefix(f"{schema}."))
    ra, dec = find_position(columns)
    return Table(schema, name, columns, key=find_key(name, columns), ra=ra, dec=dec, chunk=find_chunk(columns))


def _column(row: Sequence[str | None]) -> Column:
    """Return a column as TAP_SCHEMA tells it."""
    name, datatype, *rest = row
    return column_of(VoField(_bare(name), datatype or "char", *rest))


def _bare(name: str | None) -> str:
    """Return a name without the quotes it has in queries."""
    text = str(name)
    return text[1:-1].replace('""', '"') if text.startswith('"') and text.endswith('"') else text


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
