"""Checks of one data file: its bytes, footer, pages and rows, one row group in memory at a time."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.leaf import MOST_GROUP_ROWS, LeafFormat, footer_statistics
from ..layout.manifest import Placement
from ..layout.paths import HEALPIX_COLUMN, INPUT_COLUMN
from ..layout.schema import schema_fingerprint
from ..sky.healpix import order_shift
from ..stages.sketch import Sketches
from .catalog import DataFile, tried
from .hashing import entry_hashes
from .report import Collector, listing
from .sound import Apart, SoundFiles
from .values import (
    is_separation_bound,
    nan_columns,
    order_problem,
    outside_rows,
    separation_bound,
    unplaced_rows,
    wrong_statistics,
)

__all__ = ["LeafSums", "LeafTask", "check_leaf"]


@dataclass(frozen=True, kw_only=True)
class LeafTask:
    """What is known about a data file before it is read."""

    catalog: Path
    file: DataFile
    form: LeafFormat
    placement: Placement | None
    map_order: int | None = None
    """Order at which rows are counted; None: not at all."""
    index_columns: tuple[str, ...] = ()
    """Columns whose id entries are summed up."""
    inputs: frozenset[int] = frozenset()
    is_margin: bool = False
    """Whether the rows belong to other tiles."""
    sketches: bool = False
    """Whether distinct values are estimated."""
    watch: Callable[[pa.Table], None] | None = None
    """Called with every row group, unless the file is damaged."""


@dataclass
class LeafSums:
    """What the rows of one data file add up to."""

    column_bytes: NDArray[np.int64]
    column_nulls: NDArray[np.int64]
    map_pixels: list[NDArray[np.int64]] = field(default_factory=list)
    map_rows: list[NDArray[np.int64]] = field(default_factory=list)
    input_rows: Counter[int] = field(default_factory=Counter)
    id_hashes: dict[str, int] = field(default_factory=dict)
    """Sum modulo 2**64 of the hashes of the entries of each id column."""
    id_entries: Counter[str] = field(default_factory=Counter)
    sketches: Mapping[int, NDArray[np.uint64]] = field(default_factory=dict)
    """Smallest hashes of the values of each column, by its number, if they were wanted."""
    is_complete: bool = False
    """Whether every row was read."""


def check_leaf(
    task: LeafTask, recorded: pa.Table | None, sound: SoundFiles, apart: Apart, found: Collector
) -> LeafSums:
    """Check one data file against what is recorded of it.

    Parameters
    ----------
    recorded
        Its lines of ``row_groups.parquet`` without ``file``; None if they are not to be compared.
    apart
        Where a damaged file is looked at.
    found
        Receives the findings.

    Returns
    -------
    LeafSums
        What the manifest, maps and id indexes are compared with.
    """
    file, path = task.file, task.catalog / task.file.path
    if not path.is_file():
        found.add("files", file.path, "the data file is missing", file.pixel)
        return _no_sums(task)
    size = path.stat().st_size
    found.expect(size == file.bytes, "files", file.path, f"it has {size} bytes, not {file.bytes}", file.pixel)
    found.files, found.bytes = found.files + 1, found.bytes + size
    damage = sound.problem(file)
    if not damage:
        return _check_content(task, recorded, found)
    found.add("checksum", file.path, damage, file.pixel)
    collected, problem = apart.call(_look_at_damage, replace(task, watch=None), recorded)
    if collected is None:
        found.add("unreadable", file.path, problem, file.pixel)
    else:
        found.merge(collected)
    return _no_sums(task)


def _look_at_damage(task: LeafTask, recorded: pa.Table | None) -> Collector:
    """Return what is wrong with the content of a damaged file; this may end the process."""
    found = Collector(task.catalog.name)
    _check_content(task, recorded, found)
    return found


def _no_sums(task: LeafTask) -> LeafSums:
    width = len(task.form.schema)
    return LeafSums(np.zeros(width, dtype=np.int64), np.zeros(width, dtype=np.int64))


def _check_content(task: LeafTask, recorded: pa.Table | None, found: Collector) -> LeafSums:
    sums = _no_sums(task)
    _, problem = tried(lambda: _check_parquet(task, recorded, sums, found))
    sums.is_complete = sums.is_complete and not problem
    found.expect(not problem, "unreadable", task.file.path, problem, task.file.pixel)
    return sums


def _check_parquet(task: LeafTask, recorded: pa.Table | None, sums: LeafSums, found: Collector) -> None:
    file, path = task.file, task.catalog / task.file.path
    with pq.ParquetFile(path, page_checksum_verification=True) as leaf:
        if not _check_schema(task, leaf, found):
            return
        footer, sums.column_bytes = footer_statistics(leaf.metadata, task.form)
        _check_footer(task, leaf, footer, found)
        if recorded is not None:
            _check_recorded(task, footer, recorded, found)
        sums.is_complete = True
        reader = _GroupChecks(task, sums, found)
        for number in range(leaf.metadata.num_row_groups):
            group, problem = tried(partial(leaf.read_row_group, number))
            if group is None:
                found.add("unreadable", file.path, f"row group {number}: {problem}", file.pixel)
                sums.is_complete = False
                continue
            found.rows += group.num_rows
            reader.check(number, group, footer.slice(number, 1))
            del group  # before the next one is read
        reader.finish()


def _check_schema(task: LeafTask, leaf: pq.ParquetFile, found: Collector) -> bool:
    """Return whether the schema is the table's: nothing else can be compared otherwise."""
    schema, wanted = leaf.schema_arrow, task.form.schema
    if schema.equals(wanted):
        return True
    differ = [
        column.name for column in schema if column.name not in wanted.names or wanted.field(column.name) != column
    ]
    differ += [name for name in wanted.names if name not in schema.names]
    what = f"columns {listing(differ)} differ" if differ else "the order of its columns differs"
    same = schema_fingerprint(schema) == schema_fingerprint(wanted)
    what = "NULLs are allowed in other columns" if same else what
    found.add("schema", task.file.path, f"{what} from the table's", task.file.pixel)
    return False


