"""Window functions: those of rows in an order, and how windows are written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..models.tree import Expr, IntegerLiteral, OrderItem, RowsFrame
from .function import Kind
from .sqltext import double

__all__ = ["ROW_FUNCTIONS", "RowFunction", "order_sql", "rows_sql"]


@dataclass(frozen=True, slots=True)
class RowFunction:
    """One function of the rows of a window that is no set function."""

    name: str
    doc: str
    params: tuple[Kind, ...] = ()
    required: int = 0
    """How many arguments it needs; it takes as many as `params` has."""
    gives_value: bool = False
    """Whether it gives a value of its first argument; otherwise a 64-bit integer."""
    ordered: bool = True
    """Whether it means nothing without ORDER BY."""


_SHIFT: Final = (Kind.ANY, Kind.DIGITS)

_ALL: Final = (
    RowFunction("row_number", "number of the row, from 1", ordered=False),
    RowFunction("rank", "1 more than the number of rows before it; equal rows share it"),
    RowFunction("dense_rank", "1 more than the number of different rows before it"),
    RowFunction("ntile", "number, from 1, of the part that the row is in, of equal parts", (Kind.DIGITS,), 1),
    RowFunction(
        "lag", "value of the row before, or so many rows before; NULL if there is none", _SHIFT, 1, gives_value=True
    ),
    RowFunction(
        "lead", "value of the row after, or so many rows after; NULL if there is none", _SHIFT, 1, gives_value=True
    ),
    RowFunction("first_value", "value of the frame's first row", (Kind.ANY,), 1, gives_value=True),
    RowFunction("last_value", "value of the frame's last row", (Kind.ANY,), 1, gives_value=True),
)

ROW_FUNCTIONS: Final[Mapping[str, RowFunction]] = {function.name: function for function in _ALL}
"""Functions by canonical name."""


def order_sql(
    order_by: Sequence[OrderItem], write: Callable[[Expr], str], columns: Sequence[str] | None = None
) -> list[str]:
    """Return ORDER BY, if any; NULLs come last in either direction unless the query says otherwise.

    Parameters
    ----------
    order_by
        Keys: expressions, or positions of result columns.
    write
        Writes an expression.
    columns
        Result columns in SQL, given where an outer join may have made the NULLs: those that come first get a key of
        their own. DuckDB 2.0 would leave out rows that cannot be among the first of a LIMIT before it joins them, so
        that their partners look as if they had none, and come first.
    """
    keys = []
    for item in order_by:
        key = str(item.expr.value) if isinstance(item.expr, IntegerLiteral) else write(item.expr)
        if columns is not None and item.nulls_first:
            value = columns[item.expr.value - 1] if isinstance(item.expr, IntegerLiteral) else key
            keys.append(f"({value} IS NULL) DESC")
        direction = "DESC" if item.descending else "ASC"
        keys.append(f"{key} {direction} NULLS {'FIRST' if item.nulls_first else 'LAST'}")
    return [f"ORDER BY {', '.join(keys)}"] if keys else []


def rows_sql(rows: RowsFrame | None) -> list[str]:
    """Return a window's frame, if it has one.

    >>> rows_sql(RowsFrame(-2, None))
    ['ROWS BETWEEN 2 PRECEDING AND UNBOUNDED FOLLOWING']
    """
    if rows is None:
        return []
    start = "UNBOUNDED PRECEDING" if rows.start is None else _bound(rows.start)
    stop = "UNBOUNDED FOLLOWING" if rows.stop is None else _bound(rows.stop)
    return [f"{'RANGE' if rows.by_value else 'ROWS'} BETWEEN {start} AND {stop}"]


def _bound(distance: float) -> str:
    if distance == 0:
        return "CURRENT ROW"
    number = double(abs(distance)) if isinstance(distance, float) else str(abs(distance))
    return f"{number} {'PRECEDING' if distance < 0 else 'FOLLOWING'}"
