"""Jobs: queries that run while their owner is away, and results that are fetched when it suits."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..exceptions import CatalogServiceError, NotFoundError, QueryRefusedError
from ..models.wire import JobFile, JobInfo
from .errors import TransferAbortedError
from .results import Result
from .stream import ResultStream
from .transport import Transport

__all__ = ["JOBS_PATH", "Job"]

JOBS_PATH: Final = "/api/v1/jobs"

_ACTIVE: Final = frozenset({"PENDING", "QUEUED", "EXECUTING"})
_LOOK_S: Final = 20.0
"""How long the service is asked to wait for a change."""
_CHUNK_BYTES: Final = 1 << 16
"""So much may be lost when a connection breaks."""
_MOST_VAIN_TRIES: Final = 5


class Job:
    """A job of the service, made by `CatalogClient.submit` or `CatalogClient.job`.

    It lives at the service until it is deleted or its time of destruction: keep `job_id` to find it again.

    Examples
    --------
    >>> job = client.submit("SELECT * FROM tycho2.stars")  # doctest: +SKIP
    >>> job.wait().result().to_table()  # doctest: +SKIP
    """

    def __init__(self, transport: Transport, info: JobInfo) -> None:
        self._transport = transport
        self.info = info
        """What is known of the job; see `refresh`."""

    @property
    def job_id(self) -> str:
        """Its identifier."""
        return self.info.job_id

    @property
    def phase(self) -> str:
        """Its phase when it was last asked for: QUEUED, EXECUTING, COMPLETED, ERROR or ABORTED."""
        return self.info.phase

    def refresh(self, *, wait_s: float = 0.0) -> JobInfo:
        """Ask the service for the job; with `wait_s`, when it changes, at the latest after so many seconds.

        Raises
        ------
        NotFoundError
            If it was removed.
        """
        self.info = JobInfo.from_json(self._transport.json(f"{self._path}?wait={wait_s:g}"))
        return self.info

    def wait(self, timeout_s: float | None = None, *, progress: Callable[[JobInfo], object] | None = None) -> "Job":
        """Wait until the job has ended well; return it.

        Parameters
        ----------
        timeout_s
            Longest wait, seconds; None: as long as it takes. The job itself goes on.
        progress
            Called with what is known, again and again.

        Raises
        ------
        TimeoutError
            If it has not ended in time.
        CatalogServiceError
            The error that ended the job, in its own class.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self.phase in _ACTIVE:
            left_s = _LOOK_S if deadline is None else deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"job {self.job_id} is {self.phase} after {timeout_s:g} s")
            self.refresh(wait_s=min(left_s, 1.0 if progress else _LOOK_S))
            if progress is not None:
                progress(self.info)
        self._check_end()
        return self

    def result(self) -> Result:
        """Return the rows of a job that has ended.

        Raises
        ------
        CatalogServiceError
            The error that ended the job, or that it has not ended.
        UnexpectedAnswerError
            If the job was submitted with another format than Arrow; see `download`.
        """
        return self.stream().read_all()

    def stream(self) -> ResultStream:
        """Return the record batches of a job that has ended, for results larger than the memory."""
        return ResultStream(self._transport.get(self._result_path(self._file("result"))))

    def download(self, path: str | Path, *, name: str = "result") -> Path:
        """Fetch a result's file; an earlier fetch that broke off goes on where it ended.

        The file appears under its name when it is whole and its SHA-256 is right, and not before.

        Parameters
        ----------
        path
            File to be made; an existing one is replaced.
        name
            Of the result.

        Raises
        ------
        TransferAbortedError
            If it breaks off again and again, or its content is not what the service has noted.
        """
        file, target = self._file(name), Path(path)
        partial = target.with_name(f"{target.name}.{file.sha256[:16]}.part")
        most, vain = _size(partial), 0
        while _size(partial) < file.size_bytes or not partial.exists():
            failure = self._fetch(file, partial, _size(partial))
            most, vain = (_size(partial), 0) if _size(partial) > most else (most, vain + 1)
            if vain == _MOST_VAIN_TRIES:
                raise failure or TransferAbortedError(f"Result {name!r} of job {self.job_id} arrives cut short.")
        _check_digest(file, partial)
        partial.replace(target)
        return target

    def abort(self) -> None:
        """Stop the job; one that has ended stays as it is."""
        self.info = JobInfo.from_json(self._transport.json(f"{self._path}/abort", {}))

    def delete(self) -> None:
        """Stop the job and remove it with its results."""
        self._transport.delete(self._path)

    def __repr__(self) -> str:
        progress = self.info.progress
        done = "" if progress is None else f", {progress[0]} of {progress[1]} batches done"
        return f"<Job {self.job_id}: {self.phase}{done}>"

    @property
    def _path(self) -> str:
        return f"{JOBS_PATH}/{self.job_id}"

    def _result_path(self, file: JobFile) -> str:
        return f"{self._path}/results/{file.name}"

    def _check_end(self) -> None:
        if self.info.error is not None:
            raise CatalogServiceError.from_json(dict(self.info.error))
        if self.phase != "COMPLETED":
            raise QueryRefusedError(f"job {self.job_id} is {self.phase}: it has no result.")

    def _file(self, name: str) -> JobFile:
        if self.phase in _ACTIVE:
            self.refresh()
        for file in self.info.results:
            if file.name == name:
                return file
        self._check_end()
        raise NotFoundError(f"job {self.job_id} has no result {name!r}.")

    def _fetch(self, file: JobFile, partial: Path, have: int) -> TransferAbortedError | None:
        """Add what is missing to a partial file; return what broke it off, if anything did."""
        headers = {"Range": f"bytes={have}-", "If-Range": f'"{file.sha256}"', "Accept-Encoding": "identity"}
        with self._transport.get(self._result_path(file), headers=headers) as answer, partial.open("ab") as sink:
            if answer.status != 206:
                sink.truncate(0)
            try:
                while chunk := answer.read(_CHUNK_BYTES):
                    sink.write(chunk)
            except TransferAbortedError as error:
                return error
        return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_digest(file: JobFile, partial: Path) -> None:
    with partial.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != file.sha256:
        partial.unlink()
        raise TransferAbortedError(
            f"The content of result {file.name!r} is not what the service has noted.", remedy="Fetch it again."
        )
