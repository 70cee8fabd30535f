"""Which queries ask for some rows of one table as they are stored: cones and look-ups by id, of plain columns."""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from partitioning.sky.separation import EDGE_TOLERANCE_DEG

from ..models.comparisons import MIRRORED, constant, long_value
from ..models.excerpt import ConeTest, Excerpt, IdTest
from ..models.near import containment
from ..models.query import TableScan
from ..models.schema import Column, DataType
from ..models.tree import (
    Circle,
    ColumnRef,
    Comparison,
    Distance,
    Expr,
    InList,
    Point,
    Query,
    Select,
    TableRef,
)
from ..models.walk import conjuncts
from .emit_geometry import distance_limit

__all__ = ["excerpt_of"]

_MOST_IDS: Final = 100
_MOST_ROWS: Final = 100_000
"""More rows are better read while they are sent."""
_PLAIN: Final = {
    *(DataType.BOOLEAN, DataType.BYTE, DataType.SHORT, DataType.INT, DataType.LONG),
    *(DataType.FLOAT, DataType.DOUBLE, DataType.TEXT),
}


def excerpt_of(tree: Query, scans: Mapping[int, TableScan], *, limit: int) -> Excerpt | None:
    """Return a query's rows, at most `limit`, as an excerpt of its table; None if it asks for anything else.

    Parameters
    ----------
    tree
        The resolved query.
    scans
        What is read of its table, whose files must be released ones.
    """
    if not isinstance(tree, Select) or not isinstance(tree.source, TableRef) or not _takes_rows(tree):
        return None
    scan, rows = scans[tree.source.source], limit if tree.top is None else min(tree.top, limit)
    columns = [_stored_name(item.expr) for item in tree.items]
    tests = [_test(part) for part in conjuncts(tree.where)]
    names = tuple(name for name in columns if name is not None)
    if not scan.files or len(names) < len(columns) or None in tests or (not tests and rows > _MOST_ROWS):
        return None
    return Excerpt(
        files=scan.files,
        columns=names,
        index=scan.healpix_column,
        ranges=scan.healpix_ranges,
        rows=rows,
        cones=tuple(test for test in tests if isinstance(test, ConeTest)),
        ids=tuple(test for test in tests if isinstance(test, IdTest)),
    )


def _takes_rows(select: Select) -> bool:
    """Whether each row of the result is a row of the table, in no order."""
    return not (select.group_by or select.having or select.order_by or select.distinct or select.offset)


def _stored_name(expr: Expr) -> str | None:
    """Return the name of a column that is stored as it is delivered."""
    return expr.column.stored_name if isinstance(expr, ColumnRef) and _is_plain(expr.column) else None


def _is_plain(column: Column) -> bool:
    is_changed = column.is_array or column.may_be_nan or column.is_mixed or column.is_converted
    return column.datatype in _PLAIN and not is_changed


def _test(condition: Expr) -> ConeTest | IdTest | None:
    return _cone(condition) or _ids(condition)


def _cone(condition: Expr) -> ConeTest | None:
    """Return the cone whose rows satisfy a condition."""
    contains = containment(condition)
    if contains is not None and isinstance(contains.outer, Circle):
        return _cone_test("<=", contains.inner, contains.outer.centre, contains.outer.radius)
    for op, value, radius in _sides(condition):
        if isinstance(value, Distance) and op in {"<", "<="}:
            return _cone_test(op, value.first, value.second, radius)
    return None


def _sides(condition: Expr) -> Iterator[tuple[str, Expr, Expr]]:
    if isinstance(condition, Comparison) and condition.op in MIRRORED:
        yield condition.op, condition.left, condition.right
        yield MIRRORED[condition.op], condition.right, condition.left


def _cone_test(op: str, first: Expr, second: Expr, radius: Expr) -> ConeTest | None:
    if not isinstance(first, Point) or not isinstance(second, Point):
        return None
    point, centre = (second, first) if constant(first.ra) is not None else (first, second)
    ra, dec = _stored_name(point.ra), _stored_name(point.dec)
    ra_deg, dec_deg, radius_deg = constant(centre.ra), constant(centre.dec), constant(radius)
    if ra is None or dec is None or ra_deg is None or dec_deg is None or radius_deg is None:
        return None
    limit_deg = distance_limit(op, radius_deg)
    if not radius_deg >= 0 or limit_deg > 90 - EDGE_TOLERANCE_DEG:
        return None
    return ConeTest(ra, dec, ra_deg, dec_deg, math.sin(math.radians(limit_deg / 2)) ** 2)


def _ids(condition: Expr) -> IdTest | None:
    """Return the integers of which a column must hold one."""
    match condition:
        case (
            Comparison(op="=", left=ColumnRef() as column, right=value)
            | Comparison(op="=", left=value, right=ColumnRef() as column)
        ):
            items: tuple[Expr, ...] = (value,)
        case InList(operand=ColumnRef() as column, items=items, negated=False) if len(items) <= _MOST_IDS:
            pass
        case _:
            return None
    name = _stored_name(column)
    ids = tuple(long_value(item) for item in items)
    known = tuple(one for one in ids if one is not None)
    if name is None or not column.column.datatype.is_integer or len(known) < len(ids):
        return None
    return IdTest(name, known)
