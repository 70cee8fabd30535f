"""Compare fingerprints cell by cell: where rows are missing, repeated or altered."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from math import isfinite
from typing import Any, Final

from ..recorder.errors import FormatError
from ..recorder.format import Fingerprint, Recording
from .found import Compared, Side
from .rules import Comparison, Difference, DifferenceKind, Rule, Rules, Verdict

__all__ = ["compare_fingerprints"]

_SAME_CELLS: Final = ("kind", "width_deg", "divisor", "column")
_ROUNDED_SHARE: Final = 0.5
"""Averages of FLOAT that differ a little in more cells than this were computed of rounded values."""

Cell = Mapping[str, str | None]


def compare_fingerprints(left: Recording, right: Recording, rules: Rules) -> Iterator[Compared]:
    """Yield the comparison of the fingerprints of each table of the left recording."""
    others = {one.name.casefold(): one for one in right.fingerprints()}
    for mine in left.fingerprints():
        other = others.get(mine.name.casefold())
        problem = _incomparable(mine, other)
        if problem is not None or other is None:
            comparison = Comparison(Verdict.NOT_COMPARED, notes=(problem or "",))
        else:
            comparison = _compared(left, mine, right, other, rules)
        yield Compared("fingerprints", mine.name, comparison, _side(mine), _side(other))


def _compared(left: Recording, mine: Fingerprint, right: Recording, other: Fingerprint, rules: Rules) -> Comparison:
    try:
        return _Cells(mine, rules).compare(_rows(left, mine), _rows(right, other))
    except FormatError as error:
        return Comparison(Verdict.NOT_COMPARED, notes=(str(error),))


def _incomparable(mine: Fingerprint, other: Fingerprint | None) -> str | None:
    if mine.error is not None:
        return f"The fingerprints could not be recorded: {mine.error.message}"
    if other is None:
        return "There are no fingerprints of this table on the other side."
    if other.error is not None:
        return f"The fingerprints could not be asked for on the other side: {other.error.message}"
    for what in _SAME_CELLS:
        if mine.cells.get(what) != other.cells.get(what):
            return (
                f"The cells are others: {what} {mine.cells.get(what)} against {other.cells.get(what)}. "
                "Record both sides with the same --cells box or --cells id; cells by chunk exist in one Qserv only."
            )
    return None


def _rows(recording: Recording, found: Fingerprint) -> dict[str, Cell]:
    names = [one.name.casefold() for one in found.fields]
    return {str(row[0]): dict(zip(names, row, strict=True)) for row in recording.rows_of(found)}


def _side(found: Fingerprint | None) -> Side:
    if found is None:
        return Side(error="there are none")
    return Side(found.rows, found.seconds, error=None if found.error is None else found.error.message)


class _Cells:
    """The cells of two fingerprints of a table."""

    def __init__(self, mine: Fingerprint, rules: Rules) -> None:
        self._mine = mine
        self._rules = rules
        self._kinds = {one.name.casefold(): one for one in mine.fields}
        self._used: Counter[Rule] = Counter()

    def compare(self, left: dict[str, Cell], right: dict[str, Cell]) -> Comparison:
        """Return what differs: cells of one side only, and fields of cells of both."""
        both = [cell for cell in left if cell in right]
        differences = [
            *self._alone(DifferenceKind.ONLY_LEFT, left, right),
            *self._alone(DifferenceKind.ONLY_RIGHT, right, left),
        ]
        for field in self._fields():
            wrong = [cell for cell in both if not self._same(field, left[cell], right[cell])]
            if self._rules.nan_is_null and wrong:
                known = [cell for cell in wrong if _is_finite(field, left[cell]) and _is_finite(field, right[cell])]
                self._used += Counter({Rule.NAN: len(wrong) - len(known)})
                wrong = known
            if self._are_rounded(field, wrong, left, right):
                self._used[Rule.FLOAT] += len(wrong)
                wrong = []
            if wrong:
                examples = [self._example(cell, left[cell][field], right[cell].get(field)) for cell in wrong]
                shown = tuple(islice(examples, self._rules.shown))
                differences.append(Difference(DifferenceKind.CELLS, len(wrong), field, shown))
        used = dict(self._used)
        verdict = Verdict.DIFFERENT if differences else Verdict.WITHIN if used else Verdict.EQUAL
        rows = [sum(int(cell["rows"] or 0) for cell in side.values()) for side in (left, right)]
        return Comparison(verdict, used, tuple(differences), rows[0], rows[1], (f"{len(both)} cells were compared.",))

    def _fields(self) -> list[str]:
        """Return the fields to compare: the average of integers says nothing that their sum does not say better."""
        sums = {name.casefold() for name in self._mine.keys}
        names = [name for name in self._kinds if name != "cell"]
        return [name for name in names if not (name.endswith(":avg") and name.removesuffix(":avg") in sums)]

    def _alone(self, kind: DifferenceKind, side: dict[str, Cell], other: dict[str, Cell]) -> list[Difference]:
        alone = [cell for cell in side if cell not in other]
        examples = [{**self._place(cell), "rows": side[cell]["rows"]} for cell in alone[: self._rules.shown]]
        return [Difference(kind, len(alone), "cell", tuple(examples))] if alone else []

    def _same(self, field: str, left: Cell, right: Cell) -> bool:
        a, b = left[field], right.get(field)
        if a == b:
            return True
        if a is None or b is None or self._kinds[field].kind not in {"float32", "float64", "decimal"}:
            return False
        return abs(float(a) - float(b)) <= self._allowed(field, left, float(a))

    def _allowed(self, field: str, left: Cell, value: float) -> float:
        """Return how far two numbers may be apart.

        An average is off by the rounding of the sums on the way: of its own size, or of the largest value, which comes
        in once among many.
        """
        name, _, what = field.rpartition(":")
        if what == "avg":
            largest = max(abs(float(left[f"{name}:{end}"] or 0)) for end in ("min", "max"))
            return self._rules.double_tolerance * (abs(value) + largest / 1000)
        single = self._kinds[field].kind == "float32"
        return (self._rules.float_tolerance if single else self._rules.double_tolerance) * abs(value)

    def _are_rounded(self, field: str, wrong: list[str], left: dict[str, Cell], right: dict[str, Cell]) -> bool:
        """Tell whether averages of FLOAT differ because the values were rounded: a little, nearly everywhere."""
        name, _, what = field.rpartition(":")
        if what != "avg" or self._kinds[f"{name}:min"].kind != "float32" or len(wrong) <= _ROUNDED_SHARE * len(left):
            return False
        tolerance = self._rules.float_tolerance / (self._rules.double_tolerance or 1.0)
        for cell in wrong:
            a, b = left[cell][field], right[cell].get(field)
            if a is None or b is None:
                return False
            if abs(float(a) - float(b)) > tolerance * self._allowed(field, left[cell], float(a)):
                return False
        return True

    def _place(self, cell: str) -> dict[str, Any]:
        """Return the name of a cell, and what part of the sky or of the ids it is."""
        kind = self._mine.cells.get("kind")
        if kind == "box" and "NULL" not in cell:
            width = float(self._mine.cells["width_deg"])
            ra, dec = (int(number) * width for number in cell.split())
            return {"cell": cell, "ra": f"{ra:g} to {ra + width:g}", "dec": f"{dec:g} to {dec + width:g}"}
        if kind == "id" and cell.lstrip("-").isdigit():
            first, count = int(cell), int(self._mine.cells["divisor"])
            return {"cell": cell, str(self._mine.cells.get("column", "id")): f"{first} to {first + count - 1}"}
        return {"cell": cell}

    def _example(self, cell: str, left: str | None, right: str | None) -> dict[str, Any]:
        return {"row": self._place(cell), "left": left, "right": right}


def _is_finite(field: str, cell: Cell) -> bool:
    """Tell whether a cell holds no infinity in a field's column, which would spoil what is told of it."""
    name = field.rpartition(":")[0]
    ends = (cell.get(f"{name}:{what}") for what in ("min", "max"))
    return all(end is None or isfinite(float(end)) for end in ends)
