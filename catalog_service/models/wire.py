"""Bodies of the JSON API, shared by server and client; plain dataclasses that import nothing of ours.

======================================  ==============================================================
``GET /api/v1/catalogs``                `CatalogList`
``GET /api/v1/catalogs/SCHEMA.TABLE``   `TableDetail`
``POST /api/v1/query``                  `QueryRequest` in, a result in the asked format out
``POST /api/v1/explain``                `QueryRequest` in, `Explanation` out
``POST /api/v1/plan``                   `QueryRequest` in, `DirectPlan` out
``GET /api/v1/cone``                    parameters of `ConeRequest`, a result in the asked format out
``POST /api/v1/jobs``                   `JobRequest` in, `JobInfo` out
``GET /api/v1/jobs``                    a list of `JobInfo`, the newest first
``GET /api/v1/jobs/ID?wait=S``          `JobInfo`; waits up to S seconds for a change
``POST /api/v1/jobs/ID/abort``          `JobInfo`
``DELETE /api/v1/jobs/ID``              nothing
``GET /api/v1/jobs/ID/results/NAME``    the file of a result
``GET /api/v1/queries?last=&since=``     a list of `QueryInfo`, the newest first
``GET /api/v1/admin/queries``           a list of `RunningQueryInfo`; for operators
``DELETE /api/v1/admin/queries/ID``     nothing; for operators
any error                               ``{"error": {code, message, line, column, remedy, query_id}}``
======================================  ==============================================================

Results carry the headers `QUERY_ID_HEADER` and, when it is known before the first byte, `OVERFLOW_HEADER`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "OVERFLOW_HEADER",
    "QUERY_ID_HEADER",
    "CatalogList",
    "ColumnInfo",
    "ConeRequest",
    "ConesRequest",
    "DirectPlan",
    "Explanation",
    "JobFile",
    "JobInfo",
    "JobRequest",
    "QueryInfo",
    "QueryRequest",
    "RunningQueryInfo",
    "SchemaInfo",
    "TableDetail",
    "TableReading",
    "TableSummary",
]

QUERY_ID_HEADER: Final = "X-Query-Id"
"""Identifies the query in the service's log."""

