"""One table on its way through the stages: what is known about it, and its progress."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .config import BuildConfig, TableConfig
from .exceptions import PartitioningError
from .executors import Executor
from .layout.paths import release_name
from .progress import Teller
from .readers.felis import FelisTable
from .stages.plan import TablePlan
from .stages.workspace import Workspace

__all__ = ["Job", "workspace_of"]


def workspace_of(config: BuildConfig, table: str, release: int) -> Workspace:
    """Return where release number `release` of a table is made."""
    home = config.root / config.schema / table
    own = Workspace(home, release_name(table, release), home)
    spill = own.staging / "spill" if config.spill is None else config.spill / f"{config.schema}.{table}.spill"
    return Workspace(home, own.name, spill)


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
        """Measure one stage and tell when it is done."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start
        self.say(f"{name} {self.seconds[name]:.1f} s")

    def run(self, stage: str, units: int) -> None:
        """Run the units of a stage that are not done, telling how far it is."""
        pending = len(self.workspace.pending(stage, units))
        self.teller.begin(self.name, stage, units, units - pending)
        try:
            self.executor.run(self.workspace, stage, units, self._done)
        finally:
            self.teller.end()

    def _done(self, rows: int) -> None:
        self.teller.advance(rows)
        spilled = self.spilled_bytes() if self.config.max_spill is not None else 0
        if self.config.max_spill is not None and spilled > self.config.max_spill:
            msg = (
                f"{self.name}: spill files take {spilled / 1e9:.1f} GB, more than max_spill = "
                f"{self.config.max_spill / 1e9:.1f} GB; raise it, and build again: it goes on here"
            )
            raise PartitioningError(msg)

    def spilled_bytes(self) -> int:
        """Return the bytes of spill files just now."""
        return sum(path.stat().st_size for path in self.workspace.spill.rglob("*") if path.is_file())

    @property
    def name(self) -> str:
        """Name of the table with its schema."""
        return f"{self.config.schema}.{self.table.name}"

    def say(self, line: str) -> None:
        """Report one line of progress."""
        self.teller.line(f"{self.name}: {line}")

    def forget_leaves(self) -> None:
        """Remove what the sort stage and those after it made: the next build makes it again from the spill files."""
        directories = [self.workspace.margin(self.table.margin_arcsec)]
        directories += [self.workspace.index(column) for column in self.table.index_columns]
        for directory in (self.workspace.catalog, self.workspace.records, *directories):
            shutil.rmtree(directory, ignore_errors=True)

    def sweep(self) -> None:
        """Remove everything that is not published."""
        shutil.rmtree(self.workspace.spill, ignore_errors=True)
        shutil.rmtree(self.workspace.staging, ignore_errors=True)