def _check_footer(task: LeafTask, leaf: pq.ParquetFile, footer: pa.Table, found: Collector) -> None:
    file, metadata = task.file, leaf.metadata
    wrong = f"it has {metadata.num_rows} rows, not {file.rows}"
    found.expect(metadata.num_rows == file.rows, "rows", file.path, wrong, file.pixel)
    wrong = f"it has {metadata.num_row_groups} row groups, not {file.row_groups}"
    found.expect(metadata.num_row_groups == file.row_groups, "rows", file.path, wrong, file.pixel)
    largest = max(footer.column("rows").to_pylist(), default=0)
    wrong = f"a row group has {largest} rows, more than {MOST_GROUP_ROWS}"
    found.expect(largest <= MOST_GROUP_ROWS, "row_groups", file.path, wrong, file.pixel)
    if task.form.is_sorted and metadata.num_row_groups:
        paths = [path for path, _ in task.form.paths]
        keys = tuple(pq.SortingColumn(paths.index(key)) for key in (HEALPIX_COLUMN, *task.form.id_columns))
        told = metadata.row_group(0).sorting_columns
        found.expect(tuple(told) == keys, "order", file.path, "the footer tells another order", file.pixel)


def _check_recorded(task: LeafTask, footer: pa.Table, recorded: pa.Table, found: Collector) -> None:
    """Compare ``row_groups.parquet`` with the footer."""
    if recorded.num_rows != footer.num_rows:
        return  # told by the number of row groups
    names = sorted(set(footer.schema.names) ^ set(recorded.schema.names))
    names = names or [name for name in footer.schema.names if not recorded.column(name).equals(footer.column(name))]
    wrong = f"row_groups.parquet tells other values of {listing(names)} than the footer"
    found.expect(not names, "statistics", task.file.path, wrong, task.file.pixel)


