"""Positions that derived and common tables pass on, and where they lie.

``(SELECT id, ra, dec FROM Object WHERE CONTAINS(...) = 1) a`` has rows of Object within that region only, so a join of
`a` on a separation bounds the other side. So does the position of a row for the subqueries that are asked for it.
"""

from collections.abc import Callable, Mapping
from typing import Final

from ..models.ids import FoundIds
from ..models.schema import SkyPosition, Table
from ..models.spines import passed_columns
from ..models.stored import StoredTable
from ..models.tree import CommonTableRef, Query, Select, SubqueryRef, With
from ..models.walk import all_nodes, base_tables, from_sources
from .joins import NO_DERIVED, Derived, table_bounds
from .prune import Bounds
from .regions import AllOf, Around, Enlarged, RegionExpr

__all__ = ["derived_positions", "outer_positions", "passed_position"]

_FINEST: Final = 20
"""Order of the finest cells around the places of ids."""

Lookup = Callable[[Table], StoredTable]


def derived_positions(
    tree: Query, lookup: Lookup, found: FoundIds, uploaded: Mapping[int, Derived] = NO_DERIVED
) -> dict[int, Derived]:
    """Return the positions that derived and common tables of a query pass on, by source number.

    Parameters
    ----------
    tree
        The resolved query.
    lookup
        Gives the published release of a table.
    found
        Where the rows of ids lie.
    uploaded
        Positions of uploaded tables, which are among the result.
    """
    nodes = [node for part in _in_order(tree) for node in reversed(all_nodes(part))]  # what is inside comes first
    references = [node for node in nodes if isinstance(node, SubqueryRef | CommonTableRef)]
    common = {table.name.text: table.query for table in tree.tables} if isinstance(tree, With) else {}
    passed_on = dict(uploaded)
    done: dict[str, Derived | None] = {}
    for node in references:
        if isinstance(node, SubqueryRef):
            one = _passed_on(node.query, lookup, found, passed_on)
        else:
            if node.name not in done:
                done[node.name] = _passed_on(common[node.name], lookup, found, passed_on)
            one = done[node.name]
        if one is not None:
            passed_on[node.source] = one
    return passed_on


def outer_positions(select: Select, lookup: Lookup, bounds: Mapping[int, Bounds]) -> dict[int, Derived]:
    """Return where the positions lie that subqueries of a SELECT may refer to, by source number.

    For a row outside of them, whatever a subquery says, no row of the result is made.
    """
    found = {}
    for ref in base_tables(select.source):
        if ref.table.position is not None:
            region = _own_region(bounds[ref.source], lookup(ref.table).max_separation_deg)
            found[ref.source] = Derived(ref.table.position, region)
    return found


def _own_region(bounds: Bounds, separation_deg: float) -> RegionExpr | None:
    """Return where the own positions lie of rows within some bounds; None: anywhere."""
    parts = [] if bounds.own is None else [bounds.own]
    parts += [Enlarged(bound.region, bound.pad_deg + separation_deg) for bound in bounds.shared]
    parts += [Enlarged(Around(coverage, _FINEST), separation_deg) for coverage in bounds.placed]
    return AllOf(tuple(parts)) if parts else None


def _in_order(tree: Query) -> tuple[Query, ...]:
    """Return the common tables of a query, each of which may use those before it, and its body."""
    return (*(table.query for table in tree.tables), tree.body) if isinstance(tree, With) else (tree,)


def _passed_on(query: Query, lookup: Lookup, found: FoundIds, known: Mapping[int, Derived]) -> Derived | None:
    """Return the position that each result row of a SELECT has from one row of its FROM; None if it has none."""
    if not isinstance(query, Select) or query.source is None:
        return None
    passed = passed_position(query, {source: one.position for source, one in known.items()})
    if passed is None:
        return None
    tables = {ref.source: lookup(ref.table) for ref in base_tables(query.source)}
    return Derived(passed[1], table_bounds(query, tables, found, known)[passed[0]].own)


def passed_position(select: Select, known: Mapping[int, SkyPosition]) -> tuple[int, SkyPosition] | None:
    """Return which item of FROM the rows of a derived table have their position from, and its columns outside.

    Parameters
    ----------
    known
        Positions of derived tables, by source number.
    """
    positions = {source: position for source, position in known.items() if source in from_sources(select.source)}
    positions |= {
        table.source: table.table.position for table in base_tables(select.source) if table.table.position is not None
    }
    names = {inner: name for (_, name), inner in passed_columns(select, 0).items()}
    for source, position in positions.items():
        ra, dec = names.get((source, position.ra)), names.get((source, position.dec))
        if ra is not None and dec is not None:
            return source, SkyPosition(ra, dec)
    return None
