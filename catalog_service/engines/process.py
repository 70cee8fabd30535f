"""One worker process, as its parent sees it: start, kill, reap."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from catalog_service.exceptions import ConfigurationError
from catalog_service.models import frames

from .base import WorkerConfig
from .channel import ChannelClosedError, FrameChannel

__all__ = ["WorkerProcess"]

_SOCKET_BUFFER_BYTES: Final = 1 << 20
_START_TIMEOUT_S: Final = 30.0
_INHERITED: Final = ("PATH", "LANG", "TZ")
"""Environment that workers get; secrets of the service stay with it. Linker variables (``LD_*``) go along as well."""

_MALLOC: Final = {"MIMALLOC_ARENA_RESERVE": "64MiB"}
"""Arrow's allocator takes address space, which is limited, in steps of 1 GiB by default."""


class WorkerProcess:
    """A worker that was started; `wait_ready` before use."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: FrameChannel,
        directory: Path,
        allowed_directories: tuple[str, ...],
    ) -> None:
        self._process = process
        self._directory = directory
        self.channel = channel
        self.allowed_directories = allowed_directories
        """What it may read, for as long as it lives."""
        self.queries = 0
        """Queries given to it so far."""

    @classmethod
    def start(cls, config: WorkerConfig) -> "WorkerProcess":
        """Start a process in the calling thread, to whose life the kernel binds the worker's.

        A new interpreter, not a fork: no locks, sockets or memory are inherited.
        """
        directory = Path(tempfile.mkdtemp(prefix="worker-", dir=config.temp_directory))
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER_BYTES)
        with theirs:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "catalog_service.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(os.environ),
                start_new_session=True,
            )
        channel = FrameChannel(ours)
        setup = replace(config, temp_directory=str(directory)).to_json()
        ours.send(frames.encode_json_frame(frames.SETUP, setup))
        return cls(process, channel, directory, config.allowed_directories)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def wait_ready(self) -> None:
        """Wait until the worker can take a query.

        Raises
        ------
        ConfigurationError
            If it cannot start; the message holds its reason.
        """
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                kind, payload = await self.channel.next_frame()
        except TimeoutError as error:
            raise ConfigurationError(f"a worker was not ready after {_START_TIMEOUT_S:g} s") from error
        except ChannelClosedError as error:
            raise ConfigurationError("a worker ended while it started; its standard error tells why") from error
        if kind != frames.READY:
            reason = frames.decode_end(payload).error
            raise ConfigurationError(str(reason))

    def keep_to(self, processors: Collection[int]) -> None:
        """Let all its threads use these processors only; one that ends meanwhile needs none."""
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{self.pid}/task"):  # noqa: PTH208 - numbers, not paths
                os.sched_setaffinity(int(thread), processors)

    def kill(self) -> None:
        """End the process; one that hangs in the kernel, on a dead network disk, ends only when that lets go."""
        self._process.kill()

    async def reap(self) -> None:
        """Close the channel, kill, wait for the end of the process, and remove its temporary files."""
        self.channel.close()
        self.kill()
        delay_s = 0.005
        while self._process.poll() is None:
            await asyncio.sleep(delay_s)
            delay_s = min(1.0, delay_s * 2)
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    kept = {name: text for name, text in ours.items() if name in _INHERITED or name.startswith("LD_")}
    return kept | _MALLOC
