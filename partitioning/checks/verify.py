"""Verification of a release: everything that can be wrong with it, told by tile and file."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import LayoutError
from ..layout.manifest import ROW_GROUPS_FILE, read_manifest
from ..layout.paths import COMMON_METADATA, MANIFEST_DIR, POINT_MAP, escaped, release_name
from ..layout.schema import schema_fingerprint
from ..stages.sketch import SketchesOfParts
from .catalog import DataFile, OpenCatalog, read_files, table_directory, tried, tried_file
from .each import Each, Threads
from .hats import (
    check_common_schema,
    check_partition_info,
    check_pointer,
    check_properties,
    expected_properties,
)
from .index import IndexScope, check_index
from .inputs import check_inputs, check_manifest_sums
from .leaf import LeafSums, LeafTask, check_leaf
from .maps import Map, check_maps, read_map
from .margin import check_margin
from .parents import ParentTable, Strays, TileParents, check_strays, open_parent_table
from .report import Collector, Full, Notify, Report, Sample, Scope
from .sound import Apart, SoundFiles
from .statistics import RowGroups, check_columns, check_distinct, check_row_groups
from .tiles import check_partition_map, check_presence, chosen_files
from .tree import check_data_tree, check_small_files

__all__ = ["open_catalog", "verify_release"]


def verify_release(
    release: Path, *, scope: Scope, workers: int = 1, report: Notify = lambda _: None, each: Each | None = None
) -> Report:
    """Check a release, its margins and its id indexes against each other, reading only what is on disk.

    All problems are collected; a damaged file ends no check but its own. A release under construction verifies as a
    published one, and as a copy of it elsewhere.

    Parameters
    ----------
    release
        Directory of the main catalog.
    scope
        Which tiles are read: `Full`, a `Sample` or some `Tiles`. Rows per input file and the column totals need all of
        them; an id index is read whole, or the same share of its parts in a sample.
    workers
        Tiles that are read at the same time, each one row group at a time.
    report
        Called with one line of progress at a time.
    each
        Does the checks of single files; by default as many threads of this process as there are workers.

    Raises
    ------
    LayoutError
        If `release` is no directory.
    ValueError
        If the fraction of a sample is not above 0 and up to 1, or there is no worker.
    """
    if not release.is_dir():
        msg = f"{release}: there is no such release"
        raise LayoutError(msg)
    if workers < 1 or (isinstance(scope, Sample) and not 0 < scope.fraction <= 1):
        msg = "a verification needs at least one worker, and a sample above 0 and up to 1"
        raise ValueError(msg)
    release = release.resolve()
    start, found = time.perf_counter(), Collector(release.name)
    opened = open_catalog(release, found)
    if opened is not None:
        apart = Apart()
        try:
            _Verification(opened, scope, each or Threads(workers, report), found, SoundFiles(release), apart).run()
        finally:
            apart.close()
    return Report(
        release=release.name,
        findings=tuple(found.kept),
        omitted=tuple(found.omitted()),
        not_checked=tuple(found.not_checked),
        files=found.files,
        rows=found.rows,
        bytes=found.bytes,
        seconds=time.perf_counter() - start,
    )


def open_catalog(release: Path, found: Collector) -> OpenCatalog | None:
    """Return a release whose manifest, list of files and schema can be read; otherwise add what cannot."""
    damaged = check_small_files(release, found)
    manifest, problem = tried(partial(read_manifest, release))
    if manifest is None:
        found.add("manifest", f"{MANIFEST_DIR}/manifest.json", problem)
        return None
    path = f"{MANIFEST_DIR}/files.parquet"
    files, problem = tried_file(damaged, path, partial(read_files, release, is_plain=manifest.placement is None))
    if files is None:
        found.add("partition_map", path, problem)
        return None
    schema = _read_schema(release, damaged, files, manifest.schema_fingerprint)
    if schema is None:
        found.add("schema", "dataset", "no sound file tells the schema")
        for file in files:
            found.add("checksum", file.path, SoundFiles(release).problem(file), file.pixel)
        return None
    return OpenCatalog(release, manifest, files, schema, damaged)


def _read_schema(
    release: Path, damaged: frozenset[str], files: Sequence[DataFile], fingerprint: str
) -> pa.Schema | None:
    """Return the schema of the leaves: the first that has the manifest's fingerprint, else the first there is."""
    sound = SoundFiles(release)
    first, _ = tried_file(damaged, COMMON_METADATA, partial(pq.read_schema, release / COMMON_METADATA))
    if first is not None and schema_fingerprint(first) == fingerprint:
        return first
    for file in files:
        if not sound.problem(file):
            schema, _ = tried(partial(pq.read_schema, release / file.path))
            if schema is not None and schema_fingerprint(schema) == fingerprint:
                return schema
            first = first or schema
    return first


