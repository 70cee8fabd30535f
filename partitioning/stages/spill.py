"""Spill files: what one input unit contributes to every bucket, as one file of many small sorted batches.

One file a unit bounds the number of files, whatever the number of tiles. Each batch belongs to one bucket and is
sorted by ``_healpix_29``; a small index beside the file says which, so that the sort stage reads just the batches of
its bucket, or of a part of it that fits in memory.

A batch is a run of Arrow messages, one for each group of columns (`SpillForm`): most columns of measurements do not
become smaller by compression, which takes more time than writing them.

Spill files are not flushed to disk: they survive the death of processes, and most are removed before the kernel writes
them. What a loss of power leaves of them is told by a checksum of each group, and made again.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final, Self

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from ..exceptions import DamagedSpillError
from ..layout.files import replaced
from ..layout.paths import HEALPIX_COLUMN
from .order import taken

__all__ = [
    "GROUPS",
    "SPILL_FORMAT",
    "Block",
    "Groups",
    "SpillForm",
    "SpillWriter",
    "joined",
    "packed_bytes",
    "read_blocks",
    "rows_of_groups",
    "write_record",
]

SPILL_FORMAT: Final = 3
"""Number of the format of spill files: a build that was begun with another one is begun anew."""

GROUPS: Final = 3
"""Groups of columns of a spill file; some may be empty."""

_BUFFER_BYTES: Final = 1 << 20
"""Bytes that are written to a spill file at a time: an Arrow message has several buffers a column."""

_MARGIN_SHARE: Final = 8
"""Part of a batch's rows that are taken at a time as rows of margins: they are there twice."""

BATCH_ROWS = 32_768
"""Most rows of a batch: the grain in which the sort stage reads."""

Groups = tuple[pa.RecordBatch, ...]
"""Some rows of a spill file: one batch for each group that has columns. To join a thousand columns takes long enough
to be done once for all rows that are sorted together."""


@dataclass(frozen=True, eq=False)
class SpillForm:
    """Which columns a spill file keeps together."""

    schema: pa.Schema
    groups: tuple[tuple[int, ...], ...]
    """Numbers of the columns of each group: those that rows are sorted by, others as they are, compressed ones."""

    @classmethod
    def of(cls, schema: pa.Schema, keys: Collection[str], packed: Collection[str]) -> "SpillForm":
        """Return the form of spill files that are sorted by `keys`, and compress the columns `packed`."""
        kinds = [0 if name in keys else 2 if name in packed else 1 for name in schema.names]
        return cls(schema, tuple(tuple(n for n, kind in enumerate(kinds) if kind == group) for group in range(GROUPS)))

    @cached_property
    def _fixed_row_bytes(self) -> float:
        return float(sum((_bits(column.type) or 0) + 1 for column in self.schema)) / 8

    @cached_property
    def _variable(self) -> list[int]:
        return [number for number, column in enumerate(self.schema) if _bits(column.type) is None]

    @property
    def is_fixed(self) -> bool:
        """Whether all rows are of one size."""
        return not self._variable

    def bytes_in_memory(self, rows: pa.RecordBatch) -> int:
        """Return what some rows take, NULLs in every column; `nbytes` takes longer than to write a thousand columns."""
        size: float = rows.num_rows * self._fixed_row_bytes + rows.select(self._variable).nbytes
        return math.ceil(size)

    @cached_property
    def group_schemas(self) -> tuple[pa.Schema, ...]:
        """The columns of each group."""
        return tuple(pa.schema([self.schema.field(number) for number in numbers]) for numbers in self.groups)

    @cached_property
    def no_rows(self) -> tuple[pa.RecordBatch, ...]:
        """No rows, of each group; for a thousand columns they take milliseconds to make."""
        return tuple(pa.RecordBatch.from_pylist([], schema) for schema in self.group_schemas)


@dataclass(frozen=True, slots=True)
class Block:
    """One batch of a spill file."""

    path: Path
    unit: int
    """Input unit that spilled it."""
    rows: int
    low: int
    high: int
    """Smallest and largest ``_healpix_29``, or for margin rows the first and last tile."""
    start: int
    """Where the batch begins in its file."""
    sizes: Sequence[int]
    """Bytes of each group of columns."""
    sums: Sequence[int]
    """xxh3-64 of each group."""


