"""Which parts of a condition bound a table's position on the sky.

A condition gives, for each FROM item, a region expression that every row satisfying the condition lies in: a
superset, never less. What is not recognised gives no bound, so an unknown form costs speed, not rows.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Final

from partitioning.exceptions import RegionError
from partitioning.sky.coverage import Coverage, cover, enlarged, intersection, union
from partitioning.sky.regions import Box, Cone, Polygon, Region

from ..models.comparisons import MIRRORED, constant
from ..models.near import Separation, separation
from ..models.schema import SkyPosition
from ..models.tree import (
    Between,
    Circle,
    ColumnRef,
    Comparison,
    Contains,
    Expr,
    FunctionCall,
    IntegerLiteral,
    Intersects,
    Or,
    Point,
    PolygonShape,
)
from ..models.walk import conjuncts
from .scisql_regions import scisql_region

__all__ = [
    "AllOf",
    "AnyOf",
    "Around",
    "Enlarged",
    "RegionExpr",
    "condition_regions",
    "conjuncts",
    "cover_expr",
    "own_position",
]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Intersection of regions."""

    parts: tuple["RegionExpr", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Union of regions."""

    parts: tuple["RegionExpr", ...]


@dataclass(frozen=True, slots=True)
class Enlarged:
    """All that lies within `by_deg` of a region."""

    part: "RegionExpr"
    by_deg: float


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """Cells that hold the positions of some rows."""

    cells: Coverage
    order: int
    """Of the cells."""


RegionExpr = Around | Region | AllOf | AnyOf | Enlarged

_NOWHERE: Final = AnyOf(())

_HOLDS: Final = {("=", 1.0), ("<>", 0.0), (">", 0.0), (">=", 1.0)}
"""Comparisons of 1 or 0 with a constant that are true of 1 alone."""

Positions = Mapping[int, SkyPosition]
"""Own position columns of the FROM items that have one, by source number."""

StoredRa = Mapping[int, tuple[float, float]]
"""Least and largest right ascension that is stored, by source number, where that is known."""

NO_STORED_RA: Final[StoredRa] = {}


def cover_expr(expr: RegionExpr, pad_deg: float) -> Coverage:
    """Return a coverage of `expr` with every region enlarged by `pad_deg`."""
    match expr:
        case AllOf(parts):
            return reduce(intersection, (cover_expr(part, pad_deg) for part in parts))
        case AnyOf(parts):
            return union(*(cover_expr(part, pad_deg) for part in parts))
        case Enlarged(part, by_deg):
            return cover_expr(part, pad_deg + by_deg)
        case Around(cells, order):
            return enlarged(cells, pad_deg, finest=order)
        case _:
            return cover(expr, pad_deg)


def condition_regions(
    condition: Expr | None, positions: Positions, stored_ra: StoredRa = NO_STORED_RA
) -> dict[int, RegionExpr]:
    """Return the region that bounds each source's own position where `condition` is true."""
    parts = conjuncts(condition)
    bounds = [
        _disjunction_regions(part, positions, stored_ra) if isinstance(part, Or) else _atom_regions(part, positions)
        for part in parts
    ]
    bounds.append(_box_regions(parts, positions, stored_ra))
    return _merged(bounds)


def _merged(bounds: Iterable[Mapping[int, RegionExpr]]) -> dict[int, RegionExpr]:
    collected: dict[int, list[RegionExpr]] = {}
    for bound in bounds:
        for source, expr in bound.items():
            collected.setdefault(source, []).append(expr)
    return {source: exprs[0] if len(exprs) == 1 else AllOf(tuple(exprs)) for source, exprs in collected.items()}


def _disjunction_regions(condition: Or, positions: Positions, stored_ra: StoredRa) -> dict[int, RegionExpr]:
    """Return bounds for the sources that every branch of an OR bounds."""
    branches = [condition_regions(operand, positions, stored_ra) for operand in condition.operands]
    common = set.intersection(*(set(branch) for branch in branches))
    return {source: AnyOf(tuple(branch[source] for branch in branches)) for source in common}


def _atom_regions(condition: Expr, positions: Positions) -> dict[int, RegionExpr]:
    found = _distance_region(condition, positions)
    if found is None and isinstance(condition, Comparison):
        found = _contains_region(condition, positions) or _scisql_region(condition, positions)
    return {} if found is None else {found[0]: found[1]}


def _contains_region(condition: Comparison, positions: Positions) -> tuple[int, RegionExpr] | None:
    """``CONTAINS(POINT(ra, dec), shape) = 1``, also of a circle about either point, and INTERSECTS of these."""
    op, left, right = condition.op, _without_null(condition.left), _without_null(condition.right)
    if not isinstance(left, Contains | Intersects):
        op, left, right = MIRRORED.get(op, op), right, left
    if (op, constant(right)) not in _HOLDS:
        return None
    match left:
        case Contains(inner=inner, outer=outer):
            pairs = [(inner, outer)]
            if isinstance(inner, Point) and isinstance(outer, Circle):  # as near as the other way round
                pairs.append((outer.centre, Circle(inner, outer.radius)))
        case Intersects(first=first, second=second):
            pairs = [(first, second), (second, first)]
        case _:
            return None
    for about, shape in pairs:
        position, reach = (about.centre, constant(about.radius)) if isinstance(about, Circle) else (about, 0.0)
        source, region = own_position(position, positions), _shape(shape)
        if source is not None and region is not None and reach is not None and reach >= 0:
            return source, Enlarged(region, reach) if reach and isinstance(left, Intersects) else region
    return None


def _scisql_region(condition: Comparison, positions: Positions) -> tuple[int, RegionExpr] | None:
    """``scisql_s2PtInBox(ra, dec, ...) = 1``, either way round."""
    call, value = condition.left, condition.right
    if not isinstance(call, FunctionCall):
        call, value = value, call
    if condition.op != "=" or not isinstance(call, FunctionCall) or len(call.args) < 3 or constant(value) != 1:
        return None
    source, numbers = own_position(Point(*call.args[:2]), positions), _constants(call.args[2:])
    try:
        region = None if source is None or numbers is None else scisql_region(call.name, numbers)
    except RegionError:  # no row is inside of it either
        return None
    return None if source is None or region is None else (source, region)


def _without_null(expr: Expr) -> Expr:
    """Return what ``COALESCE(a, 0)`` compares equal to 1 for; other expressions as they are."""
    match expr:
        case FunctionCall(name="coalesce", args=(inner, IntegerLiteral(value=0))):
            return inner
        case _:
            return expr


def _distance_region(condition: Expr, positions: Positions) -> tuple[int, RegionExpr] | None:
    """``DISTANCE(POINT(ra, dec), POINT(1, 2)) < r`` in any order and unit; ``> r`` too, for more than 90 degrees."""
    found = separation(condition)
    if found is None:
        return None
    for point, centre in ((found.first, found.second), (found.second, found.first)):
        source = own_position(point, positions)
        numbers = _constants((centre.ra, centre.dec)) if isinstance(centre, Point) else None
        if source is not None and numbers is not None:
            cone = _cone(numbers[0], numbers[1], found)
            return None if cone is None else (source, cone)
    return None


def _cone(ra: float, dec: float, bound: Separation) -> Cone | None:
    """Return the cone that a separation from a constant position allows; what is far from it is near its antipode."""
    try:
        if bound.most_deg is not None:
            return Cone(ra, dec, min(max(bound.most_deg, 0.0), 180.0))
        if bound.least_deg is not None and bound.least_deg > 90:
            return Cone(ra + 180, -dec, max(180 - bound.least_deg, 0.0))
    except RegionError:  # the language layer reports it with its position
        pass
    return None


def own_position(point: Expr, positions: Positions) -> int | None:
    """Return the source whose own position `point` is, or None."""
    if not (isinstance(point, Point) and isinstance(point.ra, ColumnRef) and isinstance(point.dec, ColumnRef)):
        return None
    position = positions.get(point.ra.source)
    if point.ra.source != point.dec.source or position is None:
        return None
    return point.ra.source if (point.ra.column.name, point.dec.column.name) == (position.ra, position.dec) else None


def _shape(shape: Expr) -> Region | None:
    """Return the region of a shape made of constants; None for any other."""
    try:
        match shape:
            case Circle(centre=Point(ra=ra, dec=dec), radius=radius):
                numbers = _constants((ra, dec, radius))
                return None if numbers is None else Cone(*numbers)
            case PolygonShape(vertices=vertices):
                corners = [_constants((v.ra, v.dec)) for v in vertices if isinstance(v, Point)]
                if len(corners) != len(vertices):
                    return None
                return Polygon(tuple((c[0], c[1]) for c in corners if c is not None)) if None not in corners else None
            case _:
                return None
    except RegionError:  # the language layer reports it with its position
        return None


def _box_regions(parts: Iterable[Expr], positions: Positions, stored_ra: StoredRa) -> dict[int, RegionExpr]:
    """Plain comparisons of position columns with constants: a range of Dec, or of RA and Dec.

    A stored RA may be of any turn. So one that is bounded on one side only is used only if it is known what is stored.
    """
    bounds: dict[tuple[int, str], tuple[float, float]] = {}
    for part in parts:
        for key, low, high in _column_bounds(part):
            old = bounds.get(key, (-math.inf, math.inf))
            bounds[key] = (max(old[0], low), min(old[1], high))
    boxes: dict[int, RegionExpr] = {}
    for source, position in positions.items():
        ra, (least, most) = bounds.get((source, position.ra)), stored_ra.get(source, (-math.inf, math.inf))
        if ra is not None and (ra[0] > most or ra[1] < least):
            boxes[source] = _NOWHERE
            continue
        if ra is not None:
            ra = max(ra[0], least), min(ra[1], most)
        box = _box(ra, bounds.get((source, position.dec)))
        if box is not None:
            boxes[source] = box
    return boxes


def _box(ra: tuple[float, float] | None, dec: tuple[float, float] | None) -> Box | None:
    ra_low, ra_high = ra if ra is not None and math.isfinite(ra[0]) and math.isfinite(ra[1]) else (0.0, 360.0)
    dec_low, dec_high = dec if dec is not None else (-90.0, 90.0)
    dec_low, dec_high = max(dec_low, -90.0), min(dec_high, 90.0)
    bounded = dec_low > -90 or dec_high < 90 or ra_high - ra_low < 360
    if not bounded or ra_low > ra_high or dec_low > dec_high:
        return None
    return Box(ra_low, ra_high, dec_low, dec_high)


def _column_bounds(part: Expr) -> list[tuple[tuple[int, str], float, float]]:
    """Return ((source, column), low, high) for a comparison of a column with constants."""
    if isinstance(part, Between) and not part.negated and isinstance(part.operand, ColumnRef):
        limits = _constants((part.low, part.high))
        return [] if limits is None else [((part.operand.source, part.operand.column.name), limits[0], limits[1])]
    if not isinstance(part, Comparison):
        return []
    op, left, right = part.op, part.left, part.right
    if isinstance(right, ColumnRef):
        op, left, right = MIRRORED.get(op, op), right, left
    value = constant(right)
    if not isinstance(left, ColumnRef) or value is None:
        return []
    key = (left.source, left.column.name)
    ranges = {
        "=": (value, value),
        "<": (-math.inf, value),
        "<=": (-math.inf, value),
        ">": (value, math.inf),
        ">=": (value, math.inf),
    }
    return [(key, *ranges[op])] if op in ranges else []


def _constants(exprs: Iterable[Expr]) -> tuple[float, ...] | None:
    values = [constant(expr) for expr in exprs]
    return None if any(value is None for value in values) else tuple(value for value in values if value is not None)