class _GroupChecks:
    """Checks row groups one after the other, and sums them up."""

    def __init__(self, task: LeafTask, sums: LeafSums, found: Collector) -> None:
        self._task, self._sums, self._found = task, sums, found
        self._last: pa.Table | None = None
        self._sketches = Sketches(task.form.schema) if task.sketches else None
        self._low, self._high, self._separation = np.iinfo(np.int64).max, -1, 0.0

    def check(self, number: int, group: pa.Table, footer: pa.Table) -> None:
        """Check one row group."""
        task, sums = self._task, self._sums
        sums.column_nulls += np.array([column.null_count for column in group.columns], dtype=np.int64)
        for check, detail in self._problems(group, footer):
            self._found.add(check, task.file.path, f"row group {number}: {detail}", task.file.pixel)
        if self._sketches is not None:
            self._sketches.add(group)
        if task.watch is not None:
            task.watch(group)
        if task.form.is_sorted and group.column(HEALPIX_COLUMN).null_count == 0 and group.num_rows:
            self._add(group)
        self._last = group.take([group.num_rows - 1]) if group.num_rows else self._last  # a slice keeps all of it

    def finish(self) -> None:
        """Check what the whole file adds up to."""
        file, found = self._task.file, self._found
        if self._sketches is not None:
            self._sums.sketches = self._sketches.smallest()
        if not self._sums.is_complete or not self._task.form.is_sorted:
            return
        wrong = f"{HEALPIX_COLUMN} goes from {self._low} to {self._high}, files.parquet tells other bounds"
        bounds = (file.healpix_min, file.healpix_max)
        found.expect((self._low, self._high) == bounds, "statistics", file.path, wrong, file.pixel)
        told = file.max_separation_deg
        fits = is_separation_bound(told, self._separation)
        wrong = f"max_separation_deg is {told}, the largest separation {self._separation}"
        found.expect(fits or self._task.is_margin, "statistics", file.path, wrong, file.pixel)

    def _problems(self, group: pa.Table, footer: pa.Table) -> Iterator[tuple[str, str]]:
        """Yield check and detail of what is wrong."""
        task = self._task
        for name in nan_columns(group):
            yield "nan", f"NaN in column {name!r}"
        for wrong in wrong_statistics(group, footer):
            yield "statistics", f"the footer's statistics are wrong: {wrong}"
        if task.placement is not None and task.form.is_sorted:
            yield from self._place_problems(group, task.placement)
        if INPUT_COLUMN in group.schema.names and not task.is_margin:
            yield from self._input_problems(group)

    def _place_problems(self, group: pa.Table, placement: Placement) -> Iterator[tuple[str, str]]:
        task, index = self._task, group.column(HEALPIX_COLUMN)
        if index.null_count:
            yield "healpix_null", f"{index.null_count} rows have no {HEALPIX_COLUMN}"
            return
        outside = outside_rows(index.to_numpy(), task.file.range)
        if task.is_margin and len(outside) < group.num_rows:
            yield "margin", f"{group.num_rows - len(outside)} rows are of the tile itself"
        if len(outside) and not task.is_margin:
            yield "tile", f"{len(outside)} rows lie outside the tile, first row {outside[0]}"
        unplaced = unplaced_rows(group, placement)
        if len(unplaced):
            wrong = f"{len(unplaced)} rows have a {HEALPIX_COLUMN} of another position, first row {unplaced[0]}"
            yield "position", wrong
        problem = order_problem(group, self._last, task.form.id_columns)
        if problem:
            yield "order", problem

    def _input_problems(self, group: pa.Table) -> Iterator[tuple[str, str]]:
        numbers, rows = np.unique(group.column(INPUT_COLUMN).to_numpy(), return_counts=True)
        self._sums.input_rows.update(dict(zip(numbers.tolist(), rows.tolist(), strict=True)))
        unknown = sorted(set(numbers.tolist()) - self._task.inputs)
        if unknown:
            yield "input", f"{INPUT_COLUMN} {listing(unknown)} is no number of an input file"

    def _add(self, group: pa.Table) -> None:
        task, sums = self._task, self._sums
        index = group.column(HEALPIX_COLUMN).to_numpy()
        self._low, self._high = min(self._low, int(index.min())), max(self._high, int(index.max()))
        if task.placement is not None and not task.is_margin:
            self._separation = max(self._separation, separation_bound(group, task.placement))
        if task.map_order is not None:
            pixels, rows = np.unique(index >> order_shift(task.map_order), return_counts=True)
            sums.map_pixels.append(pixels)
            sums.map_rows.append(rows.astype(np.int64))
        for name in task.index_columns:
            hashes = entry_hashes(group.column(name), index)
            sums.id_entries[name] += len(hashes)
            total = int(hashes.sum(dtype=np.uint64))
            sums.id_hashes[name] = (sums.id_hashes.get(name, 0) + total) % (1 << 64)
