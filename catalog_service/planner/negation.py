"""Conditions without NOT: what must be false for them to hold, said as what must be true.

In the logic of true, false and NULL, ``NOT c`` is true where `c` is false, so NOT moves inwards as in the logic of two
values: de Morgan's laws, and comparisons turned around.

>>> from ..models.schema import Column, DataType
>>> from ..models.tree import ColumnRef, RealLiteral
>>> dec = ColumnRef(0, Column(name="dec", datatype=DataType.DOUBLE))
>>> outside = Not(Or((Comparison("<", dec, RealLiteral(1.0)), Comparison("=", dec, dec))))
>>> [part.op for part in positive(outside).operands]
['>=', '<>']
"""

from typing import Final

from ..models.tree import And, Between, Comparison, Expr, Not, Or

__all__ = ["positive"]

_COMPLEMENTS: Final = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def positive(condition: Expr, *, negated: bool = False) -> Expr:
    """Return a condition that is true where `condition` is, or its negation, with NOT as far inside as is known."""
    match condition:
        case Not(operand=operand):
            return positive(operand, negated=not negated)
        case And(operands=operands) | Or(operands=operands):
            parts = tuple(positive(part, negated=negated) for part in operands)
            return And(parts) if isinstance(condition, And) != negated else Or(parts)
        case Between(operand=value, low=low, high=high, negated=outside):
            if outside == negated:
                return Between(value, low, high)
            return Or((Comparison("<", value, low), Comparison(">", value, high)))
        case Comparison(op=op, left=left, right=right) if negated and op in _COMPLEMENTS:
            return Comparison(_COMPLEMENTS[op], left, right)
        case _:
            return Not(condition) if negated else condition
