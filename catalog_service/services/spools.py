"""Results on their way to slow readers: a worker is free when it has made them, not when they were read."""

import asyncio
import os
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Final, TypeVar

from .beside import to_its_end

__all__ = ["ReadAhead", "Spools"]

T = TypeVar("T")

_IN_MEMORY_BYTES: Final = 1 << 20
"""What is held for a reader in memory."""
_ALL_IN_MEMORY_BYTES: Final = 64 << 20
"""What is held for all readers; beyond it, one piece for each."""
_MOST_READERS: Final = 50
"""Results of one caller that are read at the same time; of further ones, workers wait until they are read."""
_PATIENCE_S: Final = 0.25
"""How long a reader may hold up a worker before its result goes to the disk."""
_QUICK_BYTES_PER_S: Final = 20e6
"""Readers of this speed keep up: they may hold it up for as long as they take. Disks are not much faster than some."""
_PIECE_BYTES: Final = 1 << 18
_THREADS: Final = 2
_SHARE: Final = 4
"""One caller may take this part of the room."""


class Spools:
    """Room on a local disk for results that are made faster than they are read.

    Parameters
    ----------
    directory
        Where the files are; they have no names, so that none outlives this process.
    most_bytes
        Size of all of them; one caller may take a quarter.
    reading_s
        The longest that a reader may take.
    free_bytes
        Space that is left to others on the disk.
    """

    def __init__(self, directory: Path, most_bytes: int, reading_s: float, *, free_bytes: int = 0) -> None:
        self.reading_s = reading_s
        self._free_bytes = free_bytes
        self._directory = directory
        self._most_bytes = most_bytes
        self._used: dict[str, int] = {}
        self._readers: Counter[str] = Counter()
        self._memory_bytes = 0
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="spools")

    @property
    def used_bytes(self) -> int:
        """Size of all files."""
        return sum(self._used.values())

    def enter(self, name: str) -> bool:
        """Note one more reader of a caller; return False if it is one too many, for which a worker has to wait."""
        self._readers[name] += 1
        return self._readers[name] <= _MOST_READERS

    def leave(self, name: str) -> None:
        """Note that one reads no more."""
        self._readers -= Counter((name,))

    def hold(self, size: int) -> None:
        """Note what is held in memory, or less than zero, let go."""
        self._memory_bytes += size

    def may_hold(self, size: int) -> bool:
        """Whether a reader who has so much in memory may have one more piece."""
        return size < (_IN_MEMORY_BYTES if self._memory_bytes < _ALL_IN_MEMORY_BYTES else 1)

    def take(self, name: str, size: int) -> bool:
        """Take room for one caller; return False if there is none."""
        own = self._used.get(name, 0) + size
        if own > self._most_bytes // _SHARE or self.used_bytes + size > self._most_bytes:
            return False
        if shutil.disk_usage(self._directory).free - size < self._free_bytes:
            return False
        self._used[name] = own
        return True

    def give_back(self, name: str, size: int) -> None:
        """Give back what one caller took."""
        left = self._used.pop(name, 0) - size
        if left:
            self._used[name] = left

    def open(self) -> IO[bytes]:
        """Return a new file without a name."""
        return tempfile.TemporaryFile(dir=self._directory, buffering=0)

    def close(self) -> None:
        """End; files in use stay until they are closed."""
        self.threads.shutdown()


