"""Compare fingerprints cell by cell: where rows are missing, repeated or altered."""

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from math import isfinite, sqrt
from typing import Any, Final

from ..recorder.errors import FormatError
from ..recorder.format import Recording
from ..recorder.records import Fingerprint
from .damage import DamagedRecords
from .found import Compared, Side, named
from .rules import Comparison, Difference, DifferenceKind, Rule, Rules, Verdict

__all__ = ["compare_fingerprints"]

_SAME_CELLS: Final = ("kind", "width_deg", "divisor", "column", "ra", "dec")
_ROUNDED_SHARE: Final = 0.5
"""Averages of FLOAT that differ a little in more cells than this were computed of rounded values."""
_FEWEST_ROUNDED: Final = 5
"""Cells that must differ so: in fewer, a single altered row looks the same."""
_FOUR_SIGMA: Final = 4 / sqrt(3)
"""Of an error that is anywhere within its bounds, as rounding is."""

_TOO_FEW: Final = (
    "the averages differ by no more than rounding to six digits explains, in too few cells to tell that from an "
    "altered row. Record both sides with smaller cells (--cells remainder, --box-deg)."
)

Cell = Mapping[str, str | None]


def compare_fingerprints(left: Recording, right: Recording, rules: Rules) -> Iterator[Compared]:
    """Yield the comparison of the fingerprints of each table of the left recording."""
    damaged = DamagedRecords("fingerprints")
    others = list(right.fingerprints(lambda *_: None))
    counts = [list(each.tables(lambda *_: None)) for each in (left, right)]
    for mine in left.fingerprints(damaged.add):
        other = named(others, mine.name)
        problem = _incomparable(mine, other)
        if problem is not None or other is None:
            comparison = Comparison(Verdict.NOT_COMPARED, notes=(problem or "",))
        else:
            tables = (named(each, mine.name) for each in counts)
            rows = [None if table is None else table.rows for table in tables]
            comparison = _compared((left, mine, rows[0]), (right, other, rows[1]), rules)
        yield Compared("fingerprints", mine.name, comparison, _side(mine), _side(other))
    yield from damaged.compared()


_Recorded = tuple[Recording, Fingerprint, int | None]
"""Fingerprints, where they are, and the rows of their table, if it was counted."""


def _compared(left: _Recorded, right: _Recorded, rules: Rules) -> Comparison:
    """Return the comparison of two fingerprints whose cells are the same; a damaged one cannot be compared."""
    (ours, mine, count), (theirs, other, others_count) = left, right
    try:
        cells = _rows(ours, mine), _rows(theirs, other)
        found = _Cells(mine, rules).compare(*cells)
        gaps = [*_gap("left", mine, count, found.rows_left), *_gap("right", other, others_count, found.rows_right)]
    except (FormatError, ValueError, ArithmeticError, KeyError, OSError, EOFError, zlib.error) as error:
        return Comparison(Verdict.NOT_COMPARED, notes=(f"The fingerprints cannot be read: {error}",))
    verdict = Verdict.NOT_COMPARED if gaps and found.is_equal else found.verdict
    return replace(found, verdict=verdict, notes=(*found.notes, *gaps))


def _gap(side: str, found: Fingerprint, count: int | None, rows: int | None) -> Iterator[str]:
    """Yield what is to be said if the cells do not hold all rows of the table."""
    for what, expected in (("record of the fingerprints", found.rows), ("table", count)):
        if expected is not None and expected != rows:
            yield f"The cells hold {rows} rows {side}, the {what} {expected}: record them again."


def _incomparable(mine: Fingerprint, other: Fingerprint | None) -> str | None:
    if mine.error is not None:
        return f"The fingerprints could not be recorded: {mine.error.message}"
    if other is None:
        return "There are no fingerprints of this table on the other side."
    if other.error is not None:
        return f"The fingerprints could not be asked for on the other side: {other.error.message}"
    for what in _SAME_CELLS:
        if str(mine.cells.get(what)).casefold() != str(other.cells.get(what)).casefold():
            return (
                f"The cells are others: {what} {mine.cells.get(what)} against {other.cells.get(what)}. "
                "Record both sides with the same --cells box or --cells id; cells by chunk exist in one Qserv only."
            )
    if mine.prime != other.prime:
        return f"The sums of ids are others: modulo {mine.prime} against {other.prime}."
    return None


