"""Which files the manifest's statistics of columns leave out.

A condition may hold in a file unless the file's minima, maxima and NULLs exclude it; what is not recognised may hold
anywhere. Comparisons mean what the emitted SQL says: numbers are compared exactly, 32-bit floats as the doubles they
are, or, where SQL rounds large integers to doubles, in a way that holds for the rounded and the exact comparison.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from partitioning.layout.partition_map import PartitionMap
from partitioning.layout.statistics import microseconds

from ..models.comparisons import MIRRORED, OPPOSITE
from ..models.query import ResolvedQuery
from ..models.schema import Column, DataType, Table
from ..models.statistics import ColumnKey, FileBounds, Statistics
from ..models.stored import StoredTable
from ..models.tree import (
    And,
    Between,
    BooleanLiteral,
    Cast,
    ColumnRef,
    Comparison,
    Expr,
    InList,
    IntegerLiteral,
    IsNull,
    Like,
    Not,
    Or,
    RealLiteral,
    Select,
    StringLiteral,
    Unary,
)
from ..models.walk import all_nodes, base_tables, conjuncts, on_clauses
from .intervals import compared_columns, may_hold
from .monotone import implied

__all__ = ["Kept", "kept_files", "wanted_statistics"]

Mask = NDArray[np.bool_]
"""Of files, shape ``(N,)``."""

OfTable = Mapping[str, FileBounds]
"""What is known of one table, by the name that queries know of the column."""


class Kept(NamedTuple):
    """Which files of one source may hold rows that make a condition true."""

    source: int
    names: str
    """Columns that tell."""
    mask: Mask
    is_strict: bool
    """Whether the condition is never true of NULLs in place of a row, such as an outer join puts there."""


_MOMENT: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?")

_LONG_MIN: Final = -(2**63)
_LONG_MAX: Final = 2**63 - 1

_MOST_ITEMS: Final = 10_000
"""Longer lists of IN are not looked at: where there are more, reading more tiles is hardly slower."""


def wanted_statistics(query: ResolvedQuery, lookup: Callable[[Table], StoredTable]) -> tuple[ColumnKey, ...]:
    """Return the columns that `query` compares, of tables of several files; each once."""
    found: dict[ColumnKey, None] = {}
    for node in all_nodes(query.tree):
        if isinstance(node, Select) and node.source is not None:
            tables = {ref.source: lookup(ref.table) for ref in base_tables(node.source)}
            for condition in (node.where, *on_clauses(node.source)):
                for source, column in () if condition is None else _constrained(condition):
                    key = _key(tables[source], column) if source in tables else None
                    if key is not None:
                        found[key] = None
    return tuple(found)


def kept_files(condition: Expr | None, tables: Mapping[int, StoredTable], statistics: Statistics) -> Iterator[Kept]:
    """Yield, for each part of a condition that must hold, and each source of which it says something, what may hold.

    Parameters
    ----------
    condition
        A resolved condition.
    tables
        Base tables, by source number.
    statistics
        Bounds of the columns that were read.
    """
    for part in conjuncts(condition) if statistics else ():
        known: dict[int, dict[str, FileBounds]] = {}
        for source, column in _constrained(part):
            key = _key(tables[source], column) if source in tables else None
            bounds = None if key is None else statistics.get(key)
            if bounds is not None and len(bounds.known) == tables[source].file_count:
                known.setdefault(source, {})[column.name] = bounds
        for source, columns in known.items():
            mask = _may(part, source, columns, tables[source].file_count, negated=False)
            if not mask.all():
                yield Kept(source, ", ".join(columns), mask, not _null_may_hold(part, source, negated=False))


def _key(stored: StoredTable, column: Column) -> ColumnKey | None:
    """Return what the statistics of a column are called; None if there are none, or better ways to bound it.

    Files that were adopted may have changed or hold NaN; one file is read anyway.
    """
    position = stored.table.position
    bounded = column.name in stored.indexes or (position is not None and column.name in {position.ra, position.dec})
    if bounded or not isinstance(stored.partitions, PartitionMap) or len(stored.partitions) < 2:
        return None
    if column.is_array or column.stored_name is None:
        return None
    return ColumnKey(stored.directory, column.stored_name)


def _constrained(condition: Expr) -> Iterator[tuple[int, Column]]:
    """Yield (source, column) of each comparison of a column, or of an expression of some, in `condition`."""
    match condition:
        case And(operands=operands) | Or(operands=operands):
            for operand in operands:
                yield from _constrained(operand)
        case Not(operand=operand):
            yield from _constrained(operand)
        case _:
            column = _tested_column(condition)
            for one in compared_columns(condition) if column is None else (column,):
                yield one.source, one.column


def _may(condition: Expr, source: int, statistics: OfTable, files: int, *, negated: bool) -> Mask:
    match condition:
        case And(operands=operands) | Or(operands=operands):
            parts = [_may(operand, source, statistics, files, negated=negated) for operand in operands]
            join = np.logical_and if isinstance(condition, And) != negated else np.logical_or
            return reduce(join, parts)
        case Not(operand=operand):
            return _may(operand, source, statistics, files, negated=not negated)
        case _:
            column = _tested_column(condition)
            if column is None and compared_columns(condition):
                return may_hold(condition, source, statistics, files, negated=negated)
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
            columns = compared_columns(condition) if column is None else (column,)
            return all(one.source != source for one in columns)


# --- one condition of one column --------------------------------------------------------------------


def _tested_column(condition: Expr) -> ColumnRef | None:
    """Return the column that `condition` compares with constants; None if it is another condition."""
    match condition:
        case ColumnRef():
            return condition if condition.column.datatype is DataType.BOOLEAN else None
        case IsNull(operand=operand):
            return _column(operand)
        case Comparison(op=op, left=left, right=right) if op in OPPOSITE:
            column, constants = (_column(left), [right]) if _column(left) is not None else (_column(right), [left])
        case Between(operand=operand, low=low, high=high):
            column, constants = _column(operand), [low, high]
        case InList(operand=operand, items=items) if len(items) <= _MOST_ITEMS:
            column, constants = _column(operand), list(items)
        case Like():
            return _implied_column(condition)
        case _:
            return None
    if column is None:
        return _implied_column(condition)
    if any(_constant(constant, column.column) is None for constant in constants):
        return None
    return column


def _implied_column(condition: Expr) -> ColumnRef | None:
    """Return the column that a condition on an expression of it says something of."""
    inner = implied(condition)
    return None if inner is None else _tested_column(conjuncts(inner)[0])


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


def _atom(condition: Expr, known: FileBounds, *, negated: bool) -> Mask:
    if implied(condition) is not None:
        inner = implied(condition, negated=negated)
        return reduce(np.logical_and, (_atom(part, known, negated=False) for part in conjuncts(inner)), ~known.empty)
    match condition:
        case ColumnRef():
            return _compare("=", int(not negated), known)
        case IsNull(negated=is_not):
            return ~known.empty if is_not != negated else _nulls(known)
        case Comparison(op=op, left=left, right=right):
            op = OPPOSITE[op] if negated else op
            if _column(left) is None:
                return _compare(MIRRORED[op], _value(left, _column(right)), known)
            return _compare(*_exactly(op, _value(right, _column(left)), known), known)
        case Between(operand=operand, low=low, high=high, negated=is_not):
            column = _column(operand)
            least, most = _value(low, column), _value(high, column)
            if is_not != negated:
                return _compare(*_exactly("<", least, known), known) | _compare(*_exactly(">", most, known), known)
            return _compare(*_exactly(">=", least, known), known) & _compare(*_exactly("<=", most, known), known)
        case InList(operand=operand, items=items, negated=is_not):
            column = _column(operand)
            return ~known.empty if is_not != negated else _any_of([_value(item, column) for item in items], known)
        case _:
            raise TypeError(condition)


def _nulls(known: FileBounds) -> Mask:
    return np.ones(len(known.known), dtype=np.bool_) if known.nulls is None else known.nulls


def _any_of(items: Sequence[Any], known: FileBounds) -> Mask:
    """Return the files that may hold one of some constants; integers among decimals are compared as these."""
    bounded, dtype = known.known & ~known.empty, known.low.dtype
    if dtype == np.dtype(np.int64) and any(isinstance(item, float) for item in items):
        dtype = np.dtype(np.float64)
    if dtype == np.dtype(np.int64):  # numbers beyond are in no file
        items = [item for item in items if _LONG_MIN <= item <= _LONG_MAX]
    listed = np.sort(np.array(items, dtype=dtype))
    first = np.searchsorted(listed, known.low[bounded].astype(dtype), side="left")
    found = ~known.empty
    found[bounded] = first < np.searchsorted(listed, known.high[bounded].astype(dtype), side="right")
    return found


def _exactly(op: str, constant: Any, known: FileBounds) -> tuple[str, Any]:
    """Return the comparison of integers with an integer that is the same as that with a decimal.

    SQL compares a column with a decimal exactly where the column stands first, and outside of lists.
    """
    if known.low.dtype != np.dtype(np.int64) or not isinstance(constant, float) or not math.isfinite(constant):
        return op, constant
    if op in {"=", "<>"}:
        return op, int(constant) if constant.is_integer() else constant
    return op, math.ceil(constant) if op in {"<", ">="} else math.floor(constant)


def _compare(op: str, constant: Any, known: FileBounds) -> Mask:
    """Return the files that may hold a value for which ``value op constant`` is true."""
    low, high, bounded = known.low, known.high, known.known & ~known.empty
    strict = True
    if low.dtype == np.dtype(np.int64) and isinstance(constant, float):
        # rounding to doubles keeps the order, but not what is less
        low, high, strict = low.astype(np.float64), high.astype(np.float64), False
    elif isinstance(constant, _Moment):
        constant, strict = int(constant), False  # bounds may be rounded down to microseconds
    found = ~known.empty
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
