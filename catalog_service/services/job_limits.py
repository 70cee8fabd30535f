"""Published limits of asynchronous jobs, each applied in one place and named in its error."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ..exceptions import LimitError, ParameterError, RequestTooLargeError, UnavailableError

__all__ = ["JobLimits"]

_COME_BACK_S: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """Limits of jobs and their results."""

    execution_s: float
    """Time limit of an execution: default and most."""
    retention_days: float
    """Time from creation to destruction: default."""
    retention_days_hard: float
    """The most that an owner can ask for."""
    result_bytes: int
    """Of one job; rows beyond are cut and marked as OVERFLOW."""
    part_bytes: int
    """Size after which a result in parts begins another one."""
    owner_bytes: int
    """Of all results of one owner together."""
    queued_per_owner: int
    queued: int
    free_bytes: int
    """Space on the disk below which no job is taken."""
    parameters_bytes: int
    """Of all parameters of a job together."""
    uploads: int
    """Tables that come with a job."""
    wait_s: float
    """The longest that a request waits for a change of a job."""

    def execution(self, asked_s: float) -> float:
        """Return the time limit for a wish; 0 and less mean as long as possible (UWS 1.1 section 2.1.5)."""
        return min(asked_s, self.execution_s) if asked_s > 0 else self.execution_s

    def destruction(self, created: datetime, asked: datetime | None = None) -> datetime:
        """Return the time of destruction for a wish."""
        if asked is None:
            return created + timedelta(days=self.retention_days)
        return min(asked, created + timedelta(days=self.retention_days_hard))

    def wait(self, asked_s: float) -> float:
        """Return how long a request waits; -1 means long (UWS 1.1 section 2.2.1.1)."""
        return asked_s if 0 <= asked_s < self.wait_s else self.wait_s

    def check_parameters(self, parameters: Iterable[tuple[str, str]], uploads: int) -> None:
        """Refuse parameters that no query needs.

        Raises
        ------
        ParameterError
            If one is no Unicode text, as a form of another charset or a JSON escape can bring.
        RequestTooLargeError
            If they are too long altogether.
        LimitError
            If there are too many uploaded tables.
        """
        try:
            size = sum(len(value.encode()) for _, value in parameters)
        except UnicodeEncodeError as error:
            raise ParameterError("a parameter is no Unicode text: it holds half of a surrogate pair") from error
        if size > self.parameters_bytes:
            msg = f"the job's parameters are {size} bytes long; the limit is {self.parameters_bytes} bytes."
            raise RequestTooLargeError(msg, remedy="Give each parameter once, and long lists as an uploaded table.")
        if uploads > self.uploads:
            raise LimitError(f"the job has {uploads} uploaded tables; the limit is {self.uploads}.")

    def check_queue(self, of_owner: int, of_all: int, *, anonymous: bool) -> None:
        """Refuse one more job in the queue.

        Raises
        ------
        UnavailableError
            If too many wait already; those of anonymous callers count for all together.
        """
        most = self.queued if anonymous else self.queued_per_owner
        if of_owner >= most or of_all >= self.queued:
            counted, limit = (of_owner, most) if of_owner >= most else (of_all, self.queued)
            error = UnavailableError(
                f"{counted} jobs wait in the queue already; the limit is {limit}.", remedy="Try again when some ended."
            )
            error.retry_after_s = _COME_BACK_S
            raise error

    def check_space(self, stored_bytes: int, free_bytes: int) -> None:
        """Refuse a job when its owner, or the disk, has no room for its result.

        Raises
        ------
        LimitError
            If the owner's results take their share.
        UnavailableError
            If the disk is nearly full.
        """
        if stored_bytes >= self.owner_bytes:
            msg = f"your results take {stored_bytes} bytes; the limit is {self.owner_bytes} bytes."
            raise LimitError(msg, remedy="Delete jobs that you do not need any more.")
        if free_bytes < self.free_bytes:
            error = UnavailableError("There is no space for more results now.", remedy="Try again later.")
            error.retry_after_s = _COME_BACK_S
            raise error
