"""Which conditions join rows whose positions are near each other, and which side's rows may be repeated for it.

`emit_near` writes such a join as one of equal cells: rows of one side are in a cell each, those of the other are
repeated for all cells within reach. That does no harm, in a join of whatever kind, as long as the rows that come of it
must pass the condition. Where rows without a partner survive, as in a LEFT JOIN, they must not be the repeated ones;
where those of both sides do, nothing is joined by cells.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ..models.conditions import Near, demanded_nearness
from ..models.query import TableScan
from ..models.tree import (
    And,
    Binary,
    ColumnRef,
    CommonTableRef,
    Comparison,
    Expr,
    FromItem,
    IntegerLiteral,
    InUnit,
    Join,
    JoinKind,
    Point,
    Query,
    RealLiteral,
    Select,
    SubqueryRef,
    TableRef,
    Unary,
    With,
)
from .rewrite import walk

__all__ = ["NearJoin", "Sides", "leaves", "near_joins", "rows_by_source", "sides_of"]

_LARGEST_DEG: Final = 10.0
"""Cells for larger separations hold much of the sky: they would leave out few pairs."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Sources whose rows a condition may bring together."""

    single: Collection[int]
    """Whose rows may survive without a partner, or come from an enclosing query."""
    repeated: Collection[int]
    """Whose rows reach the result only through the condition."""


@dataclass(frozen=True, slots=True)
class NearJoin:
    """Points of two sources that a condition demands to be near each other."""

    single: tuple[int, Point]
    repeated: tuple[int, Point]
    radius_deg: float


def near_joins(condition: Expr | None, sides: Sides, rows: Mapping[int, int]) -> list[NearJoin]:
    """Return the joins of near positions in `condition`, one for each pair of sources.

    Pairs that are joined by an id as well are left out: cells would only cost there.

    Parameters
    ----------
    condition
        Of WHERE or ON.
    sides
        Whose rows may be repeated.
    rows
        About how many rows each source has: the smaller one of two is repeated.
    """
    parts = list(_conjuncts(condition))
    joined = {keys for part in parts if (keys := _keys(part)) is not None}
    found = []
    for part in parts:
        near = demanded_nearness(part)
        join = None if near is None else _join(near, sides, rows)
        if join is not None and frozenset({join.single[0], join.repeated[0]}) not in joined:
            joined.add(frozenset({join.single[0], join.repeated[0]}))
            found.append(join)
    return found


def _join(near: Near, sides: Sides, rows: Mapping[int, int]) -> NearJoin | None:
    first, second = _source(near.first), _source(near.second)
    if near.radius_deg > _LARGEST_DEG or first is None or second is None or first == second:
        return None
    points = (first, near.first), (second, near.second)
    fitting = [
        NearJoin(single, repeated, near.radius_deg)
        for single, repeated in (points, points[::-1])
        if single[0] in sides.single and repeated[0] in sides.repeated
    ]
    return min(fitting, key=lambda join: rows.get(join.repeated[0], 0), default=None)


_PLAIN: Final = (Point, ColumnRef, IntegerLiteral, RealLiteral, Unary, Binary, InUnit)
"""Of these a position may be made, to be computed where the columns of one source are at hand."""


def _source(point: Point) -> int | None:
    """Return the one source whose columns make a point, None for any other."""
    sources = set()
    for node in walk(point):
        if not isinstance(node, _PLAIN):
            return None
        if isinstance(node, ColumnRef):
            sources.add(node.source)
    return sources.pop() if len(sources) == 1 else None


def _conjuncts(condition: Expr | None) -> Iterator[Expr]:
    if isinstance(condition, And):
        for operand in condition.operands:
            yield from _conjuncts(operand)
    elif condition is not None:
        yield condition


def _keys(condition: Expr) -> frozenset[int] | None:
    """Return the sources that are joined by an id already, so that cells would only cost."""
    match condition:
        case Comparison(op="=", left=ColumnRef() as left, right=ColumnRef() as right):
            return frozenset({left.source, right.source}) if left.column.indexed or right.column.indexed else None
        case _:
            return None


def sides_of(join: Join) -> Sides:
    """Return which rows the ON clause of a join may repeat: those that do not survive without a partner."""
    left, right = leaves(join.left), leaves(join.right)
    repeated = {JoinKind.LEFT: right, JoinKind.RIGHT: left, JoinKind.FULL: frozenset[int]()}
    return Sides(left | right, repeated.get(join.kind, left | right))


def leaves(item: FromItem | None) -> frozenset[int]:
    """Return the sources of one FROM."""
    match item:
        case Join(left=left, right=right):
            return leaves(left) | leaves(right)
        case TableRef(source=source) | SubqueryRef(source=source) | CommonTableRef(source=source):
            return frozenset({source})
        case _:
            return frozenset()


def rows_by_source(tree: Query, scans: Mapping[int, TableScan]) -> Mapping[int, int]:
    """Return about how many rows each FROM item has: a derived table no more than all that it reads, or its TOP."""
    common = {table.name.text: table.query for table in tree.tables} if isinstance(tree, With) else {}
    rows = {}
    for node in walk(tree):
        match node:
            case TableRef(source=source):
                rows[source] = _stored_rows(node, scans)
            case SubqueryRef(source=source, query=query):
                rows[source] = _most_rows(query, scans)
            case CommonTableRef(source=source, name=name) if name in common:
                rows[source] = _most_rows(common[name], scans)
            case _:
                pass
    return rows


def _most_rows(query: Query, scans: Mapping[int, TableScan]) -> int:
    read = sum(_stored_rows(node, scans) for node in walk(query) if isinstance(node, TableRef))
    top = query.top if isinstance(query, Select) else None
    return read if top is None else min(read, top)


def _stored_rows(table: TableRef, scans: Mapping[int, TableScan]) -> int:
    return scans[table.source].rows if table.source in scans else 0
