"""What a condition on an expression of one column says of the column itself.

``-2.5 * LOG10(flux) + 31.4 < 20`` holds only where flux is large, and ``name LIKE 'abc%'`` only for texts of one range:
comparisons with constants, which the statistics of files can be held against. They are a little wider than exact, since
the engine rounds as it computes.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from ..models.comparisons import MIRRORED, OPPOSITE, constant
from ..models.schema import DataType
from ..models.tree import (
    And,
    Between,
    Binary,
    Cast,
    ColumnRef,
    Comparison,
    Expr,
    FunctionCall,
    IsNull,
    Like,
    RealLiteral,
    StringLiteral,
    Unary,
)

__all__ = ["implied"]

_SLACK: Final = 1e-6
"""Of the largest number that takes part in a step: several roundings of 32-bit floats."""

_TINY: Final = 1e-37
"""Smaller values may be rounded to 0."""

_REAL: Final = frozenset({DataType.FLOAT, DataType.DOUBLE})


class _Range(NamedTuple):
    """Values from `low` to `high`."""

    low: float
    high: float

    def moved(self, by: float) -> "_Range":
        return _widened(self, self.low + by, self.high + by, by)

    def scaled(self, by: float) -> "_Range":
        low, high = sorted(((self.low - _TINY) * by, (self.high + _TINY) * by))
        return _widened(self, low, high, 0.0)


def _widened(before: _Range, low: float, high: float, operand: float) -> _Range:
    """Return a range enlarged by what the numbers of a step may be rounded by."""
    sizes = [abs(value) for value in (*before, low, high, operand) if math.isfinite(value)]
    slack = _SLACK * max(sizes, default=0.0) + _TINY
    return _Range(low - slack, high + slack)


def implied(condition: Expr, *, negated: bool = False) -> Expr | None:
    """Return what holds of a column wherever a condition holds, or does not; None if nothing is known, or needed.

    Parameters
    ----------
    condition
        Of a resolved tree; comparisons of a column itself say all there is.
    negated
        Whether it is the condition's opposite that holds.
    """
    match condition:
        case Like(operand=ColumnRef(column=column) as text, negated=is_not) if column.datatype is DataType.TEXT:
            return _prefixed(condition, text, negated=is_not != negated)
        case Comparison(op=op, left=left, right=right) if op in OPPOSITE:
            op = OPPOSITE[op] if negated else op
            if constant(left) is not None:
                op, left, right = MIRRORED.get(op, op), right, left
            limit = constant(right)
            return None if limit is None or op == "<>" else _bounded(left, _allowed(op, limit))
        case Between(operand=operand, low=low, high=high, negated=is_not) if is_not == negated:
            least, most = constant(low), constant(high)
            return None if least is None or most is None else _bounded(operand, _Range(least, most))
        case _:
            return None


def _allowed(op: str, limit: float) -> _Range:
    return _Range(
        -math.inf if op in {"<", "<="} else limit,
        math.inf if op in {">", ">="} else limit,
    )


def _bounded(expr: Expr, allowed: _Range) -> Expr | None:
    """Return the comparisons of the one column of `expr` that hold where its value is in a range."""
    found = None if isinstance(expr, ColumnRef) else _inverted(expr, allowed)
    if found is None:
        return None
    column, (low, high) = found
    limits = [(">=", low)] if math.isfinite(low) else []
    limits += [("<=", high)] if math.isfinite(high) else []
    parts: list[Expr] = [Comparison(op, column, RealLiteral(limit)) for op, limit in limits]
    return None if not parts else parts[0] if len(parts) == 1 else And(tuple(parts))


def _inverted(expr: Expr, allowed: _Range) -> tuple[ColumnRef, _Range] | None:
    """Return the one column of an expression, and the range of it where the expression's value may be in a range."""
    match expr:
        case ColumnRef(column=column):
            return (expr, allowed) if column.datatype.is_numeric and not column.is_array else None
        case Cast(operand=inner, target=target) if target in _REAL:
            return _inverted(inner, allowed.moved(0.0))
        case Unary(op="-", operand=inner):
            return _inverted(inner, _Range(-allowed.high, -allowed.low))
        case Binary(op=op, left=left, right=right):
            return _inverted_binary(op, left, right, allowed)
        case FunctionCall(name=name, args=(inner,)) if name in _INVERSES:
            try:
                low, high = _INVERSES[name](allowed)
            except (OverflowError, ValueError):  # beyond of what doubles hold
                return None
            return _inverted(inner, _widened(_Range(low, high), low, high, 0.0))
        case _:
            return None