class _Sink:
    """Writes Arrow's messages to a file, and sums them up; Arrow hands over its own memory."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._start, self._end = file, 0, 0
        self._digest = xxhash.xxh3_64()

    def write(self, piece: bytes | pa.Buffer) -> int:
        """Write some bytes."""
        self._digest.update(piece)
        size = self._file.write(piece)
        self._end += size
        return size

    def flush(self) -> None:
        """Nothing waits here."""

    def cut(self) -> tuple[int, int, int]:
        """Return start, size and checksum of what was written since the last cut."""
        found = self._start, self._end - self._start, self._digest.intdigest()
        self._start = self._end
        self._digest.reset()
        return found


@dataclass
class SpillWriter:
    """Writes one spill file; use as a context manager."""

    path: Path
    form: SpillForm
    buckets: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    lows: list[int] = field(default_factory=list)
    highs: list[int] = field(default_factory=list)
    is_margin: list[bool] = field(default_factory=list)
    in_memory: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    sizes: list[list[int]] = field(default_factory=list)
    sums: list[list[int]] = field(default_factory=list)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            hidden = stack.enter_context(replaced(self.path, flush=False))
            self._sink = _Sink(stack.enter_context(hidden.open("wb", _BUFFER_BYTES)))
            self._file = pa.PythonFile(self._sink, "w")
            self._writers = [stack.enter_context(self._new_stream(group)) for group in range(GROUPS)]
            self._sink.cut()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.__exit__(*error)  # type: ignore[arg-type]

    def _new_stream(self, group: int) -> pa.RecordBatchStreamWriter:
        stream = pa.ipc.new_stream(self._file, self.form.group_schemas[group], options=_options(group))
        stream.write_batch(self.form.no_rows[group])  # the first batch takes the schema along
        return stream

    def add(self, batch: pa.RecordBatch, edges: NDArray[np.int64]) -> None:
        """Write rows sorted by index; bucket ``b`` has rows ``[edges[b], edges[b + 1])``."""
        index = batch.column(HEALPIX_COLUMN).to_numpy()
        self._add(lambda first, stop: batch.slice(first, stop - first), edges, index, margin=False)

    def add_margin(
        self, batch: pa.RecordBatch, chosen: NDArray[np.int64], edges: NDArray[np.int64], tiles: NDArray[np.int64]
    ) -> None:
        """Write the `chosen` rows of a batch, sorted by the tile in whose margin they are; `edges` as in `add`."""
        runs = _Runs(batch, chosen)
        self._add(runs.rows, edges, tiles, margin=True)

    def _add(
        self,
        rows: Callable[[int, int], pa.RecordBatch],
        edges: NDArray[np.int64],
        keys: NDArray[np.int64],
        *,
        margin: bool,
    ) -> None:
        occupied = np.flatnonzero(np.diff(edges))
        for bucket in occupied.tolist():
            for first, stop in _pieces(int(edges[bucket]), int(edges[bucket + 1])):
                piece = rows(first, stop)
                self._write(piece)
                self.in_memory.append(self.form.bytes_in_memory(piece))
                self.buckets.append(bucket)
                self.rows.append(stop - first)
                self.lows.append(int(keys[first]))
                self.highs.append(int(keys[stop - 1]))
                self.is_margin.append(margin)

    def _write(self, rows: pa.RecordBatch) -> None:
        cuts = []
        for writer, columns in zip(self._writers, self.form.groups, strict=True):
            if columns:
                writer.write_batch(rows.select(columns))
            cuts.append(self._sink.cut())
        self.starts.append(cuts[0][0])
        self.sizes.append([size for _, size, _ in cuts])
        self.sums.append([digest for _, _, digest in cuts])

    def index(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `spill_index.write_spill_index` reads, one item a batch."""
        return {
            "bucket": np.array(self.buckets, dtype=np.int64),
            "rows": np.array(self.rows, dtype=np.int64),
            "low": np.array(self.lows, dtype=np.int64),
            "high": np.array(self.highs, dtype=np.int64),
            "margin": np.array(self.is_margin, dtype=np.int64),
            "bytes": np.array(self.in_memory, dtype=np.int64),
            "start": np.array(self.starts, dtype=np.int64),
            "sizes": np.array(self.sizes, dtype=np.int64).reshape(-1, GROUPS),
            "sums": np.array(self.sums, dtype=np.uint64).reshape(-1, GROUPS),
        }


