"""Comparisons in one form, BOOLEAN beside numbers, and texts beside timestamps.

A literal moves to the right side, so that ``1 = CONTAINS(...)`` and ``CONTAINS(...) = 1`` are one thing to whoever
comes next. Survey flags are BOOLEAN, and people compare them with 0 and 1.

>>> from ...models.schema import Column, DataType
>>> from ...models.tree import ColumnRef, Comparison, IntegerLiteral
>>> flag = ColumnRef(0, Column(name="flag", datatype=DataType.BOOLEAN))
>>> notes = []
>>> coerce(Comparison("=", IntegerLiteral(1), flag), notes.append).right, notes
(BooleanLiteral(value=True), ['BOOLEAN compared with a number'])
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from ...exceptions import QueryTypeError
from ...models.schema import DataType
from ...models.tree import (
    Aggregate,
    Between,
    Binary,
    BooleanLiteral,
    Case,
    Cast,
    Comparison,
    Contains,
    Distance,
    Expr,
    InList,
    IntegerLiteral,
    Intersects,
    NullLiteral,
    RealLiteral,
    StringLiteral,
    Unary,
    WindowCall,
)
from ..errors import error_at
from ..functions import AGGREGATES
from ..rewrite import LITERALS, map_children
from ..types import type_of

__all__ = ["as_timestamp", "coerce"]

Note = Callable[[str], None]

_COMPARED: Final = "BOOLEAN compared with a number"
_COMPUTED: Final = "BOOLEAN used as a number"
_NOTHING: Final = "comparison with NULL (never true; IS NULL asks for it)"

_ONE_DIGIT: Final = re.compile(r"(?<![\d.])(\d)(?!\d)")
"""A month, a day or an hour without its zero."""

_FLIPPED: Final = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<=", "<=>": "<=>"}


def coerce(expr: Expr, note: Note) -> Expr:
    """Return `expr` with operands made comparable where that is harmless; `note` is told of relaxations used."""
    match map_children(expr, lambda child: coerce(child, note)):
        case Comparison() as comparison:
            return _comparison(_literal_right(comparison), note)
        case Between(operand=operand, low=low, high=high) as between:
            first, low, high = _together([operand, low, high], note)
            return replace(between, operand=first, low=low, high=high)
        case InList(operand=operand, items=items) as listed:
            before = [operand, *items]
            first, *others = after = _together(before, note)
            same = all(new is old for new, old in zip(after, before, strict=True))
            return listed if same else replace(listed, operand=first, items=tuple(others))
        case Case(operand=operand, branches=branches) as case if operand is not None:
            first, *whens = _together([operand, *(when for when, _ in branches)], note)
            thens = [then for _, then in branches]
            return replace(case, operand=first, branches=tuple(zip(whens, thens, strict=True)))
        case Binary(op=op, left=left, right=right) as binary if op != "||":
            return replace(binary, left=_number(left, note, _COMPUTED), right=_number(right, note, _COMPUTED))
        case Unary(operand=operand) as unary:
            return replace(unary, operand=_number(operand, note, _COMPUTED))
        case Aggregate(name=name, args=args) as aggregate if AGGREGATES[name].numeric:
            return replace(aggregate, args=tuple(_number(arg, note, _COMPUTED) for arg in args))
        case WindowCall(name=name, args=args) as call if name in AGGREGATES and AGGREGATES[name].numeric:
            return replace(call, args=tuple(_number(arg, note, _COMPUTED) for arg in args))
        case other:
            return other


def _literal_right(comparison: Comparison) -> Comparison:
    left, right = comparison.left, comparison.right
    special = Contains | Intersects | Distance
    literal_left = isinstance(left, LITERALS) and not isinstance(right, LITERALS)
    if literal_left or (isinstance(right, special) and not isinstance(left, special)):
        return replace(comparison, op=_FLIPPED[comparison.op], left=right, right=left)
    return comparison


def _comparison(comparison: Comparison, note: Note) -> Comparison:
    left, right = comparison.left, comparison.right
    if isinstance(right, NullLiteral) and comparison.op != "<=>":
        note(_NOTHING)
    types = type_of(left), type_of(right)
    if isinstance(left, Contains | Intersects) and isinstance(right, BooleanLiteral):
        return replace(comparison, right=IntegerLiteral(int(right.value), span=right.span))
    simple = comparison.op in {"=", "<>"} and isinstance(right, IntegerLiteral | RealLiteral) and right.value in {0, 1}
    if types[0] is DataType.BOOLEAN and simple:
        assert isinstance(right, IntegerLiteral | RealLiteral)
        note(_COMPARED)
        return replace(comparison, right=BooleanLiteral(right.value == 1, span=right.span))
    left, right = _together([left, right], note)
    if left is comparison.left and right is comparison.right:
        return comparison
    return replace(comparison, left=left, right=right)


def _together(exprs: list[Expr], note: Note) -> list[Expr]:
    """Return expressions that are compared with each other, BOOLEANs among numbers and texts among timestamps cast."""
    types = {type_of(expr) for expr in exprs}
    if DataType.BOOLEAN in types and any(kind.is_numeric for kind in types):
        return [_number(expr, note, _COMPARED) for expr in exprs]
    if DataType.TIMESTAMP in types and DataType.TEXT in types:
        return [as_timestamp(expr) if isinstance(expr, StringLiteral) else expr for expr in exprs]
    return exprs


def _number(expr: Expr, note: Note, relaxation: str) -> Expr:
    if type_of(expr) is not DataType.BOOLEAN:
        return expr
    note(relaxation)
    return Cast(expr, DataType.SHORT, span=expr.span)


def as_timestamp(literal: StringLiteral) -> Expr:
    """Return a text as a timestamp.

    Raises
    ------
    QueryTypeError
        If it is not written as DALI says: ``YYYY-MM-DD['T'hh:mm:ss[.SSS]['Z']]``.
    """
    text = _ONE_DIGIT.sub(r"0\1", literal.value.strip().removesuffix("Z"))
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        value = None
    if value is None or value.tzinfo is not None:
        message = f"'{literal.value[:40]}' is no timestamp."
        raise error_at(QueryTypeError, message, literal.span, remedy="Write it like '2026-01-31T12:00:00' (UTC).")
    return Cast(StringLiteral(value.isoformat(), span=literal.span), DataType.TIMESTAMP, span=literal.span)
