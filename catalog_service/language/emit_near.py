"""Joins of positions that lie close together, as equi-joins on cells of a grid.

DuckDB would compare every row of one side with every row of the other. Instead the unit sphere is laid into a grid of
cubes, which knows no poles and no RA 0. A row of one side belongs to the one cube that its position lies in; a row of
the other side is repeated for each cube that the ball around its position touches: one or two per axis, since a cube is
wider than a ball. Two positions whose separation is within the radius then meet in exactly one cube, so with the exact
test of the separation beside it the equality of cubes neither loses a pair nor gives it twice, and an outer join that
keeps the rows of the first side keeps each of them once.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ..models.near import Near, near_conditions
from ..models.query import TableScan
from ..models.schema import Column
from ..models.tree import (
    ColumnRef,
    CommonTableRef,
    Comparison,
    FromItem,
    Join,
    JoinKind,
    Point,
    Select,
    SubqueryRef,
    TableRef,
)
from ..models.walk import base_tables, conjuncts, from_sources, walk
from .sqltext import double, quoted

__all__ = ["Cells", "NearJoin", "near_join", "near_outside"]

_MAX_RADIUS_DEG: Final = 10.0
"""Of wider joins a good part of all pairs is in the answer: cells would not help."""

_SLACK: Final = 1e-9
"""Added to the radius of balls, as a chord: the rounding of vectors of positions even some thousand turns from 0."""

_CELLS_PER_BALL: Final = 3.0
"""Width of a cell, in radii of a ball: the wider, the more pairs are tested; the narrower, the more rows repeated."""

_MIN_WIDTH: Final = 2.0**-19
"""Of a cell: cells of an axis are numbered by 20 bits and a sign."""

_AXES: Final = (
    "cos(radians({dec})) * cos(radians({ra}))",
    "cos(radians({dec})) * sin(radians({ra}))",
    "sin(radians({dec}))",
)
"""Unit vector of a position in degrees."""

_STRIDES: Final = (2**42, 2**21, 1)
"""What the number of a cell grows by along each axis."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The grid for one radius.

    Parameters
    ----------
    radius_deg
        Largest separation of two positions of a pair, degrees.
    """

    radius_deg: float

    @property
    def ball(self) -> float:
        """Return the radius of the balls that cells are found for, a chord of the unit sphere, rounding included."""
        return 2 * math.sin(math.radians(self.radius_deg) / 2) + _SLACK

    @property
    def width(self) -> float:
        """Return the width of a cell."""
        return max(_CELLS_PER_BALL * self.ball, _MIN_WIDTH)

    def meets(self, position: tuple[str, str], name: str, column: str) -> str:
        """Return the condition that a position lies in the cell, and in the cube around the ball, of a repeated row.

        The cube is there because the exact test is slow: DuckDB compares columns while it finds partners, with what is
        computed of the position computed once.

        Parameters
        ----------
        position
            RA and declination, in degrees.
        name, column
            As for `repeated`.
        """
        vector = [_axis(axis, position) for axis in _AXES]
        scale, ball = double(1 / self.width), double(self.ball)
        cell = _number([f"CAST(floor({value} * {scale}) AS BIGINT)" for value in vector])
        cube = [
            f"{name}.{centre} {op} {value} {sign} {ball}"
            for centre, value in zip(_vector_names(column), vector, strict=True)
            for op, sign in ((">=", "-"), ("<=", "+"))
        ]
        return " AND ".join([f"{name}.{quoted(column)} = {cell}", *cube])

    def repeated(self, item: str, name: str, position: tuple[str, str], column: str) -> str:
        """Return a FROM item with each row once for every cell that the ball around its position touches.

        Rows without a position are left out.

        Parameters
        ----------
        item
            The FROM item, named `name`, in SQL.
        position
            RA and declination of a row, in degrees.
        column
            Name of the column of cells, which no column of the item has; names of more columns begin with it.
        """
        scale, ball = double(1 / self.width), double(self.ball)
        names = [[quoted(f"{column}_{axis}{end}") for end in ("low", "high")] for axis in "xyz"]
        vector = _vector_names(column)
        axes = ", ".join(f"{_axis(axis, position)} AS {v}" for axis, v in zip(_AXES, vector, strict=True))
        ends = ", ".join(
            f"CAST(floor(({v} {sign} {ball}) * {scale}) AS BIGINT) AS {end}"
            for v, pair in zip(vector, names, strict=True)
            for sign, end in zip("-+", pair, strict=True)
        )
        which = " + ".join(f"{4 >> i} * ({high} - {low})" for i, (low, high) in enumerate(names))
        lowest = _number([low for low, _ in names])
        cells = f"unnest({_OFFSETS}[1 + {which}]) + {lowest} AS {quoted(column)}"
        given = " AND ".join(f"{coordinate} IS NOT NULL" for coordinate in position)
        vectors = f"(SELECT *, {axes} FROM {item} WHERE {given})"  # noqa: S608
        return f"(SELECT *, {cells} FROM (SELECT *, {ends} FROM {vectors})) AS {name}"  # noqa: S608  # names are quoted


def _axis(template: str, position: tuple[str, str]) -> str:
    ra, dec = position
    return f"({template.format(ra=ra, dec=dec)})"


def _vector_names(column: str) -> list[str]:
    """Return the names of the columns of a repeated row's unit vector."""
    return [quoted(f"{column}_{axis}") for axis in "xyz"]


