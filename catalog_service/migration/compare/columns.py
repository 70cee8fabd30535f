"""Which column of one answer is which of the other, and how their values are compared."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from .rules import Difference, DifferenceKind, Rule, Rules

__all__ = ["Column", "ColumnPair", "How", "Matched", "match_columns"]

_PLAIN_NAME: Final = re.compile(r"\w+")
_WHOLE: Final = frozenset({"int64", "uint64", "boolean"})
_FLOATS: Final = frozenset({"float32", "float64"})
_NUMBERS: Final = _WHOLE | _FLOATS | {"decimal"}
_TIMES: Final = frozenset({"timestamp", "text"})


@dataclass(frozen=True)
class Column:
    """A column of an answer."""

    name: str
    kind: str
    """A kind of the recordings' format, or ``null`` if all that is known is that its values are NULL."""
    width: str = ""
    """What the source calls the type, or its name in Arrow."""


@dataclass(frozen=True)
class How:
    """How the values of a pair of columns are compared."""

    values: str
    """``whole``, ``huge``, ``decimal``, ``float``, ``single``, ``folded``, ``time`` or ``text``."""
    tolerance: float = 0.0
    """Relative."""
    rule: Rule | None = None
    """The rule that lets these two types be compared."""
    margin: float = 0.0
    """Absolute: half a unit of the last digit of a decimal."""
    close: Rule = Rule.DOUBLE
    """The rule under which values within the tolerance are equal."""
    is_single: bool = False
    """Whether one of the two is a FLOAT."""


@dataclass(frozen=True)
class ColumnPair:
    """Two columns that hold the same, by their numbers in the answers."""

    name: str
    """The left one's, with a number if it is not the first of this name."""
    left: int
    right: int
    how: How

    @property
    def is_float(self) -> bool:
        """Whether values may differ within a tolerance."""
        return self.how.values in {"float", "single"}


@dataclass(frozen=True)
class Matched:
    """The pairs of columns, and what was found on the way."""

    pairs: tuple[ColumnPair, ...]
    rules: Counter[Rule]
    differences: tuple[Difference, ...]


def match_columns(left: Sequence[Column], right: Sequence[Column], rules: Rules) -> Matched:
    """Pair the columns of two answers.

    By name; then by name in any case; then what is left at the same place, if it is no plain name on one side: programs
    name an expression without an alias as they like. The first of several columns of one name goes with the first.
    """
    pairing = _Pairing(left, right, rules)
    pairing.by_name(str, None)
    pairing.by_name(str.casefold, Rule.NAMES)
    pairing.expressions()
    differences = pairing.unpaired()
    pairs: list[ColumnPair] = []
    for i, j in sorted(pairing.found.items()):
        how = how_to_compare(left[i], right[j], rules)
        if how is None:
            types = {"left": _type(left[i]), "right": _type(right[j])}
            differences.append(Difference(DifferenceKind.TYPES, 1, left[i].name, (types,)))
            continue
        if how.rule is not None:
            pairing.used[how.rule] += 1
        earlier = sum(pair.name == left[i].name for pair in pairs)
        pairs.append(ColumnPair(left[i].name + (f" ({earlier + 1})" if earlier else ""), i, j, how))
    places = list(dict(sorted(pairing.found.items())).values())
    if places != sorted(places):
        pairing.used[Rule.COLUMNS] += sum(place != at for place, at in zip(places, sorted(places), strict=True))
    return Matched(tuple(pairs), pairing.used, tuple(differences))


class _Pairing:
    """Pairs of columns as they are found."""

    def __init__(self, left: Sequence[Column], right: Sequence[Column], rules: Rules) -> None:
        self.left, self.right = left, right
        self._unnamed = rules.shape.unnamed
        self.used: Counter[Rule] = Counter()
        self.found: dict[int, int] = {}
        self._lefts, self._rights = (_compared(columns, rules) for columns in (left, right))
        ignored = max(len(left) - len(self._lefts), len(right) - len(self._rights))
        if ignored:
            self.used[Rule.IGNORED] = ignored

    def by_name(self, form: Callable[[str], str], rule: Rule | None) -> None:
        """Pair columns whose names have the same form."""
        for i in list(self._lefts):
            name = form(self.left[i].name)
            same = next((j for j in self._rights if form(self.right[j].name) == name), None)
            if same is not None:
                self._take(i, same, rule)

    def expressions(self) -> None:
        """Pair expressions without a name by their place."""
        if len(self.left) == len(self.right):
            for i in [i for i in self._lefts if i in self._rights]:
                are_plain = _PLAIN_NAME.fullmatch(self.left[i].name) and _PLAIN_NAME.fullmatch(self.right[i].name)
                if i in self._unnamed or not are_plain:
                    self._take(i, i, Rule.NAMES)

    def unpaired(self) -> list[Difference]:
        """Return what has no partner."""
        missing = [Difference(DifferenceKind.MISSING_COLUMN, 1, self.left[i].name) for i in self._lefts]
        return missing + [Difference(DifferenceKind.EXTRA_COLUMN, 1, self.right[j].name) for j in self._rights]

    def _take(self, i: int, j: int, rule: Rule | None) -> None:
        self._lefts.remove(i)
        self._rights.remove(j)
        self.found[i] = j
        if rule is not None:
            self.used[rule] += 1


def _compared(columns: Sequence[Column], rules: Rules) -> list[int]:
    return [number for number, column in enumerate(columns) if column.name.casefold() not in rules.ignored]


def _type(column: Column) -> str:
    return f"{column.kind} ({column.width})" if column.width else column.kind


def how_to_compare(left: Column, right: Column, rules: Rules) -> How | None:
    """Return how to compare two columns by their kinds; None if their types say different things."""
    kinds = {left.kind, right.kind} - {"null"}
    if kinds <= {"text"}:
        return How("folded" if rules.collation else "text")
    if kinds <= _WHOLE:
        rule = None if len(kinds) == 1 else Rule.FLAGS if "boolean" in kinds else Rule.INTEGERS
        return How("huge" if "uint64" in kinds else "whole", rule=rule)
    if kinds <= _NUMBERS:
        return _numbers(kinds, rules)
    if kinds <= _TIMES:
        return How("time", rule=None if len(kinds) == 1 else Rule.TIMESTAMPS)
    return How("text") if len(kinds) == 1 else None


def _numbers(kinds: set[str], rules: Rules) -> How:
    if not kinds & _FLOATS:
        return How("decimal", rule=None if len(kinds) == 1 else Rule.DECIMALS)
    if kinds & _WHOLE:
        return How("float", rule=Rule.INTEGERS)
    form = "single" if kinds == {"float32"} else "float"
    is_single = "float32" in kinds
    tolerance, close = (rules.float_tolerance, Rule.FLOAT) if is_single else (rules.double_tolerance, Rule.DOUBLE)
    if "decimal" in kinds:
        return How(form, tolerance, Rule.DECIMALS, rules.margin, Rule.DECIMALS, is_single)
    return How(form, tolerance, margin=rules.margin, close=close)
