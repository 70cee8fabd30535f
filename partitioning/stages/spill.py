"""Spill files: what one input unit contributes to every bucket, as one Arrow file of many small sorted batches.

One file a unit bounds the number of files, whatever the number of tiles. Each batch belongs to one bucket and is
sorted by ``_healpix_29``; a small index beside the file says which, so that the sort stage reads just the batches of
its bucket, or of a part of it that fits in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..layout.files import replaced
from ..layout.flush import EarlyFlush
from ..layout.paths import HEALPIX_COLUMN
from .order import taken

__all__ = ["Block", "SpillWriter", "read_blocks", "spill_options", "write_record"]

BATCH_ROWS = 32_768
"""Most rows of a batch: the grain in which the sort stage reads."""


@dataclass(frozen=True, slots=True)
class Block:
    """One batch of a spill file."""

    path: Path
    number: int
    """Number of the batch in its file."""
    rows: int
    low: int
    high: int
    """Smallest and largest ``_healpix_29``, or for margin rows the first and last tile."""


@dataclass
class SpillWriter:
    """Writes one spill file; use as a context manager."""

    path: Path
    schema: pa.Schema
    buckets: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    lows: list[int] = field(default_factory=list)
    highs: list[int] = field(default_factory=list)
    is_margin: list[bool] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            hidden = stack.enter_context(replaced(self.path))
            file = stack.enter_context(pa.OSFile(str(hidden), "wb"))
            self._flush = stack.enter_context(EarlyFlush(hidden))
            self._writer = stack.enter_context(pa.ipc.new_file(file, self.schema, options=spill_options()))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.__exit__(*error)  # type: ignore[arg-type]

    def add(self, batch: pa.RecordBatch, edges: NDArray[np.int64]) -> None:
        """Write rows sorted by index; bucket ``b`` has rows ``[edges[b], edges[b + 1])``."""
        index = batch.column(HEALPIX_COLUMN).to_numpy()
        self._add(lambda first, stop: batch.slice(first, stop - first), edges, index, margin=False)
        self._flush.begin()

    def add_margin(
        self, batch: pa.RecordBatch, chosen: NDArray[np.int64], edges: NDArray[np.int64], tiles: NDArray[np.int64]
    ) -> None:
        """Write the `chosen` rows of a batch, sorted by the tile in whose margin they are; `edges` as in `add`."""
        self._add(lambda first, stop: taken(batch, chosen[first:stop]), edges, tiles, margin=True)

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
                self._writer.write_batch(piece)
                self.sizes.append(piece.nbytes)
                self.buckets.append(bucket)
                self.rows.append(stop - first)
                self.lows.append(int(keys[first]))
                self.highs.append(int(keys[stop - 1]))
                self.is_margin.append(margin)

    def index(self) -> dict[str, NDArray[np.int64]]:
        """Return the arrays that `spill_index.write_spill_index` reads, one item a batch."""
        return {
            "bucket": np.array(self.buckets, dtype=np.int64),
            "rows": np.array(self.rows, dtype=np.int64),
            "low": np.array(self.lows, dtype=np.int64),
            "high": np.array(self.highs, dtype=np.int64),
            "margin": np.array(self.is_margin, dtype=np.int64),
            "bytes": np.array(self.sizes, dtype=np.int64),
        }


def _pieces(first: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut rows ``[first, stop)`` into runs of about equal size, at most `BATCH_ROWS` each."""
    count = -(-(stop - first) // BATCH_ROWS)
    return pairwise(np.linspace(first, stop, count + 1).astype(np.int64).tolist())


def spill_options() -> pa.ipc.IpcWriteOptions:
    """Return how spill files are written."""
    return pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


def write_record(path: Path, **arrays: NDArray[np.generic]) -> None:
    """Write the record that a unit is done, with what it tells, by one rename."""
    with replaced(path) as hidden, hidden.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_blocks(blocks: Sequence[Block], columns: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the batches that `blocks` name, in their order; each file is opened once per run of its blocks.

    Parameters
    ----------
    columns
        Numbers of the columns to read; None means all.
    """
    options = pa.ipc.IpcReadOptions(included_fields=None if columns is None else list(columns), use_threads=False)
    at = 0
    while at < len(blocks):
        path = blocks[at].path
        with pa.OSFile(str(path)) as file, pa.ipc.open_file(file, options=options) as reader:
            while at < len(blocks) and blocks[at].path == path:
                yield reader.get_batch(blocks[at].number)
                at += 1
