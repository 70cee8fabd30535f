"""How far from a row of one table the rows of others may lie that matter to it, through a whole query.

The walk begins at one base table and goes up its spine. In each SELECT the conditions tell how far apart positions are;
from there it goes into derived tables and subqueries beside the spine. Rows that are farther away, of a table that is
found so, change nothing in what a query makes of the row. Of tables that are not found nothing is known.

A derived table is entered if it is made row by row and passes a position on: its rows that are far away are then
dropped by the condition that tells so. A subquery is asked for each row outside, so that its own conditions with that
row hold back what is far away, whatever it makes of the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..models.schema import SkyPosition
from ..models.spines import Spine, expression_nodes, is_row_by_row, single_queries
from ..models.stored import StoredTable
from ..models.tree import ColumnRef, Query, Select, SetOperation
from ..models.walk import base_tables, from_sources
from .derived import passed_position
from .joins import Derived, Origins, Place, tied_positions
from .near import Link, spread

__all__ = ["placed_within"]


def placed_within(tree: Query, spine: Spine, tables: Mapping[int, StoredTable]) -> dict[int, float]:
    """Return how far from the place of a row of a spine's table the places of rows of other tables are, in degrees.

    The place of a row is the position that puts it in its tile.

    Parameters
    ----------
    tables
        All base tables of the query, by source number.

    Returns
    -------
    dict
        By source number: of tables whose rows matter within a distance only, the spine's own left out.
    """
    walk_ = _Walk(single_queries(tree), tables)
    lead = spine.sources[-1]
    near: dict[Place, float] = {(lead, False): 0.0}
    for number in reversed(range(len(spine.selects))):
        select = spine.selects[number]
        if number + 1 < len(spine.selects):
            near = walk_.entered(spine.sources[number], near)
        near = walk_.through(select, near, spine.sources[number])
    return {source: walk_.found[source] for source in walk_.found if source != lead}


@dataclass
class _Walk:
    """Knows where positions of the whole query come from, and collects how far away tables are."""

    queries: Mapping[int, Query]
    tables: Mapping[int, StoredTable]
    found: dict[int, float] = field(default_factory=dict)

    def through(self, select: Select, near: dict[Place, float], known: int | None = None) -> dict[Place, float]:
        """Return what is near in one SELECT, beside what was near before; go on to what stands beside the spine.

        Parameters
        ----------
        known
            Item of FROM that the walk came from.
        """
        if select.source is None:
            return near
        reached = dict(near)
        for source, links in tied_positions(select, self.tables, self._derived, self._origins).items():
            ends = spread(near, (*links, *self._separations))
            reached |= {place: ends[place] for place in ((source, True), (source, False)) if place in ends}
        for table in base_tables(select.source):
            if (table.source, False) in reached:
                self.found[table.source] = reached[table.source, False]
        for source in from_sources(select.source) - {known}:
            self._enter(source, reached)
        for node in expression_nodes(select):
            self._ask(node, reached)
        return reached

    def entered(self, source: int, near: dict[Place, float]) -> dict[Place, float]:
        """Return what is near outside of a derived table of which `near` tells what is near inside."""
        inner = self._passed.get(source)
        if inner is None or (inner[0], True) not in near:
            return near
        return near | {(source, True): near[inner[0], True]}

    def _enter(self, source: int, near: dict[Place, float]) -> None:
        query, inner = self.queries.get(source), self._passed.get(source)
        if isinstance(query, Select) and is_row_by_row(query) and inner is not None and (source, True) in near:
            self.through(query, near | {(inner[0], True): near[source, True]})

    def _ask(self, node: object, near: dict[Place, float]) -> None:
        """Go through a subquery of an expression, each SELECT of a set operation."""
        waiting = [node]
        while waiting:
            match waiting.pop():
                case Select() as select:
                    self.through(select, near)
                case SetOperation(left=left, right=right):
                    waiting += [left, right]
                case _:
                    pass

    @cached_property
    def _passed(self) -> Mapping[int, tuple[int, SkyPosition]]:
        """Positions that derived tables pass on, by source number: of which item inside, and its columns outside."""
        found: dict[int, tuple[int, SkyPosition]] = {}
        for source, query in self.queries.items():
            if isinstance(query, Select):
                passed = passed_position(query, {at: one[1] for at, one in found.items()})
                if passed is not None:
                    found[source] = passed
        return found

    @cached_property
    def _derived(self) -> Mapping[int, Derived]:
        return {source: Derived(position, None) for source, (_, position) in self._passed.items()}

    @cached_property
    def _origins(self) -> Origins:
        """Return what columns of derived tables are in base tables."""
        found: dict[tuple[int, str], ColumnRef] = {}
        for source, query in self.queries.items():
            for item in query.items if isinstance(query, Select) else ():
                if isinstance(item.expr, ColumnRef) and item.column is not None:
                    inner = item.expr
                    found[source, item.column.name] = found.get((inner.source, inner.column.name), inner)
        return found

    @cached_property
    def _separations(self) -> tuple[Link[Place], ...]:
        """Links of the own position of rows with the one that places them."""
        return tuple(
            Link(frozenset({(source, True), (source, False)}), stored.max_separation_deg)
            for source, stored in self.tables.items()
        )
