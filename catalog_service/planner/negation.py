"""Conditions without NOT: what holds where NOT of something holds, said positively.

By De Morgan's laws, which hold with NULL as well: ``NOT (a OR b)`` is true where ``NOT a`` and ``NOT b`` both are, and
``NOT (x >= 1)`` where ``x < 1`` is.
"""

from dataclasses import replace

from ..models.comparisons import OPPOSITE
from ..models.tree import And, Between, Comparison, Expr, Not, Or

__all__ = ["without_not"]


def without_not(condition: Expr, *, negated: bool = False) -> Expr:
    """Return a condition that is true where `condition` is, with NOT moved into what has an opposite.

    Parameters
    ----------
    negated
        Return what is true where `condition` is false instead.

    >>> from ..models.tree import BooleanLiteral, IntegerLiteral
    >>> less = Comparison("<", IntegerLiteral(1), IntegerLiteral(2))
    >>> without_not(Not(Or((less, Not(less))))) == And((replace(less, op=">="), less))
    True
    """
    match condition:
        case Not(operand=operand):
            return without_not(operand, negated=not negated)
        case And(operands=operands) | Or(operands=operands):
            parts = tuple(without_not(operand, negated=negated) for operand in operands)
            kind = And if isinstance(condition, And) != negated else Or
            return kind(parts, span=condition.span)
        case Comparison(op=op) if negated and op in OPPOSITE:
            return replace(condition, op=OPPOSITE[op])
        case Between(operand=value, low=low, high=high):
            if condition.negated == negated:
                return replace(condition, negated=False)
            below, above = (Comparison(op, value, end, span=condition.span) for op, end in (("<", low), (">", high)))
            return Or((below, above), span=condition.span)
        case _:
            return Not(condition, span=condition.span) if negated else condition
