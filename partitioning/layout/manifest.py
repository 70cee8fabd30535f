"""The manifest of one published release of one table.

Files in ``<catalog>/manifest/``:

``manifest.json``
    `Manifest`: what the release is, how it was placed, its columns and counts.
``files.parquet``
    One row per tile, sorted by ``_healpix_29``: the `FILES_SCHEMA` columns. Read at open. A table without
    positions has one row that stands for the whole sky.
``row_groups.parquet``
    One row per row group, in file order: file number, rows, bytes, ``_healpix_29`` bounds and per-column
    minimum, maximum and NULL count. Read on demand, a few columns at a time.
``columns.parquet``
    One row per file: bytes and NULLs of every column. Read by `append`.
``sketches.parquet``
    One row per column: its smallest value hashes, from which distinct values are estimated. Read by `append`.

A table that was adopted (`Manifest.adopted`) has another ``files.parquet``, see `adopted`.

A margin has a ``manifest/files.parquet`` of the same columns, an id index one of `INDEX_FILES_SCHEMA`.

A release of 139 billion rows has 20,000 files and 4 million row groups; opening one reads the first two only.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import LayoutError
from .partition_map import PartitionMap
from .paths import HEALPIX_COLUMN, MANIFEST_DIR

__all__ = [
    "FILES_SCHEMA",
    "INDEX_FILES_SCHEMA",
    "MANIFEST_VERSION",
    "ROW_GROUPS_FILE",
    "ROW_GROUP_KEYS",
    "AdoptedData",
    "IndexRecord",
    "InputRecord",
    "Manifest",
    "MarginRecord",
    "NanPolicy",
    "Placement",
    "StoredColumn",
    "read_columns",
    "read_manifest",
    "read_partition_map",
    "read_sketches",
    "stored_bound",
    "write_columns",
    "write_files",
    "write_manifest",
    "write_row_groups",
]

MANIFEST_VERSION: Final = 2

NanPolicy = Literal["clean", "guard"]
"""``clean``: no float column holds NaN. ``guard``: some may, so every reference to one has to be guarded."""

ROW_GROUPS_FILE: Final = "row_groups.parquet"

_STATISTICS_ROWS: Final = 65_536
_STATISTICS_CELLS: Final = 4_000_000
"""Bounds of a row group of ``row_groups.parquet``; a table of 1,000 columns has 3,000 statistics a row."""

_LONGEST_TEXT: Final = 128
"""Longer minima and maxima of text columns are left out of the manifest."""

FILES_SCHEMA: Final = pa.schema(
    [
        pa.field("norder", pa.uint8(), nullable=False),
        pa.field("npix", pa.int64(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("row_groups", pa.int32(), nullable=False),
        pa.field("healpix_min", pa.int64(), nullable=False),
        pa.field("healpix_max", pa.int64(), nullable=False),
        pa.field("max_separation_deg", pa.float64(), nullable=False),
        pa.field("xxh3_128", pa.string(), nullable=False),
    ]
)
"""Columns of ``files.parquet``. A file's path follows from its pixel (`paths.leaf_path`)."""

