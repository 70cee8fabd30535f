"""Running one unit of work: what a process of a build does, wherever it runs.

A unit is named by its workspace, stage and number. What it needs beside its input lies in the workspace; what it makes
appears there by one rename. It may use as much memory as it is told.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from ..exceptions import DamagedInputError, DamagedSpillError, PartitioningError
from .bucket import BucketPlan, ChunkSize, bucket_unit, read_bucket_plan
from .damage import note_damage
from .flat_index import flat_unit
from .histogram import count_unit, place_unit
from .id_index import Part, index_unit, merge_unit
from .id_runs import SORT_COPIES
from .margin import margin_unit
from .places import Lookup
from .plain import plain_unit
from .plan import TablePlan, read_plan
from .remains import forget_spilled
from .sort import SortInput, sort_unit
from .spill_index import bucket_blocks, spilled_row_bytes
from .tiling import Tiling, joined_tilings
from .workspace import Workspace, column_of

__all__ = [
    "CHUNK_SHARE",
    "GROUP_SHARE",
    "LEAST_BYTES",
    "LEAST_ROWS",
    "Share",
    "chunk_rows",
    "lookup_of",
    "release_tiles",
    "run_unit",
    "window_rows",
]

PROCESS_BYTES: Final = 160 << 20
"""Memory of a process that holds no rows: Python, numpy, pyarrow."""

DIRECTOR_BYTES: Final = 240 << 20
"""That of the process that directs a build: DuckDB and astropy, too."""

_LEAST_SHARE: Final = 64 << 20
"""Bytes for rows below which another process is not worth its own memory."""

CHUNK_SHARE: Final = 6
"""Part of a process's memory that a chunk being bucketed may take: it is there as read, joined, sorted and encoded."""

LEAST_ROWS: Final = 1024
"""Rows that are bucketed or sorted at a time at least, whatever their size."""

LEAST_BYTES: Final = 16 << 20
"""Memory for rows of a process at least, whatever the budget."""

GROUP_SHARE: Final = 4
"""Part of a process's memory that a row group may take: it is there as gathered, in order and encoded, or as decoded
and held against what it should be. Its size is that of the table's files, whatever the budget."""

