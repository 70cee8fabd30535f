"""Id indexes: which tile, and which order-29 index, the row of an id has.

Each sort unit writes a run of (id, ``_healpix_29``) sorted by both (`id_runs`); if there are many, units merge them
into longer ones. Quantiles cut all entries into ranges; each index unit merges one range of every run (`id_merge`) into
one part of a HATS index catalog, from which flat arrays of integer ids are made. An id of many rows may stand in
several parts.
"""

import json
import shutil
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import LayoutError
from ..layout.files import replace_bytes, replaced
from ..layout.flush import begin_writing
from ..layout.leaf import file_checksum
from ..layout.paths import HEALPIX_COLUMN, MANIFEST_DIR, index_name, index_part_path
from ..layout.schema import ascending
from .id_merge import Key, between, first_batches, key_column, keys, merged
from .id_runs import (
    batch_rows,
    read_run,
    run_facts,
    run_files,
    run_path,
    write_run,
)
from .order import regrouped
from .plan import TablePlan
from .spill import write_record
from .tiling import Tiling
from .workspace import Workspace, column_of, column_stage

__all__ = [
    "PART_GROUP_ROWS",
    "PART_ROWS",
    "Part",
    "bounds_path",
    "distinct_ids",
    "first_runs",
    "forget_index",
    "index_unit",
    "merge_runs",
    "merge_unit",
    "merged_run",
    "part_options",
    "plan_index",
]

PART_ROWS: Final = 2_000_000
"""Entries of one part of an index."""

_MOST_PART_ROWS: Final = 8_000_000
_MANY_PARTS: Final = 1024
"""An index of more parts has larger ones, if it can: every part reads something of every run."""

_MOST_RUNS: Final = 256
"""Runs that a unit reads: each is an open file, and a batch in memory."""

_MOST_SAMPLED: Final = 1 << 20
"""About how many entries tell the quantiles."""

_LAST_INDEX: Final = np.iinfo(np.int64).max
_DAY_MS: Final = 86_400_000

PART_GROUP_ROWS: Final = 65_536
"""Entries of a row group of a part."""
_PAGE_BYTES: Final = 16 << 10


def first_runs(workspace: Workspace, column: str, units: int) -> list[Path]:
    """Return the runs that the sort units have written, in the order of the sky."""
    runs = []
    for unit in range(units):
        with np.load(workspace.record("sort", unit)) as record:
            runs += [run_path(workspace, column, 0, name) for name in record["run_names"].tolist()]
    return runs


