"""Publication: a release is made in a hidden directory and appears by one rename.

The commit is the replacement of the table's pointer file (``collection.properties``). Before it, readers see the
former release or none; after it, the new one. Releases are never changed here.
"""

import os
import re
from pathlib import Path

from ..exceptions import LayoutError
from ..layout.files import fsync_path, replace_bytes
from ..layout.hats import pointer_properties
from ..layout.manifest import Manifest, read_manifest
from ..layout.paths import COLLECTION_PROPERTIES, LAST_RELEASE_FILE, PLAIN_PROPERTIES, SCHEMA_FILE, release_name
from ..layout.properties import format_properties, parse_properties
from ..readers.felis import felis_resources
from .workspace import Workspace

__all__ = [
    "current_release",
    "move_release",
    "next_release",
    "point_to",
    "publish_release",
    "publish_schema",
    "releases",
]


def publish_release(workspace: Workspace) -> Path:
    """Publish a verified release: move its directories beside the others, then replace the pointer.

    Return the directory of the main catalog.
    """
    target = move_release(workspace)
    point_to(workspace.home, read_manifest(target))
    return target


def move_release(workspace: Workspace) -> Path:
    """Move the directories of a verified release beside the others, where nothing points to them yet.

    The main catalog goes first: where it is in place, all of the release was ready, and publication can be repeated
    after a crash. Return its directory.
    """
    target = workspace.home / workspace.name
    if not target.is_dir():
        for made in workspace.staging.glob(f"{workspace.name}*/"):  # all of them: where the first is, all are
            _fsync_tree(made)
        workspace.catalog.rename(target)
    manifest = read_manifest(target)
    for name in [
        *(record.directory for record in manifest.margins),
        *(record.directory for record in manifest.indexes),
    ]:
        made = workspace.staging / name
        if made.is_dir():
            made.rename(workspace.home / name)
    fsync_path(workspace.home)
    return target


def point_to(home: Path, manifest: Manifest) -> None:
    """Make a release that lies in the table's directory the current one."""
    is_collection = manifest.placement is not None and manifest.adopted is None
    pointer, other = (COLLECTION_PROPERTIES, PLAIN_PROPERTIES)[:: 1 if is_collection else -1]
    properties = pointer_properties(manifest, release_name(manifest.table, manifest.release))
    replace_bytes(home / pointer, format_properties(properties).encode())
    (home / other).unlink(missing_ok=True)


def publish_schema(schema_file: Path, directory: Path) -> None:
    """Copy a Felis file, and the files it names as resources, into a schema's directory."""
    for resource in felis_resources(schema_file):
        replace_bytes(directory / resource.name, resource.read_bytes())
    replace_bytes(directory / SCHEMA_FILE, schema_file.read_bytes())


def current_release(table: Path) -> Path | None:
    """Return the directory of the release that a table's pointer file names, None if nothing is published.

    Raises
    ------
    LayoutError
        If the pointer names no release.
    """
    for name in (COLLECTION_PROPERTIES, PLAIN_PROPERTIES):
        pointer = table / name
        if pointer.is_file():
            properties = parse_properties(pointer.read_text(encoding="utf-8"))
            release = table / properties.get("hats_primary_table_url", "?")
            if not release.is_dir():
                msg = (
                    f"{pointer}: names {release.name}, which is not there; bring it back, or switch to another release"
                )
                raise LayoutError(msg)
            return release
    return None


def releases(home: Path) -> dict[int, Path]:
    """Return the main catalogs in a table's directory by release number, published or left by a crash."""
    pattern = re.compile(re.escape(home.name) + r"_r([0-9]+)")
    found = ((pattern.fullmatch(entry.name), entry) for entry in sorted(home.iterdir()))
    return {int(match[1]): entry for match, entry in found if match is not None}


def next_release(home: Path) -> int:
    """Return one more than the highest release number in use, be it by a margin or an index alone.

    A number is never used twice: the highest one that was pruned is remembered.
    """
    remembered = home / LAST_RELEASE_FILE
    gone = int(remembered.read_text(encoding="utf-8")) if remembered.exists() else 0
    pattern = re.compile(re.escape(home.name) + r"_r([0-9]+)(_.*)?")
    found = (pattern.fullmatch(entry.name) for entry in home.iterdir())
    return 1 + max([gone, *(int(match[1]) for match in found if match is not None)])


def _fsync_tree(directory: Path) -> None:
    """Flush every file and every directory; the units that wrote most of them have not waited for the disk."""
    for folder, _, names in os.walk(directory):
        for path in (Path(folder, name) for name in names):
            if path.stat().st_nlink == 1:  # others were published before
                fsync_path(path)
        fsync_path(Path(folder))
