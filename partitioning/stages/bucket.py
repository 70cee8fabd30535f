"""Bucket units: one reading of the input; every row goes to the spill file of its unit, cut by bucket.

A bucket is a run of neighbouring tiles that one sort unit makes. Rows are read in chunks that fit in memory; each
chunk is sorted by index, cut by bucket, and appended to the unit's spill file. The rows that lie in the margin of
another tile are written a second time, to the bucket of that tile.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import InputError
from ..layout.files import replaced
from ..sky.borders import Tiles, margin_rows
from .damage import Damage, damage_from
from .order import stable_order, taken, unsliced
from .places import PlacedRows, Places, Unplaced, degrees
from .plan import TablePlan
from .spill import SpillWriter, write_record
from .tiling import Tiling
from .units import UnitBatch, forget_input, unit_batches
from .workspace import Workspace

__all__ = [
    "BucketPlan",
    "ChunkSize",
    "bucket_rows_limit",
    "bucket_unit",
    "group_tiles",
    "read_bucket_plan",
    "rejects_path",
    "write_bucket_plan",
]

_FEWEST_BUCKETS: Final = 48
_SMALL_BUCKET_ROWS: Final = 100_000
_MARGIN_ROWS: Final = 1 << 16
"""Rows that are held against the borders of tiles at a time."""

_READ_ROWS: Final = (8192, 65_536)
"""Fewest and most rows that are read at a time, to be gathered into chunks."""

_READ_BYTES: Final = 8 << 20
"""What a reading takes in memory, between these two, if rows may be larger than those of the sample."""

_SMALLEST_SLICE_BYTES: Final = 128 << 10
"""Buckets are so few that a chunk's slice of one is about as large as this, if the chunk covers them all."""


@dataclass(frozen=True, eq=False)
class BucketPlan:
    """Tiles of the release being built, and their grouping into buckets."""

    tiling: Tiling
    firsts: NDArray[np.int64]
    """Number of the first tile of each bucket, shape ``(B,)``."""
    margin_deg: float
    """Threshold of the margin that bucket units emit; 0: none."""
    map_order: int
    """Order of the row-count maps."""

    @property
    def count(self) -> int:
        """Number of buckets."""
        return len(self.firsts)

    def tiles(self, bucket: int) -> tuple[int, int]:
        """Return the tiles ``[first, stop)`` of a bucket."""
        stop = len(self.tiling) if bucket + 1 == self.count else int(self.firsts[bucket + 1])
        return int(self.firsts[bucket]), stop

    @cached_property
    def lookup(self) -> Tiles:
        """The tiles, for rows to be looked up in them."""
        return Tiles(self.tiling.orders, self.tiling.numbers)


def group_tiles(rows: Sequence[int], most_rows: float) -> NDArray[np.int64]:
    """Group tiles into runs of at most `most_rows` rows (or one tile); return the number of the first tile of each.

    >>> group_tiles([5, 5, 5, 20, 1, 1], 10)
    array([0, 2, 3, 4])
    """
    firsts, filled = [0] if rows else [], 0
    for tile, count in enumerate(rows):
        if filled and filled + count > most_rows:
            firsts.append(tile)
            filled = 0
        filled += count
    return np.array(firsts, dtype=np.int64)


def bucket_rows_limit(sort_rows: float, row_bytes: float, chunk_rows: int, total_rows: int) -> float:
    """Return the most rows of a bucket.

    It can be sorted at once, and is a small part of the work, but it is not so small that slices become tiny: reading
    those would cost more than sorting a large bucket in several windows.
    """
    most_buckets = max(1.0, chunk_rows * row_bytes / _SMALLEST_SLICE_BYTES)
    small_part = max(total_rows / _FEWEST_BUCKETS, _SMALL_BUCKET_ROWS)
    return max(min(sort_rows, small_part), total_rows / most_buckets)


def write_bucket_plan(workspace: Workspace, plan: BucketPlan) -> None:
    """Write the tiles and buckets of a build."""
    write_record(
        workspace.tiling,
        orders=plan.tiling.orders,
        numbers=plan.tiling.numbers,
        rows=plan.tiling.rows,
        firsts=plan.firsts,
        margin_deg=np.array(plan.margin_deg),
        map_order=np.array(plan.map_order),
    )


def read_bucket_plan(workspace: Workspace) -> BucketPlan:
    """Return the tiles and buckets of a build."""
    with np.load(workspace.tiling) as record:
        tiling = Tiling(record["orders"], record["numbers"], record["rows"])
        return BucketPlan(tiling, record["firsts"], float(record["margin_deg"]), int(record["map_order"]))


