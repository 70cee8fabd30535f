"""One table on its way through the stages: what is known about it from the start, and its progress."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from .config import BuildConfig, TableConfig
from .readers.felis import FelisTable
from .stages.assemble import ReleaseIdentity
from .stages.publish import Staging
from .stages.sort import Leaf

__all__ = ["Job"]

_TELL_S: Final = 10.0
"""Seconds between two lines about the progress of one stage."""


@dataclass
class Job:
    """One table on its way through the stages."""

    config: BuildConfig
    table: TableConfig
    staging: Staging
    felis: FelisTable | None
    created: str
    report: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)
    _stage: str = ""
    _told: float = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure one stage and tell when it is done."""
        start = self._told = time.perf_counter()
        self._stage = name
        yield
        self.seconds[name] = time.perf_counter() - start
        self.say(f"{name} {self.seconds[name]:.1f} s")

    def tick(self, rows: int) -> None:
        """Report how far the stage is, now and then."""
        if time.perf_counter() - self._told > _TELL_S:
            self._told = time.perf_counter()
            self.say(f"{self._stage}: {rows} rows so far")

    def watched(self, leaves: Iterable[Leaf]) -> Iterator[Leaf]:
        """Pass leaves on, reporting their rows now and then."""
        rows = 0
        for leaf in leaves:
            yield leaf
            rows += leaf.summary.rows
            self.tick(rows)

    @property
    def release(self) -> ReleaseIdentity:
        """What the release is, whatever it holds."""
        return ReleaseIdentity(
            catalog=self.staging.catalog,
            schema_name=self.config.schema,
            table=self.table,
            number=self.staging.release,
            created=self.created,
            felis=self.felis,
        )

    def say(self, line: str) -> None:
        """Report one line of progress."""
        self.report(f"{self.config.schema}.{self.table.name}: {line}")
