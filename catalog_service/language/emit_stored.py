"""Conditions for the scan of an adopted table, beside the guarded ones of the query.

A guarded column (``CASE WHEN isfinite(x) ...``) hides from DuckDB that ``x > 25`` rules out whole row groups. So each
comparison of such a column with a constant that WHERE demands stands beside it in the scan, on the bare column. That
is right however DuckDB compares NaN: of rows with a number the bare comparison keeps just those that the guarded one
keeps, and a row with NaN is dropped by the guarded one. Nor can an outer join tell: a row that the scan leaves out
could be part of a result row only where WHERE drops it.
"""

from collections.abc import Iterator

from ..models.schema import Column
from ..models.tree import (
    Between,
    ColumnRef,
    Comparison,
    Expr,
    IntegerLiteral,
    RealLiteral,
    Select,
)
from ..models.walk import base_tables, conjuncts
from .emit_expr import ExpressionWriter
from .sqltext import quoted

__all__ = ["StoredColumnWriter", "stored_conditions"]


class StoredColumnWriter(ExpressionWriter):
    """Writes expressions of one table for the scan of its files, in which columns have their stored names."""

    def _column(self, reference: ColumnRef) -> str:
        return quoted(reference.column.stored_name or reference.column.name)


def stored_conditions(select: Select) -> Iterator[tuple[int, Expr]]:
    """Yield (source, condition) for the comparisons of guarded columns with constants that WHERE demands.

    Those of columns of outer queries say nothing of all rows there.
    """
    own = {table.source for table in base_tables(select.source)}
    for condition in conjuncts(select.where):
        match condition:
            case Comparison(left=ColumnRef() as column, right=IntegerLiteral() | RealLiteral()):
                pass
            case Between(operand=ColumnRef() as column, low=low, high=high, negated=False) if isinstance(
                low, IntegerLiteral | RealLiteral
            ) and isinstance(high, IntegerLiteral | RealLiteral):
                pass
            case _:
                continue
        if column.source in own and _is_guarded(column.column):
            yield column.source, condition


def _is_guarded(column: Column) -> bool:
    return column.may_be_nan and not column.is_mixed and not column.is_array