def _rows(recording: Recording, found: Fingerprint) -> dict[str, Cell]:
    names = [one.name.casefold() for one in found.fields]
    path = recording.rows_path(found)
    if path.stat().st_size == 0:
        raise FormatError(f"{path.name} is empty.")
    cells: dict[str, Cell] = {}
    for row in recording.rows_of(found):
        if str(row[0]) in cells:
            raise FormatError(f"the cell {row[0]} of {found.name} stands there twice.")
        cells[str(row[0])] = dict(zip(names, row, strict=True))
    return cells


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
        undecided: list[str] = []
        for field in self._fields():
            wrong = [cell for cell in both if not self._same(field, left[cell], right[cell])]
            if self._rules.nan_is_null and wrong:
                known = [cell for cell in wrong if _is_finite(field, left[cell]) and _is_finite(field, right[cell])]
                self._used += Counter({Rule.NAN: len(wrong) - len(known)})
                wrong = known
            if len(wrong) > _ROUNDED_SHARE * len(left) and self._may_be_rounded(field, wrong, left, right):
                if len(left) < _FEWEST_ROUNDED:
                    undecided.append(field)
                    wrong = []
                elif len(wrong) >= _FEWEST_ROUNDED:
                    self._used[Rule.FLOAT] += len(wrong)
                    wrong = []
            if wrong:
                examples = [self._example(cell, left[cell][field], right[cell].get(field)) for cell in wrong]
                shown = tuple(islice(examples, self._rules.shown))
                differences.append(Difference(DifferenceKind.CELLS, len(wrong), field, shown))
        used = dict(self._used)
        verdict = Verdict.NOT_COMPARED if undecided else Verdict.WITHIN if used else Verdict.EQUAL
        if differences:
            verdict = Verdict.DIFFERENT
        notes = [f"{len(both)} cells were compared.", *(f"{field}: {_TOO_FEW}" for field in undecided)]
        rows = [sum(int(cell["rows"] or 0) for cell in side.values()) for side in (left, right)]
        return Comparison(verdict, used, tuple(differences), rows[0], rows[1], tuple(notes))

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
        kind = self._kinds[field].kind
        if a is None or b is None or kind not in {"float32", "float64", "decimal"}:
            return False
        if kind == "decimal":
            return Decimal(a) == Decimal(b)
        x, y = float(a), float(b)
        if x == y:
            return True
        if not (isfinite(x) and isfinite(y) and abs(x - y) <= self._allowed(field, left, x)):
            return False
        self._used[Rule.FLOAT if kind == "float32" else Rule.DOUBLE] += 1
        return True

    def _allowed(self, field: str, left: Cell, value: float) -> float:
        """Return how far two finite numbers may be apart.

        An average is off by the rounding of the sums on the way: of its own size, or of the largest value, which comes
        in once among many.
        """
        if field.endswith(":avg"):
            return self._rules.double_tolerance * (abs(value) + self._largest(field, left) / 1000)
        single = self._kinds[field].kind == "float32"
        return (self._rules.float_tolerance if single else self._rules.double_tolerance) * abs(value)

    def _largest(self, field: str, cell: Cell) -> float:
        """Return the largest finite value of a field's column in a cell."""
        name = field.rpartition(":")[0]
        ends = [abs(float(cell[f"{name}:{end}"] or 0)) for end in ("min", "max")]
        return max((one for one in ends if isfinite(one)), default=0.0)

    def _may_be_rounded(self, field: str, wrong: list[str], left: dict[str, Cell], right: dict[str, Cell]) -> bool:
        """Tell whether averages of FLOAT differ by no more than rounding of the values explains."""
        name, _, what = field.rpartition(":")
        if what != "avg" or self._kinds[f"{name}:min"].kind != "float32":
            return False
        for cell in wrong:
            a, b = left[cell][field], right[cell].get(field)
            if a is None or b is None:
                return False
            off = abs(float(a) - float(b))
            if not (isfinite(off) and off <= self._rounding(field, left[cell])):
                return False
        return True

    def _rounding(self, field: str, cell: Cell) -> float:
        """Return how far the average of a cell is off at most if its values were rounded to the digits of FLOAT.

        A value is off by a quarter of the tolerance (six digits: 5e-6 of 2e-5); of many, the errors cancel.
        """
        name = field.rpartition(":")[0]
        count = int(cell["rows"] or 0) - int(cell[f"{name}:nulls"] or 0)
        one = self._rules.float_tolerance / 4 * self._largest(field, cell)
        return one * min(1.0, _FOUR_SIGMA / sqrt(max(count, 1)))

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