def rejects_path(workspace: Workspace, unit: int) -> Path:
    """Return the file of the rejected rows of a unit; absent if there are none."""
    return workspace.spilled(unit).with_suffix(".rejects.parquet")


@dataclass(frozen=True)
class _Chunk:
    """Consecutive rows of a unit."""

    start: int
    """Number of the first row in the unit."""
    reads: Sequence[UnitBatch]

    @property
    def rows(self) -> int:
        return sum(read.batch.num_rows for read in self.reads)


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """How much is bucketed at a time; rows may be much larger than those of the sample that told their mean."""

    rows: int
    bytes: int


def bucket_unit(workspace: Workspace, plan: TablePlan, buckets: BucketPlan, unit: int, most: ChunkSize) -> int:
    """Spill every placed row of a unit, and write every other row to the unit's reject file; return the rows.

    Raises
    ------
    InputError
        If a file cannot be read, or has changed since its rows were placed.
    """
    places = Places(workspace.places(unit), has_parent=plan.stores_parent)
    rejects = _Rejects(plan, rejects_path(workspace, unit))
    margin_tiles: list[NDArray[np.int64]] = []
    rows = 0
    with SpillWriter(workspace.spilled(unit), plan.spill_form) as spill, rejects:
        for chunk in _chunks(plan, unit, _damage_when_placed(workspace, unit), most):
            placed = places.read(chunk.start, chunk.rows)
            if len(placed.index) != chunk.rows:
                raise _changed(plan, chunk)
            margin_tiles += _spill_chunk(spill, plan, buckets, chunk, placed)
            rejects.add(chunk, placed)
            rows += chunk.rows
        if rows != places.rows:
            msg = f"{plan.table.name}: input unit {unit} has fewer rows than when they were placed; build again"
            raise InputError(msg)
    tiles = np.concatenate(margin_tiles) if margin_tiles else np.empty(0, dtype=np.int64)
    write_record(
        workspace.record("bucket", unit),
        flush=False,
        **spill.index(),
        file_bytes=np.array(workspace.spilled(unit).stat().st_size),
        margin_tiles=tiles.astype(np.int32),
        rejected_files=np.array(list(rejects.per_file), dtype=np.int64),
        rejected_rows=np.array(list(rejects.per_file.values()), dtype=np.int64),
        reasons=np.array(list(rejects.per_reason), dtype=np.int64),
        reason_rows=np.array(list(rejects.per_reason.values()), dtype=np.int64),
    )
    places.remove()
    forget_input(plan, unit)
    return sum(spill.rows)


def _damage_when_placed(workspace: Workspace, unit: int) -> tuple[Damage, ...]:
    with np.load(workspace.record("place", unit)) as record:
        return damage_from(record["damage"])


def _chunks(plan: TablePlan, unit: int, damage: tuple[Damage, ...], most: ChunkSize) -> Iterator[_Chunk]:
    """Gather the batches of a unit into chunks of at most about the wanted size."""
    start, reads, filled, size = 0, list[UnitBatch](), 0, 0
    fewest, many = _READ_ROWS
    rows = many if plan.spill_form.is_fixed else max(fewest, min(many, int(_READ_BYTES / plan.row_bytes)))
    for read in unit_batches(plan, unit, damage, None, min(most.rows, rows)):
        more = read.batch.nbytes
        if reads and (filled + read.batch.num_rows > most.rows or size + more > most.bytes):
            yield _Chunk(start, reads)
            start, reads, filled, size = start + filled, [], 0, 0
        reads.append(read)
        filled += read.batch.num_rows
        size += more
    if reads:
        yield _Chunk(start, reads)


def _changed(plan: TablePlan, chunk: _Chunk) -> InputError:
    name = plan.inputs[chunk.reads[-1].file].name
    return InputError(f"{name}: has more rows than when they were placed; build again")


def _spill_chunk(
    spill: SpillWriter, plan: TablePlan, buckets: BucketPlan, chunk: _Chunk, placed: PlacedRows
) -> list[NDArray[np.int64]]:
    """Write a chunk's placed rows sorted by index, and its margin rows; return the tiles of the latter."""
    order = stable_order(placed.index)
    order = order[np.searchsorted(placed.index, 0, sorter=order) :]  # unplaced rows have negative codes
    index = placed.index[order]
    rows = _sorted_rows(plan, chunk, placed, order, index)
    starts = buckets.tiling.starts[buckets.firsts]
    spill.add(rows, np.append(np.searchsorted(index, starts), len(index)))
    if buckets.margin_deg == 0 or len(index) == 0:
        return []
    ra, dec = (degrees(rows.column(name)) for name in plan.position_columns)
    chosen, tiles = _margins(buckets, index, ra, dec)
    if len(chosen) == 0:
        return []
    spill.add_margin(rows, chosen, np.append(np.searchsorted(tiles, buckets.firsts), len(tiles)), tiles)
    return [tiles]


