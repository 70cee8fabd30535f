"""The release that an append starts from: which of its tiles change, what it hands on, and its part of the sums."""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout.files import fsync_path
from ..layout.manifest import FILES_SCHEMA, ROW_GROUPS_FILE, InputRecord, read_columns
from ..layout.partition_map import PartitionMap
from ..layout.paths import HEALPIX_COLUMN, INPUT_COLUMN, MANIFEST_DIR, POINT_MAP, REJECTS_FILE, leaf_path
from ..layout.properties import parse_properties
from ..sky.borders import halo_of
from ..sky.healpix import Pixel, order_shift
from .account import rejected_batches
from .counts import summed
from .ledger import Ledger
from .order import unsliced
from .places import Places, Unplaced
from .plan import BaseRelease, TablePlan
from .removal import Removed, kept_sketches
from .sketch import merged
from .tiling import Tiling
from .units import BASE_READERS, base_leaf
from .workspace import Workspace

__all__ = [
    "affected_margins",
    "base_map_order",
    "hand_on_leaves",
    "joined_inputs",
    "joined_ledger",
    "kept_rejects",
    "touched_tiles",
    "waiting_files",
]


def touched_tiles(
    workspace: Workspace, plan: TablePlan, base: BaseRelease, finer: PartitionMap | None
) -> tuple[int, ...]:
    """Return the tiles of the base release that must be made anew.

    They receive new rows, hold rows of input files that are replaced, or strictly contain a tile of the parent.

    Parameters
    ----------
    plan
        Its own input units are placed.
    finer
        Tiles of the parent.
    """
    tiles = plan.base_map
    touched = np.zeros(len(tiles), dtype=np.bool_)
    ranges = tiles.tile_ranges()
    for unit in range(len(plan.units)):
        for index in Places(workspace.places(unit), has_parent=plan.stores_parent).index_chunks():
            at = np.searchsorted(ranges[:, 0], index, side="right") - 1
            at = at[(at >= 0) & (index < ranges[np.maximum(at, 0), 1])]
            touched[at] = True
    touched[_files_of_inputs(base.catalog, tiles, base.removed)] = True
    if finer is not None:
        starts = finer.tile_ranges()[:, 0]
        for order in np.unique(tiles.orders).tolist():
            deeper = starts[finer.orders > order]
            mine = tiles.orders == order
            inside = np.searchsorted(deeper, ranges[mine])
            touched[mine] |= inside[:, 1] > inside[:, 0]
    return tuple(np.flatnonzero(touched).tolist())


def _files_of_inputs(catalog: Path, tiles: PartitionMap, numbers: Sequence[int]) -> NDArray[np.int64]:
    """Return the files that hold rows of some input files.

    Bounds of the row groups tell where such rows may be; input files overlap, so that what they leave open is read.
    """
    if not numbers:
        return np.empty(0, dtype=np.int64)
    names = ["file", "row_group", f"{INPUT_COLUMN}.min", f"{INPUT_COLUMN}.max"]
    groups = pq.read_table(catalog / MANIFEST_DIR / ROW_GROUPS_FILE, columns=names)
    file, group, low, high = (groups.column(name).to_numpy() for name in names)
    certain, possible = (np.zeros(len(file), dtype=np.bool_) for _ in range(2))
    for number in numbers:
        certain |= (low == number) | (high == number)
        possible |= (low <= number) & (number <= high)
    open_files = np.setdiff1d(file[possible], file[certain]).tolist()
    by_file = np.flatnonzero(possible)[np.argsort(file[possible], kind="stable")]
    file_in_question, group_in_question = file[by_file], group[by_file]

    def holds(number: int) -> bool:
        first, stop = np.searchsorted(file_in_question, [number, number + 1]).tolist()
        path = catalog / leaf_path(tiles.pixel(number))
        return _has_inputs(path, group_in_question[first:stop].tolist(), numbers)

    with ThreadPoolExecutor(BASE_READERS) as pool:
        found = [number for number, has in zip(open_files, pool.map(holds, open_files), strict=True) if has]
    return np.union1d(file[certain], np.array(found, dtype=np.int64)).astype(np.int64)


