"""How a query reaches a base table through FROM, and how the rows of that table are dealt out to batches.

``SELECT ... FROM (SELECT ... FROM Object AS a JOIN ...) AS q`` reaches Object through two SELECTs: a spine. If every
SELECT of a spine makes each of its rows from one row of the item below, the query can be run on some rows of the table,
then on the others. Planner and language share what is told of that here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .tree import (
    Aggregate,
    ColumnRef,
    CommonTableRef,
    FromItem,
    Join,
    Node,
    Query,
    Select,
    SetOperation,
    SubqueryRef,
    TableRef,
    WindowCall,
    With,
)
from .walk import children, walk

__all__ = [
    "ColumnOf",
    "Cut",
    "Spine",
    "expression_nodes",
    "is_row_by_row",
    "passed_columns",
    "single_queries",
    "spines",
]

ColumnOf = tuple[int, str]
"""Source number and name of a column."""


@dataclass(frozen=True, slots=True)
class Spine:
    """The way from a query down to one of its base tables."""

    selects: tuple[Select, ...]
    """From the outermost to the one whose FROM has the table."""
    sources: tuple[int, ...]
    """The item of each one's FROM that leads on; the last is the table itself."""

    @property
    def root(self) -> Select:
        """Return the outermost SELECT."""
        return self.selects[0]


@dataclass(frozen=True, slots=True)
class Cut:
    """Which rows are dealt out to batches."""

    spine: Spine
    """To a table whose rows are each in one batch."""
    keys: frozenset[ColumnOf] = frozenset()
    """Columns that no rows of two batches have equal values in."""
    few: frozenset[ColumnOf] = frozenset()
    """Columns with so few different values that all of them can be kept."""


def spines(tree: Query) -> tuple[Spine, ...]:
    """Return the spines of a query: none if it is no SELECT, or has no FROM.

    A common table that is used twice ends them: its rows go two ways.
    """
    root, singles = tree.body if isinstance(tree, With) else tree, single_queries(tree)
    if not isinstance(root, Select):
        return ()
    found, waiting = [], [Spine((root,), ())]
    while waiting:
        spine = waiting.pop()
        for item in _items(spine.selects[-1].source):
            sources = (*spine.sources, item.source)
            if isinstance(item, TableRef):
                found.append(Spine(spine.selects, sources))
            elif isinstance(query := singles.get(item.source), Select):
                waiting.append(Spine((*spine.selects, query), sources))
    return tuple(found)


def single_queries(tree: Query) -> Mapping[int, Query]:
    """Return the queries of derived tables, and of common tables that are used once, by source number.

    A query stands behind those that it reads.
    """
    common = {table.name.text: table.query for table in tree.tables} if isinstance(tree, With) else {}
    parts = (*common.values(), tree.body) if isinstance(tree, With) else (tree,)
    references = [
        node for part in parts for node in reversed(list(walk(part))) if isinstance(node, SubqueryRef | CommonTableRef)
    ]
    uses = Counter(node.name for node in references if isinstance(node, CommonTableRef))
    found: dict[int, Query] = {}
    for node in references:
        if isinstance(node, SubqueryRef):
            found[node.source] = node.query
        elif uses[node.name] == 1 and node.name in common:
            found[node.source] = common[node.name]
    return found


def _items(item: FromItem | None) -> Iterator[TableRef | SubqueryRef | CommonTableRef]:
    if isinstance(item, Join):
        yield from _items(item.left)
        yield from _items(item.right)
    elif isinstance(item, TableRef | SubqueryRef | CommonTableRef):
        yield item


def expression_nodes(select: Select) -> Iterator[Node]:
    """Yield the nodes of all expressions of a SELECT, conditions of joins among them; of subqueries the query alone."""
    waiting: list[Node] = list(children(select))
    while waiting:
        node = waiting.pop()
        if isinstance(node, SubqueryRef | CommonTableRef | TableRef):
            continue
        yield node
        if not isinstance(node, Select | SetOperation | With):
            waiting += children(node)


def is_row_by_row(select: Select) -> bool:
    """Return whether each row of a SELECT is made of one row of its FROM, whatever the other rows are."""
    if select.group_by or select.having is not None or select.distinct or select.top is not None or select.offset:
        return False
    return not any(isinstance(node, Aggregate | WindowCall) for node in expression_nodes(select))


def passed_columns(select: Select, source: int) -> Mapping[ColumnOf, ColumnOf]:
    """Return which columns of FROM the columns of a derived table are, as it calls them under the number `source`."""
    return {
        (source, item.column.name): (item.expr.source, item.expr.column.name)
        for item in select.items
        if isinstance(item.expr, ColumnRef) and item.column is not None
    }
