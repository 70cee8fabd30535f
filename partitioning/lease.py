"""Leases: one builder at a time works on a table, and one that died does not keep others out.

The lease is a file beside the table's releases, made by a hard link, so that it works on shared file systems too. Its
holder renews it; it is taken over at once if its process is known to be dead (same host), or when it has not been
renewed for a minute. Who takes it is decided under a lock of the kernel, which ends with its process; where a file
system has no locks, two may take it over in the same instant, and all but the last find out before they publish
(`Held.check`).
"""

import contextlib
import fcntl
import json
import os
import platform
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from .exceptions import ConfigError, PartitioningError
from .layout.files import fsync_path
from .layout.paths import LEASE_FILE

__all__ = ["RENEW_S", "STALE_S", "Held", "is_alive", "lease", "lease_holder", "seconds_since"]

RENEW_S: Final = 10.0
STALE_S: Final = 60.0

_DEAD: Final = ("Z", "X")
"""States of a killed process that its parent has not taken notice of yet."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease."""

    host: str
    pid: int
    started: str
    """Start time of the process as the kernel counts it: process numbers are used again."""
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.split(' ', 1)[0]}"


class Held:
    """A lease that is held; renewed in the background until it is released."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self._path, self._holder = path, holder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="lease")
        self._thread.start()

    def check(self) -> None:
        """Raise `PartitioningError` if another process has taken the lease over."""
        if self._is_lost():
            msg = f"{self._path.parent}: another process has taken over this build (this one stood still for too long)"
            raise PartitioningError(msg)

    def release(self) -> None:
        """Give the lease back."""
        self._stop.set()
        self._thread.join()
        if _read(self._path) == self._holder:
            self._path.unlink(missing_ok=True)

    def _is_lost(self) -> bool:
        """Return whether the lease is another one's; a file that cannot be read just now tells nothing."""
        holder = _read(self._path)
        return holder != self._holder and (holder is not None or not self._path.exists())

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_S):
            if not self._is_lost():
                with contextlib.suppress(OSError):
                    os.utime(self._path)


@contextmanager
def lease(home: Path) -> Iterator[Held]:
    """Hold the lease of the table in directory `home`.

    Raises
    ------
    ConfigError
        If another build of the table is running, or the directory cannot be made.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        held = _acquire(home / LEASE_FILE)
    except OSError as error:
        msg = f"{home}: the table's directory cannot be written ({error.strerror}); make room, or set release.root"
        raise ConfigError(msg) from error
    try:
        yield held
    finally:
        held.release()


def lease_holder(home: Path) -> str | None:
    """Return who builds the table in directory `home` just now, None if nobody does."""
    path = home / LEASE_FILE
    holder = _read(path)
    return None if holder is None or _is_stale(path, holder) else str(holder)


def seconds_since(path: Path) -> float:
    """Return how long ago a file was changed, by the clock of its file system; 0 if it is gone."""
    probe = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident():x}.probe")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def is_alive(pid: int, started: str) -> bool:
    """Return whether a process of this host is the one that was started then."""
    return _started(pid) == started if started else _exists(pid)


def _acquire(path: Path) -> Held:
    mine = _myself()
    draft = path.with_name(f"{path.name}.{mine.token}")
    with _guard(path):
        _sweep_drafts(path)
        other = _read(path)
        if path.exists() and not _is_stale(path, other):
            msg = f"{path.parent}: another build of this table is running ({other or 'unknown'}); wait for it to end"
            raise ConfigError(msg)
        try:
            draft.write_text(json.dumps(asdict(mine)), encoding="utf-8")
            fsync_path(draft)  # a machine that dies must not leave an empty lease
            if path.exists():
                draft.replace(path)
            else:
                os.link(draft, path)
        except (FileExistsError, FileNotFoundError) as error:
            msg = f"{path.parent}: several builds of this table started at the same time; try again"
            raise ConfigError(msg) from error
        finally:
            draft.unlink(missing_ok=True)
    return Held(path, mine)


def _sweep_drafts(path: Path) -> None:
    """Remove what processes left that were killed while they took the lease."""
    for draft in path.parent.glob(f"{path.name}.*"):
        if draft != _guard_path(path):
            draft.unlink(missing_ok=True)


def _guard_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.guard")


@contextmanager
def _guard(path: Path) -> Iterator[None]:
    """Hold the lock under which leases are taken; its file is removed at the end."""
    guard = _guard_path(path)
    descriptor = _locked(guard)
    while descriptor is None:
        descriptor = _locked(guard)
    try:
        yield
    finally:
        guard.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(guard: Path) -> int | None:
    """Return a locked descriptor of file `guard`; None if it was removed by the one who had it locked before."""
    descriptor = os.open(guard, os.O_CREAT | os.O_RDWR, 0o644)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        if guard.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return None


def _is_stale(path: Path, holder: Holder | None) -> bool:
    """Return whether a lease is a dead process's; one that cannot be read is judged by its age alone."""
    if holder is not None and holder.host == _host():
        return not is_alive(holder.pid, holder.started)
    return seconds_since(path) > STALE_S


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _myself() -> Holder:
    return Holder(_host(), os.getpid(), _started(os.getpid()), secrets.token_hex(8))


def _host() -> str:
    """Return a name of this host since it was started, and of its space of process numbers: containers have their own.

    Names of hosts alone are not enough: copies of one image are often called the same.
    """
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot; empty if it is gone, or cannot be told."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except (OSError, IndexError, ValueError):
        return ""
    return "" if state in _DEAD else fields[18]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
