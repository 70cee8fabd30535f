"""Writing of Parquet data files: row groups, encodings, checksums, and a summary of what was written."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from .files import put_in_place, temporary_path
from .flush import begin_writing
from .paths import HEALPIX_COLUMN
from .schema import is_ordered

__all__ = [
    "MAX_COLUMN_CHUNKS",
    "MOST_GROUP_ROWS",
    "LeafDraft",
    "LeafFormat",
    "LeafSummary",
    "draft_leaf",
    "encoding_options",
    "file_checksum",
    "footer_statistics",
    "row_groups",
    "write_leaf",
]

MOST_GROUP_ROWS: Final = 131_072
"""No row group has more rows: a reader decodes whole row groups (four times the default still reads well)."""

MAX_COLUMN_CHUNKS: Final = 10_000
"""Most column chunks in a file: a footer costs about 90 bytes for each, parsed at every open."""

_MAX_DICTIONARY: Final = 4096
"""A column with more distinct values than this in its first row group is not dictionary-encoded."""

_ZSTD_LEVEL: Final = -1
"""An eighth less time to write than at level 1, and 7 % less to scan, for 1 % more bytes."""

_LEAST_SAVED: Final = 1 / 16
"""A column that zstd makes smaller by less than this part is not compressed."""

_TRIAL_ROWS: Final = 4096
"""First rows of a file that tell whether a column is compressed."""

_FEW_STEP_ROWS: Final = 1024
_SHORT_BYTES: Final = 64
"""Mean bytes of a row's values that have no fixed size, up to which all rows of a row group may share a page."""

_BLOOM_FPP: Final = 0.01
_DELTA_TYPES: Final = ("INT32", "INT64")
_SPLIT_TYPES: Final = ("FLOAT", "DOUBLE")


