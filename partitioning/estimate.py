"""Estimates of a build before it begins: rows, bytes, spill, disk and time, from a sample of the input."""

import math
import os
import shutil
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from .config import BuildConfig
from .exceptions import ConfigError, DamagedInputError
from .layout.leaf import LeafFormat
from .progress import duration, size_text
from .stages.maps import map_order
from .stages.plan import TablePlan
from .stages.run import CHUNK_SHARE, GROUP_SHARE, LEAST_ROWS, Share
from .stages.tiling import Tiling

__all__ = [
    "PASSES",
    "Estimate",
    "check_room",
    "estimate_build",
    "existing",
    "fewer_for_groups",
    "fewer_workers",
    "input_rows",
    "memory_problems",
    "room_problems",
    "workers_of_table",
]

PASSES: Final = 7.0
"""Time of a whole build, in units of the time that encoding its rows once as Parquet takes: reading, placing, cutting,
sorting, margins, indexes and verification (5.5 to 7 for Parquet input of 26 and 991 columns, 14 for CSV)."""

_SAMPLE_FILES: Final = 8
_TEXT_BYTES: Final = 1 << 20
_PIXEL_DEG: Final = math.degrees(math.sqrt(math.pi / 3))
"""Side of a pixel of order 0; each order halves it."""

_TOLERANCE: Final = 0.8
"""A build is refused if so much of its estimate does not fit: estimates of sizes are that good."""

_RUN_BYTES: Final = 14.0
_FLAT_ENTRY_BYTES: Final = 28.0
_TEXT_ENTRY_BYTES: Final = 24.0
"""Bytes of an entry of an id index: in the sorted runs; published with flat arrays, and of text without."""

_BLOOM_BYTES: Final = 2.0
_FOOTER_BYTES: Final = 100.0
"""Bytes of an id in a bloom filter, and of a column chunk in a footer."""

_MAP_BYTES: Final = 24.0
"""Bytes of a pixel in both row-count maps."""

_PARENT_BYTES: Final = 48.0
"""Bytes of a parent's row in the look-up."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a build of one table takes."""

    rows: int
    main_bytes: int
    margin_bytes: int
    index_bytes: int
    spill_bytes: int
    seconds: float

    @property
    def output_bytes(self) -> int:
        """Bytes of the release."""
        return self.main_bytes + self.margin_bytes + self.index_bytes

    def __str__(self) -> str:
        sizes = f"{size_text(self.output_bytes)} of output, {size_text(self.spill_bytes)} of spill files"
        return f"about {self.rows} rows, {sizes}, {duration(self.seconds)}"


def estimate_build(
    plan: TablePlan,
    rows: int,
    *,
    workers: int,
    tiling: Tiling | None = None,
    parent_rows: int = 0,
) -> Estimate:
    """Return what the build of a table takes.

    Parameters
    ----------
    rows
        Rows of the input, known or estimated (`input_rows`); an append whose tiles are known makes all rows of these.
    workers
        Processes.
    tiling
        Tiles, once they are known; the margin counts only then.
    parent_rows
        Rows of the parent whose positions are looked up.
    """
    table, form = plan.table, plan.form
    if plan.base is not None and tiling is not None:
        rows = int(tiling.rows.sum())
    groups = rows / form.most_group_rows + (0 if tiling is None else len(tiling))
    footers = groups * len(form.paths) * _FOOTER_BYTES
    maps = _MAP_BYTES * _map_pixels(rows, tiling) if plan.is_tiled else 0
    main = rows * (plan.stored_bytes + _BLOOM_BYTES * len(table.id)) + footers + maps
    share = 0.0 if tiling is None else _margin_share(tiling, table.margin_arcsec / 3600)
    spilled = rows * plan.spilled_bytes * (1 + share) + parent_rows * _PARENT_BYTES
    runs = rows * _RUN_BYTES * len(table.index_columns)
    entries = sum(_entry_bytes(form.schema.field(name).type) for name in table.index_columns)
    return Estimate(
        rows=rows,
        main_bytes=round(main),
        margin_bytes=round(rows * plan.stored_bytes * share),
        index_bytes=round(rows * entries),
        spill_bytes=round(spilled + runs) if plan.is_tiled else 0,
        seconds=rows * plan.row_seconds * PASSES / max(1, min(workers, os.cpu_count() or 1)),
    )


def input_rows(plan: TablePlan) -> int:
    """Return about how many rows the input has: exact where files tell it and are few, else by their sizes."""
    whole = [position for position, file in enumerate(plan.inputs) if file.parts is None and file.damaged is None]
    chosen = [whole[at] for at in np.unique(np.linspace(0, len(whole) - 1, _SAMPLE_FILES).astype(int))] if whole else []
    seen = sum(plan.inputs[position].bytes for position in chosen)
    rows = sum(_file_rows(plan, position) for position in chosen)
    scale = sum(plan.inputs[position].bytes for position in whole) / max(1, seen)
    known = sum(sum(file.parts or ()) for file in plan.inputs)
    return known + int(rows * scale)


def fewer_workers(config: BuildConfig) -> str:
    """Tell how many workers the memory is enough for, if it is not for all."""
    workers = Share.workers_within(config.memory, config.workers)
    if workers == config.workers:
        return ""
    least = size_text(Share.least_memory(config.workers))
    return f"{workers} of {config.workers}: memory = {size_text(config.memory)} is too little for more, {least} for all"


