"""Adopt: serve somebody else's files where they lie. Only a sidecar manifest is written, outside their tree.

Steps: find the files, agree on columns, look at every file (footers, and positions unless tiles are trusted), write the
sidecar into a staging directory, publish it as a release: the rename of the pointer file is the commit, as for a build.
"""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from .adoption.columns import ForeignColumn, case_twins, read_columns
from .adoption.foreign import ForeignTree, open_tree
from .adoption.hats import index_column
from .adoption.positions import PositionColumns
from .adoption.sidecar import Identity, Sums, is_hidden, make_manifest
from .adoption.survey import Survey, SurveyedFile
from .exceptions import ConfigError, InputError, LayoutError, PartitioningError
from .layout.adopted import read_file_map
from .layout.manifest import AdoptedData, Manifest, read_manifest, write_manifest, write_row_groups
from .layout.paths import STAGING_DIR, release_name
from .layout.schema import is_ordered, served_type, unserved_note
from .lease import lease
from .pipeline import build_time
from .stages.publish import current_release, next_release, publish_release
from .stages.workspace import Workspace

__all__ = ["AdoptedTable", "Adoption", "adopt", "changed_files"]

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_THREADS: Final = 8
"""Most files looked at at a time; each holds some pages."""

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What to adopt, and as what."""

    paths: tuple[str, ...]
    """One HATS catalog or collection, or any number of Parquet files and directories of them."""
    root: Path
    """Directory of published catalogs."""
    schema: str
    table: str
    ra: str | None = None
    """Position columns in degrees, ICRS; by default those that a HATS catalog declares."""
    dec: str | None = None
    id: tuple[str, ...] = ()
    trust_tiles: bool = False
    """Believe that each HATS leaf holds rows of its tile only, and read no rows."""
    scan: bool = False
    """Read every value, to learn which columns really hold NaN."""


@dataclass(frozen=True)
class AdoptedTable:
    """One published adoption."""

    directory: Path
    """Directory of the sidecar."""
    manifest: Manifest


def adopt(wanted: Adoption, *, report: Report = lambda _: None, created: str | None = None) -> AdoptedTable:
    """Publish foreign files as the next release of a table, without changing them.

    Parameters
    ----------
    report
        Called with one line of progress at a time.
    created
        ISO 8601 UTC time that the release carries; by default `pipeline.build_time`.

    Raises
    ------
    ConfigError
        If names or options do not fit, or the root lies inside the foreign tree.
    InputError
        If a path is a URL, or a file is missing, unreadable or of other columns than the rest.
    LayoutError
        If a HATS catalog is incomplete.
    """
    _check_names(wanted)
    tree = open_tree(wanted.paths)
    _check_places(wanted, tree)
    report(f"{len(tree.files)} files of {_kind(tree)}, {sum(file.size_bytes for file in tree.files) / 1e6:.1f} MB")
    if tree.unlisted:
        report(f"warning: {tree.unlisted} leaves are not in partition_info.csv; they are left out, as HATS readers do")
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as executor:
        survey = _survey(wanted, tree, executor)
        home = wanted.root / wanted.schema / wanted.table
        with lease(home), _staging(home) as (workspace, release):
            identity = _identity(wanted, tree, release, created or build_time())
            sums = _write_sidecar(workspace.catalog, identity, survey, executor.map(survey.look, tree.files))
            directory = publish_release(workspace)
    manifest = read_manifest(directory)
    for line in _summary(manifest, sums):
        report(line)
    return AdoptedTable(directory, manifest)


@contextmanager
def _staging(home: Path) -> Iterator[tuple[Workspace, int]]:
    """Offer a fresh staging directory for the next release of a table, and its number; nothing is left of it."""
    release = next_release(home)
    workspace = Workspace(home, release_name(home.name, release), home / STAGING_DIR / "spill")
    workspace.begin()
    try:
        yield workspace, release
    finally:
        workspace.sweep()
        workspace.forget()


def changed_files(table: Path) -> Iterator[str]:
    """Yield a line for each file of the table adopted in directory `table` that has changed, vanished or appeared.

    Raises
    ------
    LayoutError
        If no adopted table is published there.
    """
    release = current_release(table)
    manifest = None if release is None else read_manifest(release)
    if release is None or manifest is None or manifest.adopted is None:
        msg = f"{table}: no adopted table is published here; give the root, schema and table of one"
        raise LayoutError(msg)
    files = read_file_map(release, manifest.adopted)
    for path, size, mtime_ns in zip(files.paths, files.size_bytes.tolist(), files.mtimes_ns.tolist(), strict=True):
        try:
            status = Path(path).stat()
        except OSError as error:
            yield f"{path}: {error.strerror}"
            continue
        if status.st_size != size:
            yield f"{path}: has {status.st_size} bytes, had {size}"
        elif status.st_mtime_ns != mtime_ns:
            yield f"{path}: was written again"
    try:
        present = open_tree(manifest.adopted.inputs).files
    except PartitioningError as error:
        yield str(error)
    else:
        known = set(files.paths)
        yield from (f"{file.path}: is new" for file in present if str(file.path) not in known)


def _survey(wanted: Adoption, tree: ForeignTree, executor: Executor) -> Survey:
    """Agree on the columns of all files, and on what to look at."""
    name, is_order_29 = index_column(tree.properties) if tree.kind == "hats" else (None, False)
    columns = read_columns(tree.files, lambda column: is_hidden(column, tree.kind, name), executor)
    by_name = {column.name: column for column in columns}
    index = by_name.get(name) if name is not None and is_order_29 else None
    usable = index is not None and index.type == pa.int64() and index.complete and not index.mixed
    ra, dec = _position_columns(wanted, tree, by_name)
    _check_ids(wanted, by_name)
    return Survey(
        columns=columns,
        positions=PositionColumns(ra, dec, name if usable else None),
        trust_tiles=wanted.trust_tiles,
        scanned=tuple(column for column in columns if column.is_float) if wanted.scan else (),
    )


def _identity(wanted: Adoption, tree: ForeignTree, release: int, created: str) -> Identity:
    adopted = AdoptedData(
        kind=tree.kind,
        base=tree.base,
        directories=tree.directories,
        inputs=tuple(os.path.abspath(path) for path in wanted.paths),  # noqa: PTH100 - links as the operator named them
        tiles_trusted=wanted.trust_tiles,
    )
    return Identity(
        schema=wanted.schema,
        table=wanted.table,
        release=release,
        created=created,
        id_columns=wanted.id,
        adopted=adopted,
    )


def _write_sidecar(catalog: Path, identity: Identity, survey: Survey, surveyed: Iterable[SurveyedFile]) -> Sums:
    sums = Sums(survey.columns, identity.id_columns, identity.adopted.base)
    write_row_groups(catalog, map(sums.add, surveyed))
    manifest = make_manifest(identity, sums, survey.positions, [column.name for column in survey.scanned])
    files = sums.files_table()
    write_manifest(catalog, manifest, files, files.schema)
    return sums


def _kind(tree: ForeignTree) -> str:
    return "a HATS catalog" if tree.kind == "hats" else "plain Parquet"


def _summary(manifest: Manifest, sums: Sums) -> Iterator[str]:
    """Yield what the operator should know of the adopted table."""
    if sums.positions is not None and sums.positions < manifest.rows:
        yield f"{manifest.rows - sums.positions} rows have no position: they are counted, but in no region"
    if sums.leaving_tiles:
        yield f"warning: {sums.leaving_tiles} files hold rows outside the tile of their path; these are found, too"
    twins = case_twins(sums.columns)
    if twins:
        yield f"not served, since their names differ by case only: {', '.join(sorted(twins))}"
    shown = [(one.name, one.arrow_type, one.maximum) for one in manifest.columns if not one.hidden]
    if note := unserved_note(shown, manifest.id_columns):
        yield f"not served: {note}"
    guarded = sum(1 for column in manifest.columns if not column.nan_free)
    if guarded:
        yield f"{guarded} columns may hold NaN, which is answered as NULL; --scan finds out which really do"
    placement = manifest.placement
    if manifest.adopted is not None and manifest.adopted.kind == "hats" and placement and not placement.healpix_column:
        yield "no order-29 index to rely on (absent, not int64, not sorted, or wrong): positions alone select rows"
    yield f"published {manifest.table}_r{manifest.release}: {manifest.rows} rows, {manifest.bytes / 1e6:.1f} MB adopted"


# --- checks ---------------------------------------------------------------------------------------


def _check_names(wanted: Adoption) -> None:
    for option, name in (("--schema", wanted.schema), ("--table", wanted.table)):
        if _NAME.fullmatch(name) is None:
            msg = f"{option} {name!r}: use letters, digits and _, starting with a letter"
            raise ConfigError(msg)
    if (wanted.ra is None) != (wanted.dec is None):
        msg = "give both --ra and --dec, or neither"
        raise ConfigError(msg)
    if wanted.trust_tiles and wanted.scan:
        msg = "--trust-tiles reads no rows and --scan reads all; give one of them"
        raise ConfigError(msg)


def _check_places(wanted: Adoption, tree: ForeignTree) -> None:
    """Refuse to write into the tree, and to trust tiles where there are none."""
    root = wanted.root.resolve()
    given = [Path(path).resolve() for path in wanted.paths]
    for directory in [*map(Path, tree.directories), *(path for path in given if path.is_dir())]:
        if root.is_relative_to(directory):
            msg = f"--root {root} lies inside {directory}, where nothing is written; publish elsewhere"
            raise ConfigError(msg)
    if wanted.trust_tiles and tree.kind != "hats":
        msg = "--trust-tiles is for HATS catalogs; plain files have no tiles, their positions are read"
        raise ConfigError(msg)


def _position_columns(wanted: Adoption, tree: ForeignTree, columns: dict[str, ForeignColumn]) -> tuple[str, str]:
    declared = tree.properties.get("hats_col_ra"), tree.properties.get("hats_col_dec")
    ra, dec = (wanted.ra, wanted.dec) if wanted.ra is not None else declared
    if ra is None or dec is None:
        known = "the catalog declares none" if tree.kind == "hats" else "plain Parquet does not tell"
        msg = f"which columns are the position? {known}; give --ra and --dec, of {', '.join(sorted(columns))}"
        raise ConfigError(msg)
    if wanted.trust_tiles and (ra, dec) != declared:
        msg = f"--trust-tiles: tiles are those of {declared[0]}, {declared[1]}, not of {ra}, {dec}; leave it out"
        raise ConfigError(msg)
    for name in (ra, dec):
        _check_column(name, columns)
        kind = columns[name].type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            msg = f"position column {name!r} is {kind}; it must be numbers of degrees"
            raise InputError(msg)
    return ra, dec


def _check_ids(wanted: Adoption, columns: dict[str, ForeignColumn]) -> None:
    for name in wanted.id:
        _check_column(name, columns)
        if not is_ordered(columns[name].type):
            msg = f"id column {name!r} is {columns[name].type}; ids are numbers or text"
            raise ConfigError(msg)
        if served_type(str(columns[name].type), 0) is None:  # what the largest id is shows later
            msg = f"id column {name!r} is {columns[name].type}, which is not served, so that no id can be looked up; "
            msg += "leave --id out, or name another column"
            raise ConfigError(msg)


def _check_column(name: str, columns: dict[str, ForeignColumn]) -> None:
    if name not in columns:
        near: Sequence[str] = difflib.get_close_matches(name, columns, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        msg = f"no column {name!r} in the files{hint}"
        raise ConfigError(msg)
    if name in case_twins(columns.values()):
        msg = f"column {name!r}: another name differs by case only, which SQL cannot tell apart; name another column"
        raise InputError(msg)
