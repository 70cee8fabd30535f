"""Id indexes: which tile, and which order-29 index, the row of an id has.

Each sort unit writes a run of (id, ``_healpix_29``) sorted by id (`id_runs`). Quantiles of the ids cut them into
ranges; each index unit merges one range of every run into one part of a HATS index catalog, and for integer ids into
flat arrays.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.files import replaced
from ..layout.flush import begin_writing
from ..layout.leaf import file_checksum
from ..layout.paths import HEALPIX_COLUMN, INDEX_DIR, index_name, index_part_path
from .id_runs import is_flat, read_run, run_ids, run_paths, sorted_entries
from .plan import TablePlan
from .spill import write_record
from .tiling import Tiling
from .workspace import Workspace

__all__ = ["PART_ROWS", "index_unit", "part_options", "plan_index"]

PART_ROWS: Final = 2_000_000
"""Entries of one part of an index: what an index unit sorts in memory."""

_MOST_PART_ROWS: Final = 8_000_000
_MANY_PARTS: Final = 1024
"""An index of more parts has larger ones, if it can: every part reads something of every run."""

_Bounds = tuple[pa.Scalar | None, pa.Scalar | None]

_PART_GROUP_ROWS: Final = 65_536
_PAGE_BYTES: Final = 16 << 10


def plan_index(workspace: Workspace, plan: TablePlan, column: str) -> int:
    """Choose the ids at which the parts of an index begin, write them, and return the number of parts.

    The bounds are quantiles, told from a sample of the ids and from the smallest id of each row group of the index of
    the base release; equal ids stay together. With them goes the batch of each run in which each part begins.
    """
    kind = plan.form.schema.field(column).type
    found = [run_ids(path) for path in run_paths(workspace, column)]
    sample = pa.concat_arrays([pa.array([], kind), *(run.sample for run in found)])
    starts, weights = _group_starts(_base_parts(plan, column))
    share = sum(run.rows for run in found) / max(len(sample), 1)
    rows = np.concatenate([np.array(weights, np.float64), np.full(len(sample), share)])
    bounds = _quantiles(pa.concat_arrays([pa.array(starts, kind), sample]), rows)
    with replaced(_bounds_path(workspace, column)) as hidden:
        pq.write_table(pa.table({column: bounds}), hidden)
    cuts = np.stack([_cuts(run.starts, bounds) for run in found], axis=1) if found else np.empty((0, 0))
    with replaced(_cuts_path(workspace, column)) as hidden, hidden.open("wb") as file:
        np.save(file, cuts.astype(np.int32))
    return len(bounds) + 1


def _quantiles(ids: pa.Array, rows: NDArray[np.float64]) -> pa.Array:
    """Return the ids at which parts of about equal size begin, but for the first; each of `ids` stands for `rows`."""
    total = round(rows.sum())
    parts = -(-total // min(max(PART_ROWS, total // _MANY_PARTS), _MOST_PART_ROWS))
    if parts <= 1:
        return ids[:0]
    order = pc.sort_indices(ids).to_numpy()
    filled = np.cumsum(rows[order])
    at = np.searchsorted(filled, np.arange(1, parts) * (total / parts))
    return pc.unique(ids.take(pa.array(order[np.minimum(at, len(order) - 1)])))


def _cuts(starts: pa.Array, bounds: pa.Array) -> NDArray[np.int64]:
    """Return the last batch of a run that can hold ids below each bound, and the first with ids from it on: the same.

    Parameters
    ----------
    starts
        First id of every batch.
    """
    kind = np.int64 if is_flat(starts.type) else object
    first, bound = (np.array(ids.to_pylist(), dtype=kind) for ids in (starts, bounds))
    cuts: NDArray[np.int64] = np.maximum(np.searchsorted(first, bound) - 1, 0)
    return cuts


def _base_parts(plan: TablePlan, column: str) -> list[Path]:
    """Return the parts of the index of the base release, if there is one, in their order."""
    if plan.base is None:
        return []
    old = plan.base.catalog.with_name(index_name(plan.base.catalog.name, column))
    return sorted((old / INDEX_DIR).glob("part.*.parquet"), key=lambda path: int(path.name.split(".")[1]))


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


def _cuts_path(workspace: Workspace, column: str) -> Path:
    return workspace.records / f"cuts-{column}.npy"


def index_unit(workspace: Workspace, plan: TablePlan, tiling: Tiling, column: str, part: int) -> int:
    """Merge one range of ids of all runs into part number `part`; return its entries.

    Parameters
    ----------
    tiling
        All tiles of the release.
    """
    bounds = pq.read_table(_bounds_path(workspace, column)).column(0)
    low, high = bounds[part - 1] if part else None, bounds[part] if part < len(bounds) else None
    within = _within(column, low, high)
    tables = [
        _kept(pq.read_table(path, filters=within, page_checksum_verification=True), plan)
        for path in _base_parts(plan, column)
    ]
    tables.append(_fresh_entries(workspace, plan, column, part, (low, high)))
    table = sorted_entries(pa.concat_tables(tables))
    healpix = table.column(HEALPIX_COLUMN).to_numpy()
    tile = tiling.tiles_of(healpix)
    entries = table.append_column("Norder", pa.array(tiling.orders[tile].astype(np.uint8)))
    entries = entries.append_column("Npix", pa.array(tiling.numbers[tile].astype(np.uint64)))
    path = workspace.index(column) / index_part_path(part)
    with replaced(path, flush=False) as hidden:
        pq.write_table(entries, hidden, **part_options(entries, column))
        begin_writing(hidden)
    write_record(
        workspace.record(f"index-{column}", part),
        flush=False,
        rows=np.array(len(healpix)),
        distinct=np.array(_distinct(table.column(0))),
        bytes=np.array(path.stat().st_size),
        checksum=np.array(file_checksum(path)),
    )
    return len(healpix)


def _distinct(ids: pa.ChunkedArray) -> int:
    """Return how many different ids there are among sorted ones, none of which is NULL."""
    if len(ids) == 0:
        return 0
    return 1 + int(pc.sum(pc.not_equal(ids[1:], ids[:-1])).as_py() or 0)


def _within(column: str, low: pa.Scalar | None, high: pa.Scalar | None) -> pc.Expression | None:
    if low is not None and high is not None:
        return (pc.field(column) >= low) & (pc.field(column) < high)
    if low is not None:
        return pc.field(column) >= low
    return None if high is None else pc.field(column) < high


def _fresh_entries(workspace: Workspace, plan: TablePlan, column: str, part: int, bounds: _Bounds) -> pa.Table:
    """Return the entries of this build's runs that belong to part number `part`."""
    cuts = np.load(_cuts_path(workspace, column), mmap_mode="r")
    schema = pa.schema([plan.form.schema.field(name) for name in (column, HEALPIX_COLUMN)])
    found: list[pa.RecordBatch] = []
    for number, path in enumerate(run_paths(workspace, column)):
        first = int(cuts[part - 1, number]) if part else 0
        batches = read_run(path, first, int(cuts[part, number]) if part < len(cuts) else None)
        for end in (0, -1) if batches else ():  # a run is sorted: others lie within
            batches[end] = _inside(batches[end], bounds)
        found += batches
    return pa.Table.from_batches(found, schema)


def _inside(batch: pa.RecordBatch, bounds: _Bounds) -> pa.RecordBatch:
    """Return the entries with ids ``low <= id < high``; None is no bound."""
    low, high = bounds
    if low is not None:
        batch = batch.filter(pc.greater_equal(batch.column(0), low))
    return batch if high is None else batch.filter(pc.less(batch.column(0), high))


def _kept(table: pa.Table, plan: TablePlan) -> pa.Table:
    """Leave out the entries of the base release's tiles that were made anew, and columns other than id and index."""
    assert plan.base is not None
    gone = plan.base_map.tile_ranges()[list(plan.base.touched_tiles)]
    table = table.select([name for name in table.column_names if name not in ("Norder", "Npix")])
    if len(gone) == 0:
        return table
    healpix = table.column(HEALPIX_COLUMN).to_numpy()
    at = np.searchsorted(gone[:, 0], healpix, side="right") - 1
    inside = (at >= 0) & (healpix < gone[np.maximum(at, 0), 1])
    return table.filter(pa.array(~inside))


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
