"""The client: one object for one service."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote, urlencode

from ..models.wire import (
    CatalogList,
    ColumnInfo,
    ConeRequest,
    ConesRequest,
    DirectPlan,
    Explanation,
    JobInfo,
    JobRequest,
    QueryInfo,
    QueryRequest,
    TableDetail,
    TableSummary,
)
from .conversion import load_extra
from .errors import UnexpectedAnswerError
from .jobs import JOBS_PATH, Job
from .notebook import Listing
from .positions import resolve_cone, to_degrees
from .results import Result
from .stream import ResultStream
from .transport import Answer, Transport
from .uploads import table_bytes, target_table

if TYPE_CHECKING:
    import pyvo

__all__ = ["CatalogClient"]

Body = TypeVar("Body", CatalogList, DirectPlan, Explanation, TableDetail)

_API: Final = "/api/v1"


class CatalogClient:
    """Cone searches and ADQL queries against one catalog service.

    Parameters
    ----------
    url
        Address of the service.
    token
        Access token, for catalogs that are not public.
    timeout_s
        Longest silence of the service that is waited for, seconds; a result that keeps arriving may take longer.

    Raises
    ------
    ParameterError
        If the URL is no http or https address. No request is sent yet.

    Notes
    -----
    Errors of the service are raised in the classes that the service uses (`QuerySyntaxError`, `QueryNameError`,
    `LimitError`, ...), with the place in the query and the remedy. Interrupting a cell closes the connection, so
    that the service stops the query. The client may be shared by threads.

    Examples
    --------
    >>> client = CatalogClient("http://127.0.0.1:8000")
    >>> client.cone(56.75, 24.12, "30arcmin", table="tycho2.stars").to_table()  # doctest: +SKIP
    >>> client.query("SELECT TOP 5 * FROM tycho2.stars ORDER BY vt_mag").to_pandas()  # doctest: +SKIP
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", token: str | None = None, *, timeout_s: float = 300.0
    ) -> None:
        self._token = token
        self._transport = Transport(url, token=token, timeout_s=timeout_s)

    @property
    def url(self) -> str:
        """Address of the service."""
        return self._transport.url

    def cone(  # noqa: PLR0913 - one parameter for each of the interface, the last five by name only
        self,
        ra: Any,
        dec: Any = None,
        radius: Any = None,
        *,
        table: str,
        columns: str | Sequence[str] | None = None,
        distance: bool = False,
        order: str | None = None,
        maxrec: int | None = None,
    ) -> Result:
        """Return the rows of a table within a radius of a position, the boundary included.

        Call it as ``cone(ra, dec, radius, table=...)`` or ``cone(SkyCoord, radius, table=...)``.

        Parameters
        ----------
        ra, dec
            Position, ICRS: degrees, or astropy ``Angle`` or ``Quantity``; or one ``SkyCoord`` of any celestial frame.
        radius
            Degrees, an ``Angle`` or ``Quantity``, or a text such as ``"1deg"``, ``"5'"`` or ``"30arcsec"``; 0 finds
            rows at exactly this position.
        table
            ``schema.table``.
        columns
            Names, as a sequence or separated by commas; None: the table's principal columns; ``"*"``: all.
        distance
            Whether the first column is ``_r``, the distance from the position in degrees.
        order
            ``"distance"``: the nearest rows first, so that `maxrec` keeps the nearest; None: as they come.
        maxrec
            Most rows to return; None: the service's default. A cut result emits an `OverflowWarning`.

        Raises
        ------
        ParameterError
            If position or radius are no single angles, or are out of range.
        NotFoundError
            If there is no such table that you may read.
        TransferAbortedError
            If the result breaks off.
        """
        ra_deg, dec_deg, radius_deg = resolve_cone(ra, dec, radius)
        request = ConeRequest(
            table=table,
            ra=ra_deg,
            dec=dec_deg,
            radius_deg=radius_deg,
            columns=columns if columns is None or isinstance(columns, str) else ",".join(columns),
            distance=distance,
            order=order,
            maxrec=maxrec,
        )
        return ResultStream(self.open(request)).read_all()

    def cones(  # noqa: PLR0913 - one parameter for each of the interface, most by name only
        self,
        targets: Any,
        radius: Any = None,
        *,
        table: str,
        match: str = "all",
        columns: str | Sequence[str] | None = None,
        maxrec: int | None = None,
        ra: str | None = None,
        dec: str | None = None,
        id: str | None = None,  # noqa: A002 - as the service calls it
        radius_column: str | None = None,
    ) -> Result:
        """Return the rows of a table around each of many targets: in ``_target`` which, in ``_r`` how far, degrees.

        Parameters
        ----------
        targets
            Positions: a ``SkyCoord`` of many, a table of pyarrow, pandas, polars or astropy with degrees ICRS, or the
            path of a file (VOTable, CSV, Parquet, Arrow or JSON).
        radius
            As for `cone`, the same for all; or leave it out and name the column of the targets in `radius_column`.
        table, columns, maxrec
            As for `cone`.
        match
            ``"all"`` rows within the radius, or the ``"nearest"`` one.
        ra, dec, id
            Columns of the targets; None: those that names or UCDs tell, and for `id` else the number of the row.

        Raises
        ------
        UploadError
            If the service cannot read the targets.
        LimitError
            If there are too many.
        """
        request = ConesRequest(
            table=table,
            radius_deg=None if radius is None else to_degrees(radius, name="radius"),
            radius_column=radius_column,
            ra=ra,
            dec=dec,
            id=id,
            columns=columns if columns is None or isinstance(columns, str) else ",".join(columns),
            match=match,
            maxrec=maxrec,
        )
        return ResultStream(self.open_cones(request, targets)).read_all()

    def query(
        self,
        query: str,
        *,
        lang: str = "ADQL",
        maxrec: int | None = None,
        uploads: Mapping[str, Any] | None = None,
    ) -> Result:
        """Return the rows of a query.

        Parameters
        ----------
        query
            The query.
        lang
            Its language: ``"ADQL"``, or ``"QSERV"`` for the SQL of Qserv.
        maxrec
            Most rows to return; None: the service's default. A cut result emits an `OverflowWarning`.
        uploads
            Tables to send along, by name; the query finds them as ``TAP_UPLOAD.<name>``. Each is the path of a file, or
            a table of pyarrow, pandas, polars or astropy.

        Raises
        ------
        QueryError
            If the query is at fault; `line` and `column` tell where.
        UploadError
            If the service cannot read an uploaded table.
        LimitError
            If it hits a limit of the service.
        TransferAbortedError
            If the result breaks off.
        """
        return self.stream(query, lang=lang, maxrec=maxrec, uploads=uploads).read_all()

    def stream(
        self,
        query: str,
        *,
        lang: str = "ADQL",
        maxrec: int | None = None,
        uploads: Mapping[str, Any] | None = None,
    ) -> ResultStream:
        """Run a query and return its record batches as they arrive, for results larger than the memory.

        Use it in a ``with`` block. Errors are those of `query`; those of the transfer are raised by the iteration.
        """
        return ResultStream(self.open(QueryRequest(query=query, lang=lang, maxrec=maxrec), uploads))

    def submit(
        self,
        query: str,
        *,
        lang: str = "ADQL",
        maxrec: int | None = None,
        format: str = "arrow",  # noqa: A002 - the name that everybody expects
        runid: str | None = None,
    ) -> Job:
        """Queue a query as a job of the service, and return at once.

        Parameters
        ----------
        query, lang, maxrec
            As for `query`.
        format
            Of the result: ``"arrow"``, which `Job.result` reads, or another of the service's for `Job.download`.
        runid
            A word of yours by which you recognise the job.

        Raises
        ------
        LimitError
            If your results take too much space.
        UnavailableError
            If too many jobs are waiting.
        """
        request = JobRequest(query=query, lang=lang, maxrec=maxrec, format=format, runid=runid)
        return Job(self._transport, JobInfo.from_json(self._transport.json(JOBS_PATH, asdict(request))))

    def job(self, job_id: str) -> Job:
        """Return a job that was submitted before.

        Raises
        ------
        NotFoundError
            If it was removed, or is somebody else's.
        """
        return Job(self._transport, JobInfo.from_json(self._transport.json(f"{JOBS_PATH}/{quote(job_id, safe='')}")))

    def jobs(self, *, last: int = 100) -> list[Job]:
        """Return your jobs, the newest first; without a token, none."""
        return [
            Job(self._transport, JobInfo.from_json(one)) for one in self._transport.json(f"{JOBS_PATH}?last={last}")
        ]

    def queries(self, *, last: int = 100, since: str | None = None, everybody: bool = False) -> Listing[QueryInfo]:
        """Return your queries that have ended, the newest first; without a token, none.

        Parameters
        ----------
        last
            At most so many.
        since
            Only queries that began then or later, an ISO time; UTC if it names no other.
        everybody
            Queries of everybody, for operators.

        Raises
        ------
        AccessError
            If you ask for the queries of everybody and are no operator.
        """
        asked = {"last": last, "since": since, "all": "true" if everybody else None}
        given = urlencode({name: value for name, value in asked.items() if value is not None})
        return Listing(QueryInfo(**one) for one in self._transport.json(f"{_API}/queries?{given}"))

    def open(self, request: QueryRequest | ConeRequest, uploads: Mapping[str, Any] | None = None) -> Answer:
        """Send a request and return the bytes of the answer as they arrive, in the format that the request names.

        Parameters
        ----------
        request
            What to ask.
        uploads
            Tables to send along with a query, as for `query`.

        Raises
        ------
        ConnectionFailedError
            If the service cannot be reached or does not begin to answer in time.
        CatalogServiceError
            The error that the service answered with, in its own class.
        """
        body = {name: value for name, value in asdict(request).items() if value is not None and value is not False}
        if uploads:
            files = {name: table_bytes(table) for name, table in uploads.items()}
            return self._transport.post_form(f"{_API}/query-uploads", {n: str(v) for n, v in body.items()}, files)
        if isinstance(request, QueryRequest):
            return self._transport.post(f"{_API}/query", body)
        return self._transport.get(f"{_API}/cone", {name: str(value) for name, value in body.items()})

    def open_cones(self, request: ConesRequest, targets: Any) -> Answer:
        """Send targets and return the bytes of the answer as they arrive; raises as `open` does."""
        asked = urlencode({name: value for name, value in asdict(request).items() if value is not None})
        content = table_bytes(target_table(targets))
        return self._transport.post_bytes(f"{_API}/cones?{asked}", content, "application/octet-stream")

    def explain(self, query: str, *, lang: str = "ADQL", maxrec: int | None = None) -> Explanation:
        """Return what a query would read, and why, without running it; print it for a summary.

        Raises
        ------
        QueryError
            If the query is at fault; `line` and `column` tell where.
        """
        return self._get(f"{_API}/explain", Explanation, QueryRequest(query=query, lang=lang, maxrec=maxrec))

    def plan(self, query: str, *, lang: str = "ADQL") -> DirectPlan:
        """Return the shards of a query, and the SQL with which your own DuckDB gives its answer on them.

        Raises
        ------
        QueryRefusedError
            If the operator does not allow direct access to a schema that it reads.
        """
        return self._get(f"{_API}/plan", DirectPlan, QueryRequest(query=query, lang=lang))

    def tables(self) -> Listing[TableSummary]:
        """Return all tables that you may read, with their sizes and position columns."""
        catalogs = self._get(f"{_API}/catalogs", CatalogList)
        return Listing(table for schema in catalogs.schemas for table in schema.tables)

    def columns(self, table: str) -> Listing[ColumnInfo]:
        """Return the columns of a table (``schema.table``), with units, UCDs and descriptions.

        Raises
        ------
        NotFoundError
            If there is no such table that you may read.
        """
        return Listing(self._get(f"{_API}/catalogs/{quote(table, safe='')}", TableDetail).columns)

    def tap(self) -> "pyvo.dal.TAPService":
        """Return a pyvo ``TAPService`` for this service, whose session sends the access token there and nowhere else.

        The client's address must be the one that the service gives itself (its `public_url`): jobs are found there.

        Raises
        ------
        ImportError
            If pyvo is not installed.
        """
        dal, requests = load_extra("pyvo.dal"), load_extra("requests")
        if self._token is None:
            return dal.TAPService(f"{self.url}/tap", session=requests.Session())
        from .bearer import BearerSession  # noqa: PLC0415 - needs requests

        return dal.TAPService(f"{self.url}/tap", session=BearerSession(self.url, self._token))

    def close(self) -> None:
        """Close the connections to the service."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"CatalogClient({self.url!r})"

    def _get(self, path: str, body_type: type[Body], request: QueryRequest | None = None) -> Body:
        sent = None if request is None else {n: value for n, value in asdict(request).items() if value is not None}
        body: Mapping[str, Any] = self._transport.json(path, sent)
        try:
            return body_type.from_json(body)
        except (TypeError, KeyError) as error:
            raise UnexpectedAnswerError(
                f"{self.url}{path} answered with a body that this client does not know: {error}.",
                remedy="Client and service may be of different versions: install the service's version of the client.",
            ) from error
