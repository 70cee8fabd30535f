"""A run of the recorder: tables, then queries, then fingerprints; what is recorded already is left out."""

import fcntl
import fnmatch
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from .answers import AnswerRecorder
from .dialect import Dialect
from .errors import (
    BusyError,
    FormatError,
    LostError,
    RefusedError,
    SourceError,
    TooLargeError,
    UnreachableError,
    UsageError,
)
from .fingerprint_run import FingerprintRecorder
from .format import Recording
from .options import Options
from .pace import Pace, Stopped
from .plan import requests_of
from .records import Failure, Header, Table
from .source import CatalogSource
from .wanted import Wanted, add_wanted

__all__ = ["VERSION", "Run", "Summary", "locked"]

VERSION: Final = "1"
_LONGEST_WAIT_S: Final = 60.0
_MOST_BROKEN: Final = 2
"""What broke the connection so often is asked once more: the third time it may be the query that crashes the source."""
_Found = TypeVar("_Found")


@dataclass
class Summary:
    """What a run did."""

    tables: int = 0
    answers: int = 0
    fingerprints: int = 0
    stopped: bool = False


class Run:
    """Records a source.

    Parameters
    ----------
    recording
        Where to.
    source
        What.
    options
        How.
    pace
        When.
    say
        Told of progress.
    """

    def __init__(
        self, recording: Recording, source: CatalogSource, options: Options, pace: Pace, say: Callable[[str], None]
    ) -> None:
        self._recording = recording
        self._source = source
        self._options = options
        self._pace = pace
        self._say = say
        self.summary = Summary()

    def everything(self) -> Summary:
        """Record all that is not recorded yet.

        Raises
        ------
        UnreachableError
            If the source cannot be reached, after all retries; the same call continues later.
        UsageError
            If the recording is of another source, or a list of queries is at fault.
        """
        try:
            self._begin()
            tables = self._tables()
            if "queries" in self._options.steps:
                self._queries(tables)
            if "fingerprints" in self._options.steps:
                self._fingerprints(tables)
        except Stopped:
            self.summary.stopped = True
        return self.summary

    def politely(self, work: Callable[[], _Found]) -> _Found:
        """Do a piece of work at the source when it is time for it, and again when the connection breaks.

        Raises
        ------
        SourceError
            What `work` raised; what may pass, after all retries.
        """
        failures = broken = 0
        while True:
            wait = self._options.retry_wait_s * 2 ** (failures - 1) if failures else 0.0
            self._pace.wait(min(wait, _LONGEST_WAIT_S))
            began = time.monotonic()
            try:
                return work()
            except (LostError, UnreachableError) as error:
                failures += 1
                broken += isinstance(error, LostError) and not isinstance(error, BusyError)
                self._source.close()
                if failures > self._options.retries or broken > _MOST_BROKEN:
                    raise
                self._say(f"{error}; retry {failures} of {self._options.retries}")
            finally:
                self._pace.spent(began)

    def _begin(self) -> None:
        source = self.politely(self._source.describe)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._recording.begin(Header(source, now, VERSION))
        before = self._recording.header().source
        if (before.kind, before.address) != (source.kind, source.address):
            raise UsageError(
                f"{self._recording.directory} is a recording of {before.address}, not of {source.address}: "
                "take another directory."
            )
        self._recording.set_damaged_aside(self._damaged)
        add_wanted(self._recording.directory, Wanted(frozenset(self._options.steps)))

    def _damaged(self, name: str, error: FormatError) -> None:
        self._say(f"{name} is recorded anew: {error}")

    def _tables(self) -> list[Table]:
        steps = self._options.steps
        if "tables" not in steps and "fingerprints" not in steps and not self._options.builtin:
            return []
        known = {one.name: one for one in self._recording.tables()}
        if "tables" not in steps and known:
            return [one for one in known.values() if self._is_wanted(one)]
        found = []
        wanted = [one for one in self.politely(lambda: list(self._source.tables())) if self._is_wanted(one)]
        add_wanted(self._recording.directory, Wanted(tables=frozenset(one.name for one in wanted)))
        for table in wanted:
            before = known.get(table.name)
            found.append(before if before is not None and before.rows is not None else self._counted(table))
        return found

    def _is_wanted(self, table: Table) -> bool:
        patterns = self._options.table_patterns
        return not patterns or any(fnmatch.fnmatchcase(table.name.lower(), one.lower()) for one in patterns)

    def _counted(self, table: Table) -> Table:
        if table.error is None:
            table = self._with_rows(table)
        self._recording.save(table)
        self.summary.tables += 1
        self._say(f"table {table.name}: {table.rows if table.error is None else table.error.message}")
        return table

    def _with_rows(self, table: Table) -> Table:
        query = f"SELECT COUNT(*) AS n FROM {Dialect(self._source.lang, 'plain').table(table)}"
        try:
            rows, seconds = self.politely(partial(self._number, query))
        except UnreachableError:
            raise
        except SourceError as error:
            return replace(table, error=Failure("refused" if isinstance(error, RefusedError) else "lost", str(error)))
        return replace(table, rows=rows, seconds=round(seconds, 6))

    def _number(self, query: str) -> tuple[int, float]:
        began = time.monotonic()
        with self._source.ask(query, timeout_s=self._options.timeout_s) as result:
            rows = [row for batch in result.batches for row in batch]
        if result.overflow or not rows:
            raise TooLargeError("the source cut the answer to COUNT(*), which has one row")
        return int(rows[0][0] or 0), time.monotonic() - began

    def _queries(self, tables: list[Table]) -> None:
        usable = [one for one in tables if one.error is None]
        requests = requests_of(self._recording, self._source, self._options, usable, self.politely)
        recorder = AnswerRecorder(self._recording, self._source, self._options, self.politely)
        for at, request in enumerate(requests, start=1):
            answer = recorder.record(request)
            if answer is not None:
                self.summary.answers += 1
                outcome = f"{answer.rows} rows" if answer.error is None else answer.error.kind
                self._say(f"query {at} of {len(requests)} ({answer.use_case}): {outcome}, {answer.seconds:.3g} s")

    def _fingerprints(self, tables: list[Table]) -> None:
        recorder = FingerprintRecorder(self._recording, self._source, self._options, self.politely)
        for table in tables:
            if table.error is not None:
                continue
            found = recorder.record(table)
            if found is not None:
                self.summary.fingerprints += 1
                outcome = f"{found.rows} rows" if found.error is None else found.error.message
                self._say(f"fingerprints of {found.name} by {found.cells['kind']}: {outcome}, {found.seconds:.3g} s")


@contextmanager
def locked(recording: Recording) -> Iterator[None]:
    """Keep other runs off a recording.

    Raises
    ------
    UsageError
        If another run writes to it now.
    """
    recording.directory.mkdir(parents=True, exist_ok=True)
    with (recording.directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"Another run writes to {recording.directory} now.") from None
        for part in recording.directory.rglob("*.part"):
            part.unlink()
        yield
