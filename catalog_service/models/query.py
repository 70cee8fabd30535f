"""The steps of a query's journey: text, tree, resolved tree, scan plan, engine query, outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from partitioning.layout.paths import HEALPIX_COLUMN

from .excerpt import Excerpt
from .schema import Column, Table
from .tree import Query, ShowColumns

__all__ = [
    "PARTIAL_ROWS",
    "EngineQuery",
    "FileStamp",
    "Language",
    "Outcome",
    "ParsedQuery",
    "QueryText",
    "RaDecBox",
    "ResolvedQuery",
    "ResultFormat",
    "ResultPart",
    "ScanPlan",
    "SplitQuery",
    "TablePlan",
    "TableScan",
    "UploadSource",
]


PARTIAL_ROWS: Final = "partial_rows"
"""Table of the rows of all batches."""


class Language(Enum):
    """Query languages; the value is TAP's LANG."""

    ADQL = "ADQL"
    QSERV = "QSERV"
    """The MySQL dialect that Qserv answers."""


class ResultFormat(Enum):
    """Result formats; the value is the short name of RESPONSEFORMAT."""

    VOTABLE = "votable"
    """VOTable with BINARY2 serialization."""
    VOTABLE_TABLEDATA = "votable/td"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    FITS = "fits"
    PARQUET = "parquet"
    ARROW = "arrow"


@dataclass(frozen=True, slots=True)
class UploadSource:
    """A table that came with a request, as it came; visible to that query only, as ``TAP_UPLOAD.<name>``."""

    name: str
    path: Path
    """The bytes as received."""
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class QueryText:
    """A query as the user wrote it."""

    text: str
    language: Language = Language.ADQL
    uploads: tuple[UploadSource, ...] = ()
    told: str | None = None
    """What the user wrote, where `text` was made of it."""


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A tree of names, and the relaxations of the strict language that its text used."""

    tree: Query | ShowColumns
    relaxations: tuple[str, ...] = ()
    language: Language = Language.ADQL
    """Whose rules of meaning the tree follows."""


@dataclass(frozen=True, slots=True)
class ResolvedQuery:
    """A tree of references to tables and columns that the caller may read."""

    tree: Query
    columns: tuple[Column, ...]
    """Result columns, in order, with unique names, types, units and UCDs."""
    relaxations: tuple[str, ...] = ()
    is_long: bool = False
    """Whether the text is so long that each step over the tree is taken beside the event loop."""


@dataclass(frozen=True, slots=True)
class RaDecBox:
    """A cheap prefilter on stored degrees: rows outside cannot match. Bounds are inclusive."""

    dec_min_deg: float
    dec_max_deg: float
    ra_ranges_deg: tuple[tuple[float, float], ...] = ()
    """One range, or two over RA 0; empty means no bound on RA."""


class FileStamp(NamedTuple):
    """What a file that is not ours looked like when its content was noted down."""

    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class TableScan:
    """What to read for one base table of the query.

    The scan may return rows that do not match; the query's own conditions are always evaluated as well.
    """

    table: Table
    files: tuple[str, ...]
    """Absolute paths of the shards; empty if no row can match."""
    healpix_ranges: tuple[tuple[int, int], ...] = ()
    """A few half-open ranges of `healpix_column` outside which no row matches; empty means no bound."""
    box: RaDecBox | None = None
    """Prefilter on the table's own position columns."""
    visible_schemas: tuple[str, ...] | None = None
    """For TAP_SCHEMA's own tables: names of the schemas whose rows the caller may see."""
    healpix_column: str = HEALPIX_COLUMN
    own_index: bool = False
    """Whether `healpix_column` is the index of the table's own position."""
    stamps: tuple[FileStamp, ...] = ()
    """Of adopted files: how they must still look."""
    tiles: tuple[int, ...] = ()
    """Numbers of the files in the table's partition map; empty for a table of one plain file."""
    rows: int = 0
    """Rows stored in the files."""


