"""Walk over query trees without recursion, so that no text can exhaust the stack."""

from collections.abc import Iterator
from dataclasses import fields

from .tree import Node

__all__ = ["children", "walk"]


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


def _nodes(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)