OVERFLOW_HEADER: Final = "X-Overflow"
"""``true`` or ``false``: whether the result was cut at MAXREC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnInfo:
    """One column of a table."""

    name: str
    datatype: str
    is_array: bool = False
    unit: str | None = None
    ucd: str | None = None
    description: str | None = None
    principal: bool = False
    indexed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSummary:
    """One table, without its columns."""

    name: str
    """``schema.table``."""
    description: str | None = None
    rows: int = 0
    columns: int = 0
    ra: str | None = None
    """Column of the table's right ascension, degrees ICRS; None if it has no position."""
    dec: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDetail:
    """One table with its columns."""

    table: TableSummary
    columns: tuple[ColumnInfo, ...]

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "TableDetail":
        """Return the detail that a JSON body describes."""
        return TableDetail(
            table=TableSummary(**body["table"]), columns=tuple(ColumnInfo(**column) for column in body["columns"])
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaInfo:
    """One schema and its tables."""

    name: str
    description: str | None = None
    tables: tuple[TableSummary, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogList:
    """Everything that the caller may read."""

    schemas: tuple[SchemaInfo, ...]

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "CatalogList":
        """Return the list that a JSON body describes."""
        return CatalogList(
            schemas=tuple(
                SchemaInfo(
                    name=schema["name"],
                    description=schema["description"],
                    tables=tuple(TableSummary(**table) for table in schema["tables"]),
                )
                for schema in body["schemas"]
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRequest:
    """A query to run at once."""

    query: str
    lang: str = "ADQL"
    maxrec: int | None = None
    """None: the service's default limit."""
    format: str = "arrow"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConeRequest:
    """A cone search; unlike Simple Cone Search, radius 0 means the exact position."""

    table: str
    ra: float
    dec: float
    radius_deg: float
    columns: str | None = None
    """Comma-separated names; None: the table's principal columns, ``*``: all."""
    distance: bool = False
    """Whether the first column is ``_r``, the distance from the position in degrees."""
    order: str | None = None
    """``distance``: the nearest rows first; None: as they come."""
    maxrec: int | None = None
    format: str = "arrow"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConesRequest:
    """Cones around many targets; the body of the request is the table of the targets."""

    table: str
    radius_deg: float | None = None
    """One radius for all; else `radius_column`."""
    radius_column: str | None = None
    """Column of the targets that holds the radius of each cone, degrees."""
    ra: str | None = None
    """Columns of the targets' positions; None: those that UCDs or names tell."""
    dec: str | None = None
    id: str | None = None
    """Column of the targets that comes back as ``_target``; None: the main identifier, ``id``, or the row's number."""
    columns: str | None = None
    """As in `ConeRequest`."""
    match: str = "all"
    """``all``, or ``nearest``."""
    maxrec: int | None = None
    format: str = "arrow"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReading:
    """What a query would read of one table."""

    table: str
    """``schema.table``."""
    files: int
    files_total: int
    kind: str
    """What the files are: tiles, adopted files, or one file."""
    rows: int
    """Rows in these files: an upper bound of those read."""
    size_bytes: int
    """Size of these files, all columns."""
    read_bytes: int
    """What the columns that are used take of it, by the sizes that columns have in the whole table."""
    row_groups: int | None
    """Row groups of these files that meet the region or the ids of the query: those read; None if that is not known."""
    row_groups_total: int | None
    """Of the whole table."""
    columns: int
    columns_total: int
    reason: str
    """What chose the files, or why nothing did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a query would read, and why."""

    tables: tuple[TableReading, ...]
    files: int
    files_total: int
    rows: int
    size_bytes: int
    """Of all columns."""
    read_bytes: int
    """Of the columns that are used: an upper bound, since not all rows of a file need be read."""
    estimated_s: float
    """Rough: 10 ms, 0.2 ms a file, and 20 million rows a second and thread."""
    batches: int
    """Steps in which it is run."""
    columns: tuple[str, ...] = ()
    """Names of the result's columns."""
    relaxations: tuple[str, ...] = ()
    """What the text uses beyond the strict language."""
    limits: tuple[str, ...] = ()
    """Limits that it would hit."""
    advice: tuple[str, ...] = ()

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Explanation":
        """Return the explanation that a JSON body describes."""
        lists = {name: tuple(body[name]) for name in ("columns", "relaxations", "limits", "advice")}
        tables = tuple(TableReading(**table) for table in body["tables"])
        return Explanation(**{**body, **lists, "tables": tables})

    def __str__(self) -> str:
        """Return a few lines for people."""
        lines = [f"{t.table}: {t.reason}; {_groups(t)}{t.columns} of {t.columns_total} columns" for t in self.tables]
        lines.append(
            f"{self.files:,} of {self.files_total:,} files, {self.read_bytes / 1e6:,.1f} MB of columns that are used "
            f"({self.size_bytes / 1e6:,.1f} MB with all), at most {self.rows:,} rows; about {self.estimated_s:,.3g} s"
            + (f" in {self.batches} batches" if self.batches > 1 else "")
        )
        lines += [f"limit: {text}" for text in self.limits]
        lines += [f"advice: {text}" for text in self.advice]
        return "\n".join(lines)


def _groups(reading: TableReading) -> str:
    if reading.row_groups is None:
        return ""
    return f"{reading.row_groups:,} of {reading.row_groups_total:,} row groups, "


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectPlan:
    """A query to run on the shards oneself."""

    sql: str
    """One SELECT for DuckDB 2.0 that gives the answer of the service, uncut."""
    files: tuple[str, ...]
    """Absolute paths of the shards that it reads."""
    rows: int
    """Rows in these files."""

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "DirectPlan":
        """Return the plan that a JSON body describes."""
        return DirectPlan(**{**body, "files": tuple(body["files"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A query that runs while its owner is away."""

    query: str
    lang: str = "ADQL"
    maxrec: int | None = None
    format: str | None = None
    runid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """A result of a job."""

    name: str
    url: str
    content_type: str
    size_bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """A job. Times are ISO in UTC."""

    job_id: str
    phase: str
    """Of UWS: PENDING, QUEUED, EXECUTING, COMPLETED, ERROR or ABORTED."""
    query: str | None = None
    lang: str | None = None
    runid: str | None = None
    created: str
    started: str | None = None
    ended: str | None = None
    destruction: str
    """When the job and its results are removed."""
    execution_s: float
    """Time limit."""
    progress: tuple[int, int] | None = None
    """Batches of tiles that are done, and all of them."""
    overflow: bool = False
    """Whether the result was cut."""
    error: Mapping[str, Any] | None = None
    """Code, message, position and remedy of a failed job."""
    results: tuple[JobFile, ...] = ()

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "JobInfo":
        """Return the job that a JSON body describes."""
        progress = body.get("progress")
        return JobInfo(
            **{
                **body,
                "progress": None if progress is None else (progress[0], progress[1]),
                "results": tuple(JobFile(**one) for one in body.get("results", ())),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryInfo:
    """A query that has ended."""

    query_id: str
    query: str
    """Its text, the first 10,000 characters; of a cone, a description."""
    owner: str
    """Who asked."""
    started: str
    """ISO time in UTC."""
    seconds: float
    """Until the last byte."""
    status: str
    """``ok``, ``overflow``, ``cancelled``, ``failed``, or the code of an error."""
    message: str | None = None
    """Of an error."""
    rows: int = 0
    bytes_out: int = 0
    files: int = 0
    """Data files that it read, of `files_total` of its tables."""
    files_total: int = 0
    job_id: str | None = None
    """Of the job that ran it."""
    runid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningQueryInfo:
    """A query that runs or waits."""

    query_id: str
    query: str
    """The first 200 characters of its text."""
    owner: str
    """Who asked."""
    started: str
    """ISO time in UTC."""
    seconds: float
    """Since then."""
    lane: str
    """``interactive``, or ``batch`` for jobs."""
    job_id: str | None = None
    progress: tuple[int, int] | None = None
    """Batches of tiles that are done, and all of them."""
