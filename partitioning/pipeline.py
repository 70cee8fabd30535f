"""The build, stage by stage: the table of contents of the partitioner."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate
from pathlib import Path

from .append import Changes, decide_touched, finish_append, open_changes, published_inputs
from .checks.report import Full, Scope, require_clean
from .config import BuildConfig, TableConfig
from .estimate import check_room, estimate_build, fewer_for_groups, fewer_workers, input_rows, workers_of_table
from .exceptions import ConfigError, DamagedSpillError, LayoutError
from .executors import Executor, InlineExecutor, LocalExecutor, announced_stage, await_helpers, spare_memory
from .job import Job, told
from .layout.checksums import write_checksums
from .layout.manifest import IndexRecord, Manifest, MarginRecord, read_manifest
from .lease import Held, lease
from .prepare import Opened, Wanted, open_inputs, resume_or_begin, sweep_published
from .progress import Lines, Teller
from .readers.felis import FelisTable, read_felis
from .readers.source import Source
from .releases import children_of
from .stages.account import input_records, orphan_rows, reject_files, rejected_reasons
from .stages.assemble import Facts, assemble_catalog, assemble_index, assemble_margin, assemble_plain
from .stages.bucket import BucketPlan, read_bucket_plan
from .stages.damage import read_damage
from .stages.flat_index import begin_flat_index
from .stages.give_back import GiveBack
from .stages.id_index import first_runs, forget_index, merge_runs, plan_index
from .stages.id_runs import is_flat
from .stages.ledger import Ledger
from .stages.maps import load_fits
from .stages.parents import Parent, make_lookup, open_parent
from .stages.plan import TablePlan
from .stages.publish import current_release, move_release, publish_release, publish_schema
from .stages.run import Share, lookup_of
from .stages.spill_index import write_spill_index
from .stages.tiles import count_in_units, make_tiles
from .stages.tiling import Tiling
from .stages.workspace import Workspace, column_stage

__all__ = ["SMALL_BYTES", "BuiltTable", "append", "build", "build_order", "build_time"]

SMALL_BYTES = 64 << 20
"""Tables with less input are built in this process: starting others takes longer."""


@dataclass(frozen=True)
class BuiltTable:
    """One published table."""

    name: str
    directory: Path
    """Directory of the release."""
    manifest: Manifest
    seconds: Mapping[str, float]
    """Wall time of each stage."""


def build(  # noqa: PLR0913  options of one call, by name only
    config: BuildConfig,
    *,
    teller: Teller | None = None,
    report: Callable[[str], None] = lambda _: None,
    created: str | None = None,
    skip_bad: bool = False,
    executor: Executor | None = None,
) -> tuple[BuiltTable, ...]:
    """Build all tables of a configuration, parents before children, and publish them together.

    Nothing is visible until every table is built and verified; a build that fails leaves what was published, and the
    next one goes on where it stopped.

    Parameters
    ----------
    teller
        Where progress goes; by default lines to `report`.
    report
        Called with one line of progress at a time.
    created
        ISO 8601 UTC time that the release carries; by default `build_time`.
    skip_bad
        Whether damaged parts of the input are left out and reported, rather than ending the build.
    executor
        Where units of work run; by default in processes of this machine.

    Raises
    ------
    ConfigError
        If the configuration does not fit the input, or another build of a table is running.
    InputError
        If an input is missing, unreadable or inconsistent.
    LayoutError
        If what was written does not pass verification.
    """
    run = _Run(config, teller or Lines(report), created or build_time(), executor, skip_bad=skip_bad)
    opened = {t.name: open_inputs(config, t, run.felis(t), skip_bad=skip_bad) for t in build_order(config.tables)}
    with run.leases(config.tables):
        return run.all_tables({name: _Task(one) for name, one in opened.items()})


def append(  # noqa: PLR0913  options of one call, by name only
    config: BuildConfig,
    *,
    replaced: Sequence[str] = (),
    teller: Teller | None = None,
    report: Callable[[str], None] = lambda _: None,
    created: str | None = None,
    skip_bad: bool = False,
    executor: Executor | None = None,
) -> tuple[BuiltTable, ...]:
    """Add the input files that are new to the published tables of a configuration, as their next releases.

    Leaves that no new row concerns are linked, not copied. Readers of the former release finish undisturbed.

    Parameters
    ----------
    replaced
        Names of published input files whose rows are taken out and read again.

    Returns
    -------
    tuple
        The tables that have a new release; none for a table without new files.

    Raises
    ------
    ConfigError
        If the configuration does not fit the published release, or another build of a table is running.
    InputError
        If an input is missing, unreadable or inconsistent, or a published file has changed.
    LayoutError
        If what was written does not pass verification.
    """
    run = _Run(config, teller or Lines(report), created or build_time(), executor, skip_bad=skip_bad)
    # the published release is looked at under the lease: another append may have made it the last one but one
    with run.leases([table for table in config.tables if (config.root / config.schema / table.name).is_dir()]):
        return run.all_tables(_append_tasks(config, run, replaced, skip_bad=skip_bad))


def _append_tasks(config: BuildConfig, run: "_Run", replaced: Sequence[str], *, skip_bad: bool) -> dict[str, "_Task"]:
    """Find what is new in the input of each table."""
    tasks = {}
    for table in build_order(config.tables):
        names = [name for name in replaced if name in published_inputs(config, table)]
        changes = open_changes(config, table, run.felis(table), names, skip_bad=skip_bad)
        if changes is None:
            run.say(table, "nothing new")
            sweep_published(config, table.name)
        else:
            tasks[table.name] = _Task(changes.opened, changes)
    unknown = set(replaced) - {name for task in tasks.values() if task.changes for name in task.changes.replaced_names}
    if unknown:
        msg = f"--replace {min(unknown)}: no published table of this configuration has such an input file"
        raise ConfigError(msg)
    return tasks


def _executor_of(config: BuildConfig, sources: Iterable[Source]) -> Executor:
    workers = Share.workers_within(config.memory, config.workers)
    share = Share.of(config.memory, workers)
    if workers == 1:
        spare_memory(share)
        return InlineExecutor(share)
    executor = LocalExecutor(share, workers)
    if any(_is_large(source) for source in sources):
        executor.start()
    return executor


def _is_large(source: Source) -> bool:
    """Return whether an input is large enough for processes of their own; few of its files are looked at if it is."""
    sizes = accumulate(file.path.stat().st_size for file in source.files)
    try:
        return any(size >= SMALL_BYTES for size in sizes)
    except OSError:
        return False  # whoever reads the file says what is wrong with it


def build_order(tables: tuple[TableConfig, ...]) -> list[TableConfig]:
    """Return the tables, each after its parent.

    Raises
    ------
    ConfigError
        If tables are each other's parents.
    """
    names = {table.name for table in tables}
    waiting, done = list(tables), list[TableConfig]()
    while waiting:
        placed = {table.name for table in done}
        ready = [t for t in waiting if t.position_from is None or t.position_from.parent in placed | _missing(t, names)]
        if not ready:
            msg = f"position_from goes in a circle through {', '.join(sorted(table.name for table in waiting))}"
            raise ConfigError(msg)
        done += ready
        waiting = [table for table in waiting if table not in ready]
    return done


def build_time() -> str:
    """Return the time that a release carries: ``SOURCE_DATE_EPOCH`` if set, else now; ISO 8601, UTC, whole seconds."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _missing(table: TableConfig, names: set[str]) -> set[str]:
    """Return the parent's name if this build does not make it: it must be published already."""
    return set() if table.position_from is None or table.position_from.parent in names else {table.position_from.parent}