@dataclass
class _Runs:
    """Takes chosen rows of a batch, many at a time: a few rows of a thousand columns take as long as many."""

    batch: pa.RecordBatch
    chosen: NDArray[np.int64]
    first: int = 0
    taken: pa.RecordBatch | None = None
    """Chosen rows from `first` on; not all of them, since they may outnumber those of the batch."""

    def rows(self, first: int, stop: int) -> pa.RecordBatch:
        """Return the chosen rows ``[first, stop)``; they are asked for in order."""
        if self.taken is None or stop > self.first + self.taken.num_rows:
            most = max(stop, first + self.batch.num_rows // _MARGIN_SHARE)
            self.first, self.taken = first, taken(self.batch, self.chosen[first:most])
        return self.taken.slice(first - self.first, stop - first)


def _bits(kind: pa.DataType) -> int | None:
    """Return the bits of each value; None if they differ."""
    return int(kind.bit_width) if pa.types.is_primitive(kind) else None


def _pieces(first: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut rows ``[first, stop)`` into runs of about equal size, at most `BATCH_ROWS` each."""
    count = -(-(stop - first) // BATCH_ROWS)
    return pairwise(np.linspace(first, stop, count + 1).astype(np.int64).tolist())


def _options(group: int) -> pa.ipc.IpcWriteOptions:
    """Return how a group of columns is written: only the last one is compressed."""
    return pa.ipc.IpcWriteOptions(compression="lz4" if group == GROUPS - 1 else None, use_threads=False)


def packed_bytes(rows: pa.RecordBatch) -> int:
    """Return the bytes of some rows in a spill file, compressed."""
    sink = pa.MockOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=_options(GROUPS - 1)) as stream:
        stream.write_batch(rows)
    return int(sink.size())


def write_record(path: Path, *, flush: bool = True, **arrays: NDArray[np.generic]) -> None:
    """Write the record that a unit is done, with what it tells, by one rename."""
    with replaced(path, flush=flush) as hidden, hidden.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_blocks(blocks: Sequence[Block], form: SpillForm, *, keys_only: bool = False) -> Iterator[Groups]:
    """Yield the batches that `blocks` name, in their order.

    Files are mapped, not read: what is not compressed is copied for the first time where rows are put in order. Each
    block has a mapping of its own, so that its pages count as memory only as long as somebody holds it.

    Parameters
    ----------
    keys_only
        Whether just the columns that rows are sorted by are read.

    Raises
    ------
    DamagedSpillError
        If a file is gone, or not as it was written.
    """
    schemas = form.group_schemas[: 1 if keys_only else GROUPS]
    for block in blocks:
        with _mapped(block) as file:
            groups = tuple(_groups(file, block, schemas))
        yield groups
        del groups


def _mapped(block: Block) -> pa.MemoryMappedFile:
    try:
        return pa.memory_map(str(block.path))
    except (FileNotFoundError, pa.ArrowInvalid):  # an empty one cannot be mapped
        raise DamagedSpillError(block.unit) from None


def _groups(file: pa.MemoryMappedFile, block: Block, schemas: Sequence[pa.Schema]) -> Iterator[pa.RecordBatch]:
    """Read the first groups of columns of a batch; those without columns are left out."""
    file.seek(block.start)
    content = file.read_buffer(sum(block.sizes[: len(schemas)]))
    start = 0
    for size, digest, schema in zip(block.sizes, block.sums, schemas, strict=False):
        if size:
            message = content[start : start + size]
            if xxhash.xxh3_64_intdigest(message) != digest:
                raise DamagedSpillError(block.unit)
            yield pa.ipc.read_record_batch(message, schema)
        start += size


def rows_of_groups(groups: Groups, first: int, stop: int) -> Groups:
    """Return rows ``[first, stop)`` of a batch; half of it or less is a copy that does not keep the batch in memory."""
    if 2 * (stop - first) > groups[0].num_rows:
        return tuple(group.slice(first, stop - first) for group in groups)
    return tuple(taken(group, np.arange(first, stop)) for group in groups)


def joined(batches: Sequence[Groups], form: SpillForm) -> pa.Table:
    """Return rows of several batches, their columns in the order in which they are stored."""
    numbers = [number for group in form.groups for number in group]
    used = [group for group, columns in enumerate(form.groups) if columns]
    columns = [
        column
        for at, group in enumerate(used)
        for column in pa.Table.from_batches((batch[at] for batch in batches), form.group_schemas[group]).columns
    ]
    return pa.table([columns[place] for place in np.argsort(numbers).tolist()], schema=form.schema)
