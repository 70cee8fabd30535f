"""What a recording is to hold, so that a comparison can tell what was never recorded: ``wanted.json``."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import FormatError
from .files import write_json
from .format import Recording

__all__ = ["Wanted", "add_wanted", "missing_records", "read_wanted"]

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


def missing_records(recording: Recording) -> Iterator[tuple[str, str]]:
    """Yield ``table`` or ``fingerprints``, and the name of the table, of what was to be recorded and is not there.

    Raises
    ------
    FormatError
        If the file is damaged.
    """
    wanted = read_wanted(recording.directory)
    usable = {one.name for one in recording.tables(lambda *_: None) if one.error is None}
    for name in sorted(wanted.tables):
        if not recording.holds("tables", name):
            yield "table", name
        if "fingerprints" in wanted.steps and name in usable and not recording.holds("fingerprints", name):
            yield "fingerprints", name


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