def _parent_of(config: BuildConfig, table: TableConfig, built: Mapping[str, Job]) -> Parent | None:
    """Return the parent as built just now, or as published."""
    if table.position_from is None:
        return None
    name = table.position_from.parent
    if name in built:
        return open_parent(name, built[name].catalog)
    published = current_release(config.root / config.schema / name)
    if published is None:
        msg = f"table {table.name!r}: parent {name!r} is neither in this configuration nor published"
        raise ConfigError(msg)
    return open_parent(name, published)


@dataclass(frozen=True)
class _Task:
    """What there is to do for one table."""

    opened: Opened
    changes: Changes | None = None
    """What an append adds; None: the table is built from all of its input."""


class _Run:
    """One run over the tables of a configuration, parents before children."""

    def __init__(
        self, config: BuildConfig, teller: Teller, created: str, executor: Executor | None, *, skip_bad: bool
    ) -> None:
        self._config, self._teller, self._created, self._skip_bad = config, teller, created, skip_bad
        self._executor = executor
        self._held: dict[str, Held] = {}
        self._open = ExitStack()
        self._described = {} if config.schema_file is None else read_felis(config.schema_file)

    def felis(self, table: TableConfig) -> FelisTable | None:
        """Return the description of a table."""
        return self._described.get(table.name)

    def say(self, table: TableConfig, text: str) -> None:
        """Say one thing about a table."""
        self._teller.line(f"{self._config.schema}.{table.name}: {text}")

    @contextmanager
    def leases(self, tables: Iterable[TableConfig]) -> Iterator[None]:
        """Hold the leases of some tables."""
        with ExitStack() as stack:
            for table in tables:
                home = self._config.root / self._config.schema / table.name
                self._held[table.name] = stack.enter_context(lease(home))
            yield

    def all_tables(self, tasks: Mapping[str, _Task]) -> tuple[BuiltTable, ...]:
        """Build the tables that there are tasks for, and publish them together."""
        config, built = self._config, dict[str, Job]()
        with self._open as stack:
            if self._executor is None and tasks and (fewer := fewer_workers(config)):
                self._teller.line(f"workers: {fewer}")
            pool = self._executor or _executor_of(config, [task.opened.source for task in tasks.values()])
            stack.callback(pool.close)
            for table in build_order(config.tables):
                if table.name in tasks:
                    parent = _parent_of(config, table, built)
                    built[table.name] = self._one_table(table, tasks[table.name], parent, pool)
            with told(f"{config.schema}: publication"):
                return _publish(config, list(built.values()))

    def _one_table(self, table: TableConfig, task: _Task, parent: Parent | None, pool: Executor) -> Job:
        """Bring one table to where it can be published; a release that an earlier run completed is left as it is."""
        changes = task.changes
        wanted = Wanted(
            config=self._config,
            table=table if changes is None else changes.table,
            opened=task.opened,
            parent=parent,
            created=self._created,
            skip_bad=self._skip_bad,
            first_number=0 if changes is None else changes.first_number,
            base=None if changes is None else changes.base,
        )
        await_helpers(self._config.root / self._config.schema / table.name)
        with told(f"{self._config.schema}.{table.name}: beginning"):
            workspace, plan = resume_or_begin(wanted, partial(self.say, table))
        small = sum(file.bytes for file in plan.inputs) < SMALL_BYTES and self._executor is None
        executor = InlineExecutor(pool.share) if small else self._with_room(pool, plan)
        held = self._held[table.name]
        job = Job(self._config, table, plan, workspace, self.felis(table), executor, self._teller, held)
        job.say(f"{len(plan.inputs)} input files, {len(plan.schema)} columns")
        if note := plan.unserved_note():
            job.say(f"not served: {note}")
        if executor is not pool and (fewer := fewer_for_groups(self._config, plan.form)):
            job.say(f"workers: {fewer}")
        for error in task.opened.damaged:
            job.say(f"left out: {error}")
        if job.is_complete:
            workspace.sweep_temporary()  # a kill at the moment of publication leaves half a pointer
            return job
        if changes is None:
            _estimate(job, parent)
        if plan.is_tiled:
            _build_catalog(job, parent, changes)
        else:
            _build_plain(job)
        return job

    def _with_room(self, pool: Executor, plan: TablePlan) -> Executor:
        """Return an executor whose processes have room for the row groups of a table: there may be fewer of them."""
        memory, workers = self._config.memory, workers_of_table(self._config, plan.form)
        if self._executor is not None or workers == Share.workers_within(memory, self._config.workers):
            return pool
        pool.close()  # its processes take memory meanwhile; they start again when they are needed
        share = Share.of(memory, workers)
        executor: Executor = InlineExecutor(share) if workers == 1 else LocalExecutor(share, workers)
        self._open.callback(executor.close)
        return executor