@dataclass(frozen=True)
class LeafFormat:
    """How the data files of one table are written."""

    schema: pa.Schema
    id_columns: tuple[str, ...] = ()
    """Columns with a bloom filter; `HEALPIX_COLUMN` and these sort the file."""
    row_group_rows: int = 32_768
    row_group_bytes: int = 32 << 20
    """Uncompressed."""
    row_bytes: float = 1.0
    """Mean bytes of a row in memory."""

    @cached_property
    def paths(self) -> tuple[tuple[str, str], ...]:
        """(path, physical type) of every Parquet column, in order; nested columns have several."""
        sink = pa.BufferOutputStream()
        pq.write_metadata(self.schema, sink)
        schema = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
        return tuple((schema.column(i).path, schema.column(i).physical_type) for i in range(len(schema)))

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """Number of the Arrow column that each Parquet column belongs to, shape ``(len(paths),)``."""
        widths = [_leaf_count(column.type) for column in self.schema]
        return np.repeat(np.arange(len(widths)), widths)

    @property
    def sort_keys(self) -> list[str]:
        """The columns that stored rows are sorted by, before their order in the input."""
        return [HEALPIX_COLUMN, *self.id_columns]

    @property
    def is_sorted(self) -> bool:
        """Whether files are sorted by `HEALPIX_COLUMN`."""
        return HEALPIX_COLUMN in self.schema.names

    @property
    def most_group_rows(self) -> int:
        """Most rows of a row group."""
        return max(1, min(self.row_group_rows, int(self.row_group_bytes / max(self.row_bytes, 1))))

    @property
    def most_file_rows(self) -> int:
        """Most rows of a file that keep it within `MAX_COLUMN_CHUNKS`."""
        return max(1, MAX_COLUMN_CHUNKS // len(self.paths)) * self.most_group_rows

    def group_rows(self, rows: int) -> int:
        """Return the rows of each row group (the last may have fewer) of a file of `rows` rows: about equal sizes."""
        groups = max(1, -(-rows // self.most_group_rows))
        return max(1, -(-rows // groups))


@dataclass(frozen=True)
class LeafSummary:
    """What one data file holds."""

    rows: int
    size_bytes: int
    checksum: str
    """xxh3-128 of the file, hexadecimal."""
    groups: pa.Table
    """One row per row group: ``row_group``, ``rows``, ``bytes``, index bounds and statistics."""
    column_bytes: NDArray[np.int64]
    """Compressed bytes per Arrow column."""
    column_nulls: NDArray[np.int64]
    """NULLs per Arrow column."""


def row_groups(table: pa.Table, form: LeafFormat) -> Iterator[pa.Table]:
    """Cut the rows of a file into its row groups."""
    size = form.group_rows(table.num_rows)
    for start in range(0, table.num_rows, size):
        yield table.slice(start, size)


@dataclass(frozen=True)
class LeafDraft:
    """A data file that is written but not in place yet."""

    path: Path
    hidden: Path
    form: LeafFormat
    column_nulls: NDArray[np.int64]

    def publish(self, *, flush: bool = True) -> LeafSummary:
        """Put the file in place, flushed to disk or on its way there, and return what it holds."""
        begin_writing(self.hidden)
        checksum = file_checksum(self.hidden)
        put_in_place(self.hidden, self.path, flush=flush)
        metadata = pq.read_metadata(self.path)
        groups, column_bytes = footer_statistics(metadata, self.form)
        return LeafSummary(
            rows=metadata.num_rows,
            size_bytes=self.path.stat().st_size,
            checksum=checksum,
            groups=groups,
            column_bytes=column_bytes,
            column_nulls=self.column_nulls,
        )


def draft_leaf(path: Path, groups: Iterable[pa.Table], form: LeafFormat) -> LeafDraft:
    """Write one data file under a temporary name, one row group per table of `groups`.

    Floats are stored byte-split, integers as deltas, columns of few values by dictionary, all of it compressed
    by zstd but for columns of noise, with page checksums (DuckDB checks none, `verify` does).
    """
    column_nulls = np.zeros(len(form.schema), dtype=np.int64)
    hidden, writer = temporary_path(path), None
    try:
        for group in groups:
            writer = writer or _open_writer(hidden, group, form)
            writer.write_table(group, row_group_size=group.num_rows)
            column_nulls += [column.null_count for column in group.columns]
            del group  # before the next one is made
        writer = writer or _open_writer(hidden, form.schema.empty_table(), form)
        writer.close()
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    return LeafDraft(path, hidden, form, column_nulls)


def write_leaf(path: Path, groups: Iterable[pa.Table], form: LeafFormat) -> LeafSummary:
    """Write one data file and put it in place (`draft_leaf`)."""
    return draft_leaf(path, groups, form).publish()


def file_checksum(path: Path) -> str:
    """Return the xxh3-128 of a file as 32 hexadecimal digits."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def footer_statistics(metadata: pq.FileMetaData, form: LeafFormat) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return what a footer tells: one row a row group as in `LeafSummary.groups`, and the bytes per Arrow column."""
    chunks = _column_chunks(metadata)
    sizes = np.array([[each.total_compressed_size for each in group] for group in chunks], dtype=np.int64)
    sizes = sizes.reshape(len(chunks), len(form.owners))
    column_bytes = np.bincount(form.owners, sizes.sum(axis=0), len(form.schema)).astype(np.int64)
    rows = [metadata.row_group(number).num_rows for number in range(len(chunks))]
    return _group_statistics(chunks, rows, sizes.sum(axis=1), form), column_bytes


def encoding_options(first: pa.Table, form: LeafFormat) -> dict[str, Any]:
    """Return options of `pyarrow.parquet.ParquetWriter` for a file whose first row group is `first`.

    `first` may lack the columns that the store computes.
    """
    dictionary = _dictionary_columns(first, form)
    present, names = set(first.schema.names), form.schema.names  # a list that is made each time it is asked for
    paths = [form.paths[at] for at, owner in enumerate(form.owners.tolist()) if names[owner] in present]
    encodings = _encodings(paths, dictionary)
    noise = _noise(first.slice(0, _TRIAL_ROWS), encodings)
    packed = [path for path, _ in paths if path not in noise]
    return {
        "compression": dict.fromkeys(packed, "zstd") | dict.fromkeys(noise, "none") if noise else "zstd",
        "compression_level": dict.fromkeys(packed, _ZSTD_LEVEL) if noise else _ZSTD_LEVEL,
        "use_dictionary": list(dictionary),
        "column_encoding": encodings,
        "write_statistics": True,
        "write_page_checksum": True,
        "bloom_filter_options": _bloom_filters(first, form),
        "write_batch_size": _step_rows(first, form),
        "max_rows_per_page": form.row_group_rows,
    }


def _open_writer(path: Path, first: pa.Table, form: LeafFormat) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, form.schema, sorting_columns=_sorting(form), **encoding_options(first, form))


def _sorting(form: LeafFormat) -> list[pq.SortingColumn] | None:
    """Return what the footer says about order; numbers are those of Parquet columns."""
    if not form.is_sorted:
        return None
    paths = [path for path, _ in form.paths]
    return [pq.SortingColumn(paths.index(key)) for key in form.sort_keys]


def _step_rows(first: pa.Table, form: LeafFormat) -> int:
    """Return the rows that are encoded at a time. Many save a twelfth, but a page ends only after all of them."""
    others = [name for name in first.schema.names if not pa.types.is_primitive(first.schema.field(name).type)]
    is_long = first.select(others).nbytes > _SHORT_BYTES * first.num_rows
    return min(form.row_group_rows, _FEW_STEP_ROWS) if is_long else form.row_group_rows


def _encodings(paths: Sequence[tuple[str, str]], dictionary: Iterable[str]) -> dict[str, str]:
    found, skip = {}, set(dictionary)
    for path, physical in paths:
        if path in skip:
            continue
        if physical in _SPLIT_TYPES:
            found[path] = "BYTE_STREAM_SPLIT"
        elif physical in _DELTA_TYPES:
            found[path] = "DELTA_BINARY_PACKED"
    return found


def _noise(rows: pa.Table, encodings: Mapping[str, str]) -> list[str]:
    """Return the columns, byte-split or of deltas, that zstd hardly makes smaller: some rows of them are written."""
    tried = [name for name in rows.schema.names if name in encodings]
    if not tried or not rows.num_rows:
        return []
    written: list[pq.FileMetaData] = []
    pq.write_table(
        rows.select(tried),
        pa.BufferOutputStream(),
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        use_dictionary=False,
        column_encoding={name: encodings[name] for name in tried},
        write_statistics=False,
        metadata_collector=written,
    )
    (chunks,) = _column_chunks(written[0])
    sizes = [(chunk.total_compressed_size, chunk.total_uncompressed_size) for chunk in chunks]
    return [
        name
        for name, (packed, size) in zip(tried, sizes, strict=True)
        if size > 2 * rows.num_rows
        and packed > (1 - _LEAST_SAVED) * size  # the first rows may all be NULL, or few values
    ]


def _dictionary_columns(first: pa.Table, form: LeafFormat) -> tuple[str, ...]:
    """Return the text and integer columns whose first row group repeats its values at least eight times."""
    present, keys = set(first.schema.names), {HEALPIX_COLUMN, *form.id_columns}
    most = min(_MAX_DICTIONARY, first.num_rows // 8)
    return tuple(
        column.name
        for column in form.schema
        if column.name in present
        and column.name not in keys
        and (pa.types.is_string(column.type) or pa.types.is_integer(column.type) or pa.types.is_temporal(column.type))
        and pc.count_distinct(first.column(column.name)).as_py() <= most
    )


def _bloom_filters(first: pa.Table, form: LeafFormat) -> dict[str, dict[str, float]] | None:
    """Size the filters for the first row group; the others are no larger."""
    physical = dict(form.paths)
    columns = [name for name in form.id_columns if physical.get(name, "BOOLEAN") != "BOOLEAN"]
    return {name: {"ndv": max(first.num_rows, 1), "fpp": _BLOOM_FPP} for name in columns} or None


def _column_chunks(metadata: pq.FileMetaData) -> list[list[pq.ColumnChunkMetaData]]:
    """Return what the footer tells of every column chunk, by row group; each takes time to look up."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return [[group.column(number) for number in range(metadata.num_columns)] for group in groups]


def _group_statistics(
    chunks: Sequence[Sequence[pq.ColumnChunkMetaData]], rows: Sequence[int], sizes: NDArray[np.int64], form: LeafFormat
) -> pa.Table:
    """Return number, rows, bytes, index bounds and per ordered column minimum, maximum and NULLs of each row group."""
    columns: dict[str, pa.Array] = {
        "row_group": pa.array(range(len(chunks)), pa.int32()),
        "rows": pa.array(rows, pa.int64()),
        "bytes": pa.array(sizes, pa.int64()),
        "healpix_min": pa.array(np.zeros(len(chunks)), pa.int64()),
        "healpix_max": pa.array(np.zeros(len(chunks)), pa.int64()),
    }
    for at, owner in enumerate(form.owners.tolist()):
        column = form.schema.field(owner)
        if not is_ordered(column.type):
            continue
        found = [group[at].statistics for group in chunks]
        low, high = _bounds(found, "min", column.type), _bounds(found, "max", column.type)
        if column.name == HEALPIX_COLUMN:
            columns["healpix_min"], columns["healpix_max"] = low, high
        else:
            columns[f"{column.name}.min"], columns[f"{column.name}.max"] = low, high
            columns[f"{column.name}.nulls"] = pa.array([each.null_count for each in found], pa.int64())
    return pa.table(columns)


def _bounds(statistics: Sequence[pq.Statistics], part: str, kind: pa.DataType) -> pa.Array:
    """Return ``min`` or ``max`` of every row group, NULL where the footer has none (all values NULL, or too long)."""
    if pa.types.is_temporal(kind):
        raw = [getattr(each, f"{part}_raw") if each.has_min_max else None for each in statistics]
        return pa.array(raw, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    return pa.array([getattr(each, part) if each.has_min_max else None for each in statistics], kind)


def _leaf_count(kind: pa.DataType) -> int:
    if pa.types.is_struct(kind):
        return sum(_leaf_count(field.type) for field in kind)
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _leaf_count(kind.value_type)
    return 1