@dataclass(frozen=True, slots=True)
class SplitQuery:
    """A resolved query as one for each batch of tiles, and one that merges their rows."""

    partial: Query
    """Run for each batch."""
    merge: Query | None
    """Reads the rows of all batches from `PARTIAL_ROWS`; None: these rows are the result, one batch after another."""
    is_cut: bool
    """Whether a batch needs to give no more rows than the result has."""


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What is read of one base table, and why not less."""

    source: int
    files: int
    files_total: int
    rows: int
    """Rows stored in the chosen files."""
    size_bytes: int
    """Size of the chosen files, all columns."""
    kind: str
    """What its files are: tiles, adopted files, or one file."""
    reason: str
    """What chose the files, or why nothing did."""


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """Which files each base table of a resolved query needs."""

    scans: Mapping[int, TableScan]
    """By the `source` number of the tree's `TableRef`."""
    files: int = 0
    files_total: int = 0
    rows: int = 0
    """Rows stored in the chosen files: an upper bound of the rows read."""
    size_bytes: int = 0
    """Size of the chosen files: an upper bound of the bytes read."""
    tables: tuple[TablePlan, ...] = ()
    """One for each base table, in the order of their sources."""
    expects_few: bool = False
    """Whether few rows of few files are likely: of a few ids, or of a small region."""
    reads_few_tiles: bool = False
    """Whether all it reads is a few tiles of our own releases, whose files never change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineQuery:
    """What a worker runs: generated SQL and how to deliver its rows."""

    query_id: str
    sql: str
    """One SELECT for DuckDB, already limited to `max_rows` + 1 rows. Empty where `excerpt` most likely does."""
    batches: tuple[str, ...] = ()
    """The SELECTs of batches of tiles, run one after another before `sql`, which finds their rows in `PARTIAL_ROWS`.
    If `sql` is empty, their rows are the result."""
    most_rows: int | None = None
    """Rows after which no further batch need be run, if `sql` is empty."""
    columns: tuple[Column, ...]
    format: ResultFormat
    max_rows: int
    """MAXREC: rows beyond it are cut and the result is marked OVERFLOW."""
    timeout_s: float
    """Time limit in seconds, from the arrival of the request."""
    spent_s: float = 0.0
    """How much of it has passed."""
    infos: Mapping[str, str] = field(default_factory=dict)
    """Provenance that travels inside the result (VOTable INFO, Arrow and Parquet metadata)."""
    position: tuple[str, str] | None = None
    """Result columns that hold an ICRS position, for the VOTable's COOSYS."""
    gzip: bool = False
    """Whether the bytes of the result are to be a gzip stream."""
    stamps: tuple[FileStamp, ...] = ()
    """Adopted files that the query reads, and how they must still look."""
    expects_few: bool = False
    """Whether few rows of few files are likely, so that they are best fetched at once."""
    excerpt: Excerpt | None = None
    """The rows told without SQL, if they can be."""
    keeps_footers: bool = False
    """Whether the worker keeps the footers of the files for the queries after this one."""
    target: str | None = None
    """File to be made for the result, in place of sending it; None: send it."""
    part_bytes: int | None = None
    """Size after which another file is begun: ``<target>-00000<part_suffix>`` and so on. None: one file."""
    part_suffix: str = ""
    max_bytes: int | None = None
    """Rows after so many bytes in `target` are cut, and the result is marked OVERFLOW."""


@dataclass(frozen=True, slots=True)
class ResultPart:
    """One of several files of a result, on the disk."""

    file: str
    """Name in the directory of the target."""
    size_bytes: int
    sha256: str
    """Hexadecimal."""
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a query ended, for the audit line and the closing of the result."""

    rows: int = 0
    overflow: bool = False
    bytes_out: int = 0
    seconds: float = 0.0
    sha256: str | None = None
    """Of a result that was written to a file, hexadecimal."""
