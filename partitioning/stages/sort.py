"""Sort units: each bucket is read back in windows that fit in memory, sorted, and cut into tiles, one leaf each.

A window is a run of tiles, or, for a tile that is larger than memory, the whole tile in several passes: its order
comes from the sort keys alone, then the rows of a few row groups at a time are gathered from the blocks that hold them.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..layout.leaf import LeafFormat, LeafSummary, draft_leaf, row_groups
from ..layout.manifest import Placement
from ..layout.paths import HEALPIX_COLUMN, INPUT_COLUMN, leaf_path
from ..layout.schema import without_nan
from ..sky.healpix import Pixel, order_shift
from ..sky.separation import separation_deg
from .bucket import BucketPlan
from .counts import sorted_counts
from .id_runs import IdRuns
from .ledger import LeafFacts, UnitLedger
from .order import one_chunk, sorted_order, taken
from .places import degrees
from .plan import TablePlan
from .sketch import Sketches
from .spill import Block, read_blocks
from .workspace import Workspace

__all__ = ["SortInput", "sort_unit"]


@dataclass(frozen=True, eq=False)
class SortInput:
    """What one sort unit reads, and how much of it at a time."""

    bucket: int
    blocks: Sequence[Block]
    """Blocks of the bucket, in input order."""
    margin_blocks: Sequence[Block]
    margin_tiles: Sequence[NDArray[np.int32]]
    """Tile of each row of each margin block."""
    window_rows: int
    """Rows that are sorted at once."""


def sort_unit(workspace: Workspace, plan: TablePlan, buckets: BucketPlan, given: SortInput) -> int:
    """Write every tile of a bucket, its margin, its id runs, and the record of them; return the rows."""
    ledger = UnitLedger(plan.form.schema)
    tools = _Tools(
        plan=plan,
        workspace=workspace,
        given=given,
        tiling_pixels=[buckets.tiling.pixel(tile) for tile in range(*buckets.tiles(given.bucket))],
        first_tile=buckets.tiles(given.bucket)[0],
        map_order=buckets.map_order,
        finisher=ThreadPoolExecutor(1),
        drafts=[],
        sketches=Sketches(plan.form.schema),
        runs=IdRuns(workspace, plan.table.index_columns, given.bucket),
    )
    first, stop = buckets.tiles(given.bucket)
    starts = np.append(buckets.tiling.starts[first:stop], buckets.tiling.stops[stop - 1])
    for low, high in _windows(buckets.tiling.rows[first:stop].tolist(), given.window_rows):
        blocks = _overlapping(given.blocks, int(starts[low]), int(starts[high]))
        if high - low == 1 and int(buckets.tiling.rows[first + low]) > given.window_rows:
            _sort_large_tile(tools, blocks, low, (int(starts[low]), int(starts[high])))
        else:
            _sort_window(tools, blocks, low, starts[low : high + 1])
    tools.runs.flush()
    if plan.table.margin_arcsec and given.margin_blocks:
        _write_margins(tools)
    tools.finisher.shutdown()
    for notes, pixel, summary, is_margin in tools.drafts:
        ledger.add(notes.facts(pixel, summary.result()), margin=is_margin)
    ledger.write(workspace.record("sort", given.bucket), tools.sketches)
    return ledger.rows


@dataclass(frozen=True, kw_only=True)
class _Tools:
    """What the tiles of one bucket share."""

    plan: TablePlan
    workspace: Workspace
    given: SortInput
    tiling_pixels: Sequence[Pixel]
    first_tile: int
    map_order: int
    finisher: ThreadPoolExecutor
    """Flushes leaves to disk while the next one is made."""
    drafts: list[tuple["_Notes", Pixel, Future[LeafSummary], bool]]
    sketches: Sketches
    runs: IdRuns


def _windows(rows: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Yield runs of tiles ``[low, high)`` of at most `most` rows, or of one tile."""
    edges, filled = [0], 0
    for tile, count in enumerate(rows):
        if filled and filled + count > most:
            edges.append(tile)
            filled = 0
        filled += count
    return pairwise([*edges, len(rows)])


def _overlapping(blocks: Sequence[Block], start: int, stop: int) -> list[Block]:
    return [block for block in blocks if block.low < stop and block.high >= start]


