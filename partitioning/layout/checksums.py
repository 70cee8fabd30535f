"""Checksums of the small files of a catalog: those that ``manifest/files.parquet`` does not list.

Not of the flat arrays of an id index, which are as large as the index: a verification compares each of their entries
with the parts of the index, which they are copies of.

The list has the format of ``xxh128sum``, so that ``cd <catalog> && xxh128sum -c manifest/checksums.xxh128`` checks it
too. It needs no checksum of its own: any changed character names another file or another checksum.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ..exceptions import LayoutError
from .files import replace_bytes
from .leaf import file_checksum
from .paths import CHECKSUMS_FILE, FLAT_FILES, INDEX_DIR, PLAIN_FILE

__all__ = ["is_data_file", "read_checksums", "small_files", "update_checksums", "write_checksums"]

_LINE: Final = re.compile(r"([0-9a-f]{32})  ([^\x00-\x1f]+)")


def is_data_file(name: str) -> bool:
    """Return whether the path `name`, relative to its catalog, is one that ``manifest/files.parquet`` lists."""
    return name == PLAIN_FILE or (name.startswith("dataset/") and name.endswith(".parquet"))


def small_files(catalog: Path) -> list[str]:
    """Return the sorted relative paths of the files of a catalog that its list of checksums names."""
    names = (Path(folder, name) for folder, _, files in os.walk(catalog) for name in files)
    relative = (path.relative_to(catalog).as_posix() for path in names)
    unlisted = {CHECKSUMS_FILE, *(FLAT_FILES if (catalog / INDEX_DIR).is_dir() else ())}
    return sorted(name for name in relative if not is_data_file(name) and name not in unlisted)


def write_checksums(catalog: Path) -> None:
    """Write the checksums of a catalog under construction, once all of its other files are there."""
    _write(catalog, {name: file_checksum(catalog / name) for name in small_files(catalog)})


def update_checksums(catalog: Path, names: Iterable[str], dropped: Iterable[str] = ()) -> None:
    """Record the files `names` as they are now, and forget those that are `dropped`; others stay as recorded.

    Raises
    ------
    LayoutError
        If the list is there and damaged.
    """
    known = read_checksums(catalog) if (catalog / CHECKSUMS_FILE).exists() else {}
    for name in dropped:
        known.pop(name, None)
    _write(catalog, {**known, **{name: file_checksum(catalog / name) for name in names}})


def read_checksums(catalog: Path) -> dict[str, str]:
    """Return the recorded checksum of each file, by path relative to the catalog.

    Raises
    ------
    LayoutError
        If the list is missing or damaged.
    """
    path = catalog / CHECKSUMS_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: no readable list of checksums ({error})"
        raise LayoutError(msg) from error
    found = {}
    for line in text.removesuffix("\n").split("\n") if text else []:
        match = _LINE.fullmatch(line)
        if match is None:
            msg = f"{path}: {line[:80]!r} is not a checksum and a file name"
            raise LayoutError(msg)
        found[match[2]] = match[1]
    return found


def _write(catalog: Path, checksums: Mapping[str, str]) -> None:
    text = "".join(f"{checksum}  {name}\n" for name, checksum in sorted(checksums.items()))
    replace_bytes(catalog / CHECKSUMS_FILE, text.encode())
