"""Leases: one builder at a time works on a table, and one that died does not keep others out.

The lease is a file beside the table's releases, made by a hard link, so that it works on shared file systems too. Its
holder renews it; it is taken over at once if its process is known to be dead (same host), or when it has not been
renewed for a minute.
"""

import contextlib
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
from .layout.paths import LEASE_FILE

__all__ = ["RENEW_S", "STALE_S", "Held", "is_alive", "lease", "lease_holder", "seconds_since"]

RENEW_S: Final = 10.0
STALE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease."""

    host: str
    pid: int
    started: str
    """Start time of the process as the kernel counts it: process numbers are used again."""
    token: str


class Held:
    """A lease that is held; renewed in the background until it is released."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self._path, self._holder = path, holder
        self._stop = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._renew, daemon=True, name="lease")
        self._thread.start()

    def check(self) -> None:
        """Raise `PartitioningError` if another process has taken the lease over."""
        if self._lost:
            msg = f"{self._path}: another process has taken over this build (this one stood still for too long)"
            raise PartitioningError(msg)

    def release(self) -> None:
        """Give the lease back."""
        self._stop.set()
        self._thread.join()
        if _read(self._path) == self._holder:
            self._path.unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_S):
            if _read(self._path) != self._holder:
                self._lost = True
                return
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
        msg = f"{home}: cannot make the table's directory ({error.strerror}); set release.root or pass --root"
        raise ConfigError(msg) from error
    try:
        yield held
    finally:
        held.release()


def lease_holder(home: Path) -> str | None:
    """Return who builds the table in directory `home` just now, None if nobody does."""
    path = home / LEASE_FILE
    holder = _read(path)
    return None if holder is None or _is_stale(path, holder) else f"process {holder.pid} on {_host_name(holder)}"


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
    for _ in range(5):
        if _linked(path, mine):
            return Held(path, mine)
        other = _read(path)
        if other is None:
            continue
        if not _is_stale(path, other):
            msg = (
                f"{path.parent}: another build of this table is running (process {other.pid} on "
                f"{_host_name(other)}); wait for it to end"
            )
            raise ConfigError(msg)
        _remove_stale(path, other)
    msg = f"{path.parent}: several builds of this table started at the same time; try again"
    raise ConfigError(msg)


def _linked(path: Path, holder: Holder) -> bool:
    """Make the lease file with its content in one step; return whether that worked."""
    draft = path.with_name(f"{path.name}.{holder.token}")
    draft.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _remove_stale(path: Path, stale: Holder) -> None:
    """Remove a dead holder's lease; if a new holder came first, put its lease back."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _read(aside) != stale:
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink()


def _is_stale(path: Path, holder: Holder) -> bool:
    if holder.host == _host():
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
    """Return a name of this host and this space of process numbers: containers have their own."""
    try:
        return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _host_name(holder: Holder) -> str:
    return holder.host.split(" ", 1)[0]


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot; empty if it is gone, or cannot be told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
