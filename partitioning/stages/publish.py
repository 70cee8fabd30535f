"""Staging and publication: a release is made in a hidden directory and appears by one rename.

The commit is the replacement of the table's pointer file (``collection.properties``). Before it, readers see the
former release or none; after it, the new one. Releases are never changed and never removed here.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..exceptions import ConfigError, LayoutError
from ..layout.hats import pointer_properties
from ..layout.leaf import fsync_path
from ..layout.manifest import read_manifest
from ..layout.paths import (
    COLLECTION_PROPERTIES,
    PLAIN_PROPERTIES,
    SCHEMA_FILE,
    STAGING_DIR,
    release_name,
)
from ..layout.properties import format_properties, parse_properties
from ..readers.felis import felis_resources

__all__ = ["Staging", "clear_scratch", "current_release", "publish_release", "publish_schema", "staging_area"]


@dataclass(frozen=True)
class Staging:
    """Where one release is being made."""

    table: Path
    """Directory of the table."""
    release: int
    name: str
    """Directory name of the release, once published."""
    scratch: Path
    """Directory for spill files; removed at the end."""

    @property
    def catalog(self) -> Path:
        """Directory in which the release's files are made."""
        return self.table / STAGING_DIR / self.name


@contextmanager
def staging_area(root: Path, schema: str, table: str, scratch: Path | None) -> Iterator[Staging]:
    """Hold the table's build lock, sweep what an interrupted build left, and offer a fresh staging directory.

    The lock is the kernel's, on the table's directory: it ends with the process, however that ends.

    Raises
    ------
    ConfigError
        If another build of the same table is running, or the directory cannot be made.
    """
    home = root / schema / table
    staging = home / STAGING_DIR
    spill = staging / "scratch" if scratch is None else scratch / f"{schema}.{table}.scratch"
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(home, os.O_RDONLY)
    except OSError as error:
        msg = f"{home}: cannot make the table's directory ({error.strerror}); set release.root or pass --root"
        raise ConfigError(msg) from error
    try:
        _lock(lock, home)
        _sweep(staging, spill)
        release = _next_release(home, table)
        staged = Staging(home, release, release_name(table, release), spill)
        staged.catalog.mkdir(parents=True)
        spill.mkdir(parents=True)
        try:
            yield staged
        finally:
            _sweep(staging, spill)
    finally:
        os.close(lock)


def clear_scratch(staged: Staging) -> None:
    """Remove the spill files of a table whose leaves are written."""
    shutil.rmtree(staged.scratch, ignore_errors=True)


def publish_release(staged: Staging) -> Path:
    """Publish a verified release: move it beside the others, then replace the pointer. Return its directory."""
    manifest = read_manifest(staged.catalog)
    is_collection = manifest.placement is not None and manifest.adopted is None
    pointer, other = (COLLECTION_PROPERTIES, PLAIN_PROPERTIES)[:: 1 if is_collection else -1]
    target = staged.table / staged.name
    _fsync_tree(staged.catalog)
    staged.catalog.rename(target)
    fsync_path(staged.table)
    _replace(staged.table / pointer, format_properties(pointer_properties(manifest, staged.name)).encode())
    (staged.table / other).unlink(missing_ok=True)
    return target


def publish_schema(schema_file: Path, directory: Path) -> None:
    """Copy a Felis file, and the files it names as resources, into a schema's directory."""
    for resource in felis_resources(schema_file):
        _replace(directory / resource.name, resource.read_bytes())
    _replace(directory / SCHEMA_FILE, schema_file.read_bytes())


def current_release(table: Path) -> Path | None:
    """Return the directory of a table's published release, None if there is none.

    Raises
    ------
    LayoutError
        If the pointer file names no release.
    """
    for name in (COLLECTION_PROPERTIES, PLAIN_PROPERTIES):
        pointer = table / name
        if pointer.is_file():
            properties = parse_properties(pointer.read_text(encoding="utf-8"))
            release = table / properties.get("hats_primary_table_url", "?")
            if not release.is_dir():
                msg = f"{pointer}: names no release directory"
                raise LayoutError(msg)
            return release
    return None


def _lock(descriptor: int, home: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        msg = f"{home}: another build of this table is running; wait for it to end"
        raise ConfigError(msg) from error


def _sweep(staging: Path, spill: Path) -> None:
    shutil.rmtree(spill, ignore_errors=True)
    shutil.rmtree(staging, ignore_errors=True)


def _next_release(home: Path, table: str) -> int:
    """Return one more than the highest release number in use; a number is never used twice."""
    pattern = re.compile(re.escape(table) + r"_r([0-9]+)")
    matches = (pattern.fullmatch(entry.name) for entry in home.iterdir())
    return 1 + max((int(match[1]) for match in matches if match is not None), default=0)


def _replace(path: Path, content: bytes) -> None:
    """Write a file under a hidden name, flush it, and rename it into place."""
    hidden = path.with_name(f".{path.name}.new")
    hidden.write_bytes(content)
    fsync_path(hidden)
    hidden.replace(path)
    fsync_path(path.parent)


def _fsync_tree(directory: Path) -> None:
    """Flush every file but the data files, which were flushed when written, and every directory."""
    for folder, _, names in os.walk(directory):
        for name in names:
            if not name.startswith("Npix="):
                fsync_path(Path(folder, name))
        fsync_path(Path(folder))
