"""The files of the repository, without what `.gitignore` leaves out."""

import fnmatch
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ROOT", "is_ignored", "repository_files"]

ROOT = Path(__file__).parent.parent.parent
IGNORED = [".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line)]


def is_ignored(path: Path) -> bool:
    """Tell whether a path, relative to the repository, is left out; patterns with a slash are whole paths."""
    names = [path.name, path.as_posix()]
    return any(fnmatch.fnmatch(name, pattern) for name in names for pattern in IGNORED)


def repository_files(directory: Path = ROOT) -> Iterator[Path]:
    """Yield every file that belongs to the repository."""
    for path in sorted(directory.iterdir()):
        if is_ignored(path.relative_to(ROOT)):
            continue
        if path.is_dir():
            yield from repository_files(path)
        else:
            yield path
