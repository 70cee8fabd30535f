"""Directories of jobs: uploaded tables, and what each execution made.

::

    <root>/<job id>/uploads/...            tables that came with the job
    <root>/<job id>/attempt-<n>/result.vot
    <root>/<job id>/attempt-<n>/done.json  written last: the execution's commit point

"""

import json
import os
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ..models.job import JobResult

__all__ = ["Done", "ResultStore"]

_DONE: Final = "done.json"
_UPLOADS: Final = "uploads"


@dataclass(frozen=True, slots=True)
class Done:
    """What an execution that came to its end has made."""

    results: tuple[JobResult, ...]
    overflow: bool


class ResultStore:
    """Keeps the files of jobs; its methods block.

    Parameters
    ----------
    root
        Directory that belongs to this store alone; created if missing.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root = root

    def begin(self, job_id: str, attempt: int) -> Path:
        """Return a new empty directory for an execution."""
        directory = self._attempt(job_id, attempt)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        return directory

    def commit(self, job_id: str, attempt: int, done: Done) -> None:
        """Note that an execution has made all of its results, which are on the disk."""
        directory = self._attempt(job_id, attempt)
        temporary = directory / f"{_DONE}.tmp"
        with temporary.open("w", encoding="utf-8") as file:
            json.dump({"results": [asdict(one) for one in done.results], "overflow": done.overflow}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(directory / _DONE)
        _sync(directory)

    def done(self, job_id: str, attempt: int) -> Done | None:
        """Return what an execution has made, None if it did not come to its end."""
        path = self._attempt(job_id, attempt) / _DONE
        if not path.is_file():
            return None
        body = json.loads(path.read_text(encoding="utf-8"))
        return Done(tuple(JobResult(**one) for one in body["results"]), body["overflow"])

    def discard(self, job_id: str, attempt: int) -> None:
        """Remove what an execution has made."""
        shutil.rmtree(self._attempt(job_id, attempt), ignore_errors=True)

    def path(self, job_id: str, result: JobResult) -> Path:
        """Return where a result lies."""
        return self.root / job_id / result.file

    def uploads(self, job_id: str) -> Path:
        """Return the directory for the uploaded tables of a job; created if missing."""
        directory = self.root / job_id / _UPLOADS
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def remove_uploads(self, job_id: str) -> None:
        """Remove the uploaded tables of a job that has ended."""
        shutil.rmtree(self.root / job_id / _UPLOADS, ignore_errors=True)

    def size_bytes(self, job_id: str) -> int:
        """Return the size of what a job's executions have made so far."""
        return sum(_size(path) for path in self.root.joinpath(job_id).glob(f"{_attempt_name('*')}/*"))

    def remove(self, job_id: str) -> None:
        """Remove everything of a job."""
        shutil.rmtree(self.root / job_id, ignore_errors=True)

    def sweep(self, known: Collection[str]) -> None:
        """Remove the directories of jobs that are not `known`."""
        for directory in self.root.iterdir():
            if directory.is_dir() and directory.name not in known:
                shutil.rmtree(directory, ignore_errors=True)

    def free_bytes(self) -> int:
        """Return the space that is left for results."""
        return shutil.disk_usage(self.root).free

    def _attempt(self, job_id: str, attempt: int) -> Path:
        return self.root / job_id / _attempt_name(attempt)


def _attempt_name(attempt: int | str) -> str:
    return f"attempt-{attempt}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it was renamed or removed this very moment
        return 0


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
