"""Which files are adopted: those of one HATS catalog, or plain Parquet files."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ..exceptions import InputError
from ..readers.directories import PARQUET_SUFFIXES, parquet_files
from ..sky.healpix import Pixel
from .hats import catalog_of, find_leaves, is_hats

__all__ = ["ForeignFile", "ForeignTree", "open_tree"]

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """One data file."""

    path: Path
    """Absolute, symbolic links resolved: a link that is turned later does not change what was adopted."""
    size_bytes: int
    mtime_ns: int
    tile: Pixel | None = None
    """Of a HATS leaf: the pixel that its path names."""


@dataclass(frozen=True)
class ForeignTree:
    """All data files of one table."""

    kind: Literal["hats", "parquet"]
    files: tuple[ForeignFile, ...]
    directories: tuple[str, ...]
    """Absolute directories that hold the files."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Of the HATS catalog."""
    unlisted: int = 0
    """Leaves on disk that the HATS catalog's list of partitions leaves out."""

    @property
    def base(self) -> str:
        """The deepest directory that holds all files."""
        return os.path.commonpath(self.directories)


def open_tree(paths: Sequence[str]) -> ForeignTree:
    """Return the data files below `paths`: one HATS catalog or collection, or any number of files and directories.

    Raises
    ------
    InputError
        If a path is a URL, is missing, holds no Parquet file, mixes HATS catalogs with other files, or has a column in
        names of directories.
    LayoutError
        If a HATS catalog is incomplete.
    """
    for path in paths:
        _refuse_url(path)
        if not Path(path).exists():
            msg = f"{path}: no such file or directory"
            raise InputError(msg)
    catalogs = [path for path in paths if is_hats(Path(path))]
    if not catalogs:
        return _plain_tree(paths)
    if len(paths) > 1:
        msg = f"{catalogs[0]} is a HATS catalog; adopt it by itself, as a table of its own"
        raise InputError(msg)
    catalog, properties = catalog_of(Path(catalogs[0]))
    leaves, unlisted = find_leaves(catalog, properties)
    files = tuple(_foreign_file(path, tile) for path, tile in leaves)
    return ForeignTree("hats", files, (_directory_of(catalogs[0], files),), properties, unlisted)


def _plain_tree(paths: Sequence[str]) -> ForeignTree:
    found: dict[Path, ForeignFile] = {}
    directories = []
    for path in paths:
        files = [_foreign_file(one) for one in _parquet_files(Path(path))]
        if not files:
            msg = f"{path}: holds no Parquet file ({', '.join(PARQUET_SUFFIXES)})"
            raise InputError(msg)
        directories.append(_directory_of(path, files))
        found |= {file.path: file for file in files}
    return ForeignTree("parquet", tuple(found.values()), tuple(dict.fromkeys(directories)))


def _parquet_files(path: Path) -> list[Path]:
    """Return a file, or the Parquet files below a directory in order, as a build finds them."""
    return [path] if path.is_file() else parquet_files(path, enter=lambda folder: _refuse_catalog(folder, path))


def _refuse_catalog(folder: Path, given: Path) -> None:
    if folder != given and is_hats(folder):
        msg = f"{folder} is a HATS catalog inside {given}; adopt one catalog or collection at a time, by its path"
        raise InputError(msg)


def _foreign_file(path: Path, tile: Pixel | None = None) -> ForeignFile:
    try:
        resolved = path.resolve(strict=True)
        status = resolved.stat()
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise InputError(msg) from error
    return ForeignFile(resolved, status.st_size, status.st_mtime_ns, tile)


def _directory_of(given: str, files: Sequence[ForeignFile]) -> str:
    """Return the directory that holds the files found below one path; the service is given access to it.

    Raises
    ------
    InputError
        If that is the root of the file system.
    """
    directory = os.path.commonpath([file.path.parent for file in files])
    if directory == os.sep:
        msg = f"{given}: its links lead to files all over the file system; name the directories they lie in instead"
        raise InputError(msg)
    return directory


def _refuse_url(path: str) -> None:
    if _URL.match(path):
        msg = (
            f"{path}: this is a URL; data files are read through the file system. Mount the store, or copy the files, "
            "and adopt the local directory"
        )
        raise InputError(msg)
