"""Ask another service what was recorded of the first: the recorder's own way, into a recording of its own.

So it is as polite, continues where it was stopped, and what was compared can be looked at again later.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ..errors import ComparisonError
from ..recorder.access import Address
from ..recorder.answers import AnswerRecorder
from ..recorder.errors import FormatError, RecorderError, UnreachableError, UsageError
from ..recorder.fingerprint_run import FingerprintRecorder
from ..recorder.format import Recording
from ..recorder.mysql_source import MysqlSource
from ..recorder.options import Options
from ..recorder.pace import Pace, Stopped, StopSwitch
from ..recorder.querylist import Request
from ..recorder.records import Fingerprint, Table
from ..recorder.run import Run, locked
from ..recorder.source import CatalogSource, Dropped
from ..recorder.statements import check_reads_only
from ..recorder.tap_source import TapSource

__all__ = ["Asked", "Target", "ask_target"]

_MORE_ROWS: Final = 2
"""Answers are read to twice the rows of the recorded ones: what is longer differs anyway."""
_MORE_BYTES: Final = 2 * _MORE_ROWS
"""And to four times their bytes: numbers may come with more digits."""
_FINISHED: Final = "finished"
"""A file in the target's recording once all was asked: what is there before is a run to continue."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """A service that is asked, and how."""

    address: Address
    secret: str | None
    options: Options
    mode: str = "sync"
    """How a TAP service is asked: ``sync`` or ``async``."""

    def source(self, lang: str) -> CatalogSource:
        """Return a connection for queries in a language."""
        if self.address.kind == "mysql":
            return MysqlSource(self.address, self.secret)
        return TapSource(self.address.shown, self.secret, (), lang=lang, mode=self.mode)


@dataclass(frozen=True)
class Asked:
    """How the questions ended."""

    is_complete: bool
    problem: str = ""
    """Why not."""


def ask_target(recording: Path, target: Target, into: Path, say: Say, *, reuse: bool = False) -> Asked:
    """Ask a service for all tables, queries and fingerprints of a recording that are not in `into` yet.

    Once all was asked, `into` is a thing of the past: the next call moves it aside and asks anew.

    Parameters
    ----------
    recording
        What was recorded of the other service.
    target
        The service.
    into
        Directory of the recording that is made of it.
    say
        Told of progress.
    reuse
        Whether to keep the answers of an earlier comparison.

    Raises
    ------
    ComparisonError
        If `recording` is none, or `into` holds one of another service.
    """
    reference, made = Recording(recording), Recording(into)
    switch = StopSwitch()
    try:
        lang = _language(reference)
        if not reuse:
            _move_finished(made, say)
        with locked(made), switch.installed(say), _connected(target, lang) as source:
            pace = Pace(target.options.rate, target.options.windows, into / "pause", switch, say)
            _Questions(reference, made, source, target.options, pace, say).ask()
            (into / _FINISHED).touch()
    except (Stopped, Dropped):
        return Asked(is_complete=False, problem="Stopped; the same command continues.")
    except UnreachableError as error:
        return Asked(is_complete=False, problem=f"{error} The same command continues.")
    except RecorderError as error:
        raise ComparisonError(str(error)) from error
    return Asked(is_complete=True)


def _move_finished(made: Recording, say: Say) -> None:
    """Move the answers of a finished comparison aside: the service may answer otherwise now."""
    if not (made.directory / _FINISHED).exists():
        return
    with locked(made):
        started = "".join(filter(str.isalnum, made.header().started))
        aside = made.directory.with_name(f"{made.directory.name}.{started}")
        number = 1
        while aside.exists():
            number += 1
            aside = aside.with_name(f"{made.directory.name}.{started}-{number}")
        made.directory.rename(aside)
    say(f"The service is asked anew; its earlier answers are in {aside} (`--reuse` would have taken them).")


def _not_asked(_name: str, _error: FormatError) -> None:
    """Leave a record out that cannot be read; the report names it."""


def _language(reference: Recording) -> str:
    """Return the language of the recorded queries."""
    found = next((one.lang for one in reference.answers(_not_asked)), None)
    return found or ("QSERV" if reference.header().source.kind == "mysql" else "ADQL")


@contextmanager
def _connected(target: Target, lang: str) -> Iterator[CatalogSource]:
    source = target.source(lang)
    try:
        yield source
    finally:
        source.close()


class _Questions:
    """What is asked, in the order of a recording."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a run consists of
        self, reference: Recording, made: Recording, source: CatalogSource, options: Options, pace: Pace, say: Say
    ) -> None:
        self._reference = reference
        self._made = made
        self._source = source
        self._say = say
        tables = list(reference.tables(_not_asked))
        answers = list(reference.answers(_not_asked))
        most = max((one.rows for one in answers), default=0)
        longest = max((one.bytes for one in answers), default=0)
        self._options = replace(
            options,
            max_rows=max(options.max_rows, _MORE_ROWS * most),
            max_bytes=max(options.max_bytes, _MORE_BYTES * longest),
        )
        self._tables = {one.name.casefold(): one for one in tables}
        mine = [Request(one.query, one.use_case) for one in answers if one.lang == source.lang]
        self._requests = [one for one in mine if self._only_reads(one)]
        patterns = tuple(one.name for one in tables) or ("",)
        self._run = Run(made, source, replace(self._options, steps=("tables",), table_patterns=patterns), pace, say)

    def _only_reads(self, request: Request) -> bool:
        """Tell whether a query may be sent: a recording may come from anywhere."""
        try:
            check_reads_only(request.query, self._source.lang)
        except UsageError as error:
            self._say(f"a recorded query is not asked: {error}")
            return False
        return True

    def ask(self) -> None:
        """Ask all that is not answered yet."""
        if self._run.everything().stopped:
            raise Stopped
        recorder = AnswerRecorder(self._made, self._source, self._options, self._run.politely)
        for at, request in enumerate(self._requests, start=1):
            answer = recorder.record(request)
            if answer is not None:
                outcome = f"{answer.rows} rows" if answer.error is None else answer.error.kind
                self._say(f"query {at} of {len(self._requests)}: {outcome}, {answer.seconds:.3g} s")
        for fingerprint in self._reference.fingerprints(_not_asked):
            self._fingerprints(fingerprint)

    def _fingerprints(self, fingerprint: Fingerprint) -> None:
        """Ask for the same cells and columns as were recorded; cells by chunk only the first service has."""
        table = self._tables.get(fingerprint.name.casefold())
        kind = fingerprint.cells.get("kind")
        if table is None or fingerprint.error is not None or kind == "chunk":
            return
        width = float(fingerprint.cells.get("width_deg", self._options.box_deg))
        options = replace(self._options, cells=str(kind), box_deg=width, columns=len(fingerprint.columns))
        recorder = FingerprintRecorder(self._made, self._source, options, self._run.politely)
        counted = {one.name.casefold(): one.rows for one in self._made.tables()}
        rows = counted.get(table.name.casefold())
        found = recorder.record(replace(_numbered(table, fingerprint), rows=rows))
        if found is not None:
            self._say(f"fingerprints of {found.name}: {found.rows or 0} rows, {found.seconds:.3g} s")


def _numbered(table: Table, fingerprint: Fingerprint) -> Table:
    """Return a table without the numbers that have no fingerprint, so that the same columns are chosen again."""
    chosen = {*fingerprint.columns, *fingerprint.keys, table.ra, table.dec, *(table.key or ())}
    return replace(table, columns=tuple(one for one in table.columns if one.name in chosen))
