"""Published limits of asynchronous jobs, each applied in one place and named in its error."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NoReturn

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
    pending_per_owner: int
    """Jobs that were created and not started."""
    pending: int
    """The same, of all anonymous callers together."""
    upload_bytes: int
    """Of all uploaded tables of an owner's jobs that have not ended."""
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
        limits = [("jobs_queued", of_all, self.queued)]
        if not anonymous:
            limits.insert(0, ("jobs_queued_per_user", of_owner, self.queued_per_owner))
        for name, waiting, most in limits:
            if waiting >= most:
                reason = f"{waiting} jobs wait in the queue already; the limit is {most} ({name})."
                raise _later(reason, "Try again when some ended.")

    def most_pending(self, *, anonymous: bool) -> int:
        """Return how many jobs of an owner may wait to be started."""
        return self.pending if anonymous else self.pending_per_owner

    def refuse_pending(self, pending: int, *, anonymous: bool) -> NoReturn:
        """Refuse one more job that is not started.

        Raises
        ------
        UnavailableError
            Always.
        """
        whose, limit = ("of anonymous callers", "jobs_pending") if anonymous else ("of yours", "jobs_pending_per_user")
        raise _later(
            f"{pending} jobs {whose} were created and not started; the limit is "
            f"{self.most_pending(anonymous=anonymous)} ({limit}).",
            "Try again later." if anonymous else "Start or delete some of them.",
        )

    def check_uploads(self, kept_bytes: int, added_bytes: int, *, anonymous: bool) -> None:
        """Refuse uploaded tables beyond the share of an owner.

        Raises
        ------
        LimitError
            If the owner's jobs that have not ended have too much of them.
        UnavailableError
            If those of all anonymous callers have.
        """
        if kept_bytes + added_bytes <= self.upload_bytes:
            return
        limit = f"the limit is {self.upload_bytes} bytes (jobs_upload_mb)."
        if anonymous:
            raise _later(f"the uploaded tables of anonymous jobs that wait take {kept_bytes} bytes; {limit}")
        raise LimitError(
            f"the uploaded tables of your jobs that wait take {kept_bytes} bytes, these take {added_bytes}; {limit}",
            remedy="Wait until some jobs have ended, or delete some.",
        )

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
            msg = f"your results take {stored_bytes} bytes; the limit is {self.owner_bytes} bytes (owner_result_mb)."
            raise LimitError(msg, remedy="Delete jobs that you do not need any more.")
        if free_bytes < self.free_bytes:
            raise _later(
                f"There is no space for more results now: {self.free_bytes} bytes of the disk are kept free "
                "(free_space_mb)."
            )


def _later(message: str, remedy: str = "Try again later.") -> UnavailableError:
    error = UnavailableError(message, remedy=remedy)
    error.retry_after_s = _COME_BACK_S
    return error
