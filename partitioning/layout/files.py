"""Files that appear whole or not at all."""

import os
import platform
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = [
    "TEMPORARY_SUFFIX",
    "fsync_path",
    "is_temporary",
    "put_in_place",
    "replace_bytes",
    "replaced",
    "temporary_path",
]

TEMPORARY_SUFFIX: Final = ".new"
"""Files under construction are called ``.<name>.<writer>.new``: HATS readers ignore names that begin with a dot."""


_HOST: Final = f"{zlib.crc32(platform.node().encode()):08x}"
"""Nodes that share a directory must not write under the same temporary name."""


def fsync_path(path: Path) -> None:
    """Flush a file, or the entries of a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_path(path: Path) -> Path:
    """Return the name under which this thread writes what becomes `path`; its directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{_HOST}-{os.getpid()}-{threading.get_ident():x}"
    return path.with_name(f".{path.name}.{writer}{TEMPORARY_SUFFIX}")


def put_in_place(hidden: Path, path: Path, *, flush: bool = True) -> None:
    """Flush a finished file, unless that is left to whoever needs it on disk, and rename it to `path`."""
    if flush:
        fsync_path(hidden)
    hidden.replace(path)
    if flush:
        fsync_path(path.parent)


@contextmanager
def replaced(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Offer a temporary name in the directory of `path`; what is written there is flushed and renamed at the end.

    If the block fails the temporary file is removed, and `path` is as it was. Two processes may do the same at the
    same time: the last rename stays.

    Parameters
    ----------
    flush
        Whether the file survives a loss of power from then on; without it, only the death of processes.
    """
    hidden = temporary_path(path)
    try:
        yield hidden
        put_in_place(hidden, path, flush=flush)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise


def replace_bytes(path: Path, content: bytes) -> None:
    """Replace the file at `path` by `content`, whole or not at all."""
    with replaced(path) as hidden:
        hidden.write_bytes(content)


def is_temporary(path: Path) -> bool:
    """Return whether `path` is a file that was under construction when its writer died."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY_SUFFIX)
