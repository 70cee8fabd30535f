"""The flat arrays of an id index: ids and indices of all its parts, one after the other, each part by a unit."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..layout.files import replaced
from ..layout.flush import begin_writing
from ..layout.paths import FLAT_HEALPIX_FILE, FLAT_IDS_FILE, index_part_path
from .spill import write_record
from .workspace import Workspace, column_stage

__all__ = ["begin_flat_index", "flat_unit"]

_ROWS: Final = 65_536
"""Entries that are read at a time."""

_NUMBER: Final = np.dtype("<i8")


def begin_flat_index(workspace: Workspace, column: str, parts: int) -> str:
    """Begin the flat arrays of an index whose parts are written; return the stage of the units that fill them.

    They are always made anew: that a unit is done tells nothing of its part of a file that others write, too.
    """
    stage = column_stage("flat", column)
    shutil.rmtree(workspace.record(stage, 0).parent, ignore_errors=True)
    rows = []
    for part in range(parts):
        with np.load(workspace.record(column_stage("index", column), part)) as record:
            rows.append(int(record["rows"]))
    for target in _targets(workspace, column):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.truncate(_NUMBER.itemsize * sum(rows))
    with replaced(_firsts_path(workspace, column)) as hidden, hidden.open("wb") as file:
        np.save(file, np.cumsum([0, *rows]))
    return stage


def flat_unit(workspace: Workspace, column: str, part: int) -> int:
    """Write the entries of one part to their place in the flat arrays; return how many they are."""
    first, stop = np.load(_firsts_path(workspace, column), mmap_mode="r")[part : part + 2].tolist()
    targets = _targets(workspace, column)
    with ExitStack() as stack:
        path = workspace.index(column) / index_part_path(part)
        source = stack.enter_context(pq.ParquetFile(path, page_checksum_verification=True))
        files = [stack.enter_context(target.open("r+b")) for target in targets]
        for file in files:
            file.seek(_NUMBER.itemsize * first)
        for batch in source.iter_batches(_ROWS, columns=source.schema_arrow.names[:2], use_threads=False):
            for file, values in zip(files, batch.columns, strict=True):
                file.write(values.cast(pa.int64()).to_numpy().astype(_NUMBER, copy=False).data)
    for target in targets:
        begin_writing(target)
    write_record(workspace.record(column_stage("flat", column), part), flush=False)
    return int(stop - first)


def _targets(workspace: Workspace, column: str) -> tuple[Path, Path]:
    directory = workspace.index(column)
    return directory / FLAT_IDS_FILE, directory / FLAT_HEALPIX_FILE


def _firsts_path(workspace: Workspace, column: str) -> Path:
    return workspace.records / f"{column_stage('flat', column)}.npy"