def _within(batch: pa.RecordBatch, start: int, stop: int) -> pa.RecordBatch:
    """Return the rows of a sorted batch whose index lies in ``[start, stop)``."""
    first, last = np.searchsorted(batch.column(0).to_numpy(), [start, stop]).tolist()
    return batch.slice(first, last - first)


def _keys(form: LeafFormat) -> list[str]:
    return [HEALPIX_COLUMN, *form.id_columns]


def _sort_window(tools: _Tools, blocks: Sequence[Block], low: int, starts: NDArray[np.int64]) -> None:
    """Write the tiles whose index ranges begin at `starts` (the last item is the end of the last tile)."""
    form = tools.plan.form
    table = _sorted_table(
        pa.Table.from_batches((_within(b, int(starts[0]), int(starts[-1])) for b in read_blocks(blocks)), form.schema),
        _keys(form),
    )
    edges = np.searchsorted(table.column(0).to_numpy(), starts).tolist()
    for tile, (first, stop) in enumerate(pairwise(edges), start=low):
        if stop > first:
            part = table.slice(first, stop - first)
            _write_tile(tools, tile, row_groups(part, form))


def _sorted_table(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Return the rows sorted, NaN as NULL; columns are dropped one by one, to need little more than one copy."""
    order = sorted_order(_clean(table.select(keys)))
    schema, columns = table.schema, table.columns
    del table
    for number, column in enumerate(columns):
        columns[number] = None
        columns[number] = without_nan(taken(one_chunk(column), order))
        del column
    return pa.table(columns, schema=schema)


def _clean(rows: pa.Table) -> pa.Table:
    """Return rows with NULL in the place of NaN."""
    return pa.table([without_nan(one_chunk(column)) for column in rows.columns], schema=rows.schema)


def _sort_large_tile(tools: _Tools, blocks: Sequence[Block], tile: int, bounds: tuple[int, int]) -> None:
    """Write a tile that does not fit in memory: sort its keys, then gather some row groups at a time."""
    form = tools.plan.form
    numbers = [form.schema.get_field_index(name) for name in _keys(form)]
    if not blocks:  # its rows turned out to be damaged after they were counted
        return
    batches = [_within_columns(batch, bounds) for batch in read_blocks(blocks, sorted(numbers))]
    ends = np.cumsum([batch.num_rows for batch in batches])
    order = sorted_order(_clean(pa.Table.from_batches(batches).select(_keys(form))))
    del batches
    size = form.group_rows(len(order))
    step = max(1, tools.given.window_rows // (2 * size)) * size  # the keys of all rows are there too

    def groups() -> Iterator[pa.Table]:
        for start in range(0, len(order), step):
            rows = _gather(blocks, bounds, ends, order[start : start + step], form.schema)
            for first in range(0, rows.num_rows, size):
                yield rows.slice(first, size)

    _write_tile(tools, tile, groups())


def _within_columns(batch: pa.RecordBatch, bounds: tuple[int, int]) -> pa.RecordBatch:
    first, last = np.searchsorted(batch.column(HEALPIX_COLUMN).to_numpy(), bounds).tolist()
    return batch.slice(first, last - first)


def _gather(
    blocks: Sequence[Block],
    bounds: tuple[int, int],
    ends: NDArray[np.int64],
    wanted: NDArray[np.int64],
    schema: pa.Schema,
) -> pa.Table:
    """Return rows `wanted` (numbers in the sequence of all blocks' rows within `bounds`) in that order, without NaN."""
    in_place = np.sort(wanted)
    cuts = np.concatenate([[0], np.searchsorted(in_place, ends)])
    needed = np.flatnonzero(np.diff(cuts))
    firsts = np.concatenate([[0], ends])
    parts = []
    for number, batch in zip(needed.tolist(), read_blocks([blocks[n] for n in needed.tolist()]), strict=True):
        rows = in_place[cuts[number] : cuts[number + 1]] - firsts[number]
        parts.append(taken(_within(batch, *bounds), rows))
    return _clean(pa.Table.from_batches([taken(pa.concat_batches(parts), np.searchsorted(in_place, wanted))], schema))


def _write_tile(tools: _Tools, tile: int, groups: Iterator[pa.Table]) -> None:
    """Write one leaf, noting everything about its rows as they pass by."""
    pixel = tools.tiling_pixels[tile]
    notes = _Notes(tools.plan.placement, tools.map_order)

    def noted() -> Iterator[pa.Table]:
        for group in groups:
            notes.add(group)
            tools.sketches.add(group)
            tools.runs.add(group)
            yield group

    draft = draft_leaf(tools.workspace.catalog / leaf_path(pixel), noted(), tools.plan.form)
    tools.drafts.append((notes, pixel, tools.finisher.submit(draft.publish), False))


def _write_margins(tools: _Tools) -> None:
    """Write the margin leaves of the bucket's tiles: those of one tile fit in memory, and as many more as do."""
    given, form = tools.given, tools.plan.form
    numbers, counts = np.unique(np.concatenate(given.margin_tiles), return_counts=True)
    for low, high in _windows(counts.tolist(), given.window_rows):
        rows, tiles = _margin_window(given, int(numbers[low]), int(numbers[high - 1]), form.schema)
        for number in numbers[low:high].tolist():
            part = rows.take(pa.array(np.flatnonzero(tiles == number)))
            _write_margin_leaf(tools, number, _sorted_table(part.combine_chunks(), _keys(form)))


def _margin_window(given: SortInput, first: int, last: int, schema: pa.Schema) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return the margin rows of tiles `first` to `last`, and the tile of each."""
    met = [n for n, block in enumerate(given.margin_blocks) if block.low <= last and block.high >= first]
    batches, tiles = [], []
    for number, batch in zip(met, read_blocks([given.margin_blocks[n] for n in met]), strict=True):
        start, stop = np.searchsorted(given.margin_tiles[number], [first, last + 1]).tolist()
        batches.append(batch.slice(start, stop - start))
        tiles.append(given.margin_tiles[number][start:stop])
    return pa.Table.from_batches(batches, schema), np.concatenate(tiles)


def _write_margin_leaf(tools: _Tools, number: int, table: pa.Table) -> None:
    """Write one margin leaf of sorted rows."""
    pixel = tools.tiling_pixels[number - tools.first_tile]
    directory = tools.workspace.margin(tools.plan.table.margin_arcsec)
    draft = draft_leaf(directory / leaf_path(pixel), row_groups(table, tools.plan.form), tools.plan.form)
    notes = _Notes(tools.plan.placement, tools.map_order)
    notes.add(table)
    tools.drafts.append((notes, pixel, tools.finisher.submit(draft.publish), True))


class _Notes:
    """What a leaf's rows tell beside the file that holds them, gathered group by group."""

    def __init__(self, placement: Placement, map_order: int) -> None:
        self._placement, self._shift = placement, order_shift(map_order)
        self._low, self._high = -1, -1
        self._separation = 0.0
        self._pixels: list[NDArray[np.int64]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._inputs: dict[int, int] = {}

    def add(self, group: pa.Table) -> None:
        """Note the rows of the next row group."""
        index = group.column(HEALPIX_COLUMN).to_numpy()
        if len(index) == 0:
            return
        self._low = int(index[0]) if self._low < 0 else self._low
        self._high = int(index[-1])
        pixels, counts = sorted_counts(index >> self._shift)
        self._pixels.append(pixels)
        self._counts.append(counts)
        self._separation = max(self._separation, _max_separation(group, self._placement))
        rows = np.bincount(group.column(INPUT_COLUMN).to_numpy())
        for number in np.flatnonzero(rows).tolist():
            self._inputs[number] = self._inputs.get(number, 0) + int(rows[number])

    def facts(self, pixel: Pixel, summary: LeafSummary) -> LeafFacts:
        """Return all facts about the leaf."""
        return LeafFacts(
            pixel=pixel,
            summary=summary,
            healpix_min=self._low,
            healpix_max=self._high,
            max_separation_deg=self._separation,
            map_pixels=np.concatenate(self._pixels),
            map_rows=np.concatenate(self._counts),
            input_rows=self._inputs,
        )


def _max_separation(table: pa.Table, placement: Placement) -> float:
    """Return the largest separation between own and declared position, in degrees, rounded up a little."""
    if placement.own_ra_column in (None, placement.ra_column):
        return 0.0
    own = [degrees(table.column(name)) for name in (placement.own_ra_column, placement.own_dec_column)]
    declared = [degrees(table.column(name)) for name in (placement.ra_column, placement.dec_column)]
    with np.errstate(invalid="ignore"):  # an own position may be infinite: such a row lies in no region
        separations = separation_deg(*own, *declared)
    usable = np.isfinite(separations)
    return float(separations[usable].max(initial=0.0)) * (1 + 1e-12) + (1e-12 if usable.any() else 0.0)
