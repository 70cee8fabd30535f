"""Sort units: each bucket is read back in windows that fit in memory, sorted, and cut into tiles, one leaf each.

A window is a run of tiles, or, for a tile that is larger than memory, the whole tile in several passes (`gather`).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..layout.leaf import LeafSummary, draft_leaf, row_groups
from ..layout.manifest import Placement
from ..layout.paths import HEALPIX_COLUMN, INPUT_COLUMN, leaf_path
from ..sky.healpix import Pixel, order_shift
from ..sky.separation import separation_deg
from .bucket import BucketPlan
from .counts import sorted_counts
from .gather import RowsOf, large_groups, sorted_rows
from .id_runs import IdRuns, unit_run_files
from .ledger import LeafFacts, UnitLedger
from .places import degrees
from .plan import TablePlan
from .sketch import Sketches
from .spill import Block, read_blocks, rows_of_groups
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
    run_bytes: int
    """Bytes of entries of an id index that are sorted at once."""


def sort_unit(workspace: Workspace, plan: TablePlan, buckets: BucketPlan, given: SortInput) -> int:
    """Write every tile of a bucket, its margin, its id runs, and the record of them; return the rows."""
    ledger = UnitLedger(plan.form.schema)
    with ThreadPoolExecutor(1) as finisher:
        tools = _Tools(
            plan=plan,
            workspace=workspace,
            given=given,
            tiling_pixels=[buckets.tiling.pixel(tile) for tile in range(*buckets.tiles(given.bucket))],
            first_tile=buckets.tiles(given.bucket)[0],
            map_order=buckets.map_order,
            finisher=finisher,
            drafts=[],
            sketches=Sketches(plan.form.schema),
            runs=IdRuns(workspace, plan.table.index_columns, given.bucket, given.run_bytes),
        )
        _write_tiles(tools, buckets)
        tools.runs.flush()
        if plan.table.margin_arcsec and given.margin_blocks:
            _write_margins(tools)
    for notes, pixel, summary, is_margin in tools.drafts:
        ledger.add(notes.facts(pixel, summary.result()), margin=is_margin)
    names = tools.runs.names
    runs = unit_run_files(workspace, plan.table.index_columns, names)
    sizes = [path.stat().st_size for path in runs]
    ledger.write(workspace.record("sort", given.bucket), tools.sketches, names, sizes)
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
    """Puts leaves in place while the next one is made."""
    drafts: list[tuple["_Notes", Pixel, Future[LeafSummary], bool]]
    sketches: Sketches
    runs: IdRuns


def _write_tiles(tools: _Tools, buckets: BucketPlan) -> None:
    """Write the leaves of a bucket's tiles, as many at once as fit in memory."""
    given = tools.given
    first, stop = buckets.tiles(given.bucket)
    starts = np.append(buckets.tiling.starts[first:stop], buckets.tiling.stops[stop - 1])
    for low, high in _windows(buckets.tiling.rows[first:stop].tolist(), given.window_rows):
        blocks = _overlapping(given.blocks, int(starts[low]), int(starts[high]))
        if high - low == 1 and int(buckets.tiling.rows[first + low]) > given.window_rows:
            _sort_large_tile(tools, blocks, low, (int(starts[low]), int(starts[high])))
        else:
            _sort_window(tools, blocks, low, starts[low : high + 1])


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


def _index_rows(batch: pa.RecordBatch, start: int, stop: int) -> tuple[int, int]:
    """Return which rows ``[first, stop)`` of a sorted batch have an index in ``[start, stop)``."""
    first, last = np.searchsorted(batch.column(HEALPIX_COLUMN).to_numpy(), [start, stop]).tolist()
    return first, last


def _sort_window(tools: _Tools, blocks: Sequence[Block], low: int, starts: NDArray[np.int64]) -> None:
    """Write the tiles whose index ranges begin at `starts` (the last item is the end of the last tile)."""
    form = tools.plan.form
    start, stop = int(starts[0]), int(starts[-1])
    spilled = tools.plan.spill_form
    parts = [rows_of_groups(batch, *_index_rows(batch[0], start, stop)) for batch in read_blocks(blocks, spilled)]
    table = sorted_rows(parts, spilled, form.sort_keys)
    edges = np.searchsorted(table.column(0).to_numpy(), starts).tolist()
    for tile, (first, stop) in enumerate(pairwise(edges), start=low):
        if stop > first:
            part = table.slice(first, stop - first)
            _write_tile(tools, tile, row_groups(part, form))


