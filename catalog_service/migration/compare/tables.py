"""Compare the tables of two recordings: columns, their types, numbers of rows."""

from collections.abc import Iterator, Sequence

from ..recorder.format import Recording
from ..recorder.records import Column as RecordedColumn
from ..recorder.records import Table
from .columns import Column, match_columns
from .damage import DamagedRecords
from .found import Compared, Side, named
from .rules import Comparison, Difference, DifferenceKind, Rule, Rules, Verdict

__all__ = ["compare_tables"]


def compare_tables(left: Recording, right: Recording, rules: Rules) -> Iterator[Compared]:
    """Yield the comparison of each table of the left recording with the right one's of the same name in any case."""
    damaged, unknown = DamagedRecords("table"), DamagedRecords("table")
    others = list(right.tables(unknown.add))
    for table in left.tables(damaged.add):
        other = named(others, table.name)
        comparison = _absent(table, other, unknown) or _compare(table, other or table, rules)
        yield Compared("table", table.name, comparison, _side(table), _side(other))
    yield from damaged.compared()


def _absent(table: Table, other: Table | None, unknown: DamagedRecords) -> Comparison | None:
    """Return what is to be said if one of the tables could not be read."""
    if table.error is not None:
        difference = Difference(DifferenceKind.ERROR_LEFT, 1, examples=({"error": table.error.message},))
        return Comparison(Verdict.NOT_COMPARED, differences=(difference,))
    if other is not None and other.error is None:
        return None
    message = "there is no such table" if other is None or other.error is None else other.error.message
    difference = Difference(DifferenceKind.ERROR_RIGHT, 1, examples=({"error": message},))
    if other is None and unknown.found:
        notes = tuple(f"It may be one that cannot be read: {one}" for one in unknown.found.values())
        return Comparison(Verdict.NOT_COMPARED, notes=notes)
    is_lost = other is not None and other.error is not None and other.error.kind != "refused"
    return Comparison(Verdict.NOT_COMPARED if is_lost else Verdict.DIFFERENT, differences=(difference,))


def _compare(table: Table, other: Table, rules: Rules) -> Comparison:
    matched = match_columns(_columns(table.columns), _columns(other.columns), rules)
    differences = list(matched.differences)
    used = matched.rules.copy()
    used[Rule.FLOAT] += sum(
        _are_of_two_widths(table.columns[one.left], other.columns[one.right]) for one in matched.pairs
    )
    notes = []
    if table.rows is None or other.rows is None:
        notes.append("The rows of one side were not counted.")
    elif table.rows != other.rows:
        rows = {"left": table.rows, "right": other.rows}
        differences.append(Difference(DifferenceKind.ROW_COUNT, abs(table.rows - other.rows), examples=(rows,)))
    verdict = Verdict.NOT_COMPARED if notes else Verdict.WITHIN if +used else Verdict.EQUAL
    if differences:
        verdict = Verdict.DIFFERENT
    return Comparison(verdict, dict(+used), tuple(differences), table.rows, other.rows, tuple(notes))


def _are_of_two_widths(column: RecordedColumn, other: RecordedColumn) -> bool:
    return {column.kind, other.kind} == {"float32", "float64"}


def _columns(columns: Sequence[RecordedColumn]) -> list[Column]:
    return [Column(one.name, one.kind, one.type) for one in columns]


def _side(table: Table | None) -> Side:
    if table is None:
        return Side(error="there is no such table")
    return Side(table.rows, table.seconds, error=None if table.error is None else table.error.message)
