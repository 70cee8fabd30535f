"""Records that cannot be read, and what was to be recorded and was not: neither is the end of a comparison."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from ..recorder.errors import FormatError
from ..recorder.format import Recording
from ..recorder.records import answer_digest
from ..recorder.wanted import Wanted, missing_records, read_wanted
from .found import Compared, Side
from .rules import Comparison, Verdict

__all__ = ["DamagedRecords", "unanswered", "unrecorded"]


@dataclass
class DamagedRecords:
    """Records of one kind that cannot be read."""

    subject: str
    found: dict[str, FormatError] = field(default_factory=dict)
    """Why, by name."""

    def add(self, name: str, error: FormatError) -> None:
        """Take note of one."""
        self.found[name] = error

    def compared(self) -> Iterator[Compared]:
        """Yield that they were not compared."""
        for name, error in self.found.items():
            yield Compared(self.subject, name, Comparison(Verdict.NOT_COMPARED, notes=(str(error),)))


def unrecorded(recording: Recording) -> Iterator[Compared]:
    """Yield tables and fingerprints that were to be recorded and are not there: the recording was stopped before."""
    try:
        wanted = read_wanted(recording.directory)
        if "tables" in wanted.steps and not wanted.tables:
            yield _gone("table", "all", "Tables were to be recorded, and none was found: continue the recording.")
        for subject, name in missing_records(recording):
            yield _gone(subject, name, "This was to be recorded, and was not: continue the recording.")
    except FormatError as error:
        yield Compared("table", "wanted.json", Comparison(Verdict.NOT_COMPARED, notes=(str(error),)))


def _gone(subject: str, name: str, note: str) -> Compared:
    return Compared(subject, name, Comparison(Verdict.NOT_COMPARED, notes=(note,)), Side(error="not recorded"))


def _wanted(recording: Recording) -> Wanted:
    try:
        return read_wanted(recording.directory)
    except FormatError:  # told by `unrecorded`
        return Wanted()


def unanswered(recording: Recording, known: Collection[tuple[str, str]]) -> Iterator[Compared]:
    """Yield the queries that were to be recorded and are not among those `known`: the recording was stopped before."""
    path = recording.directory / "queries.json"
    if not path.is_file():
        if "queries" in _wanted(recording).steps:
            note = "Queries were to be recorded, and none was asked: continue the recording."
            yield _gone("answer", "queries.json", note)
        return
    try:
        asked = [(one["lang"], one["query"], one.get("use_case")) for one in json.loads(path.read_bytes())["asked"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        note = f"queries.json cannot be read, which tells what was to be recorded: {error!r}"
        yield Compared("answer", "queries.json", Comparison(Verdict.NOT_COMPARED, notes=(note,)))
        return
    for lang, query, use_case in asked:
        if (lang, query) not in known:
            note = "This query was to be recorded, and was not: continue the recording."
            missing = Comparison(Verdict.NOT_COMPARED, notes=(note,))
            name = answer_digest(lang, query)
            yield Compared("answer", name, missing, query=query, lang=lang, use_case=use_case)
