"""A job of the Universal Worker Service (UWS 1.1): a query that runs while its owner is away."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final

from .query import UploadSource
from .user import Identity

__all__ = ["ACTIVE", "FINAL", "Job", "JobResult", "Phase", "Progress"]


class Phase(Enum):
    """Phases of a job that this service uses (UWS 1.1 section 2.1.3)."""

    PENDING = "PENDING"
    """Created; waits for its owner to start it."""
    QUEUED = "QUEUED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"
    ABORTED = "ABORTED"


ACTIVE: Final = frozenset({Phase.PENDING, Phase.QUEUED, Phase.EXECUTING})
"""Phases that may still change."""
FINAL: Final = frozenset(Phase) - ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """One file of a finished job's result."""

    name: str
    """As in its address: ``results/<name>``."""
    file: str
    """Relative to the job's directory."""
    content_type: str
    size_bytes: int
    sha256: str
    """Hexadecimal."""
    rows: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an executing job is, in batches of tiles."""

    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything that is kept of a job. Times are aware, in UTC."""

    job_id: str
    """128 random bits: who knows an anonymous job's address may use it."""
    owner: Identity
    """With the groups that it had when it created the job."""
    phase: Phase
    created: datetime
    destruction: datetime
    """When job and results are removed."""
    execution_s: float
    """Time limit of the execution."""
    parameters: tuple[tuple[str, str], ...] = ()
    """As posted, in order; checked when the job runs (TAP 1.1 section 2.7)."""
    uploads: tuple[UploadSource, ...] = ()
    """Tables that came with the job; their files lie in its directory."""
    runid: str | None = None
    queued: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    attempts: int = 0
    """How often its execution began; an execution that a stop of the service cut short is begun once more."""
    results: tuple[JobResult, ...] = ()
    overflow: bool = False
    """Whether rows were cut at MAXREC or at the limit of bytes."""
    error: dict[str, Any] | None = field(default=None, hash=False)
    """Body of the error (`CatalogServiceError.to_json`) of a job in phase ERROR."""
    error_status: int = 500
    """Its HTTP status."""

    @property
    def rows(self) -> int:
        """Rows of the result, those of parts included so far."""
        whole = [one.rows for one in self.results if one.name == "result"]
        return whole[0] if whole else sum(one.rows for one in self.results)

    @property
    def result_bytes(self) -> int:
        """Size of all results."""
        return sum(one.size_bytes for one in self.results)
