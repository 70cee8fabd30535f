"""The kernel's own limits on what a worker can do, whatever runs in it: Landlock.

A confined process writes below a few directories, cannot start programs, and has no network. So the shards are
read-only to it even where they belong to its own user. What it may read is left to DuckDB's settings: catalogs may lie
behind symbolic links, which Landlock does not follow.

See landlock(7) and the header ``linux/landlock.h``.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from typing import Final

__all__ = ["confine"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION: Final = 1
"""Flag of the first call: tell the version of the interface."""
_PATH_BENEATH: Final = 1
_WRITE_FILE: Final = 1 << 1
_EXECUTE: Final = 1 << 0
_CHANGES: Final = sum(1 << bit for bit in range(4, 13))
"""Removing and making of files and directories of all kinds."""
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_TCP: Final = 0b11
"""Binding and connecting."""
_SCOPED: Final = 0b11
"""Abstract Unix sockets, and signals, of processes outside."""

_libc = ctypes.CDLL(None, use_errno=True)


def confine(writable: Iterable[str]) -> int:
    """Confine the calling thread, and those that it starts from now on, for good.

    Parameters
    ----------
    writable
        Directories below which files may be written, made and removed. Those that do not exist are left out.

    Returns
    -------
    int
        Version of the kernel's Landlock, 0 if it has none: then nothing is confined. Old versions know fewer limits.

    Raises
    ------
    OSError
        If the kernel has Landlock and refuses.
    """
    version = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if version <= 0:
        return 0
    changes = _WRITE_FILE | _CHANGES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("=Q", _EXECUTE | changes)
    attributes += struct.pack("=Q", _TCP) if version >= 4 else b""
    attributes += struct.pack("=Q", _SCOPED) if version >= 6 else b""
    rules = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for directory in filter(os.path.isdir, writable):
            _allow(rules, directory, changes)
        _allow(rules, os.devnull, _WRITE_FILE)
        _call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)
    return int(version)


def _allow(rules: int, path: str, access: int) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _call(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", access, beneath), 0)
    finally:
        os.close(beneath)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return result
