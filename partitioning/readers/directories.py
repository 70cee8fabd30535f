"""Directories as input: the Parquet files below them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..exceptions import InputError

__all__ = ["PARQUET_SUFFIXES", "parquet_files"]

PARQUET_SUFFIXES: Final = (".parquet", ".parq", ".pq")

_HIDDEN: Final = (".", "_")
"""Beginnings of names that are no data: ``_metadata``, ``_temporary`` and so on."""


def _ignore(_folder: Path) -> None:
    """Let any directory be entered."""


def parquet_files(directory: Path, enter: Callable[[Path], None] = _ignore) -> list[Path]:
    """Return the Parquet files below `directory`, sorted by path, without hidden ones and those in Spark's style.

    Parameters
    ----------
    enter
        Called with `directory` and each one below it before its files are taken; may refuse it by an exception.

    Raises
    ------
    InputError
        If a file lies in a directory such as ``band=g``: the column is in the path only, and would be lost.
    """
    files: list[Path] = []
    seen: set[str] = set()
    for place, directories, names in os.walk(directory, followlinks=True):
        again = os.path.realpath(place) in seen  # links may go in a circle
        seen.add(os.path.realpath(place))
        enter(Path(place))
        directories[:] = [] if again else [name for name in directories if not name.startswith(_HIDDEN)]
        files += [Path(place, n) for n in names if n.lower().endswith(PARQUET_SUFFIXES) and not n.startswith(_HIDDEN)]
    for file in files:
        keyed = next((part for part in file.relative_to(directory).parent.parts if "=" in part), None)
        if keyed is not None:
            msg = (
                f"{file}: column {keyed.partition('=')[0]!r} seems to be in the names of directories ({keyed}) only; "
                "write it into the files, or name these, by a pattern such as '**/*.parquet' say, to go without it"
            )
            raise InputError(msg)
    return sorted(files)
