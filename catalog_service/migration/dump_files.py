"""Files of a dump: each appears whole or not at all, and is described by a JSON document beside it.

::

    OUT/SCHEMA/TABLE/_plan.json           columns and chunks, fixed when the dump begins
    OUT/SCHEMA/TABLE/NAME.parquet         the rows of one chunk
    OUT/SCHEMA/TABLE/_NAME.json           rows, bytes and SHA-256 of that file; renamed last: with it the file counts
    OUT/SCHEMA/TABLE/_manifest.json       all files, once none is missing
    OUT/SCHEMA/release.toml               configuration for ``catalog-partition build``

Readers of a directory of Parquet files pass over names that begin with ``_``.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ..exceptions import StorageError, UnavailableError
from .dump_chunks import Chunk
from .dump_columns import DumpColumn
from .recorder.files import flush_directory

__all__ = [
    "FORMAT",
    "VERSION",
    "DumpedFile",
    "Plan",
    "digest",
    "files_of",
    "locked",
    "made",
    "read_plan",
    "renamed",
    "write_json",
    "write_plan",
]

FORMAT: Final = "catalog-dump"
VERSION: Final = 1


@dataclass(frozen=True)
class Plan:
    """What a dump of one table consists of: ``_plan.json``."""

    schema: str
    table: str
    source: str
    """Address without a user."""
    server: str
    """What the source says of its version."""
    started: str
    """UTC, ISO 8601."""
    columns: tuple[DumpColumn, ...]
    """Those that are dumped."""
    chunks: tuple[Chunk, ...]
    primary_key: tuple[str, ...] = ()
    ra: str | None = None
    dec: str | None = None
    id: tuple[str, ...] = ()
    parent: str | None = None
    """Table of the schema whose positions place the rows of this one."""
    parent_key: tuple[str, str] | None = None
    """Column here, column of the parent."""


@dataclass(frozen=True)
class DumpedFile:
    """One file of a dump: ``_NAME.json``."""

    name: str
    """Of its chunk."""
    rows: int
    bytes: int
    sha256: str
    seconds: float
    """From the question to the last row."""


def read_plan(directory: Path) -> Plan | None:
    """Return the plan of a dump, or None if none was begun.

    Raises
    ------
    StorageError
        If there is a plan that cannot be read.
    """
    path = directory / "_plan.json"
    if not path.is_file():
        return None
    try:
        found = _read_json(path)
        if (found.pop("format"), found.pop("version")) != (FORMAT, VERSION):
            raise StorageError(f"{path} is of another version of this program.")
        key = found["parent_key"]
        made = {
            "columns": tuple(DumpColumn(**one) for one in found["columns"]),
            "chunks": tuple(Chunk(**one) for one in found["chunks"]),
            "primary_key": tuple(found["primary_key"]),
            "id": tuple(found["id"]),
            "parent_key": None if key is None else tuple(key),
        }
        return Plan(**{**found, **made})
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{path} is damaged: {error}.", remedy="Move it away to begin the dump anew.") from error


def write_plan(directory: Path, plan: Plan) -> None:
    """Write ``_plan.json``."""
    write_json(directory / "_plan.json", {"format": FORMAT, "version": VERSION, **asdict(plan)})


def files_of(directory: Path, plan: Plan) -> dict[str, DumpedFile]:
    """Return the finished files by the name of their chunk."""
    found = {}
    for chunk in plan.chunks:
        try:
            one = DumpedFile(**_read_json(directory / f"_{chunk.name}.json"))
            is_whole = (directory / f"{chunk.name}.parquet").stat().st_size == one.bytes
        except (OSError, TypeError, ValueError):
            continue
        if is_whole:
            found[chunk.name] = one
    return found


def made(directory: Path, names: Collection[str]) -> tuple[str, str]:
    """Return when the first and the last file of some chunks, at least one, were written: UTC, ISO 8601."""
    times = [(directory / f"{name}.parquet").stat().st_mtime for name in names]
    first, last = (datetime.fromtimestamp(one, UTC).isoformat(timespec="seconds") for one in (min(times), max(times)))
    return first, last


@contextmanager
def locked(directory: Path, part: tuple[int, int]) -> Iterator[None]:
    """Keep other dumps of the same chunks away: those of all chunks, or of this part of them.

    Raises
    ------
    UnavailableError
        If one is running.
    """
    directory.mkdir(parents=True, exist_ok=True)
    number, count = part
    with (directory / "_lock").open("w") as whole, (directory / f"_lock_{number}_{count}").open("w") as own:
        try:
            fcntl.flock(whole, (fcntl.LOCK_EX if count == 1 else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnavailableError(f"Another dump is writing to {directory}.", remedy="Wait until it ends.") from error
        yield


@contextmanager
def renamed(path: Path) -> Iterator[Path]:
    """Hand out ``NAME.part``, to be written; then flush it to the disk and rename it.

    Raises
    ------
    StorageError
        If it cannot be written, such as on a full disk.
    """
    # two dumps of parts of a table may write the same small document at the same time
    part = path.with_name(f"{path.name}{f'.{os.getpid()}' if path.suffix in {'.json', '.toml'} else ''}.part")
    try:
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.rename(path)
        flush_directory(path.parent)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {os.strerror(error.errno) if error.errno else error}.",
            remedy="What is finished stays: make room and give the same command again, it goes on.",
        ) from error
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON document that appears whole or not at all."""
    with renamed(path) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise TypeError(f"{path.name} does not hold a JSON object")
    return found
