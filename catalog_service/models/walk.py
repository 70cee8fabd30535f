"""Walk over query trees without recursion, so that no text can exhaust the stack."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Final

from .tree import And, CommonTableRef, Expr, FromItem, Join, Node, SubqueryRef, TableRef

__all__ = ["all_nodes", "base_tables", "children", "conjuncts", "from_sources", "on_clauses", "slots", "walk"]


_SLOTS: Final[dict[type[Node], tuple[str, ...]]] = {}
"""Fields that may hold nodes, by class; filled as classes are met."""

_PLAIN: Final = (int, float, str, bool, int | None, float | None, str | None)
"""Types of fields that hold none."""


def slots(kind: type[Node]) -> tuple[str, ...]:
    """Return the names of the fields of a class that may hold nodes."""
    found = _SLOTS.get(kind)
    if found is None:
        others = {"span", "frame", "column", "columns", "table"}
        held = [slot for slot in fields(kind) if slot.name not in others and slot.type not in _PLAIN]
        found = _SLOTS[kind] = tuple(slot.name for slot in held)
    return found


def children(node: Node) -> Sequence[Node]:
    """Return the nodes directly below `node`, in the order of its fields."""
    kind = type(node)
    names = _SLOTS.get(kind)
    if names is None:
        names = slots(kind)
    if not names:
        return ()
    found: list[Node] = []
    for name in names:
        value = getattr(node, name)
        if isinstance(value, Node):
            found.append(value)
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, Node):
                    found.append(item)
                elif isinstance(item, tuple):
                    found += item
    return found


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and every node below it, subqueries included, parents first, without recursion."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        if below := children(current):
            waiting += reversed(below)


_last: tuple[Node, tuple[Node, ...]] | None = None
"""The tree that `all_nodes` was last asked about, and its answer."""


def all_nodes(tree: Node) -> tuple[Node, ...]:
    """Return what `walk` yields; each step of a query's journey looks at the whole tree, so that it is kept."""
    global _last  # noqa: PLW0603 - replaced as a whole, whichever thread asks; trees are immutable
    known = _last
    if known is None or known[0] is not tree:
        known = _last = (tree, tuple(walk(tree)))
    return known[1]


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
