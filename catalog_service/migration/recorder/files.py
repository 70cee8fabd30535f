"""Files that appear whole or not at all, and are on the disk when they do."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["flush_directory", "replaced", "write_json"]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object to a file that appears whole or not at all."""
    with replaced(path) as sink:
        sink.write(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n")


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears whole or not at all: as ``NAME.part``, flushed to the disk, then renamed."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    flush_directory(path.parent)


def flush_directory(path: Path) -> None:
    """Have the names in a directory on the disk, such as one just given."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
