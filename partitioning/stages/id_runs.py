"""Runs of an id index: (id, ``_healpix_29``) of the rows of one sort unit, sorted by id.

A run is an Arrow file of small batches, so that an index unit reads just the batches that meet its range of ids.
Beside it lies a file with the first id of every batch, and with a sample of the ids: every so many rows of a leaf, so
that it does not depend on which leaves share a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..layout.files import replaced
from ..layout.paths import HEALPIX_COLUMN
from .order import one_chunk, stable_order
from .workspace import Workspace

__all__ = [
    "ENTRY_BYTES",
    "IdRuns",
    "RunIds",
    "is_flat",
    "read_run",
    "run_ids",
    "run_paths",
    "sorted_entries",
    "unit_run_files",
]

_SAMPLE_STEP: Final = 4096
"""One of so many rows is in the sample."""

_ROWS: Final = b"rows"
_BATCH_ROWS: Final = 8192

ENTRY_BYTES: Final = 160
"""Memory that sorting takes for each entry of a run."""


@dataclass
class IdRuns:
    """Gathers the entries of one sort unit, and writes them as sorted runs."""

    workspace: Workspace
    columns: Sequence[str]
    bucket: int
    most_rows: int
    """Rows after which a run is written."""
    _parts: list[pa.Table] = field(default_factory=list)
    _samples: list[pa.Table] = field(default_factory=list)
    _rows: int = 0
    _runs: int = 0

    def add(self, group: pa.Table) -> None:
        """Add the rows of one row group."""
        if self.columns:
            entries = group.select([HEALPIX_COLUMN, *self.columns])
            self._parts.append(entries)
            self._samples.append(entries.take(pa.array(np.arange(0, len(group), _SAMPLE_STEP))))
            self._rows += len(group)
            if self._rows >= self.most_rows:
                self.flush()

    def flush(self) -> None:
        """Write what was gathered as one run a column."""
        if not self._parts:
            return
        entries, sample = pa.concat_tables(self._parts), pa.concat_tables(self._samples)
        for column in self.columns:
            path = _run_path(self.workspace, column, self.bucket, self._runs)
            rows = sorted_entries(entries.select([column, HEALPIX_COLUMN]))
            _write_run(path, rows, sample.column(column).drop_null())
        self._parts, self._samples, self._rows, self._runs = [], [], 0, self._runs + 1


def is_flat(kind: pa.DataType) -> bool:
    """Return whether ids of this type fit the flat int64 arrays."""
    return bool(pa.types.is_integer(kind)) and kind != pa.uint64()


def sorted_entries(table: pa.Table) -> pa.Table:
    """Return (id, index) sorted by both, without NULL ids."""
    column, kind = table.column_names[0], table.schema.field(0).type
    table = table.filter(pc.is_valid(table.column(0))) if table.column(0).null_count else table
    if not is_flat(kind):
        return table.take(pc.sort_indices(table, [(column, "ascending"), (HEALPIX_COLUMN, "ascending")]))
    ids, healpix = table.column(0).cast(pa.int64()).to_numpy(), table.column(1).to_numpy()
    order = stable_order(ids)
    ids_there, healpix_there = ids[order], healpix[order]
    tied = ids_there[1:] == ids_there[:-1]
    # rows come by ascending index but where an append adds to an older index
    if (tied & (healpix_there[1:] < healpix_there[:-1])).any():
        order = np.lexsort((healpix, ids))
        ids_there, healpix_there = ids[order], healpix[order]
    return pa.table([pa.array(ids_there).cast(kind), pa.array(healpix_there)], schema=table.schema)


def unit_run_files(workspace: Workspace, columns: Sequence[str], bucket: int) -> list[Path]:
    """Return the files of the runs of one sort unit, and those beside them."""
    found = []
    for column in columns:
        runs = (_run_path(workspace, column, bucket, number) for number in count())
        for run in takewhile(Path.exists, runs):
            found += [run, _ids_path(run)]
    return found


def run_paths(workspace: Workspace, column: str) -> list[Path]:
    """Return the files of all runs of a column, in the order of the sky."""
    return sorted(workspace.runs(column).glob("*.arrow"))


@dataclass(frozen=True, eq=False)
class RunIds:
    """What lies beside a run."""

    starts: pa.Array
    """First id of every batch."""
    sample: pa.Array
    rows: int
    """Entries of the run."""


def run_ids(path: Path) -> RunIds:
    """Return what is known of the ids of a run without reading it."""
    with pa.OSFile(str(_ids_path(path))) as file, pa.ipc.open_file(file) as reader:
        starts, sample = (reader.get_batch(number).column(0) for number in range(2))
        return RunIds(starts, sample, int(reader.schema.metadata[_ROWS]))


def read_run(path: Path, first: int, last: int | None) -> list[pa.RecordBatch]:
    """Return batches `first` to `last` (None: to the end) of a run."""
    options = pa.ipc.IpcReadOptions(use_threads=False)
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file, options=options) as reader:
        stop = reader.num_record_batches if last is None else min(last + 1, reader.num_record_batches)
        return [reader.get_batch(number) for number in range(first, stop)]


def _run_path(workspace: Workspace, column: str, bucket: int, number: int) -> Path:
    return workspace.runs(column) / f"{bucket:05d}-{number:04d}.arrow"


def _ids_path(run: Path) -> Path:
    return run.with_suffix(".ids")


def _write_run(path: Path, entries: pa.Table, sample: pa.ChunkedArray) -> None:
    """Write a run after the file beside it."""
    schema = pa.schema([entries.schema.field(0)], {_ROWS: str(len(entries))})
    starts = entries.column(0).take(pa.array(np.arange(0, len(entries), _BATCH_ROWS)))
    with (
        replaced(_ids_path(path), flush=False) as hidden,
        pa.OSFile(str(hidden), "wb") as file,
        pa.ipc.new_file(file, schema) as ids,
    ):
        for column in (starts, sample):
            ids.write_batch(pa.record_batch([one_chunk(column)], schema=schema))
    options = pa.ipc.IpcWriteOptions(use_threads=False)  # lz4 takes longer than it spares, for 15 % of the bytes
    with (
        replaced(path, flush=False) as hidden,
        pa.OSFile(str(hidden), "wb") as file,
        pa.ipc.new_file(file, entries.schema, options=options) as run,
    ):
        run.write_table(entries, max_chunksize=_BATCH_ROWS)
