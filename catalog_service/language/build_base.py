"""What the parts of tree building share: clauses, spans, and the line between conditions and values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..exceptions import QuerySyntaxError
from ..models.tree import (
    Aggregate,
    And,
    Between,
    BooleanLiteral,
    Case,
    Cast,
    Comparison,
    Contains,
    Exists,
    Expr,
    FunctionCall,
    InList,
    InQuery,
    Intersects,
    IsNull,
    Like,
    Name,
    Not,
    NullLiteral,
    Or,
    ScalarQuery,
    Span,
    WindowCall,
)
from .errors import error_at

__all__ = ["CONDITIONS", "POSSIBLE_CONDITIONS", "Clause", "condition", "span_of"]

CONDITIONS: Final = (And, Or, Not, Comparison, Between, InList, InQuery, Like, IsNull, Exists)
"""Nodes that are true, false or unknown."""

POSSIBLE_CONDITIONS: Final = (
    Name,
    BooleanLiteral,
    NullLiteral,
    Case,
    Cast,
    FunctionCall,
    Aggregate,
    WindowCall,
    ScalarQuery,
)
"""Nodes that may be BOOLEAN values; their types tell, after resolution."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a rule on its way to the node that will hold it."""

    tag: str
    value: Any
    span: Span


def span_of(parts: Sequence[Any]) -> Span:
    """Return the span from the first to the last of some words, nodes and clauses."""
    first, last = parts[0].span, parts[-1].span
    return Span(first.start, last.stop, first.text)


def condition(node: Expr) -> Expr:
    """Return `node`, which stands where a condition must stand.

    Raises
    ------
    QuerySyntaxError
        If it is a value of a kind that is never a condition.
    """
    if isinstance(node, CONDITIONS + POSSIBLE_CONDITIONS):
        return node
    if isinstance(node, Contains | Intersects):
        name = type(node).__name__.upper()
        message = f"{name} gives 1 or 0, not a condition."
        raise error_at(QuerySyntaxError, message, node.span, remedy=f"Compare it: {name}(...) = 1.")
    message = "a condition is needed here, such as a comparison; this is a value."
    raise error_at(QuerySyntaxError, message, node.span)
