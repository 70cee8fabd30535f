"""A dry run: everything that can be told of a build before it writes anything under the root.

All inputs are opened and every row is placed, as the build would, below a temporary directory that is removed; the
rest is estimated from a sample of the rows.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .append import Changes, open_changes, published_inputs
from .config import BuildConfig, TableConfig
from .estimate import estimate_build, existing, fewer_for_groups, fewer_workers, memory_problems, room_problems
from .exceptions import ConfigError, PartitioningError
from .executors import InlineExecutor, LocalExecutor
from .forecast import Forecast, estimate_facts, input_fact, reject_facts, tile_facts, total_lines
from .job import workspace_of
from .layout.partition_map import PartitionMap
from .pipeline import SMALL_BYTES, build_order
from .prepare import Opened, Wanted, make_plan
from .problems import try_inputs
from .progress import Teller
from .readers.felis import FelisTable, read_felis
from .stages.account import placed_rows
from .stages.base import touched_tiles
from .stages.damage import read_damage
from .stages.moved_parents import check_published_places
from .stages.parents import Parent, check_keys, make_lookup, open_parent
from .stages.plan import TablePlan, write_plan
from .stages.publish import current_release
from .stages.run import Share, lookup_of
from .stages.tiles import make_tiles
from .stages.tiling import Tiling
from .stages.workspace import Workspace

__all__ = ["dry_run"]


def dry_run(
    config: BuildConfig, teller: Teller, *, skip_bad: bool = False, replaced: Sequence[str] | None = None
) -> bool:
    """Tell what a build or an append would do, and all that is wrong; return whether nothing is.

    Parameters
    ----------
    teller
        Where it is told.
    skip_bad
        Whether damaged parts of the input are left out, so that they are no problem.
    replaced
        Input files that an append replaces; None: all tables are built anew.

    Raises
    ------
    ConfigError
        If tables are each other's parents, or the schema file cannot be read.
    """
    described = {} if config.schema_file is None else read_felis(config.schema_file)
    with ExitStack() as stack:
        where = config.spill if config.spill is not None and config.spill.is_dir() else None
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="catalog-partition-", dir=where))
        workers = Share.workers_within(config.memory, config.workers)
        pool = LocalExecutor(Share.of(config.memory, workers), workers)
        stack.enter_context(closing(pool))
        if fewer := fewer_workers(config):
            teller.line(f"workers: {fewer}")
        run = _DryRun(config, Path(scratch), pool, teller, described, skip_bad=skip_bad, replaced=replaced)
        for table in build_order(config.tables):
            forecast = run.table(table)
            for line in (f"{config.schema}.{table.name}", *forecast.lines()):
                teller.line(line)
    return _conclude(config, teller, list(run.forecasts.values()))


def _conclude(config: BuildConfig, teller: Teller, forecasts: Sequence[Forecast]) -> bool:
    """Tell what all tables take together, and what is wrong; return whether nothing is."""
    estimates = [one.estimate for one in forecasts if one.estimate is not None]
    problems = [problem for one in forecasts for problem in one.problems]
    if not os.access(existing(config.root), os.W_OK):
        problems.append(f"{config.root}: cannot be written; set release.root or pass --root")
    if estimates:
        problems += room_problems(config, estimates)
        for line in total_lines(estimates, config.workers):
            teller.line(line)
    different = dict.fromkeys(problems)
    for problem in different:
        teller.line(f"problem: {' '.join(problem.split())}")
    teller.line(f"{len(different) or 'no'} problem{'s' * (len(different) != 1)} found; nothing was written")
    return not problems


@dataclass
class _DryRun:
    """One dry run over the tables of a configuration, parents before children."""

    config: BuildConfig
    scratch: Path
    pool: LocalExecutor
    teller: Teller
    described: Mapping[str, FelisTable]
    skip_bad: bool = field(kw_only=True)
    replaced: Sequence[str] | None = field(kw_only=True)
    forecasts: dict[str, Forecast] = field(default_factory=dict)

    def table(self, table: TableConfig) -> Forecast:
        """Find out about one table."""
        forecast = self.forecasts[table.name] = Forecast(table.name)
        try:
            opened, changes = self._open(table, forecast)
            if opened is not None:
                self._measure(table, opened, changes, forecast)
        except (PartitioningError, OSError) as error:
            forecast.problems.append(str(error))
        return forecast

    def _open(self, table: TableConfig, forecast: Forecast) -> tuple[Opened | None, Changes | None]:
        """Open the input, and note what is wrong with it; nothing is returned if there is nothing to do with it."""
        felis, changes = self.described.get(table.name), None
        if self.replaced is None:
            opened, problems = try_inputs(self.config, table, felis)
            forecast.problems += map(str, problems)
        else:
            names = [name for name in self.replaced if name in published_inputs(self.config, table)]
            changes = open_changes(self.config, table, felis, names, skip_bad=True)
            opened = None if changes is None else changes.opened
            if opened is None:
                forecast.facts.append(("input", "nothing new"))
        self._note_damage(forecast, [str(error) for error in (() if opened is None else opened.damaged)])
        return opened, changes

    def _note_damage(self, forecast: Forecast, damaged: Sequence[str]) -> None:
        if self.skip_bad:
            forecast.facts += [("left out", text) for text in damaged]
        else:
            forecast.problems += [f"{text}; mend the file, or say --skip-bad" for text in damaged]

    def _measure(self, table: TableConfig, opened: Opened, changes: Changes | None, forecast: Forecast) -> None:
        """Place the rows, choose tiles, and note what follows from them."""
        parent, by_own = self._parent(table, opened, forecast)
        plan = forecast.plan = self._plan(table, opened, parent, changes)
        if note := plan.unserved_note():
            forecast.facts.append(("not served", note))
        if plan.is_tiled and (parent is not None or table.ra is not None):
            rows = self._place(
                replace(plan, table=replace(plan.table, position_from=None)) if by_own else plan, parent, forecast
            )
        else:
            rows = sum(batch.num_rows for _, batch in plan.source.batches(plan.schema.names[:1], batch_rows=1 << 16))
            unknown = "" if table.position_from is None else f"known only once {table.position_from.parent} is built"
            forecast.facts += [
                input_fact(plan, rows),
                ("tiles", unknown or "none: a table without positions is one file"),
            ]
        parent_rows = 0 if parent is None else parent.manifest.rows
        estimate = forecast.estimate = estimate_build(
            plan, rows, workers=self.config.workers, tiling=forecast.tiling, parent_rows=parent_rows
        )
        forecast.facts += estimate_facts(plan, estimate)
        if fewer := fewer_for_groups(self.config, plan.form):
            forecast.facts.append(("workers", fewer))
        forecast.problems += memory_problems(self.config, plan.form, table.name)

    def _parent(self, table: TableConfig, opened: Opened, forecast: Forecast) -> tuple[Parent | None, bool]:
        """Return the published parent that places the rows, or else whether their own positions have to do."""
        wanted = table.position_from
        if wanted is None:
            return None, False
        ours = self.forecasts.get(wanted.parent)
        if ours is not None and ours.plan is not None:
            types = {column.name: str(column.type) for column in ours.plan.form.schema}
            check_keys(table, wanted, opened.source.schema, types, opened.source.file_name(0))
        if table.ra is None or ours is None or ours.plan is None:
            published = current_release(self.config.root / self.config.schema / wanted.parent)
            if published is not None:
                parent = open_parent(wanted.parent, published)
                forecast.facts.append(("placed by", f"{wanted.parent}, release {parent.manifest.release}"))
                return parent, False
        if ours is None:
            msg = f"table {table.name!r}: parent {wanted.parent!r} is neither in this configuration nor published"
            raise ConfigError(msg)
        if table.ra is not None:
            forecast.facts.append(("placed by", f"own position, for {wanted.parent} is not built yet"))
        if self.replaced is not None:
            forecast.facts.append(("not known", f"whether published rows must be placed again: {wanted.parent} grows"))
        return None, True

    def _plan(self, table: TableConfig, opened: Opened, parent: Parent | None, changes: Changes | None) -> TablePlan:
        scratch = replace(self.config, root=self.scratch / "root", spill=self.scratch / "spill")
        wanted = Wanted(
            config=scratch,
            table=table if changes is None else changes.table,
            opened=opened,
            parent=parent,
            created="",
            skip_bad=True,
            first_number=0 if changes is None else changes.first_number,
            base=None if changes is None else changes.base,
        )
        return make_plan(wanted, 1)

    def _place(self, plan: TablePlan, parent: Parent | None, forecast: Forecast) -> int:
        """Place all rows and choose tiles; return the rows."""
        scratch = replace(self.config, root=self.scratch / "root", spill=self.scratch / "spill")
        workspace = workspace_of(scratch, plan.table.name, 1)
        for directory in (workspace.staging, workspace.spill):
            directory.mkdir(parents=True)
        plan = self._place_rows(workspace, plan, parent)
        rows = placed_rows(workspace, plan)
        forecast.facts += [input_fact(plan, rows), *reject_facts(workspace, plan)]
        damage = read_damage(workspace)
        self._note_damage(forecast, [f"{plan.inputs[one.file].name}: {one.problem}" for one in damage])
        finer = parent.partitions if parent is not None else self._tiles_of_parent(forecast.name)
        forecast.tiling = make_tiles(workspace, plan, finer, self.pool.share).tiling
        forecast.facts += tile_facts(plan, forecast.tiling)
        return rows

    def _place_rows(self, workspace: Workspace, plan: TablePlan, parent: Parent | None) -> TablePlan:
        """Place all rows; of an append, afterwards those of the published tiles that change, too."""
        write_plan(workspace, plan)
        lookup = lookup_of(workspace, plan, self.pool.share)
        if lookup is not None and parent is not None:
            make_lookup(lookup, parent)
            if plan.base is not None:
                check_published_places(plan, lookup)
        self._run_place(workspace, plan)
        if plan.base is not None:
            touched = touched_tiles(workspace, plan, plan.base, None if parent is None else parent.partitions)
            plan = replace(plan, base=replace(plan.base, touched=touched))
            write_plan(workspace, plan)
            self._run_place(workspace, plan)
        return plan

    def _run_place(self, workspace: Workspace, plan: TablePlan) -> None:
        small = sum(file.bytes for file in plan.inputs) < SMALL_BYTES
        executor = InlineExecutor(self.pool.share) if small else self.pool
        self.teller.begin(f"{self.config.schema}.{plan.table.name}", "place", plan.unit_count, 0)
        try:
            executor.run(workspace, "place", plan.unit_count, lambda _, rows: self.teller.advance(rows))
        finally:
            self.teller.end()

    def _tiles_of_parent(self, child: str) -> PartitionMap | None:
        """Return the tiles that were found for the parent of a table, if it has one."""
        wanted = next(table.position_from for table in self.config.tables if table.name == child)
        ours = None if wanted is None else self.forecasts.get(wanted.parent)
        return None if ours is None or ours.tiling is None else _as_map(ours.tiling)


def _as_map(tiling: Tiling) -> PartitionMap:
    """Return tiles that have no files yet like those of a release."""
    none = np.zeros(len(tiling), dtype=np.int64)
    orders, separations = tiling.orders.astype(np.uint8), none.astype(np.float64)
    return PartitionMap(orders, tiling.numbers, tiling.starts, tiling.stops, tiling.rows, none, separations)
