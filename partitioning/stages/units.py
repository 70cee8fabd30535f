"""The rows of one input unit: runs of parts of input files, or one tile of the release that an append starts from."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import DamagedInputError, InputError, LayoutError
from ..layout.paths import INPUT_COLUMN, leaf_path
from .damage import Damage, sound_runs
from .plan import PlannedInput, Segment, TablePlan

__all__ = ["BASE_READERS", "UnitBatch", "base_batches", "base_leaf", "forget_input", "input_batches", "unit_batches"]

BASE_READERS: Final = 4
"""Leaves of the base release that the director reads at a time."""


@dataclass(frozen=True, slots=True)
class UnitBatch:
    """Consecutive rows of a unit."""

    batch: pa.RecordBatch
    numbers: NDArray[np.int32] | None
    """Input number of each row where they differ (rows of the base release); None: all are of `file`."""
    file: int
    """Position of the input file in the plan; -1 for rows of the base release."""
    row: int
    """Number of the first row in its file."""


def unit_batches(
    plan: TablePlan, unit: int, damage: tuple[Damage, ...], columns: Sequence[str] | None, batch_rows: int
) -> Iterator[UnitBatch]:
    """Yield the rows of a unit in order, NaN as it is, with the types in which they are stored.

    Parameters
    ----------
    damage
        Parts to leave out.
    columns
        Names to read; None means all columns of the input.

    Raises
    ------
    InputError
        If a file cannot be read, or has changed since it was planned.
    """
    if unit < len(plan.units):
        for segment in plan.units[unit]:
            yield from input_batches(plan, segment, damage, columns, batch_rows)
    else:
        yield from base_batches(plan, unit - len(plan.units), columns, batch_rows)


def input_batches(
    plan: TablePlan, segment: Segment, damage: tuple[Damage, ...], columns: Sequence[str] | None, batch_rows: int
) -> Iterator[UnitBatch]:
    """Yield the rows of one segment of an input file, but of its damaged parts."""
    file = plan.inputs[segment.file]
    wanted = plan.schema if columns is None else pa.schema([plan.schema.field(name) for name in columns])
    part_rows = file.parts or (plan.source.part_rows(segment.file) if damage else None)
    for parts, first_row in sound_runs(file, segment, damage, part_rows):
        _check_unchanged(file)
        row = first_row
        for batch in plan.source.file_batches(segment.file, wanted, batch_rows, parts):
            yield UnitBatch(batch, None, segment.file, row)
            row += batch.num_rows


def base_batches(plan: TablePlan, tile: int, columns: Sequence[str] | None, batch_rows: int) -> Iterator[UnitBatch]:
    """Yield the rows of one tile of the base release: all stored columns but the computed ones, unless named."""
    assert plan.base is not None
    path = plan.base.catalog / leaf_path(plan.base_map.pixel(plan.base.touched_tiles[tile]))
    names = list(plan.schema.names if columns is None else columns)
    row = 0
    with base_leaf(path) as leaf:
        for batch in leaf.iter_batches(batch_rows, columns=[*names, INPUT_COLUMN], use_threads=False):
            numbers = batch.column(INPUT_COLUMN).to_numpy()
            yield UnitBatch(batch.select(names), numbers, -1, row)
            row += batch.num_rows


@contextmanager
def base_leaf(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a leaf of the base release; what cannot be read of it is told as an error of that release."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as leaf:
            yield leaf
    except (OSError, pa.ArrowException) as error:
        msg = f"{path}: a tile of the release to append to cannot be read: {error}; verify that release"
        raise LayoutError(msg) from error


def forget_input(plan: TablePlan, unit: int) -> None:
    """Let the kernel drop files that end in a unit from its cache: what is written needs the room (8 % of the time)."""
    for segment in plan.units[unit] if unit < len(plan.units) else ():
        file = plan.inputs[segment.file]
        if segment.stop is not None and file.parts is not None and segment.stop < len(file.parts):
            continue  # other units go on reading it
        with suppress(OSError, AttributeError):  # not every system has it
            descriptor = os.open(file.path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def _check_unchanged(file: PlannedInput) -> None:
    try:
        status = file.path.stat()
    except OSError as error:
        problem = f"vanished since the build was planned ({error.strerror}); bring it back, or build anew"
        raise DamagedInputError(file.name, problem) from error
    if (status.st_size, status.st_mtime_ns) != (file.bytes, file.modified_ns):
        msg = f"{file.name}: has changed since the build was planned; build again"
        raise InputError(msg)
