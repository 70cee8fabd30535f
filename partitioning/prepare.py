"""Preparing the build of a table: its input is opened, measured and cut into units of work.

A plan that an interrupted build left is found again, and goes on.
"""

import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import xxhash

from .config import BuildConfig, TableConfig
from .exceptions import ConfigError, DamagedInputError, LayoutError
from .job import workspace_of
from .layout.hats import builder_name
from .layout.leaf import LeafFormat
from .layout.paths import index_name, margin_name, release_name
from .layout.schema import is_ordered, schema_fingerprint
from .readers.base import ends_checksum, find_inputs
from .readers.felis import FelisTable
from .readers.source import Source, open_source
from .stages.histogram import check_position_column
from .stages.parents import Parent, check_keys
from .stages.plan import (
    BaseRelease,
    PlannedInput,
    TablePlan,
    cut_units,
    read_plan,
    schema_text,
    stored_columns,
    write_plan,
)
from .stages.plan import unit_bytes as largest_unit
from .stages.publish import current_release, next_release
from .stages.remains import forget_lost_units
from .stages.sizes import measure_rows, target_rows
from .stages.spill import SPILL_FORMAT
from .stages.workspace import Workspace, spill_in_use

__all__ = [
    "Opened",
    "Wanted",
    "column_problems",
    "found_plan",
    "make_plan",
    "open_inputs",
    "resume_or_begin",
    "sweep_published",
]


_MANY: Final = 9999
_LONGEST_NAME: Final = 220
"""Bytes of the name of the directory of an id index of that many releases: names of files begin with more."""

_LOOKERS: Final = 8
"""Input files that are looked at at the same time."""


@dataclass(frozen=True)
class Opened:
    """The input of one table, opened."""

    source: Source
    damaged: tuple[DamagedInputError, ...]
    """Files that could not be opened, where damaged input is left out."""