_WINDOW_SHARE: Final = 5
"""Part of a process's memory that a window being sorted may take: it is there twice, and encoded."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one process of a build may use."""

    memory: int
    """Bytes for rows."""

    @classmethod
    def of(cls, memory: int, workers: int) -> "Share":
        """Return the share of each of `workers` processes, beside the one that directs them."""
        return cls(max(LEAST_BYTES, (memory - cls.bytes_without_rows(workers)) // workers))

    @staticmethod
    def bytes_without_rows(workers: int) -> int:
        """Return what a build with `workers` processes takes before there are rows; one is the director itself."""
        return DIRECTOR_BYTES + (workers * PROCESS_BYTES if workers > 1 else 0)

    @classmethod
    def least_memory(cls, workers: int) -> int:
        """Return the least memory for `workers` processes."""
        return cls.bytes_without_rows(workers) + (workers * _LEAST_SHARE if workers > 1 else LEAST_BYTES)

    @classmethod
    def workers_within(cls, memory: int, workers: int, group_bytes: float = 0.0) -> int:
        """Return how many of `workers` processes a budget is enough for; one works in the director's process.

        Parameters
        ----------
        group_bytes
            Size of a row group in memory: each process has room for it (`GROUP_SHARE`).

        >>> Share.workers_within(2 << 30, 8), Share.workers_within(400 << 20, 2)
        (8, 1)
        """
        more = max(0, int(GROUP_SHARE * group_bytes) - _LEAST_SHARE)
        needs = {some: cls.least_memory(some) + some * more for some in range(2, workers + 1)}
        return max((some for some, needed in needs.items() if needed <= memory), default=1)


def chunk_rows(plan: TablePlan, share: Share) -> int:
    """Return the rows that are bucketed at a time."""
    return max(LEAST_ROWS, int(share.memory / CHUNK_SHARE / plan.row_bytes))


def _chunk_size(plan: TablePlan, share: Share) -> ChunkSize:
    return ChunkSize(chunk_rows(plan, share), share.memory // CHUNK_SHARE)


def window_rows(plan: TablePlan, share: Share, spilled_bytes: float = 0.0) -> int:
    """Return the rows that are sorted at a time, if they are as large as those of the sample, or as those spilled."""
    return max(LEAST_ROWS, int(share.memory / _WINDOW_SHARE / max(plan.row_bytes, spilled_bytes)))


def run_unit(workspace: Workspace, stage: str, unit: int, share: Share) -> int:
    """Do one unit of work, unless it is done already; return its rows.

    Raises
    ------
    PartitioningError
        If the unit cannot be done: unusable input, a full disk.
    """
    if workspace.record(stage, unit).exists():
        return 0
    plan = read_plan(workspace)
    try:
        return _sound_run(workspace, plan, stage, unit, share)
    except DamagedSpillError as error:
        forget_spilled(workspace, error.unit)
        raise
    except (OSError, pa.ArrowException, MemoryError, PartitioningError) as error:
        if workspace.record(stage, unit).exists():  # another process did it meanwhile, and tidied up
            return 0
        if isinstance(error, PartitioningError):
            raise
        remedy = "mend the cause and run the same command again: it goes on here"
        msg = f"{workspace.name}: {stage} unit {unit} failed: {error}; {remedy}"
        raise PartitioningError(msg) from error


def _sound_run(workspace: Workspace, plan: TablePlan, stage: str, unit: int, share: Share) -> int:
    """Do a unit, leaving out damaged parts of its input if the plan says so."""
    known = set[tuple[str, int | None]]()
    while True:
        try:
            return _run(workspace, plan, stage, unit, share)
        except DamagedInputError as error:
            if not plan.skip_bad or (error.file, error.part) in known or not note_damage(workspace, plan, error):
                raise
            known.add((error.file, error.part))
            if stage == "bucket":  # its rows were counted when they were placed; until they are again, it has no record
                workspace.record("place", unit).unlink(missing_ok=True)
                run_unit(workspace, "place", unit, share)


def _run(workspace: Workspace, plan: TablePlan, stage: str, unit: int, share: Share) -> int:
    match stage:
        case "place":
            return place_unit(workspace, plan, unit, lookup_of(workspace, plan, share))
        case _ if stage.startswith("count-"):
            return count_unit(workspace, plan, stage, unit)
        case "bucket":
            return bucket_unit(workspace, plan, _buckets(workspace), unit, _chunk_size(plan, share))
        case "sort" if plan.is_tiled:
            return _sort(workspace, plan, unit, share)
        case "sort":
            return plain_unit(workspace, plan)
        case "margin":
            return margin_unit(workspace, plan, unit)
        case _ if stage.startswith("merge"):
            return merge_unit(workspace, stage, unit, _entry_bytes(share))
        case _ if stage.startswith("flat-"):
            return flat_unit(workspace, column_of(stage), unit)
        case _:
            part = Part(column_of(stage), unit, _entry_bytes(share))
            return index_unit(workspace, plan, release_tiles(workspace, plan), part)


def _entry_bytes(share: Share) -> int:
    """Return the bytes of entries of an id index that may be in memory: they are sorted, too."""
    return share.memory // SORT_COPIES


def lookup_of(workspace: Workspace, plan: TablePlan, share: Share) -> Lookup | None:
    """Return where the parent's positions are, None if rows are placed by their own."""
    wanted = plan.table.position_from
    if wanted is None:
        return None
    return Lookup(workspace.spill / "parents.duckdb", wanted, share.memory // 2, workspace.spill / "lookup")


def _buckets(workspace: Workspace) -> BucketPlan:
    return _cached_buckets(workspace, _state(workspace.tiling))


def _state(path: Path) -> tuple[int, int]:
    """Return what tells a file from one that had its name before: inode numbers are used again."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


@lru_cache(maxsize=2)
def _cached_buckets(workspace: Workspace, _written: tuple[int, int]) -> BucketPlan:
    return read_bucket_plan(workspace)


def _sort(workspace: Workspace, plan: TablePlan, bucket: int, share: Share) -> int:
    window = window_rows(plan, share, spilled_row_bytes(workspace, bucket))
    run_bytes = _entry_bytes(share) // 2  # a window is there too
    given = SortInput(bucket, *bucket_blocks(workspace, bucket), window_rows=window, run_bytes=run_bytes)
    return sort_unit(workspace, plan, _buckets(workspace), given)


def release_tiles(workspace: Workspace, plan: TablePlan) -> Tiling:
    """Return all tiles of the release being made: those of this build, and those that an append leaves as they are."""
    made = _buckets(workspace).tiling
    if plan.base is None:
        return made
    kept = np.setdiff1d(np.arange(len(plan.base_map)), plan.base.touched_tiles)
    tiles = plan.base_map
    return joined_tilings([made, Tiling(tiles.orders[kept].astype(np.int64), tiles.numbers[kept], tiles.rows[kept])])