def merge_runs(workspace: Workspace, column: str, runs: list[Path], run: Callable[[str, int], None]) -> list[Path]:
    """Merge runs until they are few, and return those that are left; ``run(stage, units)`` runs a stage."""
    for level in count(1):
        if len(runs) <= _MOST_RUNS:
            break
        stage, units = column_stage(f"merge{level}", column), -(-len(runs) // _MOST_RUNS)
        _write_runs(workspace, stage, runs)
        run(stage, units)
        runs = [merged_run(workspace, stage, unit) for unit in range(units)]
    return runs


def merge_unit(workspace: Workspace, stage: str, unit: int, most_bytes: int) -> int:
    """Merge some runs into one of the next level; return its entries.

    Parameters
    ----------
    stage
        As `merge_runs` names it.
    most_bytes
        Bytes of entries that may be in memory.
    """
    runs = _read_runs(workspace, stage)[unit * _MOST_RUNS : (unit + 1) * _MOST_RUNS]
    facts = run_facts(runs[0])
    rows_a_batch = batch_rows(runs[0].stat().st_size, facts.rows)
    entries = regrouped(merged(map(read_run, runs), most_bytes), rows_a_batch)
    path = merged_run(workspace, stage, unit)
    write_run(path, entries, facts.sample[:0], rows_a_batch)  # samples are those of the first level
    write_record(
        workspace.record(stage, unit),
        flush=False,
        run_bytes=np.array([file.stat().st_size for file in run_files(path)]),
    )
    return run_facts(path).rows


def merged_run(workspace: Workspace, stage: str, unit: int) -> Path:
    """Return the file of the run that a unit of a merging stage makes."""
    level = int(stage.removeprefix("merge").partition("-")[0])
    return run_path(workspace, column_of(stage), level, f"{unit:05d}")


def forget_index(workspace: Workspace) -> None:
    """Let all that is made of the runs of sort units be made again: units that are done again may leave others."""
    made = [path for kind in ("merge", "index-", "flat-") for path in workspace.records.glob(f"{kind}*")]
    for path in [*made, *workspace.spill.glob("runs/*/level-*")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write_runs(workspace: Workspace, name: str, runs: Sequence[Path]) -> None:
    """Write a list of runs for the units that read them."""
    replace_bytes(workspace.records / f"{name}.json", json.dumps([str(path) for path in runs]).encode())


def _read_runs(workspace: Workspace, name: str) -> list[Path]:
    return [Path(path) for path in json.loads((workspace.records / f"{name}.json").read_bytes())]


def plan_index(workspace: Workspace, plan: TablePlan, column: str, first: Sequence[Path], runs: Sequence[Path]) -> int:
    """Choose the entries at which the parts of an index begin, write them, and return the number of parts.

    The bounds are quantiles, told from a sample of the entries and from the first entry of each row group of the index
    of the base release. With them goes the batch of each run in which each part begins.

    Parameters
    ----------
    first
        Runs of the sort units.
    runs
        What `merge_runs` has made of them.
    """
    bounds = _quantiles(*_sample(plan, column, first))
    with replaced(bounds_path(workspace, column)) as hidden:
        pq.write_table(bounds, hidden)
    wanted = keys(bounds)
    cuts = np.empty((len(wanted), len(runs)), dtype=np.int32)
    for number, path in enumerate(runs):
        cuts[:, number] = first_batches(keys(run_facts(path).starts), wanted)
    with replaced(_cuts_path(workspace, column)) as hidden, hidden.open("wb") as file:
        np.save(file, cuts)
    _write_runs(workspace, column_stage("runs", column), runs)
    return len(bounds) + 1


def _sample(plan: TablePlan, column: str, runs: Sequence[Path]) -> tuple[pa.Table, NDArray[np.float64]]:
    """Return some entries, and how many rows each of them stands for."""
    total, sampled = 0, 0
    for path in runs:
        facts = run_facts(path)
        total, sampled = total + facts.rows, sampled + len(facts.sample)
    step = 1 + sampled // _MOST_SAMPLED
    chosen, seen = [_entry_schema(plan, column).empty_table()], 0
    for path in runs:
        sample = run_facts(path).sample
        chosen.append(sample.take(pa.array(np.arange(-seen % step, len(sample), step))))
        seen += len(sample)
    fresh = pa.concat_tables(chosen).cast(chosen[0].schema)
    starts, weights = _base_starts(plan, fresh.schema)
    rows = np.concatenate([np.array(weights, np.float64), np.full(len(fresh), total / max(len(fresh), 1))])
    return pa.concat_tables([starts, fresh]), rows


def _entry_schema(plan: TablePlan, column: str) -> pa.Schema:
    """Return id and index, as the leaves have them."""
    return pa.schema([plan.form.schema.field(name) for name in (column, HEALPIX_COLUMN)])


def _quantiles(entries: pa.Table, rows: NDArray[np.float64]) -> pa.Table:
    """Return the entries at which parts of about equal size begin, but for the first; each one stands for `rows`."""
    total = round(rows.sum())
    parts = -(-total // min(max(PART_ROWS, total // _MANY_PARTS), _MOST_PART_ROWS))
    if parts <= 1:
        return entries[:0]
    order = pc.sort_indices(entries, ascending(entries.column_names)).to_numpy()
    filled = np.cumsum(rows[order])
    at = np.searchsorted(filled, np.arange(1, parts) * (total / parts))
    bounds = entries.take(pa.array(order[np.minimum(at, len(order) - 1)]))
    found = keys(bounds)
    return bounds.take(pa.array([at for at, key in enumerate(found) if not at or key != found[at - 1]], pa.int64()))


def _base_parts(plan: TablePlan, column: str) -> list[Path]:
    """Return the parts of the index of the base release that have entries, if there is one, in their order."""
    if plan.base is None:
        return []
    old = plan.base.catalog.with_name(index_name(plan.base.catalog.name, column))
    lines = pq.read_table(old / MANIFEST_DIR / "files.parquet", columns=["part", "rows"]).to_pylist()
    return [old / index_part_path(line["part"]) for line in lines if line["rows"]]


def _base_starts(plan: TablePlan, schema: pa.Schema) -> tuple[pa.Table, list[int]]:
    """Return about the first entry of every row group of the base release's index, and the group's rows."""
    kind = schema.types[0]
    found = [
        (_span(group, kind, path)[0], group.num_rows)
        for path in _base_parts(plan, schema.names[0])
        for group in _row_groups(path)
    ]
    columns = [key_column([key[0] for key, _ in found], kind), pa.array([key[1] for key, _ in found], schema.types[1])]
    return pa.table(columns, schema=schema), [rows for _, rows in found]


def _row_groups(path: Path) -> list[pq.RowGroupMetaData]:
    footer = pq.read_metadata(path)
    return [footer.row_group(number) for number in range(footer.num_row_groups)]


def _span(group: pq.RowGroupMetaData, kind: pa.DataType, path: Path) -> tuple[Key, Key]:
    """Return a key that no entry of a row group is below, and one that none is above."""
    ids, healpix = (group.column(number).statistics for number in range(2))
    if ids is None or not ids.has_min_max:
        msg = f"{path}: a row group of this id index has no statistics; repair the index of that release"
        raise LayoutError(msg)
    low, high = (ids.min_raw, ids.max_raw) if pa.types.is_temporal(kind) else (ids.min, ids.max)
    if pa.types.is_date64(kind):  # Parquet has days alone
        low, high = low * _DAY_MS, high * _DAY_MS
    if low != high:
        return (low, 0), (high, _LAST_INDEX)
    return (low, healpix.min), (high, healpix.max)


def bounds_path(workspace: Workspace, column: str) -> Path:
    """Return the file of the entries at which the parts of an index begin, but for the first."""
    return workspace.records / f"{column_stage('bounds', column)}.parquet"


def _cuts_path(workspace: Workspace, column: str) -> Path:
    return workspace.records / f"{column_stage('cuts', column)}.npy"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an id index that is to be made."""

    column: str
    number: int
    most_bytes: int
    """Bytes of entries that may be in memory."""


def index_unit(workspace: Workspace, plan: TablePlan, tiling: Tiling, part: Part) -> int:
    """Merge one range of entries of all runs into a part of an id index; return its entries.

    Parameters
    ----------
    tiling
        All tiles of the release.
    """
    column = part.column
    bounds = [None, *keys(pq.read_table(bounds_path(workspace, column))), None]
    low, high = bounds[part.number], bounds[part.number + 1]
    sources = [
        between(tables, low, high)
        for tables in [_base_entries(plan, column, low, high), *_fresh_entries(workspace, column, part.number)]
    ]
    schema = _entry_schema(plan, column).append(pa.field("Norder", pa.uint8())).append(pa.field("Npix", pa.uint64()))
    path, ids = workspace.index(column) / index_part_path(part.number), _Ids()
    with replaced(path, flush=False) as hidden:
        with pq.ParquetWriter(hidden, schema, **part_options(schema, column)) as writer:
            placed = (_with_tiles(entries, tiling, schema) for entries in merged(sources, part.most_bytes))
            for group in regrouped(placed, PART_GROUP_ROWS):
                writer.write_table(group, PART_GROUP_ROWS)
                ids.add(group)
        begin_writing(hidden)
    write_record(
        workspace.record(column_stage("index", column), part.number),
        flush=False,
        rows=np.array(ids.rows),
        distinct=np.array(ids.distinct),
        ends=np.array(ids.ends),
        bytes=np.array(path.stat().st_size),
        checksum=np.array(file_checksum(path)),
    )
    return ids.rows


def _with_tiles(entries: pa.Table, tiling: Tiling, schema: pa.Schema) -> pa.Table:
    tile = tiling.tiles_of(entries.column(1).to_numpy())
    orders, numbers = tiling.orders[tile].astype(np.uint8), tiling.numbers[tile].astype(np.uint64)
    return pa.table([*entries.columns, pa.array(orders), pa.array(numbers)], schema=schema)


@dataclass
class _Ids:
    """Counts sorted entries and their different ids."""

    rows: int = 0
    distinct: int = 0
    ends: tuple[str, ...] = ()
    """First and last id, if there is any; as code, in which no character at an end is lost."""

    def add(self, entries: pa.Table) -> None:
        """Add entries that follow those before."""
        ids = entries.column(0)
        self.rows += len(ids)
        first, last = (repr(keys(entries.slice(at, 1))[0][0]) for at in (0, len(ids) - 1))
        changes = int(pc.sum(pc.not_equal(ids[1:], ids[:-1])).as_py() or 0)
        self.distinct += changes + (self.ends[-1:] != (first,))
        self.ends = (self.ends[0] if self.ends else first, last)


def distinct_ids(records: Sequence[Mapping[str, NDArray[Any]]]) -> int:
    """Return how many different ids there are in all parts, from their records in their order."""
    ends = [record["ends"].tolist() for record in records if record["rows"]]
    shared = sum(before[-1] == after[0] for before, after in pairwise(ends))
    return sum(int(record["distinct"]) for record in records) - int(shared)


def _fresh_entries(workspace: Workspace, column: str, part: int) -> Iterator[Iterator[pa.Table]]:
    """Yield the batches of each run that may hold entries of part number `part`."""
    cuts = np.load(_cuts_path(workspace, column), mmap_mode="r")
    for number, path in enumerate(_read_runs(workspace, column_stage("runs", column))):
        first = int(cuts[part - 1, number]) if part else 0
        yield read_run(path, first, int(cuts[part, number]) if part < len(cuts) else None)


def _base_entries(plan: TablePlan, column: str, low: Key | None, high: Key | None) -> Iterator[pa.Table]:
    """Yield what the base release's index has in row groups that may hold keys of a range, if it is to be kept."""
    kind, parts = plan.form.schema.field(column).type, _base_parts(plan, column)
    if low is not None:
        parts = parts[bisect_left(parts, low, key=lambda path: _span(_row_groups(path)[-1], kind, path)[1]) :]
    for path in parts:
        with pq.ParquetFile(path, page_checksum_verification=True) as part:
            for number in range(part.num_row_groups):
                first, last = _span(part.metadata.row_group(number), kind, path)
                if high is not None and first >= high:
                    return
                if low is None or last >= low:
                    table = part.read_row_group(number, [column, HEALPIX_COLUMN], use_threads=False)
                    if len(kept := _kept(table.select([column, HEALPIX_COLUMN]), plan)):
                        yield kept


def _kept(entries: pa.Table, plan: TablePlan) -> pa.Table:
    """Leave out the entries of the base release's tiles that were made anew."""
    assert plan.base is not None
    gone = plan.base_map.tile_ranges()[list(plan.base.touched_tiles)]
    if len(gone) == 0:
        return entries
    healpix = entries.column(HEALPIX_COLUMN).to_numpy()
    at = np.searchsorted(gone[:, 0], healpix, side="right") - 1
    inside = (at >= 0) & (healpix < gone[np.maximum(at, 0), 1])
    return entries.filter(pa.array(~inside))


def _encodings(schema: pa.Schema, column: str) -> dict[str, str]:
    integer = pa.types.is_integer(schema.field(column).type)
    return dict.fromkeys(([column] if integer else []) + [HEALPIX_COLUMN], "DELTA_BINARY_PACKED")


def part_options(schema: pa.Schema, column: str) -> dict[str, Any]:
    """Return options of `pyarrow.parquet.ParquetWriter` for a part of an id index."""
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": ["Norder", "Npix"],
        "column_encoding": _encodings(schema, column),
        "data_page_size": _PAGE_BYTES,
        "write_page_checksum": True,
        "sorting_columns": [pq.SortingColumn(0), pq.SortingColumn(1)],
    }
