"""What became of every input file: rows stored, rejected, and damaged parts left out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..layout.manifest import InputRecord
from .bucket import rejects_path
from .damage import read_damage
from .ledger import Ledger
from .places import Unplaced
from .plan import TablePlan
from .workspace import Workspace

__all__ = ["input_records", "orphan_rows", "placed_rows", "reject_files", "rejected_batches", "rejected_reasons"]

_REJECTS: Final = 16_384
"""Rejected rows that are read at a time."""


def input_records(workspace: Workspace, plan: TablePlan, ledger: Ledger) -> tuple[InputRecord, ...]:
    """Return one record for each input file of the plan."""
    stored = dict(zip(*(counts.tolist() for counts in ledger.input_counts), strict=True))
    rejected = _per_file(workspace, plan, "rejected_files", "rejected_rows") if plan.is_tiled else {}
    orphans = _per_file(workspace, plan, "files", "orphans", stage="place") if plan.is_tiled else {}
    damage = read_damage(workspace)
    records = []
    for position, file in enumerate(plan.inputs):
        lost = rejected.get(position, 0)
        problems = [one.problem for one in damage if one.file == position]
        records.append(
            InputRecord(
                number=file.number,
                name=file.name,
                bytes=file.bytes,
                rows=stored.get(file.number, 0) + lost,
                rejected=lost,
                orphans=orphans.get(position, 0),
                ends=file.ends,
                bad_parts=tuple([f"all of the file: {file.damaged}"] if file.damaged else problems),
            )
        )
    return tuple(records)


def rejected_reasons(workspace: Workspace, plan: TablePlan) -> dict[str, int]:
    """Return the rejected rows by reason."""
    codes = _per_file(workspace, plan, "reasons", "reason_rows")
    return dict(sorted((Unplaced(code).reason, rows) for code, rows in codes.items()))


def orphan_rows(workspace: Workspace, plan: TablePlan) -> int:
    """Return the rows without a parent that are placed by their own position."""
    return sum(int(np.sum(record["orphans"])) for record in _records(workspace, plan, "place"))


def placed_rows(workspace: Workspace, plan: TablePlan) -> int:
    """Return the rows of the input, as they were counted when they were placed."""
    return sum(int(np.sum(record["rows"])) for record in _records(workspace, plan, "place"))


def reject_files(workspace: Workspace, plan: TablePlan) -> list[Path]:
    """Return the files of rejected rows, in the order of the input."""
    paths = (rejects_path(workspace, unit) for unit in range(plan.unit_count))
    return [path for path in paths if path.exists()]


def rejected_batches(paths: Iterable[Path], columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of files of rejected rows, some at a time: they may be as many as those of the input."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(
                _REJECTS, columns=None if columns is None else list(columns), use_threads=False
            )


def _per_file(workspace: Workspace, plan: TablePlan, keys: str, rows: str, *, stage: str = "bucket") -> dict[int, int]:
    total: dict[int, int] = {}
    for record in _records(workspace, plan, stage):
        for key, count in zip(record[keys].tolist(), record[rows].tolist(), strict=True):
            total[key] = total.get(key, 0) + count
    return total


def _records(workspace: Workspace, plan: TablePlan, stage: str) -> Iterator[Mapping[str, np.ndarray]]:
    """Yield the record of each unit; what is looked up in it is read then, and the rest is not."""
    paths: Iterable[Path] = (workspace.record(stage, unit) for unit in range(plan.unit_count))
    for path in paths:
        with np.load(path) as arrays:
            yield arrays
