"""What the comparison of two recordings found."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from ..recorder.records import Fingerprint, Table
from .rules import Comparison, Verdict, worst

__all__ = ["Compared", "Report", "Side", "named"]


@dataclass(frozen=True)
class Side:
    """One service's part in a comparison."""

    rows: int | None = None
    seconds: float | None = None
    seconds_to_first_row: float | None = None
    bytes: int | None = None
    error: str | None = None
    """Kind and message."""


@dataclass(frozen=True)
class Compared:
    """An answer, a table or the fingerprints of a table, compared."""

    subject: str
    """``answer``, ``table`` or ``fingerprints``."""
    name: str
    """Id of the answer, or name of the table."""
    comparison: Comparison
    left: Side = field(default_factory=Side)
    right: Side = field(default_factory=Side)
    query: str | None = None
    lang: str | None = None
    use_case: str | None = None


@dataclass(frozen=True)
class Report:
    """All that was compared."""

    left: str
    """Address of the source that was recorded, and its version."""
    right: str
    compared: tuple[Compared, ...]

    @property
    def verdict(self) -> Verdict:
        """The gravest of all; not compared if there was nothing to compare."""
        return worst([one.comparison.verdict for one in self.compared]) if self.compared else Verdict.NOT_COMPARED

    @property
    def counts(self) -> dict[Verdict, int]:
        """How often each verdict was given."""
        found = Counter(one.comparison.verdict for one in self.compared)
        return {verdict: found[verdict] for verdict in Verdict}

    @property
    def seconds(self) -> tuple[int, float, float]:
        """How many queries both sides answered, and in how many seconds altogether."""
        answered = [one for one in self.compared if one.subject == "answer" and not (one.left.error or one.right.error)]
        left, right = (sum(side.seconds or 0.0 for side in sides) for sides in _sides(answered))
        return len(answered), left, right

    @property
    def exit_status(self) -> int:
        """0 if all is equal, 1 if something differs, 2 if something could not be compared."""
        return {Verdict.DIFFERENT: 1, Verdict.NOT_COMPARED: 2}.get(self.verdict, 0)


_Named = TypeVar("_Named", Table, Fingerprint)


def named(records: Iterable[_Named], name: str) -> _Named | None:
    """Return the record of a table, by its name as it is written, else in any case; None if there is none."""
    same = [one for one in records if one.name.casefold() == name.casefold()]
    return next((one for one in same if one.name == name), same[0] if same else None)


def _sides(compared: list[Compared]) -> tuple[list[Side], list[Side]]:
    return [one.left for one in compared], [one.right for one in compared]