def _sort_large_tile(tools: _Tools, blocks: Sequence[Block], tile: int, bounds: tuple[int, int]) -> None:
    """Write a tile that does not fit in memory."""
    if blocks:  # else its rows turned out to be damaged after they were counted
        rows_of: RowsOf = lambda _, batch: _index_rows(batch, *bounds)  # noqa: E731
        _write_tile(tools, tile, large_groups(blocks, rows_of, tools.plan, tools.given.window_rows))


def _write_tile(tools: _Tools, tile: int, groups: Iterator[pa.Table]) -> None:
    """Write the leaf of a tile of the bucket."""
    watchers = (tools.sketches.add, tools.runs.add)
    _write_leaf(tools, tile, groups, tools.workspace.catalog, watchers, is_margin=False)


def _write_leaf(  # noqa: PLR0913  one call for tiles, one for margins
    tools: _Tools,
    tile: int,
    groups: Iterator[pa.Table],
    catalog: Path,
    watchers: Sequence[Callable[[pa.Table], None]] = (),
    *,
    is_margin: bool,
) -> None:
    """Write one leaf, noting everything about its rows as they pass by."""
    pixel = tools.tiling_pixels[tile]
    notes = _Notes(tools.plan.placement, tools.map_order)

    def noted() -> Iterator[pa.Table]:
        for group in groups:
            for watch in (notes.add, *watchers):
                watch(group)
            yield group
            del group  # before the next one is made

    draft = draft_leaf(catalog / leaf_path(pixel), noted(), tools.plan.form)
    tools.drafts.append((notes, pixel, tools.finisher.submit(draft.publish, flush=False), is_margin))


def _write_margins(tools: _Tools) -> None:
    """Write the margin leaves of the bucket's tiles, as many at once as fit in memory."""
    given, form = tools.given, tools.plan.form
    numbers, counts = np.unique(np.concatenate(given.margin_tiles), return_counts=True)
    for low, high in _windows(counts.tolist(), given.window_rows):
        tiles = numbers[low:high].tolist()
        met = [n for n, block in enumerate(given.margin_blocks) if block.low <= tiles[-1] and block.high >= tiles[0]]
        blocks, owners = [given.margin_blocks[n] for n in met], [given.margin_tiles[n] for n in met]
        if len(tiles) == 1 and int(counts[low]) > given.window_rows:
            rows_of: RowsOf = lambda n, _, owners=owners, tile=tiles[0]: _tile_rows(owners[n], tile, tile)  # type: ignore[misc]  # noqa: E731
            _write_margin(tools, tiles[0], large_groups(blocks, rows_of, tools.plan, given.window_rows))
            continue
        spans = [_tile_rows(owner, tiles[0], tiles[-1]) for owner in owners]
        window = [
            rows_of_groups(batch, *span)
            for batch, span in zip(read_blocks(blocks, tools.plan.spill_form), spans, strict=True)
        ]
        owners = [owner[slice(*span)] for owner, span in zip(owners, spans, strict=True)]
        for tile in tiles:
            mine = [_tile_rows(owner, tile, tile) for owner in owners]
            parts = [
                tuple(group.slice(first, stop - first) for group in groups)
                for groups, (first, stop) in zip(window, mine, strict=True)
            ]
            table = sorted_rows(parts, tools.plan.spill_form, form.sort_keys)
            _write_margin(tools, tile, row_groups(table, form))


def _tile_rows(owner: NDArray[np.int32], first: int, last: int) -> tuple[int, int]:
    """Return which rows ``[first, stop)`` are in the margins of tiles `first` to `last`; `owner` is sorted."""
    start, stop = np.searchsorted(owner, [first, last + 1]).tolist()
    return start, stop


def _write_margin(tools: _Tools, number: int, groups: Iterator[pa.Table]) -> None:
    """Write the margin leaf of a tile of the release."""
    directory = tools.workspace.margin(tools.plan.table.margin_arcsec)
    _write_leaf(tools, number - tools.first_tile, groups, directory, is_margin=True)


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