def _estimate(job: Job, parent: Parent | None, tiling: Tiling | None = None) -> None:
    """Tell what the build takes, and refuse one that does not fit, unless it has begun already.

    An append makes the tiles anew that get new rows: it is known what it takes once they are.
    """
    plan, stage = job.plan, "place" if tiling is None else "bucket"
    parent_rows = 0 if parent is None else parent.manifest.rows
    workers = job.config.workers
    estimate = estimate_build(plan, input_rows(plan), workers=workers, tiling=tiling, parent_rows=parent_rows)
    job.say(str(estimate))
    units = len(plan.units) if tiling is None else plan.unit_count
    if len(job.workspace.pending(stage, units)) == units:
        check_room(job.config, estimate, job.name)


def _build_catalog(job: Job, parent: Parent | None, changes: Changes | None) -> None:
    with told(f"{job.name}: sort"), GiveBack(job.workspace, job.plan) as spill:
        buckets = _leaves(job, parent, changes, spill)
        ledger = Ledger.read(job.plan.form.schema, [job.workspace.record("sort", n) for n in range(buckets.count)])
        threading.Thread(target=load_fits).start()  # while the processes work, it costs no time
        with job.stage("index"):
            indexes = tuple(_index(job, column, buckets.count) for column in job.plan.table.index_columns)
    job.executor.rest()
    with job.stage("maps"):
        if changes is None:
            scope: Scope = Full()
            _assemble(job, ledger, buckets, indexes)
        else:
            scope = finish_append(job, changes, ledger, buckets.tiling, indexes)
    _verify(job, scope)