def _number(axes: Iterable[str]) -> str:
    """Return the number of a cell for those of its axes: they are within 2**19 + 1 of 0, so no two cells share one."""
    return f"({' + '.join(f'{axis} * {stride}' for axis, stride in zip(axes, _STRIDES, strict=True))})"


def _offsets() -> str:
    """Return lists of what to add to the lowest cell of a ball, for each set of axes along which it touches two.

    >>> _offsets()[:50]
    '[[0], [0, 1], [0, 2097152], [0, 1, 2097152, 209715'
    """
    lists = []
    for axes in range(8):
        offsets = [0]
        for bit, stride in ((1, _STRIDES[2]), (2, _STRIDES[1]), (4, _STRIDES[0])):
            offsets += [offset + stride for offset in offsets] if axes & bit else []
        lists.append(str(offsets))
    return f"[{', '.join(lists)}]"


_OFFSETS: Final = _offsets()


# --- which joins, and how -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NearJoin:
    """How to run one join by cells."""

    cells: Cells
    repeats_left: bool
    """Whether the rows of the left side are those repeated."""
    point: Point
    """Position of the other side's rows."""
    repeated: Point
    """Position of the rows that are repeated."""
    column: str
    """Name for the column of cells."""

    @property
    def repeated_source(self) -> int:
        """Return the source whose rows are repeated."""
        assert isinstance(self.repeated.ra, ColumnRef)
        return self.repeated.ra.source


def near_join(join: Join, scans: Mapping[int, TableScan]) -> NearJoin | None:
    """Return how to run a join by cells; None where ON demands no such separation, or cells do not help.

    Of an inner join the side with fewer rows is repeated; of an outer one that whose unmatched rows are dropped.
    """
    near = _nearest(join)
    if near is None or _joins_by_key(join):
        return None
    first_is_left = near.sources[0] in from_sources(join.left)
    left, right = (near.first, near.second) if first_is_left else (near.second, near.first)
    sides = [at_left for at_left in _droppable(join.kind) if not isinstance(_side(join, at_left), Join)]
    if not sides:
        return None
    repeats_left = min(sides, key=lambda at_left: _rows(_side(join, at_left), scans))
    point, repeated = (right, left) if repeats_left else (left, right)
    column = _free_name(_side(join, repeats_left))
    return NearJoin(Cells(near.radius_deg), repeats_left, point, repeated, column)


def near_outside(select: Select) -> NearJoin | None:
    """Return how to find by cells the rows of a subquery that lie close to a row of the query around it.

    None where its WHERE demands no such separation, or cells do not help. FROM is a single item: its rows are repeated.
    Each meets a row outside in one cube only, so that neither EXISTS nor an aggregate sees it twice.
    """
    item = select.source
    if not isinstance(item, TableRef | SubqueryRef | CommonTableRef):
        return None
    near = _narrowest(near for near in near_conditions(select.where) if item.source in near.sources)
    if near is None:
        return None
    first_is_own = near.sources[0] == item.source
    own, outer = (near.first, near.second) if first_is_own else (near.second, near.first)
    return NearJoin(Cells(near.radius_deg), repeats_left=True, point=outer, repeated=own, column=_free_name(item))


def _nearest(join: Join) -> Near | None:
    """Return the narrowest separation that ON demands of rows of the two sides."""
    left, right = from_sources(join.left), from_sources(join.right)
    return _narrowest(
        near
        for near in near_conditions(join.on)
        if not left.isdisjoint(near.sources) and not right.isdisjoint(near.sources)
    )


def _narrowest(found: Iterable[Near]) -> Near | None:
    near = min(found, key=lambda near: near.radius_deg, default=None)
    return None if near is None or near.radius_deg > _MAX_RADIUS_DEG else near


def _droppable(kind: JoinKind) -> tuple[bool, ...]:
    """Return the sides, left as True, whose rows are not kept without a partner; the right one first."""
    return {JoinKind.INNER: (False, True), JoinKind.LEFT: (False,), JoinKind.RIGHT: (True,)}.get(kind, ())


def _side(join: Join, at_left: bool) -> FromItem:  # noqa: FBT001
    return join.left if at_left else join.right


def _rows(item: FromItem, scans: Mapping[int, TableScan]) -> int:
    return sum(scans[node.source].rows for node in walk(item) if isinstance(node, TableRef))


def _joins_by_key(join: Join) -> bool:
    """Return whether ON also equates a table's whole key, by which few rows are paired anyway."""
    keys = {(table.source, *table.table.primary_key) for table in base_tables(join)}
    for part in conjuncts(join.on):
        match part:
            case Comparison(op="=", left=ColumnRef() as one, right=ColumnRef() as other) if one.source != other.source:
                if not keys.isdisjoint((ref.source, ref.column.name) for ref in (one, other)):
                    return True
            case _:
                pass
    return False


def _free_name(item: FromItem) -> str:
    """Return a name with which no column of a FROM item begins."""
    assert isinstance(item, TableRef | SubqueryRef | CommonTableRef)
    columns: Iterable[Column] = item.table.columns if isinstance(item, TableRef) else item.columns
    taken = [column.name.lower() for column in columns]
    name = "cell"
    while any(other.startswith(name) for other in taken):
        name = f"_{name}"
    return name
