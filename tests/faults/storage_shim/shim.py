"""A slow disk for a process: builds the preload library, reads its counters live, and can hang its reads."""

import mmap
import shutil
import struct
import subprocess
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from tests.harness import require

__all__ = ["FileOperations", "StorageShim", "build_shim"]

_SOURCE = Path(__file__).with_name("shim.c")
_SLOTS = 256


@dataclass(frozen=True, slots=True)
class FileOperations:
    """Operations on files and directories below the watched directory, in the order of the library's counters."""

    opens: int = 0
    reads: int = 0
    bytes_read: int = 0
    stats: int = 0
    """By path: ``stat``, ``access``, ``readlink`` and the like."""
    fstats: int = 0
    """Of files already open."""
    directory_opens: int = 0
    directory_reads: int = 0
    mmaps: int = 0

    def __add__(self, other: "FileOperations") -> "FileOperations":
        return FileOperations(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: "FileOperations") -> "FileOperations":
        return FileOperations(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


_SLOT = struct.Struct(f"={1 + len(fields(FileOperations))}Q")
_HEADER = struct.Struct("=QQ")


class StorageShim:
    """The counters shared with watched processes; set `environment` on a process to watch it.

    Parameters
    ----------
    library
        Made by `build_shim`.
    prefix
        Absolute directory to watch.
    counters
        File to make for the shared counters.
    open_ms, read_ms
        Delay of each open or look-up by path, and of each read.
    """

    def __init__(self, library: Path, prefix: Path, counters: Path, *, open_ms: float = 0, read_ms: float = 0) -> None:
        counters.write_bytes(bytes(_HEADER.size + _SLOTS * _SLOT.size))
        with counters.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "LD_SHIM_PREFIX": str(prefix),
            "LD_SHIM_COUNTERS": str(counters),
            "LD_SHIM_OPEN_US": str(round(open_ms * 1000)),
            "LD_SHIM_READ_US": str(round(read_ms * 1000)),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang(on=False)
        self._memory.close()

    def hang(self, *, on: bool) -> None:
        """Let reads of watched processes hang, or go on."""
        self._memory[: _HEADER.size // 2] = struct.pack("=Q", on)

    def per_process(self) -> dict[int, FileOperations]:
        """Return the operations so far of each watched process, by process id."""
        _, used = _HEADER.unpack_from(self._memory)
        assert used <= _SLOTS, "more processes than slots"
        slots = [_SLOT.unpack_from(self._memory, _HEADER.size + n * _SLOT.size) for n in range(used)]
        return {pid: FileOperations(*counts) for pid, *counts in slots}

    def total(self, pids: Collection[int] | None = None) -> FileOperations:
        """Return the operations so far of the processes `pids`, or of all."""
        found = self.per_process()
        chosen = found.values() if pids is None else (found.get(pid, FileOperations()) for pid in pids)
        return sum(chosen, FileOperations())


def build_shim(directory: Path) -> Path:
    """Compile the preload library in `directory`; skip the test where there is no C compiler."""
    compiler = shutil.which("gcc")
    require(compiler, "gcc is not installed (apt-get install gcc libc6-dev)")
    assert compiler is not None
    library = directory / "storage_shim.so"
    options = ["-std=gnu11", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *options, "-o", str(library), str(_SOURCE), "-ldl"], check=True, capture_output=True)
    return library