def open_inputs(config: BuildConfig, table: TableConfig, felis: FelisTable | None, *, skip_bad: bool) -> Opened:
    """Find and open the input files of a table, and check what the configuration says of their columns.

    Raises
    ------
    ConfigError
        If the configuration names a column that is not there, or one of an unfit type.
    InputError
        If a file cannot be read, or differs from the others.
    """
    damaged: list[DamagedInputError] = []
    files = find_inputs(table.input, config.input_dir)
    source = open_source(table, files, felis, on_damaged=damaged.append if skip_bad else None)
    for problem in column_problems(table, source):
        raise problem
    return Opened(source, tuple(damaged))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be built of one table."""

    config: BuildConfig
    table: TableConfig
    opened: Opened
    parent: Parent | None
    created: str
    skip_bad: bool
    first_number: int = 0
    """Number of the first input file."""
    base: BaseRelease | None = None
    """The release that an append starts from."""


def make_plan(wanted: Wanted, release: int) -> TablePlan:
    """Plan the build of one table as release number `release`."""
    return _plan(wanted, release, _planned_inputs(wanted))


def _plan(wanted: Wanted, release: int, inputs: tuple[PlannedInput, ...]) -> TablePlan:
    table, source, parent = wanted.table, wanted.opened.source, wanted.parent
    if parent is not None and table.position_from is not None:
        check_keys(table, table.position_from, source.schema, parent.column_types, source.file_name(0))
    stores_parent = table.position_from is not None and not table.position_from.same_position
    schema = stored_columns(source.schema, stores_parent=stores_parent) if table.is_placed else source.schema
    form = LeafFormat(schema, table.id, table.row_group_rows, table.row_group_bytes)
    sizes = measure_rows(source, form)
    form = replace(form, row_bytes=sizes.memory)
    return TablePlan(
        schema_name=wanted.config.schema,
        table=table,
        release=release,
        created=wanted.created,
        fingerprint=_fingerprint(wanted, inputs),
        inputs=inputs,
        input_schema=schema_text(source.schema),
        units=cut_units([file for file in inputs if file.damaged is None]),
        parent_release=None if parent is None else parent.manifest.release,
        row_bytes=sizes.memory,
        stored_bytes=sizes.stored,
        spilled_bytes=sizes.spilled,
        packed_columns=sizes.packed,
        row_seconds=sizes.seconds,
        target_rows=target_rows(table, form, sizes),
        skip_bad=wanted.skip_bad,
        base=wanted.base,
    )


def resume_or_begin(wanted: Wanted, say: Callable[[str], None]) -> tuple[Workspace, TablePlan]:
    """Return the workspace and plan of an interrupted build of the same release, or begin a new one."""
    config, table = wanted.config, wanted.table.name
    found, inputs = found_plan(config, table), _planned_inputs(wanted)
    if found is not None:
        workspace = workspace_of(config, table, found.release)
        if config.spill is None:
            workspace = replace(workspace, spill=spill_in_use(workspace.home))
        in_place = (workspace.home / workspace.name).is_dir()
        if _fingerprint(wanted, inputs) != found.fingerprint:
            say(f"input or configuration changed since release {found.release} was begun; it is begun anew")
        elif not in_place and not workspace.is_whole():
            say(f"the spill files of release {found.release} are not in {workspace.spill}; it is begun anew")
        else:
            say(f"an interrupted build of release {found.release} goes on")
            if not in_place and (lost := forget_lost_units(workspace, found)):
                say(f"{lost} units of work are not as they were left; they are done again")
            return workspace, found
    plan = _plan(wanted, next_release(config.root / config.schema / table), inputs)
    workspace = workspace_of(config, table, plan.release)
    workspace.begin()
    write_plan(workspace, plan)
    return workspace, plan


def sweep_published(config: BuildConfig, table: str) -> None:
    """Remove what an append left that was killed after it had published its release."""
    found, current = found_plan(config, table), current_release(config.root / config.schema / table)
    if found is not None and current is not None:
        workspace = workspace_of(config, table, found.release)
        if current.name == workspace.name:
            workspace.sweep()
            workspace.forget()


def found_plan(config: BuildConfig, table: str) -> TablePlan | None:
    """Return the plan that an interrupted build of a table left, None if there is none that can be read."""
    workspace = workspace_of(config, table, 0)
    try:
        return read_plan(workspace)
    except (OSError, LayoutError):
        return None


def _planned_inputs(wanted: Wanted) -> tuple[PlannedInput, ...]:
    opened, first_number = wanted.opened, wanted.first_number
    source = opened.source
    stats = [file.path.stat() for file in source.files]
    most = largest_unit(sum(status.st_size for status in stats))
    planned = []
    with ThreadPoolExecutor(_LOOKERS) as pool:
        all_ends = list(pool.map(_ends_if_readable, [file.path for file in source.files]))
    for position, (file, status, ends) in enumerate(zip(source.files, stats, all_ends, strict=True)):
        parts = source.part_rows(position) if status.st_size > most else None
        form = source.formats[position]
        planned.append(
            PlannedInput(
                number=first_number + position,
                path=file.path.resolve(),
                name=file.name,
                form=form,
                bytes=status.st_size,
                modified_ns=status.st_mtime_ns,
                parts=parts,
                ends=ends,
            )
        )
    for error in opened.damaged:
        number = first_number + len(planned)
        form = source.formats[0]
        size = _size_if_there(wanted.config.input_dir / error.file)
        planned.append(PlannedInput(number, Path(error.file), error.file, form, size, 0, None, error.problem))
    return tuple(planned)


def _ends_if_readable(path: Path) -> str:
    """Return what tells a file from another one of its name and size; empty if it cannot be read just now."""
    try:
        return ends_checksum(path)
    except OSError:
        return ""


def _size_if_there(path: Path) -> int:
    """Return the size by which an append will tell that a damaged file is still the same; 0 if it is gone."""
    return path.stat().st_size if path.is_file() else 0


def _fingerprint(wanted: Wanted, inputs: Sequence[PlannedInput]) -> str:
    """Return a digest of everything that decides what a build makes."""
    parent, base = wanted.parent, wanted.base
    facts = {
        "builder": builder_name(),
        "spill": SPILL_FORMAT,
        "schema": wanted.config.schema,
        "table": asdict(wanted.table),
        "columns": schema_fingerprint(wanted.opened.source.schema),
        "inputs": [(file.name, file.bytes, file.modified_ns, file.damaged) for file in inputs],
        "parent": None if parent is None else (parent.manifest.release, parent.manifest.created, parent.manifest.rows),
        "base": None if base is None else (str(base.catalog), base.removed),
        "skip_bad": wanted.skip_bad,
    }
    return xxhash.xxh3_128_hexdigest(json.dumps(facts, default=str).encode())


def column_problems(table: TableConfig, source: Source) -> Iterator[ConfigError]:
    """Yield what the configuration says wrongly of the columns of the input."""
    schema = source.schema
    for key, names in (("id", table.id), ("index", table.index_columns), ("hidden", table.hidden)):
        for name in names:
            if name not in schema.names:
                near = difflib.get_close_matches(name, schema.names, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                msg = f"table {table.name!r}: {key} names {name!r}, which is no column of the input{hint}"
                yield ConfigError(msg)
    for name in dict.fromkeys([*table.id, *table.index_columns]):
        kind = schema.field(name).type if name in schema.names else None
        if kind is not None and not is_ordered(kind):
            msg = f"table {table.name!r}: id column {name!r} is {kind}; rows can be sorted by numbers and text only"
            yield ConfigError(msg)
    for name in table.index_columns:
        if len(index_name(release_name(table.name, _MANY), name)) > _LONGEST_NAME or not name.isprintable():
            msg = f"table {table.name!r}: index names {name!r}, which cannot be the name of a directory and stand in a "
            msg += "HATS property: it is too long, or has control characters; rename the column"
            yield ConfigError(msg)
        if index_name("", name) == margin_name("", table.margin_arcsec):
            msg = f"table {table.name!r}: index names {name!r}, the name of the margin's directory: rename the column"
            yield ConfigError(msg)
    yield from _position_problems(table, source)


def _position_problems(table: TableConfig, source: Source) -> Iterator[ConfigError]:
    for column in (table.ra, table.dec):
        try:
            if column is not None:
                check_position_column(source.schema, column, source.file_name(0))
        except ConfigError as error:
            yield error
