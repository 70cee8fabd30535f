"""Compare two answers to one query."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from .answers import Answer, AnswerFile, batches_of
from .columns import ColumnPair, match_columns
from .leftovers import explain_leftovers
from .order import compare_order, excuse_ties, is_ambiguous, order_pairs
from .pairing import pair_rows
from .rules import Comparison, Difference, DifferenceKind, Rule, Rules, Verdict
from .workspace import MEMORY, Workspace, opened_workspace

__all__ = ["Comparer", "compare_results"]


class Comparer:
    """Compares many pairs of answers, one after the other, in one database.

    Parameters
    ----------
    memory
        Most memory of the database, such as ``"192MB"``; the rest is on disk.
    """

    def __init__(self, memory: str = MEMORY) -> None:
        self._memory = memory
        self._stack = ExitStack()
        self._space = self._stack.enter_context(opened_workspace(memory))

    def compare(self, left: Answer, right: Answer, rules: Rules | None = None) -> Comparison:
        """Compare two answers; see `compare_results`."""
        if _are_same(left, right):
            rows = getattr(left, "num_rows", None)
            return Comparison(Verdict.EQUAL, rows_left=rows, rows_right=rows)
        self._space.clear()
        with self._space.bounded(self._memory):
            return _Comparing(self._space, rules or Rules()).compare(left, right)

    def close(self) -> None:
        """Remove the database."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def compare_results(left: Answer, right: Answer, rules: Rules | None = None, *, memory: str = MEMORY) -> Comparison:
    """Compare two answers, as sets in which a row may occur several times.

    Parameters
    ----------
    left, right
        Tables or readers of Arrow, or files of a recording; they may be larger than the memory.
    rules
        What is taken for equal; None: `Rules()`.
    memory
        Most memory of the database that compares, such as ``"192MB"``; the rest is on disk.

    Returns
    -------
    Comparison
        Equal only if each row of one answer has a row of its own in the other that is equal to it under the rules.

    Raises
    ------
    UnreadableAnswerError
        If a file of a recording is not of its format.
    ComparisonError
        If the database needs more memory, or there is no space for its temporary files.

    Examples
    --------
    >>> import pyarrow as pa
    >>> one = pa.table({"id": [1, 2], "mag": pa.array([20.1, None], pa.float32())})
    >>> other = pa.table({"ID": [2, 1], "mag": [None, 20.1001]})
    >>> print(compare_results(one, other))
    equal within rules; rules used: names of columns (1), FLOAT (1), order not asked for (2)
    >>> print(compare_results(one, one.slice(1)))
    different; rules used: order not asked for (1); row count: 1; rows only left: 1
    """
    with Comparer(memory) as comparer:
        return comparer.compare(left, right, rules)


def _are_same(left: Answer, right: Answer) -> bool:
    """Tell whether two tables in memory are the same without any rule, row by row."""
    if isinstance(left, AnswerFile) or isinstance(right, AnswerFile):
        return False
    in_memory = hasattr(left, "num_rows") and hasattr(right, "num_rows")
    return bool(in_memory and left.schema.equals(right.schema) and left.equals(right))


_EXACT: Final = frozenset({"decimal", "int64", "uint64", "boolean"})


