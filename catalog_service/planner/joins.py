"""What WHERE and the ON clauses of one SELECT say about the rows of each of its tables.

The walk goes from the result down to the tables and carries facts that hold in every row that can reach the result.
Rows in which they do not hold may be left out, or wrongly be left without a partner, unnoticed:

- A fact about a table is false where an outer join has put NULLs in its place. Where facts speak of one side of an
  outer join, its unmatched rows of the other side cannot reach the result.
- The facts of an inner join's ON clause hold for all of its rows, wherever it stands in the tree of joins; those of
  an outer join hold for matched rows, so they are handed to a side unless its unmatched rows are kept.
  Rows of the other side can then only lose partners with which they would not reach the result either.

A child row lies in the tile of its declared parent's position. Rows joined on the parent's key therefore have the same
placing position, and a region that bounds one of them bounds the other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from partitioning.sky.coverage import Coverage, widened

from ..models.ids import FoundIds
from ..models.schema import Column, SkyPosition
from ..models.stored import StoredTable
from ..models.tree import ColumnRef, Comparison, Expr, FromItem, Join, JoinKind, Select, TableRef
from ..models.walk import base_tables
from .ids import condition_ids
from .prune import Bound, Bounds
from .regions import AllOf, RegionExpr, condition_regions, conjuncts
from .statistics import constrained, rejects_null

__all__ = ["key_join", "table_bounds"]

Tables = Mapping[int, StoredTable]
"""Base tables of one SELECT, by source number."""

_KEEPS_LEFT: Final = (JoinKind.LEFT, JoinKind.FULL)
_KEEPS_RIGHT: Final = (JoinKind.RIGHT, JoinKind.FULL)
_OUTER: Final = (JoinKind.LEFT, JoinKind.RIGHT, JoinKind.FULL)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is true of every row that can reach the result."""

    regions: tuple[tuple[int, RegionExpr], ...] = ()
    """Sources whose own position lies in a region."""
    places: tuple[tuple[int, RegionExpr], ...] = ()
    """Sources whose placing position lies in a region, where it is not their own."""
    placed: tuple[tuple[int, Coverage], ...] = ()
    """Sources whose rows have ids that were found: their placing position is in a coverage."""
    pairs: tuple[frozenset[int], ...] = ()
    """Sources whose rows are placed by the same position."""
    strict: tuple[tuple[int, Expr], ...] = ()
    """Sources and conditions on their columns that are never true of NULLs in place of a row."""
    loose: tuple[tuple[int, Expr], ...] = ()
    """Others, such as IS NULL: they say nothing of a table in whose place an outer join may put NULLs."""

    def __add__(self, other: "_Facts") -> "_Facts":
        return _Facts(
            self.regions + other.regions,
            self.places + other.places,
            self.placed + other.placed,
            self.pairs + other.pairs,
            self.strict + other.strict,
            self.loose + other.loose,
        )

    def exclude_null(self, sources: frozenset[int]) -> bool:
        """Return whether no row reaches the result in which all of `sources` are NULL."""
        bounded = {source for source, _ in (*self.regions, *self.places, *self.placed, *self.strict)}
        return not sources.isdisjoint(bounded.union(*self.pairs))


def table_bounds(select: Select, tables: Tables, found: FoundIds) -> dict[int, Bounds]:
    """Return what bounds the rows of each base table of `select`, by source number."""
    assert select.source is not None
    facts = _facts(select.where, tables, found) + _certain(select.source, tables, found)
    known = _descend(select.source, facts, tables, found)
    return {source: _bounds(source, facts, tables) for source, facts in known}


def _descend(item: FromItem, known: _Facts, tables: Tables, found: FoundIds) -> Iterator[tuple[int, _Facts]]:
    if isinstance(item, TableRef):
        yield item.source, known
    elif isinstance(item, Join):
        if item.kind not in _OUTER:
            yield from _descend(item.left, known, tables, found)
            yield from _descend(item.right, known, tables, found)
            return
        left, right = (frozenset(ref.source for ref in base_tables(side)) for side in (item.left, item.right))
        matched = known + _facts(item.on, tables, found)
        keeps_left = item.kind in _KEEPS_LEFT and not known.exclude_null(right)
        keeps_right = item.kind in _KEEPS_RIGHT and not known.exclude_null(left)
        of_left, of_right = known if keeps_left else matched, known if keeps_right else matched
        # the table whose place NULLs may take: what is true of them too must not take its rows away
        if item.kind in _KEEPS_LEFT:
            of_right = replace(of_right, loose=())
        if item.kind in _KEEPS_RIGHT:
            of_left = replace(of_left, loose=())
        if item.kind in _KEEPS_LEFT:
            of_right += _certain(item.right, tables, found)
        if item.kind in _KEEPS_RIGHT:
            of_left += _certain(item.left, tables, found)
        yield from _descend(item.left, of_left, tables, found)
        yield from _descend(item.right, of_right, tables, found)