@dataclass
class _Verification:
    """The checks of one opened release, in order."""

    opened: OpenCatalog
    scope: Scope
    each: Each
    found: Collector
    sound: SoundFiles
    apart: Apart
    sketches: SketchesOfParts = field(default_factory=SketchesOfParts)
    """Of the leaves that were read."""

    def run(self) -> None:
        opened, found = self.opened, self.found
        self._check_lists()
        files = chosen_files(opened, self.scope, found)
        read = {file.number for file in files}
        for file in opened.files:
            if file.number not in read:
                check_presence(opened.path, file, found)
        point_map, problem = None, ""
        if opened.placement is not None:
            point_map, problem = tried(partial(read_map, opened.path / POINT_MAP))
            found.expect(point_map is not None, "maps", POINT_MAP, problem)
        path = f"{MANIFEST_DIR}/{ROW_GROUPS_FILE}"
        groups, problem = tried_file(opened.damaged, path, partial(RowGroups, opened.path))
        if groups is None:
            found.add("statistics", path, problem)
        else:
            check_row_groups(opened, groups, found)
        sums = self._check_leaves(files, point_map, groups)
        if isinstance(self.scope, Full):
            check_inputs(opened, list(sums.values()), found)
        check_columns(opened, sums, found)
        if isinstance(self.scope, Full) and all(each.is_complete for each in sums.values()):
            check_distinct(opened, self.sketches.merged(), found)
        if point_map is not None and opened.placement is not None:
            check_maps(opened, point_map, sums, found)
            check_properties(opened.path, expected_properties(opened, opened.placement, point_map), found)
        self._check_margins(files)
        self._check_indexes(sums, groups)
        if groups is not None:
            groups.close()

    def _check_lists(self) -> None:
        """Check all that needs no data file."""
        opened, found = self.opened, self.found
        check_data_tree(opened.path, [file.path for file in opened.files], found)
        name = release_name(opened.manifest.table, opened.manifest.release)
        wrong = f"it is the manifest of {name}"
        found.expect(opened.path.name == name, "manifest", f"{MANIFEST_DIR}/manifest.json", wrong)
        check_manifest_sums(opened, found)
        check_partition_map(opened, found)
        check_common_schema(opened, found)
        if opened.placement is not None:
            check_partition_info(opened.path, opened.files, found)
            check_pointer(opened, table_directory(opened.path), found)

    def _check_leaves(
        self, files: Sequence[DataFile], point_map: Map | None, groups: RowGroups | None
    ) -> dict[int, LeafSums]:
        parent = open_parent_table(self.opened, self.found)
        order = None if point_map is None else point_map.order
        check = _LeafChecks(self.opened, order, groups, parent, self.sound, sketches=isinstance(self.scope, Full))
        sums, strays = dict[int, LeafSums](), Strays()
        for file, result in self.each("tiles", check, files, self.apart):
            self.found.merge(result.found)
            self.sound.learn(result.known)
            sums[file.number] = result.sums
            self.sketches.add(result.sums.sketches)
            result.sums.sketches = {}  # of all leaves they take gigabytes
            strays.add(file, result.strays)
            if parent is not None:
                parent.sound.learn(result.known_parents)
        if parent is not None:
            _, problem = tried(lambda: check_strays(parent, strays, self.found))
            self.found.expect(not problem, "parent", "", f"the parent's keys cannot be read: {problem}")
        return sums

    def _check_margins(self, files: Sequence[DataFile]) -> None:
        for record in self.opened.manifest.margins:
            collected = Collector(record.directory)
            check = check_margin(self.opened, record, self.sound, collected)
            if check is not None:
                for _, found in self.each(f"margin {record.threshold_arcsec:g} arcsec", check, files, self.apart):
                    collected.merge(found)
            self.found.merge(collected)

    def _check_indexes(self, sums: dict[int, LeafSums], groups: RowGroups | None) -> None:
        for record in self.opened.manifest.indexes:
            collected = Collector(record.directory)
            if record.column not in self.opened.schema.names:
                self.found.add("index", "", f"there is an id index of {record.column!r}, which is no column")
                continue
            nulls = None
            if groups is not None:
                nulls, _ = tried(partial(groups.nulls, record.column, self.opened.files))
            scope = IndexScope(sums, nulls)
            if isinstance(self.scope, Sample):
                scope = IndexScope(sums, nulls, self.scope.fraction, self.scope.seed)
            what = f"index {escaped(record.column)}"
            check_index(self.opened, record, scope, partial(self.each, what, apart=self.apart), collected)
            self.found.merge(collected)


