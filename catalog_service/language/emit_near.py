"""Joins of near positions as joins of equal cells, which DuckDB answers by hashing instead of comparing all pairs.

Space is cut into cubes. A row of one side lies in the cube of its unit vector; a row of the other side is repeated for
each cube that a ball around its unit vector touches, whose radius is the chord of the separation. So every near pair
meets in just one cube, that of the single row, and equality of cubes beside the exact condition keeps each pair once.
Poles and RA 0 are places like any other. A row without a position is in no cube and near to none.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from ..models.tree import Coordinate, Expr, Point
from .near import Sides, near_joins
from .sqltext import double, quoted

__all__ = ["Cells"]

_SIDE: Final = 3.0
"""Side of a cube in radii of the ball, at least 2, so that a ball touches two cubes an axis: 4.6 cubes in the mean.
Smaller cubes mean more rows, larger ones more pairs to test; measured, 2 to 4 are alike."""

_PAD: Final = 1e-10
"""Radius that is added to each ball: the tolerance of boundaries, and more than rounding moves a unit vector of a right
ascension of up to a thousand turns."""

_SMALLEST_SIDE: Final = 2.0**-19
"""0.4 arcsec: cubes of an axis have numbers below 2**20 in size."""


_Added = tuple[Callable[[str, str, str, tuple["_Axis", ...]], str], str, tuple["_Axis", ...]]
"""What adds a column to a FROM item, the column's name, and the axes of the position."""


class Cells:
    """The cell joins of one statement: notes them as conditions are written, and adds cells to FROM items.

    Parameters
    ----------
    write
        Writes an expression.
    rows
        About how many rows each source has: the smaller one of two is the one to repeat.
    taken
        Names of columns.
    """

    def __init__(self, write: Callable[[Expr], str], rows: Mapping[int, int], taken: Collection[str]) -> None:
        self._write = write
        self._rows = rows
        self._count = 0
        self._added: defaultdict[int, list[_Added]] = defaultdict(list)
        self._prefix = "near"
        while any(name.lower().startswith(self._prefix) for name in taken):
            self._prefix = f"_{self._prefix}"

    def conditions(self, condition: Expr | None, sides: Sides) -> list[str]:
        """Return the equalities of cells that stand beside `condition`, one for each near join in it."""
        equal = []
        for join in near_joins(condition, sides, self._rows):
            name = f"{self._prefix}{self._count}"
            self._count += 1
            (single, point), (repeated, other) = join.single, join.repeated
            self._added[single].append((_cell, name, self._axes(point, join.radius_deg)))
            self._added[repeated].append((_touched_cells, name, self._axes(other, join.radius_deg)))
            equal.append(f'("t{single}".{quoted(name)} = "t{repeated}".{quoted(name)})')
        return equal

    def _axes(self, point: Point, radius_deg: float) -> tuple["_Axis", ...]:
        ra, dec = (self._write(Coordinate(axis, point)) for axis in (1, 2))  # finite DOUBLEs, or NULL
        return _axes(ra, dec, radius_deg)

    def added_to(self, source: int, item: str) -> str:
        """Return a FROM item, ``(...) AS "t0"``, with the cells that conditions written before ask of it."""
        for add, name, axes in self._added.pop(source, ()):  # a subquery that is written twice asks twice
            item = add(item, f'"t{source}"', name, axes)
        return item


@dataclass(frozen=True, slots=True)
class _Axis:
    """One coordinate of a unit vector, counted in sides of cubes."""

    position: str
    reach: str
    """Radius of the ball around a repeated row."""

    @property
    def cube(self) -> str:
        """Number of the cube that the unit vector is in."""
        return f"CAST(floor({self.position}) AS BIGINT)"

    @property
    def cubes(self) -> str:
        """List of the numbers of the cubes that the ball touches."""
        low, high = (f"CAST(floor({self.position} {sign} {self.reach}) AS BIGINT)" for sign in "-+")
        return f"range({low}, {high} + 1)"


def _axes(ra: str, dec: str, radius_deg: float) -> tuple[_Axis, ...]:
    """Return x, y and z of a position for a join within a radius."""
    reach = 2 * math.sin(math.radians(radius_deg) / 2) * (1 + 1e-9) + _PAD
    side = max(_SIDE * reach, _SMALLEST_SIDE)
    across = f"cos(radians({dec}))"
    vector = (f"{across} * cos(radians({ra}))", f"{across} * sin(radians({ra}))", f"sin(radians({dec}))")
    return tuple(_Axis(f"{value} * {double(1 / side)}", double(reach / side)) for value in vector)


def _cell(item: str, alias: str, name: str, axes: tuple[_Axis, ...]) -> str:
    """Return a FROM item with the cube of each row as column `name`."""
    return _with_columns(item, alias, {name: _packed(*(axis.cube for axis in axes))})


def _touched_cells(item: str, alias: str, name: str, axes: tuple[_Axis, ...]) -> str:
    """Return a FROM item whose rows are repeated, axis by axis, for the cubes that they touch."""
    x, y, z = (f"{name}{axis}" for axis in "xyz")
    item = _with_columns(item, alias, {list_: axis.cubes for list_, axis in zip((x, y, z), axes, strict=True)})
    item = _with_columns(item, alias, {f"{x}_": f"unnest({quoted(x)})"})
    item = _with_columns(item, alias, {f"{y}_": f"unnest({quoted(y)})"})
    return _with_columns(item, alias, {name: _packed(quoted(f"{x}_"), quoted(f"{y}_"), f"unnest({quoted(z)})")})


def _with_columns(item: str, alias: str, columns: Mapping[str, str]) -> str:
    written = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in columns.items())
    return f"(SELECT {alias}.*, {written} FROM {item}) AS {alias}"  # noqa: S608  # names are quoted


def _packed(x: str, y: str, z: str) -> str:
    return f"({x} + {y} * {1 << 21} + {z} * {1 << 42})"