INDEX_FILES_SCHEMA: Final = pa.schema(
    [
        pa.field("part", pa.int32(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("xxh3_128", pa.string(), nullable=False),
    ]
)
"""Columns of ``files.parquet`` of an id index, in the order of its parts (`paths.index_part_path`)."""

ROW_GROUP_KEYS: Final = pa.schema(
    [
        pa.field("file", pa.int32(), nullable=False),
        pa.field("row_group", pa.int32(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("healpix_min", pa.int64(), nullable=False),
        pa.field("healpix_max", pa.int64(), nullable=False),
    ]
)
"""Leading columns of ``row_groups.parquet``; ``<column>.min``, ``.max``, ``.nulls`` follow for ordered columns."""


@dataclass(frozen=True, kw_only=True)
class StoredColumn:
    """One stored column and its statistics over the whole release."""

    name: str
    arrow_type: str
    """Arrow's spelling of the type, e.g. ``int64``, ``double``, ``list<element: double>``."""
    nulls: int
    bytes: int
    """Compressed bytes of the column in all files."""
    minimum: float | int | str | bool | None = None
    maximum: float | int | str | bool | None = None
    distinct: int | None = None
    """Estimated number of distinct values (within about 10 %); None where it is not known."""
    hidden: bool = False
    """Whether the column is the store's own (index, parent's position) rather than the table's."""
    nan_free: bool = False
    """Under the policy ``guard``: whether every value was read and none is NaN (of a position: all are finite)."""
    mixed: bool = False
    """Whether some files store it in a narrower type than `arrow_type`; in adopted tables only."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Which position decided a row's tile, and which position is the row's own (degrees, ICRS)."""

    ra_column: str
    dec_column: str
    """Stored columns of the position that rows are placed by (``hats_col_ra/dec``)."""
    own_ra_column: str | None
    own_dec_column: str | None
    """Stored columns of the row's own position; None if the table has none."""
    parent: str | None = None
    """Declared parent table in the same schema, whose position places the rows."""
    parent_key: tuple[str, str] | None = None
    """(child column, parent column) of the look-up."""
    parent_release: int | None = None
    """Release of the parent whose positions were looked up."""
    ra_min: float | None = None
    ra_max: float | None = None
    """Bounds of the stored own RA, of any turn: without them no RA box may prune."""
    healpix_column: str | None = HEALPIX_COLUMN
    """Stored int64 column of the order-29 index, by which each file is sorted; None if none can be relied on."""


def stored_bound(bound: pa.Scalar) -> float | int | str | bool | None:
    """Return a minimum or maximum as a `StoredColumn` holds it; None if JSON cannot, or if it is a long text."""
    if pa.types.is_temporal(bound.type):
        return _moment(bound) if bound.is_valid else None
    match bound.as_py():
        case None | bool() | int() as value:
            return value
        case float() as value:
            return value if math.isfinite(value) else None
        case str() as value:
            return value if len(value) <= _LONGEST_TEXT else None
        case other:
            return str(other)


def _moment(bound: pa.Scalar) -> str | None:
    """Return the text of a date or time; Arrow spells those that no Python object holds, None beyond its own years."""
    kind, zone = bound.type, getattr(bound.type, "tz", None)
    fine = pa.time64("us") if pa.types.is_time64(kind) else kind
    try:
        return str(bound.cast(pa.timestamp("us", zone) if pa.types.is_timestamp(kind) else fine).as_py())
    except (OverflowError, ValueError):  # years outside 1 to 9999, nanoseconds
        text: str = (bound if zone is None else bound.cast(pa.timestamp(kind.unit))).cast(pa.string()).as_py()
        return None if text.startswith("<") else text if zone is None else f"{text}+00:00"


@dataclass(frozen=True, kw_only=True)
class InputRecord:
    """One input file of a release, and what became of its rows."""

    number: int
    """Value of the stored column ``_input``; never used again for another file."""
    name: str
    bytes: int
    rows: int
    """Rows read: stored and rejected."""
    rejected: int
    """Rows in the reject file."""
    orphans: int = 0
    """Rows without a parent that are placed by their own position."""
    bad_parts: tuple[str, ...] = ()
    """Damaged parts that were left out because the operator said so: which, how many rows, and why."""
    ends: str = ""
    """xxh3-128 of the first and last 64 kB of the file; empty if it could not be read."""


@dataclass(frozen=True, kw_only=True)
class MarginRecord:
    """One margin of a release: for each tile the rows of other tiles within the threshold of its border."""

    directory: str
    """Name of the directory beside the main catalog."""
    threshold_arcsec: float
    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class IndexRecord:
    """One id index of a release."""

    column: str
    directory: str
    """Name of the directory beside the main catalog."""
    rows: int
    """Entries: rows of the table whose id is not NULL."""
    bytes: int
    flat: bool
    """Whether the flat arrays are there."""
    distinct: int | None = None
    """Different ids among them; as many as the table has rows if each id is one row's. None: not counted."""


@dataclass(frozen=True, kw_only=True)
class AdoptedData:
    """Where the data files of an adopted table lie: in somebody else's tree, which is never written to."""

    kind: Literal["hats", "parquet"]
    base: str
    """Absolute directory from which the paths of ``files.parquet`` start; no symbolic links in it."""
    directories: tuple[str, ...]
    """Absolute directories that hold the files: what a reader must have access to."""
    inputs: tuple[str, ...]
    """What was adopted, as the operator named it."""
    tiles_trusted: bool = False
    """Whether coverages are those of the HATS tiles, without a look at the positions."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one immutable release of one table is."""

    schema: str
    table: str
    release: int
    created: str
    """ISO 8601 UTC time at which the build started."""
    builder: str
    rows: int
    bytes: int
    input_rows: int
    rejected_rows: int
    schema_fingerprint: str
    """xxh3-128 of names and types of the stored columns, in order."""
    placement: Placement | None
    """None for a table without positions, stored as one tile-less file."""
    columns: tuple[StoredColumn, ...]
    id_columns: tuple[str, ...] = ()
    inputs: tuple[InputRecord, ...] = ()
    margins: tuple[MarginRecord, ...] = ()
    indexes: tuple[IndexRecord, ...] = ()
    nan_policy: NanPolicy = "clean"
    adopted: AdoptedData | None = None
    """None for a table that was built: its files lie in the release."""


def write_files(catalog: Path, files: pa.Table) -> None:
    """Write ``files.parquet`` of a catalog, margin or id index under construction.

    Parameters
    ----------
    files
        Rows of `FILES_SCHEMA`, sorted by ``healpix_min`` (of a margin: by tile), or of `INDEX_FILES_SCHEMA`.
    """
    directory = catalog / MANIFEST_DIR
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(files, directory / "files.parquet", compression="zstd", use_dictionary=False)


def write_columns(
    catalog: Path,
    size_bytes: NDArray[np.int64],
    nulls: NDArray[np.int64],
    sketches: Mapping[str, NDArray[np.uint64]],
) -> None:
    """Write ``columns.parquet`` and ``sketches.parquet`` of a catalog under construction.

    Parameters
    ----------
    size_bytes, nulls
        Per file and column, shape ``(files, columns)``.
    sketches
        Smallest hashes of the values of each column.
    """
    directory = catalog / MANIFEST_DIR
    directory.mkdir(parents=True, exist_ok=True)
    per_file = {"bytes": _lists(size_bytes), "nulls": _lists(nulls)}
    pq.write_table(pa.table(per_file), directory / "columns.parquet", compression="zstd")
    hashes = pa.array([part.tolist() for part in sketches.values()], pa.list_(pa.uint64()))
    table = pa.table({"column": pa.array(list(sketches), pa.string()), "hashes": hashes})
    pq.write_table(table, directory / "sketches.parquet", compression="zstd")


def read_columns(
    catalog: Path,
) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[str, NDArray[np.uint64]]]:
    """Return what `write_columns` wrote: bytes and NULLs per file and column, and the sketch of each column.

    Raises
    ------
    LayoutError
        If a file is missing or damaged.
    """
    per_file = _read_statistics(catalog, "columns")
    size_bytes, nulls = (_matrix(per_file.column(name)) for name in ("bytes", "nulls"))
    return size_bytes, nulls, read_sketches(catalog)


def read_sketches(catalog: Path) -> dict[str, NDArray[np.uint64]]:
    """Return the sketch of each column that `write_columns` wrote.

    Raises
    ------
    LayoutError
        If the file is missing or damaged.
    """
    table = _read_statistics(catalog, "sketches")
    names, parts = table.column("column").to_pylist(), table.column("hashes").to_pylist()
    return {name: np.array(part, np.uint64) for name, part in zip(names, parts, strict=True)}


def _read_statistics(catalog: Path, name: str) -> pa.Table:
    directory = catalog / MANIFEST_DIR
    try:
        return pq.read_table(directory / f"{name}.parquet")
    except (OSError, pa.ArrowException) as error:
        msg = f"{directory}: no readable statistics of columns ({error}); repair the release"
        raise LayoutError(msg) from error


def _matrix(lists: pa.ChunkedArray) -> NDArray[np.int64]:
    values: NDArray[np.int64] = lists.combine_chunks().flatten().to_numpy()
    return values.reshape(len(lists), -1)


def _lists(counts: NDArray[np.int64]) -> pa.Array:
    offsets = np.arange(len(counts) + 1, dtype=np.int32) * counts.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(counts.ravel()))


def write_manifest(catalog: Path, manifest: Manifest, files: pa.Table, schema: pa.Schema = FILES_SCHEMA) -> None:
    """Write ``files.parquet`` and ``manifest.json`` of a catalog under construction.

    Parameters
    ----------
    catalog
        Directory of the main catalog; not yet published.
    files
        Rows of `schema`; of `FILES_SCHEMA` sorted by ``healpix_min``.
    schema
        Columns of ``files.parquet``.
    """
    write_files(catalog, files.cast(schema))
    body = {"format": "catalog-service manifest", "version": MANIFEST_VERSION, **asdict(manifest)}
    path = catalog / MANIFEST_DIR / "manifest.json"
    path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def write_row_groups(catalog: Path, tables: Iterable[pa.Table]) -> None:
    """Write ``row_groups.parquet`` of a catalog under construction, holding few of its rows in memory.

    Parameters
    ----------
    tables
        Row groups in file order, all of one schema: `ROW_GROUP_KEYS` columns first, then statistics.
    """
    directory = catalog / MANIFEST_DIR
    directory.mkdir(parents=True, exist_ok=True)
    writer, waiting, rows = None, list[pa.Table](), 0
    try:
        for table in tables:
            writer = writer or pq.ParquetWriter(directory / ROW_GROUPS_FILE, table.schema, compression="zstd")
            waiting.append(table)
            rows += table.num_rows
            if rows >= _STATISTICS_ROWS or rows * table.num_columns >= _STATISTICS_CELLS:
                writer.write_table(pa.concat_tables(waiting))
                waiting, rows = [], 0
        if writer is not None and waiting:
            writer.write_table(pa.concat_tables(waiting))
    finally:
        if writer is not None:
            writer.close()


def read_manifest(catalog: Path) -> Manifest:
    """Read ``manifest.json`` of the catalog in directory `catalog`.

    Raises
    ------
    LayoutError
        If the file is missing, not a manifest, or of another version.
    """
    path = catalog / MANIFEST_DIR / "manifest.json"
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path}: no readable manifest ({error}); was the catalog built or adopted by catalog-partition?"
        raise LayoutError(msg) from error
    if (
        not isinstance(body, dict)
        or body.pop("format", None) != "catalog-service manifest"
        or body.pop("version", None) != MANIFEST_VERSION
    ):
        msg = f"{path}: not a manifest of version {MANIFEST_VERSION}"
        raise LayoutError(msg)
    try:
        return _manifest_from(body)
    except (KeyError, TypeError) as error:
        msg = f"{path}: malformed manifest ({error})"
        raise LayoutError(msg) from error


def _manifest_from(body: dict[str, Any]) -> Manifest:
    placement = body.pop("placement")
    if placement is not None:
        key = placement.pop("parent_key")
        placement = Placement(**placement, parent_key=None if key is None else (key[0], key[1]))
    columns = tuple(StoredColumn(**column) for column in body.pop("columns"))
    adopted = body.pop("adopted", None)
    if adopted is not None:
        tuples = {name: tuple(adopted[name]) for name in ("directories", "inputs")}
        adopted = AdoptedData(**{**adopted, **tuples})
    lists: dict[str, Any] = {
        "id_columns": tuple(body.pop("id_columns")),
        "inputs": tuple(_input_record(record) for record in body.pop("inputs")),
        "margins": tuple(MarginRecord(**record) for record in body.pop("margins")),
        "indexes": tuple(IndexRecord(**record) for record in body.pop("indexes")),
    }
    return Manifest(**body, **lists, placement=placement, columns=columns, adopted=adopted)


def _input_record(record: dict[str, Any]) -> InputRecord:
    return InputRecord(**{**record, "bad_parts": tuple(record["bad_parts"])})


def read_partition_map(catalog: Path) -> PartitionMap:
    """Read ``files.parquet`` of the catalog in directory `catalog` into sorted arrays.

    Raises
    ------
    LayoutError
        If the file is missing or damaged.
    """
    path = catalog / MANIFEST_DIR / "files.parquet"
    names = ["norder", "npix", "healpix_min", "healpix_max", "rows", "bytes", "max_separation_deg"]
    try:
        table = pq.read_table(path, columns=names, memory_map=False)
        arrays = {name: table.column(name).to_numpy() for name in names}
    except (OSError, pa.ArrowException, KeyError) as error:
        msg = f"{path}: no readable list of files ({error})"
        raise LayoutError(msg) from error
    return PartitionMap(
        orders=arrays["norder"].astype(np.uint8),
        numbers=arrays["npix"],
        starts=arrays["healpix_min"],
        stops=arrays["healpix_max"] + 1,
        rows=arrays["rows"],
        size_bytes=arrays["bytes"],
        separations_deg=arrays["max_separation_deg"],
    )
