"""Which files the manifest's statistics of columns leave out.

A condition may hold in a file unless the file's minima, maxima and NULLs exclude it; what is not recognised may hold
anywhere. Comparisons mean what the emitted SQL says: numbers are compared exactly, 32-bit floats as the doubles they
are, or, where SQL rounds large integers to doubles, in a way that holds for the rounded and the exact comparison.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from partitioning.layout.partition_map import PartitionMap
from partitioning.layout.statistics import FileStatistics, microseconds

from ..models.query import ResolvedQuery
from ..models.schema import Column, DataType, Table
from ..models.statistics import StatisticsKey
from ..models.stored import StoredTable
from ..models.tree import (
    And,
    Between,
    BooleanLiteral,
    Cast,
    ColumnRef,
    Comparison,
    Expr,
    FromItem,
    InList,
    IntegerLiteral,
    IsNull,
    Join,
    Not,
    Or,
    RealLiteral,
    Select,
    StringLiteral,
    Unary,
)
from ..models.walk import base_tables, walk

__all__ = ["constrained", "may_hold", "rejects_null", "statistics_key", "wanted_statistics"]

Mask = NDArray[np.bool_]
"""Of files, shape ``(N,)``."""

Statistics = Mapping[str, FileStatistics]
"""Of one table, by the name that queries know of the column."""

_OPPOSITE: Final = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRRORED: Final = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

_MOMENT: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?")

_LONG_MIN: Final = -(2**63)
_LONG_MAX: Final = 2**63 - 1

_MOST_ITEMS: Final = 10_000
"""Longer lists of IN are not looked at: where there are more, reading more tiles is hardly slower."""


def wanted_statistics(query: ResolvedQuery, lookup: Callable[[Table], StoredTable]) -> tuple[StatisticsKey, ...]:
    """Return the columns whose statistics may leave out files of the tables of `query`; each once."""
    found: dict[StatisticsKey, None] = {}
    for node in walk(query.tree):
        if isinstance(node, Select) and node.source is not None:
            tables = {ref.source: lookup(ref.table) for ref in base_tables(node.source)}
            for condition in (node.where, *_on_clauses(node.source)):
                for source, column in () if condition is None else constrained(condition):
                    key = statistics_key(tables[source], column) if source in tables else None
                    if key is not None:
                        found[key] = None
    return tuple(found)


def statistics_key(stored: StoredTable, column: Column) -> StatisticsKey | None:
    """Return how the statistics of a column are found; None where there are none that say anything.

    Files that were adopted may have changed or hold NaN; one file is read anyway.
    """
    if not isinstance(stored.partitions, PartitionMap) or len(stored.partitions) < 2 or column.is_array:
        return None
    if column.is_mixed or column.may_be_nan:
        return None
    return StatisticsKey(stored.directory, column.stored_name or column.name, len(stored.partitions))


def constrained(condition: Expr) -> Iterator[tuple[int, Column]]:
    """Yield (source, column) of each comparison of a column with constants in `condition`."""
    match condition:
        case And(operands=operands) | Or(operands=operands):
            for operand in operands:
                yield from constrained(operand)
        case Not(operand=operand):
            yield from constrained(operand)
        case _:
            column = _tested_column(condition)
            if column is not None:
                yield column.source, column.column


def may_hold(condition: Expr, source: int, statistics: Statistics, files: int) -> Mask:
    """Return the files of the table `source` in which some row may satisfy `condition`.

    Parameters
    ----------
    condition
        A resolved condition, of any tables.
    statistics
        What is known of the table's columns; columns that are not in it may hold anything.
    files
        Number of its files.

    Returns
    -------
    numpy.ndarray
        Booleans of shape ``(files,)``; true wherever a row of the file makes the condition true.
    """
    return _may(condition, source, statistics, files, negated=False)


def rejects_null(condition: Expr, source: int) -> bool:
    """Return whether `condition` is never true of a row in which all columns of `source` are NULL."""
    return not _null_may_hold(condition, source, negated=False)


def _may(condition: Expr, source: int, statistics: Statistics, files: int, *, negated: bool) -> Mask:
    match condition:
        case And(operands=operands) | Or(operands=operands):
            parts = [_may(operand, source, statistics, files, negated=negated) for operand in operands]
            join = np.logical_and if isinstance(condition, And) != negated else np.logical_or
            return reduce(join, parts)
        case Not(operand=operand):
            return _may(operand, source, statistics, files, negated=not negated)
        case _:
            column = _tested_column(condition)
            known = None if column is None or column.source != source else statistics.get(column.column.name)
            return np.ones(files, dtype=np.bool_) if known is None else _atom(condition, known, negated=negated)


def _null_may_hold(condition: Expr, source: int, *, negated: bool) -> bool:
    match condition:
        case And(operands=operands) | Or(operands=operands):
            parts = (_null_may_hold(operand, source, negated=negated) for operand in operands)
            return all(parts) if isinstance(condition, And) != negated else any(parts)
        case Not(operand=operand):
            return _null_may_hold(operand, source, negated=not negated)
        case IsNull(negated=is_not):
            column = _tested_column(condition)
            return column is None or column.source != source or is_not == negated
        case _:
            column = _tested_column(condition)
            return column is None or column.source != source


# --- one condition of one column --------------------------------------------------------------------


def _tested_column(condition: Expr) -> ColumnRef | None:
    """Return the column that `condition` compares with constants; None if it is another condition."""
    match condition:
        case ColumnRef():
            return condition if condition.column.datatype is DataType.BOOLEAN else None
        case IsNull(operand=operand):
            return _column(operand)
        case Comparison(op=op, left=left, right=right) if op in _OPPOSITE:
            column, constants = (_column(left), [right]) if _column(left) is not None else (_column(right), [left])
        case Between(operand=operand, low=low, high=high):
            column, constants = _column(operand), [low, high]
        case InList(operand=operand, items=items) if len(items) <= _MOST_ITEMS:
            column, constants = _column(operand), list(items)
        case _:
            return None
    if column is None or any(_constant(constant, column.column) is None for constant in constants):
        return None
    return column


def _column(expr: Expr) -> ColumnRef | None:
    """Return a column, also of a boolean as the integer that it is compared as."""
    match expr:
        case Cast(operand=ColumnRef(column=column) as inside, target=target) if (
            column.datatype is DataType.BOOLEAN and target.is_integer
        ):
            return inside
        case ColumnRef(column=column) if not column.is_array:
            return expr
        case _:
            return None


def _atom(condition: Expr, known: FileStatistics, *, negated: bool) -> Mask:
    match condition:
        case ColumnRef():
            return _compare("=", known, int(not negated))
        case IsNull(negated=is_not):
            return known.values if is_not != negated else known.nulls
        case Comparison(op=op, left=left, right=right):
            if _column(left) is None:
                op, left, right = _MIRRORED[op], right, left
            return _compare(_OPPOSITE[op] if negated else op, known, _value(right, _column(left)))
        case Between(operand=operand, low=low, high=high, negated=is_not):
            column = _column(operand)
            least, most = _value(low, column), _value(high, column)
            if is_not != negated:
                return _compare("<", known, least) | _compare(">", known, most)
            return _compare(">=", known, least) & _compare("<=", known, most)
        case InList(operand=operand, items=items, negated=is_not):
            column = _column(operand)
            return known.values if is_not != negated else _any_of([_value(item, column) for item in items], known)
        case _:
            raise TypeError(condition)


def _any_of(items: Sequence[Any], known: FileStatistics) -> Mask:
    """Return the files that may hold one of some constants; integers among decimals are compared as these."""
    bounded, dtype = known.bounded & known.values, known.minimum.dtype
    if dtype == np.dtype(np.int64) and any(isinstance(item, float) for item in items):
        dtype = np.dtype(np.float64)
    if dtype == np.dtype(np.int64):  # numbers beyond are in no file
        items = [item for item in items if _LONG_MIN <= item <= _LONG_MAX]
    listed = np.sort(np.array(items, dtype=dtype))
    first = np.searchsorted(listed, known.minimum[bounded].astype(dtype), side="left")
    found = known.values.copy()
    found[bounded] = first < np.searchsorted(listed, known.maximum[bounded].astype(dtype), side="right")
    return found


def _compare(op: str, known: FileStatistics, constant: Any) -> Mask:
    """Return the files that may hold a value for which ``value op constant`` is true."""
    low, high, bounded = known.minimum, known.maximum, known.bounded & known.values
    strict = True
    if low.dtype == np.dtype(np.int64) and isinstance(constant, float):
        # SQL may round the integers to doubles first: rounding keeps the order, but not what is less
        low, high, strict = low.astype(np.float64), high.astype(np.float64), False
    elif isinstance(constant, _Moment):
        constant, strict = int(constant), False  # bounds may be rounded down to microseconds
    found = known.values.copy()
    found[bounded] = _tests(op, low[bounded], high[bounded], constant, strict=strict)
    return found


def _tests(op: str, low: NDArray[Any], high: NDArray[Any], constant: Any, *, strict: bool) -> Mask:
    match op:
        case "=":
            found = (low <= constant) & (high >= constant)
        case "<":
            found = low < constant if strict else low <= constant
        case "<=":
            found = low <= constant
        case ">":
            found = high > constant if strict else high >= constant
        case ">=":
            found = high >= constant
        case _:
            found = (low != constant) | (high != constant) if strict else np.ones(len(low), dtype=np.bool_)
    return np.asarray(found, dtype=np.bool_)


# --- constants --------------------------------------------------------------------------------------


class _Moment(int):
    """Microseconds since 1970, UTC."""


def _value(expr: Expr, column: ColumnRef | None) -> Any:
    assert column is not None
    return _constant(expr, column.column)


def _constant(expr: Expr, column: Column) -> Any:
    """Return a constant that values of `column` are compared with in their own order, None if it is none."""
    kind = column.datatype
    match expr:
        case BooleanLiteral(value=value) if kind is DataType.BOOLEAN:
            return int(value)
        case StringLiteral(value=text) if kind is DataType.TEXT:
            return text
        case Cast(operand=StringLiteral(value=text), target=DataType.TIMESTAMP) if kind is DataType.TIMESTAMP:
            return _moment(text)
        case Unary(op=op, operand=operand):
            unsigned = _constant(operand, column) if isinstance(operand, IntegerLiteral | RealLiteral) else None
            return -unsigned if unsigned is not None and op == "-" else unsigned
        case IntegerLiteral(value=value) | RealLiteral(value=value) if kind.is_numeric or kind is DataType.BOOLEAN:
            return _number(value, kind)
        case _:
            return None


def _number(value: float, kind: DataType) -> float | None:
    """Return a number: floats are compared as doubles, integers with integers exactly."""
    if kind not in {DataType.FLOAT, DataType.DOUBLE}:
        return value
    try:
        return float(value)
    except OverflowError:
        return None


def _moment(text: str) -> _Moment | None:
    matched = _MOMENT.fullmatch(text)
    if matched is None:
        return None
    year, month, day, hour, minute, second, fraction = matched.groups(default="0")
    whole = int(year), int(month), int(day), int(hour), int(minute), int(second), int(fraction.ljust(6, "0"))
    try:
        return _Moment(microseconds(datetime(*whole, tzinfo=UTC)))
    except ValueError:
        return None


def _on_clauses(item: FromItem) -> Iterator[Expr]:
    if isinstance(item, Join):
        if item.on is not None:
            yield item.on
        yield from _on_clauses(item.left)
        yield from _on_clauses(item.right)
