"""What a dry run found out about one table, in words."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .describe import spread
from .estimate import PASSES, Estimate
from .progress import duration, size_text
from .stages.account import orphan_rows, placed_rows
from .stages.places import Places, Unplaced
from .stages.plan import TablePlan
from .stages.tiling import Tiling
from .stages.workspace import Workspace

__all__ = ["Forecast", "estimate_facts", "input_fact", "reject_facts", "tile_facts", "total_lines"]

Fact = tuple[str, str]
"""What is told, and the text."""


@dataclass
class Forecast:
    """What a dry run found out about one table."""

    name: str
    facts: list[Fact] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    plan: TablePlan | None = None
    """As it would be built; None: it could not be opened, or nothing is to be done."""
    tiling: Tiling | None = None
    estimate: Estimate | None = None

    def lines(self) -> Iterator[str]:
        """Yield the facts as lines."""
        yield from (f"  {what:<11}{text}" for what, text in self.facts)


def input_fact(plan: TablePlan, rows: int) -> Fact:
    """Tell what is read."""
    size = sum(file.bytes for file in plan.inputs)
    return "input", f"{len(plan.inputs)} files, {size_text(size)}, {rows} rows, {len(plan.schema)} columns"


def reject_facts(workspace: Workspace, plan: TablePlan) -> Iterator[Fact]:
    """Tell what becomes of rows that have no place, or none in their parent's."""
    rejected = _unplaced_rows(workspace, plan)
    for code, rows in sorted(rejected.items(), reverse=True):
        yield "rejected", f"{rows} rows: {Unplaced(code).reason}"
    orphans = orphan_rows(workspace, plan)
    if orphans:
        yield "orphans", f"{orphans} rows have no parent; they are placed by their own position"
    if plan.base is not None:
        tiles = len(plan.base.touched_tiles)
        yield "changes", f"{tiles} of {len(plan.base_map)} published tiles; {placed_rows(workspace, plan)} new rows"


def tile_facts(plan: TablePlan, tiling: Tiling) -> Iterator[Fact]:
    """Tell tiles, and rows, bytes and row groups of each."""
    if len(tiling) == 0:
        yield "tiles", "none: no row has a place"
        return
    yield "tiles", f"{len(tiling)} of orders {tiling.orders.min()} to {tiling.orders.max()}"
    yield "rows", f"per tile: {spread(tiling.rows)}"
    yield "bytes", f"per tile: {spread(tiling.rows * plan.stored_bytes, size_text)} (estimated)"
    groups = -(-tiling.rows // plan.form.most_group_rows)
    yield "row groups", f"per file: {spread(groups)}; of at most {plan.form.most_group_rows} rows"
    crowded = int(np.count_nonzero(tiling.rows > plan.target_rows))
    if crowded:
        yield "crowded", f"{crowded} tiles have more than the {plan.target_rows:.0f} rows wanted, at the finest order"


def estimate_facts(plan: TablePlan, estimate: Estimate) -> Iterator[Fact]:
    """Tell bytes and time."""
    margin = f"margin of {plan.table.margin_arcsec:g} arcsec {size_text(estimate.margin_bytes)}"
    parts = f"tiles {size_text(estimate.main_bytes)}, {margin}, id indexes {size_text(estimate.index_bytes)}"
    yield (
        "output",
        f"{size_text(estimate.output_bytes)}: {parts}" if plan.is_tiled else size_text(estimate.output_bytes),
    )
    yield "spill", size_text(estimate.spill_bytes)
    yield "time", duration(estimate.seconds)


def total_lines(estimates: list[Estimate], workers: int) -> Iterator[str]:
    """Tell what all tables take together, and what the estimates rest on."""
    output, spill = (sum(sizes) for sizes in zip(*((e.output_bytes, e.spill_bytes) for e in estimates), strict=True))
    seconds = duration(sum(one.seconds for one in estimates))
    yield f"all tables: {size_text(output)} of output, {size_text(spill)} of spill files until published, {seconds}"
    yield (
        f"assumed: {workers} workers encode all rows as fast as one process did some here just now, "
        f"and take {PASSES:g} times that for all they do"
    )


def _unplaced_rows(workspace: Workspace, plan: TablePlan) -> dict[int, int]:
    """Return the rows without a place by their code."""
    counts: dict[int, int] = {}
    for unit in range(plan.unit_count):
        places = Places(workspace.places(unit), has_parent=plan.stores_parent)
        for codes in places.code_chunks():
            for code, rows in zip(*(part.tolist() for part in np.unique(codes, return_counts=True)), strict=True):
                counts[code] = counts.get(code, 0) + rows
    counts.pop(int(Unplaced.REMOVED), None)
    return counts