def _has_inputs(path: Path, groups: Sequence[int], numbers: Sequence[int]) -> bool:
    """Return whether some row groups of a leaf have rows of some input files."""
    wanted = pa.array(numbers, pa.int32())
    with base_leaf(path) as leaf:
        columns = (leaf.read_row_group(group, [INPUT_COLUMN], use_threads=False).column(0) for group in groups)
        return any(pc.any(pc.is_in(column, wanted)).as_py() for column in columns)


def base_map_order(base: BaseRelease) -> int:
    """Return the order of the base release's maps; the next release keeps it."""
    properties = parse_properties((base.catalog / "hats.properties").read_text(encoding="utf-8"))
    return int(properties["hats_skymap_order"])


def hand_on_leaves(source: Path, target: Path, pixels: Iterable[Pixel]) -> list[Pixel]:
    """Link leaves of a catalog into another one; copy them where the file system has no links, and return those."""
    made, copied = set[Path](), list[Pixel]()
    for pixel in pixels:
        name = leaf_path(pixel)
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        try:
            os.link(source / name, path)
        except OSError:
            shutil.copyfile(source / name, path)
            fsync_path(path)
            copied.append(pixel)
        made.add(path.parent)
    for directory in made:
        fsync_path(directory)
    return copied


def affected_margins(plan: TablePlan, tiling: Tiling, made: Tiling) -> NDArray[np.int64]:
    """Return the tiles of the new release (`tiling`) whose margin may differ from the base release's.

    They were made anew, or have a tile that was made anew, or one that is gone, near to them.
    """
    assert plan.base is not None
    halo = halo_of(tiling.orders, tiling.numbers, plan.table.margin_arcsec / 3600)
    shift = order_shift(halo.order)
    lows, highs = halo.cells << shift, (halo.cells + 1) << shift
    gone = plan.base_map.tile_ranges()[list(plan.base.touched_tiles)]
    changed = np.concatenate([gone, np.stack([made.starts, made.stops], axis=1)])
    changed = changed[np.argsort(changed[:, 0], kind="stable")]
    reach = np.maximum.accumulate(changed[:, 1])
    if len(changed) == 0:
        return np.empty(0, dtype=np.int64)
    at = np.searchsorted(changed[:, 0], highs, side="left") - 1
    near = (at >= 0) & (reach[np.maximum(at, 0)] > lows)
    own = np.flatnonzero(np.isin(tiling.starts, made.starts) & np.isin(tiling.stops, made.stops))
    return np.union1d(halo.tiles[near], own)


def joined_ledger(plan: TablePlan, made: Ledger, map_order: int) -> Ledger:
    """Return the sums over the new release: what was made, and what the base release hands on."""
    base = plan.base
    assert base is not None
    kept = np.setdiff1d(np.arange(len(plan.base_map)), base.touched_tiles)
    old_files = pq.read_table(base.catalog / MANIFEST_DIR / "files.parquet").cast(FILES_SCHEMA).take(pa.array(kept))
    old_bytes, old_nulls, old_sketches = read_columns(base.catalog)
    files = pa.concat_tables([old_files, made.files])
    order = np.argsort(files.column("healpix_min").to_numpy(), kind="stable")
    names = plan.form.schema.names
    if base.removed:
        leaves = (base.catalog / leaf_path(plan.base_map.pixel(tile)) for tile in base.touched_tiles)
        anew = {names[number]: hashes for number, hashes in made.sketches.items()}
        old_sketches = kept_sketches(old_sketches, anew, Removed(leaves, base.removed))
    sketches = {n: merged([made.sketches[n], old_sketches[names[n]]]) for n in made.sketches}
    return replace(
        made,
        files=files.take(pa.array(order)),
        column_bytes=np.concatenate([old_bytes[kept], made.column_bytes])[order],
        column_nulls=np.concatenate([old_nulls[kept], made.column_nulls])[order],
        map_counts=_joined_map(plan, made, map_order),
        sketches={**{names.index(name): hashes for name, hashes in old_sketches.items()}, **sketches},
        groups=lambda: _joined_groups(base.catalog, kept, order, made),
    )


