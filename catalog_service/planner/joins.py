"""What WHERE and the ON clauses of one SELECT say about the rows of each of its tables.

The walk goes from the result down to the tables and carries facts that hold in every row that can reach the result.
Rows in which they do not hold may be left out, or wrongly be left without a partner, unnoticed:

- A fact about a table is false where an outer join has put NULLs in its place. Where facts speak of one side of an
  outer join, its unmatched rows of the other side cannot reach the result.
- The facts of an inner join's ON clause hold for all of its rows, wherever it stands in the tree of joins; those of
  an outer join hold for matched rows, so they are handed to a side unless its unmatched rows are kept.
  Rows of the other side can then only lose partners with which they would not reach the result either.

A child row lies in the tile of its declared parent's position. Rows joined on the parent's key therefore have the same
placing position, and a region that bounds one of them bounds the other. So it does, enlarged by the radius, for rows
joined on a separation. Derived tables are in the walk because such chains may lead through them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from partitioning.sky.coverage import Coverage, enlarged, widened

from ..models.ids import FoundIds
from ..models.schema import Column, SkyPosition
from ..models.statistics import NO_STATISTICS, Statistics
from ..models.stored import StoredTable
from ..models.tree import (
    ColumnRef,
    CommonTableRef,
    Comparison,
    Expr,
    FromItem,
    Join,
    JoinKind,
    Select,
    SubqueryRef,
    TableRef,
)
from ..models.walk import conjuncts, from_sources
from .ids import condition_ids
from .near import Link, links, reaches
from .negation import without_not
from .prune import Bound, Bounds
from .regions import AllOf, Enlarged, RegionExpr, condition_regions
from .statistics import Kept, kept_files

__all__ = ["NO_DERIVED", "Derived", "Origins", "Place", "key_join", "table_bounds", "tied_positions"]

Tables = Mapping[int, StoredTable]
"""Base tables of one SELECT, by source number."""

Place = tuple[int, bool]
"""A position of the rows of a source: their own, if True, else the one that places them."""

Origins = Mapping[tuple[int, str], ColumnRef]
"""What columns of derived tables, by source and name, are in base tables."""


@dataclass(frozen=True, slots=True)
class Derived:
    """The position of a table that each row of a derived or common table passes on, if it has any."""

    position: SkyPosition
    """Its columns, as the derived table calls them."""
    region: RegionExpr | None
    """Where all of these positions lie; None: anywhere."""


NO_DERIVED: Final[Mapping[int, Derived]] = {}
NO_ORIGINS: Final[Origins] = {}

_KEEPS_LEFT: Final = (JoinKind.LEFT, JoinKind.FULL)
_KEEPS_RIGHT: Final = (JoinKind.RIGHT, JoinKind.FULL)


@dataclass(frozen=True, slots=True)
class _Sources:
    """What is known of the FROM items of one SELECT beforehand, by source number."""

    tables: Tables
    found: FoundIds
    derived: Mapping[int, Derived]
    statistics: Statistics
    origins: Origins = field(default_factory=dict)

    def separation_deg(self, source: int) -> float:
        """Return how far a row's own position may be from the one that places it."""
        return self.tables[source].max_separation_deg if source in self.tables else 0.0


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
    near: tuple[Link[int], ...] = ()
    """Sources whose own positions lie close together."""
    kept: tuple[Kept, ...] = ()
    """Sources whose rows lie in some files only, by the statistics of columns."""

    def __add__(self, other: "_Facts") -> "_Facts":
        return _Facts(
            self.regions + other.regions,
            self.places + other.places,
            self.placed + other.placed,
            self.pairs + other.pairs,
            self.near + other.near,
            self.kept + other.kept,
        )

    def without_null_tests(self) -> "_Facts":
        """Return what is also true where an outer join may put NULLs in place of a row."""
        return replace(self, kept=tuple(one for one in self.kept if one.is_strict))

    def exclude_null(self, sources: frozenset[int]) -> bool:
        """Return whether no row reaches the result in which all of `sources` are NULL."""
        bounded = {source for source, _ in (*self.regions, *self.places, *self.placed)}
        bounded |= {one.source for one in self.kept if one.is_strict}
        return not sources.isdisjoint(bounded.union(*self.pairs, *(link.sources for link in self.near)))


