"""Giving back the disk space of spill files while the sort stage goes on, and not only after it.

A range that was sorted is often not even written to disk yet, and then never is; and the memory of its pages is the
next to be used. Before, what was made of it is flushed: a loss of power must not take both.
"""

import ctypes
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Self

from ..layout.files import fsync_path
from .plan import TablePlan
from .remains import sort_files
from .spill import Block
from .spill_index import bucket_blocks
from .workspace import Workspace

__all__ = ["GiveBack", "give_back"]

_KEEP_SIZE_PUNCH_HOLE: Final = 1 | 2
"""``FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE`` of fallocate(2)."""

_PAGE_BYTES: Final = 4096


class GiveBack:
    """Gives back what the sort units of a build have read, in a thread of its own; use as a context manager."""

    def __init__(self, workspace: Workspace, plan: TablePlan) -> None:
        self._workspace, self._plan = workspace, plan
        self._thread = ThreadPoolExecutor(1)
        self._begun: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._thread.shutdown(cancel_futures=error is not None)
        for one in self._begun:
            if not one.cancelled() and (failure := one.exception()) is not None:
                raise failure from error

    def done(self, bucket: int) -> None:
        """Take a sort unit that is done."""
        made, read = sort_files(self._workspace, self._plan, bucket), _blocks(self._workspace, bucket)
        self._begun.append(self._thread.submit(give_back, made, read))

    def settle(self) -> None:
        """Wait until all is given back, before spill files are made anew.

        Raises
        ------
        OSError
            If what was made could not be written to disk: the kernel tells it once.
        """
        while self._begun:
            self._begun.pop().result()


def give_back(made: Sequence[Path], read: Iterable[Block]) -> None:
    """Flush all that a sort unit made, and free the ranges of spill files that it read.

    A thread may do this, which only calls the system: with CPython 3.11, two threads that read the header of an array
    at the same time can end in a SystemError.

    Parameters
    ----------
    made
        Files, the record of the unit as the last.
    read
        What it read of spill files.

    Raises
    ------
    OSError
        If what it made cannot be written to disk. The unit is not done then: the kernel has dropped what it could not
        write, tells so once, and would have the next flush succeed.
    """
    try:
        for path in [*made, *dict.fromkeys(path.parent for path in made)]:
            fsync_path(path)
    except OSError:
        made[-1].unlink(missing_ok=True)
        raise
    for path, blocks in groupby(sorted(read, key=_place), lambda block: block.path):
        with suppress(OSError):  # it is room that is lost, no rows
            _free(path, blocks)


def _blocks(workspace: Workspace, bucket: int) -> list[Block]:
    rows, margin_rows, _ = bucket_blocks(workspace, bucket)
    return [*rows, *margin_rows]


def _place(block: Block) -> tuple[Path, int]:
    return block.path, block.start


def _free(path: Path, blocks: Iterable[Block]) -> None:
    """Free ranges of a file, whose size stays; where the file system does not know how, nothing happens."""
    free: Any = getattr(ctypes.CDLL(None), "fallocate", None)
    if free is None:
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        for block in blocks:
            start = -(-block.start // _PAGE_BYTES) * _PAGE_BYTES  # what shares a page with a neighbour stays
            stop = (block.start + sum(block.sizes)) // _PAGE_BYTES * _PAGE_BYTES
            if stop > start:
                free(descriptor, _KEEP_SIZE_PUNCH_HOLE, ctypes.c_int64(start), ctypes.c_int64(stop - start))
    finally:
        os.close(descriptor)
