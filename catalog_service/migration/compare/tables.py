"""Compare the tables of two recordings: columns, their types, numbers of rows."""

from collections.abc import Iterator, Sequence

from ..recorder.format import Column as RecordedColumn
from ..recorder.format import Recording, Table
from .columns import Column, match_columns
from .found import Compared, Side
from .rules import Comparison, Difference, DifferenceKind, Rules, Verdict

__all__ = ["compare_tables"]


def compare_tables(left: Recording, right: Recording, rules: Rules) -> Iterator[Compared]:
    """Yield the comparison of each table of the left recording with the right one's of the same name in any case."""
    others = {one.name.casefold(): one for one in right.tables()}
    for table in left.tables():
        other = others.get(table.name.casefold())
        comparison = _absent(table, other) or _compare(table, other or table, rules)
        yield Compared("table", table.name, comparison, _side(table), _side(other))


def _absent(table: Table, other: Table | None) -> Comparison | None:
    """Return what is to be said if one of the tables could not be read."""
    if table.error is not None:
        difference = Difference(DifferenceKind.ERROR_LEFT, 1, examples=({"error": table.error.message},))
        return Comparison(Verdict.NOT_COMPARED, differences=(difference,))
    if other is None or other.error is not None:
        message = "there is no such table" if other is None or other.error is None else other.error.message
        difference = Difference(DifferenceKind.ERROR_RIGHT, 1, examples=({"error": message},))
        return Comparison(Verdict.DIFFERENT, differences=(difference,))
    return None


def _compare(table: Table, other: Table, rules: Rules) -> Comparison:
    matched = match_columns(_columns(table.columns), _columns(other.columns), rules)
    differences = list(matched.differences)
    notes = []
    if table.rows is None or other.rows is None:
        notes.append("The rows of one side were not counted.")
    elif table.rows != other.rows:
        rows = {"left": table.rows, "right": other.rows}
        differences.append(Difference(DifferenceKind.ROW_COUNT, abs(table.rows - other.rows), examples=(rows,)))
    verdict = Verdict.DIFFERENT if differences else Verdict.WITHIN if matched.rules else Verdict.EQUAL
    return Comparison(verdict, dict(matched.rules), tuple(differences), table.rows, other.rows, tuple(notes))


def _columns(columns: Sequence[RecordedColumn]) -> list[Column]:
    return [Column(one.name, one.kind, one.type) for one in columns]


def _side(table: Table | None) -> Side:
    if table is None:
        return Side(error="there is no such table")
    return Side(table.rows, table.seconds, error=None if table.error is None else table.error.message)