@dataclass
class _Comparing:
    space: Workspace
    rules: Rules

    def __post_init__(self) -> None:
        self.used: Counter[Rule] = Counter()
        self.differences: list[Difference] = []
        self.notes: list[str] = []
        self.is_undecided = False
        """Whether rows differ that may differ."""

    def compare(self, left: Answer, right: Answer) -> Comparison:
        ours, theirs = batches_of(left), batches_of(right)
        matched = match_columns(ours.columns, theirs.columns, self.rules)
        self.used += matched.rules
        self.differences += matched.differences
        counts = self.space.load("left", ours), self.space.load("right", theirs)
        by_chunk = self.rules.shape.is_by(self.rules.ignored) and not self.rules.same_chunks
        if counts[0] != counts[1] and not (by_chunk and all(counts)):
            self.differences.append(Difference(DifferenceKind.ROW_COUNT, abs(counts[0] - counts[1])))
        pairs = self._settled(matched.pairs, ours.columns)
        if by_chunk:
            self._compare_undefined(pairs, counts, "The rows stand for parts of a table that only one service has")
        elif self.rules.shape.is_random:
            self._compare_undefined(pairs, counts, "The query calls a function that gives other values each time")
        elif self._is_cut(counts):
            reason = "Which rows are in the answers is not defined (LIMIT without ORDER BY)"
            self._compare_undefined(pairs, counts, reason)
        elif pairs:
            self._compare_rows(pairs)
        return self._found(counts)

    def _compare_undefined(self, pairs: tuple[ColumnPair, ...], counts: tuple[int, int], reason: str) -> None:
        """Compare rows that may be others: the same ones are equal, of others nothing can be said."""
        known = self.used.copy(), list(self.differences)
        if pairs:
            self._compare_rows(pairs)
        if len(self.differences) > len(known[1]) or counts[0] != counts[1]:
            self.used, self.differences = known
            self.notes = [f"{reason}, and they differ: only what does not depend on that was compared."]
            self.is_undecided = True

    def _compare_rows(self, pairs: tuple[ColumnPair, ...]) -> None:
        self.space.prepare(pairs, self.rules)
        found = pair_rows(self.space, pairs, self.rules)
        self.used += found.rules
        order = order_pairs(pairs, self.rules.shape)
        left_over = [] if found.is_whole else self._left_over(pairs, order)
        if left_over and not found.is_exhaustive:
            self.notes.append("Many rows differ in their numbers alone: some may have partners that were not found.")
        if left_over and order != []:
            self.notes.append("The order was not compared, because rows differ.")
            return
        descending, shown = self.rules.shape.descending, self.rules.shown
        compared = compare_order(self.space, pairs, order, found.moved, descending=descending, shown=shown)
        if compared.differences and is_ambiguous(pairs, self.rules.shape):
            self.notes.append("ORDER BY names a column that the answers hold twice: the order was not compared.")
            self.is_undecided = True
            return
        self.used += compared.rules
        self.differences += compared.differences
        self.notes += compared.notes

    def _left_over(self, pairs: tuple[ColumnPair, ...], order: list[int] | None) -> list[Difference]:
        self.used += excuse_ties(self.space, pairs, order, self.rules.shape)
        left_over = explain_leftovers(self.space, pairs, self.rules)
        self.differences += left_over
        return left_over

    def _settled(self, pairs: tuple[ColumnPair, ...], lefts: Any) -> tuple[ColumnPair, ...]:
        """Return the pairs that can be compared, with what only their values tell."""
        settled = []
        for pair in pairs:
            side = "left" if lefts[pair.left].kind in _EXACT else "right"
            is_exact = pair.is_float and pair.how.rule in {Rule.INTEGERS, Rule.DECIMALS}
            if is_exact and self.space.beyond_doubles(side, getattr(pair, side)):
                example = {"left": f"numbers of 2^53 and more stand {side}, floats on the other side"}
                self.differences.append(Difference(DifferenceKind.TYPES, 1, pair.name, (example,)))
            elif pair.how.close is Rule.DECIMALS:
                settled.append(self.space.with_margin(pair, side))
            else:
                settled.append(pair)
        return tuple(settled)

    def _is_cut(self, counts: tuple[int, int]) -> bool:
        shape = self.rules.shape
        reached = shape.limit is not None and min(counts) >= shape.limit > 0
        return self.rules.cut or (reached and not shape.order and not shape.is_one_row)

    def _found(self, counts: tuple[int, int]) -> Comparison:
        verdict = Verdict.WITHIN if self.used else Verdict.EQUAL
        if self.is_undecided:
            verdict = Verdict.NOT_COMPARED
        if self.differences:
            verdict = Verdict.DIFFERENT
        return Comparison(verdict, dict(self.used), tuple(self.differences), *counts, notes=tuple(self.notes))
