"""Limits on query texts and trees: parsing and planning cost grows with them, and deep nesting exhausts stacks.

DuckDB needs 14 s to plan an IN list of 1.5 million items, 12 s for 10,000 UNION arms, and crashes on subqueries
nested some hundred levels deep in a small stack; neither can be interrupted. So these are refused beforehand.
"""

from collections.abc import Iterator
from typing import Final

from ..exceptions import LimitError, RequestTooLargeError
from ..models.tree import InList, Join, Node, PolygonShape, SetOperation, Span
from .errors import error_at
from .rewrite import children

__all__ = [
    "MAX_DEPTH",
    "MAX_IN_ITEMS",
    "MAX_JOINS",
    "MAX_NODES",
    "MAX_SET_ARMS",
    "MAX_TEXT_CHARACTERS",
    "MAX_TOKENS",
    "MAX_VERTICES",
    "check_tree",
    "too_deep",
    "too_long",
    "too_many_items",
    "too_many_tokens",
    "too_many_vertices",
]

MAX_TEXT_CHARACTERS: Final = 1_000_000
"""Of any query text; the service's limit for synchronous queries is lower."""

MAX_TOKENS: Final = 60_000
"""Words, numbers and signs in a text; a list of literals after IN counts as one."""

MAX_DEPTH: Final = 100
"""Levels of nesting: of brackets in the text, and of operators and subqueries in its tree."""

MAX_JOINS: Final = 16
"""Joins in a query, its subqueries included; a comma in FROM counts as one."""

MAX_IN_ITEMS: Final = 50_000
"""Items of all IN lists of a query."""

MAX_SET_ARMS: Final = 64
"""SELECTs that UNION, EXCEPT and INTERSECT combine in a query."""

MAX_NODES: Final = 30_000
"""Conditions, operators, names and literals in a query, IN lists not counted."""

MAX_VERTICES: Final = 200
"""Vertices of one polygon."""


def too_long(size: int) -> RequestTooLargeError:
    """Return the error for a text of `size` characters."""
    return RequestTooLargeError(
        f"the query is {size} characters long; the limit is {MAX_TEXT_CHARACTERS} characters.",
        remedy="Split it, or select by region instead of by long lists.",
    )


def too_many_tokens(span: Span) -> LimitError:
    """Return the error for a text of too many tokens."""
    return error_at(LimitError, f"the query has more than {MAX_TOKENS} words and signs, the limit.", span)


def too_deep(span: Span) -> LimitError:
    """Return the error for a text nested too deeply."""
    return error_at(
        LimitError,
        f"the query is nested more than {MAX_DEPTH} levels deep, the limit.",
        span,
        remedy="Flatten it, or put parentheses around parts of long sums.",
    )


def too_many_items(span: Span) -> LimitError:
    """Return the error for an IN list that is too long."""
    return error_at(
        LimitError,
        f"the query has more than {MAX_IN_ITEMS} items in IN lists, the limit.",
        span,
        remedy="Split it into several queries, or join with a table.",
    )


def too_many_vertices(span: Span) -> LimitError:
    """Return the error for a polygon of too many vertices."""
    return error_at(LimitError, f"a polygon has more than {MAX_VERTICES} vertices, the limit.", span)


def check_tree(tree: Node) -> None:
    """Refuse a tree that is too deep or too large, without recursion.

    Raises
    ------
    LimitError
        Names the limit, its value and the place.
    """
    counts = dict.fromkeys(_LIMITS, 0)
    for depth, node in _walk(tree):
        if depth > MAX_DEPTH:
            raise too_deep(node.span)
        counts["node"] += 1
        counted = "node"
        match node:
            case Join():
                counts[counted := "join"] += 1
            case SetOperation():
                counts[counted := "arm"] += 1
            case InList():
                counts[counted := "item"] += len(node.items)
                counts["node"] -= len(node.items)
            case PolygonShape() if len(node.vertices) > MAX_VERTICES:
                raise too_many_vertices(node.span)
            case _:
                pass
        limit, words, remedy = _LIMITS[counted]
        if counts[counted] > limit:
            message = f"the query has more than {limit} {words}, the limit."
            raise error_at(LimitError, message, node.span, remedy=remedy)


_LIMITS: Final = {
    "join": (MAX_JOINS, "joins", "Split it into several queries."),
    "arm": (MAX_SET_ARMS - 1, "UNION, EXCEPT and INTERSECT", "Split it into several queries."),
    "item": (MAX_IN_ITEMS, "items in IN lists", "Split it into several queries, or join with a table."),
    "node": (MAX_NODES, "names, literals and operators", "Use IN lists instead of long chains of OR."),
}


def _walk(tree: Node) -> Iterator[tuple[int, Node]]:
    """Yield every node with its depth; the items of IN lists are counted by their list."""
    waiting: list[tuple[int, Node]] = [(1, tree)]
    while waiting:
        depth, node = waiting.pop()
        yield depth, node
        waiting += [(depth + 1, child) for child in children(node)]