def _inverted_binary(op: str, left: Expr, right: Expr, allowed: _Range) -> tuple[ColumnRef, _Range] | None:
    first, second = constant(left), constant(right)
    match op:
        case "+" if second is not None:
            return _inverted(left, allowed.moved(-second))
        case "+" if first is not None:
            return _inverted(right, allowed.moved(-first))
        case "-" if second is not None:
            return _inverted(left, allowed.moved(second))
        case "-" if first is not None:
            return _inverted(right, _Range(-allowed.high, -allowed.low).moved(first))
        case "*" if second:
            return _inverted(left, allowed.scaled(1 / second))
        case "*" if first:
            return _inverted(right, allowed.scaled(1 / first))
        case "/" if second and (_is_real(left) or _is_real(right)):  # that of integers cuts off digits
            return _inverted(left, allowed.scaled(second))
        case _:
            return None


def _is_real(expr: Expr) -> bool:
    match expr:
        case ColumnRef(column=column):
            return column.datatype in _REAL
        case RealLiteral():
            return True
        case Cast(target=target):
            return target in _REAL
        case Unary(operand=inner):
            return _is_real(inner)
        case Binary(left=left, right=right):
            return _is_real(left) or _is_real(right)
        case FunctionCall(name=name):
            return name in _INVERSES
        case _:
            return False


def _logarithm(base: float) -> Callable[[_Range], tuple[float, float]]:
    def inverse(allowed: _Range) -> tuple[float, float]:
        low, high = allowed.moved(0.0)
        return 0.0 if low == -math.inf else base**low, math.inf if high == math.inf else base**high

    return inverse


def _square_root(allowed: _Range) -> tuple[float, float]:
    return max(allowed.low, 0.0) ** 2, max(allowed.high, 0.0) ** 2


def _magnitude(allowed: _Range) -> tuple[float, float]:
    """AB magnitudes of fluxes in nanojansky: the brighter, the smaller."""
    return _logarithm(10.0)(allowed.moved(-_ZERO_POINT).scaled(-0.4))


_ZERO_POINT: Final = 31.4
"""AB magnitude of 1 nJy."""

_INVERSES: Final[Mapping[str, Callable[[_Range], tuple[float, float]]]] = {
    "log10": _logarithm(10.0),
    "log": _logarithm(math.e),
    "sqrt": _square_root,
    "scisql_nanojanskytoabmag": _magnitude,
}
"""What gives each function's argument back; outside of what it is defined for, its value is NULL."""


# --- texts ------------------------------------------------------------------------------------------


def _prefixed(like: Like, column: ColumnRef, *, negated: bool) -> Expr | None:
    """Return the range of texts that begin as a pattern does."""
    if negated:
        return IsNull(column, negated=True)
    prefix = _prefix(like)
    if not prefix:
        return None
    least = Comparison(">=", column, StringLiteral(prefix))
    last = ord(prefix[-1])
    if last >= 0xD7FF:  # what comes after it is no character, or not the next one
        return least
    return And((least, Comparison("<", column, StringLiteral(prefix[:-1] + chr(last + 1)))))


def _prefix(like: Like) -> str:
    """Return what all texts that match a pattern begin with.

    >>> text = ColumnRef(0, None)
    >>> _prefix(Like(text, StringLiteral("ab_d%"))), _prefix(Like(text, StringLiteral("1-aB%"), ignore_case=True))
    ('ab', '1-')
    >>> _prefix(Like(text, StringLiteral("1!%2%"), escape="!"))
    '1%2'
    """
    if not isinstance(like.pattern, StringLiteral):
        return ""
    prefix, letters = "", iter(like.pattern.value)
    for letter in letters:
        if letter == like.escape:
            letter = next(letters, "")  # noqa: PLW2901
        elif letter in "%_":
            break
        if like.ignore_case and not (letter.isascii() and letter.lower() == letter.upper()):
            break
        prefix += letter
    return prefix