def workers_of_table(config: BuildConfig, form: LeafFormat) -> int:
    """Return how many processes have room for the row groups of a table."""
    return Share.workers_within(config.memory, config.workers, form.row_bytes * form.most_group_rows)


def fewer_for_groups(config: BuildConfig, form: LeafFormat) -> str:
    """Tell how many workers there are for a table, if its row groups are too large for as many as for others."""
    workers, others = workers_of_table(config, form), Share.workers_within(config.memory, config.workers)
    if workers == others:
        return ""
    group = size_text(form.row_bytes * form.most_group_rows)
    return f"{workers} of {others}: row groups take {group}, and each process has room for {GROUP_SHARE}"


def memory_problems(config: BuildConfig, form: LeafFormat, name: str) -> list[str]:
    """Return why the memory is too little for the rows of table `name`."""
    workers = Share.workers_within(config.memory, config.workers)
    needs = [
        (Share.of(config.memory, workers).memory, CHUNK_SHARE * LEAST_ROWS),
        (Share.of(config.memory, 1).memory, GROUP_SHARE * form.most_group_rows),
    ]
    for has, rows in needs:
        needed = form.row_bytes * rows
        if needed > has:
            problem = f"a row takes {size_text(form.row_bytes)}, so that a process needs {size_text(needed)} for rows"
            return [f"table {name!r}: {problem}, and has {size_text(has)}; raise memory or lower workers"]
    return []


def room_problems(config: BuildConfig, estimates: Iterable[Estimate], tolerance: float = 1.0) -> list[str]:
    """Return which limits and which disks are too small for builds.

    Parameters
    ----------
    tolerance
        Share of the estimates that must fit.
    """
    found = list(estimates)
    problems = []
    most = max((one.spill_bytes for one in found), default=0)
    if config.max_spill is not None and tolerance * most > config.max_spill:
        limit = f"max_spill = {size_text(config.max_spill)}"
        problems.append(f"spill files will take about {size_text(most)}, more than {limit}; raise it")
    needs: dict[int, tuple[Path, int]] = {}
    spill = config.root if config.spill is None else config.spill
    for place, size in (
        (config.root, sum(one.output_bytes for one in found)),
        (spill, sum(one.spill_bytes for one in found)),
    ):
        directory = existing(place)
        device = directory.stat().st_dev
        needs[device] = (directory, needs.get(device, (directory, 0))[1] + size)
    for directory, size in needs.values():
        free = shutil.disk_usage(directory).free
        if tolerance * size > free:
            problem = f"about {size_text(size)} are needed, {size_text(free)} are free"
            problems.append(f"{directory}: {problem}; make room, or set build.spill to another disk")
    return problems


def check_room(config: BuildConfig, estimate: Estimate, name: str) -> None:
    """Refuse a build that clearly does not fit.

    Raises
    ------
    ConfigError
        If the spill files would take more than ``max_spill``, or a disk has clearly too little room.
    """
    for problem in room_problems(config, [estimate], _TOLERANCE):
        msg = f"{name}: {problem}"
        raise ConfigError(msg)


def existing(path: Path) -> Path:
    """Return the nearest directory above a path that may not exist yet."""
    return next(one for one in (path, *path.absolute().parents) if one.is_dir())


def _map_pixels(rows: int, tiling: Tiling | None) -> float:
    """Return the most pixels that the row-count maps may have."""
    order = map_order(rows)
    if tiling is None:
        return min(rows, 12 << (2 * order))
    return float(np.minimum(tiling.rows, np.exp2(2.0 * np.maximum(0, order - tiling.orders))).sum())


def _margin_share(tiling: Tiling, threshold_deg: float) -> float:
    """Return the margin's rows as a share of all, as if the rows around a tile were as dense as those in it."""
    reach = threshold_deg / _PIXEL_DEG * np.exp2(tiling.orders.astype(np.float64))
    rows = tiling.rows * (4 * reach + math.pi * reach**2)
    return float(rows.sum() / max(1, tiling.rows.sum()))


def _entry_bytes(kind: pa.DataType) -> float:
    return _FLAT_ENTRY_BYTES if pa.types.is_integer(kind) else _TEXT_ENTRY_BYTES


def _file_rows(plan: TablePlan, position: int) -> float:
    """Return about how many rows one file has."""
    file = plan.inputs[position]
    with suppress(DamagedInputError):
        parts = plan.source.part_rows(position)
        if parts is not None:
            return sum(parts)
    if file.form.name == "csv" and file.path.suffix.lower() not in {".bz2", ".xz", ".zst", ".lz4"}:
        with suppress(OSError, zlib.error):
            return _text_rows(file.path, file.bytes)
    return file.bytes / max(1.0, plan.row_bytes)


def _text_rows(path: Path, size: int) -> float:
    """Return about how many lines but the first a text file has, by its beginning."""
    with path.open("rb") as file:
        raw = file.read(_TEXT_BYTES)
    text = zlib.decompressobj(31).decompress(raw) if path.suffix.lower() == ".gz" else raw
    lines = text.count(b"\n") + (1 if len(raw) == size and not text.endswith(b"\n") else 0)
    return max(0.0, lines * size / max(1, len(raw)) - 1)
