"""One table on its way through the stages: what is known about it, and its progress."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import xxhash

from .checks.report import Report, Scope
from .checks.units import begin_units
from .checks.verify import verify_release
from .config import BuildConfig, TableConfig
from .exceptions import PartitioningError
from .executors import Executor
from .layout.paths import release_name
from .lease import Held
from .progress import Teller
from .readers.felis import FelisTable
from .stages.plan import TablePlan
from .stages.remains import forget_spilled
from .stages.run import Share
from .stages.workspace import Workspace

__all__ = ["Job", "spill_directory", "told", "workspace_of"]


def spill_directory(spill: Path, home: Path) -> Path:
    """Return where the table in directory `home` has its spill files, if builds are given the directory `spill`."""
    where = xxhash.xxh32_hexdigest(os.fsencode(home.resolve()))  # builds below several roots may share a directory
    return spill / f"{home.parent.name}.{home.name}-{where}.spill"


def workspace_of(config: BuildConfig, table: str, release: int) -> Workspace:
    """Return where release number `release` of a table is made."""
    home = config.root / config.schema / table
    own = Workspace(home, release_name(table, release), home)
    spill = own.staging / "spill" if config.spill is None else spill_directory(config.spill, home)
    return Workspace(home, own.name, spill)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn errors of the file system into ours, saying what failed."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        msg = f"{what} failed: {error}; mend the cause and run the same command again: it goes on here"
        raise PartitioningError(msg) from error


@dataclass
class Job:
    """One table on its way through the stages."""

    config: BuildConfig
    table: TableConfig
    plan: TablePlan
    workspace: Workspace
    felis: FelisTable | None
    executor: Executor
    teller: Teller
    held: Held
    """The lease of the table."""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether the release is in place beside the others: what is left is to point to it."""
        return (self.workspace.home / self.workspace.name).is_dir()

    @property
    def catalog(self) -> Path:
        """Directory of the main catalog, where it lies now."""
        return self.workspace.home / self.workspace.name if self.is_complete else self.workspace.catalog

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure one stage and tell when it is done.

        Raises
        ------
        PartitioningError
            If a file cannot be written or read back, or another process has taken over the build.
        """
        self.held.check()
        start = time.perf_counter()
        with told(f"{self.name}: {name}"):
            yield
        self.seconds[name] = time.perf_counter() - start
        self.say(f"{name} {self.seconds[name]:.1f} s")

    def run(self, stage: str, units: int, done: Callable[[int], None] = lambda _: None) -> None:
        """Run the units of a stage that are not done, telling how far it is, and telling `done` of each unit."""

        def tell(unit: int, rows: int) -> None:
            self.teller.advance(rows)
            self._check_spill()
            done(unit)

        pending = len(self.workspace.pending(stage, units))
        if pending:
            self._check_spill()
        self.teller.begin(self.name, stage, units, units - pending)
        try:
            self.executor.run(self.workspace, stage, units, tell)
        finally:
            self.teller.end()

    def verified(self, release: Path, scope: Scope) -> Report:
        """Verify a release by units of work where they run on other machines, too; in threads of this process if not.

        On one machine processes would have to be started for it, and take memory.
        """
        each = None if self.executor.is_local else begin_units(self.workspace, self.run)
        workers = Share.workers_within(self.config.memory, self.config.workers)
        return verify_release(release, scope=scope, workers=workers, report=self.say, each=each)

    def _check_spill(self) -> None:
        most = self.config.max_spill
        spilled = 0 if most is None else self.workspace.spilled_bytes()
        if most is not None and spilled > most:
            msg = (
                f"{self.name}: spill files take {spilled / 1e9:.3g} GB, more than max_spill = {most / 1e9:.3g} GB; "
                f"raise it, and run the same command again: it goes on here"
            )
            raise PartitioningError(msg)

    @property
    def name(self) -> str:
        """Name of the table with its schema."""
        return f"{self.config.schema}.{self.table.name}"

    def say(self, line: str) -> None:
        """Report one line of progress."""
        self.teller.line(f"{self.name}: {line}")

    def forget_leaves(self) -> None:
        """Remove what all stages made: the next build makes it again, since spill files may have been given back."""
        directories = [self.workspace.margin(self.table.margin_arcsec)]
        directories += [self.workspace.index(column) for column in self.table.index_columns]
        # the records first, those of spill files before all: without them, what is left of the rest counts for nothing
        for unit in range(self.plan.unit_count):
            forget_spilled(self.workspace, unit)
        for directory in (self.workspace.records, self.workspace.catalog, *directories):
            shutil.rmtree(directory, ignore_errors=True)