class ReadAhead(AsyncIterator[bytes]):
    """Takes the pieces of a result as soon as there are any, whether or not somebody reads them.

    The first ones are kept in memory. A slow reader holds up the worker for a moment; then they go to a file.
    Without room there, the worker has to wait for the reader after all.

    Parameters
    ----------
    pieces
        The result.
    spools
        Room on the disk.
    name
        Of the caller who takes it.
    may_hold
        Whether the worker may be held up for now, whatever the reader takes.
    """

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        spools: Spools,
        name: str,
        may_hold: Callable[[], bool] = lambda: False,
    ) -> None:
        self._may_hold = may_hold
        self._pieces = pieces
        self._spools = spools
        self._name = name
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._file: IO[bytes] | None = None
        self._written = self._read = 0
        self._patience_s = _PATIENCE_S
        self._made, self._taken = asyncio.Event(), asyncio.Event()
        self._failure: Exception | None = None
        self.is_cut = False
        """Whether what was left was given up."""
        self._may_spool = spools.enter(name)
        self._is_closed = False
        self._taking = asyncio.ensure_future(self._take_all())

    async def __anext__(self) -> bytes:
        """Return the next piece; raise what ended the result, after all that came before."""
        while True:
            if self.is_cut and self._failure is not None:
                raise self._failure
            if self._memory:
                piece = self._memory.popleft()
                self._hold(-len(piece))
                self._taken.set()
                return piece
            if self._read < self._written:
                return await self._read_piece()
            if self._taking.done():
                if self._failure is not None:
                    raise self._failure
                raise StopAsyncIteration
            self._made.clear()
            await self._made.wait()

    def cut(self, error: Exception) -> None:
        """Give up what was not read yet: the next piece is `error`."""
        self.is_cut, self._failure = True, error
        self._made.set()

    async def close(self) -> None:
        """Take no more, and give back the room."""
        self._taking.cancel()
        with suppress(asyncio.CancelledError):
            await self._taking
        if not self._is_closed:
            self._is_closed = True
            self._hold(-self._memory_bytes)
            self._memory.clear()
            self._spools.leave(self._name)
        if self._file is not None:
            self._file.close()
            self._file = None
            self._spools.give_back(self._name, self._written)

    async def _take_all(self) -> None:
        try:
            async for piece in self._pieces:
                await self._keep(piece)
                self._made.set()
        except Exception as error:  # noqa: BLE001 - raised where the pieces are read
            self._failure = error
        finally:
            self._made.set()

    async def _keep(self, piece: bytes) -> None:
        """Keep a piece behind all others: those in memory come before those in the file."""
        while not self._has_room():
            if self._patience_s > 0:
                self._patience_s -= await self._wait_for_reader(self._patience_s)
            elif self._may_hold():
                await self._wait_for_reader(_PATIENCE_S)
            elif await self._write(piece):
                return
            else:
                await self._taken.wait()
        self._memory.append(piece)
        self._hold(len(piece))
        self._patience_s += len(piece) / _QUICK_BYTES_PER_S

    def _has_room(self) -> bool:
        """Whether there is room in memory. From here on it is noted if something is taken, also during a write."""
        self._taken.clear()
        return self._read == self._written and self._spools.may_hold(self._memory_bytes)

    def _hold(self, size: int) -> None:
        self._memory_bytes += size
        self._spools.hold(size)

    async def _wait_for_reader(self, most_s: float) -> float:
        """Wait until something is taken, for a while at most; return how long it was."""
        clock = asyncio.get_running_loop().time
        began = clock()
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._taken.wait()
        return clock() - began

    async def _write(self, piece: bytes) -> bool:
        """Write a piece to the file; return False if there is no room."""
        if not self._may_spool or not self._spools.take(self._name, len(piece)):
            return False
        try:
            if self._file is None:
                self._file = self._spools.open()
            await self._beside(partial(_write_all, self._file, piece, self._written))
        except BaseException as error:
            self._spools.give_back(self._name, len(piece))
            if isinstance(error, OSError):
                return False  # the disk is full
            raise
        self._written += len(piece)
        return True

    async def _read_piece(self) -> bytes:
        assert self._file is not None
        size = min(_PIECE_BYTES, self._written - self._read)
        piece = await self._beside(partial(os.pread, self._file.fileno(), size, self._read))
        self._read += len(piece)
        self._taken.set()
        return piece

    async def _beside(self, call: Callable[[], T]) -> T:
        """Return what `call` returns; it has ended when this ends, so that the file can be closed then."""
        return await to_its_end(asyncio.get_running_loop().run_in_executor(self._spools.threads, call))


def _write_all(file: IO[bytes], piece: bytes, offset: int) -> None:
    written = 0
    while written < len(piece):
        written += os.pwrite(file.fileno(), piece[written:], offset + written)
