"""Which files may make a comparison of expressions of several columns true: interval arithmetic over their statistics.

``g_mag - r_mag > 3`` holds in no file whose largest g_mag less its smallest r_mag is below 3. Each step makes its
intervals a little wider than exact, since the engine rounds as it computes, possibly in 32 bits. A NULL in a file makes
an expression NULL, and so does what is no number: neither makes a comparison true, or its negation.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from partitioning.layout.statistics import FileBounds

from ..models.comparisons import MIRRORED, OPPOSITE, constant
from ..models.schema import DataType
from ..models.tree import Between, Binary, Cast, ColumnRef, Comparison, Expr, FunctionCall, Unary

__all__ = ["compared_columns", "may_hold"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SLACK: Final = 1e-6
"""Of the largest number that takes part in a step: several roundings of 32-bit floats."""

_TINY: Final = 1e-37
"""Smaller values may be rounded to 0."""

_HUGE: Final = 1e37
"""Larger values may be infinite in 32 bits."""

_REAL: Final = frozenset({DataType.FLOAT, DataType.DOUBLE})


class _Interval(NamedTuple):
    """What an expression may be in each file; arrays of shape ``(N,)``."""

    low: Floats
    high: Floats


def compared_columns(condition: Expr) -> tuple[ColumnRef, ...]:
    """Return the columns of the expressions that a comparison compares, all of one table; else none.

    Nor are there any if it, or a step of the expressions, is not known.

    >>> from ..models.schema import Column
    >>> g, r = (ColumnRef(0, Column(name=name, datatype=DataType.FLOAT)) for name in "gr")
    >>> [one.column.name for one in compared_columns(Comparison("<", Binary("-", g, r), r))]
    ['g', 'r', 'r']
    """
    try:
        columns = tuple(column for side in _sides(condition) for column in _columns(side))
    except _UnknownError:
        return ()
    return columns if len({column.source for column in columns}) == 1 else ()


def may_hold(condition: Expr, source: int, statistics: Mapping[str, FileBounds], files: int, *, negated: bool) -> Mask:
    """Return the files in which a comparison may be true, or false if `negated`.

    Parameters
    ----------
    condition
        One of which `compared_columns` knows the columns.
    source
        The table whose files are meant; columns of another may be anything.
    statistics
        Bounds of the columns, by name.
    files
        Number of its files.
    """
    match condition:
        case Comparison(op=op, left=left, right=right):
            return _may_compare(OPPOSITE[op] if negated else op, left, right, _Files(source, statistics, files))
        case Between(operand=operand, low=low, high=high, negated=is_not):
            outside = is_not != negated
            parts = (
                Comparison("<" if outside else ">=", operand, low),
                Comparison(">" if outside else "<=", operand, high),
            )
            below, above = (may_hold(part, source, statistics, files, negated=False) for part in parts)
            return below | above if outside else below & above  # of what is outside, one limit may be NULL
        case _:
            raise TypeError(condition)


class _Files(NamedTuple):
    """What is known of the files of one table."""

    source: int
    statistics: Mapping[str, FileBounds]
    number: int

    def bounds(self, column: ColumnRef) -> FileBounds | None:
        """Return the bounds of a column, None if it may be anything."""
        return self.statistics.get(column.column.name) if column.source == self.source else None


def _may_compare(op: str, left: Expr, right: Expr, files: _Files) -> Mask:
    found = _compared(op, _interval(left, files), _interval(right, files))
    for column in (*_columns(left), *_columns(right)):
        known = files.bounds(column)
        if known is not None:
            found &= ~known.empty
    return found


class _UnknownError(Exception):
    """An expression has a step that is not known."""


def _sides(condition: Expr) -> tuple[Expr, ...]:
    match condition:
        case Comparison(op=op, left=left, right=right) if op in OPPOSITE:
            return left, right
        case Between(operand=operand, low=low, high=high):
            return operand, low, high
        case _:
            raise _UnknownError


def _columns(expr: Expr) -> Iterator[ColumnRef]:
    match expr:
        case _ if constant(expr) is not None:
            return
        case ColumnRef(column=column) if column.datatype.is_numeric and not column.is_array:
            yield expr
        case (
            Unary(operand=inner)
            | FunctionCall(name="abs", args=(inner,))
            | Cast(operand=inner, target=DataType.FLOAT | DataType.DOUBLE)
        ):
            yield from _columns(inner)
        case Binary(op="+" | "-" | "*", left=left, right=right):
            yield from _columns(left)
            yield from _columns(right)
        case _:
            raise _UnknownError


def _interval(expr: Expr, files: _Files) -> _Interval:
    value = constant(expr)
    if value is not None:
        return _wider(np.full(files.number, value), np.full(files.number, value))
    match expr:
        case ColumnRef():
            known = files.bounds(expr)
            return _anything(files.number) if known is None else _bounds(known)
        case Unary(op="-", operand=operand):
            inner = _interval(operand, files)
            return _Interval(-inner.high, -inner.low)
        case FunctionCall(args=(operand,)):
            low, high = _interval(operand, files)
            most = np.maximum(np.abs(low), np.abs(high))
            return _Interval(np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high))), most)
        case Unary(operand=operand) | Cast(operand=operand):
            return _wider(*_interval(operand, files))
        case Binary(op=op, left=left, right=right):
            one, other = (_interval(side, files) for side in (left, right))
            return _combined(op, one, other)
        case _:
            raise TypeError(expr)


def _combined(op: str, one: _Interval, other: _Interval) -> _Interval:
    with np.errstate(invalid="ignore", over="ignore"):
        match op:
            case "+":
                low, high = one.low + other.low, one.high + other.high
            case "-":
                low, high = one.low - other.high, one.high - other.low
            case _:
                corners = np.stack([a * b for a in one for b in other])
                low, high = corners.min(axis=0), corners.max(axis=0)
    return _wider(low, high, *one, *other)


def _wider(low: Floats, high: Floats, *operands: Floats) -> _Interval:
    """Return an interval enlarged by what the numbers of a step may be rounded by; NaN is anything."""
    sizes = np.abs(np.stack([low, high, *operands]))
    slack = _SLACK * np.where(np.isfinite(sizes), sizes, 0.0).max(axis=0) + _TINY
    low, high = np.nan_to_num(low - slack, nan=-np.inf, neginf=-np.inf, posinf=np.inf), high + slack
    high = np.where(np.isnan(high), np.inf, high)
    return _Interval(
        np.where(low > _HUGE, _HUGE, np.where(low < -_HUGE, -np.inf, low)),
        np.where(high < -_HUGE, -_HUGE, np.where(high > _HUGE, np.inf, high)),
    )


def _bounds(known: FileBounds) -> _Interval:
    if known.low.dtype == np.dtype(object):
        return _anything(len(known.known))
    use = known.known & ~known.empty
    low, high = np.where(use, known.low, 0).astype(np.float64), np.where(use, known.high, 0).astype(np.float64)
    return _wider(np.where(use, low, -np.inf), np.where(use, high, np.inf))


def _anything(files: int) -> _Interval:
    return _Interval(np.full(files, -np.inf), np.full(files, np.inf))


def _compared(op: str, one: _Interval, other: _Interval) -> Mask:
    """Return where some value of one interval may compare so with some of the other; at the very border, too."""
    if op in {">", ">="}:
        op, one, other = MIRRORED[op], other, one
    match op:
        case "<" | "<=":
            found = one.low <= other.high
        case "=":
            found = (one.low <= other.high) & (other.low <= one.high)
        case _:
            found = np.ones(len(one.low), dtype=np.bool_)
    return np.asarray(found, dtype=np.bool_)
