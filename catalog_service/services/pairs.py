"""How many combinations of rows a query has to try where nothing links its tables, which no number of bytes tells."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import prod

from ..models.tree import ColumnRef, Comparison, Contains, Distance, Expr, Intersects, Node, Select
from ..models.walk import all_nodes, conjuncts, from_sources, on_clauses, walk

__all__ = ["most_pairs"]


def most_pairs(tree: Node, rows: Mapping[int, int]) -> int:
    """Return the largest product of numbers of rows that one FROM of a query may have to go through.

    Parameters
    ----------
    tree
        A resolved query.
    rows
        Rows that are read of each base table, by source number; other tables count as one row.
    """
    return max((_pairs(node, rows) for node in all_nodes(tree) if isinstance(node, Select)), default=0)


def _pairs(select: Select, rows: Mapping[int, int]) -> int:
    groups = {source: {source} for source in from_sources(select.source)}
    for linked in _links(select):
        for one, other in pairwise(sorted(linked & groups.keys())):
            if groups[one] is not groups[other]:
                groups[one] |= groups[other]
                groups.update(dict.fromkeys(groups[other], groups[one]))
    each = {id(group): group for group in groups.values()}
    return prod(max(rows.get(source, 1) for source in group) for group in each.values())


def _links(select: Select) -> Iterator[set[int]]:
    """Yield tables that a condition links."""
    for condition in (*conjuncts(select.where), *(one for on in on_clauses(select.source) for one in conjuncts(on))):
        if isinstance(condition, Comparison) and condition.op == "=":
            left, right = _sources(condition.left), _sources(condition.right)
            if left and right and not left & right:
                yield left | right
        if any(isinstance(node, Contains | Distance | Intersects) for node in walk(condition)):
            yield _sources(condition)  # joins by position are made cell by cell


def _sources(expr: Expr) -> set[int]:
    return {node.source for node in walk(expr) if isinstance(node, ColumnRef)}
