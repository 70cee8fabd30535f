"""Where a release is made: the directories of one build of one table, and which of its units are done.

A *unit* is a part of a stage's work that can be done by any process, in any order, twice if need be: its result
depends on the plan and the unit's number alone, and appears by one rename. So a build that was interrupted goes on
with the units that are not done, and units can be spread over the nodes of a farm that share a directory.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ..layout.files import is_temporary, replace_bytes
from ..layout.paths import STAGING_DIR, escaped, index_name, margin_name, unescaped

__all__ = ["Workspace", "column_of", "column_stage", "spill_in_use"]

_IDENTITY: Final = "identity"
_SPILL: Final = "spill-directory.json"
"""File of the staging directory that names the directory of the spill files, if it is elsewhere."""

_REMOVERS: Final = 4
"""Threads that remove files."""


@dataclass(frozen=True)
class Workspace:
    """Directories of one build of one table."""

    home: Path
    """Directory of the table."""
    name: str
    """Directory name of the release, once published."""
    spill: Path
    """Directory for spill files."""

    @property
    def staging(self) -> Path:
        """Directory of everything that is not published yet."""
        return self.home / STAGING_DIR

    @property
    def catalog(self) -> Path:
        """Directory in which the release's main catalog is made."""
        return self.staging / self.name

    @property
    def records(self) -> Path:
        """Directory of what the units of sort, index and verification tell about their results."""
        return self.staging / "records"

    @property
    def plan(self) -> Path:
        """File of the plan (`plan.TablePlan`)."""
        return self.staging / "plan.json"

    @property
    def tiling(self) -> Path:
        """File of the tiles and buckets."""
        return self.staging / "tiling.npz"

    def margin(self, threshold_arcsec: float) -> Path:
        """Directory in which the margin is made."""
        return self.staging / margin_name(self.name, threshold_arcsec)

    def index(self, column: str) -> Path:
        """Directory in which the id index of `column` is made."""
        return self.staging / index_name(self.name, column)

    def places(self, unit: int) -> Path:
        """Directory of the places of the rows of an input unit."""
        return self.spill / "places" / f"{unit:05d}"

    def spilled(self, unit: int) -> Path:
        """Spill file of an input unit."""
        return self.spill / "bucket" / f"{unit:05d}.arrow"

    def runs(self, column: str) -> Path:
        """Directory of the sorted runs of an id column."""
        return self.spill / "runs" / escaped(column)

    def record(self, stage: str, unit: int) -> Path:
        """File that tells that a unit is done, and what it made."""
        base = self.spill if stage in {"place", "bucket"} else self.records
        return base / stage / f"{unit:05d}.npz"

    def pending(self, stage: str, units: int) -> list[int]:
        """Return the units of a stage that are not done."""
        directory = self.record(stage, 0).parent
        done = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
        return [unit for unit in range(units) if self.record(stage, unit).name not in done]

    def spilled_bytes(self) -> int:
        """Return the bytes of spill files just now; files come and go meanwhile."""
        total = 0
        for directory, _, names in os.walk(self.spill):
            for name in names:
                with suppress(FileNotFoundError):
                    total += Path(directory, name).stat().st_size
        return total

    def begin(self) -> None:
        """Make the directories of a build that begins, in place of what any other left there.

        Staging and spill directory get the same random bytes, by which `is_whole` knows that they belong together.
        """
        self.sweep()
        self.forget()
        self.sweep_temporary()
        self.catalog.mkdir(parents=True)
        self.spill.mkdir(parents=True)
        identity = secrets.token_bytes(16)
        if not self.spill.is_relative_to(self.staging):
            told = {"home": str(self.home.resolve()), "spill": str(self.spill.absolute())}
            replace_bytes(self.staging / _SPILL, json.dumps(told).encode())
        for directory in (self.spill, self.staging):
            replace_bytes(directory / _IDENTITY, identity)

    def is_whole(self) -> bool:
        """Return whether the spill files are those of the build in the staging directory, rather than gone."""
        with suppress(OSError):
            return (self.spill / _IDENTITY).read_bytes() == (self.staging / _IDENTITY).read_bytes()
        return False

    def sweep(self) -> None:
        """Remove everything that is not published, but the plan: what a build killed here leaves still has a name."""
        for directory in dict.fromkeys((self.spill, spill_in_use(self.home))):
            _remove_files(directory)  # seconds for many gigabytes
            shutil.rmtree(directory, ignore_errors=True)
        for path in self.staging.glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path != self.plan:
                path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove the staging directory."""
        shutil.rmtree(self.staging, ignore_errors=True)

    def sweep_temporary(self) -> None:
        """Remove what processes that died left half-written, pointers to a release included."""
        for path in [*self.home.glob(".*"), *_hidden(self.staging), *_hidden(self.spill)]:
            if is_temporary(path):
                path.unlink(missing_ok=True)


def spill_in_use(home: Path) -> Path:
    """Return the directory of the spill files of the build in a table's staging directory, wherever it was told to be.

    It is the one inside the staging directory if there is no build, or if its spill files are gone; and in a copy of
    the directory of a table: they are those of the other one.
    """
    own = Workspace(home, "", home / STAGING_DIR / "spill")
    with suppress(OSError, ValueError, KeyError):
        told = json.loads((own.staging / _SPILL).read_bytes())
        other = replace(own, spill=Path(told["spill"]))
        if told["home"] == str(home.resolve()) and other.is_whole():
            return other.spill
    return own.spill


def column_stage(kind: str, column: str) -> str:
    """Return the name of a stage that makes something of one column.

    >>> column_stage("index", "obj id")
    'index-obj-20id'
    """
    return f"{kind}-{escaped(column)}"


def column_of(stage: str) -> str:
    """Return the column of a stage that `column_stage` named."""
    return unescaped(stage.partition("-")[2])


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _remove_files(directory: Path) -> None:
    """Remove the files below a directory, some at a time: freeing their blocks is the file system's work."""
    files = [Path(folder, name) for folder, _, names in os.walk(directory) for name in names]
    with ThreadPoolExecutor(_REMOVERS) as pool, suppress(OSError):
        list(pool.map(_unlink, files))


def _hidden(directory: Path) -> Iterator[Path]:
    return directory.rglob(".*") if directory.is_dir() else iter(())
