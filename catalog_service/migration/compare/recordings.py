"""Compare two recordings: tables, answers and fingerprints."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ComparisonError, UnreadableAnswerError
from ..recorder.errors import FormatError
from ..recorder.format import Recording
from ..recorder.records import Answer, Failure, Header, expected_rows
from .answers import AnswerFile
from .columns import Column
from .damage import DamagedRecords, unanswered, unrecorded
from .fingerprints import compare_fingerprints
from .found import Compared, Report, Side
from .results import Comparer
from .rules import Comparison, Difference, DifferenceKind, Rule, Rules, Verdict
from .shape import shape_of
from .tables import compare_tables
from .words import words_of

__all__ = ["compare_recordings"]

_MISSING = Failure("missing", "the query was not asked there")


def compare_recordings(
    left: Path, right: Path, rules: Rules | None = None, *, say: Callable[[Compared], object] = lambda _: None
) -> Report:
    """Compare all that was recorded of one service with what was recorded of another.

    Parameters
    ----------
    left
        Recording of the service that is taken for right.
    right
        Recording of the other; what only it holds is not looked at.
    rules
        What is taken for equal; order, limit and keys come from queries and tables.
    say
        Told of each comparison.

    Raises
    ------
    ComparisonError
        If one of the directories holds no recording.
    """
    ours, theirs = Recording(left), Recording(right)
    try:
        headers = _header(ours), _header(theirs)
        same_chunks = all(one.source.kind == "mysql" for one in headers)
        rules = replace(rules or Rules(), same_chunks=same_chunks)
        compared = []
        with Comparer() as comparer:
            for found in _Recordings(ours, theirs, rules, comparer).all():
                say(found)
                compared.append(found)
    except FormatError as error:
        raise ComparisonError(str(error)) from error
    names = [f"{one.source.address} ({one.source.server})" for one in headers]
    return Report(names[0], f"{names[1]}, {_taken(theirs, headers[1])}", tuple(compared))


def _header(recording: Recording) -> Header:
    try:
        return recording.header()
    except (KeyError, TypeError) as error:
        raise FormatError(f"recording.json of {recording.directory} is damaged: {error!r}.") from error


def _taken(recording: Recording, header: Header) -> str:
    """Return when answers were taken: a service may answer otherwise since."""
    times = [one.started for one in recording.answers(lambda *_: None)] or [header.started]
    first, last = min(times), max(times)
    return f"answers taken {first}" + (f" to {last}" if last != first else "")


@dataclass(frozen=True)
class _Recordings:
    """Two recordings, and how they are compared."""

    left: Recording
    right: Recording
    rules: Rules
    comparer: Comparer

    def all(self) -> Iterator[Compared]:
        yield from compare_tables(self.left, self.right, self.rules)
        yield from self.answers()
        yield from compare_fingerprints(self.left, self.right, self.rules)
        yield from unrecorded(self.left)

    def answers(self) -> Iterator[Compared]:
        damaged = DamagedRecords("answer")
        others = list(self.right.answers(lambda *_: None))
        exact = {(one.lang, one.query): one for one in others}
        by_words = {words_of(one.query, one.lang): one for one in others}
        known = set()
        for answer in self.left.answers(damaged.add):
            known.add((answer.lang, answer.query))
            same = exact.get((answer.lang, answer.query))
            other = same or by_words.get(words_of(answer.query, answer.lang))
            sides = _side(answer), Side(error=_said(_MISSING)) if other is None else _side(other)
            yield Compared(
                "answer", answer.id, self.answer(answer, other), *sides, answer.query, answer.lang, answer.use_case
            )
        yield from damaged.compared()
        yield from unanswered(self.left, known)

    def answer(self, answer: Answer, other: Answer | None) -> Comparison:
        if other is None or answer.error or other.error:
            return _failed(answer.error, _MISSING if other is None else other.error)
        if _are_same(answer, other):
            return self._checked(answer, other)
        rules = replace(self.rules, shape=shape_of(answer.query, answer.lang), cut=answer.overflow and other.overflow)
        try:
            found = self.comparer.compare(_rows(self.left, answer), _rows(self.right, other), rules)
        except (UnreadableAnswerError, ComparisonError, FormatError) as error:
            return Comparison(Verdict.NOT_COMPARED, notes=(str(error),))
        if (found.rows_left, found.rows_right) != (answer.rows, other.rows):
            note = f"The files hold {found.rows_left} and {found.rows_right} rows, not {answer.rows} and {other.rows}."
            return Comparison(Verdict.NOT_COMPARED, notes=(note,))
        if answer.overflow == other.overflow:
            return found
        cut = {"cut": "left" if answer.overflow else "right"}
        truncated = Difference(DifferenceKind.TRUNCATED, 1, examples=(cut,))
        return replace(found, verdict=Verdict.DIFFERENT, differences=(truncated, *found.differences))

    def _checked(self, answer: Answer, other: Answer) -> Comparison:
        """Return that two answers of one digest are equal, unless the files are no longer those that were recorded."""
        try:
            self.left.check_rows(answer)
            self.right.check_rows(other)
        except FormatError as error:
            return Comparison(Verdict.NOT_COMPARED, notes=(str(error),))
        return Comparison(Verdict.EQUAL, rows_left=answer.rows, rows_right=other.rows)


def _are_same(answer: Answer, other: Answer) -> bool:
    """Tell whether two answers are the same without any rule, byte by byte."""
    kinds = [[(column.name, column.kind) for column in one.columns] for one in (answer, other)]
    same = (answer.sha256, answer.overflow) == (other.sha256, other.overflow)
    return answer.sha256 is not None and same and kinds[0] == kinds[1]


def _failed(left: Failure | None, right: Failure | None) -> Comparison:
    """Return what is to be said of errors: a refusal is an answer, and the other side's is compared with it."""
    if left and right:
        both = Difference(DifferenceKind.ERROR_BOTH, 1, examples=({"left": _said(left), "right": _said(right)},))
        if left.kind == right.kind == "refused":
            return Comparison(Verdict.WITHIN, {Rule.BOTH_REFUSED: 1}, notes=(str(both.examples[0]),))
        return Comparison(Verdict.NOT_COMPARED, differences=(both,))
    kind, failure = (DifferenceKind.ERROR_LEFT, left) if left else (DifferenceKind.ERROR_RIGHT, right)
    difference = Difference(kind, 1, examples=({"error": _said(failure)},))
    is_different = failure is right and failure is not None and failure.kind in {"refused", "too large"}
    return Comparison(Verdict.DIFFERENT if is_different else Verdict.NOT_COMPARED, differences=(difference,))


def _rows(recording: Recording, answer: Answer) -> AnswerFile:
    # of a column of NULL alone MySQL tells no other type
    columns = [Column(one.name, "null" if one.type == "null" else one.kind, one.type) for one in answer.columns]
    return AnswerFile(recording.rows_path(answer), columns, expected_rows(answer))


def _side(answer: Answer) -> Side:
    return Side(answer.rows, answer.seconds, answer.seconds_to_first_row, answer.bytes, _said(answer.error))


def _said(failure: Failure | None) -> str | None:
    return None if failure is None else f"{failure.kind}: {failure.message}"
