"""A release as it lies on disk, opened for checking: nothing is assumed to be in order."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..exceptions import LayoutError
from ..layout.leaf import LeafFormat
from ..layout.manifest import FILES_SCHEMA, Manifest, Placement
from ..layout.paths import MANIFEST_DIR, PLAIN_FILE, STAGING_DIR, leaf_path, release_name
from ..sky.coverage import Coverage
from ..sky.healpix import ORDER, SKY_STOP, Pixel, pixel_range

__all__ = [
    "DataFile",
    "OpenCatalog",
    "read_files",
    "sibling_release",
    "table_directory",
    "tried",
    "tried_file",
]

_T = TypeVar("_T")


@dataclass(frozen=True)
class DataFile:
    """One line of ``files.parquet``: what a data file is said to hold."""

    number: int
    pixel: Pixel
    path: str
    rows: int
    bytes: int
    row_groups: int
    healpix_min: int
    healpix_max: int
    max_separation_deg: float
    xxh3_128: str
    first_group: int
    """Row groups in the files before this one."""

    @property
    def range(self) -> tuple[int, int]:
        """Order-29 range of the tile; the whole sky for a table without positions."""
        return (0, SKY_STOP) if self.path == PLAIN_FILE else pixel_range(self.pixel)


@dataclass(frozen=True, eq=False)
class OpenCatalog:
    """A main catalog with a readable manifest and list of files."""

    path: Path
    manifest: Manifest
    files: tuple[DataFile, ...]
    schema: pa.Schema
    """Schema of the leaves: of the common metadata, or of the first sound leaf if that is damaged."""
    damaged: frozenset[str]
    """Small files whose checksums are wrong: they are not decoded."""

    @property
    def placement(self) -> Placement | None:
        """Placement of the rows; None for a table without positions."""
        return self.manifest.placement

    @cached_property
    def form(self) -> LeafFormat:
        """How leaves are written; row-group bounds are the defaults."""
        return LeafFormat(self.schema, tuple(name for name in self.manifest.id_columns if name in self.schema.names))

    @cached_property
    def ranges(self) -> Coverage:
        """Order-29 range of each tile, shape ``(files, 2)``, in file order."""
        return np.array([file.range for file in self.files], dtype=np.int64).reshape(-1, 2)

    def tiles_of(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the file whose tile holds each order-29 index, -1 where there is none."""
        order = np.argsort(self.ranges[:, 0], kind="stable")
        starts = self.ranges[order, 0]
        at = np.searchsorted(starts, index, side="right") - 1
        found = order[np.maximum(at, 0)]
        inside = (at >= 0) & (index < self.ranges[found, 1])
        return np.where(inside, found, -1)


def read_files(catalog: Path, *, is_plain: bool = False) -> tuple[DataFile, ...]:
    """Read ``files.parquet`` of a main catalog or a margin.

    Raises
    ------
    LayoutError
        If it has other columns, or names no pixels.
    OSError, pyarrow.ArrowException
        If it cannot be read.
    """
    table = pq.read_table(catalog / MANIFEST_DIR / "files.parquet", memory_map=False)
    if not table.schema.equals(FILES_SCHEMA):
        msg = f"its columns are {table.schema.names}"
        raise LayoutError(msg)
    return tuple(_data_files(table, is_plain=is_plain))


def _data_files(table: pa.Table, *, is_plain: bool) -> list[DataFile]:
    files, groups = [], 0
    for number, row in enumerate(table.to_pylist()):
        pixel = Pixel(row.pop("norder"), row.pop("npix"))
        if pixel.order > ORDER or not 0 <= pixel.number < 12 << (2 * pixel.order):
            msg = f"line {number} names no HEALPix pixel"
            raise LayoutError(msg)
        path = PLAIN_FILE if is_plain else leaf_path(pixel)
        files.append(DataFile(number=number, pixel=pixel, path=path, first_group=groups, **row))
        groups += row["row_groups"]
    return files


def tried(action: Callable[[], _T]) -> tuple[_T | None, str]:
    """Return the result of reading something, or None and what went wrong.

    Readers raise errors of any kind when bits are flipped, and a verification must go on.
    """
    try:
        return action(), ""
    except Exception as error:  # noqa: BLE001  all of them become findings
        return None, f"{type(error).__name__}: {error}"


def tried_file(damaged: Collection[str], name: str, action: Callable[[], _T]) -> tuple[_T | None, str]:
    """Return the result of reading the small file `name`, unless it is damaged; otherwise None and why."""
    return (None, "it is not read, since its checksum is wrong") if name in damaged else tried(action)


def table_directory(release: Path) -> Path:
    """Return the directory of a release's table; a release under construction is in a hidden directory of it."""
    return release.parent.parent if release.parent.name == STAGING_DIR else release.parent


def sibling_release(release: Path, table: str, number: int) -> Path | None:
    """Return a release of another table of the same schema, published or under construction; None if it is nowhere."""
    home = table_directory(release).parent / table
    name = release_name(table, number)
    return next((place for place in (home / name, home / STAGING_DIR / name) if place.is_dir()), None)