def _leaves(job: Job, parent: Parent | None, changes: Changes | None, spill: GiveBack) -> BucketPlan:
    """Write the leaves; spill files that turn out to be damaged are made again as long as it is not always the same."""
    damaged = set[int]()
    while True:
        try:
            return _leaves_once(job, parent, changes, spill)
        except DamagedSpillError as error:
            if error.unit in damaged:
                raise
            damaged.add(error.unit)
            spill.settle()
            job.say(f"the spill files of input unit {error.unit} are damaged; it is placed and spilled again")


def _leaves_once(job: Job, parent: Parent | None, changes: Changes | None, spill: GiveBack) -> BucketPlan:
    with job.stage("place"):
        _place(job, parent)
        if changes is not None:
            decide_touched(job, parent)
            _place(job, parent)
        _tell_orphans(job)
    with job.stage("tiling"):
        buckets = _tiles(job, parent)
    if changes is not None:
        _estimate(job, parent, buckets.tiling)
    with job.stage("bucket"):
        job.run("bucket", job.plan.unit_count)
        write_spill_index(job.workspace, job.plan.unit_count, buckets.count)
        _tell_rejects(job)
        _tell_damage(job)
    if job.workspace.pending("sort", buckets.count):
        forget_index(job.workspace)
    with job.stage("sort"):
        # what helpers of several machines wrote cannot be flushed here, and one that was thought dead may still read
        if job.executor.is_local and announced_stage(job.workspace.home) is None:
            job.run("sort", buckets.count, spill.done)
        else:
            job.run("sort", buckets.count)
    return buckets


def _build_plain(job: Job) -> None:
    with job.stage("write"):
        job.run("sort", 1)
        _tell_damage(job)
    ledger = Ledger.read(job.plan.form.schema, [job.workspace.record("sort", 0)])
    job.say(f"{ledger.rows} rows in one file, without positions")
    inputs = input_records(job.workspace, job.plan, ledger)
    assemble_plain(Facts(plan=job.plan, workspace=job.workspace, felis=job.felis, ledger=ledger, inputs=inputs))
    _verify(job, Full())


def _verify(job: Job, scope: Scope) -> None:
    """Check what was written, not what an append links; what does not pass is made again by the next build."""
    job.workspace.sweep_temporary()  # all units are done: what is left half-written is nobody's
    job.executor.rest()
    with job.stage("verify"):
        for catalog in _catalogs(job.workspace):
            write_checksums(catalog)
        try:
            report = job.verified(job.workspace.catalog, scope)
            require_clean(report)
        except LayoutError:
            job.forget_leaves()
            raise