def _margins(
    buckets: BucketPlan, index: NDArray[np.int64], ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and tiles by tile, as `margin_rows` does; some rows at a time, since it looks at many pairs."""
    found = list[tuple[NDArray[np.int64], NDArray[np.int64]]]()
    for start in range(0, len(index), _MARGIN_ROWS):
        part = slice(start, start + _MARGIN_ROWS)
        rows, tiles = margin_rows(index[part], ra[part], dec[part], buckets.lookup, buckets.margin_deg)
        found.append((rows + start, tiles))
    rows, tiles = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    by_tile = np.argsort(tiles, kind="stable")
    return rows[by_tile], tiles[by_tile]


def _sorted_rows(
    plan: TablePlan, chunk: _Chunk, placed: PlacedRows, order: NDArray[np.int64], index: NDArray[np.int64]
) -> pa.RecordBatch:
    """Return rows `order` of a chunk, with their `index`, as they are stored, but for NaN: whoever sorts makes it NULL.

    Columns without NULL are moved in half the time.
    """
    batches = [read.batch for read in chunk.reads]
    rows = taken(batches[0] if len(batches) == 1 else pa.concat_batches(batches), order)
    computed = [pa.array(index)]
    if placed.parent_ra is not None and placed.parent_dec is not None:
        computed += [pa.array(placed.parent_ra[order]), pa.array(placed.parent_dec[order])]
    numbers = pa.array(_input_numbers(plan, chunk, order))
    return pa.RecordBatch.from_arrays([*computed, *rows.columns, numbers], schema=plan.form.schema)


def _input_numbers(plan: TablePlan, chunk: _Chunk, order: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the input numbers of rows `order` of a chunk."""
    files = {read.file for read in chunk.reads}
    if len(files) == 1 and all(read.numbers is None for read in chunk.reads):
        return np.full(len(order), plan.inputs[files.pop()].number, np.int32)
    parts = [
        np.full(read.batch.num_rows, plan.inputs[read.file].number, np.int32) if read.numbers is None else read.numbers
        for read in chunk.reads
    ]
    return np.concatenate(parts)[order]


class _Rejects:
    """Writes rejected rows with file, row number and reason; the file appears with the first of them."""

    def __init__(self, plan: TablePlan, path: Path) -> None:
        self._plan, self._path = plan, path
        self._writer: pq.ParquetWriter | None = None
        self._open = ExitStack()
        self.per_file: dict[int, int] = {}
        """Rejected rows by position of the input file in the plan."""
        self.per_reason: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._open.__exit__(*error)  # type: ignore[arg-type]

    def add(self, chunk: _Chunk, placed: PlacedRows) -> None:
        """Write the rejected rows of one chunk."""
        start = 0
        for read in chunk.reads:
            codes = placed.index[start : start + read.batch.num_rows]
            start += read.batch.num_rows
            rows = np.flatnonzero((codes < 0) & (codes != Unplaced.REMOVED))
            if len(rows):
                self._add(read, rows, codes[rows])

    def _add(self, read: UnitBatch, rows: NDArray[np.int64], codes: NDArray[np.int64]) -> None:
        kinds, rows_of_kind = np.unique(codes, return_counts=True)
        reasons = pa.array([Unplaced(code).reason for code in kinds.tolist()]).take(
            pa.array(np.searchsorted(kinds, codes))
        )
        leading = {
            "_input_file": pa.array([self._plan.inputs[read.file].name] * len(rows), pa.string()),
            "_input_row": pa.array(rows + read.row, pa.int64()),
            "_reason": reasons,
        }
        kept = unsliced(read.batch).take(pa.array(rows))
        table = pa.table({**leading, **dict(zip(kept.schema.names, kept.columns, strict=True))})
        if self._writer is None:
            hidden = self._open.enter_context(replaced(self._path))
            self._writer = self._open.enter_context(pq.ParquetWriter(hidden, table.schema, compression="zstd"))
        self._writer.write_table(table)
        self.per_file[read.file] = self.per_file.get(read.file, 0) + len(rows)
        for code, count in zip(kinds.tolist(), rows_of_kind.tolist(), strict=True):
            self.per_reason[code] = self.per_reason.get(code, 0) + count
