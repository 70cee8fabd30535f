"""Which relaxations of strict ADQL 2.1 a query uses. Strict means: none."""

from collections.abc import Iterable, Sequence
from typing import Final

from ..models.tree import And, Case, Expr, Join, JoinKind, Node, Not, Or, ScalarQuery, Select
from .build_base import CONDITIONS, POSSIBLE_CONDITIONS
from .lexer import Word
from .rewrite import children

__all__ = ["relaxations"]

_BY_WORD: Final = {
    "CASE": "CASE expression",
    "LIMIT": "LIMIT",
    "CROSS": "CROSS JOIN",
    "TRUE": "TRUE or FALSE",
    "FALSE": "TRUE or FALSE",
    "NULLS": "NULLS FIRST or LAST",
    "OVER": "window function",
    "FILTER": "FILTER",
}

_CONDITION = "condition used as a value"
_BOOLEAN = "BOOLEAN value used as a condition"


def relaxations(words: Iterable[Word], tree: Node) -> tuple[str, ...]:
    """Return the names of the relaxations that a text uses, each once.

    >>> from .adql import parse_adql
    >>> parse_adql("SELECT a > b FROM t JOIN s LIMIT 5").relaxations
    ('JOIN without ON', 'LIMIT', 'condition used as a value')
    """
    found = {_BY_WORD[word.type] for word in words if word.type in _BY_WORD}
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        below = children(node)
        if below:
            found |= _of_node(node, below)
            waiting += below
    return tuple(sorted(found))


def _of_node(node: Node, below: Sequence[Node]) -> set[str]:
    match node:
        case ScalarQuery():
            return {"subquery used as a value"}
        case Join(kind=JoinKind.INNER, on=None, using=(), natural=False):
            return {"JOIN without ON"}
        case Join(on=on):
            return _of_condition(on)
        case Select(source=None):
            return {"SELECT without FROM"} | _of_condition(node.where) | _of_condition(node.having)
        case Select():
            return _of_condition(node.where) | _of_condition(node.having)
        case And() | Or() | Not():
            return {_BOOLEAN} if any(isinstance(child, POSSIBLE_CONDITIONS) for child in below) else set()
        case Case():
            return set()
        case _:
            return {_CONDITION} if any(isinstance(child, CONDITIONS) for child in below) else set()


def _of_condition(condition: Expr | None) -> set[str]:
    return {_BOOLEAN} if isinstance(condition, POSSIBLE_CONDITIONS) else set()
