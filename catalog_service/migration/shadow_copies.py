"""Hand copies of queries to a process of their own: a bounded queue that drops, and never makes a user wait."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from .shadow_app import Copy, Kept
from .shadow_log import append_line
from .shadow_queries import QueryNames

__all__ = ["CopierSettings", "Copies", "frame"]

_COUNTS_EVERY_S: Final = 60.0
_RESTART_S: Final = 1.0
_END_S: Final = 5.0
"""How long each step of the end may take: a new service that hangs must not keep the proxy from stopping."""


@dataclass(frozen=True)
class CopierSettings:
    """What the copying process is told when it starts."""

    new: str
    """Address of the new TAP service, such as ``http://127.0.0.1:8000/tap``."""
    log: str
    """File for the lines; ``-`` for standard output."""
    at_once: int = 1
    """Copies that are asked at the same time."""
    timeout_s: float = 600.0
    """Of one query of the new service."""
    most_bytes: int = 32 << 20
    """Largest answers that are compared."""


class Copies:
    """A bounded queue before the copying process.

    Parameters
    ----------
    settings
        Of that process.
    names
        How queries are called in the log.
    length
        Copies that may wait; further ones are dropped.
    most_bytes
        Bytes of old answers that may wait with them.
    """

    def __init__(self, settings: CopierSettings, names: QueryNames, *, length: int, most_bytes: int) -> None:
        self._settings, self._names = settings, names
        self._queue: asyncio.Queue[Copy] = asyncio.Queue(length)
        self._most, self._held = most_bytes, 0
        self._counts = {"offered": 0, "dropped": 0, "restarts": 0}
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def offer(self, copy: Copy) -> None:
        """Take a copy, or drop and count it."""
        self._counts["offered"] += 1
        size = _size(copy.old)
        if self._queue.full() or self._held + size > self._most:
            self._counts["dropped"] += 1
            return
        self._held += size
        self._queue.put_nowait(copy)

    @property
    def counts(self) -> dict[str, int]:
        """How many copies were offered and dropped, and how often the process was started again."""
        return dict(self._counts)

    def start(self) -> None:
        """Begin to hand on copies, and to log the counts."""
        self._tasks = [asyncio.create_task(self._feed()), asyncio.create_task(self._log_counts())]

    async def close(self) -> None:
        """Hand on what waits, end the process, if need be by force, and log the counts."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._queue.join()
        for task in self._tasks:
            task.cancel()
        if self._process is not None:
            await _ended(self._process)
        self._log()

    async def _feed(self) -> None:
        while True:
            copy = await self._queue.get()
            await self._hand_on(self._framed(copy))
            self._held -= _size(copy.old)
            self._queue.task_done()

    async def _log_counts(self) -> None:
        logged = self.counts
        while True:
            await asyncio.sleep(_COUNTS_EVERY_S)
            if logged != self._counts:
                logged = self.counts
                self._log()

    def _log(self) -> None:
        append_line(self._settings.log, {"event": "counts", **self._counts})

    def _framed(self, copy: Copy) -> bytes:
        old = copy.old
        head: dict[str, Any] = {
            "kind": copy.kind,
            "names": self._names.of(copy.query),
            "parameters": copy.query.parameters,
            "job": copy.job,
        }
        if old is not None:
            head["old"] = {
                "status": old.status,
                "type": old.content_type,
                "encoding": old.content_encoding,
                "seconds": round(old.seconds, 4),
                "first_byte_s": None if old.first_byte_s is None else round(old.first_byte_s, 4),
                "bytes": old.size,
                "is_whole": old.body is not None,
            }
        return frame(head, bytes(old.body or b"") if old is not None else b"")

    async def _hand_on(self, data: bytes) -> None:
        """Write to the process; if it has died, what it had is lost, and another one is started."""
        while True:
            try:
                await _write(await self._running(), data)
            except OSError:
                await asyncio.sleep(_RESTART_S)
            else:
                return

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._counts["restarts"] += self._process is not None
            self._process = await asyncio.create_subprocess_exec(
                *_command(self._settings), stdin=asyncio.subprocess.PIPE
            )
            assert self._process.stdin is not None
            self._process.stdin.transport.set_write_buffer_limits(0)  # what waits is in the queue, and counted there
        return self._process


def frame(head: dict[str, Any], body: bytes = b"") -> bytes:
    """Return a message to the process: lengths of both parts in 8 bytes, then the parts."""
    text = json.dumps(head).encode()
    return len(text).to_bytes(4, "big") + len(body).to_bytes(4, "big") + text + body


def _command(settings: CopierSettings) -> Sequence[str]:
    return [sys.executable, "-m", "catalog_service.migration.shadow_copier", json.dumps(settings.__dict__)]


async def _write(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)
    await process.stdin.drain()


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_END_S):
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


def _size(old: Kept | None) -> int:
    return 0 if old is None or old.body is None else len(old.body)
