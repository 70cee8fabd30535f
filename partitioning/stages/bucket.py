"""Bucket pass: one reading of the input, every row to the spill file of its group of neighbouring tiles.

The number of spill files is bounded. Rows are gathered into large chunks, ordered by bucket in one take, and written
as one slice a bucket, so that few, large pieces reach the disk. Within a bucket rows keep the order of the input.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import InputError
from ..layout.paths import HEALPIX_COLUMN, PARENT_DEC_COLUMN, PARENT_RA_COLUMN
from ..layout.schema import nan_to_null
from ..readers.source import Source
from .places import PlacedRows, Places, Unplaced
from .tiling import Tiling

__all__ = [
    "MAX_BUCKETS",
    "Bucket",
    "BucketPlan",
    "Rejects",
    "bucket_rows",
    "encoded_slices",
    "group_tiles",
    "in_order",
    "spill",
    "spilled_batches",
    "stored_columns",
]

MAX_BUCKETS: Final = 256
"""Most spill files open at a time; larger tables are split once more when a bucket is sorted."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A spill file and the tiles ``[first, last)`` whose rows it holds."""

    path: Path
    first: int
    last: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class BucketPlan:
    """What the bucket pass needs to know beside the input."""

    tiling: Tiling
    groups: list[tuple[int, int]]
    """Runs of tiles, one per bucket (`group_tiles`)."""
    scratch: Path
    """Directory to make for the spill files."""
    rejects_path: Path
    """Parquet file to write if a row is rejected."""
    chunk_rows: int
    """Rows routed at a time; about ``threads + 2`` chunks are in memory."""
    threads: int


@dataclass(frozen=True)
class Rejects:
    """Rows that have no place."""

    per_file: tuple[int, ...]
    per_reason: dict[str, int]

    @property
    def rows(self) -> int:
        """Rejected rows of all files."""
        return sum(self.per_file)


@dataclass(frozen=True)
class _Chunk:
    """Consecutive input rows."""

    start: int
    count: int
    batches: Sequence[pa.RecordBatch]


@dataclass(frozen=True)
class _Routed:
    """A chunk's placed rows ordered by bucket, and its other rows."""

    slices: Sequence[pa.Buffer | None]
    """What `encoded_slices` returns."""
    edges: NDArray[np.int64]
    """Bucket number ``b`` has rows ``[edges[b], edges[b + 1])``."""
    rejected: pa.RecordBatch
    numbers: NDArray[np.int64]
    """Input row number of each rejected row."""
    codes: NDArray[np.int64]


def stored_columns(source: Source, *, has_parent: bool) -> pa.Schema:
    """Return the columns of leaves: computed ones first, then the table's own."""
    computed = [pa.field(HEALPIX_COLUMN, pa.int64(), nullable=False)]
    if has_parent:
        computed += [pa.field(name, pa.float64(), nullable=False) for name in (PARENT_RA_COLUMN, PARENT_DEC_COLUMN)]
    return pa.schema([*computed, *source.schema])