@dataclass(frozen=True)
class _LeafResult:
    """What the check of one leaf found."""

    found: Collector
    sums: LeafSums
    strays: NDArray[np.uint64]
    """Hashes of keys that have no parent in this tile."""
    known: Mapping[str, str]
    """Whether the leaf is sound (`SoundFiles.learn`)."""
    known_parents: Mapping[str, str]
    """Whether the leaves of the parent that were read for it are."""


@dataclass(frozen=True, eq=False)
class _LeafChecks:
    """The check of one leaf, whichever."""

    opened: OpenCatalog
    map_order: int | None
    groups: RowGroups | None
    parent: ParentTable | None
    sound: SoundFiles
    sketches: bool
    """Whether distinct values are estimated: all leaves are read."""

    def __call__(self, file: DataFile, apart: Apart) -> _LeafResult:
        """Check a leaf; `apart` is where it is looked at if it is damaged."""
        opened, found = self.opened, Collector(self.opened.path.name)
        family = None if self.parent is None else self._family(file, self.parent, found)
        columns = {record.column for record in opened.manifest.indexes if record.column in opened.schema.names}
        task = LeafTask(
            catalog=opened.path,
            file=file,
            form=opened.form,
            placement=opened.placement,
            map_order=self.map_order,
            index_columns=tuple(sorted(columns)),
            inputs=frozenset(item.number for item in opened.manifest.inputs),
            sketches=self.sketches,
            watch=None if family is None else family.check,
        )
        recorded, _ = (None, "") if self.groups is None else tried(partial(self.groups.of, file))
        sums = check_leaf(task, recorded, self.sound, apart, found)
        strays = [] if family is None else family.strays
        return _LeafResult(
            found=found,
            sums=sums,
            strays=np.unique(np.concatenate([np.empty(0, np.uint64), *strays])),
            known=self.sound.known([file]),
            known_parents={} if self.parent is None else self.parent.sound.known(self.parent.leaves(file)),
        )

    def join(self, results: Sequence[_LeafResult]) -> None:
        """Let the first of some results hold the sketches of all: for each leaf they are 2 kB a column."""
        sketches = SketchesOfParts()
        for result in results:
            sketches.add(result.sums.sketches)
            result.sums.sketches = {}
        if results:
            results[0].sums.sketches = sketches.merged()

    def _family(self, file: DataFile, parent: ParentTable, found: Collector) -> TileParents | None:
        family, problem = tried(lambda: TileParents(self.opened, file, parent, found))
        found.expect(family is not None, "parent", file.path, f"its parents cannot be read: {problem}", file.pixel)
        return family
