"""What an interrupted build left, held against the records of its units.

Units do not wait for the disk: what they make survives the death of processes, but after a loss of power a file may be
short or gone whose record is there, and a record may be empty itself. Sizes tell that when a build goes on; bytes that
are wrong at the right size are found by the checksums of spill files, and by `verify`.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..layout.paths import index_part_path, leaf_path
from .id_index import forget_index, merged_run
from .id_runs import run_files, unit_run_files
from .ledger import read_record_files, record_files, unit_leaves
from .plan import TablePlan
from .workspace import Workspace, column_of, column_stage

__all__ = ["forget_lost_units", "forget_spilled", "sort_files"]

_Record = Mapping[str, NDArray[Any]]


def forget_lost_units(workspace: Workspace, plan: TablePlan) -> int:
    """Remove the records of units whose results are not all there, so that they are done again; return their number."""
    lost = 0
    indexes = [column_stage("index", column) for column in plan.table.index_columns]
    merges = sorted(path.name for path in workspace.records.glob("merge*"))
    for stage in ("bucket", "place", "sort", *merges, *indexes):
        done = sorted(int(path.stem) for path in workspace.record(stage, 0).parent.glob("[0-9]*.npz"))
        for unit in (unit for unit in done if not _is_whole(workspace, plan, stage, unit)):
            workspace.record(stage, unit).unlink(missing_ok=True)
            lost += 1
            if stage == "bucket":
                forget_spilled(workspace, unit)
            elif stage in merges:
                forget_index(workspace)
    return lost


def forget_spilled(workspace: Workspace, unit: int) -> None:
    """Let an input unit be placed and spilled again: its places were removed when it was spilled."""
    for stage in ("bucket", "place"):
        workspace.record(stage, unit).unlink(missing_ok=True)


def sort_files(workspace: Workspace, plan: TablePlan, unit: int) -> list[Path]:
    """Return all files that a sort unit has made: leaves, margins, id runs, and at last its record."""
    record = workspace.record("sort", unit)
    with np.load(record) as arrays:  # of which what is not asked for is not read
        made = [path for path, _ in _files(workspace, plan, ("sort", unit), arrays)]
    return [*made, *record_files(record)]


def _is_whole(workspace: Workspace, plan: TablePlan, stage: str, unit: int) -> bool:
    """Return whether a record can be read, and the files that it tells of have their sizes."""
    with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile, pa.ArrowException):
        with np.load(workspace.record(stage, unit)) as arrays:
            record = dict(arrays)
        if stage == "sort" and plan.is_tiled:
            read_record_files(workspace.record(stage, unit))
        return all(path.stat().st_size == size for path, size in _files(workspace, plan, (stage, unit), record))
    return False


def _files(
    workspace: Workspace, plan: TablePlan, which: tuple[str, int], record: _Record
) -> Iterator[tuple[Path, int]]:
    """Yield the files that a unit made, with their sizes as its record tells them."""
    match which:
        case "place", unit:
            if not workspace.record("bucket", unit).exists():
                for name in ("index", "parent_ra", "parent_dec") if plan.stores_parent else ("index",):
                    yield workspace.places(unit) / name, 8 * int(record["rows"].sum())
        case "bucket", unit:
            yield workspace.spilled(unit), int(record["file_bytes"])
        case "sort", unit if plan.is_tiled:
            leaves, margins = unit_leaves(workspace.record(*which))
            for pixel, size in leaves:
                yield workspace.catalog / leaf_path(pixel), size
            for pixel, size in margins:
                yield workspace.margin(plan.table.margin_arcsec) / leaf_path(pixel), size
            runs = unit_run_files(workspace, plan.table.index_columns, record["run_names"].tolist())
            yield from zip(runs, record["run_bytes"].tolist(), strict=True)
        case stage, unit if stage.startswith("merge"):
            yield from zip(run_files(merged_run(workspace, stage, unit)), record["run_bytes"].tolist(), strict=True)
        case stage, unit if stage.startswith("index-"):
            yield workspace.index(column_of(stage)) / index_part_path(unit), int(record["bytes"])
        case _:
            pass  # the one file of a table without positions was flushed when it was written
