"""Generic traversal of query trees: children, walks and rebuilt copies."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from operator import is_not
from typing import Any, Final, cast

from ..models.tree import (
    BooleanLiteral,
    Expr,
    InList,
    IntegerLiteral,
    Node,
    NullLiteral,
    RealLiteral,
    Select,
    SetOperation,
    StringLiteral,
    With,
)
from ..models.walk import children, slots, walk

__all__ = ["LITERALS", "children", "map_children", "operands", "walk", "walk_expression"]

LITERALS: Final = (IntegerLiteral, RealLiteral, StringLiteral, BooleanLiteral, NullLiteral)
"""Node classes that stand for a constant."""

_QUERIES: Final = (Select, SetOperation, With)


def operands(node: Expr) -> Iterator[Expr]:
    """Yield the expressions directly below `node`; no subqueries, and no literals of a list after IN."""
    if isinstance(node, InList) and all(isinstance(item, LITERALS) for item in node.items):
        yield node.operand
        return
    for child in children(node):
        if not isinstance(child, _QUERIES):
            yield cast("Expr", child)


def walk_expression(expr: Expr) -> Iterator[Expr]:
    """Yield `expr` and every expression below it; not into subqueries."""
    waiting = [expr]
    while waiting:
        current = waiting.pop()
        yield current
        waiting += operands(current)


def map_children(node: Expr, rewrite: Callable[[Expr], Expr]) -> Expr:
    """Return `node` with each expression directly below it replaced by what `rewrite` makes of it.

    Subqueries are left alone: they are resolved by themselves. A list of literals after IN is left alone as well:
    it may be long, and no pass changes a literal.
    """
    names = slots(type(node))
    if not names:
        return node
    changed: dict[str, Any] = {}
    for name in names:
        old = getattr(node, name)
        if name == "items" and isinstance(node, InList) and all(isinstance(item, LITERALS) for item in old):
            continue
        new = _mapped(old, rewrite)
        if new is not old:
            changed[name] = new
    return replace(node, **changed) if changed else node


def _mapped(value: Any, rewrite: Callable[[Expr], Expr]) -> Any:
    if isinstance(value, Node):
        return value if isinstance(value, _QUERIES) else rewrite(cast("Expr", value))
    if isinstance(value, tuple):
        mapped = [_mapped(item, rewrite) for item in value]
        return tuple(mapped) if any(map(is_not, mapped, value)) else value
    return value