def group_tiles(tiling: Tiling, first: int, last: int, most_rows: float) -> list[tuple[int, int]]:
    """Group tiles ``[first, last)`` into runs of at most `most_rows` rows (or one tile), and at most `MAX_BUCKETS`.

    >>> rows = np.array([5, 5, 5, 20, 1, 1])
    >>> group_tiles(Tiling(rows * 0, np.arange(6), rows), 0, 6, 10)
    [(0, 2), (2, 3), (3, 4), (4, 6)]
    """
    rows = tiling.rows[first:last].tolist()
    most_rows = max(most_rows, sum(rows) / (MAX_BUCKETS // 2 - 1))
    edges, filled = [first], 0
    for tile, count in enumerate(rows, start=first):
        if filled and filled + count > most_rows:
            edges.append(tile)
            filled = 0
        filled += count
    return list(zip(edges, [*edges[1:], last], strict=True))


def bucket_rows(source: Source, places: Places, plan: BucketPlan) -> tuple[tuple[Bucket, ...], Rejects]:
    """Write every placed row to the bucket of its tile, and every other row to the reject file.

    Raises
    ------
    InputError
        If a file cannot be read, or has changed since its rows were placed.
    """
    starts = plan.tiling.starts[[first for first, _ in plan.groups]]
    schema = stored_columns(source, has_parent=places.has_parent)
    tally = _RejectWriter(source, plan.rejects_path, [0, *accumulate(places.file_rows)])

    def route(chunk: _Chunk) -> _Routed:
        return _route(chunk, places.read(chunk.start, chunk.count), starts, schema)

    def routed() -> Iterator[tuple[Sequence[pa.Buffer | None], NDArray[np.int64]]]:
        for part in in_order(route, _chunks(source, plan.chunk_rows, places.file_rows), plan.threads):
            tally.add(part)
            yield part.slices, part.edges

    with tally:
        buckets = spill(routed(), plan.groups, plan.scratch)
    return buckets, tally.summary()


def spill(
    routed: Iterable[tuple[Sequence[pa.Buffer | None], NDArray[np.int64]]],
    groups: list[tuple[int, int]],
    scratch: Path,
) -> tuple[Bucket, ...]:
    """Append rows, already cut by bucket and encoded, to one file per group of tiles.

    Parameters
    ----------
    routed
        For each batch of rows what `encoded_slices` returns, and the edges of the buckets in it.
    """
    scratch.mkdir(parents=True)
    paths = [scratch / f"bucket-{number}" for number in range(len(groups))]
    rows = np.zeros(len(groups), dtype=np.int64)
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for slices, edges in routed:
            for file, piece in zip(files, slices, strict=True):
                if piece is not None:
                    file.write(piece)
            rows += np.diff(edges)
    return tuple(Bucket(p, *g, int(n)) for p, g, n in zip(paths, groups, rows, strict=True))


def encoded_slices(batch: pa.RecordBatch, edges: NDArray[np.int64]) -> list[pa.Buffer | None]:
    """Return rows ``[edges[b], edges[b + 1])`` of `batch` as an Arrow IPC stream (lz4) per bucket ``b``, None if empty.

    Streams may be written one after the other: `spilled_batches` reads them all.
    """
    return [
        _encoded(batch.slice(first, last - first)) if last > first else None for first, last in pairwise(edges.tolist())
    ]


def spilled_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a spill file."""
    with pa.OSFile(str(path)) as file:
        size = file.size()
        while file.tell() < size:
            with pa.ipc.open_stream(file) as stream:
                yield from stream


def _encoded(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)  # the caller is one of several threads
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> Iterator[_Result]:
    """Yield ``function(item)`` in the order of `items`, working at most `threads` items ahead."""
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[_Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _chunks(source: Source, chunk_rows: int, file_rows: tuple[int, ...]) -> Iterator[_Chunk]:
    """Gather batches of the whole input into chunks, and check that no file has changed since it was placed."""
    start, filled, gathered = 0, 0, list[pa.RecordBatch]()
    seen = np.zeros(len(file_rows), dtype=np.int64)
    for number, batch in source.batches(batch_rows=chunk_rows, nan=True):
        seen[number] += batch.num_rows
        gathered.append(batch)
        filled += batch.num_rows
        if filled > chunk_rows // 2:  # a batch that is large enough need not be copied together with the next
            _check_unchanged(source, seen[:number], file_rows)
            yield _Chunk(start, filled, gathered)
            start, filled, gathered = start + filled, 0, []
    _check_unchanged(source, seen, file_rows)
    if gathered:
        yield _Chunk(start, filled, gathered)


def _check_unchanged(source: Source, seen: NDArray[np.int64], file_rows: tuple[int, ...]) -> None:
    for number, rows in enumerate(seen.tolist()):
        if rows != file_rows[number]:
            problem = f"{rows} rows, but {file_rows[number]} when they were placed; build again"
            msg = f"{source.file_name(number)}: has {problem}"
            raise InputError(msg)


def _route(chunk: _Chunk, places: PlacedRows, starts: NDArray[np.int64], schema: pa.Schema) -> _Routed:
    """Order a chunk by bucket; equal buckets keep the order of the input."""
    chunk_rows = chunk.batches[0] if len(chunk.batches) == 1 else pa.concat_batches(chunk.batches)
    placed = np.flatnonzero(places.index >= 0)
    unplaced = np.flatnonzero(places.index < 0)
    bucket = (np.searchsorted(starts, places.index[placed], side="right") - 1).astype(np.uint16)
    order = placed[np.argsort(bucket, kind="stable")]
    edges = np.concatenate([[0], np.cumsum(np.bincount(bucket, minlength=len(starts)))]).astype(np.int64)
    computed = [pa.array(places.index[order])]
    if places.parent_ra is not None and places.parent_dec is not None:
        computed += [pa.array(places.parent_ra[order]), pa.array(places.parent_dec[order])]
    rows = nan_to_null(chunk_rows).take(pa.array(order))
    columns = [*computed, *rows.columns]
    return _Routed(
        slices=encoded_slices(pa.RecordBatch.from_arrays(columns, schema=schema), edges),
        edges=edges,
        rejected=chunk_rows.take(pa.array(unplaced)),
        numbers=unplaced + chunk.start,
        codes=places.index[unplaced],
    )


class _RejectWriter:
    """Writes rejected rows with file, row number and reason; the file appears with the first of them."""

    def __init__(self, source: Source, path: Path, file_starts: list[int]) -> None:
        self._source, self._path, self._file_starts = source, path, file_starts
        self._writer: pq.ParquetWriter | None = None
        self._per_file = np.zeros(len(source.files), dtype=np.int64)
        self._per_reason: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, part: _Routed) -> None:
        """Write the rejected rows of one chunk."""
        if len(part.numbers) == 0:
            return
        files = np.array([bisect_right(self._file_starts, n) - 1 for n in part.numbers.tolist()], dtype=np.int64)
        reasons = [Unplaced(code).reason for code in part.codes.tolist()]
        leading = {
            "_input_file": pa.array([self._source.file_name(number) for number in files.tolist()], pa.string()),
            "_input_row": pa.array(part.numbers - np.array(self._file_starts)[files], pa.int64()),
            "_reason": pa.array(reasons, pa.string()),
        }
        table = pa.table({**leading, **dict(zip(part.rejected.schema.names, part.rejected.columns, strict=True))})
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)
        self._per_file += np.bincount(files, minlength=len(self._per_file))
        for reason in reasons:
            self._per_reason[reason] = self._per_reason.get(reason, 0) + 1

    def summary(self) -> Rejects:
        """Return how many rows were rejected, and why."""
        return Rejects(tuple(self._per_file.tolist()), dict(sorted(self._per_reason.items())))