def _joined_map(plan: TablePlan, made: Ledger, map_order: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the map's counts: the base's, less the tiles made anew, plus what was made."""
    assert plan.base is not None
    pixels, rows = read_map(plan.base.catalog)
    keys, counts = [pixels, made.map_counts[0]], [rows, made.map_counts[1]]
    for tile in plan.base.touched_tiles:
        path = plan.base.catalog / leaf_path(plan.base_map.pixel(tile))
        index = pq.read_table(path, columns=[HEALPIX_COLUMN], partitioning=None).column(0).to_numpy()
        gone, lost = np.unique(index >> order_shift(map_order), return_counts=True)
        keys.append(gone)
        counts.append(-lost.astype(np.int64))
    total = summed(keys, counts)
    occupied = total[1] != 0
    return total[0][occupied], total[1][occupied]


def read_map(catalog: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the occupied pixels of a catalog's row-count map, and the rows in each."""
    from astropy.io import fits  # noqa: PLC0415  astropy takes 0.5 s to import

    with fits.open(catalog / POINT_MAP) as hdus:
        data = hdus[1].data
        return np.array(data["PIXEL"], dtype=np.int64), np.array(data["VALUE"], dtype=np.int64)


def _joined_groups(
    catalog: Path, kept: NDArray[np.int64], order: NDArray[np.int64], made: Ledger
) -> Iterator[pa.Table]:
    """Yield row-group statistics in the order of the new release's files."""
    old, new = _by_file(_base_groups(catalog)), _by_file(made.group_tables())
    old_now, new_now = next(old, None), next(new, None)
    for position, source in enumerate(order.tolist()):
        if source < len(kept):
            while old_now is not None and old_now[0] < kept[source]:
                old_now = next(old, None)
            found = old_now
        else:
            while new_now is not None and new_now[0] < source - len(kept):
                new_now = next(new, None)
            found = new_now
        if found is not None:
            yield found[1].set_column(0, "file", pa.array(np.full(len(found[1]), position, np.int32)))


def _base_groups(catalog: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(catalog / MANIFEST_DIR / ROW_GROUPS_FILE) as file:
        for number in range(file.metadata.num_row_groups):
            yield file.read_row_group(number)


def _by_file(tables: Iterable[pa.Table]) -> Iterator[tuple[int, pa.Table]]:
    """Cut tables of row groups, sorted by file, into one table a file."""
    waiting: tuple[int, pa.Table] | None = None
    for table in tables:
        files = table.column("file").to_numpy()
        edges = [0, *(np.flatnonzero(np.diff(files)) + 1).tolist(), len(files)]
        for first, stop in pairwise(edges):
            part = (int(files[first]), table.slice(first, stop - first))
            if waiting is not None and waiting[0] == part[0]:
                waiting = (part[0], pa.concat_tables([waiting[1], part[1]]))
                continue
            if waiting is not None:
                yield waiting
            waiting = part
    if waiting is not None:
        yield waiting


def joined_inputs(
    old: Sequence[InputRecord], removed: Sequence[int], new: Sequence[InputRecord]
) -> tuple[InputRecord, ...]:
    """Return the input files of the new release."""
    return (*(record for record in old if record.number not in removed), *new)


def kept_rejects(workspace: Workspace, plan: TablePlan, removed: Sequence[str]) -> list[Path]:
    """Return the file of the base release's rejected rows, less those of input files that are replaced."""
    assert plan.base is not None
    path = plan.base.catalog / REJECTS_FILE
    if not path.exists():
        return []
    target, names, kept = workspace.spill / "kept-rejects.parquet", pa.array(removed, pa.string()), 0
    with pq.ParquetWriter(target, pq.read_schema(path)) as writer:
        for rows in rejected_batches([path]):
            others = unsliced(rows).filter(pc.invert(pc.is_in(rows.column("_input_file"), names)))
            if len(others):
                writer.write_batch(others)
            kept += len(others)
    return [target] if kept else []


def waiting_files(catalog: Path, removed: Sequence[str]) -> dict[str, int]:
    """Return the rows of each input file that were rejected because they had no parent; not of files `removed`."""
    path, found = catalog / REJECTS_FILE, Counter[str]()
    for rows in rejected_batches([path] if path.exists() else [], ["_input_file", "_reason"]):
        waiting = rows.filter(pc.equal(rows.column("_reason"), Unplaced.NO_PARENT.reason)).column("_input_file")
        counts = waiting.value_counts()
        names, numbers = (counts.field(name).to_pylist() for name in ("values", "counts"))
        found.update(dict(zip(names, numbers, strict=True)))
    return {name: rows for name, rows in found.items() if name not in removed}