def table_bounds(
    select: Select,
    tables: Tables,
    found: FoundIds,
    derived: Mapping[int, Derived] = NO_DERIVED,
    statistics: Statistics = NO_STATISTICS,
) -> dict[int, Bounds]:
    """Return what bounds the rows of each FROM item of `select`, by source number.

    Parameters
    ----------
    tables
        Base tables of FROM.
    found
        Where the rows of ids lie.
    derived
        Positions that derived and common tables of FROM pass on.
    statistics
        Bounds of the columns that the query constrains.
    """
    assert select.source is not None
    sources = _Sources(tables, found, derived, statistics)
    facts = _facts(select.where, sources) + _certain(select.source, sources)
    known = _descend(select.source, facts, sources)
    return {source: _bounds(source, facts, sources) for source, facts in known}


def tied_positions(
    select: Select, tables: Tables, derived: Mapping[int, Derived], origins: Origins
) -> dict[int, tuple[Link[Place], ...]]:
    """Return which positions lie close together where a FROM item of one SELECT matters, by its source number.

    Rows of the item that are farther from others than these links say reach no row of the result with them.

    Parameters
    ----------
    tables, derived
        Of the whole query, since conditions of a subquery may speak of sources outside.
    origins
        Columns of base tables that derived tables pass on.
    """
    assert select.source is not None
    sources = _Sources(tables, {}, derived, NO_STATISTICS, origins)
    certain = _facts(select.where, sources) + _certain(select.source, sources)
    return {source: tuple(_places(facts)) for source, facts in _descend(select.source, certain, sources)}


def _places(facts: _Facts) -> Iterator[Link[Place]]:
    for link in facts.near:
        yield Link(frozenset((source, True) for source in link.sources), link.within_deg)
    for pair in facts.pairs:
        yield Link(frozenset((source, False) for source in pair), 0.0)


def _descend(item: FromItem, known: _Facts, sources: _Sources) -> Iterator[tuple[int, _Facts]]:
    if isinstance(item, TableRef | SubqueryRef | CommonTableRef):
        yield item.source, known
    elif isinstance(item, Join):
        if not item.kind.is_outer:
            yield from _descend(item.left, known, sources)
            yield from _descend(item.right, known, sources)
            return
        left, right = (from_sources(side) for side in (item.left, item.right))
        matched = known + _facts(item.on, sources)
        keeps_left = item.kind in _KEEPS_LEFT and not known.exclude_null(right)
        keeps_right = item.kind in _KEEPS_RIGHT and not known.exclude_null(left)
        of_left, of_right = known if keeps_left else matched, known if keeps_right else matched
        # rows of a table whose place NULLs may take are not left out for what is true of the NULLs, too
        if item.kind in _KEEPS_LEFT:
            of_right = of_right.without_null_tests()
        if item.kind in _KEEPS_RIGHT:
            of_left = of_left.without_null_tests()
        if item.kind in _KEEPS_LEFT:
            of_right += _certain(item.right, sources)
        if item.kind in _KEEPS_RIGHT:
            of_left += _certain(item.left, sources)
        yield from _descend(item.left, of_left, sources)
        yield from _descend(item.right, of_right, sources)


def _certain(item: FromItem, sources: _Sources) -> _Facts:
    """Return what the ON clauses inside a FROM item say of all of its rows: those of inner joins."""
    if not isinstance(item, Join):
        return _Facts()
    facts = _Facts() if item.kind.is_outer else _facts(item.on, sources)
    if item.kind not in _KEEPS_RIGHT:
        facts += _certain(item.left, sources)
    if item.kind not in _KEEPS_LEFT:
        facts += _certain(item.right, sources)
    return facts


def _facts(condition: Expr | None, sources: _Sources) -> _Facts:
    tables, found = sources.tables, sources.found
    positions = {source: s.table.position for source, s in tables.items() if s.table.position is not None}
    positions |= {source: one.position for source, one in sources.derived.items()}
    placing = {source: position for source, s in tables.items() if (position := _placing_position(s)) is not None}
    pairs = (key_join(part, tables, sources.origins) for part in conjuncts(condition))
    stored_ra = {source: bounds for source, s in tables.items() if (bounds := _stored_ra(s)) is not None}
    positive = None if condition is None else without_not(condition)
    return _Facts(
        regions=tuple(condition_regions(positive, positions, stored_ra).items()),
        places=tuple(condition_regions(positive, placing).items()),
        placed=tuple((bound.source, found[bound]) for bound in condition_ids(condition, tables) if bound in found),
        pairs=tuple(pair for pair in pairs if pair is not None),
        near=tuple(links(positive, positions)),
        kept=tuple(kept_files(condition, tables, sources.statistics)),
    )


