"""Queries and their answers."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from .errors import FormatError, LostError, QueryTimeout, RefusedError, SourceError, TooLargeError, UnreachableError
from .files import replaced
from .format import Recording
from .options import Options
from .plan import Politely
from .querylist import Request
from .records import Answer, Failure, answer_digest
from .rows import RowWriter
from .source import CatalogSource

__all__ = ["AnswerRecorder", "failure_of"]


def failure_of(error: SourceError) -> Failure:
    """Return what a recording says of an error."""
    match error:
        case TooLargeError():
            return Failure("too large", str(error))
        case QueryTimeout():
            return Failure("timeout", str(error))
        case LostError():
            return Failure("lost", str(error))
        case _:
            return Failure("refused", str(error))


class AnswerRecorder:
    """Records answers that are not recorded yet.

    Parameters
    ----------
    recording, source, options
        As of the run.
    politely
        Does a piece of work at the source.
    """

    def __init__(
        self,
        recording: Recording,
        source: CatalogSource,
        options: Options,
        politely: Politely,
    ) -> None:
        self._recording = recording
        self._source = source
        self._options = options
        self._politely = politely
        self._known = {answer.id.partition("-")[2]: answer for answer in recording.answers()}
        self._began = 0.0
        self._last = max((int(answer.id.partition("-")[0]) for answer in self._known.values()), default=0)

    def record(self, request: Request) -> Answer | None:
        """Record the answer to a query; return None if there is one already.

        Raises
        ------
        UnreachableError
            If the source cannot be reached, after all retries.
        """
        digest = answer_digest(self._source.lang, request.query)
        before = self._known.get(digest)
        if before is not None and (before.error is None or before.error.kind not in self._options.again):
            return None
        blank = Answer(self._id(digest, before), request.query, self._source.lang, request.use_case, _now(), 0.0)
        try:
            answer = self._politely(partial(self._asked, blank))
        except UnreachableError:
            raise
        except SourceError as error:
            answer = replace(blank, seconds=round(time.monotonic() - self._began, 6), error=failure_of(error))
            self._recording.drop_rows(answer)
        self._recording.save(answer)
        self._known[digest] = answer
        return answer

    def _id(self, digest: str, before: Answer | None) -> str:
        if before is not None:
            return before.id
        self._last += 1
        return f"{self._last:04}-{digest}"

    def _asked(self, blank: Answer) -> Answer:
        """Return the answer with its rows in place; without its JSON it does not count."""
        options = self._options
        started, began = _now(), time.monotonic()
        self._began = began
        first: float | None = None
        with (
            replaced(self._recording.rows_path(blank)) as sink,
            self._source.ask(blank.query, timeout_s=options.timeout_s, max_rows=options.max_rows) as result,
        ):
            writer = RowWriter(sink, [one.kind for one in result.columns])
            for batch in result.batches:
                first = time.monotonic() - began if first is None else first
                try:
                    writer.write(batch)
                except (FormatError, ValueError) as error:
                    raise RefusedError(f"the answer cannot be kept: {error}") from error
                if writer.rows > options.max_rows or writer.size > options.max_bytes:
                    raise TooLargeError(_too_large(writer, options))
            seconds = time.monotonic() - began
            writer.close()
        return replace(
            blank,
            started=started,
            seconds=round(seconds, 6),
            seconds_to_first_row=None if first is None else round(first, 6),
            rows=writer.rows,
            bytes=writer.size,
            columns=result.columns,
            overflow=result.overflow,
            sha256=writer.sha256,
        )


def _too_large(writer: RowWriter, options: Options) -> str:
    if writer.rows > options.max_rows:
        return f"more than {options.max_rows} rows (--max-rows)"
    return f"more than {options.max_bytes} bytes in {writer.rows} rows (--max-bytes)"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
