"""Which files the statistics of columns leave out: ``halo_mass > 5e14`` where a file's largest value is smaller.

A file is left out only if no row of it can make a condition true; what is not recognised leaves none out. Every
recognised condition is false or unknown for NULL, so that an outer join cannot tell that rows are missing.
"""

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from partitioning.layout.partition_map import PartitionMap

from ..models.query import ResolvedQuery
from ..models.schema import DataType, Table
from ..models.statistics import ColumnKey, FileBounds, Statistics
from ..models.stored import StoredTable
from ..models.tree import (
    And,
    Between,
    BooleanLiteral,
    ColumnRef,
    Comparison,
    Expr,
    FromItem,
    InList,
    IntegerLiteral,
    Join,
    Or,
    RealLiteral,
    Select,
    StringLiteral,
    Unary,
)
from ..models.walk import base_tables, conjuncts, walk

__all__ = ["kept_files", "wanted_statistics"]

Mask = NDArray[np.bool_]
Value = int | float | str
Tables = Mapping[int, StoredTable]

_MOST_LISTED: Final = 1000
"""Longer IN lists are not held against statistics."""

_FLIPPED: Final = {"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


def wanted_statistics(query: ResolvedQuery, lookup: Callable[[Table], StoredTable]) -> tuple[ColumnKey, ...]:
    """Return the columns that `query` compares with constants, of tables of several files."""
    found: dict[ColumnKey, None] = {}
    for node in walk(query.tree):
        if isinstance(node, Select) and node.source is not None:
            tables = {ref.source: lookup(ref.table) for ref in base_tables(node.source)}
            for condition in (node.where, *_on_clauses(node.source)):
                found |= dict.fromkeys(_keys(condition, tables))
    return tuple(found)


def kept_files(condition: Expr | None, tables: Tables, statistics: Statistics) -> Iterator[tuple[int, str, Mask]]:
    """Yield (source, column names, mask of the files that may hold a row) for each part of a condition that tells."""
    if not statistics:
        return
    for part in conjuncts(condition):
        for source, stored in tables.items():
            mask = _possible(part, source, stored, statistics)
            if mask is not None and not mask.all():
                yield source, _names(part, source), mask


def _on_clauses(item: FromItem) -> Iterator[Expr]:
    if isinstance(item, Join):
        if item.on is not None:
            yield item.on
        yield from _on_clauses(item.left)
        yield from _on_clauses(item.right)


def _keys(condition: Expr | None, tables: Tables) -> Iterator[ColumnKey]:
    waiting = [*conjuncts(condition)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, And | Or):
            waiting += part.operands
            continue
        constrained = _constrained(part)
        if constrained is not None:
            key = _key(constrained[0], tables.get(constrained[0].source))
            if key is not None:
                yield key


def _key(reference: ColumnRef, stored: StoredTable | None) -> ColumnKey | None:
    """Return what the statistics of a column are called; None if there are none, or better ways to bound it."""
    if stored is None or not isinstance(stored.partitions, PartitionMap) or len(stored.partitions) < 2:
        return None
    column, position = reference.column, stored.table.position
    bounded = column.name in stored.indexes or (position is not None and column.name in {position.ra, position.dec})
    if bounded or column.is_array or column.stored_name is None or column.datatype is DataType.TIMESTAMP:
        return None
    return ColumnKey(stored.directory, column.stored_name)


def _names(condition: Expr, source: int) -> str:
    refs = [node for node in walk(condition) if isinstance(node, ColumnRef) and node.source == source]
    return ", ".join(dict.fromkeys(ref.column.name for ref in refs))


def _possible(condition: Expr, source: int, stored: StoredTable, statistics: Statistics) -> Mask | None:
    """Return which files may hold rows of `source` that make a condition true; None: any."""
    if isinstance(condition, And | Or):
        masks = [_possible(operand, source, stored, statistics) for operand in condition.operands]
        told = [mask for mask in masks if mask is not None]
        if isinstance(condition, Or):
            return reduce(operator.or_, told) if told and len(told) == len(masks) else None
        return reduce(operator.and_, told) if told else None
    constrained = _constrained(condition)
    if constrained is None or constrained[0].source != source:
        return None
    key = _key(constrained[0], stored)
    bounds = None if key is None else statistics.get(key)
    if bounds is None or stored.partitions is None or len(bounds.known) != len(stored.partitions):
        return None
    tests = [_may_be(op, value, bounds) for op, value in constrained[1]]
    combined = reduce(operator.and_ if isinstance(condition, Between) else operator.or_, tests)
    possible: Mask = ~bounds.empty & (~bounds.known | combined)
    return possible


Tests = tuple[tuple[str, Value], ...]
"""Comparisons with constants: of BETWEEN both must hold, of IN any."""


def _constrained(condition: Expr) -> tuple[ColumnRef, Tests] | None:
    """Return the column that a condition compares with constants, and how."""
    match condition:
        case Comparison(op=op, left=ColumnRef() as column, right=right) if op in _FLIPPED:
            tests = [(op, _constant(right))]
        case Comparison(op=op, left=left, right=ColumnRef() as column) if op in _FLIPPED:
            tests = [(_FLIPPED[op], _constant(left))]
        case Between(operand=ColumnRef() as column, low=low, high=high, negated=False):
            tests = [(">=", _constant(low)), ("<=", _constant(high))]
        case InList(operand=ColumnRef() as column, items=items, negated=False) if len(items) <= _MOST_LISTED:
            tests = [("=", _constant(item)) for item in items]
        case _:
            return None
    fitting = tuple((op, value) for op, value in tests if value is not None and _fits(column, value))
    return (column, fitting) if len(fitting) == len(tests) else None


def _constant(expr: Expr) -> Value | None:
    match expr:
        case BooleanLiteral(value=value):
            return int(value)
        case IntegerLiteral(value=value) | RealLiteral(value=value) | StringLiteral(value=value):
            return value
        case Unary(op="-", operand=IntegerLiteral(value=value) | RealLiteral(value=value)):
            return -value
        case _:
            return None


def _fits(column: ColumnRef, value: Value) -> bool:
    kind = column.column.datatype
    if isinstance(value, str):
        return kind is DataType.TEXT
    return kind.is_numeric or kind is DataType.BOOLEAN


def _may_be(op: str, value: Value, bounds: FileBounds) -> Mask:
    """Return which files' bounds allow that some value compares so with a constant."""
    if bounds.low.dtype == np.int64 and isinstance(value, float):
        return _integers(op, value, bounds)
    if bounds.low.dtype == np.float64:
        value = float(value)  # numbers are compared as doubles
    match op:
        case "<":
            mask = bounds.low < value
        case "<=":
            mask = bounds.low <= value
        case ">":
            mask = bounds.high > value
        case ">=":
            mask = bounds.high >= value
        case _:
            mask = (bounds.low <= value) & (bounds.high >= value)
    return np.asarray(mask, dtype=bool)


def _integers(op: str, value: float, bounds: FileBounds) -> Mask:
    """Compare 64-bit integers with a double as the numbers that they are."""
    if not math.isfinite(value) or abs(value) >= 2**63:
        return np.ones(len(bounds.low), dtype=bool)
    below, above = math.floor(value), math.ceil(value)
    match op:
        case "<":
            mask = bounds.low < above
        case "<=":
            mask = bounds.low <= below
        case ">":
            mask = bounds.high > below
        case ">=":
            mask = bounds.high >= above
        case _:
            mask = (bounds.low <= below) & (bounds.high >= above)
    return np.asarray(mask, dtype=bool)