def _catalogs(workspace: Workspace) -> list[Path]:
    """Return the directories of a release under construction: main catalog, margins, id indexes."""
    manifest = read_manifest(workspace.catalog)
    beside = [*(record.directory for record in manifest.margins), *(record.directory for record in manifest.indexes)]
    return [workspace.catalog, *(workspace.staging / name for name in beside)]


def _place(job: Job, parent: Parent | None) -> None:
    plan, workspace = job.plan, job.workspace
    lookup = lookup_of(workspace, plan, job.executor.share)
    pending = workspace.pending("place", plan.unit_count)
    if lookup is not None and parent is not None and pending and not lookup.path.exists():
        make_lookup(lookup, parent)
    job.run("place", plan.unit_count)


def _tell_orphans(job: Job) -> None:
    wanted, orphans = job.plan.table.position_from, orphan_rows(job.workspace, job.plan)
    if orphans and wanted is not None:
        job.say(f"{orphans} rows have no parent in {wanted.parent}; placed by their own position")


def _tiles(job: Job, parent: Parent | None) -> BucketPlan:
    if job.workspace.tiling.exists():
        return read_bucket_plan(job.workspace)
    refine = count_in_units(job.workspace, job.plan, job.run)
    finer = None if parent is None else parent.partitions
    buckets = make_tiles(job.workspace, job.plan, finer, job.executor.share, refine)
    tiling = buckets.tiling
    orders = f"orders {tiling.orders.min(initial=29)} to {tiling.orders.max(initial=0)}"
    job.say(f"{tiling.rows.sum()} rows, {len(tiling)} tiles of {orders}, {buckets.count} buckets")
    return buckets


def _tell_rejects(job: Job) -> None:
    for reason, rows in rejected_reasons(job.workspace, job.plan).items():
        job.say(f"{rows} rows rejected: {reason}")


def _tell_damage(job: Job) -> None:
    for damage in read_damage(job.workspace):
        job.say(f"left out: {job.plan.inputs[damage.file].name}: {damage.problem}")


def _index(job: Job, column: str, buckets: int) -> IndexRecord:
    first = first_runs(job.workspace, column, buckets)
    parts = plan_index(job.workspace, job.plan, column, first, merge_runs(job.workspace, column, first, job.run))
    job.run(column_stage("index", column), parts)
    if is_flat(job.plan.form.schema.field(column).type):
        job.run(begin_flat_index(job.workspace, column, parts), parts)
    return assemble_index(job.workspace, job.plan, column, parts)


def _assemble(job: Job, ledger: Ledger, buckets: BucketPlan, indexes: tuple[IndexRecord, ...]) -> None:
    plan, workspace = job.plan, job.workspace
    margins: tuple[MarginRecord, ...] = ()
    if plan.table.margin_arcsec and ledger.margin_files.num_rows:
        directory = workspace.margin(plan.table.margin_arcsec)
        margins = (assemble_margin(workspace, plan, ledger.margin_files, plan.placement, directory),)
    facts = Facts(
        plan=plan,
        workspace=workspace,
        felis=job.felis,
        ledger=ledger,
        inputs=input_records(workspace, plan, ledger),
        margins=margins,
        indexes=indexes,
    )
    assemble_catalog(facts, plan.placement, map_order=buckets.map_order, rejects=reject_files(workspace, plan))


def _publish(config: BuildConfig, jobs: list[Job]) -> tuple[BuiltTable, ...]:
    """Make the schema file and all tables visible, parents first."""
    for job in jobs:
        job.held.check()
        move_release(job.workspace)
    if config.schema_file is not None:
        publish_schema(config.schema_file, config.root / config.schema)
    published = []
    for job in jobs:
        job.held.check()
        directory = publish_release(job.workspace)
        manifest = read_manifest(directory)
        job.say(f"published {directory.name}: {manifest.rows} rows, {manifest.bytes / 1e6:.1f} MB")
        published.append(BuiltTable(job.table.name, directory, manifest, job.seconds))
    for job in jobs:
        for child, placed_by in children_of(job.workspace.home).items():
            if placed_by != job.plan.release:
                job.say(f"warning: {child} was placed by an older release of this table; build it again")
        job.workspace.sweep()
    for job in jobs:  # at last, so that a build that is killed here is told from one that never was
        job.workspace.forget()
    return tuple(published)
