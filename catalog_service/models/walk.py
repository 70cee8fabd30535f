"""Walk over query trees without recursion, so that no text can exhaust the stack."""

from collections.abc import Iterator
from dataclasses import fields

from .tree import And, CommonTableRef, Expr, FromItem, Join, Node, SubqueryRef, TableRef

__all__ = ["base_tables", "children", "conjuncts", "from_sources", "on_clauses", "walk"]


def children(node: Node) -> Iterator[Node]:
    """Yield the nodes directly below `node`, in the order of its fields."""
    for slot in fields(node):
        yield from _nodes(getattr(node, slot.name))


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and every node below it, parents first."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(reversed(list(children(current))))


def base_tables(item: FromItem | None) -> Iterator[TableRef]:
    """Yield the base tables of one FROM, from left to right; not those inside derived tables."""
    waiting = [item]
    while waiting:
        current = waiting.pop()
        if isinstance(current, TableRef):
            yield current
        elif isinstance(current, Join):
            waiting += [current.right, current.left]


def from_sources(item: FromItem | None) -> frozenset[int]:
    """Return the sources that one FROM joins: base, derived and common tables."""
    found, waiting = [], [item]
    while waiting:
        current = waiting.pop()
        if isinstance(current, TableRef | SubqueryRef | CommonTableRef):
            found.append(current.source)
        elif isinstance(current, Join):
            waiting += [current.right, current.left]
    return frozenset(found)


def on_clauses(item: FromItem | None) -> Iterator[Expr]:
    """Yield the ON conditions of one FROM; not those inside derived tables."""
    if isinstance(item, Join):
        if item.on is not None:
            yield item.on
        yield from on_clauses(item.left)
        yield from on_clauses(item.right)


def conjuncts(condition: Expr | None) -> tuple[Expr, ...]:
    """Return the conditions that must all hold for `condition` to hold."""
    if condition is None:
        return ()
    if isinstance(condition, And):
        return tuple(part for operand in condition.operands for part in conjuncts(operand))
    return (condition,)


def _nodes(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)
