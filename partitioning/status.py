"""Where builds stand, told from what lies on disk: also by another process, on another machine, or after a crash."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from .checks.units import check_stages
from .config import BuildConfig
from .exceptions import LayoutError
from .job import spill_directory, workspace_of
from .layout.manifest import Manifest, read_manifest
from .layout.paths import (
    COLLECTION_PROPERTIES,
    LEASE_FILE,
    MANIFEST_DIR,
    PLAIN_PROPERTIES,
    STAGING_DIR,
    release_name,
)
from .lease import lease_holder
from .progress import size_text
from .releases import find_releases
from .stages.bucket import read_bucket_plan
from .stages.id_index import bounds_path
from .stages.plan import TablePlan, read_plan
from .stages.publish import current_release, next_release
from .stages.workspace import Workspace, column_stage, spill_in_use

__all__ = ["Progress", "TableStatus", "config_status", "directory_status", "status_lines", "table_status"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage is."""

    stage: str
    done: int
    units: int | None
    """None: not known before the stages before it are done."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.units is not None and self.done >= self.units


@dataclass(frozen=True)
class TableStatus:
    """Where one table stands."""

    name: str
    published: Manifest | None
    holder: str | None
    """Who works on it just now."""
    plan: TablePlan | None
    """What is being built, or was when a build was interrupted; None: nothing is."""
    stages: tuple[Progress, ...] = ()
    spill: Path | None = None
    spilled_bytes: int = 0
    stranded: tuple[int, ...] = ()
    """Releases that are there though none is published: the pointer to the current one is lost, or names none."""
    next_release: int = 1
    """Number that the next build takes, or a higher one."""

    @property
    def stage(self) -> Progress | None:
        """The first stage that is not done."""
        return next((one for one in self.stages if not one.is_done), None)


def config_status(config: BuildConfig) -> Iterator[TableStatus]:
    """Yield where each table of a configuration stands."""
    for table in config.tables:
        home = config.root / config.schema / table.name
        yield table_status(home, None if config.spill is None else workspace_of(config, table.name, 0).spill)


def directory_status(directory: Path, spill: Path | None = None) -> Iterator[TableStatus]:
    """Yield where the table in a directory stands, or each table of the schema, or of all schemas, in it.

    Raises
    ------
    LayoutError
        If there is no table.
    """
    homes = [directory] if _is_table(directory) else _tables_below(directory)
    if not homes:
        msg = f"{directory}: there is no table here; give ROOT, ROOT/SCHEMA, ROOT/SCHEMA/TABLE or a configuration"
        raise LayoutError(msg)
    for home in homes:
        yield table_status(home, None if spill is None else spill_directory(spill, home))


def _tables_below(directory: Path) -> list[Path]:
    """Return the tables of a schema; if there are none, those of all schemas."""
    of_schema = _tables_in(directory)
    return of_schema or [home for schema in _directories(directory) for home in _tables_in(schema)]


def _tables_in(schema: Path) -> list[Path]:
    return [path for path in _directories(schema) if _is_table(path)]


def _directories(parent: Path) -> list[Path]:
    return [path for path in sorted(parent.glob("[!.]*")) if path.is_dir()]


def _is_table(home: Path) -> bool:
    signs = (COLLECTION_PROPERTIES, PLAIN_PROPERTIES, STAGING_DIR, LEASE_FILE)
    return any((home / name).exists() for name in signs) or bool(_readable_releases(home))


def _readable_releases(home: Path) -> tuple[int, ...]:
    """Return the releases that lie in a directory with manifests that can be read."""
    found = find_releases(home) if home.is_dir() else {}
    return tuple(number for number, release in found.items() if release.manifest is not None)


def table_status(home: Path, spill: Path | None = None) -> TableStatus:
    """Return where the table in directory `home` stands.

    Parameters
    ----------
    spill
        Its directory of spill files; None: the one that its build uses.
    """
    name, holder, published = f"{home.parent.name}.{home.name}", lease_holder(home), _published(home)
    stranded = _readable_releases(home) if published is None else ()
    following = next_release(home) if home.is_dir() else 1
    spill = spill or spill_in_use(home)
    try:
        plan = read_plan(Workspace(home, "", spill))
    except (OSError, LayoutError):
        return TableStatus(name, published, holder, None, stranded=stranded, next_release=following)
    workspace = Workspace(home, release_name(home.name, plan.release), spill)
    stages = tuple(_stages(workspace, plan, is_held=holder is not None))
    stranded = tuple(number for number in stranded if number != plan.release)  # that one is about to be published
    return TableStatus(name, published, holder, plan, stages, spill, _spilled(spill), stranded, following)


def status_lines(status: TableStatus) -> Iterator[str]:
    """Yield lines that tell where a table stands."""
    published = status.published
    what = f"nothing published{_stranded(status)}"
    if published is not None:
        what = f"release {published.release} published ({published.created}, {published.rows} rows)"
    yield f"{status.name}: {what}; {_activity(status)}"
    for one in status.stages:
        units = "not begun" if one.units is None else f"{one.done} of {one.units} units"
        yield f"  {one.stage}: {units}"
    if status.plan is not None:
        where = (
            "" if status.spill is None or status.spill.is_dir() else " (not there: build --spill put them elsewhere)"
        )
        yield f"  spill files: {size_text(status.spilled_bytes)} in {status.spill}{where}"
    yield f"  next: {_next(status)}"


def _stranded(status: TableStatus) -> str:
    """Return what to do about releases that no pointer names."""
    if not status.stranded:
        return ""
    numbers = ", ".join(map(str, status.stranded))
    return (
        f", but releases {numbers} lie there without a pointer: switch --release {status.stranded[-1]} brings one back"
    )


def _activity(status: TableStatus) -> str:
    if status.plan is None:
        return "idle" if status.holder is None else f"{status.holder} opens and measures the input"
    work = f"release {status.plan.release} is being {'built' if status.plan.base is None else 'made by append'}"
    stage = "published" if status.stage is None else status.stage.stage
    if status.holder is None:
        return f"{work}: interrupted in stage {stage}"
    return f"{work} by {status.holder}: stage {stage}"


def _next(status: TableStatus) -> str:
    if status.holder is not None:
        return "a build is running; another one ends at once with an error"
    if status.plan is None:
        release = "release 1" if status.next_release == 1 else f"release {status.next_release} or higher"
        return f"build begins {release} from all input" + ("; append adds new files" if status.published else "")
    command = "build" if status.plan.base is None else "append"
    where = "publishes what is complete" if status.stage is None else f"goes on with stage {status.stage.stage}"
    return f"{command} {where}, if input and configuration are as they were"


def _stages(workspace: Workspace, plan: TablePlan, *, is_held: bool) -> Iterator[Progress]:
    """Yield the stages in order; once the release is in place, all of them are done.

    Parameters
    ----------
    is_held
        Whether somebody works on it just now.
    """
    if (workspace.home / workspace.name).is_dir():
        return
    if plan.is_tiled:
        yield Progress("place", _done(workspace, "place"), plan.unit_count)
        yield Progress("tiling", int(workspace.tiling.exists()), 1)
        yield Progress("bucket", _done(workspace, "bucket"), plan.unit_count)
    yield Progress("sort", _done(workspace, "sort"), _sort_units(workspace, plan))
    for column in plan.table.index_columns:
        done = _done(workspace, column_stage("index", column))
        yield Progress(f"index-{column}", done, _index_units(workspace, column))
    manifest = workspace.catalog / MANIFEST_DIR / "manifest.json"
    yield Progress("maps" if plan.is_tiled else "write", int(manifest.exists()), 1)
    if is_held:  # a verification is no use to the next build
        yield from (Progress(stage, _done(workspace, stage), units) for stage, units in check_stages(workspace))
    yield Progress("verify", 0, 1)


def _done(workspace: Workspace, stage: str) -> int:
    """Return the units that have a record; one listing of a directory."""
    return sum(1 for _ in workspace.record(stage, 0).parent.glob("[0-9]*.npz"))


def _sort_units(workspace: Workspace, plan: TablePlan) -> int | None:
    if not plan.is_tiled:
        return 1
    try:
        return read_bucket_plan(workspace).count
    except OSError:
        return None


def _index_units(workspace: Workspace, column: str) -> int | None:
    try:
        return 1 + int(pq.read_metadata(bounds_path(workspace, column)).num_rows)
    except OSError:
        return None


def _spilled(spill: Path) -> int:
    total = 0
    for path in spill.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # removed meanwhile
            continue
    return total


def _published(home: Path) -> Manifest | None:
    try:
        release = current_release(home)
        return None if release is None else read_manifest(release)
    except LayoutError:
        return None