def _certain(item: FromItem, tables: Tables, found: FoundIds) -> _Facts:
    """Return what the ON clauses inside a FROM item say of all of its rows: those of inner joins."""
    if not isinstance(item, Join):
        return _Facts()
    facts = _Facts() if item.kind in _OUTER else _facts(item.on, tables, found)
    if item.kind not in _KEEPS_RIGHT:
        facts += _certain(item.left, tables, found)
    if item.kind not in _KEEPS_LEFT:
        facts += _certain(item.right, tables, found)
    return facts


def _facts(condition: Expr | None, tables: Tables, found: FoundIds) -> _Facts:
    positions = {source: s.table.position for source, s in tables.items() if s.table.position is not None}
    placing = {source: position for source, s in tables.items() if (position := _placing_position(s)) is not None}
    pairs = (key_join(part, tables) for part in conjuncts(condition))
    tested = [
        (source, part, rejects_null(part, source))
        for part in conjuncts(condition)
        for source in {source: None for source, _ in constrained(part) if source in tables}
    ]
    return _Facts(
        regions=tuple(condition_regions(condition, positions).items()),
        places=tuple(condition_regions(condition, placing).items()),
        placed=tuple((bound.source, found[bound]) for bound in condition_ids(condition, tables) if bound in found),
        pairs=tuple(pair for pair in pairs if pair is not None),
        strict=tuple((source, part) for source, part, is_strict in tested if is_strict),
        loose=tuple((source, part) for source, part, is_strict in tested if not is_strict),
    )


def _placing_position(stored: StoredTable) -> SkyPosition | None:
    """Return the position that placed a table's rows if it is not their own."""
    if stored.table.partition_position is None:
        return None
    ra, dec = stored.table.partition_position
    position = SkyPosition(ra.name, dec.name)
    return None if position == stored.table.position else position


def _bounds(source: int, facts: _Facts, tables: Tables) -> Bounds:
    """Return the regions of the table's own position, and those of tables that share its placing position.

    The own positions of the latter may lie away from it, hence the pad.
    """
    group = _placed_together(source, facts)
    pad_deg = sum(tables[member].max_separation_deg for member in group)
    own = tuple(region for at, region in facts.regions if at == source)
    shared = tuple(Bound(region, pad_deg) for at, region in facts.regions if at != source and at in group)
    shared += tuple(Bound(region) for at, region in facts.places if at in group)
    placed = [coverage for at, coverage in facts.placed if at == source]
    placed += [widened(coverage) for at, coverage in facts.placed if at != source and at in group]
    conditions = tuple(condition for at, condition in (*facts.strict, *facts.loose) if at == source)
    return Bounds(own[0] if len(own) == 1 else AllOf(own) if own else None, shared, tuple(placed), conditions)


def _placed_together(source: int, facts: _Facts) -> frozenset[int]:
    group = {source}
    for _ in facts.pairs:  # each round reaches one link farther
        group.update(*(pair for pair in facts.pairs if not pair.isdisjoint(group)))
    return frozenset(group)


def key_join(condition: Expr, tables: Tables) -> frozenset[int] | None:
    """Return the two sources that a condition joins on a parent's key, which places the rows of both; else None."""
    if not (isinstance(condition, Comparison) and condition.op == "="):
        return None
    left, right = condition.left, condition.right
    if not (isinstance(left, ColumnRef) and isinstance(right, ColumnRef)):
        return None
    if left.source not in tables or right.source not in tables:
        return None
    if _is_child_of(left, right, tables) or _is_child_of(right, left, tables):
        return frozenset({left.source, right.source})
    return None


def _is_child_of(child: ColumnRef, parent: ColumnRef, tables: Tables) -> bool:
    """Return whether `child` is the key by which its rows were placed at `parent`'s rows.

    Two children of one parent do not count: rows without a parent are placed by their own positions. Nor does a
    parent that was published anew since: its rows may have moved.
    """
    placement, there = tables[child.source].placement, tables[parent.source].table
    return (
        placement is not None
        and tables[child.source].table.schema_name == there.schema_name
        and placement.parent == there.name
        and placement.parent_release == tables[parent.source].release
        and placement.parent_key == (child.column.name, parent.column.name)
        and _compare_exactly(child.column, parent.column)
    )


def _compare_exactly(first: Column, second: Column) -> bool:
    """Return whether ``=`` finds just the pairs that a look-up by value finds: text against numbers may find more."""
    return first.datatype is second.datatype or (first.datatype.is_integer and second.datatype.is_integer)
