"""The build, stage by stage: the table of contents of the partitioner."""

import difflib
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from .checks.report import Full, require_clean
from .checks.verify import verify_release
from .config import BuildConfig, TableConfig
from .exceptions import ConfigError, InputError, LayoutError
from .job import Job
from .layout.checksums import write_checksums
from .layout.leaf import LeafFormat
from .layout.manifest import Manifest, read_manifest
from .layout.paths import REJECTS_FILE
from .layout.schema import is_ordered
from .readers.base import find_inputs
from .readers.felis import read_felis
from .readers.source import Source, open_source
from .stages.assemble import Assembly, assemble_catalog, assemble_plain, placement_of
from .stages.bucket import Bucket, BucketPlan, Rejects, bucket_rows, group_tiles, stored_columns
from .stages.histogram import COARSE_ORDER, count_within, pixel_counts, place_by_own_position
from .stages.ledger import Ledger
from .stages.maps import map_order
from .stages.parents import Lookup, Parent, open_parent, place_by_parent
from .stages.places import Places
from .stages.plain import write_plain
from .stages.publish import clear_scratch, current_release, publish_release, publish_schema, staging_area
from .stages.sizes import RowSizes, bucket_capacity, chunk_rows, measure_rows, target_rows
from .stages.sort import SortPlan, sort_buckets
from .stages.tiling import TileLimits, Tiling, make_tiling

__all__ = ["BuiltTable", "build", "build_order", "build_time"]


@dataclass(frozen=True)
class BuiltTable:
    """One published table."""

    name: str
    directory: Path
    """Directory of the release."""
    manifest: Manifest
    seconds: Mapping[str, float]
    """Wall time of each stage."""


def build(
    config: BuildConfig, *, report: Callable[[str], None] = lambda _: None, created: str | None = None
) -> tuple[BuiltTable, ...]:
    """Build all tables of a configuration, parents before children, and publish them together.

    Nothing is visible until every table is built and verified; a build that fails leaves what was published.

    Parameters
    ----------
    report
        Called with one line of progress at a time.
    created
        ISO 8601 UTC time that the release carries; by default `build_time`.

    Raises
    ------
    ConfigError
        If the configuration does not fit the input.
    InputError
        If an input is missing, unreadable or inconsistent.
    LayoutError
        If what was written does not pass verification.
    """
    created = created or build_time()
    tables = {} if config.schema_file is None else read_felis(config.schema_file)
    built: dict[str, Job] = {}
    with ExitStack() as stack:
        for table in build_order(config.tables):
            area = staging_area(config.root, config.schema, table.name, config.scratch)
            job = Job(config, table, stack.enter_context(area), tables.get(table.name), created, report)
            _build_table(job, _parent_of(job, built))
            clear_scratch(job.staging)
            built[table.name] = job
        return _publish(config, list(built.values()))


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


def _parent_of(job: Job, built: Mapping[str, Job]) -> Parent | None:
    """Return the parent as built just now, or as published."""
    if job.table.position_from is None:
        return None
    name = job.table.position_from.parent
    if name in built:
        return open_parent(name, built[name].staging.catalog)
    published = current_release(job.config.root / job.config.schema / name)
    if published is None:
        msg = f"table {job.table.name!r}: parent {name!r} is neither in this configuration nor published"
        raise ConfigError(msg)
    return open_parent(name, published)


def _build_table(job: Job, parent: Parent | None) -> None:
    files = find_inputs(job.table.input, job.config.input_dir)
    source = replace(open_source(job.table, files, job.felis), progress=job.tick)
    _check_named_columns(job.table, source)
    job.say(f"{len(source.files)} input files, {len(source.schema)} columns")
    form = _leaf_format(job.table, source)
    sizes = measure_rows(source, form)
    if job.table.is_placed:
        _build_catalog(job, source, form, sizes, parent)
    else:
        _build_plain(job, source, form, sizes)
    with job.stage("verify"):
        write_checksums(job.staging.catalog)
        require_clean(verify_release(job.staging.catalog, scope=Full(), workers=job.config.threads, report=job.say))


def _build_catalog(job: Job, source: Source, form: LeafFormat, sizes: RowSizes, parent: Parent | None) -> None:
    target = target_rows(job.table, form, sizes)
    with job.stage("histogram"):
        places = _place(job, source, parent)
    with job.stage("tiling"):
        tiling = _tiling(job, places, target, parent)
    with job.stage("bucket"):
        buckets, rejects = _bucket(job, source, places, tiling, sizes)
    placement = placement_of(job.table, parent)
    plan = SortPlan(
        tiling=tiling,
        form=form,
        catalog=job.staging.catalog,
        map_order=map_order(places.rows),
        bucket_rows=bucket_capacity(job.config, sizes),
        threads=job.config.threads,
        placement=placement,
    )
    ledger = Ledger(form.schema)
    with job.stage("sort"):
        ledger.record(job.staging.catalog, job.watched(sort_buckets(buckets, plan)))
    with job.stage("maps"):
        parts = Assembly(job.release, source, form, ledger, places.file_rows, rejects)
        assemble_catalog(parts, placement, map_order=plan.map_order, max_rows=int(target))