def _stored_ra(stored: StoredTable) -> tuple[float, float] | None:
    """Return least and largest right ascension of the rows' own positions, None if that is not known."""
    placement = stored.placement
    if placement is None or placement.ra_min is None or placement.ra_max is None:
        return None
    return placement.ra_min, placement.ra_max


def _placing_position(stored: StoredTable) -> SkyPosition | None:
    """Return the position that placed a table's rows if it is not their own."""
    if stored.table.partition_position is None:
        return None
    ra, dec = stored.table.partition_position
    position = SkyPosition(ra.name, dec.name)
    return None if position == stored.table.position else position


def _bounds(source: int, facts: _Facts, sources: _Sources) -> Bounds:
    """Return the regions of the table's own position, and those of tables that share its placing position.

    The own positions of the latter may lie away from it, hence the pad.
    """
    group = _placed_together(source, facts)
    pad_deg = sum(map(sources.separation_deg, group))
    regions = facts.regions + _passed_on(sources)
    own = tuple(region for at, region in regions if at == source)
    shared = tuple(Bound(region, pad_deg) for at, region in regions if at != source and at in group)
    shared += tuple(Bound(region) for at, region in facts.places if at in group)
    placed = [coverage for at, coverage in facts.placed if at == source]
    placed += [widened(coverage) for at, coverage in facts.placed if at != source and at in group]
    reach = _reach(source, facts, sources)
    near = tuple(Enlarged(region, reach[at]) for at, region in regions if at in reach)
    near += tuple(
        Enlarged(region, reach[at] + sources.separation_deg(at)) for at, region in facts.places if at in reach
    )
    if _has_position(source, sources):
        own += near
    else:
        shared += tuple(map(Bound, near))
    for at, coverage in facts.placed:
        if at in reach:
            placed.append(enlarged(coverage, reach[at] + sources.separation_deg(at) + sources.separation_deg(source)))
    kept = tuple((one.names, one.mask) for one in facts.kept if one.source == source)
    return Bounds(own[0] if len(own) == 1 else AllOf(own) if own else None, shared, tuple(placed), kept)


def _passed_on(sources: _Sources) -> tuple[tuple[int, RegionExpr], ...]:
    """Return the regions of positions of derived tables: all rows lie there that have one."""
    return tuple((source, one.region) for source, one in sources.derived.items() if one.region is not None)


def _has_position(source: int, sources: _Sources) -> bool:
    return source in sources.derived or (source in sources.tables and sources.tables[source].table.position is not None)


def _reach(source: int, facts: _Facts, sources: _Sources) -> dict[int, float]:
    """Return how far from a source's position those of sources are to which a separation in a condition leads.

    On the way, rows with one placing position are as far apart as their own positions may be from it.
    """
    if not facts.near:
        return {}
    shared = (Link(pair, sum(map(sources.separation_deg, pair))) for pair in facts.pairs)
    found = reaches(source, (*facts.near, *shared))
    group = _placed_together(source, facts)
    return {at: reach for at, reach in found.items() if at not in group}


def _placed_together(source: int, facts: _Facts) -> frozenset[int]:
    group = {source}
    for _ in facts.pairs:  # each round reaches one link farther
        group.update(*(pair for pair in facts.pairs if not pair.isdisjoint(group)))
    return frozenset(group)


def key_join(condition: Expr, tables: Tables, origins: Origins = NO_ORIGINS) -> frozenset[int] | None:
    """Return the two sources that a condition joins on a key by which the rows of both have one place; else None.

    It is a parent's key, which places its rows and those of its child, or an id of which no table has two rows.
    """
    if not (isinstance(condition, Comparison) and condition.op == "="):
        return None
    left, right = condition.left, condition.right
    if not (isinstance(left, ColumnRef) and isinstance(right, ColumnRef)):
        return None
    left, right = (origins.get((one.source, one.column.name), one) for one in (left, right))
    if left.source not in tables or right.source not in tables or left.source == right.source:
        return None
    if _is_child_of(left, right, tables) or _is_child_of(right, left, tables) or _is_one_row(left, right, tables):
        return frozenset({left.source, right.source})
    return None


def _is_one_row(one: ColumnRef, other: ColumnRef, tables: Tables) -> bool:
    """Return whether two columns are one id of one table, so that equal values stand in the same row of it."""
    stored, index = tables[one.source], tables[one.source].indexes.get(one.column.name)
    same = stored is tables[other.source] and one.column.name == other.column.name
    return same and index is not None and index.is_unique


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
