"""Append and replace: new input files become the next release, most of whose leaves are those of the last one."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .checks.report import Tiles, listing, require_clean
from .config import BuildConfig, TableConfig
from .exceptions import ConfigError, InputError, SchemaMismatchError
from .job import Job
from .layout.manifest import (
    IndexRecord,
    InputRecord,
    Manifest,
    MarginRecord,
    Placement,
    read_manifest,
    read_partition_map,
    write_files,
)
from .layout.paths import COMMON_METADATA, OWN_COLUMNS
from .prepare import Opened
from .readers.base import InputFile, ends_checksum, find_inputs
from .readers.felis import FelisTable
from .readers.source import Source, open_source
from .sky.healpix import Pixel
from .stages.account import input_records, reject_files
from .stages.assemble import Facts, assemble_catalog, assemble_margin
from .stages.base import (
    affected_margins,
    base_map_order,
    hand_on_leaves,
    joined_inputs,
    joined_ledger,
    kept_rejects,
    touched_tiles,
    waiting_files,
)
from .stages.ledger import Ledger
from .stages.margin import joined_margin, plan_margins
from .stages.moved_parents import check_published_places
from .stages.parents import Parent, make_lookup
from .stages.plan import BaseRelease, write_plan
from .stages.publish import current_release
from .stages.run import lookup_of
from .stages.tiling import Tiling

__all__ = ["Changes", "decide_touched", "finish_append", "open_changes", "published_inputs"]


@dataclass(frozen=True)
class Changes:
    """What an append adds to a published table."""

    table: TableConfig
    """With the types of the published columns."""
    opened: Opened
    base: BaseRelease
    manifest: Manifest
    """Of the base release."""
    first_number: int

    @property
    def replaced_names(self) -> tuple[str, ...]:
        """Names of the input files whose rows are replaced."""
        return tuple(record.name for record in self.manifest.inputs if record.number in self.base.removed)


def open_changes(
    config: BuildConfig, table: TableConfig, felis: FelisTable | None, replaced: Sequence[str], *, skip_bad: bool
) -> Changes | None:
    """Find what is new in the input of a published table; None if nothing is.

    Raises
    ------
    ConfigError
        If nothing is published, the configuration differs from that of the published release, or a file that is
        published already has changed.
    SchemaMismatchError
        If the columns of a new file differ from the published ones.
    """
    catalog = current_release(config.root / config.schema / table.name)
    if catalog is None:
        msg = f"table {table.name!r}: nothing is published that could be appended to; run build first"
        raise ConfigError(msg)
    manifest = read_manifest(catalog)
    if manifest.adopted is not None:
        msg = f"table {table.name!r} is adopted, its files are others': adopt them again, or build the table"
        raise ConfigError(msg)
    if manifest.placement is not None:
        _check_same_table(table, manifest, manifest.placement)
    inputs = _as_published(find_inputs(table.input, config.input_dir), manifest, config.input_dir)
    if manifest.placement is None:
        _require_unchanged(table, inputs, manifest, replaced)
        return None
    files = _changed_files(inputs, manifest, replaced)
    if not files:
        return None
    published = pq.read_schema(catalog / COMMON_METADATA)
    own = pa.schema([column for column in published if column.name not in OWN_COLUMNS])
    typed = replace(table, types={column.name: column.type for column in own})
    damaged: list[InputError] = []
    any_columns = replace(typed, optional=tuple(dict.fromkeys([*table.optional, *own.names])))
    source = open_source(any_columns, files, felis, on_damaged=damaged.append if skip_bad else None)
    _check_columns(table, source, own)
    removed = tuple(record.number for record in manifest.inputs if record.name in replaced)
    return Changes(
        table=typed,
        opened=Opened(replace(source, schema=own), tuple(damaged)),  # type: ignore[arg-type]
        base=BaseRelease(catalog.resolve(), removed),
        manifest=manifest,
        first_number=1 + max((record.number for record in manifest.inputs), default=-1),
    )


def _check_columns(table: TableConfig, source: Source, published: pa.Schema) -> None:
    """Check that new files have the published columns and no others."""
    added = set(source.schema.names) - set(published.names)
    if added:
        msg = f"table {table.name!r}: column {min(added)!r} is in the new files only; build the table anew to change "
        msg += "its columns"
        raise SchemaMismatchError(msg)
    for file, form in zip(source.files, source.formats, strict=True):
        lacking = next((name for name in form.absent if name not in table.optional), None)
        if lacking is not None:
            name = source.original_names.get(lacking, lacking)
            msg = f"{file.name}: lacks column {name!r}, which the published table {table.name!r} has; "
            msg += f"if it may be absent (NULL), declare optional = [{lacking!r}]"
            raise SchemaMismatchError(msg)


def published_inputs(config: BuildConfig, table: TableConfig) -> frozenset[str]:
    """Return the names of the input files of a published table."""
    catalog = current_release(config.root / config.schema / table.name)
    return frozenset() if catalog is None else frozenset(record.name for record in read_manifest(catalog).inputs)


def _changed_files(files: Sequence[InputFile], manifest: Manifest, replaced: Sequence[str]) -> list[InputFile]:
    """Return the files that are new or replaced."""
    known = {record.name: record for record in manifest.inputs}
    for name in replaced:
        if name not in known or name not in {file.name for file in files}:
            where = "published" if name not in known else "found"
            msg = f"--replace {name}: no input file of this name is {where}; names are those that describe lists"
            raise ConfigError(msg)
    for file in files:
        record = known.get(file.name)
        if record is not None and file.name not in replaced and _has_changed(file, record):
            msg = f"{file.name}: has changed since it was published; say --replace {file.name} if that is meant"
            raise InputError(msg)
    changed = [file for file in files if file.name not in known or file.name in replaced]
    _refuse_twins(changed, (record for record in manifest.inputs if record.name not in replaced))
    return changed


def _require_unchanged(
    table: TableConfig, files: Sequence[InputFile], manifest: Manifest, replaced: Sequence[str]
) -> None:
    """Raise `ConfigError` unless the input files of a table without positions are those that are published."""
    known = {record.name: record for record in manifest.inputs}
    is_unchanged = all(file.name in known and not _has_changed(file, known[file.name]) for file in files)
    if not is_unchanged or set(known) & set(replaced):
        msg = f"table {table.name!r} has no positions, it is one file: build it anew, by --table {table.name}"
        raise ConfigError(msg)


def _as_published(files: Sequence[InputFile], manifest: Manifest, base: Path) -> tuple[InputFile, ...]:
    """Return input files under the names by which they are published, if their paths were spelled otherwise then."""
    names = {record.name for record in manifest.inputs}
    if all(file.name in names for file in files):
        return tuple(files)
    published = {os.path.realpath(base / name): name for name in sorted(names - {file.name for file in files})}
    return tuple(
        file if file.name in names else replace(file, name=published.get(os.path.realpath(file.path), file.name))
        for file in files
    )


def _refuse_twins(files: Sequence[InputFile], records: Iterable[InputRecord]) -> None:
    """Raise `InputError` if a file is published under another name: its rows would be there twice."""
    stored = {(one.bytes, one.ends): one.name for one in records if one.rows > one.rejected and one.ends}
    sizes = {size for size, _ in stored}
    for file in files:
        twin = None
        with suppress(OSError):  # whoever reads it says what is wrong with it
            twin = stored.get((file.size_bytes, ends_checksum(file.path))) if file.size_bytes in sizes else None
        if twin not in (None, file.name):
            msg = f"{file.name}: has the content of {twin}, which is published: its rows would be there twice; "
            msg += "leave it out, or spell the input as it was then, relative to the same directory"
            raise InputError(msg)


def _has_changed(file: InputFile, record: InputRecord) -> bool:
    try:
        return record.bytes != file.size_bytes or bool(record.ends and record.ends != ends_checksum(file.path))
    except OSError as error:
        msg = f"{file.name}: is published, and cannot be read to see whether it has changed: {error.strerror}"
        raise InputError(msg) from error


def _check_same_table(table: TableConfig, manifest: Manifest, placement: Placement) -> None:
    """Raise `ConfigError` if the configuration would make another table than the published one."""
    wanted = table.position_from
    facts: Mapping[str, tuple[object, object]] = {
        "ra": (table.ra, placement.own_ra_column),
        "dec": (table.dec, placement.own_dec_column),
        "id": (table.id, manifest.id_columns),
        "index": (table.index_columns, tuple(record.column for record in manifest.indexes)),
        "position_from.parent": (None if wanted is None else wanted.parent, placement.parent),
        "position_from.key": (None if wanted is None else (wanted.child_key, wanted.parent_key), placement.parent_key),
    }
    for key, (now, then) in facts.items():
        if now != then:
            msg = f"table {table.name!r}: {key} is {now!r}, but {then!r} in the published release; build the table anew"
            raise ConfigError(msg)
    for record in manifest.margins:
        if record.threshold_arcsec != table.margin_arcsec:
            then = f"{record.threshold_arcsec:g} in the published release"
            msg = f"table {table.name!r}: margin_arcsec is {table.margin_arcsec:g}, but {then}; build the table anew"
            raise ConfigError(msg)


def decide_touched(job: Job, parent: Parent | None) -> None:
    """Decide, once the new rows are placed, which tiles are made anew, and write that into the plan.

    Raises
    ------
    InputError
        If published rows that stay are not where their parents lie now.
    LayoutError
        If what the next release would take over is damaged.
    """
    base = job.plan.base
    assert base is not None
    if base.touched is None:
        _check_base(job, base)
        _check_parents(job, parent)
        touched = touched_tiles(job.workspace, job.plan, base, None if parent is None else parent.partitions)
        job.plan = replace(job.plan, base=replace(base, touched=touched))
        write_plan(job.workspace, job.plan)
    job.say(f"{len(job.plan.base_map)} tiles published, {len(job.plan.base.touched_tiles)} of them change")  # type: ignore[union-attr]


def _check_base(job: Job, base: BaseRelease) -> None:
    """Check what the next release takes over without looking at leaves: lists, sums and the id indexes.

    They are joined with what is new, and get new checksums.
    """
    job.say(f"{base.catalog.name}: lists and indexes are verified")
    report = job.verified(base.catalog, Tiles(frozenset()))
    require_clean(report, "nothing is appended to it: repair it, switch to another release, or build anew")


def _check_parents(job: Job, parent: Parent | None) -> None:
    lookup = lookup_of(job.workspace, job.plan, job.executor.share)
    if lookup is not None and parent is not None:
        if not lookup.path.exists():
            make_lookup(lookup, parent)
        check_published_places(job.plan, lookup)


def finish_append(
    job: Job, changes: Changes, made: Ledger, made_tiles: Tiling, indexes: tuple[IndexRecord, ...]
) -> Tiles:
    """Link what stays, gather margins, and write manifest, maps and HATS files of the next release.

    Returns
    -------
    Tiles
        Those that are new, or have another margin than before: what there is to verify.
    """
    plan, workspace, base = job.plan, job.workspace, changes.base
    kept = np.setdiff1d(np.arange(len(plan.base_map)), plan.base.touched_tiles if plan.base else ())
    copied = hand_on_leaves(base.catalog, workspace.catalog, [plan.base_map.pixel(tile) for tile in kept.tolist()])
    map_order = base_map_order(base)
    ledger = joined_ledger(plan, made, map_order)
    write_files(workspace.catalog, ledger.files)
    new: tuple[InputRecord, ...] = input_records(workspace, plan, made)
    affected = _affected_margins(job, changes, made_tiles)
    margins, copied_margins = _margins(job, changes, affected)
    facts = Facts(
        plan=plan,
        workspace=workspace,
        felis=job.felis,
        ledger=ledger,
        inputs=joined_inputs(changes.manifest.inputs, base.removed, new),
        margins=margins,
        indexes=indexes,
    )
    _tell_waiting(job, changes)
    rejects = [*kept_rejects(workspace, plan, changes.replaced_names), *reject_files(workspace, plan)]
    assemble_catalog(facts, plan.placement, map_order=map_order, rejects=rejects)
    written = read_partition_map(workspace.catalog)  # a tile whose rows turned out to be damaged has no file
    made_pixels = {made_tiles.pixel(tile) for tile in range(len(made_tiles))}
    changed = made_pixels | {written.pixel(tile) for tile in affected.tolist()} | {*copied, *copied_margins}
    return Tiles(frozenset(written.pixel(tile) for tile in range(len(written)) if written.pixel(tile) in changed))


def _tell_waiting(job: Job, changes: Changes) -> None:
    """Tell of rows that an earlier release rejected for want of a parent: it may have come since."""
    waiting = waiting_files(changes.base.catalog, changes.replaced_names)
    if waiting:
        names = listing(list(waiting))
        rows = f"{sum(waiting.values())} rows published before had no parent then, and stay rejected"
        job.say(f"{rows}; --replace their files to try again: {names}")


def _affected_margins(job: Job, changes: Changes, made_tiles: Tiling) -> NDArray[np.int64]:
    """Return the tiles (positions in the release's list of files) whose margins are made anew."""
    plan, written = job.plan, read_partition_map(job.workspace.catalog)
    if not plan.table.margin_arcsec:
        return np.empty(0, dtype=np.int64)
    if not changes.manifest.margins:  # empty, or never made: the manifest of the base release does not say
        return np.arange(len(written))
    tiling = Tiling(written.orders.astype(np.int64), written.numbers, written.rows)
    return affected_margins(plan, tiling, made_tiles)


def _margins(job: Job, changes: Changes, affected: NDArray[np.int64]) -> tuple[tuple[MarginRecord, ...], list[Pixel]]:
    """Make the margins of the affected tiles, and hand on the others; return those that had to be copied as well."""
    plan, workspace = job.plan, job.workspace
    if not plan.table.margin_arcsec:
        return (), []
    units = plan_margins(workspace, affected)
    job.run("margin", units)
    job.executor.rest()
    directory = workspace.margin(plan.table.margin_arcsec)
    old: Path = changes.base.catalog.with_name("none")
    if changes.manifest.margins:
        old = changes.base.catalog.with_name(changes.manifest.margins[0].directory)
    files, copied = joined_margin(workspace, plan, units, old)
    if files.num_rows == 0:
        return (), copied
    return (assemble_margin(workspace, plan, files, plan.placement, directory),), copied
