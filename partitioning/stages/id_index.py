"""Id indexes: which tile, and which order-29 index, the row of an id has.

Each sort unit writes sorted runs of (id, ``_healpix_29``). Quantiles of all runs cut the ids into ranges; each index
unit merges one range of every run into one part of a HATS index catalog, and for integer ids into flat arrays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.files import replaced
from ..layout.leaf import file_checksum
from ..layout.paths import HEALPIX_COLUMN, INDEX_DIR, index_name, index_part_path
from .order import merged_by_index, one_chunk, sorted_by_index, taken
from .plan import TablePlan
from .spill import write_record
from .tiling import Tiling
from .workspace import Workspace

__all__ = ["PART_ROWS", "IdRuns", "flat_piece", "index_unit", "is_flat", "part_options", "plan_index"]

PART_ROWS: Final = 2_000_000
"""Entries of one part of an index: what an index unit sorts in memory."""

_RUN_GROUP_ROWS: Final = 65_536
_PART_GROUP_ROWS: Final = 65_536
_PAGE_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class Run:
    """Sorted entries that an index unit merges."""

    path: Path
    dropped: NDArray[np.int64] | None = None
    """Order-29 ranges ``[start, stop)``, shape ``(N, 2)``, whose entries are left out; None: all are kept."""


@dataclass
class IdRuns:
    """Gathers the entries of one sort unit, and writes them as sorted runs."""

    workspace: Workspace
    columns: Sequence[str]
    bucket: int
    _parts: list[pa.Table] = field(default_factory=list)
    _rows: int = 0
    _count: int = 0

    def add(self, group: pa.Table) -> None:
        """Add the rows of one row group."""
        if self.columns:
            self._parts.append(group.select([HEALPIX_COLUMN, *dict.fromkeys(self.columns)]))

    def flush(self) -> None:
        """Write what was gathered as one run a column."""
        for column in self.columns:
            table = pa.concat_tables(self._parts).select([column, HEALPIX_COLUMN])
            entries = _sorted_entries(table, column, sorted_by_index)
            _write_run(run_path(self.workspace, column, self.bucket, self._count), entries)
        self._parts, self._count = [], self._count + 1


def run_path(workspace: Workspace, column: str, bucket: int, number: int) -> Path:
    """Return the file of run `number` of a sort unit."""
    return workspace.runs(column) / f"{bucket:05d}-{number:04d}.parquet"


def is_flat(kind: pa.DataType) -> bool:
    """Return whether ids of this type fit the flat int64 arrays."""
    return bool(pa.types.is_integer(kind)) and kind != pa.uint64()


def index_runs(workspace: Workspace, plan: TablePlan, column: str) -> list[Run]:
    """Return what an index is merged from: the runs of this build, and the index of the base release, if any."""
    fresh = [Run(path) for path in sorted(workspace.runs(column).glob("*.parquet"))]
    if plan.base is None:
        return fresh
    old = plan.base.catalog.with_name(index_name(plan.base.catalog.name, column))
    gone = plan.base_map.tile_ranges()[list(plan.base.touched_tiles)]
    parts = sorted((old / INDEX_DIR).glob("part.*.parquet"), key=lambda path: int(path.name.split(".")[1]))
    return [*(Run(path, gone) for path in parts), *fresh]


def plan_index(workspace: Workspace, plan: TablePlan, column: str) -> int:
    """Choose the ids at which the parts of an index begin, write them, and return the number of parts.

    The bounds are quantiles, told from the smallest id of each row group of the runs; equal ids stay together.
    """
    kind = plan.form.schema.field(column).type
    starts, weights = _group_starts([run.path for run in index_runs(workspace, plan, column)])
    parts = max(1, -(-sum(weights) // PART_ROWS))
    ids = pa.array(starts, kind)
    order = pc.sort_indices(ids).to_numpy()
    filled = np.cumsum(np.array(weights, dtype=np.int64)[order]) if weights else np.zeros(0)
    at = np.searchsorted(filled, np.arange(1, parts) * (filled[-1] / parts)) if weights else np.zeros(0, np.int64)
    bounds = pc.unique(ids.take(pa.array(order[np.minimum(at, len(order) - 1)])))
    with replaced(_bounds_path(workspace, column)) as hidden:
        pq.write_table(pa.table({column: bounds}), hidden)
    return len(bounds) + 1


def _group_starts(paths: Sequence[Path]) -> tuple[list[Any], list[int]]:
    """Return the smallest id, and the rows, of every row group."""
    starts, rows = [], []
    for path in paths:
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        found = [(group.column(0).statistics.min, group.num_rows) for group in groups if group.num_rows]
        starts += [start for start, _ in found]
        rows += [count for _, count in found]
    return starts, rows


def _bounds_path(workspace: Workspace, column: str) -> Path:
    return workspace.records / f"bounds-{column}.parquet"


def index_unit(workspace: Workspace, plan: TablePlan, tiling: Tiling, column: str, part: int) -> int:
    """Merge one range of ids of all runs into part number `part`; return its entries.

    Parameters
    ----------
    tiling
        All tiles of the release.
    """
    bounds = pq.read_table(_bounds_path(workspace, column)).column(0)
    low = bounds[part - 1] if part else None
    high = bounds[part] if part < len(bounds) else None
    runs = index_runs(workspace, plan, column)
    tables = [_kept(pq.read_table(run.path, filters=_within(column, low, high)), run) for run in runs]
    table = _sorted_entries(pa.concat_tables(tables), column, merged_by_index)
    healpix = table.column(HEALPIX_COLUMN).to_numpy()
    tile = np.searchsorted(tiling.starts, healpix, side="right") - 1
    entries = table.append_column("Norder", pa.array(tiling.orders[tile].astype(np.uint8)))
    entries = entries.append_column("Npix", pa.array(tiling.numbers[tile].astype(np.uint64)))
    path = workspace.index(column) / index_part_path(part)
    with replaced(path) as hidden:
        pq.write_table(entries, hidden, **part_options(entries, column))
    if is_flat(table.column(0).type):
        _write_flat(workspace, column, part, table)
    write_record(
        workspace.record(f"index-{column}", part),
        rows=np.array(len(healpix)),
        bytes=np.array(path.stat().st_size),
        checksum=np.array(file_checksum(path)),
    )
    return len(healpix)


def flat_piece(workspace: Workspace, column: str, part: int, name: str) -> Path:
    """Return the file of one part of the flat arrays, before they are joined."""
    return workspace.spill / "flat" / column / f"{part:05d}.{name}"


def _write_flat(workspace: Workspace, column: str, part: int, table: pa.Table) -> None:
    arrays = {"ids": table.column(0).cast(pa.int64()), "healpix": table.column(HEALPIX_COLUMN)}
    for name, array in arrays.items():
        with replaced(flat_piece(workspace, column, part, name)) as hidden:
            hidden.write_bytes(array.to_numpy().astype("<i8").data)


def _within(column: str, low: pa.Scalar | None, high: pa.Scalar | None) -> pc.Expression | None:
    if low is not None and high is not None:
        return (pc.field(column) >= low) & (pc.field(column) < high)
    if low is not None:
        return pc.field(column) >= low
    return None if high is None else pc.field(column) < high


def _kept(table: pa.Table, run: Run) -> pa.Table:
    """Leave out the entries of tiles that were made anew, and columns other than id and index."""
    table = table.select([name for name in table.column_names if name not in ("Norder", "Npix")])
    if run.dropped is None or len(run.dropped) == 0:
        return table
    healpix = table.column(HEALPIX_COLUMN).to_numpy()
    at = np.searchsorted(run.dropped[:, 0], healpix, side="right") - 1
    gone = (at >= 0) & (healpix < run.dropped[np.maximum(at, 0), 1])
    return table.filter(pa.array(~gone))


def _sorted_entries(
    table: pa.Table, column: str, order_of: Callable[[NDArray[np.int64]], NDArray[np.int64]]
) -> pa.Table:
    """Return (id, index) sorted by both, without NULL ids.

    Rows come by ascending index but where an append adds to an older index, so that a stable sort by id does:
    `order_of` returns the order of integers.
    """
    table = table.filter(pc.is_valid(table.column(column))) if table.column(column).null_count else table
    if not is_flat(table.column(column).type):
        return table.take(pc.sort_indices(table, [(column, "ascending"), (HEALPIX_COLUMN, "ascending")]))
    ids, healpix = table.column(column).cast(pa.int64()).to_numpy(), table.column(HEALPIX_COLUMN).to_numpy()
    order = order_of(ids)
    tied = np.diff(ids[order]) == 0
    if (np.diff(healpix[order])[tied] < 0).any():
        order = np.lexsort((healpix, ids))
    return pa.table([taken(one_chunk(column), order) for column in table.columns], schema=table.schema)


def _write_run(path: Path, table: pa.Table) -> None:
    options: dict[str, Any] = {"compression": "lz4", "use_dictionary": False, "row_group_size": _RUN_GROUP_ROWS}
    with replaced(path) as hidden:
        pq.write_table(table, hidden, column_encoding=_encodings(table, column=table.column_names[0]), **options)


def _encodings(table: pa.Table, column: str) -> dict[str, str]:
    integer = pa.types.is_integer(table.schema.field(column).type)
    return dict.fromkeys(([column] if integer else []) + [HEALPIX_COLUMN], "DELTA_BINARY_PACKED")


def part_options(table: pa.Table, column: str) -> dict[str, Any]:
    """Return options of `pyarrow.parquet.write_table` for a part of an id index."""
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": ["Norder", "Npix"],
        "column_encoding": _encodings(table, column),
        "row_group_size": _PART_GROUP_ROWS,
        "data_page_size": _PAGE_BYTES,
        "write_page_checksum": True,
        "sorting_columns": [pq.SortingColumn(0), pq.SortingColumn(1)],
    }