def _build_plain(job: Job, source: Source, form: LeafFormat, sizes: RowSizes) -> None:
    ledger = Ledger(form.schema)
    with job.stage("write"):
        leaf, file_rows = write_plain(source, form, job.staging.catalog, sizes.memory)
        ledger.record(job.staging.catalog, [leaf])
    job.say(f"{ledger.rows} rows in one file, without positions")
    rejects = Rejects((0,) * len(file_rows), {})
    assemble_plain(Assembly(job.release, source, form, ledger, file_rows, rejects))


def _publish(config: BuildConfig, jobs: list[Job]) -> tuple[BuiltTable, ...]:
    """Make the schema file and all tables visible, parents first."""
    if config.schema_file is not None:
        publish_schema(config.schema_file, config.root / config.schema)
    directories = [publish_release(job.staging) for job in jobs]
    published = []
    for job, directory in zip(jobs, directories, strict=True):
        manifest = read_manifest(directory)
        job.say(f"published {directory.name}: {manifest.rows} rows, {manifest.bytes / 1e6:.1f} MB")
        for child in _children_of_older_releases(job):
            job.say(f"warning: {child} was placed by an older release of this table; build it again")
        published.append(BuiltTable(job.table.name, directory, manifest, job.seconds))
    return tuple(published)


def _children_of_older_releases(job: Job) -> list[str]:
    """Return published tables whose rows lie where another release of this table has their parents."""
    found = []
    for home in sorted((job.config.root / job.config.schema).iterdir()):
        try:
            release = current_release(home)
            placement = None if release is None else read_manifest(release).placement
        except LayoutError:  # another group's catalog, without a manifest
            continue
        if placement is not None and placement.parent == job.table.name:
            found += [] if placement.parent_release == job.staging.release else [home.name]
    return found


def _check_named_columns(table: TableConfig, source: Source) -> None:
    for key, names in (("id", table.id), ("hidden", table.hidden)):
        for name in names:
            if name not in source.schema.names:
                near = difflib.get_close_matches(name, source.schema.names, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                msg = f"table {table.name!r}: {key} names {name!r}, which is no column of the input{hint}"
                raise ConfigError(msg)
    for name in table.id:
        kind = source.schema.field(name).type
        if not is_ordered(kind):
            msg = f"table {table.name!r}: id column {name!r} is {kind}; rows can be sorted by numbers and text only"
            raise ConfigError(msg)


def _leaf_format(table: TableConfig, source: Source) -> LeafFormat:
    stores_parent = table.position_from is not None and not table.position_from.same_position
    return LeafFormat(
        schema=stored_columns(source, has_parent=stores_parent) if table.is_placed else source.schema,
        id_columns=table.id,
        row_group_rows=table.row_group_rows,
        row_group_bytes=table.row_group_bytes,
    )


def _place(job: Job, source: Source, parent: Parent | None) -> Places:
    table, scratch = job.table, job.staging.scratch
    if parent is None or table.position_from is None:
        assert table.ra is not None
        assert table.dec is not None
        return place_by_own_position(source, table.ra, table.dec, scratch / "places")
    lookup = Lookup(table, table.position_from, parent, scratch, job.config.memory // 2, job.config.threads)
    places, orphans = place_by_parent(source, lookup)
    if orphans:
        job.say(f"{orphans} rows have no parent in {table.position_from.parent}; placed by their own position")
    return places


def _tiling(job: Job, places: Places, target: float, parent: Parent | None) -> Tiling:
    limits = TileLimits(target, job.table.max_order)
    if parent is not None:
        orders, ranges = parent.partitions.orders.astype(np.int64), parent.partitions.tile_ranges()
        limits = replace(limits, parent_orders=orders, parent_starts=ranges[:, 0])
    counts = pixel_counts(places)
    if len(counts[0]) == 0:
        msg = f"table {job.table.name!r}: none of its {places.rows} rows has a usable position"
        raise InputError(msg)
    tiling = make_tiling(counts, COARSE_ORDER, limits, partial(count_within, places))
    job.say(f"{places.rows} rows, {len(tiling)} tiles of orders {tiling.orders.min()} to {tiling.orders.max()}")
    return tiling


def _bucket(
    job: Job, source: Source, places: Places, tiling: Tiling, sizes: RowSizes
) -> tuple[tuple[Bucket, ...], Rejects]:
    plan = BucketPlan(
        tiling=tiling,
        groups=group_tiles(tiling, 0, len(tiling), bucket_capacity(job.config, sizes)),
        scratch=job.staging.scratch / "buckets",
        rejects_path=job.staging.catalog / REJECTS_FILE,
        chunk_rows=chunk_rows(job.config, sizes),
        threads=job.config.threads,
    )
    buckets, rejects = bucket_rows(source, places, plan)
    for reason, rows in rejects.per_reason.items():
        job.say(f"{rows} rows rejected: {reason}")
    return buckets, rejects
