"""What a recording is to hold, so that a comparison can tell what was never recorded: ``wanted.json``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import FormatError
from .files import write_json

__all__ = ["Wanted", "add_wanted", "read_wanted"]

_FILE: Final = "wanted.json"


@dataclass(frozen=True)
class Wanted:
    """What all runs together were to record."""

    steps: frozenset[str] = frozenset()
    """Of `options.STEPS`."""
    tables: frozenset[str] = frozenset()
    """``SCHEMA.TABLE``; none before the source had listed them."""


def read_wanted(directory: Path) -> Wanted:
    """Return what a recording is to hold; nothing if it was made before that was written down.

    Raises
    ------
    FormatError
        If the file is damaged.
    """
    path = directory / _FILE
    if not path.is_file():
        return Wanted()
    try:
        found = json.loads(path.read_bytes())
        return Wanted(*(frozenset(map(str, found[name])) for name in ("steps", "tables")))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(f"{path} is damaged, which tells what was to be recorded: {error!r}. Remove it.") from error


def add_wanted(directory: Path, more: Wanted) -> None:
    """Add to what a recording is to hold.

    Raises
    ------
    FormatError
        If the file is damaged.
    """
    known = read_wanted(directory)
    both = Wanted(known.steps | more.steps, known.tables | more.tables)
    if both != known:
        write_json(directory / _FILE, {"steps": sorted(both.steps), "tables": sorted(both.tables)})
