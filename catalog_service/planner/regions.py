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
from partitioning.sky.coverage import Coverage, cover, intersection, union
from partitioning.sky.regions import Box, Cone, Polygon, Region

from ..models.near import MIRRORED, Separation, constant, containment, demands_one, separation
from ..models.schema import SkyPosition
from ..models.tree import (
    Between,
    Circle,
    ColumnRef,
    Comparison,
    Expr,
    FunctionCall,
    Or,
    Point,
    PolygonShape,
)
from ..models.walk import conjuncts
from .negation import positive
from .scisql_regions import scisql_region

__all__ = ["AllOf", "AnyOf", "Enlarged", "RegionExpr", "condition_regions", "conjuncts", "cover_expr", "own_position"]


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


RegionExpr = Region | AllOf | AnyOf | Enlarged

_NOWHERE: Final = AnyOf(())

Positions = Mapping[int, SkyPosition]
"""Own position columns of the FROM items that have one, by source number."""

StoredRa = Mapping[int, tuple[float, float]]
"""Smallest and largest right ascension that is stored, by source number, where that is known."""

ANY_RA: Final[StoredRa] = {}


def cover_expr(expr: RegionExpr, pad_deg: float) -> Coverage:
    """Return a coverage of `expr` with every region enlarged by `pad_deg`."""
    match expr:
        case AllOf(parts):
            return reduce(intersection, (cover_expr(part, pad_deg) for part in parts))
        case AnyOf(parts):
            return union(*(cover_expr(part, pad_deg) for part in parts))
        case Enlarged(part, by_deg):
            return cover_expr(part, pad_deg + by_deg)
        case _:
            return cover(expr, pad_deg)


def condition_regions(
    condition: Expr | None, positions: Positions, stored_ra: StoredRa = ANY_RA
) -> dict[int, RegionExpr]:
    """Return the region that bounds each source's own position where `condition` is true.

    Parameters
    ----------
    positions
        Position columns by source number.
    stored_ra
        What is known of the values in those of right ascension.
    """
    return {} if condition is None else _regions(positive(condition), positions, stored_ra)


def _regions(condition: Expr, positions: Positions, stored_ra: StoredRa) -> dict[int, RegionExpr]:
    parts = conjuncts(condition)
    bounds = [
        _disjunction_regions(part, positions, stored_ra)
        if isinstance(part, Or)
        else dict(filter(None, [_atom_region(part, positions)]))
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
    branches = [_regions(operand, positions, stored_ra) for operand in condition.operands]
    common = set.intersection(*(set(branch) for branch in branches))
    return {source: AnyOf(tuple(branch[source] for branch in branches)) for source in common}


def _atom_region(condition: Expr, positions: Positions) -> tuple[int, Region] | None:
    return (
        _contains_region(condition, positions)
        or _distance_region(condition, positions)
        or _scisql_region(condition, positions)
    )


def _contains_region(condition: Expr, positions: Positions) -> tuple[int, Region] | None:
    """``CONTAINS(POINT(ra, dec), shape) = 1``, in any form of it."""
    contains = containment(condition)
    if contains is None:
        return None
    source, shape = own_position(contains.inner, positions), _shape(contains.outer)
    return None if source is None or shape is None else (source, shape)


def _scisql_region(condition: Expr, positions: Positions) -> tuple[int, Region] | None:
    """``scisql_s2PtInBox(ra, dec, ...) = 1``, either way round."""
    if not isinstance(condition, Comparison):
        return None
    op, call, value = condition.op, condition.left, condition.right
    if not isinstance(call, FunctionCall):
        op, call, value = MIRRORED.get(op, ""), value, call
    if not isinstance(call, FunctionCall) or len(call.args) < 3 or not demands_one(op, constant(value)):
        return None
    source, numbers = own_position(Point(*call.args[:2]), positions), _constants(call.args[2:])
    try:
        region = None if source is None or numbers is None else scisql_region(call.name, numbers)
    except RegionError:  # no row is inside of it either
        return None
    return None if source is None or region is None else (source, region)


def _distance_region(condition: Expr, positions: Positions) -> tuple[int, Region] | None:
    """``DISTANCE(POINT(ra, dec), POINT(1, 2)) < r``, with either order of everything; or ``> r`` for a large r."""
    found = separation(condition)
    if found is None:
        return None
    for point, centre in ((found.first, found.second), (found.second, found.first)):
        source = own_position(point, positions)
        numbers = _constants((centre.ra, centre.dec)) if isinstance(centre, Point) else None
        if source is not None and numbers is not None:
            cone = _cone_of(numbers[0], numbers[1], found)
            return None if cone is None else (source, cone)
    return None


def _cone_of(ra: float, dec: float, bound: Separation) -> Cone | None:
    """Return the cone that a separation from a constant position allows; one far from it lies around the antipode."""
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

    RA that is bounded on one side only is used where it is known which values are stored, as they may be of any turn.
    """
    bounds: dict[tuple[int, str], tuple[float, float]] = {}
    for part in parts:
        for key, low, high in _column_bounds(part):
            old = bounds.get(key, (-math.inf, math.inf))
            bounds[key] = (max(old[0], low), min(old[1], high))
    boxes: dict[int, RegionExpr] = {}
    for source, position in positions.items():
        ra = bounds.get((source, position.ra))
        if ra is not None and source in stored_ra:
            ra = max(ra[0], stored_ra[source][0]), min(ra[1], stored_ra[source][1])
            if ra[0] > ra[1]:
                boxes[source] = _NOWHERE
                continue
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
